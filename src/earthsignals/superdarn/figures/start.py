"""What the forecast starts from: the weight of the last frame and of each memory and width, lead by lead."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.results import MissingData
from earthsignals.superdarn.figures.inputs import Inputs, Weights
from earthsignals.superdarn.figures.panels import DIFFERENCES, symmetric_to

LEADS = (10, 30, 60)


def start(inputs: Inputs) -> Figure:
    """Coefficients of the linear start.

    Left: of the last frame by itself, in cells it saw, and of a radar's own views. Right: of the fields of each memory (rows,
    minutes over which observations lose their weight) and width (columns, of the spatial weight) at three
    leads, for cells that the last frame saw and for those that it did not.
    """
    from matplotlib.cm import ScalarMappable

    weights = inputs.weights
    if weights is None:
        raise MissingData("the checkpoint holds no coefficients of a linear start")
    drawn = list(dict.fromkeys(int(np.abs(weights.leads - lead).argmin()) for lead in LEADS))
    norm = symmetric_to(weights.spread[drawn])
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(house.PAGE_WIDTH, 3.4))
    grid = figure.add_gridspec(2, 1 + len(drawn), width_ratios=(1.35, *(1,) * len(drawn)))
    _last(figure.add_subplot(grid[:, 0]), weights)
    panels = np.array([[figure.add_subplot(grid[row, 1 + n]) for n in range(len(drawn))] for row in (0, 1)])
    for row, kind in enumerate((1, 0)):
        for place, lead in enumerate(drawn):
            axes = panels[row, place]
            _table(axes, weights.spread[lead, kind], norm)
            for ticks, values in (
                (axes.set_xticks, weights.widths_cells), (axes.set_yticks, weights.memories_minutes)
            ):  # fmt: skip
                ticks(range(len(values)), [f"{value:g}" for value in values])
            axes.tick_params(length=0, labelleft=place == 0, labelbottom=row == 1)
            if row == 0:
                axes.set_title(f"{weights.leads[lead]:g} minutes ahead")
            else:
                axes.set_xlabel("width (cells)")
        panels[row, 0].set_ylabel(f"{'not ' if not kind else ''}seen\nmemory (minutes)")
    bar = figure.colorbar(ScalarMappable(norm, DIFFERENCES), ax=panels, pad=0.01, aspect=25)
    bar.set_label("coefficient")
    bar.outline.set_linewidth(0.4)
    return figure


def _last(axes: Axes, weights: Weights) -> None:
    """Curves over the leads: of the cell's last drift, and of what its radar saw there."""
    for values, colour, label in (
        (weights.last[:, 1], "blue", "the cell's drift in the last frame"),
        (weights.carry[:, 0], "orange", "what the radar itself last saw"),
        (weights.carry[:, 1], "green", "… beyond the cell's drift"),
    ):
        axes.plot(weights.leads, values, color=house.COLOURS[colour], label=label)
    axes.axhline(0, color="0.4", lw=0.6)
    axes.set(xlabel="minutes ahead", ylabel="coefficient, in cells that were seen", xlim=(0, None))
    axes.legend(loc="best", frameon=True, framealpha=0.85, edgecolor="none")


def _table(axes: Axes, values: np.ndarray, norm: Normalize) -> None:
    axes.imshow(values, cmap=DIFFERENCES, norm=norm, aspect="auto", interpolation="none")
    for (row, column), value in np.ndenumerate(values):
        dark = abs(float(norm(value)) - 0.5) > 0.33
        axes.text(
            column, row, f"{round(value, 2) + 0.0:.2f}".replace("-", "−"), ha="center", va="center",
            fontsize=5.5, color="white" if dark else "black",
        )  # fmt: skip
    axes.grid(False)
    axes.spines[:].set_visible(False)
