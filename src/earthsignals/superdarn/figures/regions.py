"""Where and when of the day forecasts are better than damped persistence."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from earthsignals import figures as house
from earthsignals.superdarn.figures.dial import dial, place
from earthsignals.superdarn.figures.inputs import Inputs, take
from earthsignals.superdarn.figures.panels import DIFFERENCES, error_bar

LEADS = (10, 30, 60)
SHADES = ("sky", "blue", "black")
FEWEST = 30
"""Vectors below which a region of the dial stays empty."""


def regions(inputs: Inputs) -> Figure:
    """Skill over damped persistence by latitude, by local time, and by both 30 minutes ahead."""
    import matplotlib.pyplot as plt

    latitudes, by_latitude, hours, by_hour = take(
        inputs.arrays, "by_mlat/edges", "by_mlat/skill", "by_mlt/edges", "by_mlt/skill"
    )
    figure = plt.figure(figsize=(house.PAGE_WIDTH, 2.9))
    # Parts that lay themselves out: a scale below the dial takes no room from the curves.
    curves, whole = figure.subfigures(1, 2, width_ratios=(2.1, 1))
    left, middle = curves.subplots(1, 2)
    _curves(left, inputs, np.abs(latitudes), by_latitude)
    left.set(xlabel="magnetic latitude (°)", ylabel="skill over damped persistence")
    left.legend(loc="best", frameon=True, framealpha=0.85, edgecolor="none")
    _curves(middle, inputs, hours, by_hour)
    middle.set(xlabel="magnetic local time (h)", xlim=(0, 24), xticks=range(0, 25, 6))
    shared = [axes.get_ylim() for axes in (left, middle)]
    for axes in (left, middle):
        axes.set_ylim(min(low for low, _ in shared), max(high for _, high in shared))
    _dial(whole, inputs, latitudes, hours)
    return figure


def _curves(axes: Axes, inputs: Inputs, edges: np.ndarray, values: np.ndarray) -> None:
    """Steps between the edges, for three leads."""
    drawn = list(dict.fromkeys(inputs.lead(lead) for lead in LEADS))
    for number, colour in zip(drawn, SHADES, strict=False):
        axes.stairs(
            values[number], edges, baseline=None, color=house.COLOURS[colour], lw=1.3,
            label=f"{inputs.leads[number]} min",
        )  # fmt: skip
    axes.axhline(0, color="0.4", lw=0.6)


def _dial(figure: SubFigure, inputs: Inputs, latitudes: np.ndarray, hours: np.ndarray) -> None:
    from matplotlib.colors import Normalize

    values, count = take(inputs.arrays, "map/skill", "map/count")
    latitudes = inputs.arrays.get("map/mlat_edges", latitudes)
    hours = inputs.arrays.get("map/mlt_edges", hours)
    kept = np.where(count >= FEWEST, values, np.nan)
    top = max(np.ceil(10 * np.nanpercentile(np.abs(kept), 95)) / 10, 0.1) if np.isfinite(kept).any() else 0.1
    norm, axes = Normalize(-top, top), figure.subplots()
    dial(axes, float(np.abs(latitudes).min()))
    for band in range(kept.shape[0]):
        for sector in range(kept.shape[1]):
            if np.isfinite(kept[band, sector]):
                around = np.linspace(hours[sector], hours[sector + 1], 9)
                low, high = np.clip(np.abs(latitudes[band : band + 2]), 0, 90)
                x, y = place(np.repeat([low, high], 9), np.concatenate([around, around[::-1]]))
                axes.fill(x, y, color=_shade(kept[band, sector], norm), lw=0, zorder=0.2)
    if not np.isfinite(kept).any():
        text = f"nowhere as many\nas {FEWEST} vectors"
        axes.text(0, 0, text, ha="center", va="center", fontsize=7)
    lead = inputs.leads[inputs.lead()]
    axes.set_title(f"{lead} minutes ahead", pad=10)
    error_bar(figure, axes, norm, "skill over damped persistence")


def _shade(value: float, norm: object) -> tuple[float, ...]:
    import matplotlib as mpl

    return mpl.colormaps[DIFFERENCES](norm(value))
