"""Patches: from a field to tokens, and from tokens back to a field of exactly the same size."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from earthsignals.superdarn.networks.windows import Triple


def fitting(patch: Triple, grid: Triple) -> Triple:
    """The patch, no larger than the grid along any axis."""
    return tuple(min(p, n) for p, n in zip(patch, grid, strict=True))


def token_counts(grid: Triple, patch: Triple) -> Triple:
    """Tokens along each axis: a patch that the grid only begins counts."""
    return tuple(math.ceil(n / p) for n, p in zip(grid, patch, strict=True))


class PatchEmbedding(nn.Module):
    """A field (B, channels, L, R, C) to tokens (B, levels, latitude, longitude, E): a linear map per patch.

    What a grid lacks of whole patches is filled up at its end: with zeros, and with its first columns where
    the longitude is cyclic.
    """

    def __init__(self, channels: int, dim: int, grid: Triple, patch: Triple, cyclic: bool) -> None:
        super().__init__()
        self.patch, self.cyclic = patch, cyclic
        counts = token_counts(grid, patch)
        self.beyond = tuple(n * p - g for n, p, g in zip(counts, patch, grid, strict=True))
        self.linear = nn.Linear(channels * math.prod(patch), dim)

    def forward(self, x: Tensor) -> Tensor:
        levels, rows, columns = self.beyond
        if columns and self.cyclic:
            x, columns = torch.cat([x, x[..., :columns]], -1), 0
        if levels or rows or columns:
            x = pad(x, (0, columns, 0, rows, 0, levels))
        p_z, p_y, p_x = self.patch
        z, y, x_ = x.shape[2] // p_z, x.shape[3] // p_y, x.shape[4] // p_x
        x = x.reshape(*x.shape[:2], z, p_z, y, p_y, x_, p_x).permute(0, 2, 4, 6, 1, 3, 5, 7)
        return self.linear(x.flatten(4))


class PatchRecovery(nn.Module):
    """Tokens (B, levels, latitude, longitude, E) to a field (B, channels, L, R, C), cropped to the grid.

    Starts at zero, whatever comes in, so that a network which corrects a forecast begins with that forecast.
    """

    def __init__(self, dim: int, channels: int, grid: Triple, patch: Triple) -> None:
        super().__init__()
        self.grid, self.patch, self.channels = grid, patch, channels
        self.linear = nn.Linear(dim, channels * math.prod(patch))
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        batch, z, y, x_, _ = x.shape
        p_z, p_y, p_x = self.patch
        x = self.linear(x).view(batch, z, y, x_, self.channels, p_z, p_y, p_x).permute(0, 4, 1, 5, 2, 6, 3, 7)
        x = x.reshape(batch, self.channels, z * p_z, y * p_y, x_ * p_x)
        levels, rows, columns = self.grid
        return x[:, :, :levels, :rows, :columns]
