"""The views of a pipeline as files: a page and its data for each, and an index that leads to them."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from earthsignals.compute.mapping import progress
from earthsignals.pages.document import Page, described, embedded, library
from earthsignals.pages.html import write_html
from earthsignals.results import MissingData
from earthsignals.storage import atomic_path

Inputs = TypeVar("Inputs")


@dataclass(frozen=True)
class View(Generic[Inputs]):
    """A page: what it is called, what is to be seen on it, and what draws it."""

    title: str
    caption: str
    draw: Callable[[Inputs], Page]


def write_views(
    views: Mapping[str, View[Inputs]], inputs: Inputs, out: Path, heading: str
) -> dict[str, str]:
    """Write every view as `out/<name>.html` and `.json`, and `out/index.html` with links to them.

    Args:
        heading: of the index.

    Returns:
        Views left out because their drawing raised `results.MissingData`, each with the reason.
    """
    out, left_out = Path(out), {}
    with progress("pages", len(views), "pages") as bar:
        for name, view in views.items():
            try:
                write_page(out / name, view.title, view.caption, view.draw(inputs))
            except MissingData as reason:
                left_out[name] = str(reason)
            bar.advance()
    _write_index(views, left_out, out / "index.html", heading)
    return left_out


def write_page(stem: Path, title: str, caption: str, page: Page) -> None:
    """Write a view as `<stem>.html` and `<stem>.json`, each atomically and with the same bytes each time."""
    view = described(title, caption, page)
    markup, script = embedded(view, "view")
    note = f"\n<p>{html.escape(page.note)}</p>" if page.note else ""
    body = f"""<p><a href="index.html">All views</a></p>
<h1>{html.escape(title)}</h1>
<p>{html.escape(caption)}</p>{note}
<div class="view">
{markup}
</div>
<script>{library()}</script>
<script>{script}</script>"""
    write_html(stem.with_name(f"{stem.name}.html"), title, body)
    with atomic_path(stem.with_name(f"{stem.name}.json")) as temporary:
        # Keys stay in their order: Bokeh defines a model where it first occurs, and refers to it afterwards.
        text = json.dumps(view, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def _write_index(
    views: Mapping[str, View[Inputs]], left_out: Mapping[str, str], path: Path, heading: str
) -> None:
    items = []
    for name, view in views.items():
        title, caption = html.escape(view.title), html.escape(view.caption)
        if name in left_out:
            items.append(f"<li>{title}: left out, {html.escape(left_out[name])}</li>")
        else:
            items.append(f'<li><a href="{name}.html">{title}</a><br>{caption}</li>')
    body = f"<h1>{html.escape(heading)}</h1>\n<ul>\n" + "\n".join(items) + "\n</ul>"
    write_html(path, heading, body)
