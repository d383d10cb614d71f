"""Mass and emission rate of a plume from its enhancement and the wind.

Integrated mass enhancement (Frankenberg et al. 2016, doi:10.1073/pnas.1605617113; Duren et al. 2019,
doi:10.1038/s41586-019-1720-3): methane that leaves a source with rate Q in wind U fills a circle of
radius r around it with IME(r) = Q r / U kilograms, so Q = U · IME(r) / r for every r up to the fetch.
All valid pixels in and around the mask count, with their sign, over the local background: what a
threshold cuts off a plume's flanks would be a bias, what they add in noise averages out.

The estimate is a weighted sum of pixels. Laid at other places of the scene where no plume is, the same
sum gives what noise alone makes of it, correlated background and false enhancement included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthsignals.compute.seeds import philox
from earthsignals.plume.detection.detect import Plume, plume_mask
from earthsignals.plume.detection.footprint import Footprint, lay_footprint, noise_sums
from earthsignals.plume.detection.rate_error import UNCALIBRATED, Calibration, Rate, no_rate, rate_of
from earthsignals.plume.params import DetectionParams
from earthsignals.plume.simulation.dispersion import ppm_m_to_kg_m2
from earthsignals.storage import EarthSignalsError

# With fewer random places than these their spread is no error worth the name.
FEWEST_PLACES = 20


@dataclass(frozen=True)
class Wind:
    """One opinion about the wind: its speed (None: unknown), relative standard error, and name."""

    speed_m_s: float | None
    error: float | None = None
    """None: the parameters' `wind_error`."""
    name: str = "wind"


@dataclass(frozen=True)
class Mass:
    """What a plume holds, before any wind."""

    ime_kg: float
    """Integrated mass enhancement up to the fetch."""
    ime_error_kg: float
    kg_per_m: float
    """Mean of IME(r) / r over radii: rate over wind speed."""
    kg_per_m_error: float
    fetch_m: float
    background_ppm_m: float
    places: int
    """Random places that gave the two errors; 0 where the ring's pixels had to."""
    flags: tuple[str, ...] = ()


def estimate_rates(
    mass: Mass, winds: Sequence[Wind], params: DetectionParams, calibration: Calibration = UNCALIBRATED
) -> list[Rate]:
    """One rate per wind from a plume's mass; where there can be none, a `Rate` that says why.

    Raises:
        EarthSignalsError: a wind is not over 0 or its error negative.
    """
    return [_rate(mass, wind, params, calibration) for wind in winds]


def integrate(
    ch4: NDArray[np.float32],
    plume: Plume,
    pixel_m: float,
    params: DetectionParams,
    *,
    plumes: Iterable[Plume] = (),
    salient: NDArray[np.bool_] | None = None,
    seed: int = 0,
) -> Mass:
    """Mass of one plume up to the fetch limit, with the error that noise makes.

    Args:
        ch4: enhancement of the scene (lines, samples) in ppm·m, NaN where invalid.
        plume: as `find_plumes` gives it for this scene.
        pixel_m: ground size of a pixel.
        params: `maximum_fetch_m`, `flank_m`, `ring_m`; `temperature_k` and `pressure_hpa` of the air.
        plumes: all plumes of the scene; the others' pixels are kept out of sum and background.
        salient: bool, the scene's salient regions, where no noise is sampled.
        seed: of the random places.
    """
    valid = np.isfinite(ch4)
    fetch_m = max(min(params.maximum_fetch_m, plume.length_m), pixel_m)
    footprint, cut = lay_footprint(
        plume.mask, (plume.rows.start, plume.cols.start), (plume.source_row, plume.source_col), ch4.shape,
        pixel_m, fetch_m=fetch_m, flank_m=params.flank_m, ring_m=params.ring_m,
    )  # fmt: skip
    others = plume_mask([other for other in plumes if other.id != plume.id], ch4.shape)
    total, per_m, level = footprint.sums(ch4, valid & ~others, default=plume.background_ppm_m)
    quiet = valid & ~others & ~plume_mask([plume], ch4.shape)
    if salient is not None:
        quiet &= ~salient
    noise = noise_sums(footprint, ch4, quiet, philox(seed, "plume-noise", plume.id))
    flags = tuple(plume.flags)
    if len(noise) >= FEWEST_PLACES:
        total_error, per_m_error = np.sqrt(np.mean(noise**2, axis=0))
    else:
        noise, flags = noise[:0], (*flags, "noise-from-pixels")
        total_error, per_m_error = _white_noise(footprint, ch4, quiet if quiet.any() else valid)
    if cut or not valid[footprint.rows, footprint.cols].all():
        flags = (*flags, "cut-by-edge")
    if others[footprint.rows, footprint.cols].any():
        flags = (*flags, "overlaps-another")  # whose pixels were left out of this one's mass
    if plume.length_m > params.maximum_fetch_m:
        flags = (*flags, "beyond-fetch")
    kg = ppm_m_to_kg_m2(params.temperature_k, 100 * params.pressure_hpa) * pixel_m**2
    return Mass(
        ime_kg=kg * total, ime_error_kg=float(kg * total_error), kg_per_m=kg * per_m,
        kg_per_m_error=float(kg * per_m_error), fetch_m=fetch_m, background_ppm_m=level,
        places=len(noise), flags=flags,
    )  # fmt: skip


def _white_noise(footprint: Footprint, ch4: NDArray, ground: NDArray[np.bool_]) -> tuple[float, float]:
    """Errors of the sums if noise were independent from pixel to pixel: a lower bound."""
    deviation = float(np.std(ch4[ground], dtype=np.float64))
    return deviation * np.sqrt(footprint.rows.size), deviation * np.sqrt(np.sum(footprint.per_m**2))


def _rate(mass: Mass, wind: Wind, params: DetectionParams, calibration: Calibration) -> Rate:
    error = params.wind_error if wind.error is None else wind.error
    facts: dict[str, Any] = {
        "ime_kg": mass.ime_kg, "ime_error_kg": mass.ime_error_kg, "fetch_m": mass.fetch_m,
        "wind_name": wind.name, "flags": mass.flags,
    }  # fmt: skip
    if wind.speed_m_s is None or not np.isfinite(wind.speed_m_s):
        return no_rate("no wind speed is known", wind_error=None, wind_m_s=None, **facts)
    if not (wind.speed_m_s > 0 and error >= 0):
        raise EarthSignalsError(
            f"wind `{wind.name}`: speed {wind.speed_m_s} m/s with relative error {error}; expected a speed "
            "over 0 and an error of 0 or more"
        )
    if mass.kg_per_m <= 0:
        reason = "around the source there is no more methane than in the background"
        return no_rate(reason, wind_error=error, wind_m_s=wind.speed_m_s, **facts)
    return rate_of(mass.kg_per_m, mass.kg_per_m_error, wind.speed_m_s, error, calibration, **facts)
