"""The texture of overlapping windows: maps of the scene made once, averaged over every window.

Means over windows are taken along columns first and then along rows, of maps that all windows share; they
equal those of windows cut out up to the rounding of sums.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from earthsignals.clouds.dense.trunk import scaled

if TYPE_CHECKING:
    from earthsignals.clouds.networks.resnet import EmbeddingNetwork
    from earthsignals.clouds.networks.texture import TextureNetwork

PIXELS = 1_400_000
"""Of the scene at a time: some 70 bytes of maps live for each, and at least one window's."""


class WindowTexture:
    """Texture of windows of `size` pixels that begin `step` pixels apart, a multiple of the maps' strides.

    image: (3, H, W) uint8 with the first window in its corner.
    """

    @torch.inference_mode()
    def __init__(
        self, network: EmbeddingNetwork | TextureNetwork, image: np.ndarray, size: int, step: int
    ) -> None:
        self.network, self.image, self.size, self.step = network, image, size, step
        self.scattering = network.texture
        # How many positions of each map a window spans.
        tile = scaled(np.zeros((1, 3, size, size), np.uint8), network)
        self.extents = [each.shape[-1] for each in self.scattering.maps(tile)]

    def rows(self, first: int, rows: int, columns: int) -> Tensor:
        """Features (rows, columns, COUNT) of the windows from row `first` and the first column on."""
        height = self.size + (rows - 1) * self.step
        at_once = max(1, (PIXELS // height - self.size) // self.step + 1)
        parts = [
            self._part(first, start, rows, min(at_once, columns - start))
            for start in range(0, columns, at_once)
        ]
        return torch.cat(parts, 1)

    def _part(self, row: int, column: int, rows: int, columns: int) -> Tensor:
        """Features (rows, columns, COUNT) of the windows from this row and column of windows on."""
        down, across = (
            slice(first * self.step, (first + count - 1) * self.step + self.size)
            for first, count in ((row, rows), (column, columns))
        )
        maps = self.scattering.maps(scaled(self.image[None, :, down, across], self.network))
        means = [
            _averaged(each, extent, self.step // stride)[0, :, :rows, :columns].flatten(1).T
            for each, extent, stride in zip(maps, self.extents, self.scattering.strides(), strict=True)
        ]
        return self.scattering.describe(means).unflatten(0, (rows, columns))


def _averaged(values: Tensor, extent: int, step: int) -> Tensor:
    """Means (B, C, rows, columns) of values (B, C, H, W) over squares of `extent` positions, `step` apart."""
    return avg_pool2d(avg_pool2d(values, (extent, 1), (step, 1)), (1, extent), (1, step))
