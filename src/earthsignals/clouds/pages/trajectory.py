"""A region hour by hour in the embedding's plane; the mouse shows its tiles."""

from __future__ import annotations

import numpy as np
from bokeh.layouts import row
from bokeh.models import ColumnDataSource, HoverTool, LinearColorMapper
from bokeh.palettes import Plasma256
from bokeh.plotting import figure

from earthsignals.clouds.figures.inputs import Inputs, thumbnail
from earthsignals.clouds.figures.trajectory import Path, hours_since, path_of
from earthsignals.clouds.pages.parts import (
    SHOWN_PX,
    place,
    plane_figure,
    regimes_below,
    tile_columns,
    tile_hover,
)
from earthsignals.pages import Page
from earthsignals.pages.parts import TOOLS
from earthsignals.pages.pictures import jpeg_uri

HOUR_TOOLTIP = f"""<div style="font-size:12px">
<img src="@tile{{safe}}" width="{SHOWN_PX}" height="{SHOWN_PX}" style="display:block;margin-bottom:4px">
<b>@moment UTC</b><br>@scene<br>@place</div>"""


def trajectory(inputs: Inputs) -> Page:
    """The path among the study tiles, and its components over time."""
    path = path_of(inputs)
    plane = inputs.planes.of("pca")
    hours = hours_since(path)
    source = ColumnDataSource({
        "x": path.places[:, 0], "y": path.places[:, 1], "hours": hours,
        "tile": [jpeg_uri(thumbnail(tile, 128), 85) for tile in path.tiles],
        "moment": [s.moment for s in path.scenes], "scene": [s.name for s in path.scenes],
        "place": [place(float(s.latitude.mean()), float(s.longitude.mean())) for s in path.scenes],
    })  # fmt: skip
    made = plane_figure("first and second component", np.concatenate([plane, path.places]), 600)
    tiles = ColumnDataSource(
        tile_columns(inputs, np.arange(len(plane))) | {"x": plane[:, 0], "y": plane[:, 1]}
    )
    points = made.scatter("x", "y", source=tiles, size=7, color="colour", alpha=0.35, line_color=None)
    made.line("x", "y", source=source, color="black", line_width=1.5)
    mapper = LinearColorMapper(Plasma256, low=0, high=float(hours[-1]))
    colour = {"field": "hours", "transform": mapper}
    stops = made.scatter("x", "y", source=source, size=14, color=colour, line_color="black")
    made.add_tools(tile_hover([stops], HOUR_TOOLTIP), tile_hover([points]))
    regimes_below(made, inputs.regimes)
    return Page(row(made, _over_time(path, hours, source)))


def _over_time(path: Path, hours: np.ndarray, source: ColumnDataSource) -> figure:
    made = figure(
        title="mean over the scene's windows, and their middle half", width=540, height=600, tools=TOOLS,
        x_axis_label="hours since the first scene", y_axis_label="component of the embedding",
    )  # fmt: skip
    made.toolbar.logo = None
    drawn = []
    for number, (name, colour, label) in enumerate((("x", "#0072B2", "first"), ("y", "#D55E00", "second"))):
        made.varea(hours, path.low[:, number], path.high[:, number], color=colour, alpha=0.15)
        made.line("hours", name, source=source, color=colour, line_width=1.5)
        drawn.append(made.scatter(
            "hours", name, source=source, color=colour, size=9, legend_label=f"{label} component"
        ))  # fmt: skip
    made.add_tools(HoverTool(renderers=drawn, tooltips=HOUR_TOOLTIP, point_policy="follow_mouse"))
    made.legend.background_fill_alpha = 0.6
    return made
