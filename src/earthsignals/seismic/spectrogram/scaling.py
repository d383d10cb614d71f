"""From spectral amplitudes to numbers in [0, 1], and back.

- joint (the default): x = clip(1 + 20 log10(|Z| / A) / R, 0, 1), where A is the record's largest amplitude
  over components, frequencies and frames and R = `range_db` in dB. What lies R dB or more below A becomes 0,
  so no ε is needed, the unit of the record drops out, and the ratios of E, N and Z stay.
- component: x = (l − min l) / (max l − min l) with l = ln(1 + |Z|), |Z| in the record's own unit, and minimum
  and maximum of each component: the scaling of the plain autoencoder. It destroys the ratios, and it
  depends on the unit of the record.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from earthsignals.seismic.params import ScalingParams

_TINY = torch.finfo(torch.float32).tiny


class Scaling(Protocol):
    """`level` is what the way back needs besides the image: one row per record."""

    def scaled(self, amplitude: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x in [0, 1] and its level, of amplitudes |Z| (B, 3, ·, ·) >= 0; two last axes in any order.

        `amplitude` is scratch space afterwards, unless a gradient is asked of it. out: where x goes.
        """
        ...

    def amplitudes(self, x: Tensor, level: Tensor, size: Tensor) -> Tensor:
        """Amplitudes |Z| (B, 3, F, T) of the image x; `size` decides where the image leaves them open."""
        ...


def make_scaling(params: ScalingParams) -> Scaling:
    """The scaling that the parameters name."""
    return JointScaling(params.range_db) if params.normalisation == "joint" else ComponentScaling()


class JointScaling:
    """Decibels below the record's strongest cell. level: (B, 1, 1, 1), that cell's |Z|; 0 if all are zero."""

    def __init__(self, range_db: float) -> None:
        self.range_db = range_db

    def scaled(self, amplitude: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """An image of zeros for a record of zeros."""
        strongest = amplitude.amax((1, 2, 3), keepdim=True)
        slope = 20 / (math.log(10) * self.range_db)
        offset = 1 - slope * strongest.clamp(min=_TINY).log()
        logarithm = amplitude.log() if amplitude.requires_grad else amplitude.log_()
        return torch.add(offset, logarithm, alpha=slope, out=out).clamp_(0, 1), strongest

    def amplitudes(self, x: Tensor, level: Tensor, size: Tensor) -> Tensor:
        """A · 10^((x − 1) R / 20). A cell at 0 says only "at most that": there `size` counts up to it."""
        amplitude = level * torch.exp2((x - 1) * (self.range_db / (20 * math.log10(2))))
        return torch.where(x > 0, amplitude, torch.minimum(amplitude, size))


class ComponentScaling:
    """ln(1 + |Z|) between minimum and maximum of each component. level: (B, 3, 1, 2), those two."""

    def scaled(self, amplitude: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Zeros for a component whose amplitudes are all the same."""
        logarithm = amplitude.log1p() if amplitude.requires_grad else amplitude.log1p_()
        low, high = logarithm.amin((2, 3), keepdim=True), logarithm.amax((2, 3), keepdim=True)
        inverse = torch.where(high > low, 1 / (high - low).clamp(min=_TINY), 0)
        level = torch.cat((low, high), dim=-1)
        return torch.addcmul(-low * inverse, logarithm, inverse, out=out).clamp_(0, 1), level

    def amplitudes(self, x: Tensor, level: Tensor, size: Tensor) -> Tensor:
        """expm1 of the logarithms between minimum and maximum."""
        low, high = level[..., :1], level[..., 1:]
        return torch.expm1(low + x * (high - low))
