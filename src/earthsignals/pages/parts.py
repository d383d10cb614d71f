"""Parts that views share: pictures as data URIs, frames without axes, what the mouse shows."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.layouts import column, row
from bokeh.models import Column, HoverTool
from bokeh.plotting import figure
from PIL import Image

TOOLS = "pan,wheel_zoom,box_zoom,reset,save"


def data_uri(picture: np.ndarray, quality: int = 80) -> str:
    """(h, w, 3) or (h, w) uint8 as a JPEG inside a URI."""
    return _uri(picture, "JPEG", quality=quality)


def png_uri(picture: np.ndarray) -> str:
    """(h, w), (h, w, 3) or (h, w, 4) uint8 as a PNG inside a URI: exact, and small where colours are few."""
    return _uri(picture, "PNG", optimize=True)


def _uri(picture: np.ndarray, kind: str, **options: Any) -> str:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(stream, kind, **options)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def bare(made: figure) -> None:
    """No axes, no grid, a frame."""
    made.axis.visible = False
    made.grid.visible = False
    made.outline_line_color = "#888888"
    made.toolbar.logo = None


def hover(renderers: Sequence[Any], tooltip: str, **looks: Any) -> HoverTool:
    """Shows markup where the mouse is, of one thing at a time."""
    return HoverTool(
        renderers=list(renderers), tooltips=tooltip,
        **{"point_policy": "follow_mouse", "limit": 1, "attachment": "horizontal"} | looks,
    )  # fmt: skip


def along_line(renderer: Any, tooltip: str) -> HoverTool:
    """Shows markup at the point of a line that lies above or below the mouse."""
    return hover([renderer], tooltip, mode="vline", point_policy="snap_to_data", line_policy="nearest")


def in_rows(figures: Sequence[figure], across: int = 3) -> Column:
    """Figures side by side, in rows of `across`."""
    return column(*(row(*figures[k : k + across]) for k in range(0, len(figures), across)))
