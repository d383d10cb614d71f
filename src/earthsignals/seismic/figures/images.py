"""Spectrogram images on axes with seconds, hertz and decibels."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

SPECTRUM, DIFFERENCE = "cividis", "PuOr_r"
"""Colour maps: one that all colour visions read as growing, one that diverges without red against green."""


def show(
    axes: Axes, image: np.ndarray, times_s: np.ndarray, frequencies_hz: np.ndarray, *, low: float = 0.0,
    high: float = 1.0, cmap: str = SPECTRUM,
) -> AxesImage:  # fmt: skip
    """Draw an image (F, T), cell by cell, over time and frequency."""
    half_t, half_f = _half(times_s), _half(frequencies_hz)
    edges = (
        times_s[0] - half_t,
        times_s[-1] + half_t,
        frequencies_hz[0] - half_f,
        frequencies_hz[-1] + half_f,
    )
    shown = axes.imshow(
        np.asarray(image, np.float32), extent=edges, origin="lower", aspect="auto", vmin=low, vmax=high,
        cmap=cmap, interpolation="nearest",
    )  # fmt: skip
    axes.set_xlim(max(times_s[0], edges[0]), times_s[-1])
    axes.set_ylim(0, frequencies_hz[-1])
    axes.grid(False)
    axes.spines[["top", "right"]].set_visible(True)
    return shown


def bare(axes: Axes, *, left: bool, bottom: bool) -> None:
    """Keep tick labels only on the left and at the bottom of a block of images."""
    axes.tick_params(labelleft=left, labelbottom=bottom, left=left, bottom=bottom)


def scale(
    figure: Any, axes: Any, *, range_db: float | None, difference: float | None = None, **place: Any
) -> None:
    """A colour bar: decibels below the record's maximum, or the scaled number where there are no decibels.

    difference: half of the range of a bar of differences.
    """
    unit = range_db or 1.0
    if difference is None:
        norm, cmap = Normalize(-unit if range_db else 0.0, 0.0 if range_db else 1.0), SPECTRUM
        label = "dB below the record's maximum" if range_db else "scaled amplitude"
    else:
        norm, cmap = Normalize(-difference * unit, difference * unit), DIFFERENCE
        label = "output − input (dB)" if range_db else "output − input"
    bar = figure.colorbar(ScalarMappable(norm, cmap), ax=axes, **place)
    bar.set_label(label, fontsize=7)
    bar.outline.set_linewidth(0.4)
    bar.ax.tick_params(labelsize=6.5, width=0.4)


def arrivals(axes: Axes, *seconds: float) -> None:
    """Mark P and S by ticks that hang from the upper edge."""
    for time, name in zip(seconds, "PS", strict=False):
        if np.isfinite(time):
            place = axes.get_xaxis_transform()
            axes.plot([time, time], [0.84, 1.0], color="white", lw=1.1, transform=place)
            # P to the left of its tick and S to the right: near stations have them within two seconds.
            shift, side = (-0.8, "right") if name == "P" else (0.8, "left")
            axes.text(time + shift, 0.97, name, color="white", fontsize=6, ha=side, va="top", transform=place)


def settled(figure: Figure) -> Figure:
    """The figure with its layout computed and kept: with this many axes that takes longer than drawing, and
    would be repeated for every format it is saved in.
    """
    figure.get_layout_engine().execute(figure)
    figure.set_layout_engine("none")
    return figure


def _half(values: np.ndarray) -> float:
    return float(values[1] - values[0]) / 2 if len(values) > 1 else 0.5
