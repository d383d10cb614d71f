"""What radars saw: the share of frames in which each cell was seen, and each radar's vectors over time."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure

from earthsignals import figures as house
from earthsignals.superdarn.figures.dial import dial, rim_of, show_cells
from earthsignals.superdarn.figures.inputs import Inputs, take
from earthsignals.superdarn.figures.reading import cells, over_cells
from earthsignals.superdarn.figures.timeline import COLOURS, show_hours


def coverage(inputs: Inputs) -> Figure:
    """Left: share of frames in which a cell was seen, by magnetic longitude (0 at the bottom); right: vectors
    of each radar hour by hour, none where it is white."""
    import matplotlib.pyplot as plt

    share, mlat, mlon, stid, count = take(
        inputs.arrays, "coverage/share", "coverage/mlat", "coverage/mlon", "radars/stid", "radars/count"
    )
    figure = plt.figure(figsize=(house.PAGE_WIDTH, max(2.9, 0.9 + 0.11 * len(stid))))
    # Parts that lay themselves out: the scale below the dial takes no room from the radars.
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.3))
    _share(left, share, mlat, mlon)
    axes = right.subplots()
    names = [inputs.codes.get(int(s), str(int(s))) for s in stid]
    drawn, stretch = show_hours(axes, count, float(inputs.arrays.get("radars/first_s", 0)), names)
    right.colorbar(drawn, ax=axes, pad=0.02, aspect=28).set_label(f"vectors per {stretch}")
    return figure


def _share(figure: SubFigure, share: np.ndarray, mlat: np.ndarray, mlon: np.ndarray) -> None:
    axes = figure.subplots()
    mlat, mlon, regular = cells(mlat, mlon, *share.shape)
    spread = over_cells(mlat, mlon, share)
    percent = np.where(spread > 0, 100 * spread, np.nan)
    known = np.isfinite(spread)
    # Of the area: raster cells shrink towards the pole, cells of grid files do not.
    mean = np.average(100 * spread[known], weights=np.cos(np.deg2rad(mlat[known])))
    dial(axes, rim_of(mlat), hours=False, night=False)
    top = np.nanpercentile(percent, 99) if np.isfinite(percent).any() else 1.0
    norm = Normalize(0, max(top, 1e-3))
    drawn = show_cells(axes, mlat, mlon / 15, percent, COLOURS, norm, regular=regular)
    edge = axes.get_ylim()[1] / 1.02
    for longitude in range(0, 360, 90):  # the angle of local time, with 24 hours for 360 degrees
        turn = np.deg2rad(longitude - 90)
        axes.text(
            1.11 * edge * np.cos(turn), 1.09 * edge * np.sin(turn), f"{longitude}°", fontsize=6, color="0.25",
            ha="center", va="center", clip_on=False,
        )  # fmt: skip
    bar = figure.colorbar(drawn, ax=axes, location="bottom", shrink=0.75, aspect=24, pad=0.06, extend="max")
    bar.set_label(f"frames in which a cell was seen (%); mean {mean:.1f} %")
    bar.outline.set_linewidth(0.4)
