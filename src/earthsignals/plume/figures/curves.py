"""Precision-recall and ROC curves of tiles, and the reliability of the probabilities."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.plume.figures.inputs import Arrays, take
from earthsignals.plume.figures.methods import look, methods_in
from earthsignals.plume.judging.tile_scores import FALSE_POSITIVE_RATES, RECALLS
from earthsignals.results import MissingData


def curves(arrays: Arrays) -> Figure:
    """Both curves of every method with 95 % bands over flightlines, and the point of the frozen threshold."""
    names = methods_in(arrays, "curves", "precision")
    if not names:
        raise MissingData("the evaluation holds no curves of tiles")
    figure, (left, right) = house.columns(2, row_height=2.9)
    for name in names:
        style = look(name)
        precision, rate, chosen = take(
            arrays, *(f"curves/{name}/{key}" for key in ("precision", "true_positive_rate", "chosen"))
        )
        at = f"{style.label} (AP {_average(precision[0]):.2f})"
        for axes, grid, curve, x, y in (
            (left, RECALLS, precision, chosen[0], chosen[1]),
            (right, FALSE_POSITIVE_RATES, rate, chosen[2], chosen[0]),
        ):
            axes.fill_between(grid, curve[1], curve[2], color=style.colour, alpha=0.13, linewidth=0)
            axes.plot(grid, curve[0], style.line, color=style.colour, label=at)
            axes.plot(x, y, style.marker, color=style.colour, markersize=5, mec="white", mew=0.6)
    left.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
    left.set_title("tiles of test days")
    left.legend(loc="lower left")
    right.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(1e-3, 1), ylim=(0, 1.02))
    right.set_xscale("log")
    right.set_title("marker: threshold frozen on validation")
    return figure


def _average(precision: np.ndarray) -> float:
    """Mean precision over the grid of recalls: the curve's area as drawn."""
    return float(np.nanmean(precision)) if np.isfinite(precision).any() else float("nan")


def reliability(arrays: Arrays, error: float | None = None) -> Figure:
    """Observed share of plumes over the predicted probability, with the number of tiles in each bin.

    error: the expected calibration error, told in the title.
    """
    names = ("predicted", "observed", "count")
    predicted, observed, count = take(arrays, *(f"reliability/{name}" for name in names))
    figure, (top, bottom) = house.columns(1, rows=2, row_height=1.8)
    top.remove()
    bottom.remove()
    grid = figure.add_gridspec(2, 1, height_ratios=[3, 1])
    top = figure.add_subplot(grid[0])
    bottom = figure.add_subplot(grid[1], sharex=top)
    top.plot([0, 1], [0, 1], "--", color=house.COLOURS["black"], linewidth=0.8, label="perfect")
    # Binomial spread of a calibrated model: where the points would lie by chance alone.
    spread = 1.96 * np.sqrt(predicted * (1 - predicted) / count)
    style = look("model")
    top.errorbar(
        predicted, observed, yerr=spread, fmt=style.marker + "-", color=style.colour, capsize=2,
        linewidth=0.9, label=style.label,
    )  # fmt: skip
    top.set(ylabel="share that holds a plume", xlim=(-0.02, 1.02), ylim=(-0.04, 1.04))
    top.legend(loc="upper left")
    if error is not None:
        top.set_title(f"expected calibration error {error:.3f}")
    top.tick_params(labelbottom=False)
    bottom.bar(predicted, count, width=0.05, color=style.colour, alpha=0.6)
    bottom.set(xlabel="predicted probability", ylabel="tiles", yscale="log")
    return figure
