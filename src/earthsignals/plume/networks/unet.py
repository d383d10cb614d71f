"""U-Net: the segmentation peer, so that tables compare like with like.

After Ronneberger et al. 2015 (arXiv:1505.04597), slimmer, padded and with batch normalisation: four
halvings, so height and width must be multiples of 16. It labels pixels within a tile, with all the
context the tile has; unlike the classifiers it has no one window per pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from earthsignals.plume.networks.plumenet import ConvBlock
from earthsignals.storage import EarthSignalsError

WIDTHS = (16, 32, 48, 64, 96)
MULTIPLE = 2 ** (len(WIDTHS) - 1)


class UNet(nn.Module):
    """Plume logits per pixel (B, H, W) from normalised tiles (B, 1, H, W), H and W multiples of 16.

    `window` is the tile it is trained on; it accepts any other size too.

    Raises EarthSignalsError for a window that is no multiple of 16, ValueError for such an input.
    """

    architecture = "unet"

    def __init__(self, window: int = 64) -> None:
        super().__init__()
        if window < MULTIPLE or window % MULTIPLE:
            raise EarthSignalsError(f"unet has no window of {window} pixels: choose a multiple of {MULTIPLE}")
        self.window = window
        inputs = (1, *WIDTHS[:-1])
        self.down = nn.ModuleList(_pair(a, b) for a, b in zip(inputs, WIDTHS, strict=True))
        self.up = nn.ModuleList(
            _pair(below + beside, beside) for below, beside in zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.last = nn.Conv2d(WIDTHS[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] % MULTIPLE or x.shape[-2] % MULTIPLE:
            raise ValueError(f"input of {tuple(x.shape[-2:])} pixels, expected multiples of {MULTIPLE}")
        kept = []
        for level, block in enumerate(self.down):
            x = block(self.pool(x) if level else x)
            kept.append(x)
        kept.pop()
        for block in self.up:
            x = interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([kept.pop(), x], 1))
        return self.last(x).squeeze(1)


def _pair(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(ConvBlock(inputs, outputs, 3, padding=1), ConvBlock(outputs, outputs, 3, padding=1))
