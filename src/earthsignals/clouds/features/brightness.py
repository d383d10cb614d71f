"""Tiles as grey images, whole, standardised, coarse or as masks of cloud."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from skimage.filters import threshold_otsu

CHUNK = 64
"""Tiles that are worked on together."""
FULL_SCALE = 255.0


def chunks(images: np.ndarray, size: int = CHUNK) -> Iterator[np.ndarray]:
    """The images (N, ...) in parts of at most `size`, so that what is derived of them stays small."""
    for start in range(0, len(images), size):
        yield np.asarray(images[start : start + size])


def over_chunks(function: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
    """Features (N, F) of images (N, ...) by a function of parts of them."""
    found = [function(part) for part in chunks(images)]
    return np.concatenate(found) if found else function(np.asarray(images[:0]))


def grey(images: np.ndarray) -> np.ndarray:
    """Mean of the bands, full scale 1: tiles (N, 3, P, P) uint8 to (N, P, P) float32."""
    return np.asarray(images).mean(1, dtype=np.float32) / np.float32(FULL_SCALE)


def standardised(tiles: np.ndarray) -> np.ndarray:
    """Each tile (N, P, P) with mean 0 and variance 1; zeros where it is constant."""
    centred = tiles - tiles.mean((1, 2), keepdims=True)
    deviation = centred.std((1, 2), keepdims=True)
    return np.where(deviation > 1e-6, centred / np.maximum(deviation, 1e-6), 0).astype(np.float32)


def coarse(tiles: np.ndarray, largest: int) -> np.ndarray:
    """Tiles (N, P, P) as means of blocks, so that at most `largest` rows and columns remain.

    Rows and columns that fill no block are left away at the far edges.
    """
    step = -(-tiles.shape[-1] // largest)
    edge = tiles.shape[-1] // step
    cut = tiles[:, : edge * step, : edge * step]
    return cut.reshape(len(tiles), edge, step, edge, step).mean((2, 4))


def otsu_mask(tile: np.ndarray) -> np.ndarray:
    """Cloud where a grey tile (P, P) is brighter than Otsu's threshold (1979); none where it is constant.

    The threshold is the tile's own: views, sun and sensors differ in absolute brightness.
    """
    if np.ptp(tile) < 1 / FULL_SCALE:
        return np.zeros(tile.shape, bool)
    return tile > threshold_otsu(tile)


def brightest_mask(tile: np.ndarray, share: float) -> np.ndarray:
    """The brightest share of a grey tile (P, P): how cloud is placed, apart from how much there is."""
    if np.ptp(tile) < 1 / FULL_SCALE:
        return np.zeros(tile.shape, bool)
    return tile > np.quantile(tile, 1 - share)
