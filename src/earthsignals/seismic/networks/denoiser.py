"""The denoiser: a small U-Net that says, cell by cell, how much of a noisy spectrogram is signal.

The mask M in [0, 1] multiplies the noisy transform, whose phase is kept (Zhu, Mousavi & Beroza 2019,
"Seismic signal denoising and decomposition using deep neural networks", IEEE TGRS 57, section II). Three
things keep it small enough for a laptop and honest about noise it has never met:

- Every cell is seen twice: in decibels below the record's maximum, and in decibels above the noise floor of
  its own frequency and component, a low quantile over time. The second image looks alike for any colour of
  noise, any instrument and any gain.
- Convolutions run on a grid that is four times coarser in frequency and two times in time; each of its
  positions carries the eight cells it covers as channels, so no detail is lost and full resolution costs
  nothing (Shi et al. 2016, arXiv:1609.05158, "sub-pixel convolution").
- The mask is the logistic function of a level and a slope, both predicted, the latter times the cell's own
  decibels above the floor: a Wiener filter's curve with a learnt threshold, sharp in every single cell.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from earthsignals.storage import EarthSignalsError

COMPONENTS = 3
FOLD = (4, 2)  # cells in frequency and time per position of the grid
FLOOR_QUANTILE = 0.35  # over time: below the median, so that a long coda does not pass for noise
FLOOR_GAIN = 4.0  # brings both images to the same spread
LEVELS = 3  # resolutions of the U-Net


class Denoiser(nn.Module):
    """Mask (B, 3, F, T) in [0, 1] from spectrogram images (B, 3, F, T) in [0, 1] of joint scaling, E, N, Z.

    Any number of frequencies F and frames T; what the network learns of a spectral line's height or an S-P
    time holds for the transform it was trained with.

    channels: of the finest grid (see above), at least 4; each of the two coarser ones doubles them.

    Raises EarthSignalsError for fewer channels, ValueError for images of another number of components.
    """

    architecture = "denoiser"

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        if channels < 4:
            raise EarthSignalsError(
                f"a denoiser of {channels} channels cannot tell anything apart: set "
                "seismic.denoiser.channels to 4 or more"
            )
        self.channels = channels
        cells = COMPONENTS * FOLD[0] * FOLD[1]
        widths = [channels * 2**level for level in range(LEVELS)]
        self.first = nn.Conv2d(2 * cells + 1, widths[0], 1)
        self.down = nn.ModuleList(Block(a, b) for a, b in zip([widths[0], *widths], widths, strict=False))
        self.up = nn.ModuleList(
            Block(below + beside, beside) for below, beside in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.pool = nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)
        self.last = nn.Conv2d(widths[0], 2 * cells, 1)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != COMPONENTS:
            raise ValueError(f"images of shape {tuple(x.shape)}, expected (B, {COMPONENTS}, F, T)")
        size = x.shape[-2:]
        above = FLOOR_GAIN * (x - noise_floor(x))
        features = self._features(x, above)
        level, slope = self.last(features).chunk(2, 1)
        logit = unfolded(level, size) + unfolded(slope, size) * above
        return torch.sigmoid(logit)

    def _features(self, x: Tensor, above: Tensor) -> Tensor:
        grid = torch.cat((folded(x), folded(above)), 1)
        # Which frequency a row is, since earthquakes have some and convolutions cannot tell.
        height = torch.linspace(-1, 1, grid.shape[2], dtype=x.dtype, device=x.device)
        height = height[None, None, :, None].expand(len(grid), 1, -1, grid.shape[3])
        y = self.first(torch.cat((grid, height), 1).contiguous(memory_format=torch.channels_last))
        beside = []
        for level, block in enumerate(self.down):
            y = block(self.pool(y) if level else y)
            beside.append(y)
        beside.pop()
        for block in self.up:
            fine = beside.pop()
            y = block(torch.cat((interpolate(y, size=fine.shape[-2:], mode="nearest"), fine), 1))
        return y


class Block(nn.Module):
    """Two convolutions with batch normalisation around a shortcut (He et al. 2016, arXiv:1512.03385)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.two = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm_one, self.norm_two = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.beside = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm_one(self.one(x)))
        return torch.relu(self.norm_two(self.two(y)) + self.beside(x))


@torch.no_grad()
def noise_floor(x: Tensor) -> Tensor:
    """Quantile `FLOOR_QUANTILE` over time of images (B, 3, F, T): (B, 3, F, 1), without a gradient.

    Frames in which every cell of a record is 0 are padding and do not count.
    """
    padding = x.amax((1, 2), keepdim=True) == 0
    if not x.is_cuda and not bool(padding.any()):  # selecting is faster than sorting
        rank = int(FLOOR_QUANTILE * (x.shape[-1] - 1))
        return x.kthvalue(rank + 1, dim=-1, keepdim=True).values
    frames = (~padding).sum(dim=-1, keepdim=True)
    rank = (FLOOR_QUANTILE * (frames - 1).clamp(min=0)).long()
    ordered = x.masked_fill(padding, 2.0).sort(dim=-1).values
    floor = ordered.gather(-1, rank.expand(*x.shape[:-1], 1))
    return floor.where(frames > 0, 0)


def folded(x: Tensor) -> Tensor:
    """Cells (B, C, F, T) as channels of the coarse grid (B, 8 C, ceil(F / 4), ceil(T / 2)); edges repeat."""
    missing = [-x.shape[-2] % FOLD[0], -x.shape[-1] % FOLD[1]]
    x = pad(x, (0, missing[1], 0, missing[0]), mode="replicate")
    batch, channels, height, width = x.shape
    x = x.view(batch, channels, height // FOLD[0], FOLD[0], width // FOLD[1], FOLD[1])
    return x.permute(0, 1, 3, 5, 2, 4).reshape(
        batch, channels * FOLD[0] * FOLD[1], height // FOLD[0], width // FOLD[1]
    )


def unfolded(x: Tensor, size: tuple[int, int]) -> Tensor:
    """What `folded` makes cells (B, C, *size) of, back again."""
    batch, channels, height, width = x.shape
    x = x.reshape(batch, channels // (FOLD[0] * FOLD[1]), *FOLD, height, width)
    x = x.permute(0, 1, 4, 2, 5, 3).reshape(batch, -1, height * FOLD[0], width * FOLD[1])
    return x[..., : size[0], : size[1]]
