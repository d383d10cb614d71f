"""The dense map: all windows of a scene at once, equal to the sliding window (the "a trous" form).

Neighbouring windows share nearly all their work. Dropping every stride of s and spreading the taps of
all later layers by s computes each shared value once (Holschneider et al. 1989; Giusti et al. 2013,
arXiv:1302.1700; Yu & Koltun 2016, arXiv:1511.07122). The weights stay the same, so the map does too,
provided that nothing inside the network depends on where the window ends: no padding, no rounding up.

Batch normalisation is folded into the convolutions. The last mean and the linear layer change places:
the linear layer leaves one channel, of which the window mean is then cheap.

Rows flow through the layers in bands. Each layer keeps the few rows that its taps still reach back to,
so no row is computed twice and memory does not grow with the height of what is mapped.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from earthsignals.plume.networks.googlenet import GoogLeNetValid, Inception
from earthsignals.plume.networks.plumenet import ConvBlock, PlumeNet
from earthsignals.storage import EarthSignalsError

# Bytes of the widest map of a band. Small bands stay in a CPU's cache; a GPU wants work in bulk.
BAND_BYTES = {"cpu": 8 << 20}
BAND_BYTES_ELSEWHERE = 256 << 20


def margins(window: int) -> tuple[int, int]:
    """(before, after): pixel i is judged by rows (or columns) i - before .. i + after of the scene.

    (128, 127) for a window of 256, (32, 31) for 64: so much padding on the top and left, and on the
    bottom and right, gives every pixel of a scene its window.
    """
    return window // 2, window - window // 2 - 1


def dense_form(model: nn.Module) -> DenseMap:
    """The dense form of a PlumeNet or GoogLeNetValid: a copy of its weights, in its dtype and place.

    Raises EarthSignalsError for an architecture whose dense map would not equal its sliding window.
    """
    if isinstance(model, GoogLeNetValid):
        return DenseMap(model, [block for _, block in model.chain()])
    if isinstance(model, PlumeNet):
        return DenseMap(model, list(model.layers))
    if model.architecture == "googlenet":
        raise EarthSignalsError(
            "googlenet pads inside its windows, so a dense map would not equal its sliding window: use "
            "--mode sliding or --mode shift-stitch, or train googlenet-valid"
        )
    raise EarthSignalsError(
        f"{model.architecture} labels the pixels of a tile and has no window per pixel, so it knows none "
        "of the modes dense, sliding and shift-stitch: use plumenet or googlenet-valid for maps"
    )


class DenseMap(nn.Module):
    """(1, 1, H + W - 1, Wd + W - 1) normalised padded scene -> (H, Wd) logits; W is `window`.

    Made by `dense_form`. Besides the scene and the map it holds some bands of rows only, whatever H is.
    """

    def __init__(self, model: nn.Module, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.architecture, self.window = model.architecture, model.window
        layers: list[_Layer] = []
        dilation = 1
        for block in blocks:
            layers.append(_dilated(block, dilation))
            dilation *= layers[-1].stride
        self.chain = _Chain([*layers, _Readout(*model.readout()), _WindowMean(model.final, dilation)])
        self.channels = max(t.shape[0] for name, t in self.named_buffers() if name.endswith("weight"))
        self.eval()

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        if min(x.shape[2:]) < self.window:
            raise ValueError(f"padded scene of {tuple(x.shape[2:])}, expected {self.window} or more each way")
        rows, columns = x.shape[2] - self.window + 1, x.shape[3] - self.window + 1
        # Pools may leave the last row of a window unused (255 of 256): then so much less is needed.
        x = x[..., : rows + self.chain.reach, : columns + self.chain.reach]
        limit = BAND_BYTES.get(x.device.type, BAND_BYTES_ELSEWHERE)
        band = max(16, limit // (self.channels * x.shape[3] * x.element_size()))
        memory: dict[nn.Module, Tensor] = {}
        parts = (self.chain(part, memory) for part in x.split(band, 2))
        return torch.cat([part[0, 0] for part in parts if part is not None])


class _Layer(nn.Module):
    """Part of a dense chain: rows in, rows out, each from its own row and the `reach` rows below it.

    A subclass gives `compute`, from (1, C, n + reach, m + reach) to (1, D, n, m).
    """

    stride = 1  # of the layer this is the dense form of
    reach = 0

    def forward(self, x: Tensor, memory: dict[nn.Module, Tensor]) -> Tensor | None:
        """The rows that can be computed now; None while there are too few. `memory` keeps the rest."""
        if self.reach:
            if self in memory:
                x = torch.cat([memory[self], x], 2)
            # A copy: a view would keep the whole band alive.
            memory[self] = x[:, :, max(0, x.shape[2] - self.reach) :].clone()
        return self.compute(x) if x.shape[2] > self.reach else None


class _Chain(_Layer):
    """Layers one after another."""

    def __init__(self, layers: list[_Layer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.reach = sum(layer.reach for layer in layers)

    def forward(self, x: Tensor | None, memory: dict[nn.Module, Tensor]) -> Tensor | None:
        for layer in self.layers:
            if x is not None:
                x = layer(x, memory)
        return x


class _Convolution(_Layer):
    """Convolution with its batch normalisation folded in, then ReLU."""

    def __init__(self, block: ConvBlock, dilation: int) -> None:
        super().__init__()
        conv, bn = block.conv, block.bn
        self.stride, self.dilation = conv.stride[0], dilation
        self.reach = (conv.kernel_size[0] - 1) * dilation
        # g (w x - m) / s + b = (g w / s) x + (b - g m / s), in float64 and rounded once.
        gain = bn.weight.double() / (bn.running_var.double() + bn.eps).sqrt()
        weight = (conv.weight.double() * gain[:, None, None, None]).to(conv.weight)
        bias = (bn.bias.double() - gain * bn.running_mean.double()).to(conv.weight)
        # Channels last: twice to five times as fast on CPUs, dilated or not.
        self.register_buffer("weight", weight.detach().contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias.detach())

    def compute(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight, self.bias, dilation=self.dilation).relu_()


class _MaxPool(_Layer):
    """Maximum over the taps, columns first: far faster than a dilated pooling call."""

    def __init__(self, pool: nn.MaxPool2d, dilation: int) -> None:
        super().__init__()
        self.taps, self.stride, self.dilation = pool.kernel_size, pool.stride, dilation
        self.reach = (self.taps - 1) * dilation

    def compute(self, x: Tensor) -> Tensor:
        for axis in (3, 2):
            first, second, *others = _shifted(x, axis, self.taps, self.dilation)
            x = torch.maximum(first, second)
            for other in others:
                torch.maximum(x, other, out=x)
        return x


class _Crop(_Layer):
    """`margin` pixels off every side."""

    def __init__(self, margin: int) -> None:
        super().__init__()
        self.margin, self.reach = margin, 2 * margin

    def compute(self, x: Tensor) -> Tensor:
        return x[..., self.margin : -self.margin, self.margin : -self.margin]


class _Inception(_Layer):
    """Branches of equal reach beside each other."""

    def __init__(self, block: Inception, dilation: int) -> None:
        super().__init__()
        parts = [[block.branch1], block.branch2, block.branch3, block.branch4]
        chains = [[_dilated(layer, dilation) for layer in part] for part in parts]
        chains[0].append(_Crop(dilation))
        self.branches = nn.ModuleList(_Chain(chain) for chain in chains)
        self.reach = self.branches[0].reach

    def forward(self, x: Tensor, memory: dict[nn.Module, Tensor]) -> Tensor | None:
        parts = [branch(x, memory) for branch in self.branches]
        return None if parts[0] is None else torch.cat(parts, 1)


class _Readout(_Layer):
    """The linear layer, (1, C, n, m) -> (1, 1, n, m), before the mean instead of after it."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight.detach().clone().reshape(1, -1, 1, 1))
        self.register_buffer("bias", bias.detach().clone().reshape(1))

    def compute(self, x: Tensor) -> Tensor:
        return conv2d(x, self.weight, self.bias)


class _WindowMean(_Layer):
    """Mean over taps x taps: short sums for each pixel anew, as running sums would lose digits."""

    def __init__(self, taps: int, dilation: int) -> None:
        super().__init__()
        self.taps, self.dilation, self.reach = taps, dilation, (taps - 1) * dilation

    def compute(self, x: Tensor) -> Tensor:
        for axis in (3, 2):
            x = torch.stack(_shifted(x, axis, self.taps, self.dilation)).mean(0)
        return x


def _shifted(x: Tensor, axis: int, taps: int, dilation: int) -> list[Tensor]:
    """Views of x that begin at the taps 0, dilation, 2 dilation ... along `axis`."""
    length = x.shape[axis] - (taps - 1) * dilation
    return [x.narrow(axis, tap * dilation, length) for tap in range(taps)]


def _dilated(block: nn.Module, dilation: int) -> _Layer:
    if isinstance(block, ConvBlock):
        return _Convolution(block, dilation)
    if isinstance(block, nn.MaxPool2d):
        return _MaxPool(block, dilation)
    if isinstance(block, Inception):
        return _Inception(block, dilation)
    raise TypeError(f"no dense form of a {type(block).__name__} is known")
