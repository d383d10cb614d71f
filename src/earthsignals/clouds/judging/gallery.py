"""Many tiles without holding them: rows of files and arrays, read in parts as they are asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Gallery:
    """Images (N, 3, P, P) uint8 of several sources, one after the other.

    parts: (images, rows) each; `rows` choose of images (M, 3, P, P), an array or one mapped from a file.
    `gallery[a:b]` and `gallery[indices]` read those tiles alone.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        self.parts = [(images, np.asarray(rows, np.int64)) for images, rows in parts]
        self.starts = np.cumsum([0, *(len(rows) for _, rows in self.parts)])
        self.shape = (int(self.starts[-1]), *self.parts[0][0].shape[1:])
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, chosen: slice | np.ndarray | Sequence[int]) -> np.ndarray:
        """Tiles (n, 3, P, P), a copy."""
        if isinstance(chosen, slice):
            chosen = np.arange(*chosen.indices(len(self)))
        chosen = np.asarray(chosen, np.int64)
        found = np.empty((len(chosen), *self.shape[1:]), np.uint8)
        part = np.searchsorted(self.starts, chosen, side="right") - 1
        for number, (images, rows) in enumerate(self.parts):
            own = part == number
            if own.any():
                found[own] = images[rows[chosen[own] - self.starts[number]]]
        return found

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        everything = self[:]
        return everything if dtype is None else everything.astype(dtype)
