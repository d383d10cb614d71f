"""Windows that begin on pixels of the same remainder by the trunk's stride: what they share, made once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from earthsignals.clouds.dense.texture import PIXELS, WindowTexture
from earthsignals.clouds.dense.top import BATCH, Top
from earthsignals.clouds.dense.trunk import RollingTrunk, rows_at_once
from earthsignals.clouds.networks.resnet import TRUNK_STRIDE

if TYPE_CHECKING:
    from earthsignals.clouds.networks.resnet import EmbeddingNetwork
    from earthsignals.clouds.networks.texture import TextureNetwork

LARGE_BATCH = 1024
"""Windows at a time on a GPU."""


class Phase:
    """Embeddings of windows of `size` pixels, `step` pixels apart, a multiple of the trunk's stride.

    image: (3, H, W) uint8 with the first window in its corner.
    """

    def __init__(
        self, network: EmbeddingNetwork, top: Top, image: np.ndarray, size: int, step: int
    ) -> None:
        self.top, self.features = top, network.trunk_window(size)
        self.apart = step // TRUNK_STRIDE
        self.trunk = RollingTrunk(network, image)
        self.texture = WindowTexture(network, image, size, step) if network.scattering else None
        self.rows_at_once = max(1, rows_at_once(network, image.shape[2]) // step)
        """Rows of windows whose features fit into memory together."""

    @torch.inference_mode()
    def embedded(self, first: int, which: np.ndarray) -> np.ndarray:
        """Embeddings (M, D) float32 of the windows `which` (rows, columns) bool, from row `first` on.

        `first` never decreases from call to call.
        """
        start, last = self.apart * first, self.apart * (first + len(which) - 1)
        features = self.trunk.rows(start, last + self.features)
        mask = torch.from_numpy(which).to(features.device)
        rows, columns = self.apart * mask.nonzero().T
        texture = None if self.texture is None else self.texture.rows(first, *which.shape)[mask]
        batch = BATCH if features.device.type == "cpu" else LARGE_BATCH
        return self.top(features, rows, columns, texture, batch).float().cpu().numpy()


class TexturePhase:
    """The same for the network of fixed filters, which has neither trunk nor top."""

    def __init__(self, network: TextureNetwork, image: np.ndarray, size: int, step: int) -> None:
        self.head = network.head
        self.texture = WindowTexture(network, image, size, step)
        # No fewer new pixels than a window overlaps: what strips share is computed twice.
        self.rows_at_once = (max(PIXELS // image.shape[2], 2 * size) - size) // step + 1

    @torch.inference_mode()
    def embedded(self, first: int, which: np.ndarray) -> np.ndarray:
        """Embeddings (M, D) float32 of the windows `which` (rows, columns) bool, from row `first` on."""
        texture = self.texture.rows(first, *which.shape)
        return self.head(texture[torch.from_numpy(which).to(texture.device)]).float().cpu().numpy()
