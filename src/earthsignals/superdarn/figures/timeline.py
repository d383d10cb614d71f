"""Axes of radars by hours: what each radar gave, hour by hour, on UTC."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.image import AxesImage

COLOURS = "cividis"
MOST = 400
"""Columns: more are thinner than print shows."""
STRETCHES = {1: "hour", 3: "3 hours", 6: "6 hours", 24: "day", 168: "week", 720: "30 days", 8760: "365 days"}


def show_hours(
    axes: Axes, count: np.ndarray, first_s: float, names: Sequence[str]
) -> tuple[AxesImage, str]:
    """Counts (K, H) of K radars in the hours from `first_s` (seconds since 1970 UTC); none stays white.

    Many hours are added up to days, weeks and so on. Returns the image, and the stretch's name.
    """
    hours = count.shape[1]
    stretch = next((s for s in STRETCHES if hours <= MOST * s), max(STRETCHES))
    columns = -(-hours // stretch)
    count = np.pad(count, ((0, 0), (0, columns * stretch - hours)))
    shown = np.ma.masked_equal(count.reshape(len(names), columns, stretch).sum(2).astype(float), 0)
    top = max(float(shown.max()) if shown.count() else 1.0, 2.0)
    drawn = axes.imshow(
        shown, aspect="auto", interpolation="none", cmap=COLOURS, norm=LogNorm(1, top),
        extent=(0, columns * stretch, len(names) - 0.5, -0.5),
    )  # fmt: skip
    axes.set_yticks(range(len(names)), names, fontsize=5.5)
    axes.set_ylabel("radar")
    axes.tick_params(axis="y", length=0)
    axes.grid(False)
    axes.set_xlim(0, hours)
    _clock(axes, first_s, hours)
    return drawn, STRETCHES[stretch]


def _clock(axes: Axes, first_s: float, hours: int) -> None:
    """Ticks at hours of a short time, at midnights or in months of a long one; the axis counts hours."""
    start = dt.datetime.fromtimestamp(first_s, dt.UTC)
    long = hours > 48
    step = 24 * max(1, -(-hours // 24 // 7)) if long else max(1, -(-hours // 8))
    ticks = np.arange(-start.hour % 24 if long else 0, hours + 1, step)
    moments = [start + dt.timedelta(hours=int(tick)) for tick in ticks]
    form, label = "%H:%M", f"{start:%Y-%m-%d}, UT"
    if long:
        form, label = ("%m-%d", f"midnights of {start:%Y}, UT") if hours < 300 * 24 else ("%Y-%m", "UT")
    axes.set_xticks(ticks, [moment.strftime(form) for moment in moments])
    axes.set_xlabel(label)
