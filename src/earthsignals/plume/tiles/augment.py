"""Batches of tiles as the networks see them, turned and mirrored afresh in every epoch.

A plume looks like a plume from any side, so each tile of a training epoch is shown in one of the eight
orientations of a square. Which one is a function of (seed, epoch, tile) alone: a resumed training, or one
on several devices, shows the same.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from earthsignals.compute.seeds import Stream
from earthsignals.plume.preprocess import Preprocessing
from earthsignals.plume.tiles.tilefile import TileGroup


class TileBatches:
    """A BatchSource (see earthsignals.training) of one split's tiles.

    A batch is (x, label): normalised tiles (B, 1, W, W) float32 and labels (B,) float32, or with
    `with_masks` (x, plume): plume pixels (B, W, W) float32. Only the tiles of a batch are read from the disk.
    """

    def __init__(
        self, group: TileGroup, split: str, preprocessing: Preprocessing, *, with_masks: bool = False,
        flips: bool = False, rotations: bool = False, seed: int = 0,
    ) -> None:  # fmt: skip
        self.group, self.rows = group, group.rows(split)
        self.preprocessing, self.with_masks = preprocessing, with_masks
        self.flips, self.rotations, self.seed = flips, rotations, seed

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> np.ndarray:
        """1 plume, 0 none; (N,) uint8."""
        return self.group.label[self.rows]

    def batch(self, indices: np.ndarray, epoch: int) -> tuple[Tensor, ...]:
        """Tensors of the tiles `indices` as they are shown in `epoch`."""
        rows = self.rows[indices]
        tiles = self.preprocessing.apply(self.group.tiles[rows])
        masks = (self.group.mask[rows] == 1).astype(np.float32) if self.with_masks else None
        if self.flips or self.rotations:
            stream = Stream(self.seed, "plume-orientation")
            for n, index in enumerate(indices):
                # The generator's index has 128 bits: the epoch in the upper, the tile in the lower half.
                drawn = int(stream.at((epoch << 64) | int(index)).integers(16))
                tiles[n] = self._oriented(tiles[n], drawn)
                if masks is not None:
                    masks[n] = self._oriented(masks[n], drawn)
        x = torch.from_numpy(tiles).unsqueeze(1)
        if masks is not None:
            return x, torch.from_numpy(masks)
        return x, torch.from_numpy(self.group.label[rows].astype(np.float32))

    def _oriented(self, tile: np.ndarray, drawn: int) -> np.ndarray:
        """One of the orientations, by four random bits: two quarter turns' worth and two mirrors."""
        if self.rotations:
            tile = np.rot90(tile, drawn & 3)
        if self.flips:
            tile = tile[:: -1 if drawn & 4 else 1, :: -1 if drawn & 8 else 1]
        return tile.copy()
