"""The plain convolutional autoencoder: four halvings, four doublings, 777,987 parameters.

Its latent is an image of 256 channels at a sixteenth of the size: 16,128 numbers for the 42,957 of a default
spectrogram, so it compresses by 2.7 only. It is trained and judged beside the bottleneck to hold its claims
against ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

WIDTHS = (3, 32, 64, 128, 256)


class SeedAutoencoder(nn.Module):
    """Images (B, 3, F, T) in [0, 1] of any size to images of that size in [0, 1].

    Encoder: four times convolution 3×3 of stride 2 and padding 1, batch normalisation, ReLU. Decoder: its
    mirror with transposed convolutions (output padding 1), the last one followed by a sigmoid alone, and
    bilinear resizing to the size of the input, since four doublings reach multiples of 16 only.
    """

    architecture = "seed"

    def __init__(self) -> None:
        super().__init__()
        halvings, doublings = [], []
        for narrow, wide in zip(WIDTHS, WIDTHS[1:], strict=False):
            halvings += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), nn.BatchNorm2d(wide), nn.ReLU(True)]
        for wide, narrow in zip(WIDTHS[:1:-1], WIDTHS[-2:0:-1], strict=True):
            doublings += [_doubling(wide, narrow), nn.BatchNorm2d(narrow), nn.ReLU(True)]
        self.encoder = nn.Sequential(*halvings)
        self.decoder = nn.Sequential(*doublings, _doubling(WIDTHS[1], WIDTHS[0]), nn.Sigmoid())
        # Twice as fast on CPUs as torch's default order for maps this thin, and what GPUs prefer too.
        self.to(memory_format=torch.channels_last)

    def encode(self, x: Tensor) -> Tensor:
        """Latent (B, 256, ⌈F/16⌉, ⌈T/16⌉) of images (B, 3, F, T)."""
        return self.encoder(x.contiguous(memory_format=torch.channels_last))

    def decode(self, z: Tensor, shape: tuple[int, int]) -> Tensor:
        """Images (B, 3, F, T) of latents; shape: (F, T)."""
        return interpolate(self.decoder(z), size=tuple(shape), mode="bilinear", align_corners=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x), x.shape[-2:])

    @staticmethod
    def latent_numbers(shape: tuple[int, ...]) -> int:
        """How many numbers stand for one image whose last two axes are `shape`'s: (…, F, T)."""
        height, width = shape[-2:]
        halvings = len(WIDTHS) - 1
        return WIDTHS[-1] * -(-height // 2**halvings) * -(-width // 2**halvings)


def _doubling(wide: int, narrow: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(wide, narrow, 3, stride=2, padding=1, output_padding=1)
