"""Where the embedding is right and wrong: confusion, known quantities, movement, brightness and rotation."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.clouds.figures.inputs import Inputs, named, take
from earthsignals.clouds.figures.methods import name_of
from earthsignals.results import MissingData

TARGETS = {
    "scale_km": "scale (km)", "log_scale": "log scale", "anisotropy": "anisotropy",
    "log_anisotropy": "log anisotropy", "clustering": "clustering", "cloud_fraction": "cloud fraction",
}  # fmt: skip

CHANGES = {
    "shift": "shift (km)", "rotation": "rotation (°)", "brightness": "brightness, shift",
    "contrast": "contrast, factor",
}  # fmt: skip
BESIDE = {
    "classical": house.COLOURS["vermillion"], "pca_spectrum": house.COLOURS["green"],
    "random_network": house.COLOURS["orange"],
}
"""Rows that are drawn beside the model, as thin lines."""


def confusion(inputs: Inputs) -> Figure:
    """What the linear probe takes each regime for, shares of the true regime's study tiles."""
    (counts,) = take(inputs.arrays, "confusion")
    counts = np.asarray(counts, float)
    names = _names(inputs, len(counts))
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure, axes = house.columns(1, row_height=3.4)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row in range(len(share)):
        for column in range(len(share)):
            if counts[row, column]:
                axes.text(
                    column, row, f"{share[row, column]:.2f}", ha="center", va="center", fontsize=6.5,
                    color="white" if share[row, column] > 0.5 else "black",
                )  # fmt: skip
    ticks = range(len(share))
    axes.set_xticks(ticks, names, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, [f"{n} ({int(c)})" for n, c in zip(names, counts.sum(1), strict=True)])
    axes.set(xlabel="regime by the probe", ylabel="true regime (study tiles)")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return figure


def regression(inputs: Inputs) -> Figure:
    """Known quantities of the study tiles against what a ridge regression reads from the embedding."""
    targets = [
        name.split("/")[1] for name in inputs.arrays
        if name.startswith("regression/") and name.endswith("/true")
    ]  # fmt: skip
    if not targets:
        raise MissingData("the evaluation holds no regressions: the truth of these scenes is not known")
    targets.sort(key=lambda name: list(TARGETS).index(name) if name in TARGETS else len(TARGETS))
    figure, panels = house.columns(max(len(targets), 2), row_height=2.3)
    for axes, name in zip(panels, targets, strict=False):
        true, predicted = take(inputs.arrays, f"regression/{name}/true", f"regression/{name}/predicted")
        _against(axes, np.asarray(true, float), np.asarray(predicted, float), TARGETS.get(name, name))
    panels[0].set_ylabel("from the embedding")
    for axes in panels[len(targets) :]:
        axes.axis("off")
    return figure


def invariance(inputs: Inputs) -> Figure:
    """How far the embedding moves when a tile is shifted, turned, brightened or given contrast.

    In units of the mean distance of tiles from different scenes: 0 is not at all, 1 as far as another scene.
    The model with its 95 % interval over study scenes, some baselines as thin lines.
    """
    drawn = [kind for kind in CHANGES if _finite(inputs, f"{kind}/distance")]
    if not drawn:
        raise MissingData("the evaluation holds no distances after a shift, a rotation or a change of light")
    figure, panels = house.columns(max(len(drawn), 2), row_height=2.5)
    for axes, kind in zip(panels, drawn, strict=False):
        x = _abscissa(inputs, kind, len(inputs.arrays[f"{kind}/distance"]))
        _curves(axes, inputs, x, f"{kind}/distance")
        axes.axhline(1, color="0.6", lw=0.7, zorder=0)
        axes.set(xlabel=CHANGES[kind], ylim=(0, None))
        if kind == "shift" and min(x) > 0:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter("")
    panels[0].set_ylabel("distance over that of other scenes")
    for axes in panels[len(drawn) :]:
        axes.axis("off")
    _legend(figure, panels[0])
    return figure


def retrieval(inputs: Inputs) -> Figure:
    """Share of the same regime among the k nearest tiles of other scenes, the model and some baselines."""
    name = "retrieval/precision_at_k"
    (precision,) = take(inputs.arrays, name)
    if not _finite(inputs, name):
        raise MissingData("no two study scenes share a regime")
    k = np.asarray(inputs.arrays.get("retrieval/k", np.arange(1, len(precision) + 1)), float)
    figure, axes = house.columns(1, row_height=2.7)
    _curves(axes, inputs, k, name, marker="")
    axes.set(xlabel="nearest tiles looked at, k", ylabel="share of the same regime", ylim=(0, 1))
    _legend(figure, axes)
    return figure


def _curves(axes: Axes, inputs: Inputs, x: np.ndarray, name: str, marker: str = "o") -> None:
    """The model's curve with its interval, and those of BESIDE that are there."""
    blue = house.COLOURS["blue"]
    values = np.asarray(inputs.arrays[name], float)
    values = values[:, None] if values.ndim == 1 else values
    if values.shape[1] == 3:
        axes.fill_between(x, values[:, 1], values[:, 2], color=blue, alpha=0.15, linewidth=0)
    axes.plot(x, values[:, 0], "-", marker=marker, color=blue, label="model", zorder=3)
    for row, colour in BESIDE.items():
        if _finite(inputs, f"rows/{row}/{name}"):
            other = np.asarray(inputs.arrays[f"rows/{row}/{name}"], float)
            other = other[:, 0] if other.ndim == 2 else other
            axes.plot(x, other, color=colour, lw=0.9, label=name_of(row))


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if len(labels) > 1:
        # Four names are wider than a column.
        across = 4 if figure.get_figwidth() > house.COLUMN_WIDTH else 2
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), across))


def _finite(inputs: Inputs, name: str) -> bool:
    return name in inputs.arrays and bool(np.isfinite(np.asarray(inputs.arrays[name], float)).any())


def _names(inputs: Inputs, count: int) -> list[str]:
    names = inputs.metrics.get("regimes") or inputs.regimes
    return [named(name) for name in names] if len(names) == count else [str(k + 1) for k in range(count)]


def _against(axes: Axes, true: np.ndarray, predicted: np.ndarray, label: str) -> None:
    low, high = min(true.min(), predicted.min()), max(true.max(), predicted.max())
    axes.plot([low, high], [low, high], color="0.6", lw=0.7, zorder=0)
    axes.scatter(true, predicted, s=3, color=house.COLOURS["blue"], alpha=0.35, linewidths=0, rasterized=True)
    unexplained = ((true - predicted) ** 2).sum() / max(((true - true.mean()) ** 2).sum(), 1e-12)
    axes.set_title(f"R² = {round(1 - unexplained, 2) + 0.0:.2f}", fontsize=7)
    axes.set_xlabel(f"{label}, true")


def _abscissa(inputs: Inputs, kind: str, count: int) -> np.ndarray:
    """The values at which a distance was measured: the group's other array of that length."""
    for name, values in inputs.arrays.items():
        if name.startswith(f"{kind}/") and name != f"{kind}/distance" and np.shape(values) == (count,):
            return np.asarray(values, float)
    return np.arange(count, dtype=float)
