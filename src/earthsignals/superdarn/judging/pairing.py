"""The same radar, channel and cell some frames ago: what persistence has to go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from earthsignals.superdarn.framing import series_key

if TYPE_CHECKING:
    from earthsignals.superdarn.grid import GridFile


@dataclass(frozen=True)
class Series:
    """Every vector (N,) of a grid by what it continues: the vectors of one radar, channel and cell.

    key: (N,) int64, ascending, frame · count + series; order: (N,) indices of the vectors in that order;
    series: (N,) int64 in [0, count).
    """

    grid: GridFile
    series: np.ndarray
    count: int
    key: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, grid: GridFile) -> Series:
        code = series_key(grid.stid, grid.channel, grid.index)
        unique, series = np.unique(code, return_inverse=True)
        count = max(len(unique), 1)
        key = grid.frame.astype(np.int64) * count + series
        order = np.argsort(key, kind="stable")
        return cls(grid, series.astype(np.int64), count, key[order], order)

    def earlier(self, vector: np.ndarray, frames: int) -> np.ndarray:
        """Of each vector (n,) that of its series `frames` frames before: (n,) int64 indices, −1 without.

        What lies beyond a gap that ends a segment is no predecessor.
        """
        vector = np.asarray(vector, np.int64)
        if not len(self.key):
            return np.full(vector.shape, -1, np.int64)
        now = self.grid.frame[vector].astype(np.int64)
        wanted = (now - frames) * self.count + self.series[vector]
        place = np.minimum(np.searchsorted(self.key, wanted), len(self.key) - 1)
        found = np.where((self.key[place] == wanted) & (now >= frames), self.order[place], -1)
        segment = self.grid.segment
        same = segment[np.maximum(now - frames, 0)] == segment[now]
        return np.where(same, found, -1)

    def persisted(self, vector: np.ndarray, earlier: np.ndarray) -> np.ndarray:
        """The earlier velocity along the line of sight of now: (n,) float64 m/s, NaN where there is none.

        A vector's sign stands in its azimuth, which turns by 180° when the flow does: v cos(k_then − k_now).
        """
        kvect, velocity = self.grid.kvect, self.grid.velocity
        turned = np.deg2rad(kvect[earlier].astype(np.float64) - kvect[vector])
        return np.where(earlier >= 0, velocity[earlier] * np.cos(turned), np.nan)
