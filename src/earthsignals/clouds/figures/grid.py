"""The embedding's plane tiled with tiles: what lies where."""

from __future__ import annotations

from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.clouds.figures.inputs import Inputs
from earthsignals.clouds.figures.likeness import on_grid
from earthsignals.clouds.figures.panels import bare, put_tile, regime_legend

METHOD = "isomap"
ROWS, COLUMNS = 12, 14


def grid(inputs: Inputs) -> Figure:
    """At each point of a grid over the isomap plane the tile nearest to it, no tile twice."""
    import matplotlib.pyplot as plt

    plane = inputs.planes.of(METHOD)
    tiles, x, y = on_grid(plane, ROWS, COLUMNS)
    figure, axes = plt.subplots(figsize=(house.PAGE_WIDTH, house.PAGE_WIDTH * ROWS / COLUMNS + 0.4))
    for row in range(ROWS):
        for column in range(COLUMNS):
            tile = tiles[row, column]
            if tile >= 0:
                put_tile(axes, inputs.images[tile], (column, -row), 0.94, 0.94, inputs.colours[tile])
    bare(axes)
    axes.set(xlim=(-0.6, COLUMNS - 0.4), ylim=(-ROWS + 0.4, 0.6), aspect="equal")
    axes.set(xlabel="isomap, first axis", ylabel="isomap, second axis")
    regime_legend(figure, inputs.regimes)
    return figure
