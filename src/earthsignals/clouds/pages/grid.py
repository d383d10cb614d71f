"""The embedding's plane tiled with tiles; the mouse shows them larger."""

from __future__ import annotations

import numpy as np
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure

from earthsignals.clouds.figures.grid import COLUMNS, METHOD, ROWS
from earthsignals.clouds.figures.inputs import Inputs
from earthsignals.clouds.figures.likeness import on_grid
from earthsignals.clouds.pages.parts import regimes_below, tile_columns, tile_hover
from earthsignals.pages import Page
from earthsignals.pages.parts import TOOLS, bare

CELL = 72


def grid(inputs: Inputs) -> Page:
    """At each point of a grid the nearest tile, no tile twice."""
    tiles, _, _ = on_grid(inputs.planes.of(METHOD), ROWS, COLUMNS)
    row, column = np.nonzero(tiles >= 0)
    source = ColumnDataSource(
        tile_columns(inputs, tiles[row, column], 96) | {"x": column.tolist(), "y": (-row).tolist()}
    )
    made = figure(
        width=CELL * COLUMNS + 40, height=CELL * ROWS + 70, tools=TOOLS, active_scroll="wheel_zoom",
        x_range=(-0.6, COLUMNS - 0.4), y_range=(-ROWS + 0.4, 0.6),
    )  # fmt: skip
    frames = made.rect("x", "y", 0.97, 0.97, source=source, color="colour")
    made.image_url("tile", "x", "y", 0.9, 0.9, anchor="center", source=source)
    made.add_tools(tile_hover([frames]))
    bare(made)
    regimes_below(made, inputs.regimes)
    return Page(made)
