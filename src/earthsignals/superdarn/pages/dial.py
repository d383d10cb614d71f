"""An empty dial of magnetic latitude and local time, to draw on."""

from __future__ import annotations

import numpy as np
from bokeh.models import Range1d
from bokeh.plotting import figure

from earthsignals.pages.parts import bare
from earthsignals.superdarn.figures.dial import LINES, angle, place

EDGE = 350
TURN = np.linspace(0, 2 * np.pi, 121)


def dial(title: str, rim: float) -> figure:
    """A square figure in degrees of colatitude with circles of latitude, hours, and the night in grey."""
    edge = 90 - rim
    made = figure(
        title=title, width=EDGE, height=EDGE + 40, sizing_mode="fixed", tools="pan,wheel_zoom,reset,save",
        active_scroll="wheel_zoom", match_aspect=True, toolbar_location="below",
        x_range=Range1d(-1.16 * edge, 1.16 * edge), y_range=Range1d(-1.16 * edge, 1.16 * edge),
    )  # fmt: skip
    bare(made)
    made.outline_line_color = None
    made.toolbar.autohide = True
    made.title.text_font_size = "12px"
    made.title.align = "center"
    night = np.linspace(np.pi, 2 * np.pi, 61)
    made.patch(edge * np.cos(night), edge * np.sin(night), color="#f1f1f1")
    for latitude in (*(line for line in LINES if line > rim), rim):
        grey, width = ("#555555", 1.2) if latitude == rim else ("#c4c4c4", 0.7)
        reach = 90 - latitude
        made.line(reach * np.cos(TURN), reach * np.sin(TURN), color=grey, line_width=width)
    for hour in range(0, 24, 6):
        turn = float(angle(hour))
        made.line([0, edge * np.cos(turn)], [0, edge * np.sin(turn)], color="#c4c4c4", line_width=0.7)
    _labels(made, rim)
    return made


def _labels(made: figure, rim: float) -> None:
    inside = [line for line in LINES if line > rim]
    x, y = place(np.array(inside, float), np.full(len(inside), 3.0))
    looks = {"text_align": "center", "text_baseline": "middle"}
    made.text(
        x, y, [f"{line}°" for line in inside], text_font_size="9px", text_color="#777777", **looks
    )
    hours = np.arange(0, 24, 6)
    turn, reach = angle(hours), 1.09 * (90 - rim)
    made.text(
        reach * np.cos(turn), reach * np.sin(turn), [f"{hour:02d}" for hour in hours],
        text_font_size="11px", text_color="#333333", **looks,
    )  # fmt: skip
