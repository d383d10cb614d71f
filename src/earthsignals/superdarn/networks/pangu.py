"""The forecast network: Pangu-Weather's encoder and decoder on levels × latitude × longitude.

Bi et al. 2023 (Nature 619, 533), figure 2: patches become tokens; a layer of attention at full resolution,
two at half of it with twice the channels, one at full resolution again, which meets the first one's output
before patches are recovered. Levels are time lags here, where the weather has pressure. In place of that
paper's constant fields (land, topography) each level and latitude has a learnt offset of its own.

Which rolls of a cyclic input roll the output alike (to rounding): multiples of patch · window · 2 columns
where the window divides the number of tokens in longitude at both resolutions; multiples of 2 patches where
one window goes round the circle at both; none, in general, where a size had to be filled up. The numbers are
those after `fitting`. `equivariant_columns` gives the step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from earthsignals.superdarn.networks.blocks import EarthLayer
from earthsignals.superdarn.networks.patches import (
    PatchEmbedding,
    PatchRecovery,
    fitting,
    token_counts,
)
from earthsignals.superdarn.networks.sampling import DownSample, UpSample, halved
from earthsignals.superdarn.params import NetworkParams


class Pangu3D(nn.Module):
    """(B, in_channels, L, R, C) to (B, out_channels, L, R, C); zero everywhere before training.

    levels: L. shape: (R, C), rows in latitude and columns in longitude, of any size; a patch or window longer
    than an axis is cut to it. cyclic: the last column is the first one's neighbour.
    """

    def __init__(
        self, in_channels: int, out_channels: int, levels: int, shape: tuple[int, int],
        params: NetworkParams, *, cyclic: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        grid = (levels, *shape)
        patch = fitting(params.patch_size, grid)
        full = token_counts(grid, patch)
        half = halved(full)
        dim, (first, second, third, last) = params.embed_dim, params.depths
        # Deeper blocks are left out more often; the way up mirrors the way down.
        down = _rates(params.drop_path, first + second)
        up = _rates(params.drop_path, third + last)[::-1]
        self.cyclic, self.columns, self.patch, self.window = cyclic, shape[1], patch, params.window_size

        def layer(number: int, rates: list[float]) -> EarthLayer:
            inner = number in (1, 2)
            return EarthLayer(
                dim * (2 if inner else 1), params.num_heads[number], half if inner else full,
                params.window_size, rates, mlp_ratio=params.mlp_ratio, cyclic=cyclic,
                checkpointing=params.gradient_checkpointing,
            )  # fmt: skip

        self.embedding = PatchEmbedding(in_channels, dim, grid, patch, cyclic)
        self.position = nn.Parameter(torch.zeros(*full[:2], 1, dim))
        self.layer1 = layer(0, down[:first])
        self.down = DownSample(dim, cyclic)
        self.layer2 = layer(1, down[first:])
        self.layer3 = layer(2, up[:third])
        self.up = UpSample(dim, full)
        self.layer4 = layer(3, up[third:])
        self.recovery = PatchRecovery(2 * dim, out_channels, grid, patch)
        for module in self.modules():
            if isinstance(module, nn.Linear) and module is not self.recovery.linear:
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.layer1(self.embedding(x) + self.position)
        x = self.layer3(self.layer2(self.down(skip)))
        x = self.layer4(self.up(x))
        return self.recovery(torch.cat([skip, x], -1))

    @property
    def parameter_count(self) -> int:
        """Learnt numbers."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def equivariant_columns(self) -> int:
        """Rolls by multiples of it roll the output alike; `columns` where none do but whole turns."""
        patch, columns = self.patch[2], self.columns
        tokens = columns // patch
        if not self.cyclic or columns % (2 * patch):
            return columns
        step = 2
        for count, scale in ((tokens, 1), (tokens // 2, 2)):
            window = min(count, self.window[2])
            if count % window:
                return columns
            step = math.lcm(step, scale * (window if count > window else 1))
        return patch * step


def _rates(largest: float, blocks: int) -> list[float]:
    """Rates of DropPath from 0 in the first block to `largest` in the last."""
    return [largest * number / max(1, blocks - 1) for number in range(blocks)]
