"""How much is lost at how many numbers, and for which records."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from earthsignals import figures as house
from earthsignals.results import MissingData
from earthsignals.seismic.figures.inputs import COMPONENTS, LOOKS, Arrays, range_db, take, text

CURVES = ("model", "pca", "patch_pca")
LINEAR = 1e-4
"""Excess up to which the axis is linear; beyond it is logarithmic."""
GROUPS = {
    "snr": "signal-to-noise ratio (dB)",
    "magnitude": "magnitude",
    "distance": "epicentral distance (km)",
}


def rate_distortion(arrays: Arrays) -> Figure:
    """MSE, its excess over the speckle floor, and MSE in the plain autoencoder's scaling, by size."""
    drawn = [name for name in CURVES if f"curve/{name}/sizes" in arrays]
    if not drawn:
        raise MissingData("the evaluation holds no rate-distortion curves")
    figure, (left, middle, right) = house.columns(3, row_height=2.9)
    floor = arrays.get("curve/floor", np.full(3, np.nan))
    for name in drawn:
        sizes, mse = take(arrays, f"curve/{name}/sizes", f"curve/{name}/mse")
        _curve(left, name, sizes, mse)
        _curve(middle, name, sizes, _excess(arrays, name, mse, floor))
    _levels(left, arrays, "curve", ("zero", "mean", "floor"))
    if "errors/mean_numbers" in arrays and "curve/means" in arrays:
        for axes, level in ((left, 0.0), (middle, floor[0])):
            _point(axes, "means", float(arrays["errors/mean_numbers"]), arrays["curve/means"] - level)
    left.set(ylabel="MSE of the image in [0, 1]", title="joint decibels")
    middle.set(ylabel="MSE − speckle floor", title="what is not speckle")
    # Linear around zero: patches of many numbers keep speckle as well and fall below its floor.
    middle.set_yscale("symlog", linthresh=LINEAR, linscale=0.7)
    middle.axhline(0, color=LOOKS["floor"].colour, ls=LOOKS["floor"].line, lw=1.0)
    decibels = range_db(arrays)
    if decibels:
        rms = left.secondary_yaxis(
            "right", functions=(lambda m: decibels * np.sqrt(np.maximum(m, 0)), lambda d: (d / decibels) ** 2)
        )
        rms.set_ylabel("RMS (dB)")
        rms.yaxis.set_major_locator(FixedLocator([4, 5, 6, 8, 10, 15, 20, 30, 40]))
        rms.yaxis.set_minor_locator(NullLocator())
        rms.yaxis.set_major_formatter("{x:g}")
    _component_scaling(right, arrays)
    for axes in (left, middle, right):
        axes.set_xscale("log", base=2)
        axes.set_xlabel("numbers per record")
        axes.xaxis.set_major_locator(FixedLocator([32, 128, 512, 2048, 16128]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlim(24, 22_000)
    _shared_legend(figure, (left, middle, right))
    return figure


def errors(arrays: Arrays) -> Figure:
    """MSE by signal-to-noise ratio, magnitude, distance, instrument kind and component at the middle size.

    With 95 % intervals over stations, the speckle floor of the same records, and how many records there are.
    """
    sizes = np.atleast_1d(take(arrays, "errors/sizes")[0])
    size = len(sizes) // 2
    figure, axes = house.columns(3, rows=2, row_height=2.3)
    flat = axes.ravel()
    drawn = 0
    for group, label in GROUPS.items():
        if f"groups/{group}/edges_db" in arrays or f"groups/{group}/edges" in arrays:
            _binned(flat[drawn], arrays, group, label, size)
            drawn += 1
    for group, label, names in (
        ("kind", "instrument", text(arrays["groups/kind/names"]) if "groups/kind/names" in arrays else []),
        ("component", "component", list(COMPONENTS)),
    ):
        if names and f"groups/{group}/model" in arrays:
            _named(flat[drawn], arrays, group, names, label, size)
            drawn += 1
    if not drawn:
        raise MissingData("the evaluation holds no groups of records")
    for ax in flat[:drawn]:
        ax.set_ylim(bottom=0)
    for first in range(0, drawn, 3):
        flat[first].set_ylabel(f"MSE through {sizes[size]} numbers")
    handles, labels = flat[0].get_legend_handles_labels()
    for ax in flat[drawn:]:
        ax.axis("off")
    if drawn < len(flat):
        flat[drawn].legend(handles, labels, loc="center", fontsize=8)
    else:
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def _excess(arrays: Arrays, name: str, mse: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """(k, 3), without an interval unless the evaluation tells one: an MSE and its floor vary together."""
    without = np.where(np.arange(3) == 0, mse - floor[0], np.nan)
    return arrays.get(f"curve/{name}/excess", without)


def _curve(axes: Axes, name: str, sizes: np.ndarray, mse: np.ndarray) -> None:
    look = LOOKS[name]
    axes.fill_between(sizes, mse[:, 1], mse[:, 2], color=look.colour, alpha=0.15, linewidth=0)
    order = 3 if name == "model" else 2
    axes.plot(
        sizes, mse[:, 0], look.line, marker=look.marker, color=look.colour, label=look.label, zorder=order
    )  # fmt: skip


def _point(axes: Axes, name: str, numbers: float, value: np.ndarray) -> None:
    look = LOOKS[name]
    axes.errorbar(
        numbers, value[0], yerr=[[max(value[0] - value[1], 0)], [max(value[2] - value[0], 0)]],
        fmt=look.marker, color=look.colour, label=look.label, capsize=2, elinewidth=0.8, markersize=4.5,
    )  # fmt: skip


def _levels(axes: Axes, arrays: Arrays, group: str, names: tuple[str, ...]) -> None:
    for name in names:
        if f"{group}/{name}" in arrays:
            look, value = LOOKS[name], np.atleast_1d(arrays[f"{group}/{name}"])
            axes.axhline(value[0], color=look.colour, ls=look.line, lw=1.0, label=look.label, zorder=1)
            if len(value) == 3:
                axes.axhspan(value[1], value[2], color=look.colour, alpha=0.1, linewidth=0, zorder=0)
    axes.set_yscale("log")


def _component_scaling(axes: Axes, arrays: Arrays) -> None:
    for name in ("pca", "patch_pca"):
        if f"curve_component/{name}/sizes" in arrays:
            _curve(axes, name, *take(arrays, f"curve_component/{name}/sizes", f"curve_component/{name}/mse"))
    _levels(axes, arrays, "curve_component", ("zero", "mean"))
    if "curve_component/seed" in arrays:
        numbers = float(arrays["curve_component/seed_numbers"])
        _point(axes, "seed", numbers, arrays["curve_component/seed"])
    axes.set(ylabel="MSE of the image in [0, 1]", title="per component, ln(1 + |Z|)")


def _shared_legend(figure: Figure, panels: tuple[Axes, ...]) -> None:
    seen = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            seen.setdefault(label, handle)
    figure.legend(seen.values(), seen.keys(), loc="outside lower center", ncols=min(len(seen), 4))


def _series(arrays: Arrays, group: str, size: int) -> list[tuple[str, np.ndarray]]:
    """Each method's (b, 3) value, low, high of this group at this size."""
    found = []
    for name in ("model", "pca", "patch_pca", "floor"):
        values = arrays.get(f"groups/{group}/{name}")
        if values is not None:
            values = values[size] if values.ndim == 3 else values
            if np.isfinite(values[:, 0]).any():
                found.append((name, values))
    return found


def _binned(axes: Axes, arrays: Arrays, group: str, label: str, size: int) -> None:
    """Bins side by side at equal width, since the outermost are wide; ticks are their edges."""
    edges = arrays.get(f"groups/{group}/edges_db", arrays.get(f"groups/{group}/edges"))
    bins = np.arange(len(edges) - 1)
    series = _series(arrays, group, size)
    for k, (name, values) in enumerate(series):
        _with_intervals(axes, name, bins + (k - (len(series) - 1) / 2) * 0.09, values, "-")
    axes.set_xticks(np.arange(len(edges)) - 0.5, [f"{edge:g}" for edge in edges])
    axes.set_xlim(-0.55, len(bins) - 0.45)
    axes.set_xlabel(label)
    if f"groups/{group}/count" in arrays:
        _tell_counts(axes, bins, np.asarray(arrays[f"groups/{group}/count"]))


def _named(axes: Axes, arrays: Arrays, group: str, names: list[str], label: str, size: int) -> None:
    series = _series(arrays, group, size)
    for k, (name, values) in enumerate(series):
        x = np.arange(len(names)) + (k - (len(series) - 1) / 2) * 0.14
        _with_intervals(axes, name, x, values, "")
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.grid(False, axis="x")
    axes.set_xlabel(label)
    if f"groups/{group}/count" in arrays:
        _tell_counts(axes, np.arange(len(names)), np.asarray(arrays[f"groups/{group}/count"]))


def _with_intervals(axes: Axes, name: str, x: np.ndarray, values: np.ndarray, line: str) -> None:
    look = LOOKS[name]
    spread = np.abs(values[:, 1:] - values[:, :1]).T
    marker = look.marker or "_"
    axes.errorbar(
        x, values[:, 0], yerr=spread, fmt=marker + (look.line if line else ""), color=look.colour,
        label=look.label, elinewidth=0.8, capsize=0, lw=0.9, markersize=8 if marker == "_" else 3.5,
    )  # fmt: skip


def _tell_counts(axes: Axes, x: np.ndarray, count: np.ndarray) -> None:
    for place, number in zip(x, count, strict=True):
        axes.text(
            place, 0.015, f"{int(number)}", fontsize=5.5, color="0.4", ha="center", va="bottom",
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip
