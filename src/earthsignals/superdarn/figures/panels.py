"""Parts that several figures share: a dial with what was seen, with a forecast, or with their difference."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.superdarn.figures.dial import (
    ARROW_DEG,
    Speeds,
    arrows,
    averaged,
    dial,
    evenly,
    place,
    show_cells,
    strokes,
)
from earthsignals.superdarn.figures.equipotentials import potential_kv
from earthsignals.superdarn.figures.inputs import Example

DPI = 128
STEP_KV = 6.0
"""From an equipotential to the next."""
DIFFERENCES = "coolwarm"
"""Grey in the middle: a dot without error is seen on the white dial without an edge around it."""


def dials(across: int, down: int = 1, *, height: float = 2.55) -> tuple[Figure, np.ndarray]:
    """A page of dials: the figure and its axes (down, across)."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    # Hundreds of little arrows make a PNG large; the style that this is drawn in ends with the figure.
    mpl.rcParams["savefig.dpi"] = DPI
    return plt.subplots(
        down, across, figsize=(house.PAGE_WIDTH, 0.35 + height * down), squeeze=False, layout="compressed"
    )


def show_seen(axes: Axes, example: Example, lead: int, speeds: Speeds, rim: float) -> None:
    """Line-of-sight vectors of the frame `lead` minutes after the issue."""
    dial(axes, rim)
    seen = example.seen.get(lead)
    if seen is None or not len(seen):
        axes.text(0, 0, "nothing seen", ha="center", va="center", fontsize=7)
        return
    strokes(axes, seen.mlat, example.mlt(seen.mlon, lead), seen.kvect, seen.velocity, speeds)
    _count(axes, f"{len(seen):,} vectors")


def show_drift(
    axes: Axes, example: Example, drift: np.ndarray, lead: int, speeds: Speeds, rim: float, *,
    equipotentials: bool = True, spacing: float = 4.2,
) -> None:  # fmt: skip
    """A drift (2, R, C) as arrows, means of the cells around them, on equipotentials.

    Local times are those of `lead` minutes after the issue.
    """
    dial(axes, rim)
    mlt = example.mlt(example.mlon, lead)
    if example.regular and equipotentials:
        _equipotentials(axes, example.mlat, mlt, drift)
    chosen = evenly(example.mlat, example.mlon, spacing)
    mean = averaged(example.mlat.ravel(), mlt.ravel(), drift.reshape(2, -1), chosen)
    arrows(axes, example.mlat.ravel()[chosen], mlt.ravel()[chosen], mean, speeds)


def show_error(axes: Axes, example: Example, lead: int, norm: Normalize, rim: float) -> None:
    """Forecast minus observed speed along the line of sight, a dot at each vector that was seen."""
    dial(axes, rim)
    seen = example.seen.get(lead)
    if seen is None or not len(seen):
        return
    error = example.predicted(lead) - seen.velocity
    x, y = place(seen.mlat, example.mlt(seen.mlon, lead))
    order = np.argsort(np.abs(error), kind="stable")  # the largest on top
    axes.scatter(
        x[order], y[order], s=6, c=error[order], cmap=DIFFERENCES, norm=norm, linewidths=0, zorder=3
    )
    _count(axes, f"RMSE {np.sqrt(np.mean(error**2)):.0f} m/s")


def show_difference(
    axes: Axes, example: Example, lead: int, values: np.ndarray, norm: Normalize, rim: float
) -> None:
    """Values (R, C) of cells on a scale around zero."""
    dial(axes, rim)
    show_cells(
        axes, example.mlat, example.mlt(example.mlon, lead), values, DIFFERENCES, norm,
        regular=example.regular,
    )  # fmt: skip


def speed_bar(figure: Figure, panels: object, speeds: Speeds, cax: Axes | None = None) -> None:
    """The scale of speeds, below the panels or in axes of its own."""
    _bar(figure, panels, speeds.norm, speeds.colours, "drift (m/s)", "max", cax)


def error_bar(figure: Figure, panels: object, norm: Normalize, label: str) -> None:
    """The scale of differences, below the panels."""
    _bar(figure, panels, norm, DIFFERENCES, label, "both")


def _bar(
    figure: Figure, panels: object, norm: Normalize, colours: Colormap | str, label: str, ends: str,
    cax: Axes | None = None,
) -> None:  # fmt: skip
    place = {"shrink": 0.6, "aspect": 28, "pad": 0.02, "ax": panels, "location": "bottom"}
    if cax is not None:
        place = {"cax": cax, "orientation": "horizontal"}
    bar = figure.colorbar(ScalarMappable(norm, colours), extend=ends, **place)
    bar.set_label(label)
    bar.outline.set_linewidth(0.4)
    bar.ax.tick_params(width=0.4, length=2)


def scale_arrow(axes: Axes, rim: float, speed: float = 500.0) -> None:
    """A line as long as a drift of `speed` m/s, at the lower left of a dial."""
    edge, length = 90 - rim, speed * ARROW_DEG / 1000
    axes.plot([-edge, -edge + length], [-0.97 * edge] * 2, color="0.2", lw=1.0, clip_on=False)
    axes.text(
        -edge, -0.94 * edge, f"{speed:.0f} m/s", fontsize=5.5, color="0.2", ha="left", va="bottom",
        clip_on=False,
    )  # fmt: skip


def symmetric(values: np.ndarray, share: float = 97.0) -> Normalize:
    """A scale around zero up to a percentile of |values|, rounded up to whole fifties."""
    known = np.abs(values[np.isfinite(values)])
    top = max(50 * np.ceil((np.percentile(known, share) if len(known) else 0.0) / 50), 50.0)
    return Normalize(-top, top)


def _count(axes: Axes, text: str) -> None:
    axes.text(
        1.0, 0.0, text, transform=axes.transAxes, ha="right", va="bottom", fontsize=5.5, color="0.25"
    )


def _equipotentials(axes: Axes, mlat: np.ndarray, mlt: np.ndarray, drift: np.ndarray) -> None:
    """Lines of equal potential, STEP_KV apart; positive ones whole, negative ones dashed."""
    found = potential_kv(mlat[:, 0], drift)
    # Around the pole: the first column once more at the end, so that lines close.
    latitude, hours, found = (np.concatenate([a, a[:, :1]], 1) for a in (mlat, mlt, found))
    x, y = place(latitude, hours)
    top = np.nanmax(np.abs(found), initial=0)
    levels = STEP_KV * np.arange(0.5, top / STEP_KV)
    if not len(levels):
        return
    for sign, style in ((1, "solid"), (-1, "dashed")):
        axes.contour(
            x, y, np.ma.masked_invalid(sign * found), levels=levels, colors="0.62", linewidths=0.5,
            linestyles=style, zorder=1,
        )  # fmt: skip


def symmetric_to(values: np.ndarray) -> Normalize:
    """A scale around zero that holds every finite value, rounded up to tenths."""
    top = np.max(np.abs(values[np.isfinite(values)]), initial=0.0)
    return Normalize(-(top := max(np.ceil(10 * top) / 10, 0.1)), top)
