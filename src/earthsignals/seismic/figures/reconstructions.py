"""Spectrograms that went through the latent and back, beside what went in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.results import MissingData
from earthsignals.seismic.figures.images import DIFFERENCE, arrivals, bare, scale, settled, show
from earthsignals.seismic.figures.inputs import COMPONENTS, Arrays, position, range_db, take, text
from earthsignals.seismic.spectrogram.image import Preprocessing

SHOWN = 3
"""Examples with all components in one figure."""
SPREAD = 0.25
"""Differences of images up to this are told apart by colour."""


@dataclass(frozen=True)
class Picture:
    """A window and its reconstruction: x, y (3, F, T) in [0, 1]."""

    x: np.ndarray
    y: np.ndarray
    frequencies_hz: np.ndarray
    times_s: np.ndarray
    range_db: float | None
    title: str

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, preprocessing: Preprocessing, title: str) -> Picture:
        """With the axes of the model's own images; x and y may have more frames than those."""
        hop = preprocessing.stft.window_samples - preprocessing.stft.overlap_samples
        times = np.arange(x.shape[-1]) * hop / preprocessing.window.sampling_rate_hz
        scaling = preprocessing.scaling
        decibels = scaling.range_db if scaling.normalisation == "joint" else None
        return cls(x, y, preprocessing.frequencies_hz, times, decibels, title)


def draw_one(picture: Picture) -> Figure:
    """Three rows of components; columns input, output and difference, with MSE and MAE of each component."""
    figure, axes = house.columns(3, rows=3, row_height=1.55)
    figure.suptitle(picture.title, fontsize=9)
    for row, name in enumerate(COMPONENTS):
        given, made = picture.x[row], picture.y[row]
        difference = made.astype(np.float64) - given
        _triple(axes[row], given, made, picture.times_s, picture.frequencies_hz)
        axes[row, 0].set_ylabel(f"{name}\nfrequency (Hz)")
        axes[row, 2].set_title(
            f"MSE {np.mean(difference**2):.4f}   MAE {np.mean(np.abs(difference)):.4f}", fontsize=7
        )
        for column in range(3):
            bare(axes[row, column], left=column == 0, bottom=row == 2)
    for column, name in enumerate(("input", "output", "difference")):
        head = axes[0, column]
        head.set_title(f"{name}\n{head.get_title()}" if head.get_title() else name)
        axes[2, column].set_xlabel("time (s)")
    _bars(figure, axes, picture.range_db)
    return settled(figure)


def reconstructions(arrays: Arrays) -> Figure:
    """Input, output of the largest latent and difference: three examples of low, middle and high SNR."""
    size = max(_sizes(arrays, "size"))
    given, made, times, frequencies = take(
        arrays, "examples/input", f"examples/size_{size}", "image/times_s", "image/frequencies_hz"
    )
    chosen = _spread(len(given), SHOWN)
    figure, axes = house.columns(3, rows=3 * len(chosen), row_height=0.86)
    decibels, titles, picks = range_db(arrays), _titles(arrays), _picks(arrays)
    for block, example in enumerate(chosen):
        for row, name in enumerate(COMPONENTS):
            line = axes[3 * block + row]
            _triple(line, given[example, row], made[example, row], times, frequencies)
            for column in range(3):
                bare(line[column], left=column == 0, bottom=False)
            for column in range(2):
                if picks is not None:
                    arrivals(line[column], *picks[example])
            line[0].set_yticks((0, 20, 40))
            line[0].set_ylabel(f"{name} (Hz)")
        difference = made[example].astype(np.float64) - given[example]
        top = axes[3 * block]
        top[0].set_title(f"{titles[example]}", fontsize=7.5, loc="left")
        top[1].set_title(f"through {size} numbers", fontsize=7.5, loc="left")
        top[2].set_title(f"difference: MSE {np.mean(difference**2):.4f}", fontsize=7.5, loc="left")
        bottom = axes[3 * block + 2]
        for column in range(3):
            bare(bottom[column], left=column == 0, bottom=True)
    for column in range(3):
        axes[-1, column].set_xlabel("time (s)")
    _bars(figure, axes, decibels)
    return settled(figure)


def sizes(arrays: Arrays) -> Figure:
    """The vertical component of every example: input, each latent size, and PCA of the same sizes."""
    numbers = _sizes(arrays, "size")
    linear = [size for size in numbers if f"examples/pca_{size}" in arrays]
    given, times, frequencies = take(arrays, "examples/input", "image/times_s", "image/frequencies_hz")
    names = [
        "examples/input",
        *(f"examples/size_{n}" for n in numbers),
        *(f"examples/pca_{n}" for n in linear),
    ]
    heads = ["input", *(f"{n} numbers" for n in numbers), *(f"PCA, {n}" for n in linear)]
    figure, axes = house.columns(len(names), rows=len(given), row_height=1.0)
    axes = np.atleast_2d(axes)
    titles, picks = _titles(arrays), _picks(arrays)
    for example, line in enumerate(axes):
        for column, (name, ax) in enumerate(zip(names, line, strict=True)):
            image = np.asarray(arrays[name][example, 2], np.float64)
            show(ax, image, times, frequencies)
            bare(ax, left=column == 0, bottom=example == len(axes) - 1)
            if column:
                error = np.mean((image - given[example, 2]) ** 2)
                _corner(ax, f"{error:.4f}")
            elif picks is not None:
                arrivals(ax, *picks[example])
            if example == 0:
                ax.set_title(heads[column], pad=14)
        line[0].set_yticks((0, 20, 40))
        line[0].set_ylabel("frequency (Hz)", fontsize=6.5)
        # Longer than its image is wide, over neighbours that have no title of their own.
        title = line[0].text(0, 1.04, titles[example], fontsize=6.5, transform=line[0].transAxes)
        title.set_in_layout(False)
    for ax in axes[-1]:
        ax.set_xticks((0, 30, 60))
        ax.set_xlabel("time (s)", fontsize=7)
    scale(figure, axes, range_db=range_db(arrays), location="bottom", shrink=0.4, aspect=45, pad=0.02)
    return settled(figure)


def _triple(
    line: np.ndarray, given: np.ndarray, made: np.ndarray, times: np.ndarray, hertz: np.ndarray
) -> None:
    show(line[0], given, times, hertz)
    show(line[1], made, times, hertz)
    difference = np.asarray(made, np.float32) - np.asarray(given, np.float32)
    show(line[2], difference, times, hertz, low=-SPREAD, high=SPREAD, cmap=DIFFERENCE)


def _bars(figure: Figure, axes: np.ndarray, decibels: float | None) -> None:
    place = {"location": "bottom", "shrink": 0.6, "aspect": 40, "pad": 0.015}
    scale(figure, axes[:, :2], range_db=decibels, **(place | {"shrink": 0.5}))
    scale(figure, axes[:, 2], range_db=decibels, difference=SPREAD, **(place | {"shrink": 0.9}))


def _corner(axes: Axes, words: str) -> None:
    axes.text(
        0.98, 0.95, words, transform=axes.transAxes, ha="right", va="top", fontsize=6, color="white",
        bbox={"facecolor": "black", "alpha": 0.45, "edgecolor": "none", "pad": 1.2},
    )  # fmt: skip


def _sizes(arrays: Arrays, prefix: str) -> list[int]:
    """Latent sizes of which examples are there, ascending."""
    start = f"examples/{prefix}_"
    found = sorted(int(name[len(start) :]) for name in arrays if name.startswith(start))
    if not found:
        raise MissingData("the evaluation holds no examples of reconstructions")
    return found


def _titles(arrays: Arrays) -> list[str]:
    count = len(arrays["examples/input"])
    return text(arrays["examples/title"]) if "examples/title" in arrays else [""] * count


def _picks(arrays: Arrays) -> np.ndarray | None:
    """(E, 2) seconds of P and S in the examples' windows, NaN where unknown."""
    where = position(arrays, "examples")
    if where is None or "records/p_sample" not in arrays:
        return None
    rate = 2 * float(arrays["image/frequencies_hz"][-1])
    both = [np.asarray(arrays[f"records/{name}_sample"], float)[where] / rate for name in "ps"]
    return np.stack(both, axis=1)


def _spread(count: int, wanted: int) -> list[int]:
    return sorted(set(np.linspace(0, count - 1, min(count, wanted)).round().astype(int).tolist()))
