"""The trunk over a scene, strip by strip: only the rows of features that windows still need are kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from earthsignals.clouds.networks.resnet import TRUNK_STRIDE

if TYPE_CHECKING:
    from earthsignals.clouds.networks.resnet import EmbeddingNetwork

STRIP_BYTES = 128 * 2**20
"""Of the trunk's activations that live at a time."""


def rows_at_once(network: EmbeddingNetwork, columns: int) -> int:
    """New pixel rows of a strip of a scene of so many columns, a multiple of the trunk's stride.

    The stem's output has `width` channels at a quarter of the pixels, in float32; some three of that size
    live at a time, and two copies of the image.
    """
    bytes_per_pixel = 3 * network.width + 2 * 3 * 4
    return max(1, STRIP_BYTES // (bytes_per_pixel * columns) // TRUNK_STRIDE) * TRUNK_STRIDE


def is_exact(network: EmbeddingNetwork) -> bool:
    """Is what a window's embedding is made of the crop of what is made of the scene?"""
    return network.shares_exactly


class RollingTrunk:
    """Rows of the trunk's features of `image` (3, H, W) uint8, asked for from north to south.

    Strips do not show in the result: it is the trunk of the whole image, to the rounding of sums.
    """

    def __init__(self, network: EmbeddingNetwork, image: np.ndarray) -> None:
        self.network, self.image = network, image
        # Position i sees `field` pixels from 8 i on, or with padding as many around 8 i.
        self.field = network.receptive_field
        self.margin = 0 if is_exact(network) else -(-self.field // (2 * TRUNK_STRIDE)) + 1
        self.first = 0
        self.kept: Tensor | None = None

    def rows(self, start: int, stop: int) -> Tensor:
        """Features (1, C, stop - start, W') of these rows; neither bound ever decreases."""
        have, parts = start, []
        if self.kept is not None:
            have = max(start, self.first + self.kept.shape[2])
            parts = [self.kept[:, :, start - self.first :]]
        parts += self._computed(have, stop)
        self.first, self.kept = start, torch.cat(parts, 2)
        return self.kept

    def _computed(self, start: int, stop: int) -> Iterator[Tensor]:
        step = rows_at_once(self.network, self.image.shape[2]) // TRUNK_STRIDE
        for first in range(start, stop, step):
            last = min(stop, first + step)
            above = min(first, self.margin)
            end = (last + self.margin) * TRUNK_STRIDE if self.margin else self._seen_by(last - 1)
            pixels = self.image[:, (first - above) * TRUNK_STRIDE : end]
            features = self.network.trunk_of(scaled(pixels[None], self.network))
            yield features[:, :, above : above + last - first]

    def _seen_by(self, position: int) -> int:
        return TRUNK_STRIDE * position + self.field


def scaled(images: np.ndarray, network: EmbeddingNetwork) -> Tensor:
    """Images (B, 3, H, W) uint8 as the network takes them: float32 in [0, 1], where it is, channels last."""
    device = next(network.parameters()).device
    images = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    return images.contiguous(memory_format=torch.channels_last).float().div_(255)
