"""Fewer numbers where a figure holds more than a reader computes with: means of blocks, one row in n."""

from __future__ import annotations

import math
import warnings

import numpy as np


def thin_image(pixels: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    """Average square blocks until at most `most` remain.

    Args:
        pixels: (rows, columns) or (rows, columns, channels) float; NaN where nothing is known.
        most: pixels that may remain.

    Returns:
        The means over what is known of each block, and the blocks' edge in pixels; blocks at the far edges
        hold what is left over.
    """
    rows, columns = pixels.shape[:2]
    step = 1
    while math.ceil(rows / step) * math.ceil(columns / step) > most:
        step += 1
    if step == 1:
        return pixels, 1
    high, wide = math.ceil(rows / step), math.ceil(columns / step)
    room = [(0, high * step - rows), (0, wide * step - columns)] + [(0, 0)] * (pixels.ndim - 2)
    padded = np.pad(pixels, room, constant_values=np.nan)
    blocks = padded.reshape(high, step, wide, step, *pixels.shape[2:])
    with warnings.catch_warnings():
        # A block without a known pixel stays unknown.
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        return np.nanmean(blocks, axis=(1, 3)), step


def thin_rows(columns: dict[str, np.ndarray], most: int) -> tuple[dict[str, np.ndarray], int]:
    """Keep every n-th row and the last, so that about `most` remain; returns them and n."""
    count = len(next(iter(columns.values())))
    step = max(1, math.ceil(count / most))
    if step == 1:
        return columns, 1
    kept = np.unique(np.append(np.arange(0, count, step), count - 1))
    return {name: values[kept] for name, values in columns.items()}, step
