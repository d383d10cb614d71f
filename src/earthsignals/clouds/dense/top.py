"""layer3, layer4 and the head for many overlapping windows of the same trunk features.

Their padding sees where a window ends, so overlapping windows share less of them than of the trunk. What they
do share is taken from `opening`, layer3's first convolutions over the whole scene; all others work on windows
and are done as products in Fourier space. Batch normalisation is folded into the weights (in float64). The
results are those of the network itself up to the rounding of sums.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from earthsignals.clouds.dense.fourier import WindowConvolution
from earthsignals.clouds.dense.opening import Opening, smoothing

if TYPE_CHECKING:
    from earthsignals.clouds.networks.resnet import BasicBlock, EmbeddingNetwork

BATCH = 64
"""Windows whose products are formed together: enough for full speed, few enough for the cache."""


def folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution and the batch normalisation (in evaluation) after it.

    float64, and so on the CPU: not every GPU has that.
    """
    gain, offset, mean, variance = (
        each.detach().cpu().double() for each in (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    )
    scale = gain / (variance + norm.eps).sqrt()
    bias = offset - scale * mean
    return convolution.weight.detach().cpu().double() * scale[:, None, None, None], bias


class Top:
    """From the trunk's features over a scene to the embeddings of windows.

    size: features along the edge of a window (`network.trunk_window`).
    """

    def __init__(self, network: EmbeddingNetwork, size: int) -> None:
        middle, last = (size + 1) // 2, (size + 3) // 4
        device = next(network.parameters()).device
        first, *others = network.layer3
        self.opening = Opening(
            folded(first.conv1, first.bn1), folded(*first.downsample), size, first.blurs, device
        )
        self.second = WindowConvolution(*folded(first.conv2, first.bn2), middle, device)
        self.blocks: list[Callable[[Tensor], Tensor]] = [_Plain(block, middle, device) for block in others]
        first, *others = network.layer4
        self.blocks += [
            _Subsampling(first, middle, device),
            *(_Plain(block, last, device) for block in others),
        ]
        self.embed = network.embed

    def __call__(
        self, features: Tensor, rows: Tensor, columns: Tensor, texture: Tensor | None, batch: int = BATCH
    ) -> Tensor:
        """Embeddings (M, D) of the windows that begin at these rows and columns (M,) int64 of the features.

        features: (1, C, H, W). texture: (M, COUNT) of the windows, or None for a network without. Windows
        whose beginnings are all even or all odd share the most: others are done apart.
        """
        found = None
        for parity in range(4):
            odd = divmod(parity, 2)
            which = ((rows % 2 == odd[0]) & (columns % 2 == odd[1])).nonzero()[:, 0]
            if not len(which):
                continue
            shared = self.opening.over(features, odd)
            for part in which.split(batch):
                x = self._windows(*self.opening.windows(shared, rows[part] // 2, columns[part] // 2))
                values = self.embed(x.mean(0), x.amax(0), None if texture is None else texture[part])
                found = values.new_empty(len(rows), values.shape[1]) if found is None else found
                found[part] = values
        return found

    def _windows(self, x: Tensor, shortcut: Tensor) -> Tensor:
        x = self.second(x).add_(shortcut).relu_()
        for block in self.blocks:
            x = block(x)
        return x


class _Plain:
    """A residual block that changes neither size nor channels, on windows (n², B, C)."""

    def __init__(self, block: BasicBlock, n: int, device: torch.device) -> None:
        self.first = WindowConvolution(*folded(block.conv1, block.bn1), n, device)
        self.second = WindowConvolution(*folded(block.conv2, block.bn2), n, device)

    def __call__(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).relu_()).add_(x).relu_()


class _Subsampling:
    """A residual block of stride 2: n × n windows to ceil(n / 2) × ceil(n / 2)."""

    def __init__(self, block: BasicBlock, n: int, device: torch.device) -> None:
        self.n, self.half = n, -(-n // 2)
        weight, bias = folded(block.conv1, block.bn1)
        self.weight = weight.permute(2, 3, 1, 0).flatten(0, 2).float().to(device)  # (9 C, N), taps first
        self.bias = bias.float().to(device)
        weight, bias = folded(*block.downsample)
        self.shortcut, self.shortcut_bias = weight[:, :, 0, 0].T.float().to(device), bias.float().to(device)
        self.second = WindowConvolution(*folded(block.conv2, block.bn2), self.half, device)
        self.blur = smoothing(n, n).float().to(device) if block.blurs else None

    def __call__(self, x: Tensor) -> Tensor:
        if self.blur is not None:
            x = self._blurred(x)
        grid = x.view(self.n, self.n, *x.shape[1:])
        shortcut = grid[::2, ::2].flatten(0, 1) @ self.shortcut + self.shortcut_bias
        y = torch.addmm(self.bias, self._taps(grid), self.weight).relu_()
        return self.second(y.view(*shortcut.shape)).add_(shortcut).relu_()

    def _taps(self, grid: Tensor) -> Tensor:
        """What the nine weights of every output see: (outputs · B, 9 C) of grid (n, n, B, C)."""
        half, (batch, inner) = self.half, grid.shape[2:]
        taps = grid.new_zeros(half, half, batch, 9, inner)
        for row in range(3):
            for column in range(3):
                (to_row, from_row), (to_column, from_column) = (self._reach(tap) for tap in (row, column))
                taps[to_row, to_column, :, 3 * row + column] = grid[from_row, from_column]
        return taps.view(-1, 9 * inner)

    def _reach(self, tap: int) -> tuple[slice, slice]:
        """Outputs whose weight `tap` (0, 1, 2) sees a position of the window, and these positions."""
        first = 1 if tap == 0 else 0
        stop = min(self.half, (self.n - tap) // 2 + 1)
        start = 2 * first + tap - 1
        return slice(first, stop), slice(start, start + 2 * (stop - first), 2)

    def _blurred(self, x: Tensor) -> Tensor:
        rows = (self.blur @ x.reshape(self.n, -1)).view(self.n, self.n, -1)
        return torch.matmul(self.blur, rows).view(x.shape)
