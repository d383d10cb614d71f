"""Telling earthquakes from noise, and faulty records from whole ones."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from earthsignals import figures as house
from earthsignals.results import MissingData
from earthsignals.seismic.figures.inputs import Arrays, Look, take, text

SCORES = {
    "latent": Look("probe on the latent", house.COLOURS["blue"], "o"),
    "sta_lta": Look("maximum STA/LTA", house.COLOURS["vermillion"], "s", "--"),
    "reconstruction_error": Look("reconstruction error", house.COLOURS["green"], "^", ":"),
}
LEAST_RATE = 0.005
"""False positive rate from which the curves are shown, the step of their grid."""
ANOMALIES = {
    "mahalanobis": Look("Mahalanobis", house.COLOURS["blue"], "o"),
    "knn": Look("nearest neighbours", house.COLOURS["vermillion"], "s"),
    "reconstruction_error": Look("reconstruction error", house.COLOURS["green"], "^"),
}


def detection(arrays: Arrays) -> Figure:
    """ROC curves of events against noise records, and the AUC of anomaly scores for each injected fault."""
    figure, (left, right) = house.columns(2, row_height=3.2)
    drawn = [name for name in SCORES if f"detection/roc/{name}" in arrays]
    if not drawn and "anomaly/faults" not in arrays:
        raise MissingData("the evaluation holds neither detections nor anomalies (it takes noise records)")
    if drawn:
        _roc(left, arrays, drawn)
    else:
        left.axis("off")
    if "anomaly/faults" in arrays:
        _faults(right, arrays)
    else:
        right.axis("off")
    return figure


def _roc(axes: Axes, arrays: Arrays, names: list[str]) -> None:
    """On a logarithm of the false positive rate, for what a network watches is noise nearly always."""
    for name in names:
        look, (false, true) = SCORES[name], arrays[f"detection/roc/{name}"]
        label = look.label
        if f"detection/auc/{name}" in arrays:
            auc = arrays[f"detection/auc/{name}"]
            label += f": AUC {auc[0]:.3f} ({auc[1]:.3f} to {auc[2]:.3f})"
        axes.plot(false, true, look.line, color=look.colour, label=label)
    chance = np.geomspace(LEAST_RATE, 1, 50)
    axes.plot(chance, chance, color="0.7", lw=0.7, zorder=0)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xscale="log")
    axes.set(xlim=(LEAST_RATE, 1), ylim=(0, 1.01))
    axes.xaxis.set_major_locator(FixedLocator([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_title("earthquakes against noise records")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16))


def _faults(axes: Axes, arrays: Arrays) -> None:
    (faults,) = take(arrays, "anomaly/faults")
    names = [name.replace("_", " ") for name in text(faults)]
    values = {name: arrays[f"anomaly/{name}"] for name in ANOMALIES if f"anomaly/{name}" in arrays}
    noise = {name: arrays[f"anomaly/noise_{name}"] for name in ANOMALIES if f"anomaly/noise_{name}" in arrays}
    if noise:
        names.append("noise record")
        values = {
            name: np.vstack([rows, noise.get(name, np.full(3, np.nan))[None]])
            for name, rows in values.items()
        }
    order = np.argsort(np.nanmax(np.stack([rows[:, 0] for rows in values.values()]), axis=0))
    height = np.arange(len(names))
    for k, (name, rows) in enumerate(values.items()):
        look, rows = ANOMALIES[name], rows[order]
        spread = np.abs(rows[:, 1:] - rows[:, :1]).T
        axes.errorbar(
            rows[:, 0], height + (1 - k) * 0.2, xerr=spread, fmt=look.marker, color=look.colour,
            elinewidth=0.8, label=look.label,
        )  # fmt: skip
    axes.axvline(0.5, color="0.6", lw=0.7, zorder=0)
    axes.set_yticks(height, [names[i] for i in order])
    low = np.nanmin([rows[:, 1].min() for rows in values.values()])
    axes.set(xlabel="AUC against whole earthquakes", xlim=(min(0.38, low - 0.02), 1.01))
    axes.grid(False, axis="y")
    axes.set_title("anomalies")
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.4, -0.16), ncols=3, columnspacing=1.0, handletextpad=0.2
    )


def floor(arrays: Arrays) -> Figure:
    """The speckle floor of single records, from pairs with other phases and from surrogates of one."""
    pairs, surrogates = take(arrays, "floor/pair_mse", "floor/pair_surrogate")
    kept = np.isfinite(pairs) & np.isfinite(surrogates)
    figure, axes = house.columns(1, row_height=3.1)
    snr = np.asarray(arrays.get("floor/pair_snr_db", np.full(len(pairs), np.nan)), float)
    lowest, highest = np.min([pairs[kept], surrogates[kept]]), np.max([pairs[kept], surrogates[kept]])
    margin = 0.06 * (highest - lowest) or 1e-4
    limits = (lowest - margin, highest + margin)
    points = axes.scatter(
        pairs[kept], surrogates[kept], s=9, c=snr[kept] if np.isfinite(snr).any() else None, cmap="cividis",
        linewidths=0,
    )  # fmt: skip
    axes.plot(limits, limits, color="0.5", lw=0.8)
    axes.set(
        xlim=limits, ylim=limits, xlabel="half the MSE of a pair that shares all but its phases",
        ylabel="half the MSE of two surrogates of one record", aspect="equal",
    )  # fmt: skip
    ratio = float(surrogates[kept].mean() / pairs[kept].mean())
    # `+ 0.0` makes a zero of a negative zero.
    percent = round(100 * (ratio - 1), 1) + 0.0
    axes.set_title(f"mean {pairs[kept].mean():.5f}; surrogates {percent:+.1f} %".replace("-", "−"))
    if np.isfinite(snr).any():
        figure.colorbar(points, ax=axes, label="signal-to-noise ratio (dB)", shrink=0.85)
    return figure
