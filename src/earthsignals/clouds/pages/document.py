"""A page in one file: Bokeh's library, the data and the pictures inside it, the same bytes each time.

Nothing is loaded from anywhere, so that a page opens without a network, from a disk or out of a mail.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from bokeh.document import Document
from bokeh.models import UIElement
from bokeh.resources import Resources

from earthsignals.storage import atomic_path

STYLE = """
body { font-family: "DejaVu Sans", Verdana, sans-serif; font-size: 14px; color: #222; max-width: 1180px;
       margin: 1.2em auto; padding: 0 1em; }
h1 { font-size: 1.35em; margin: 0 0 0.4em; }
p { line-height: 1.45; margin: 0.3em 0 0.9em; max-width: 62em; }
a { color: #0072B2; }
li { margin: 0.6em 0; }
"""


@dataclass(frozen=True)
class Page:
    """What a view is made of.

    pictures: data URIs of scenes, each once in the page; CSS finds the k-th as `var(--picture-k)`.
    note: said below the caption, where something was left out or thinned.
    """

    root: UIElement
    pictures: Sequence[str] = field(default=())
    note: str = ""


def write_page(path: Path, title: str, caption: str, page: Page) -> None:
    """Write a view as one HTML file, atomically."""
    described, root = _described(page.root)
    drawn = json.dumps(described, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    shown = json.dumps([{"docid": "view", "roots": {root: "view"}, "root_ids": [root]}])
    pictures = "".join(f"--picture-{k}: url({uri});" for k, uri in enumerate(page.pictures))
    note = f"\n<p>{html.escape(page.note)}</p>" if page.note else ""
    body = f"""<p><a href="index.html">All views</a></p>
<h1>{html.escape(title)}</h1>
<p>{html.escape(caption)}</p>{note}
<div id="view"></div>
<script type="application/json" id="drawn">{drawn}</script>
<script>{_library()}</script>
<script>
Bokeh.embed.embed_items({{view: JSON.parse(document.getElementById("drawn").textContent)}}, {shown});
</script>"""
    write_html(path, title, body, f":root {{ {pictures} }}\n" if pictures else "")


def write_html(path: Path, title: str, body: str, style: str = "") -> None:
    """Write a plain page in the house's style, atomically."""
    # An empty icon: browsers ask a server for one otherwise.
    text = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{html.escape(title)}</title>
<link rel="icon" href="data:,">
<style>{STYLE}{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@cache
def _library() -> str:
    inline = Resources(mode="inline", components=["bokeh", "bokeh-widgets"], log_level="warn")
    return "\n".join(inline.js_raw).replace("</script", "<\\/script")


def _described(root: UIElement) -> tuple[Any, str]:
    """The document as JSON, and its root's id; ids count from 1, whatever was made before in this process."""
    document = Document(title="")
    document.add_root(root)
    described = document.to_json(deferred=False)
    names: dict[str, str] = {}
    return _renamed(described, names), names[root.id]


def _renamed(item: Any, names: dict[str, str]) -> Any:
    if isinstance(item, dict):
        return {
            key: names.setdefault(value, f"m{len(names) + 1}")
            if key == "id" and isinstance(value, str) else _renamed(value, names)
            for key, value in item.items()
        }  # fmt: skip
    return [_renamed(value, names) for value in item] if isinstance(item, (list, tuple)) else item
