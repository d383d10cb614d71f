"""The interval of an emission rate: noise, wind and model error combined, and fitted to known truth.

A rate is positive and its errors multiply, so they are combined in its logarithm: the relative error e of
each independent part adds ln(1 + e²) to the variance, and intervals are rate · exp(± z s).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from earthsignals.storage import EarthSignalsError

Z_68 = 0.9944578832097531  # standard normal quantile of 0.84
Z_95 = 1.959963984540054
FEWEST_TRUTHS = 8


class Calibration(NamedTuple):
    """What known releases say of the method: the factor it is off by, and its relative error."""

    scale: float = 1.0
    model_error: float = 0.0


@dataclass(frozen=True)
class Rate:
    """An emission rate in kg/h with its interval; `rate_kg_h` None and a `reason` where there is none.

    `noise_error`, `wind_error` and `model_error` are the relative standard errors of its parts.
    `standard_error` (kg/h) is their plain combination.
    """

    rate_kg_h: float | None
    standard_error: float | None
    low_68: float | None
    high_68: float | None
    low_95: float | None
    high_95: float | None
    ime_kg: float
    ime_error_kg: float
    fetch_m: float
    noise_error: float | None
    wind_error: float | None
    model_error: float
    wind_m_s: float | None
    wind_name: str = "wind"
    reason: str | None = None
    flags: tuple[str, ...] = ()


def rate_of(
    kg_per_m: float,
    kg_per_m_error: float,
    wind_m_s: float,
    wind_error: float,
    calibration: Calibration,
    **facts: object,
) -> Rate:
    """Combine mass per metre, wind and calibration into a rate with its intervals.

    Args:
        kg_per_m: mass of the plume per metre of distance, and `kg_per_m_error` its standard error.
        wind_m_s: speed, over 0; `wind_error` its relative standard error.
        facts: fields of `Rate` that pass through (mass, fetch, name of the wind, flags).
    """
    scale, model_error = calibration
    rate = 3600.0 * wind_m_s * scale * kg_per_m
    noise = kg_per_m_error / kg_per_m
    parts = np.array([noise, wind_error, model_error])
    spread = float(np.sqrt(np.log1p(parts**2).sum()))
    return Rate(
        rate_kg_h=rate, standard_error=rate * float(np.sqrt((parts**2).sum())),
        low_68=rate * np.exp(-Z_68 * spread), high_68=rate * np.exp(Z_68 * spread),
        low_95=rate * np.exp(-Z_95 * spread), high_95=rate * np.exp(Z_95 * spread),
        noise_error=noise, wind_error=wind_error, model_error=model_error, wind_m_s=wind_m_s, **facts,
    )  # fmt: skip


def no_rate(reason: str, **facts: object) -> Rate:
    """A `Rate` without numbers and the reason for it."""
    nothing = dict.fromkeys(
        ("rate_kg_h", "standard_error", "low_68", "high_68", "low_95", "high_95", "noise_error")
    )
    return Rate(**(nothing | {"model_error": 0.0, "reason": reason} | facts))


UNCALIBRATED = Calibration()


def calibrate_rate(estimates: Sequence[Rate], truths: Sequence[float]) -> Calibration:
    """Fit scale and model error on plumes of known rate, so that 68 % intervals hold 68 % of truths.

    The scale is the median of truth over estimate. The model error is then the smallest that lets the
    68 % interval, with the noise and wind errors each estimate brings, cover 68 % of the truths: 0 where
    those alone cover as many. Estimates must be made with the default calibration; those without a rate
    are left out.

    Args:
        estimates: rates of single plumes.
        truths: their true rates in kg/h, over 0.

    Raises:
        EarthSignalsError: fewer than 8 plumes have both; an estimate was already calibrated.
    """
    if len(estimates) != len(truths):
        raise ValueError(f"{len(estimates)} estimates but {len(truths)} truths")
    if any(rate.model_error for rate in estimates):
        raise EarthSignalsError("the rates were calibrated before; give those of the default calibration")
    pairs = [(rate, truth) for rate, truth in zip(estimates, truths, strict=True) if rate.rate_kg_h]
    if len(pairs) < FEWEST_TRUTHS:
        raise EarthSignalsError(
            f"only {len(pairs)} plumes have an estimated and a true rate, at least {FEWEST_TRUTHS} are "
            "needed to calibrate rates; simulate more flightlines on validation days"
        )
    ratio = np.log([truth / rate.rate_kg_h for rate, truth in pairs])
    offset = float(np.median(ratio))
    known = np.array([np.log1p(r.noise_error**2) + np.log1p(r.wind_error**2) for r, _ in pairs])
    # Each plume is covered once the model's variance in the logarithm reaches this.
    needed = np.sort((np.abs(ratio - offset) / Z_68) ** 2 - known)
    variance = max(0.0, float(np.quantile(needed, 0.68)))
    return Calibration(scale=float(np.exp(offset)), model_error=float(np.sqrt(np.expm1(variance))))
