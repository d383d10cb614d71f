"""The pixels that count for a plume's mass, how much each counts, and the same shape laid elsewhere.

IME(r) / r averaged over radii is a weighted sum over pixels: one at distance d counts in every circle of
radius r ≥ d, each time by 1 / r. The local background is the mean over a ring around. Written so, the
very same sum can be taken at any other place of the scene, which tells what noise makes of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# Random places at which the noise of one plume is sampled, and draws per place before giving up.
PLACES = 200
DRAWS = 20
# Share of a footprint that must lie on allowed ground for a place to count.
ENOUGH_GROUND = 0.95
FEWEST_RING = 30


@dataclass(frozen=True, eq=False)
class Footprint:
    """Pixels (N,) of the scene around one plume with their weights, and the ring's pixels (M,)."""

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    per_m: NDArray[np.float64]
    """Weight of each pixel in the mean of IME(r) / r, in 1/m; in IME itself each weighs 1."""
    ring_rows: NDArray[np.int64]
    ring_cols: NDArray[np.int64]

    def sums(
        self,
        field: NDArray,
        allowed: NDArray[np.bool_],
        shift: tuple[int, int] = (0, 0),
        default: float = 0.0,
    ) -> tuple[float, float, float]:
        """(total, total per metre, background) of `field` at `shift`, only where `allowed`.

        The totals are over the background, which is the ring's mean, or `default` where too little of
        the ring is allowed. Totals in the field's unit times pixels.
        """
        level = default
        ring = self._inside(self.ring_rows + shift[0], self.ring_cols + shift[1], allowed)
        if ring[0].size >= FEWEST_RING:
            level = float(np.mean(field[ring], dtype=np.float64))
        rows, cols = self.rows + shift[0], self.cols + shift[1]
        good = allowed[rows, cols]
        over = field[rows, cols][good].astype(np.float64) - level
        return float(over.sum()), float(over @ self.per_m[good]), level

    @staticmethod
    def _inside(
        rows: NDArray[np.int64], cols: NDArray[np.int64], allowed: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        inside = (rows >= 0) & (rows < allowed.shape[0]) & (cols >= 0) & (cols < allowed.shape[1])
        rows, cols = rows[inside], cols[inside]
        good = allowed[rows, cols]
        return rows[good], cols[good]


def lay_footprint(
    mask: NDArray[np.bool_],
    corner: tuple[int, int],
    source: tuple[float, float],
    shape: tuple[int, int],
    pixel_m: float,
    *,
    fetch_m: float,
    flank_m: float,
    ring_m: float,
) -> tuple[Footprint, bool]:
    """The footprint of a plume, and whether the end of the scene cuts it.

    Args:
        mask: the plume's pixels in its bounding box, whose first pixel is `corner` of the scene.
        source: row and column in the scene.
        shape: of the scene.
        fetch_m: largest radius; radii go up to it pixel by pixel.
        flank_m: how far around the mask pixels count.
        ring_m: width of the background's ring around those.
    """
    pad = int(np.ceil((flank_m + ring_m) / pixel_m)) + 1
    grown = np.pad(mask, pad)
    away = ndimage.distance_transform_edt(~grown) * pixel_m
    rows, cols = np.indices(grown.shape)
    rows, cols = rows + corner[0] - pad, cols + corner[1] - pad
    distance = np.hypot(rows - source[0], cols - source[1]) * pixel_m
    inside = (rows >= 0) & (rows < shape[0]) & (cols >= 0) & (cols < shape[1])
    counts = (away <= flank_m) & (distance <= fetch_m)
    around = (away > flank_m) & (away <= flank_m + ring_m) & (distance <= fetch_m + ring_m) & inside
    cut = bool((counts & ~inside).any())
    counts &= inside
    radii = np.arange(1, max(int(fetch_m / pixel_m), 1) + 1) * (fetch_m / max(int(fetch_m / pixel_m), 1))
    # later[k]: mean over all radii of 1/r from the k-th on, so what a pixel first inside circle k weighs.
    later = np.append(np.cumsum((1 / radii)[::-1])[::-1], 0.0) / radii.size
    per_m = later[np.searchsorted(radii, distance[counts] - 1e-9)]
    return Footprint(rows[counts], cols[counts], per_m, rows[around], cols[around]), cut


def noise_sums(
    footprint: Footprint,
    field: NDArray,
    allowed: NDArray[np.bool_],
    rng: np.random.Generator,
    places: int = PLACES,
) -> NDArray[np.float64]:
    """(total, total per metre) of the footprint at random places of allowed ground, (at most places, 2).

    Fewer come back where the scene has little room beside its plumes and gaps.
    """
    top, left = footprint.rows.min(), footprint.cols.min()
    free_rows = field.shape[0] - (footprint.rows.max() - top)
    free_cols = field.shape[1] - (footprint.cols.max() - left)
    found: list[tuple[float, float]] = []
    for row, col in zip(
        rng.integers(0, free_rows, places * DRAWS), rng.integers(0, free_cols, places * DRAWS), strict=True
    ):
        shift = (int(row - top), int(col - left))
        good = allowed[footprint.rows + shift[0], footprint.cols + shift[1]].mean()
        if good < ENOUGH_GROUND:
            continue
        total, per_m, _ = footprint.sums(field, allowed, shift)
        found.append((total / good, per_m / good))
        if len(found) == places:
            break
    return np.array(found, dtype=np.float64).reshape(-1, 2)
