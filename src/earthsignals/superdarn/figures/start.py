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

    Left: of the last frame by itself, in cells it saw, of a radar's own views, and of the climatology. Right:
    of the fields of each memory (rows, minutes over which observations lose their weight) and width (columns,
    of the spatial weight) at three leads: for cells that the last frame saw, for their components across what
    it saw, and for cells that it did not see.
    """
    import matplotlib.pyplot as plt
    from matplotlib.cm import ScalarMappable

    weights = inputs.weights
    if weights is None:
        raise MissingData("the checkpoint holds no coefficients of a linear start")
    drawn = list(dict.fromkeys(int(np.abs(weights.leads - lead).argmin()) for lead in LEADS))
    rows = {
        "seen": weights.spread[drawn, 1], "across": weights.across[drawn, 1],
        "not seen": weights.spread[drawn, 0],
    }  # fmt: skip
    norm = symmetric_to(np.stack(list(rows.values())))
    figure = plt.figure(figsize=(house.PAGE_WIDTH, 4.3))
    left, right = figure.subfigures(1, 2, width_ratios=(1, 2.2))
    _last(left.subplots(), weights)
    panels = right.subplots(len(rows), len(drawn), squeeze=False)
    for row, (name, values) in enumerate(rows.items()):
        for place, lead in enumerate(drawn):
            axes = panels[row, place]
            _table(axes, values[place], norm)
            for ticks, known in (
                (axes.set_xticks, weights.widths_cells), (axes.set_yticks, weights.memories_minutes)
            ):  # fmt: skip
                ticks(range(len(known)), [f"{value:g}" for value in known])
            axes.tick_params(length=0, labelleft=place == 0, labelbottom=row == len(rows) - 1)
            if row == 0:
                axes.set_title(f"{weights.leads[lead]:g} minutes ahead")
        panels[row, 0].set_ylabel(f"{name}\nmemory (min)")
    for axes in panels[-1]:
        axes.set_xlabel("width (cells)")
    bar = right.colorbar(ScalarMappable(norm, DIFFERENCES), ax=panels, pad=0.01, aspect=30)
    bar.set_label("coefficient")
    bar.outline.set_linewidth(0.4)
    return figure


def _last(axes: Axes, weights: Weights) -> None:
    """Curves over the leads: of the cell's last drift, and of what its radar saw there."""
    for values, colour, label in (
        (weights.last[:, 1], "blue", "the cell's drift in the last frame"),
        (weights.carry[:, 0], "orange", "what the radar itself last saw"),
        (weights.carry[:, 1], "green", "… beyond the cell's drift"),
        (weights.climatology[:, 1], "purple", "the climatology"),
        (weights.climatology[:, 0], "sky", "… in cells not seen"),
    ):
        axes.plot(weights.leads, values, color=house.COLOURS[colour], label=label)
    axes.axhline(0, color="0.4", lw=0.6)
    axes.set(xlabel="minutes ahead", ylabel="coefficient", xlim=(0, None))
    axes.legend(loc="lower left", bbox_to_anchor=(-0.05, 1.0))


def _table(axes: Axes, values: np.ndarray, norm: Normalize) -> None:
    shown = np.ma.masked_invalid(values)
    axes.imshow(shown, cmap=DIFFERENCES, norm=norm, aspect="auto", interpolation="none")
    for (row, column), value in np.ndenumerate(values):
        if not np.isfinite(value):
            continue
        dark = abs(float(norm(value)) - 0.5) > 0.33
        axes.text(
            column, row, f"{round(value, 2) + 0.0:.2f}".replace("-", "−"), ha="center", va="center",
            fontsize=5, color="white" if dark else "black",
        )  # fmt: skip
    axes.grid(False)
    axes.spines[:].set_visible(False)
