"""The blocks between sampling layers: windowed attention and a perceptron, each added to what came in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from earthsignals.superdarn.networks.attention import EarthAttention3D
from earthsignals.superdarn.networks.windows import Triple, windows_of


class DropPath(nn.Module):
    """Leaves out a branch for a whole sample, and makes up for it in the others (stochastic depth).

    Huang et al. 2016, arXiv:1603.09382: in training a sample's branch is zero with probability `rate`, else
    divided by 1 - rate; the mean is that of evaluation, where nothing happens.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        kept = x.new_empty(len(x), *[1] * (x.ndim - 1)).bernoulli_(1 - self.rate)
        return x * (kept / (1 - self.rate))


class EarthBlock(nn.Module):
    """Attention in windows, then a perceptron; the norm stands at each branch's end, as in Pangu-Weather.

    Maps (B, levels, latitude, longitude, E) to the same. shifted: windows moved by half their size.
    """

    def __init__(
        self, dim: int, heads: int, size: Triple, window: Triple, *, mlp_ratio: float, drop_path: float,
        shifted: bool, cyclic: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.windows = windows_of(size, window, shifted=shifted, cyclic=cyclic)
        self.attention = EarthAttention3D(dim, heads, self.windows)
        hidden = round(dim * mlp_ratio)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.drop = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        attended = self.windows.reverse(self.attention(self.windows.partition(x)))
        x = x + self.drop(self.norm1(attended))
        return x + self.drop(self.norm2(self.mlp(x)))


class EarthLayer(nn.Module):
    """Blocks in a row, every second one with shifted windows; one rate of `drop_path` for each.

    checkpointing: keep a block's input alone and compute its inside again for the gradient.
    """

    def __init__(
        self, dim: int, heads: int, size: Triple, window: Triple, drop_path: Sequence[float], *,
        mlp_ratio: float, cyclic: bool, checkpointing: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.checkpointing = checkpointing
        self.blocks = nn.ModuleList(
            EarthBlock(
                dim, heads, size, window, mlp_ratio=mlp_ratio, drop_path=rate, shifted=number % 2 == 1,
                cyclic=cyclic,
            )  # fmt: skip
            for number, rate in enumerate(drop_path)
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        return x
