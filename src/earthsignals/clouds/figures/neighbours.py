"""Tiles and those that the embedding takes for most alike."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.clouds.figures.inputs import Inputs, named
from earthsignals.clouds.figures.likeness import neighbours as nearest
from earthsignals.clouds.figures.likeness import queries
from earthsignals.clouds.figures.panels import regime_legend, show_tile
from earthsignals.results import MissingData

QUERIES, SHOWN = 8, 9


def neighbours(inputs: Inputs) -> Figure:
    """Tiles drawn at random, each regime in its turn, and to their right the nearest from other scenes.

    Below each its distance over the median distance of two study tiles. Frames tell regimes.
    """
    inputs.need_tiles(2)
    scenes, regimes = (inputs.tiles[name].to_numpy(object) for name in ("scene", "regime"))
    if len(set(scenes)) < 2:
        raise MissingData("all study tiles are of one scene: there is no other to find neighbours in")
    import matplotlib.pyplot as plt

    chosen = queries(regimes, min(QUERIES, len(inputs.tiles)), inputs.seed)
    figure = plt.figure(figsize=(house.PAGE_WIDTH, 0.86 * len(chosen) + 0.4))
    grid = figure.add_gridspec(len(chosen), SHOWN + 2, width_ratios=[1.0, 0.18] + [1.0] * SHOWN)
    colours = inputs.colours
    for row, query in enumerate(chosen):
        first = figure.add_subplot(grid[row, 0])
        show_tile(first, inputs.images[query], colours[query], 2.2)
        first.set_ylabel(named(regimes[query]) if regimes[query] else "", fontsize=6.5)
        found, distance = nearest(inputs.embedding, scenes, int(query), SHOWN)
        for column, (tile, far) in enumerate(zip(found, distance, strict=True)):
            axes = figure.add_subplot(grid[row, column + 2])
            show_tile(axes, inputs.images[tile], colours[tile])
            axes.set_xlabel(f"{far / inputs.pair_distance:.2f}", fontsize=6, labelpad=1)
    figure.axes[0].set_title("tile", fontsize=7)
    figure.axes[1].set_title("nearest", fontsize=7, loc="left")
    regime_legend(figure, [r for r in inputs.regimes if r in set(np.asarray(regimes))])
    return figure
