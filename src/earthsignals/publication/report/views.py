"""Interactive views inside a page: Bokeh's library and each view's data, packed until somebody looks.

Packed as gzip in base64 they take a third of the room; the page unpacks them itself (`page.js`), and asks
nobody for anything.
"""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from earthsignals.pages import embedded, library, read_view

MOST_BYTES = 1_700_000
"""Larger views stay out of the report, in a page of their own."""

CHOSEN = {"clouds": ("scatter", "dendrogram")}
"""Of a pipeline with many views, those that its page shows: all would outweigh the rest of it."""


@dataclass(frozen=True)
class ShownView:
    """A view as a page shows it: `packed` holds [markup, script]."""

    name: str
    title: str
    caption: str
    note: str
    packed: str


def shown_views(folder: Path) -> tuple[list[ShownView], list[str]]:
    """The views of `data/<pipeline>/pages`, and the titles of those that are left to pages of their own.

    Returns:
        Both in the order of the files' names.
    """
    shown, large = [], []
    chosen = CHOSEN.get(Path(folder).parent.name)
    for path in sorted(Path(folder).glob("[!.]*.json")):
        view = read_view(path)
        if path.stat().st_size > MOST_BYTES or (chosen and path.stem not in chosen):
            large.append(view["title"])
            continue
        markup, script = embedded(view, f"view-{path.stem}")
        packed = pack(json.dumps([markup, script], ensure_ascii=False))
        shown.append(ShownView(path.stem, view["title"], view["caption"], view["note"], packed))
    return shown, large


@cache
def packed_library() -> str:
    """Bokeh's JavaScript, packed."""
    return pack(library())


def pack(text: str) -> str:
    """Text as base64 of gzip, the same characters each time."""
    return base64.b64encode(gzip.compress(text.encode("utf-8"), 9, mtime=0)).decode("ascii")
