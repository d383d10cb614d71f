"""The model beside its peers and baselines, measure by measure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.clouds.figures.inputs import Inputs
from earthsignals.results import MissingData

MEASURES = {
    "probe": "accuracy of a linear probe",
    "map": "retrieval: mAP",
    "purity": "purity of clusters",
    "nmi": "NMI of clusters",
    "triplet_accuracy": "triplet accuracy",
    "same_class_triplet_accuracy": "triplets within a regime",
    "r2_log_scale": "R² of log scale",
    "r2_log_anisotropy": "R² of log anisotropy",
    "r2_clustering": "R² of clustering",
    "r2_cloud_fraction": "R² of cloud fraction",
}
"""Keys of a row of metrics.json that are drawn where any row has them."""
NAMES = {
    "model": "model", "statistics": "mean, std, fraction", "spectrum": "radial spectrum",
    "organisation": "organisation metrics", "classical": "all classical", "pca": "PCA of pixels",
    "pca_spectrum": "PCA of spectra", "random_network": "random network",
}  # fmt: skip


def methods(inputs: Inputs) -> Figure:
    """Every row of metrics.json with its 95 % interval over study scenes; the model in blue."""
    rows = inputs.metrics.get("rows")
    if not rows:
        raise MissingData("metrics.json holds no rows of methods")
    measures = [name for name in MEASURES if any(_value(row, name) is not None for row in rows.values())]
    if not measures:
        raise MissingData("no row of metrics.json holds a measure that is drawn")
    down = -(-len(measures) // 5)
    across = -(-len(measures) // down)
    order = ["model", *(name for name in rows if name != "model")]
    order = [name for name in order if name in rows]
    figure, panels = house.columns(max(across, 2), rows=down, row_height=0.75 + 0.17 * len(order))
    panels = np.atleast_2d(panels)
    for place, axes in enumerate(panels.flat):
        if place >= len(measures):
            axes.axis("off")
            continue
        _measure(axes, rows, order, measures[place])
        if place % panels.shape[1]:
            axes.tick_params(labelleft=False)
    return figure


def _measure(axes: Axes, rows: Mapping[str, Mapping[str, Any]], order: list[str], name: str) -> None:
    for place, method in enumerate(order):
        value = _value(rows[method], name)
        if value is None:
            continue
        colour = house.COLOURS["blue"] if method == "model" else house.COLOURS["black"]
        low, high = (_value(rows[method], f"{name}_{end}") for end in ("low", "high"))
        if low is not None and high is not None:
            axes.plot([low, high], [place, place], color=colour, lw=1.0)
        axes.plot(value, place, "o" if method == "model" else "s", color=colour)
        said = f"{round(value, 2) + 0.0:.2f}".replace("-", "−")  # no negative zero
        axes.annotate(
            said, (value, place), (0, 3), textcoords="offset points", ha="center", fontsize=5.5, color=colour,
        )  # fmt: skip
    axes.set_yticks(range(len(order)), [name_of(method) for method in order])
    axes.set_ylim(len(order) - 0.5, -0.8)
    axes.set_xlabel(MEASURES[name], fontsize=7)
    axes.margins(x=0.12)
    axes.locator_params(axis="x", nbins=4)


def name_of(row: str) -> str:
    """What a row of metrics.json is called in figures."""
    return NAMES.get(row, row.replace("_", " "))


def _value(row: Mapping[str, Any], name: str) -> float | None:
    value = row.get(name)
    return float(value) if isinstance(value, (int, float)) and np.isfinite(value) else None
