"""A flightline, its saliency map and its plumes; a real chip likewise."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from earthsignals import figures as house
from earthsignals.plume.figures.inputs import Arrays, take

TRUE, FOUND, CONFUSER = house.COLOURS["vermillion"], house.COLOURS["sky"], house.COLOURS["orange"]
CEILING_PPM_M = 1500.0
ELONGATED = 1.6
"""Length over width from which a flightline is drawn on its side."""
INVALID = "#d9d9d9"
MOST_PIXELS = 700  # of an image's longer side: what a page can show, in a file that git can hold


def flightline(arrays: Arrays) -> Figure:
    """A scene of a test day, lying on its side: enhancement, saliency, and found plumes beside true ones."""
    names = ("ch4", "saliency", "truth", "found", "pixel_m", "sources", "confusers")
    ch4, saliency, truth, found, pixel_m, sources, confusers = take(
        arrays, *(f"flightline/{name}" for name in names)
    )
    # A page is wide and a flightline long: it lies on its side, or stands in three if it is nearly square.
    lies = ch4.shape[0] > ELONGATED * ch4.shape[1]
    if lies:
        ch4, saliency, truth, found = (np.asarray(a).T for a in (ch4, saliency, truth, found))
        sources, confusers = sources[:, ::-1], confusers[:, ::-1]
    stacked = ch4.shape[1] > ELONGATED * ch4.shape[0]
    scale = float(pixel_m) / 1000.0
    extent = (-0.5 * scale, (ch4.shape[1] - 0.5) * scale, (ch4.shape[0] - 0.5) * scale, -0.5 * scale)
    figure, panels = _panels(ch4.shape, stacked)
    bar = {"pad": 0.01, "aspect": 12} if stacked else {"location": "bottom", "pad": 0.01, "aspect": 25}
    image = _image(panels[0], ch4, extent, "cividis", 0, CEILING_PPM_M)
    figure.colorbar(image, ax=panels[0], label="CH$_4$ enhancement (ppm m)", extend="both", **bar)
    image = _image(panels[1], saliency, extent, "magma", 0, 1)
    figure.colorbar(image, ax=panels[1], label="saliency", **bar)
    image = _image(panels[2], ch4, extent, "Greys", 0, CEILING_PPM_M)
    figure.colorbar(image, ax=panels[2], label="CH$_4$ enhancement (ppm m)", extend="both", **bar)
    _outline(panels[2], truth, extent, TRUE, 0.7)
    _outline(panels[2], found, extent, FOUND, 1.1)
    marks = []
    for points, marker, colour, text in (
        (sources, "v", TRUE, "true source"), (confusers, "s", CONFUSER, "confuser (roof, road, pond, ...)"),
    ):  # fmt: skip
        if len(points):
            at = points[:, ::-1] * scale
            panels[2].scatter(*at.T, s=16, marker=marker, facecolor="none", edgecolor=colour, linewidth=0.8)
            marks.append(
                Line2D([], [], marker=marker, color=colour, mfc="none", linestyle="none", label=text)
            )
    lines = [
        Line2D([], [], color=TRUE, linewidth=0.9, label="true plume"),
        Line2D([], [], color=FOUND, linewidth=1.3, label="found plume"),
    ]
    figure.legend(handles=lines + marks, loc="outside lower center", ncols=4)
    stem = arrays.get("flightline/stem", b"")
    figure.suptitle(_text(stem), fontsize=8)
    panels[0].set_title("matched filter", loc="left")
    panels[1].set_title("saliency map", loc="left")
    panels[2].set_title("plumes", loc="left")
    for number, panel in enumerate(panels):
        if not stacked or number == 2:
            panel.set_xlabel(f"{'along' if lies else 'across'} track (km)")
        if stacked or number == 0:
            panel.set_ylabel(f"{'across' if lies else 'along'} track (km)")
        panel.tick_params(labelbottom=not stacked or number == 2, labelleft=stacked or number == 0)
    return figure


def _panels(shape: tuple[int, int], stacked: bool) -> tuple[Figure, list[Axes]]:
    """Three panels of a page's width, one above the other or side by side, as high as the scene needs."""
    if stacked:
        height = house.PAGE_WIDTH * 0.86 * shape[0] / shape[1] + 0.28
        figure, old = house.columns(2, rows=3, row_height=height)
        places = [(row, slice(None)) for row in range(3)]
    else:
        height = min(house.PAGE_WIDTH / 3 * 0.9 * shape[0] / shape[1] + 1.0, 7.0)
        figure, old = house.columns(3, row_height=height)
        old = old[None]
        places = [(0, column) for column in range(3)]
    grid = old[0, 0].get_gridspec()
    for each in old.flat:
        each.remove()
    return figure, [figure.add_subplot(grid[place]) for place in places]


def chip(
    ch4: np.ndarray, saliency: np.ndarray, truth: np.ndarray, found: np.ndarray, pixel_m: float, name: str
) -> Figure:
    """A real chip: enhancement with the label's outline, saliency with the outline of what was found."""
    figure, (left, right) = house.columns(2, row_height=3.3)
    scale = pixel_m / 1000.0
    extent = (-0.5 * scale, (ch4.shape[1] - 0.5) * scale, (ch4.shape[0] - 0.5) * scale, -0.5 * scale)
    image = _image(left, ch4, extent, "cividis", 0, CEILING_PPM_M)
    figure.colorbar(image, ax=left, label="CH$_4$ enhancement (ppm m)", extend="max", shrink=0.85, pad=0.02)
    image = _image(right, saliency, extent, "magma", 0, 1)
    figure.colorbar(image, ax=right, label="saliency", shrink=0.85, pad=0.02)
    for panel in (left, right):
        _outline(panel, truth, extent, TRUE, 0.9)
        _outline(panel, found, extent, FOUND, 0.9)
        panel.set(xlabel="across (km)", ylabel="down (km)")
    lines = [
        Line2D([], [], color=TRUE, label="label"),
        Line2D([], [], color=FOUND, label="found"),
    ]
    figure.legend(handles=lines, loc="outside lower center", ncols=2)
    figure.suptitle(name, fontsize=8)
    return figure


def _image(
    axes: Axes, values: np.ndarray, extent: tuple[float, ...], cmap: str, low: float, high: float
) -> Any:
    """Values with NaN in grey. Long scenes are reduced to what a page can show, by block means."""
    axes.set_facecolor(INVALID)
    axes.grid(False)
    step = -(-max(values.shape) // MOST_PIXELS)
    shown = np.ma.masked_invalid(_block_means(np.asarray(values), step))
    left, right, bottom, top = extent
    # The last blocks may reach beyond the scene.
    down, across = (step * n / full for n, full in zip(shown.shape, values.shape, strict=True))
    reach = (left, left + (right - left) * across, top + (bottom - top) * down, top)
    image = axes.imshow(
        shown, extent=reach, cmap=cmap, vmin=low, vmax=high, interpolation="nearest",
        aspect="equal", rasterized=True,
    )  # fmt: skip
    axes.set(xlim=(left, right), ylim=(bottom, top))
    return image


def _block_means(values: np.ndarray, step: int) -> np.ndarray:
    """Means over blocks of step × step pixels; NaN where a block has no value."""
    rows, cols = (-(-side // step) for side in values.shape)
    padded = np.full((rows * step, cols * step), np.nan)
    padded[: values.shape[0], : values.shape[1]] = values
    blocks = padded.reshape(rows, step, cols, step)
    count = np.isfinite(blocks).sum(axis=(1, 3))
    return np.where(count, np.nansum(blocks, axis=(1, 3)) / np.maximum(count, 1), np.nan)


def _outline(axes: Axes, mask: np.ndarray, extent: tuple[float, ...], colour: str, width: float) -> None:
    """The border of a mask, drawn along pixel edges."""
    mask = np.asarray(mask, bool)
    if not mask.any():
        return
    left, right, bottom, top = extent
    scale = (right - left) / mask.shape[1]
    x = left + (np.arange(-1, mask.shape[1] + 1) + 0.5) * scale
    y = top + (np.arange(-1, mask.shape[0] + 1) + 0.5) * scale
    axes.contour(x, y, np.pad(mask, 1).astype(float), [0.5], colors=[colour], linewidths=width)
    axes.set(xlim=(left, right), ylim=(bottom, top))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(np.asarray(value).item().decode())
