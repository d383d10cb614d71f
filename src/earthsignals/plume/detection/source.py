"""Which end of a plume is its source, and where it points.

The principal axis of the enhancement gives the line. Along it, the enhancement summed across the plume
is nearly constant downwind of the source (mass per metre = rate / wind) and zero upwind of it; smoothing
turns that step into a ramp whose middle stays at the source. So the source lies where the sum first
climbs to half of what the plume usually has, which is steadier than the strongest pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Below this ratio of length to width a plume's own axis is mostly chance.
ROUND = 1.5


@dataclass(frozen=True)
class PlumeEnd:
    """Source point in pixels of the given array, direction away from it, and extent from it."""

    row: float
    col: float
    orientation_deg: float
    length_px: float
    flags: tuple[str, ...]


def locate_source(
    enhancement: NDArray,
    mask: NDArray[np.bool_],
    smoothing_px: float,
    wind_direction_deg: float | None = None,
) -> PlumeEnd:
    """Find source, orientation and length of one plume.

    Args:
        enhancement: smoothed enhancement over the background, (rows, cols).
        mask: the plume's pixels, at least one.
        smoothing_px: deviation of the smoothing in pixels, to look for the source no finer than it.
        wind_direction_deg: where the wind blows to, degrees clockwise from the image's up. It decides
            which end is the source, and the axis itself where the plume is nearly round.

    Returns positions with pixel centres at whole numbers, and orientation in [0, 360).
    """
    rows, cols = (index.astype(np.float64) for index in np.nonzero(mask))
    weight = np.maximum(np.asarray(enhancement, dtype=np.float64)[mask], 0.0)
    if weight.sum() <= 0:
        weight = np.ones_like(weight)
    weight /= weight.sum()
    x, up = cols, -rows  # a right-handed plane: columns to the right, lines downwards
    centre = np.array([weight @ x, weight @ up])
    offset = np.stack([x - centre[0], up - centre[1]])
    values, vectors = np.linalg.eigh((offset * weight) @ offset.T)
    axis = vectors[:, 1]
    # A pixel's own variance, 1/12, keeps a line one pixel wide finite.
    elongation = np.sqrt((values[1] + 1 / 12) / (max(values[0], 0.0) + 1 / 12))
    flags: tuple[str, ...] = ("no-clear-axis",) if elongation < ROUND else ()
    if wind_direction_deg is not None:
        wind = np.array([np.sin(np.radians(wind_direction_deg)), np.cos(np.radians(wind_direction_deg))])
        axis = wind if flags else (axis if axis @ wind >= 0 else -axis)
    elif _points_upwind(axis @ offset, np.array([axis[1], -axis[0]]) @ offset, weight):
        axis = -axis
    along, across = axis @ offset, np.array([axis[1], -axis[0]]) @ offset
    start, side = _source(along, across, weight, max(1.0, smoothing_px))
    point = centre + start * axis + side * np.array([axis[1], -axis[0]])
    return PlumeEnd(
        row=float(-point[1]),
        col=float(point[0]),
        orientation_deg=float(np.degrees(np.arctan2(axis[0], axis[1])) % 360.0),
        length_px=float(max(along.max() - start, 0.0) + 0.5),
        flags=flags,
    )


def _points_upwind(along: NDArray, across: NDArray, weight: NDArray) -> bool:
    """Does the axis point towards the source? Plumes get wider and thinner away from it.

    Two signs are added, each between −1 and 1: the correlation of the squared distance from the axis
    with the way along it (wider: positive), and minus that of the enhancement (thinner: positive).
    """
    wider = _correlation(along, across**2, weight)
    thinner = -_correlation(along, weight, np.full_like(weight, 1 / weight.size))
    return wider + thinner < 0


def _correlation(a: NDArray, b: NDArray, weight: NDArray) -> float:
    a, b = a - weight @ a, b - weight @ b
    norm = np.sqrt((weight @ a**2) * (weight @ b**2))
    return float(weight @ (a * b) / norm) if norm > 0 else 0.0


def _source(along: NDArray, across: NDArray, weight: NDArray, step: float) -> tuple[float, float]:
    """Position along and across the axis where the summed enhancement climbs to half its usual value."""
    low = along.min()
    bins = np.floor((along - low) / step).astype(int)
    profile = np.bincount(bins, weight)
    half = np.median(profile[profile > 0]) / 2
    first = int(np.argmax(profile >= half))
    # Between the middles of the bin before (zero before the first) and the bin that passes the half.
    before = profile[first - 1] if first else 0.0
    share = (half - before) / (profile[first] - before) if profile[first] > before else 0.0
    start = low + (first - 0.5 + share) * step
    near = np.abs(along - (start + step)) <= 1.5 * step
    if not near.any():
        near = bins == first
    return float(max(start, low)), float(weight[near] @ across[near] / weight[near].sum())
