"""What the network learns from: triplets, and what is done to a tile each time it is shown."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.clouds.figures.inputs import Inputs
from earthsignals.clouds.figures.panels import show_tile
from earthsignals.results import MissingData

ROLES = ("anchor", "neighbour", "distant")
SHOWN = 8
VERSIONS = 7


def triplets(inputs: Inputs) -> Figure:
    """Training triplets, a column each: anchor, neighbour in the same scene, one of another scene."""
    examples = _needed(inputs)[:SHOWN]
    figure, panels = house.columns(SHOWN, rows=3, row_height=0.98)
    for column in range(SHOWN):
        for row, role in enumerate(ROLES):
            axes = panels[row, column]
            if column >= len(examples):
                axes.axis("off")
                continue
            show_tile(axes, examples[column, row])
            if column == 0:
                axes.set_ylabel(role)
    return figure


def augmentation(inputs: Inputs) -> Figure:
    """A few anchors, left as they are, and as the network may see them in as many epochs."""
    from earthsignals.clouds.augment import Augment

    if inputs.augmentation is None:
        raise MissingData("the parameters of the augmentation are not known")
    examples = _needed(inputs)[:4]
    augment, rows = Augment(inputs.augmentation, inputs.seed), np.arange(len(examples))
    seen = [
        np.rint(255 * augment(examples, epoch, rows).numpy()[:, 0]).astype(np.uint8)
        for epoch in range(VERSIONS)
    ]
    tiles = examples[:, 0]
    figure, panels = house.columns(VERSIONS + 1, rows=len(tiles), row_height=0.98)
    panels = np.atleast_2d(panels)
    for row, tile in enumerate(tiles):
        show_tile(panels[row, 0], tile, house.COLOURS["blue"])
        for version in range(VERSIONS):
            show_tile(panels[row, version + 1], seen[version][row])
    panels[0, 0].set_title("as it is")
    panels[0, 1].set_title("as shown in training", loc="left")
    return figure


def _needed(inputs: Inputs) -> np.ndarray:
    if inputs.examples is None or not len(inputs.examples):
        raise MissingData("no training triplets were given")
    return inputs.examples
