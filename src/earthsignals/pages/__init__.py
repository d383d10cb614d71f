"""Views to touch: figures that answer to the mouse, in one HTML file each or inside another page.

A view is a function of some inputs that returns a `Page` of Bokeh models. `write_views` writes each as
`<name>.html`, which opens from a disk without a network, and as `<name>.json`, from which `embedded` puts it
into any page that holds `library()` once:

    views = {"spectra": View("Spectra", "What is to be seen.", draw)}
    left_out = write_views(views, inputs, Path("pages"), "TDLAS")
    markup, script = embedded(read_view("pages/spectra.json"), "spectra")
"""

from __future__ import annotations

from earthsignals.pages.document import Page, described, embedded, library, read_view
from earthsignals.pages.html import write_html
from earthsignals.pages.views import View, write_page, write_views

__all__ = [
    "Page", "View", "described", "embedded", "library", "read_view", "write_html", "write_page",
    "write_views",
]  # fmt: skip
