"""What radars saw: the share of frames in which each cell was seen, and each radar's vectors over time."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.superdarn.figures.dial import RIM, dial, show_cells
from earthsignals.superdarn.figures.inputs import Inputs, take
from earthsignals.superdarn.figures.reading import cells

COLOURS = "cividis"


def coverage(inputs: Inputs) -> Figure:
    """Left: share of frames in which a cell was seen, by magnetic longitude (0 at the bottom); right: vectors
    of each radar hour by hour, none where it is white."""
    import matplotlib.pyplot as plt

    share, mlat, mlon, stid, count = take(
        inputs.arrays, "coverage/share", "coverage/mlat", "coverage/mlon", "radars/stid", "radars/count"
    )
    figure = plt.figure(figsize=(house.PAGE_WIDTH, max(2.9, 0.9 + 0.11 * len(stid))))
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    _share(figure, left, share, mlat, mlon)
    _radars(figure, right, count, [inputs.codes.get(int(s), str(int(s))) for s in stid])
    return figure


def _share(figure: Figure, axes: object, share: np.ndarray, mlat: np.ndarray, mlon: np.ndarray) -> None:
    mlat, mlon, regular = cells(mlat, mlon, *share.shape)
    percent = np.where(share > 0, 100 * share, np.nan)
    dial(axes, max(RIM, 5 * np.floor(float(np.nanmin(np.abs(mlat))) / 5)), hours=False)
    top = np.nanpercentile(percent, 99) if np.isfinite(percent).any() else 1.0
    drawn = show_cells(
        axes, mlat, mlon / 15, percent, COLOURS, Normalize(0, max(top, 1e-3)), regular=regular
    )
    edge = axes.get_ylim()[1] / 1.02
    for longitude in range(0, 360, 90):  # the angle of local time, with 24 hours for 360 degrees
        turn = np.deg2rad(longitude - 90)
        axes.text(
            1.11 * edge * np.cos(turn), 1.09 * edge * np.sin(turn), f"{longitude}°", fontsize=6, color="0.25",
            ha="center", va="center", clip_on=False,
        )  # fmt: skip
    bar = figure.colorbar(drawn, ax=axes, location="bottom", shrink=0.75, aspect=24, pad=0.06, extend="max")
    bar.set_label(f"frames in which a cell was seen (%); mean {100 * np.nanmean(share):.1f} %")


def _radars(figure: Figure, axes: object, count: np.ndarray, names: list[str]) -> None:
    shown = np.ma.masked_less_equal(np.asarray(count, float), 0)
    hours = count.shape[1]
    top = max(float(shown.max()) if shown.count() else 1.0, 2.0)
    drawn = axes.imshow(
        shown, aspect="auto", interpolation="none", cmap=COLOURS, norm=LogNorm(1, top),
        extent=(0, hours, len(names) - 0.5, -0.5),
    )  # fmt: skip
    axes.set_yticks(range(len(names)), names, fontsize=5.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(False)
    days = hours > 48
    step = 24 * max(1, round(hours / 24 / 8)) if days else 6
    ticks = np.arange(0, hours + 1, step)
    axes.set_xticks(ticks, [f"{tick // 24 if days else tick}" for tick in ticks])
    axes.set_xlabel("days since the first frame" if days else "hours since the first frame")
    figure.colorbar(drawn, ax=axes, pad=0.02, aspect=28).set_label("vectors per hour")
