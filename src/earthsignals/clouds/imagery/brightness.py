"""From physical numbers to brightness in 255ths of full scale: what is white, what is black.

Reflectances and shares are white at 1 (100 %), pictures at 255. Brightness temperatures are shown as clouds
look: cold tops bright, 190 K white and 310 K black.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

COLDEST_K, WARMEST_K = 190.0, 310.0
_KELVIN = {"k", "kelvin", "degk", "degrees_kelvin"}
_PERCENT = {"%", "percent"}
_ONE = {"1", "none", "dimensionless", "unitless", "reflectance", "albedo"}


@dataclass(frozen=True)
class Scale:
    """Numbers that are black and white."""

    black: float
    white: float

    @property
    def product(self) -> str:
        """`infrared` where low numbers are bright, else `visible`."""
        return "infrared" if self.white < self.black else "visible"

    def to_bytes(self, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Values (…, H, W) as uint8 of the same shape, 0 where not valid (H, W)."""
        share = (values.astype(np.float64) - self.black) / (self.white - self.black)
        return np.where(valid, np.rint(np.clip(share, 0, 1) * 255), 0).astype(np.uint8)


KELVIN = Scale(WARMEST_K, COLDEST_K)
UNIT = Scale(0.0, 1.0)
BYTES = Scale(0.0, 255.0)


def scale_of(
    units: str | None, valid_range: tuple[float, float] | None, raw_bytes: bool, values: np.ndarray
) -> Scale | None:
    """Scale of numbers by their units, else by their valid range, else by their kind; None if nothing tells.

    raw_bytes: they are stored as bytes that stand for themselves. Numbers without units and range count as
    shares if none (but NaN) lies outside of -0.1 … 1.5.
    """
    told = (units or "").strip().lower()
    if told in _KELVIN:
        return KELVIN
    if told in _PERCENT:
        return Scale(0.0, 100.0)
    if told in _ONE and not raw_bytes:
        return UNIT
    if valid_range is not None and valid_range[0] < valid_range[1]:
        return Scale(*valid_range)
    if raw_bytes:
        return BYTES
    known = values[np.isfinite(values)]
    if not told and known.size and known.min() >= -0.1 and known.max() <= 1.5:
        return UNIT
    return None
