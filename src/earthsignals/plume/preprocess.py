"""What a network sees of a matched-filter image: clamped, normalised, holes filled once.

Declared once, carried in every checkpoint and used by training, by the sliding window and by the dense
form alike. The same number, `fill`, stands for an invalid pixel and for everything outside of the scene:
with two different numbers a dense map could not equal the sliding window at the edges of the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from earthsignals.plume.params import PreprocessingParams
from earthsignals.storage import EarthSignalsError


@dataclass(frozen=True)
class Preprocessing:
    """Clamp [ppm·m], then subtract `mean` and divide by `std` [ppm·m].

    `band` is the CH4 band the numbers belong to: a name, a number from 1, or None for the band that is
    named so, else the last one.
    """

    clamp_low: float = 0.0
    clamp_high: float = 4000.0
    mean: float = 115.0
    std: float = 190.0
    band: str | int | None = None

    def __post_init__(self) -> None:
        numbers = (self.clamp_low, self.clamp_high, self.mean, self.std)
        if not np.isfinite(numbers).all() or self.std <= 0 or self.clamp_low >= self.clamp_high:
            raise EarthSignalsError(
                f"the preprocessing clamps to {self.clamp_low:g} .. {self.clamp_high:g} ppm·m and divides by "
                f"{self.std:g}: clamp_low must be below clamp_high, std above 0 and all of them finite"
            )

    @classmethod
    def from_params(cls, params: PreprocessingParams) -> Preprocessing:
        """The parameters' preprocessing: a published pair of mean and deviation by name, or `own`."""
        mean, std = (params.mean, params.std) if params.name == "own" else STATISTICS[params.name]
        return cls(params.clamp_low, params.clamp_high, mean, std, params.band)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """What `to_dict` gave. Raises EarthSignalsError for missing, unknown or impossible values."""
        try:
            return cls(**values)
        except TypeError:
            raise EarthSignalsError(
                f"the preprocessing {dict(values)!r} is not one of this version, which holds "
                "clamp_low, clamp_high, mean, std and band; train the model again"
            ) from None

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and text, for a checkpoint or a log."""
        return asdict(self)

    @property
    def fill(self) -> float:
        """The normalised value, exact in float32, of no methane: invalid pixels and the outside have it."""
        return float(self._normalise(np.zeros((), np.float32)))

    def apply(self, ch4: np.ndarray) -> np.ndarray:
        """Normalised float32 copy of an enhancement in ppm·m, any shape; NaN and ±inf become `fill`."""
        ch4 = np.asarray(ch4, dtype=np.float32)
        return np.where(np.isfinite(ch4), self._normalise(ch4), np.float32(self.fill))

    def _normalise(self, ch4: np.ndarray) -> np.ndarray:
        clamped = np.clip(ch4, np.float32(self.clamp_low), np.float32(self.clamp_high))
        return (clamped - np.float32(self.mean)) / np.float32(self.std)


STATISTICS = {
    "COVID_QC": (110.6390, 183.9152),
    "CalCH4_v8": (140.6399, 237.5434),
    "Permian_QC": (100.2635, 158.7060),
    "multicampaign": (115.0, 190.0),
}
"""Mean and deviation [ppm·m] of srcfinder's training campaigns, as it normalises each model's input."""

NAMED = {name: Preprocessing(mean=mean, std=std) for name, (mean, std) in STATISTICS.items()}
"""The preprocessing of each campaign, clamped to 0–4000 ppm·m."""
