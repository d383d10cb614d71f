"""What a tile's texture is made of: a scattering transform of two orders (Bruna & Mallat 2013, TPAMI 35).

Complex wavelets of four orientations and five octaves see where which scale is at work; their moduli, seen by
the coarser wavelets again, tell how that is arranged: along lines, around rings, in clusters. Means of these
over a tile are what classical texture analysis measures, and more; as logarithms they change by a constant
when the light does. The filters are fixed: the network has this from the start and learns the rest.

No filter pads and all maps have strides that divide TRUNK_STRIDE, so that overlapping windows share them
exactly, as they share the trunk.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from earthsignals.storage import EarthSignalsError

OCTAVES = 5
"""Wave lengths of 2.9, 5.7, 11, 23 and 46 pixels."""
ORIENTATIONS = 4
SUPPORT, ENVELOPE, FREQUENCY, SLANT = 7, 1.4, 2.2, 0.7
"""Samples; Gaussian deviation in samples; radians per sample; ratio of the envelope's axes."""
COARSEST_STRIDE = 8
LEAST_PX = 111
"""Edge of the smallest image that all wavelets fit into: the coarsest see 13 positions of stride 8."""
PAIRS = tuple((fine, coarse) for fine in range(3) for coarse in range(fine + 1, 4))
CHUNK = 32
FLOOR = 1e-3
"""Moduli below this are noise (brightness runs from 0 to 1)."""
MOMENTS = 4
COUNT = MOMENTS + 4 * OCTAVES + len(PAIRS) * ORIENTATIONS


class Scattering(nn.Module):
    """Texture of images in [0, 1]; nothing in it learns.

    `maps` gives what is averaged over a tile; `describe` makes features (B, COUNT) of these averages.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("wavelets", morlets(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, COUNT) of tiles (B, 3, P, P)."""
        with torch.autocast(x.device.type, enabled=False):  # faint moduli would drown in it
            # A few tiles at a time stay in the processor's cache.
            parts = [[each.mean((2, 3)) for each in self.maps(part)] for part in x.split(CHUNK)]
            return self.describe([torch.cat(means) for means in zip(*parts, strict=True)])

    def maps(self, x: Tensor) -> list[Tensor]:
        """Maps (B, C, h, w) of images (B, 3, H, W), H and W at least LEAST_PX.

        First powers one to four of the brightness as means of 8 × 8 pixels, in float64; then one for each
        octave: moduli by orientation (4), their mean square, and the bright and the dark part of the even
        wavelet; then one for each of PAIRS: moduli of moduli by difference of orientation (4). Strides are
        those of `strides`; position (i, j) sees pixels from stride · (i, j) on.

        Raises EarthSignalsError for smaller images.
        """
        check_fits(min(x.shape[2:]))
        image = x.mean(1, keepdim=True)
        found, moduli = [_powers(image)], []
        for octave in range(OCTAVES):
            if 0 < octave < OCTAVES - 1:  # the last octave has the resolution of the one before
                image = halved(image)
            even, odd = self._seen(image, octave)
            modulus = (even.square() + odd.square() + 1e-8).sqrt()
            parts = (
                modulus.square().mean(1, keepdim=True), even.clamp(min=0).mean(1, keepdim=True),
                (-even).clamp(min=0).mean(1, keepdim=True),
            )  # fmt: skip
            found.append(torch.cat([modulus, *parts], 1))
            moduli.append(modulus)
        return found + [self._again(moduli[fine], fine, coarse) for fine, coarse in PAIRS]

    def _seen(self, image: Tensor, octave: int) -> tuple[Tensor, Tensor]:
        """Even and odd wavelets' answers (B, 4, h, w) to an image (B, 1, H, W) at its resolution."""
        stride, dilation = (2, 1) if octave < 3 else (1, 1 if octave == 3 else 2)
        answer = conv2d(image, self.wavelets, stride=stride, dilation=dilation)
        return answer[:, :ORIENTATIONS], answer[:, ORIENTATIONS:]

    def _again(self, modulus: Tensor, fine: int, coarse: int) -> Tensor:
        """Second order (B, 4, h, w): moduli (B, 4, H, W) of octave `fine`, seen by `coarse`'s wavelets."""
        for _ in range(coarse - fine - 1):
            modulus = halved(modulus)
        batch, _, height, width = modulus.shape
        answer = conv2d(
            modulus.reshape(-1, 1, height, width), self.wavelets, stride=2 if coarse < 3 else 1
        ).unflatten(0, (batch, ORIENTATIONS))
        again = (answer[:, :, :ORIENTATIONS].square() + answer[:, :, ORIENTATIONS:].square() + 1e-8).sqrt()
        turns = [
            torch.stack([again[:, i, (i + turn) % ORIENTATIONS] for i in range(ORIENTATIONS)]).mean(0)
            for turn in range(ORIENTATIONS)
        ]
        return torch.stack(turns, 1)

    @staticmethod
    def describe(means: list[Tensor]) -> Tensor:
        """Features (B, COUNT) from the maps' means (B, C) over tiles.

        Mean, deviation, skewness and kurtosis of the brightness; of each octave strength, anisotropy,
        sparsity and the balance of bright and dark; of each pair strength by difference of orientation.
        """
        moments, octaves, pairs = means[0], means[1 : 1 + OCTAVES], means[1 + OCTAVES :]
        features = _moments(moments)
        for mean in octaves:
            modulus, square = mean[:, :ORIENTATIONS], mean[:, ORIENTATIONS]
            bright, dark = mean[:, ORIENTATIONS + 1], mean[:, ORIENTATIONS + 2]
            strength = modulus.mean(1)
            # Orientation repeats after half a turn: its second harmonic over four of them.
            lean = torch.hypot(modulus[:, 0] - modulus[:, 2], modulus[:, 1] - modulus[:, 3])
            features += [
                torch.log(strength + FLOOR), lean / (strength + FLOOR),
                0.5 * torch.log(square + FLOOR**2) - torch.log(strength + FLOOR),
                torch.log(bright + FLOOR) - torch.log(dark + FLOOR),
            ]  # fmt: skip
        return torch.cat([torch.stack(features, 1), *(torch.log(mean + FLOOR) for mean in pairs)], 1)

    @staticmethod
    def strides() -> list[int]:
        """Pixels from one position of each map to the next."""
        octaves = [min(2 ** (octave + 1), COARSEST_STRIDE) for octave in range(OCTAVES)]
        return [COARSEST_STRIDE, *octaves, *(min(2 ** (coarse + 1), COARSEST_STRIDE) for _, coarse in PAIRS)]


def _powers(image: Tensor) -> Tensor:
    """Powers one to four (B, 4, h, w) float64 of images (B, 1, H, W), as means of blocks."""
    height, width = (size // COARSEST_STRIDE * COARSEST_STRIDE for size in image.shape[2:])
    image = image[:, :, :height, :width]
    power, sums = image, []
    for _ in range(MOMENTS):  # one after the other: of a scene they would be most of what memory holds
        # Central moments are small differences of these: float32 sums would not do.
        rows = power.double().unflatten(2, (-1, COARSEST_STRIDE)).sum(3)
        sums.append(rows.unflatten(3, (-1, COARSEST_STRIDE)).sum(4))
        power = power * image
    return torch.cat(sums, 1) / COARSEST_STRIDE**2


def _moments(powers: Tensor) -> list[Tensor]:
    """Mean, ln deviation, skewness and ln kurtosis (B,) from mean powers (B, 4) float64."""
    mean, square, cube, fourth = powers.unbind(1)
    variance = (square - mean**2).clamp(min=1e-6)
    skew = cube - 3 * mean * square + 2 * mean**3
    kurtosis = fourth - 4 * mean * cube + 6 * mean**2 * square - 3 * mean**4
    found = (
        mean, 0.5 * variance.log(), skew / variance**1.5, (kurtosis / variance**2).clamp(min=1e-3).log()
    )  # fmt: skip
    return [each.float() for each in found]


def check_fits(tile_px: int) -> None:
    """Raise EarthSignalsError for tiles with an edge of fewer than LEAST_PX pixels."""
    if tile_px < LEAST_PX:
        raise EarthSignalsError(
            f"the scattering transform does not fit into tiles of {tile_px} pixels: set clouds.grid.tile_px "
            f"to {LEAST_PX} or more, or take a residual network with clouds.network.scattering false"
        )


def morlets() -> Tensor:
    """Morlet wavelets (8, 1, 7, 7) of unit energy: four even ones by orientation, then their odd partners.

    Even ones are corrected to zero mean (Bruna & Mallat 2013, section 2.1), so that light does not count.
    """
    reach = SUPPORT // 2
    axis = torch.arange(-reach, reach + 1, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    even, odd = [], []
    for number in range(ORIENTATIONS):
        angle = math.pi * number / ORIENTATIONS
        along = x * math.cos(angle) + y * math.sin(angle)
        across = y * math.cos(angle) - x * math.sin(angle)
        envelope = torch.exp(-(along.square() + (SLANT * across).square()) / (2 * ENVELOPE**2))
        cosine = (FREQUENCY * along).cos()
        real = envelope * (cosine - (envelope * cosine).sum() / envelope.sum())
        imaginary = envelope * (FREQUENCY * along).sin()
        energy = (real.square() + imaginary.square()).sum().sqrt()
        even.append(real / energy)
        odd.append(imaginary / energy)
    return torch.stack(even + odd)[:, None].float()


def halved(x: Tensor) -> Tensor:
    """x (B, C, H, W) smoothed by (1, 2, 1)/4 each way, every second position, without padding."""
    line = x.new_tensor([0.25, 0.5, 0.25])
    smoothed = conv2d(x.flatten(0, 1)[:, None], torch.outer(line, line)[None, None], stride=2)
    return smoothed[:, 0].unflatten(0, x.shape[:2])
