"""Long images for a page: thinned by block means, in whole numbers of few bytes, and masks as outlines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from rasterio import features
from scipy import ndimage
from shapely.geometry import shape

OFFSET = 20_000
"""Code of 0 ppm m; 0 is no data."""
SCORES = 254
"""Steps of a probability; 0 is no data."""
CORNERS = np.ones((3, 3), bool)
"""Pixels that touch at a corner belong together."""


def thinned(values: np.ndarray, step: int) -> np.ndarray:
    """Means over blocks of step × step pixels, of those that are known; NaN where none is."""
    rows, columns = (-(-side // step) for side in values.shape)
    missing = ((0, rows * step - values.shape[0]), (0, columns * step - values.shape[1]))
    blocks = np.pad(values.astype(float), missing, constant_values=np.nan)
    blocks = blocks.reshape(rows, step, columns, step)
    known = np.isfinite(blocks)
    count, total = known.sum((1, 3)), np.where(known, blocks, 0).sum((1, 3))
    return np.where(count, total / np.maximum(count, 1), np.nan)


def coded_ppm_m(values: np.ndarray) -> np.ndarray:
    """Enhancements in whole ppm m, uint16 from OFFSET, clipped at what fits."""
    whole = np.clip(np.rint(np.nan_to_num(values)) + OFFSET, 1, np.iinfo(np.uint16).max)
    return np.where(np.isfinite(values), whole, 0).astype(np.uint16)


def coded_score(values: np.ndarray) -> np.ndarray:
    """Probabilities as uint8: 1 + SCORES · p."""
    whole = 1 + np.rint(SCORES * np.clip(np.nan_to_num(values), 0, 1))
    return np.where(np.isfinite(values), whole, 0).astype(np.uint8)


def owners(mask: np.ndarray, sources: Sequence[tuple[float, float]], reach: float) -> np.ndarray:
    """Of each connected piece of a mask, which source (row, column) is nearest to any of its pixels.

    Returns positions among `sources`, int64 (pieces,) in the order of `scipy.ndimage.label`; −1 where none
    is within `reach` pixels.
    """
    pieces, count = ndimage.label(mask, CORNERS)
    best, owner = np.full(count, float(reach)), np.full(count, -1)
    rows, columns = np.nonzero(pieces)
    of = pieces[rows, columns] - 1
    for number, (row, column) in enumerate(sources):
        nearest = np.full(count, np.inf)
        np.minimum.at(nearest, of, np.hypot(rows - row, columns - column))
        owner[nearest < best] = number
        best = np.minimum(best, nearest)
    return owner


def outlines(mask: np.ndarray, slack: float = 0.4) -> list[np.ndarray]:
    """Outer borders (n, 2) of the pieces of a mask as columns and rows, pixel centres at whole numbers.

    In the order of `scipy.ndimage.label`; corners within `slack` pixels of a straight line are left out.
    """
    pieces, count = ndimage.label(mask, CORNERS)
    found: list[np.ndarray] = [np.zeros((0, 2))] * count
    shapes = features.shapes(pieces.astype(np.int32), mask=mask.astype(bool), connectivity=8)
    for geometry, number in shapes:
        # Corners join pixels to one piece, whose border may touch itself there.
        whole = shapely.make_valid(shape(geometry))
        parts = [p for p in getattr(whole, "geoms", [whole]) if p.geom_type == "Polygon"]
        joined = [np.asarray(p.simplify(slack).exterior.coords) - 0.5 for p in parts]
        gap = np.full((1, 2), np.nan)
        found[int(number) - 1] = np.concatenate([x for part in joined for x in (part, gap)][:-1])
    return found
