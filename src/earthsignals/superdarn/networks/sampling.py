"""Half the resolution in latitude and longitude, and back again; any size, odd ones too."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from earthsignals.superdarn.networks.windows import Triple


def halved(size: Triple) -> Triple:
    """Tokens left by `DownSample`: levels as before, half the rest, rounded up."""
    return size[0], (size[1] + 1) // 2, (size[2] + 1) // 2


class DownSample(nn.Module):
    """(B, levels, latitude, longitude, E) to half of latitude and longitude, 2 E channels.

    Four neighbours are put side by side, normalised and mapped linearly (Bi et al. 2023). An odd latitude is
    filled up with zeros, an odd longitude with its first column where it is cyclic.
    """

    def __init__(self, dim: int, cyclic: bool) -> None:
        super().__init__()
        self.cyclic = cyclic
        self.norm = nn.LayerNorm(4 * dim)
        self.linear = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[3] % 2:
            x = torch.cat([x, x[:, :, :, :1]], 3) if self.cyclic else pad(x, (0, 0, 0, 1))
        if x.shape[2] % 2:
            x = pad(x, (0, 0, 0, 0, 0, 1))
        batch, levels, rows, columns, dim = x.shape
        x = x.reshape(batch, levels, rows // 2, 2, columns // 2, 2, dim).transpose(3, 4)
        return self.linear(self.norm(x.reshape(batch, levels, rows // 2, columns // 2, 4 * dim)))


class UpSample(nn.Module):
    """(B, levels, latitude, longitude, 2 E) to `size` tokens of E channels; `DownSample`'s way back."""

    def __init__(self, dim: int, size: Triple) -> None:
        super().__init__()
        self.size = size
        self.first = nn.Linear(2 * dim, 4 * dim, bias=False)
        self.norm = nn.LayerNorm(dim)
        self.second = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, levels, rows, columns, _ = x.shape
        x = self.first(x)
        dim = x.shape[-1] // 4
        x = x.view(batch, levels, rows, columns, 2, 2, dim).transpose(3, 4)
        x = x.reshape(batch, levels, 2 * rows, 2 * columns, dim)[:, :, : self.size[1], : self.size[2]]
        return self.second(self.norm(x))
