"""The records that the network reconstructs worst: where to look for what it has not learnt."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.results import MissingData
from earthsignals.seismic.figures.images import bare, scale, settled, show
from earthsignals.seismic.figures.inputs import COMPONENTS, Arrays, range_db, take, text

ACROSS = 4
GAP = 3
"""Empty rows between the components of a record."""


def worst(arrays: Arrays) -> Figure:
    """Input and output of each, components E, N, Z from the top, with the MSE of the record."""
    given, made, times, frequencies = take(
        arrays, "worst/input", "worst/output", "image/times_s", "image/frequencies_hz"
    )
    if not len(given):
        raise MissingData("the evaluation holds no worst records")
    mse = np.asarray(arrays.get("worst/mse", np.mean((made - given) ** 2, axis=(1, 2, 3))), float)
    titles = text(arrays["worst/title"]) if "worst/title" in arrays else [""] * len(given)
    down = -(-len(given) // ACROSS)
    figure, axes = house.columns(2 * ACROSS, rows=down, row_height=1.95)
    axes = np.atleast_2d(axes)
    for number in range(down * ACROSS):
        line, column = divmod(number, ACROSS)
        pair = axes[line, 2 * column : 2 * column + 2]
        if number >= len(given):
            for ax in pair:
                ax.axis("off")
            continue
        for side, (ax, image) in enumerate(zip(pair, (given[number], made[number]), strict=True)):
            rows = _stacked(np.asarray(image, np.float32))
            show(ax, rows, times, np.arange(len(rows), dtype=float))
            ax.set_yticks([], [])
            bare(ax, left=False, bottom=line == down - 1)
            ax.set_xticks((0, 60) if line == down - 1 else ())
            if line == down - 1:
                ax.set_xlabel("output (s)" if side else "input (s)", fontsize=7)
            ax.spines[:].set_visible(False)
            if side == 0 and column == 0:
                _name_components(ax, len(frequencies), float(frequencies[-1]))
        pair[0].set_title(_short(titles[number], mse[number]), fontsize=6.5, loc="left")
    scale(figure, axes, range_db=range_db(arrays), location="bottom", shrink=0.4, aspect=45, pad=0.02)
    return settled(figure)


def _stacked(image: np.ndarray) -> np.ndarray:
    """(3, F, T) as one image with E on top: rows from below are Z, N, E with gaps of NaN."""
    gap = np.full((GAP, image.shape[-1]), np.nan, np.float32)
    return np.concatenate([image[2], gap, image[1], gap, image[0]])


def _name_components(axes: Axes, bins: int, top_hz: float) -> None:
    for place, name in enumerate(reversed(COMPONENTS)):
        axes.text(
            -0.06, place * (bins + GAP) + bins / 2, f"{name}\n0 to\n{top_hz:g} Hz", ha="right", va="center",
            fontsize=6, transform=axes.get_yaxis_transform(),
        )  # fmt: skip


def _short(title: str, mse: float) -> str:
    words = title.split()
    head, rest = " ".join(words[:2]), " ".join(words[2:])
    return f"{head}  MSE {mse:.4f}" + (f"\n{rest}" if rest else "\n ")
