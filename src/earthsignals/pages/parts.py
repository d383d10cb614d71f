"""Parts that views share: frames without axes, what the mouse shows, rows of figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bokeh.layouts import column, row
from bokeh.models import Column, HoverTool
from bokeh.plotting import figure

TOOLS = "pan,wheel_zoom,box_zoom,reset,save"


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
