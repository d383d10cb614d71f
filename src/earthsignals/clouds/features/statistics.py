"""What a histogram tells of a tile: moments, quantiles and cloud fraction, nothing of arrangement."""

from __future__ import annotations

import numpy as np

from earthsignals.clouds.features.brightness import FULL_SCALE, grey, otsu_mask, over_chunks

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
CLOUDY = (0.3, 0.5, 0.7)
"""Brightness over full scale above which a pixel counts as cloud, besides Otsu's threshold."""
NAMES = (
    "mean", "deviation", "skewness", "kurtosis", *(f"quantile_{q:g}" for q in QUANTILES),
    "cloud_fraction_otsu", *(f"cloud_fraction_{level:g}" for level in CLOUDY),
    "mean_1", "mean_2", "mean_3", "deviation_1", "deviation_2", "deviation_3",
)  # fmt: skip


def statistics(images: np.ndarray) -> np.ndarray:
    """Tiles (N, 3, P, P) uint8 to the numbers of NAMES (N, F) float64."""
    return over_chunks(_statistics, images)


def _statistics(images: np.ndarray) -> np.ndarray:
    tiles = grey(images)
    flat = tiles.reshape(len(tiles), -1)
    mean = flat.mean(1, dtype=np.float64)
    apart = flat - mean[:, None].astype(np.float32)
    squares = apart * apart
    variance = squares.mean(1, dtype=np.float64)
    deviation = np.sqrt(variance)
    third = (squares * apart).mean(1, dtype=np.float64) / np.maximum(deviation, 1e-6) ** 3
    fourth = (squares * squares).mean(1, dtype=np.float64) / np.maximum(variance, 1e-12) ** 2
    bands = images.reshape(len(images), 3, -1)
    columns = [
        mean, deviation, third, fourth, *_quantiles(flat),
        np.array([otsu_mask(tile).mean() for tile in tiles]),
        *((flat > level).mean(1) for level in CLOUDY),
        *(bands.mean(2) / FULL_SCALE).T, *(bands.std(2, dtype=np.float32) / FULL_SCALE).T,
    ]  # fmt: skip
    return np.stack(columns, axis=1).astype(np.float64)


def _quantiles(flat: np.ndarray) -> np.ndarray:
    """QUANTILES of the rows of (N, P²), each the value at the nearest lower place: (5, N)."""
    places = [int(quantile * (flat.shape[1] - 1)) for quantile in QUANTILES]
    return np.partition(flat, places, axis=1)[:, places].T
