"""Masks as outlines: the border of each connected piece, and the source that it belongs to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from rasterio import features
from scipy import ndimage
from shapely.geometry import shape

CORNERS = np.ones((3, 3), bool)
"""Pixels that touch at a corner belong together."""


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
