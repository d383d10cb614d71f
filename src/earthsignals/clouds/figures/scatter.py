"""The embedding in two dimensions, with tiles here and there on it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.clouds.figures.inputs import Inputs
from earthsignals.clouds.figures.likeness import apart
from earthsignals.clouds.figures.panels import bare, put_tile, regime_legend
from earthsignals.clouds.figures.planes import METHODS
from earthsignals.compute.seeds import philox

TILE = 0.088
"""Edge of a tile over that of the panel."""
MARGIN = 0.06


def scatter(inputs: Inputs) -> Figure:
    """Principal components, isomap, t-SNE and UMAP of the study tiles; what is absent says why."""
    planes, reasons = inputs.planes.available()
    figure, panels = house.columns(2, rows=2, row_height=3.9)
    for axes, method in zip(panels.flat, METHODS, strict=True):
        axes.set_title(METHODS[method])
        if method in planes:
            annotated(axes, inputs, planes[method], method)
        else:
            axes.axis("off")
            axes.text(0.5, 0.5, reasons[method], ha="center", va="center", transform=axes.transAxes)
    first, second = inputs.planes.components.share[:2]
    panels.flat[0].set_xlabel(f"first component ({100 * first:.0f} % of the variance)")
    panels.flat[0].set_ylabel(f"second component ({100 * second:.0f} %)")
    regime_legend(figure, inputs.regimes)
    return figure


def annotated(axes: Axes, inputs: Inputs, plane: np.ndarray, stream: str, tile: float = TILE) -> None:
    """Points of all tiles in their regime's colour; on them tiles, drawn at random, that do not overlap."""
    low, high = plane.min(0), plane.max(0)
    room = MARGIN * np.maximum(high - low, 1e-12)
    low, high = low - room, high + room
    width, height = tile * (high - low)
    axes.scatter(*plane.T, s=6, c=inputs.colours, linewidths=0)
    order = philox(inputs.seed, f"clouds-scatter-{stream}").permutation(len(plane))
    for number in apart(plane, order, 1.15 * width, 1.15 * height):
        put_tile(axes, inputs.images[number], plane[number], width, height, inputs.colours[number])
    bare(axes)
    axes.set_box_aspect(1)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
