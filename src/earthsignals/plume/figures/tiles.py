"""Tiles that the network got right and those it got most wrong."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.plume.figures.flightline import CEILING_PPM_M, INVALID, TRUE
from earthsignals.plume.figures.inputs import Arrays, take
from earthsignals.plume.judging.tile_scores import EXAMPLES

ROWS = (
    "plume,\nfound", "plume,\nlowest scores", "false enhancement,\nhighest scores",
    "background,\nhighest scores",
)  # fmt: skip


def tiles(arrays: Arrays) -> Figure:
    """EXAMPLES tiles of each kind with their probability; mistakes have a red number, plumes an outline."""
    tile, plume, probability, row, threshold = take(
        arrays, *(f"examples/{name}" for name in ("tile", "plume", "probability", "row", "threshold"))
    )
    figure, panels = house.columns(2, rows=1, row_height=6.3)
    for each in panels:
        each.remove()
    grid = figure.add_gridspec(len(ROWS), EXAMPLES)
    image = None
    for number, name in enumerate(ROWS):
        chosen = np.flatnonzero(row == number)
        for place in range(EXAMPLES):
            axes = figure.add_subplot(grid[number, place])
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            if place == 0:
                axes.set_ylabel(name)
            if place >= len(chosen):
                axes.axis("off") if place else axes.set_frame_on(False)
                continue
            k = chosen[place]
            axes.set_facecolor(INVALID)
            image = axes.imshow(
                np.ma.masked_invalid(tile[k]), cmap="cividis", vmin=0, vmax=CEILING_PPM_M,
                interpolation="nearest",
            )  # fmt: skip
            if plume[k].any():
                axes.contour(plume[k].astype(float), [0.5], colors=[TRUE], linewidths=0.7)
            wrong = (probability[k] >= threshold) != (number < 2)
            axes.set_title(
                f"{probability[k]:.3f}", pad=2, color=TRUE if wrong else house.COLOURS["black"],
                fontweight="bold" if wrong else "normal",
            )  # fmt: skip
    figure.suptitle(
        f"probability of a plume, threshold {float(threshold):.3f} (bold: on the wrong side)", fontsize=8
    )
    if image is not None:
        figure.colorbar(
            image, ax=figure.axes, label="CH$_4$ enhancement (ppm m)", extend="both",
            orientation="horizontal", shrink=0.4, aspect=35, pad=0.01,
        )  # fmt: skip
    return figure
