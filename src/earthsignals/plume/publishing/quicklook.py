"""A flightline's plumes at a glance: one PNG of enhancement, saliency contour, outlines and rates.

Drawn as the image lies, lines downwards, so nothing is resampled sideways; the arrow shows where north is.
A flightline much longer than wide is folded into strips that are read from left to right, and reduced by
block means until it fits a screen.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray

from earthsignals.figures import COLOURS, PAGE_WIDTH, style
from earthsignals.plume.detection.detect import Plume, smooth
from earthsignals.plume.detection.measure import PlumeScene
from earthsignals.plume.detection.outlines import outline
from earthsignals.plume.detection.rate_error import Rate
from earthsignals.plume.publishing import furniture
from earthsignals.storage import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Pixels of the image along its longer side, all strips together, beyond which block means are taken.
MOST_PIXELS = 1800
# Folded until no strip is longer than this many times its width.
LONGEST = 2.2
DPI = 200
AROUND = 0.8  # inches above and below the map for title and key
GREY = 0.55
LABEL_SHARE = 0.24  # of the figure's width that a label takes


def write_quicklook(path: Path, scene: PlumeScene) -> None:
    """Draw the scene and write it as PNG, atomically and with the same bytes each time."""
    with style(), atomic_path(path) as temporary, open(temporary, "wb") as file:
        draw(scene).savefig(file, format="png", dpi=DPI, metadata={"Software": None})


def draw(scene: PlumeScene) -> Figure:
    """The quick look as a figure of the caller's style; close it when done."""
    import matplotlib.pyplot as plt

    strips = fold(scene.ch4.shape)
    lines = strips[0].stop
    width_px = scene.ch4.shape[1] * len(strips)
    factor = max(1, math.ceil(max(lines, width_px) / MOST_PIXELS))
    height = min(max(PAGE_WIDTH * lines / width_px, 2.4), 10.0)
    figure, axes = plt.subplots(
        1, len(strips), figsize=(PAGE_WIDTH, height + AROUND), squeeze=False, layout="none"
    )
    top = 1 - (0.22 if len(strips) == 1 else 0.36) / (height + AROUND)
    figure.subplots_adjust(left=0.01, right=0.99, top=top, bottom=0.55 / (height + AROUND), wspace=0.03)
    ceiling = enhancement_ceiling(scene)
    for number, (panel, rows) in enumerate(zip(axes[0], strips, strict=True)):
        _paint(panel, scene, rows, factor, ceiling)
        panel.set(xlim=(-0.5, scene.ch4.shape[1] - 0.5), ylim=(rows.start + lines - 0.5, rows.start - 0.5))
        panel.set_axis_off()
        if len(strips) > 1:
            panel.set_title(f"lines {rows.start:,}–{rows.stop - 1:,}", fontsize=6, pad=2)
        for plume, rates in zip(scene.detections, scene.rates, strict=True):
            _mark(panel, plume, rates[0], rows, scene.ch4.shape[1], len(strips))
        if number == 0:
            furniture.scale_bar(panel, scene)
            furniture.north_arrow(panel, scene)
    furniture.title(figure, scene)
    furniture.legend(figure, enhancement_colours(), ceiling, height + AROUND)
    return figure


def fold(shape: tuple[int, int]) -> list[slice]:
    """Lines of each strip: as few strips as make none longer than `LONGEST` times their joint width."""
    lines, samples = shape
    count = 1
    while lines / count > LONGEST * samples * count:
        count += 1
    step = math.ceil(lines / count)
    return [slice(start, min(start + step, lines)) for start in range(0, lines, step)]


def block_mean(field: NDArray, factor: int) -> NDArray[np.float32]:
    """Mean of the valid pixels of each block of `factor` by `factor`; NaN where there are none."""
    if factor == 1:
        return np.asarray(field, dtype=np.float32)
    rows, cols = (-size % factor for size in field.shape)
    padded = np.pad(field.astype(np.float64), ((0, rows), (0, cols)), constant_values=np.nan)
    blocks = padded.reshape(padded.shape[0] // factor, factor, padded.shape[1] // factor, factor)
    valid = np.isfinite(blocks)
    count = valid.sum(axis=(1, 3))
    total = np.where(valid, blocks, 0.0).sum(axis=(1, 3))
    mean = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    return mean.astype(np.float32)


def enhancement_ceiling(scene: PlumeScene) -> float:
    """The enhancement in ppm·m with the brightest colour: a round number near the strongest plume's."""
    peaks = [plume.peak_smoothed_ppm_m for plume in scene.detections]
    wanted = 0.6 * max(peaks) if peaks else 2000.0
    return float(min(max(furniture.round_number(wanted), 500.0), 4000.0))


def enhancement_colours() -> LinearSegmentedColormap:
    """Plasma that fades in from nothing: weak enhancement lets the ground shine through."""
    import matplotlib as mpl

    colours = mpl.colormaps["plasma"](np.linspace(0.12, 1.0, 256))
    colours[:, 3] = np.clip((np.linspace(0, 1, 256) - 0.08) / 0.30, 0.0, 1.0)
    return LinearSegmentedColormap.from_list("enhancement", colours)


def rate_text(rate: Rate) -> str:
    """The rate and its 68 % interval in two significant digits, or a dash where there is none."""
    if rate.rate_kg_h is None:
        return "no rate"
    low, middle, high = (_digits(v) for v in (rate.low_68, rate.rate_kg_h, rate.high_68))
    return f"{middle} kg/h ({low}–{high})"


def _digits(value: float | None) -> str:
    return f"{float(f'{value:.2g}'):,.0f}" if value >= 10 else f"{value:.2g}"


def _paint(panel: Axes, scene: PlumeScene, rows: slice, factor: int, ceiling: float) -> None:
    """Ground in grey, enhancement over it, the saliency threshold as a contour."""
    ch4 = scene.ch4[rows]
    extent = (-0.5, _reach(ch4.shape[1], factor) - 0.5, rows.start + _reach(ch4.shape[0], factor) - 0.5,
              rows.start - 0.5)  # fmt: skip
    look: dict[str, Any] = {"extent": extent, "interpolation": "nearest", "aspect": "equal"}
    panel.imshow(_ground(scene, rows, factor), cmap="gray", vmin=0, vmax=1, **look)
    seen = smooth(ch4, scene.smoothing_m / scene.pixel_m / 2)
    panel.imshow(block_mean(seen, factor), cmap=enhancement_colours(), vmin=0, vmax=ceiling, **look)
    salient = block_mean(np.where(np.isfinite(scene.saliency[rows]), scene.saliency[rows], 0.0), factor)
    if (salient >= scene.threshold).any() and (salient < scene.threshold).any() and min(salient.shape) > 1:
        x = (np.arange(salient.shape[1]) + 0.5) * factor - 0.5
        y = (np.arange(salient.shape[0]) + 0.5) * factor - 0.5 + rows.start
        panel.contour(x, y, salient, [scene.threshold], colors=COLOURS["sky"], linewidths=0.7)


def _reach(size: int, factor: int) -> int:
    return -(-size // factor) * factor


def _ground(scene: PlumeScene, rows: slice, factor: int) -> NDArray[np.float32]:
    """Mean radiance stretched to [0, 0.75], even grey where there are no such bands; NaN stays white."""
    ch4 = block_mean(scene.ch4[rows], factor)
    flat = np.where(np.isfinite(ch4), np.float32(GREY), np.float32(np.nan))
    if scene.rgb is None:
        return flat
    whole = scene.rgb[:, ::4, ::4].mean(axis=0)
    usable = whole[np.isfinite(whole)]
    if usable.size == 0:
        return flat
    low, high = np.quantile(usable, (0.02, 0.98))
    grey = block_mean(scene.rgb[:, rows].mean(axis=0), factor)
    grey = 0.1 + 0.6 * np.clip((grey - low) / max(high - low, 1e-9), 0, 1)
    return np.where(np.isfinite(ch4) & np.isfinite(grey), grey, flat)


def _mark(panel: Axes, plume: Plume, rate: Rate, rows: slice, samples: int, strips: int) -> None:
    """Outline, source and label of a plume, in the strips that show it; the label where the source is."""
    if plume.rows.stop <= rows.start or plume.rows.start >= rows.stop:
        return
    for x, y in _edges(plume):
        panel.plot(x, y, color="white", linewidth=0.7, zorder=4, path_effects=furniture.halo(1.5))
    if not rows.start <= plume.source_row < rows.stop:
        return
    panel.plot(
        plume.source_col, plume.source_row, "o", markersize=4, markerfacecolor=COLOURS["vermillion"],
        markeredgecolor="white", markeredgewidth=0.7, zorder=6,
    )  # fmt: skip
    # Upwind of the source there is nothing to hide; where the label has no room there, over the plume.
    rightwards = math.sin(math.radians(plume.orientation_deg)) < 0
    room = (samples - plume.source_col if rightwards else plume.source_col) / samples
    if room > LABEL_SHARE * strips:
        at, shift, side = (plume.source_col, plume.source_row), (5 if rightwards else -5, 0), not rightwards
    else:
        at, shift, side = (plume.source_col, plume.rows.start), (0, 5), plume.source_col > samples / 2
    panel.annotate(
        f"{plume.id}: {rate_text(rate)}", at, xytext=shift, textcoords="offset points",
        ha="right" if side else "left", va="bottom" if shift[1] else "center", fontsize=6, color="white",
        path_effects=furniture.halo(), zorder=7, annotation_clip=True,
    )  # fmt: skip


def _edges(plume: Plume) -> list[tuple[list[float], list[float]]]:
    """The outline along pixel edges as lines (columns, rows) in the image."""
    # Pixel centres lie at whole numbers in the drawing, corners half a pixel before.
    shapes = outline(plume, Affine.translation(-0.5, -0.5))
    rings = [ring for part in shapes.geoms for ring in (part.exterior, *part.interiors)]
    return [tuple(map(list, zip(*ring.coords, strict=True))) for ring in rings]
