"""layer3's first convolution and shortcut, which subsample, over a whole scene for all of its windows.

A window's first rows and columns see zeros where the scene goes on. A convolution is linear, so these
positions are the scene's own, done with other weights: those that would see beyond the window are left out.
There are few kinds of position along an axis (first, inner, at times last), and each pair of kinds is one
convolution of the scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad


def smoothing(outputs: int, size: int, stride: int = 1) -> Tensor:
    """The blur (1, 2, 1)/4 with zeros around: (outputs, size) float64; output i stands over i·stride."""
    middle = stride * torch.arange(outputs)[:, None]
    distance = (torch.arange(size)[None] - middle).abs()
    return (2 - distance).clamp(min=0).double() / 4


@dataclass(frozen=True)
class _Kinds:
    """What the outputs of a window see along an axis.

    views: (kinds, taps, reach) float64: from inputs within `reach` around 2·i to the taps of the weights.
    kind: (outputs,) int64, of each output.
    """

    views: Tensor
    kind: Tensor

    @classmethod
    def of(cls, size: int, taps: int, anti_aliased: bool) -> _Kinds:
        """Of windows of `size` inputs and weights of 3 taps or 1, after the blur if `anti_aliased`."""
        half = taps // 2 + int(anti_aliased)
        blur = smoothing(size, size) if anti_aliased else torch.eye(size, dtype=torch.float64)
        around = torch.nn.functional.pad(blur, (half, half, half, half))
        outputs = -(-size // 2)
        views = torch.stack([
            around[half + 2 * i - taps // 2 : half + 2 * i + taps // 2 + 1, 2 * i : 2 * i + 2 * half + 1]
            for i in range(outputs)
        ])  # fmt: skip
        different, kind = views.unique(dim=0, return_inverse=True)
        return cls(different, kind)


@dataclass(frozen=True)
class Shared:
    """Layer3's opening over a scene: values of each kind of position, flattened for picking windows.

    values: (kinds · rows · columns, N), after the rectifier. shortcut: likewise, without it.
    """

    values: Tensor
    shortcut: Tensor
    shape: tuple[int, int]


class Opening:
    """Both convolutions with weights (N, C, k, k) and biases (N,), float64 on the CPU; computes on `device`.

    size: features along a window's edge.
    """

    def __init__(
        self, main: tuple[Tensor, Tensor], shortcut: tuple[Tensor, Tensor], size: int, anti_aliased: bool,
        device: torch.device,
    ) -> None:  # fmt: skip
        self.outputs = (size + 1) // 2
        kinds = [_Kinds.of(size, taps, anti_aliased) for taps in (3, 1)]
        self.main, self.shortcut = (
            (_combined(each[0], kind.views).to(device), each[1].float().to(device))
            for each, kind in zip((main, shortcut), kinds, strict=True)
        )
        self.kinds = [len(kind.views) for kind in kinds]
        self.kind = [kind.kind.to(device) for kind in kinds]

    def over(self, features: Tensor, odd: tuple[int, int]) -> Shared:
        """Of features (1, C, H, W), for windows that begin at even (0) or odd (1) rows and columns."""
        features = features[:, :, odd[0] :, odd[1] :]
        values = [_every_kind(features, *weights) for weights in (self.main, self.shortcut)]
        shape = values[0].shape[1:3]
        return Shared(values[0].flatten(0, 2).relu_(), values[1].flatten(0, 2), (shape[0], shape[1]))

    def windows(self, shared: Shared, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Positions first, (n², M, N) each: of windows that begin at these rows and columns of `shared`."""
        return (
            self._picked(shared.values, shared.shape, 0, rows, columns),
            self._picked(shared.shortcut, shared.shape, 1, rows, columns),
        )

    def _picked(
        self, values: Tensor, shape: tuple[int, int], which: int, rows: Tensor, columns: Tensor
    ) -> Tensor:
        kind, step = self.kind[which], torch.arange(self.outputs, device=rows.device)
        pair = self.kinds[which] * kind[:, None] + kind[None]
        row = pair[:, :, None] * shape[0] + step[:, None, None] + rows
        index = row * shape[1] + step[None, :, None] + columns
        return values.index_select(0, index.flatten()).view(self.outputs**2, len(rows), -1)


def _combined(weight: Tensor, views: Tensor) -> Tensor:
    """Weights (kinds², N, C, reach, reach) float32 as seen from each pair of kinds of row and column."""
    pairs = torch.einsum("ncab,rai,sbj->rsncij", weight, views, views)
    return pairs.flatten(0, 1).float()


def _every_kind(features: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """(kinds², rows, columns, N) of features (1, C, H, W), at every second of their rows and columns."""
    around = weights.shape[-1] // 2
    features = pad(features, (around,) * 4).contiguous(memory_format=torch.channels_last)
    values = [conv2d(features, weight, bias, stride=2)[0].permute(1, 2, 0) for weight in weights]
    return torch.stack(values)
