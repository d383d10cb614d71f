"""A scene in blocks: strips of rows, cut into columns too where they are very wide, each with its halo.

Every pixel is judged by a window of the scene around it. A block that is read with a halo of the window's
reach can be mapped alone, so a flightline of any length passes through a fixed amount of memory. Outside
of the scene there is the preprocessing's `fill`, exactly as for an invalid pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from earthsignals.plume.preprocess import Preprocessing


class Scene(Protocol):
    """What blocks are read from: a `Flightline`, or an array in an `ArrayScene`."""

    shape: tuple[int, int]

    def read(self, rows: slice, cols: slice) -> np.ndarray:
        """Enhancement [ppm·m] as float32 (rows, columns), NaN where there is no measurement."""


@dataclass(frozen=True)
class ArrayScene:
    """A scene in memory: enhancement [ppm·m] (lines, samples), NaN or infinite where invalid."""

    array: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return self.array.shape

    def read(self, rows: slice, cols: slice) -> np.ndarray:
        return np.asarray(self.array[rows, cols], dtype=np.float32)


@dataclass(frozen=True)
class Block:
    """Pixels rows top .. bottom − 1 and columns left .. right − 1 of a scene."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left


def cut_evenly(shape: tuple[int, int], most_rows: int, most_columns: int) -> list[Block]:
    """The fewest blocks of at most `most_rows` × `most_columns` pixels, all of nearly the same size."""
    height, width = (
        -(-size // -(-size // most)) for size, most in zip(shape, (most_rows, most_columns), strict=True)
    )
    return cut(shape, height, width)


def cut(shape: tuple[int, int], height: int, width: int) -> list[Block]:
    """Blocks of height × width pixels from the top left corner on; the last ones are what is left."""
    lines, samples = shape
    return [
        Block(top, min(top + height, lines), left, min(left + width, samples))
        for top in range(0, lines, height)
        for left in range(0, samples, width)
    ]


def read_padded(
    scene: Scene, block: Block, halo: tuple[int, int], preprocessing: Preprocessing
) -> tuple[np.ndarray, np.ndarray]:
    """A block ready for a network, and which of its pixels are measurements.

    Returns float32 (h + before + after, w + before + after), normalised, `fill` where invalid or
    outside of the scene; and bool (h, w).
    """
    (before, after), (lines, samples) = halo, scene.shape
    height, width = block.shape
    padded = np.full((height + before + after, width + before + after), preprocessing.fill, np.float32)
    top, bottom = max(block.top - before, 0), min(block.bottom + after, lines)
    left, right = max(block.left - before, 0), min(block.right + after, samples)
    ch4 = scene.read(slice(top, bottom), slice(left, right))
    down, across = top - block.top + before, left - block.left + before
    padded[down : down + bottom - top, across : across + right - left] = preprocessing.apply(ch4)
    inside = ch4[block.top - top : block.bottom - top, block.left - left : block.right - left]
    return padded, np.isfinite(inside)
