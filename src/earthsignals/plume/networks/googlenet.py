"""GoogLeNet as the plume literature uses it, and a form without padding that is exact when dense.

Inception v1 (Szegedy et al. 2015, arXiv:1409.4842, table 1) with batch normalisation, 3 x 3 kernels in
the "5 x 5" branch, one input channel and two classes. Parameter names are those of the widely used
torchvision model, so that weights trained elsewhere fit; the code is ours.

`GoogLeNetValid` has the same blocks and names, but neither padding nor rounding up: inside an inception
block the 1 x 1 branch is cropped by a pixel on each side to meet the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from earthsignals.plume.networks.plumenet import ConvBlock
from earthsignals.storage import EarthSignalsError
from earthsignals.training.checkpoint import read_tensors

EPS = 1e-3  # of every batch normalisation, as in the original
STEM = 64  # channels of the first two convolutions
# Name -> channels: input, 1x1, 3x3 reduced, 3x3, "5x5" reduced, "5x5", after the pool.
INCEPTIONS = {
    "inception3a": (192, 64, 96, 128, 16, 32, 32),
    "inception3b": (256, 128, 128, 192, 32, 96, 64),
    "inception4a": (480, 192, 96, 208, 16, 48, 64),
    "inception4b": (512, 160, 112, 224, 24, 64, 64),
    "inception4c": (512, 128, 128, 256, 24, 64, 64),
    "inception4d": (512, 112, 144, 288, 32, 64, 64),
    "inception4e": (528, 256, 160, 320, 32, 128, 128),
    "inception5a": (832, 256, 160, 320, 32, 128, 128),
    "inception5b": (832, 384, 192, 384, 48, 128, 128),
}
AUXILIARY = ("inception4a", "inception4d")  # where the two auxiliary heads branch off


class Inception(nn.Module):
    """Four branches beside each other: (B, C, H, W) -> (B, D, H, W), or two pixels less when valid."""

    def __init__(self, channels: tuple[int, ...], valid: bool = False) -> None:
        super().__init__()
        inputs, one, reduce3, three, reduce5, five, pooled = channels
        self.valid = valid
        pad = 0 if valid else 1
        self.branch1 = _block(inputs, one, 1)
        self.branch2 = nn.Sequential(_block(inputs, reduce3, 1), _block(reduce3, three, 3, padding=pad))
        self.branch3 = nn.Sequential(_block(inputs, reduce5, 1), _block(reduce5, five, 3, padding=pad))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, pad), _block(inputs, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        inner = x[..., 1:-1, 1:-1] if self.valid else x
        return torch.cat([self.branch1(inner), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class AuxiliaryHead(nn.Module):
    """A second classifier half-way up that feeds gradients to the lower layers: (B, C, H, W) -> (B, 2)."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.conv = _block(inputs, 128, 1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.fc2 = nn.Linear(1024, 2)
        self.dropout = nn.Dropout(0.7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(nn.functional.adaptive_avg_pool2d(x, 4)).flatten(1)
        return self.fc2(self.dropout(torch.relu(self.fc1(x))))


class GoogLeNet(nn.Module):
    """Logit z1 - z0 of plume over no plume, (B,), from normalised windows (B, 1, 256, 256).

    While training, `forward` leaves the logits (B,) of the two auxiliary heads in `auxiliary`; their
    losses are added with weight 0.3 each. At evaluation `auxiliary` is empty and the heads are unused.

    Raises EarthSignalsError for a window other than 256.
    """

    architecture = "googlenet"
    valid = False
    stride, final = 32, 8

    def __init__(self, window: int = 256) -> None:
        super().__init__()
        if window != 256:
            raise EarthSignalsError(
                f"{self.architecture} has no window of {window} pixels: choose 256, or plumenet for 64"
            )
        self.window = window
        self.auxiliary: tuple[Tensor, ...] = ()
        same = 0 if self.valid else 1  # padding that keeps the size of a 3 x 3 convolution
        halve = {"stride": 2, "ceil_mode": not self.valid}
        self.conv1 = _block(1, STEM, 7, stride=2, padding=3 * same)
        self.maxpool1 = nn.MaxPool2d(3, **halve)
        self.conv2 = _block(STEM, STEM, 1)
        self.conv3 = _block(STEM, INCEPTIONS["inception3a"][0], 3, padding=same)
        self.maxpool2 = nn.MaxPool2d(3, **halve)
        # At stride 8 the valid map is only 25 wide: its last two pools do not halve it any more.
        self.maxpool3 = nn.MaxPool2d(3, stride=1) if self.valid else nn.MaxPool2d(3, **halve)
        self.maxpool4 = nn.MaxPool2d(2, stride=1) if self.valid else nn.MaxPool2d(2, **halve)
        for name, channels in INCEPTIONS.items():
            self.add_module(name, Inception(channels, self.valid))
        if not self.valid:
            self.aux1, self.aux2 = (AuxiliaryHead(self._width(name)) for name in AUXILIARY)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(self._width("inception5b"), 2)

    @staticmethod
    def _width(inception: str) -> int:
        """Output channels of a block."""
        _, one, _, three, _, five, pooled = INCEPTIONS[inception]
        return one + three + five + pooled

    def chain(self) -> Iterator[tuple[str, nn.Module]]:
        """Names and blocks in the order in which they are applied, up to the final map."""
        names = ["conv1", "maxpool1", "conv2", "conv3", "maxpool2"]
        for block, follower in pairwise([*INCEPTIONS, ""]):
            names.append(block)
            if follower and follower[9] != block[9]:  # inception3b -> inception4a: a pool between
                names.append(f"maxpool{block[9]}")
        return ((name, self.get_submodule(name)) for name in names)

    def features(self, x: Tensor) -> Tensor:
        """Final map (B, 1024, h, w) of images (B, 1, H, W) of any size from the window's up."""
        self.auxiliary = ()
        for name, block in self.chain():
            x = block(x)
            if self.training and not self.valid and name in AUXILIARY:
                head = self.aux1 if name == AUXILIARY[0] else self.aux2
                self.auxiliary += (_logit(head(x)),)
        return x

    def readout(self) -> tuple[Tensor, Tensor]:
        """(C,) and (): the logit is their inner product with the mean features, plus the second."""
        return self.fc.weight[1] - self.fc.weight[0], self.fc.bias[1] - self.fc.bias[0]

    def forward(self, x: Tensor) -> Tensor:
        return _logit(self.fc(self.dropout(self.features(x).mean((2, 3)))))


class GoogLeNetValid(GoogLeNet):
    """GoogLeNet without padding: same names, no auxiliary heads, exact when dense.

    Sides of the map: 256 -> 125 -> 62 -> 62 -> 60 -> 29 -> 27 -> 25 -> 23 -> 21 .. 13 -> 12 -> 10 -> 8.
    """

    architecture = "googlenet-valid"
    valid = True
    stride, final = 8, 8


def load_srcfinder(path: Path) -> GoogLeNet:
    """The network of a srcfinder `.pt` state dict, in evaluation mode.

    Accepts a `module.` prefix (weights saved from DataParallel), the dict under the key `state_dict`, and
    a dict without auxiliary heads: these stay as they begin, which no evaluation sees.

    Raises EarthSignalsError when the file is missing, damaged, a pickle of anything but tensors, or
    holds the weights of another architecture.
    """
    path = Path(path)
    content = read_tensors(path)
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise EarthSignalsError(f"{path} holds no state dict, expected the weights of a GoogLeNet in one")
    weights = {re.sub(r"^module\.", "", name): value for name, value in content.items()}
    network = GoogLeNet()
    own = network.state_dict()
    heads = {name for name in own if name.startswith("aux")}
    if not heads & weights.keys():
        weights |= {name: own[name] for name in heads}
    common = own.keys() & weights.keys()
    for fault, names in (
        ("lacks", own.keys() - common),
        ("has an unknown", weights.keys() - common),
        ("has another shape of", {name for name in common if own[name].shape != weights[name].shape}),
    ):
        if names:
            raise EarthSignalsError(
                f"{path} is no srcfinder GoogLeNet (1 input channel, 2 classes): it {fault} "
                f"`{min(names)}`{f' and {len(names) - 1} more' if len(names) > 1 else ''}; pass COVID_QC, "
                "CalCH4_v8, Permian_QC or multicampaign weights, or a checkpoint of earthsignals"
            )
    network.load_state_dict(weights)
    return network.eval()


def _block(inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> ConvBlock:
    return ConvBlock(inputs, outputs, kernel, stride, padding, eps=EPS)


def _logit(classes: Tensor) -> Tensor:
    """(B, 2) -> (B,): softmax of two classes is the sigmoid of their difference."""
    return classes[:, 1] - classes[:, 0]
