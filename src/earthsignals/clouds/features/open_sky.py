"""Open sky (Antonissen 2018): the largest cloud-free cross around a clear pixel, as a rectangle."""

from __future__ import annotations

import numpy as np


def open_sky(mask: np.ndarray) -> float:
    """Largest open-sky area of a mask of cloud (P, Q), over the area of the tile.

    The reference areas are cloudmetrics': from each clear pixel to the nearest cloud in its row and column on
    both sides, or to the edge. cloudmetrics' own function gives the same number and visits pixel by pixel in
    machine code that every process has to compile anew; here rows and columns are scanned as arrays.
    """
    mask = np.asarray(mask, bool)
    if mask.all():
        return 0.0
    if not mask.any():
        return 1.0
    west, east = _reach(mask)
    north, south = (found.T for found in _reach(mask.T))
    return float(np.where(mask, 0, (east - west) * (south - north)).max() / mask.size)


def _reach(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Column of the nearest cloud before each pixel (0 without one), and of the last clear one after it."""
    width = mask.shape[1]
    column = np.broadcast_to(np.arange(width), mask.shape)
    before = np.maximum.accumulate(np.where(mask, column, 0), axis=1)
    after = np.minimum.accumulate(np.where(mask, column, width + 1)[:, ::-1], axis=1)[:, ::-1] - 1
    return before, after
