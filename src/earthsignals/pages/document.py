"""A view as data: Bokeh's description of it, the same bytes each time, and how another page shows it.

Nothing is loaded from anywhere, so that a page opens without a network, from a disk or out of a mail.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from bokeh.document import Document
from bokeh.models import UIElement
from bokeh.resources import Resources

from earthsignals.storage import EarthSignalsError, read_json

KEYS = {"title", "caption", "note", "pictures", "document", "root"}
_ELEMENT = re.compile(r"[A-Za-z][\w-]*")


@dataclass(frozen=True)
class Page:
    """What a view is made of.

    pictures: data URIs of scenes, each once in the page; CSS finds the k-th as `var(--picture-k)`.
    note: said below the caption, where something was left out or thinned.
    """

    root: UIElement
    pictures: Sequence[str] = field(default=())
    note: str = ""


def described(title: str, caption: str, page: Page) -> dict[str, Any]:
    """All that a page needs to show a view, as JSON's own types.

    title, caption, note: plain text. pictures: data URIs. document: Bokeh's description, its models named
    m1, m2, … whatever was made before in this process. root: the name of the outermost model.
    """
    document = Document(title="")
    document.add_root(page.root)
    names: dict[str, str] = {}
    renamed = _renamed(document.to_json(deferred=False), names)
    return {
        "title": title, "caption": caption, "note": page.note, "pictures": list(page.pictures),
        "document": renamed, "root": names[page.root.id],
    }  # fmt: skip


def read_view(path: str | Path) -> dict[str, Any]:
    """A `<view>.json` that `write_views` wrote. Raises EarthSignalsError where it is none."""
    view = read_json(path)
    if not isinstance(view, dict) or set(view) != KEYS:
        raise EarthSignalsError(
            f"{path}: no view, expected the keys {', '.join(sorted(KEYS))}; write it anew (`dvc repro`)"
        )
    return view


def embedded(view: Mapping[str, Any], element: str) -> tuple[str, str]:
    """Markup for the place where a view is to stand, and JavaScript that draws it there.

    The script runs after `library()` and after the markup; several views may stand on one page.

    Args:
        view: what `described` or `read_view` returned.
        element: id of the place; begins with a letter, and is unique in the page. The data stand beside it
            in a script element with the id `<element>-data`.
    """
    if not _ELEMENT.fullmatch(element):
        raise EarthSignalsError(
            f"'{element}' cannot be an element's id: a letter and then letters, digits, - and _ are expected"
        )
    # Neither models nor pictures of several views on a page may take each other's names.
    names = {f"m{k}": f"{element}-m{k}" for k in range(1, _count(view["document"]) + 1)}
    root = names[view["root"]]
    text = _as_script(_renamed(view["document"], names)).replace(
        "var(--picture-", f"var(--{element}-picture-"
    )
    pictures = "".join(f"--{element}-picture-{k}:url({uri});" for k, uri in enumerate(view["pictures"]))
    style = f"<style>:root{{{pictures}}}</style>\n" if pictures else ""
    items = json.dumps([{"docid": element, "roots": {root: element}, "root_ids": [root]}])
    markup = (
        f'{style}<div id="{element}"></div>\n'
        f'<script type="application/json" id="{element}-data">{text}</script>'
    )
    data = f'JSON.parse(document.getElementById("{element}-data").textContent)'
    return markup, f'Bokeh.embed.embed_items({{"{element}": {data}}}, {items});'


@cache
def library() -> str:
    """Bokeh's JavaScript, to stand inside one `<script>` of a page."""
    inline = Resources(mode="inline", components=["bokeh", "bokeh-widgets"], log_level="warn")
    return "\n".join(inline.js_raw).replace("</script", "<\\/script")


def _count(item: Any) -> int:
    """The largest number of a model m1, m2, … in a description."""
    if isinstance(item, dict):
        own = int(item["id"][1:]) if isinstance(item.get("id"), str) else 0
        return max((own, *map(_count, item.values())))
    return max(map(_count, item), default=0) if isinstance(item, (list, tuple)) else 0


def _as_script(document: Any) -> str:
    """JSON that no text inside it can end before its end."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _renamed(item: Any, names: dict[str, str]) -> Any:
    if isinstance(item, dict):
        return {
            key: names.setdefault(value, f"m{len(names) + 1}")
            if key == "id" and isinstance(value, str) else _renamed(value, names)
            for key, value in item.items()
        }  # fmt: skip
    return [_renamed(value, names) for value in item] if isinstance(item, (list, tuple)) else item
