"""Which found object is which true plume.

Truth is a map of plume pixels and a list of sources, as simulators and people who label give it: where two
plumes touch, the map does not say whose a pixel is. Each pixel is given to the source upwind of it that is
nearest to its line. Found objects are given as a map of numbers, so that every method is judged alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from earthsignals.plume.detection.detect import EIGHT, Plume

REACH_M = 40.0
"""A found object within this distance of a source has found it, though it misses the mask."""
CROWD = 0.1
"""Share of an object's plume pixels that may be another plume's, for it to count as one plume."""
UPWIND, DOWNWIND = 3.0, 0.2
"""Cost of a metre towards and away from the wind, in metres across it, when a pixel looks for its source."""


@dataclass(frozen=True)
class Matches:
    """What of a scene was found: P true plumes, n found objects.

    `best` (P,): highest score of the objects that hit each plume, -inf where none did. `object_of` (P,): the
    object that shares most pixels with it (0: none; by distance alone where none overlaps). `plumes_of` (n,):
    how many true plumes each object hit; 0 is a false alarm. `plume_of` (n,): the one that an object is, -1
    where it is none or several.
    """

    best: np.ndarray
    object_of: np.ndarray
    plumes_of: np.ndarray
    plume_of: np.ndarray


def label_map(plumes: Sequence[Plume], shape: tuple[int, int]) -> np.ndarray:
    """Found plumes as a map (L, S) int32: 0 none, k + 1 the k-th."""
    labels = np.zeros(shape, np.int32)
    for number, plume in enumerate(plumes, start=1):
        labels[plume.rows, plume.cols][plume.mask] = number
    return labels


def owners(
    truth: np.ndarray, sources: np.ndarray, pixel_m: float, wind_direction_deg: float | None = None
) -> np.ndarray:
    """Whose each plume pixel is: (L, S) int32, 0 none, p + 1 the plume of source p.

    truth: (L, S) bool. sources: (P, 2) rows and columns [px]. wind_direction_deg: where the wind blows to,
    clockwise from the map's up; without it the nearest source owns a pixel. A connected piece with one
    source in it is that source's as a whole. Pieces farther than 1 km from every source are nobody's.
    """
    owner = np.zeros(truth.shape, np.int32)
    pieces, count = ndimage.label(truth, EIGHT)
    if count == 0 or len(sources) == 0:
        return owner
    row, column = np.nonzero(pieces)
    owner[row, column] = _cheapest(row, column, sources, pixel_m, wind_direction_deg) + 1
    inside = pieces[tuple(_pixels(sources, truth.shape).T)]
    alone = np.bincount(inside, minlength=count + 1) == 1
    for plume, piece in enumerate(inside):
        if piece and alone[piece]:
            owner[pieces == piece] = plume + 1
    return owner


def match(
    labels: np.ndarray, scores: np.ndarray, owner: np.ndarray, sources: np.ndarray, pixel_m: float
) -> Matches:
    """Match found objects (labels (L, S) from 1, scores (n,)) with true plumes (owner map, sources (P, 2)).

    An object hits a plume when it shares a pixel with it or comes within REACH_M of its source. It is that
    plume when no other source is in reach and at most CROWD of its plume pixels are of another.
    """
    plumes, found = len(sources), len(scores)
    both = (labels > 0) & (owner > 0)
    pairs = labels[both].astype(np.int64) * (plumes + 1) + owner[both]
    shared = np.bincount(pairs, minlength=(found + 1) * (plumes + 1)).reshape(found + 1, plumes + 1)[1:, 1:]
    near = _near(labels, found, sources, REACH_M / pixel_m)
    hit = (shared > 0) | near
    best = np.where(hit, np.asarray(scores, np.float64)[:, None], -np.inf).max(axis=0, initial=-np.inf)
    # Most shared pixels first; a mere neighbour counts for less than one pixel.
    weight = np.where(hit, shared + 0.5, 0.0)
    object_of = np.where(hit.any(axis=0), weight.argmax(axis=0) + 1 if found else 0, 0)
    return Matches(best, object_of.astype(np.int64), hit.sum(axis=1), _single(shared, near, hit))


def _single(shared: np.ndarray, near: np.ndarray, hit: np.ndarray) -> np.ndarray:
    """The plume (n,) that each object is: by pixels shared, sources near, and hits (n, P)."""
    if not hit.size:
        return np.full(len(hit), -1)
    main = np.where(hit, shared + 0.5, 0.0).argmax(axis=1)
    rows = np.arange(len(hit))
    others = shared.sum(axis=1) - shared[rows, main]
    near = near.copy()
    near[rows, main] = False
    alone = hit.any(axis=1) & ~near.any(axis=1) & (others <= CROWD * shared.sum(axis=1))
    return np.where(alone, main, -1)


def _cheapest(
    row: np.ndarray, column: np.ndarray, sources: np.ndarray, pixel_m: float, direction_deg: float | None
) -> np.ndarray:
    """Source number (N,) of each pixel, -1 where the nearest is over 1 km away."""
    best, owner = np.full(len(row), np.inf), np.full(len(row), -1)
    for number, (source_row, source_column) in enumerate(sources):
        right, up = (column - source_column) * pixel_m, (source_row - row) * pixel_m
        distance = np.hypot(right, up)
        cost = distance
        if direction_deg is not None:
            east, north = np.sin(np.radians(direction_deg)), np.cos(np.radians(direction_deg))
            along, across = right * east + up * north, right * north - up * east
            cost = np.abs(across) + np.where(along >= 0, DOWNWIND * along, -UPWIND * along)
        better = (cost < best) & (distance <= 1000.0)
        best[better], owner[better] = cost[better], number
    return owner


def _near(labels: np.ndarray, found: int, sources: np.ndarray, reach_px: float) -> np.ndarray:
    """Which objects (n, P) have a pixel within `reach_px` of each source."""
    near = np.zeros((found, len(sources)), bool)
    size = int(reach_px)
    for number, (row, column) in enumerate(_pixels(sources, labels.shape)):
        top, left = max(row - size, 0), max(column - size, 0)
        window = labels[top : row + size + 1, left : column + size + 1]
        y = np.arange(window.shape[0])[:, None] + top - row
        x = np.arange(window.shape[1]) + left - column
        within = np.unique(window[y * y + x * x <= reach_px**2])
        near[within[within > 0] - 1, number] = True
    return near


def _pixels(sources: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The pixels (P, 2) that hold sources; those outside go to the edge."""
    rounded = np.rint(np.asarray(sources, np.float64).reshape(-1, 2)).astype(int)
    return np.clip(rounded, 0, np.array(shape) - 1)
