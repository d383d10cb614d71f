"""The tree of tiles, and what the tiles at the end of each branch look like."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.clouds.figures.inputs import Inputs, colour_of
from earthsignals.clouds.figures.panels import bare, regime_legend, show_tile
from earthsignals.clouds.figures.tree import EXAMPLES

ROWS = {"random": "random", "central": "central", "best": "best\ntriplet", "worst": "worst\ntriplet"}


def dendrogram(inputs: Inputs) -> Figure:
    """Ward's tree of the study tiles with four tiles of each leaf below it.

    Random: drawn among the leaf's tiles. Central: nearest to their mean. Best and worst triplet: the tiles
    whose neighbour lies nearest, and farthest, compared with their distant tile (largest and smallest
    distance to the distant tile minus distance to the neighbour). The bars tell which regimes a leaf holds;
    the network never saw these names.
    """
    import matplotlib.pyplot as plt

    tree = inputs.tree
    figure = plt.figure(figsize=(house.PAGE_WIDTH, 4.9))
    ratios = [2.3, 0.7] + [1.0] * len(EXAMPLES)
    grid = figure.add_gridspec(2 + len(EXAMPLES), tree.leaves, height_ratios=ratios)
    top = figure.add_subplot(grid[0, :])
    _branches(top, inputs)
    _composition(figure.add_subplot(grid[1, :]), inputs)
    examples = tree.examples(inputs.embedding, inputs.tiles["margin"].to_numpy(float), inputs.seed)
    colours = inputs.colours
    for row, kind in enumerate(EXAMPLES):
        for leaf, tile in enumerate(examples[row]):
            axes = figure.add_subplot(grid[2 + row, leaf])
            if tile < 0:
                axes.axis("off")
            else:
                show_tile(axes, inputs.images[tile], colours[tile])
            if leaf == 0:
                axes.set_ylabel(ROWS[kind], rotation=0, ha="right", va="center", fontsize=7)
    regime_legend(figure, inputs.regimes)
    return figure


def _branches(axes: Axes, inputs: Inputs) -> None:
    tree = inputs.tree
    for x, height in zip(tree.x, tree.height, strict=True):
        axes.plot(x, height, color=house.COLOURS["black"], lw=0.9)
    axes.set(xlim=(-0.5, tree.leaves - 0.5), ylim=(tree.cut * 0.92, None), ylabel="Ward distance", xticks=[])
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)


def _composition(axes: Axes, inputs: Inputs) -> None:
    """Stacked shares of regimes in each leaf, with the number of its tiles."""
    tree, regimes = inputs.tree, inputs.tiles["regime"].to_numpy()
    for leaf in range(tree.leaves):
        own = regimes[tree.members(leaf)]
        bottom = 0.0
        for regime in inputs.regimes:
            share = float(np.mean(own == regime))
            if share:
                axes.bar(leaf, share, 0.8, bottom, color=colour_of(regime))
            bottom += share
        axes.text(leaf, 1.06, f"{len(own)}", ha="center", va="bottom", fontsize=6)
    bare(axes)
    axes.spines[:].set_visible(False)
    axes.set(xlim=(-0.5, tree.leaves - 0.5), ylim=(0, 1.4))
    axes.set_ylabel("tiles,\nregimes", rotation=0, ha="right", va="center", fontsize=7)
