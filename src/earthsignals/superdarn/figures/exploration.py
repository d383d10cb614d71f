"""What a folder of records holds, as a picture: each radar hour by hour, its gaps, and files by kind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.results import MissingData
from earthsignals.superdarn.figures.timeline import show_hours

if TYPE_CHECKING:
    from earthsignals.superdarn.records.explore import Exploration


FEWEST = 6
"""Kinds that there is room for: bars of fewer are no wider."""


def write_exploration(found: Exploration, stem: Path) -> tuple[Path, Path]:
    """Write `stem`.png and .pdf. Raises MissingData where the folder holds no record with a time."""
    with house.style():
        return house.save(exploration(found), stem)


def exploration(found: Exploration) -> Figure:
    """Left: records of each radar per hour, white where there is none, and gaps as lines. Right: files of
    each kind, those with a fault apart."""
    import matplotlib.pyplot as plt

    if not found.count.size:
        raise MissingData(
            f"{found.folder}: no file holds a record of a radar with a time, so there is nothing to draw"
        )
    height = min(max(2.3, 0.9 + 0.12 * len(found.stid)), 9.5)
    figure = plt.figure(figsize=(house.PAGE_WIDTH, height))
    left, right = figure.subplots(1, 2, width_ratios=(3.2, 1))
    names = _codes(found.stid)
    drawn, stretch = show_hours(left, found.count, float(found.hours_s[0]), names)
    row = {int(stid): number for number, stid in enumerate(found.stid)}
    for gap in found.gaps:
        ends = [(second - found.hours_s[0]) / 3600 for second in (gap.start_s, gap.end_s)]
        left.plot(ends, [row[gap.stid]] * 2, color=house.COLOURS["vermillion"], lw=1.1, solid_capstyle="butt")
    told = f"{len(found.gaps):,} gaps of more than 10 minutes" if found.gaps else "no gap of 10 minutes"
    left.set_title(told, fontsize=7)
    figure.colorbar(drawn, ax=left, pad=0.02, aspect=28).set_label(f"records per {stretch}")
    _files(right, found)
    return figure


def _files(axes: Axes, found: Exploration) -> None:
    kinds = list(found.kinds())
    whole, faulty = (
        np.array([sum(f.kind == kind and bool(f.faults) == fault for f in found.files) for kind in kinds])
        for fault in (False, True)
    )
    places = np.arange(len(kinds))
    axes.barh(places, whole, 0.6, color=house.COLOURS["blue"], label="whole")
    if faulty.any():
        axes.barh(places, faulty, 0.6, whole, color=house.COLOURS["vermillion"], label="with faults")
        axes.legend(loc="lower right")
    for place, count in zip(places, whole + faulty, strict=True):
        axes.annotate(
            f"{count:,}", (count, place), (2, 0), textcoords="offset points", va="center", fontsize=6
        )
    axes.set_yticks(places, kinds)
    axes.set_ylim(max(len(kinds), FEWEST) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.15)
    axes.locator_params(axis="x", nbins=4, integer=True)
    axes.set_xlabel("files")


def _codes(stid: np.ndarray) -> list[str]:
    """Three letters of each radar; the number of one that the table of stations does not hold."""
    from earthsignals.superdarn.stations import STATIONS

    codes = {station.stid: station.code for station in STATIONS}
    return [codes.get(int(one), str(int(one))) for one in stid]
