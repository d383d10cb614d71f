"""One record: what determines it (`RecordSpec`) and its three components in counts (`simulate`).

    for spec in specs(params):
        record = simulate(spec, params)

The ground motion of an earthquake is written in the ray's own directions — L along the ray of P, Q and T
across it for SV and SH — and turned into E, N, Z by the angle of incidence and the azimuth. Each direction
carries direct waves with a Brune spectrum and a coda; site, instrument, noise and recorder follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft

from earthsignals.compute.seeds import philox
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.simulation.background import background
from earthsignals.seismic.simulation.motion import ground_motion
from earthsignals.seismic.simulation.regions import Station
from earthsignals.seismic.simulation.spec import RecordSpec, region_of, specs
from earthsignals.seismic.simulation.waves import Grid, grid, wander

__all__ = ["RecordSpec", "SimulatedRecord", "signal_to_noise_db", "simulate", "specs"]

NOISE_MARGIN_S = (9.5, 0.5)  # the noise window of the signal-to-noise ratio: from and to, before P
SIGNAL_S = 5.0
OFFSET_DECADES = {"HH": (1.0, 3.5), "BH": (1.0, 3.5), "EH": (0.0, 2.0), "HN": (0.5, 3.5)}
"""Of the offset in counts: an accelerometer feels the tilt of its pier, a geophone's digitiser little."""


@dataclass(frozen=True)
class SimulatedRecord:
    """counts (3, S) int32, E, N, Z; p_sample and s_sample index it (None: no such arrival in it).

    truth, for earthquakes: magnitude, distance_km, depth_km, corner_hz, s_after_p_s, and snr_db as measured.
    """

    spec: RecordSpec
    counts: np.ndarray
    p_sample: int | None
    s_sample: int | None
    truth: dict[str, float]


def simulate(spec: RecordSpec, params: SeismicParams, phases: int = 0) -> SimulatedRecord:
    """The record of `spec`.

    phases: another number redraws all random phases, of waves and of noise, and nothing else: the two records
    share event, spectra, envelopes and arrivals, and differ by the scatter that no model can foresee.
    """
    window, seed = params.window, params.synthetic.seed
    cells = grid(window.samples, window.sampling_rate_hz)
    region = region_of(params, spec.region)
    station = region.stations[spec.place]
    rng = philox(seed, "seismic.record", spec.index)
    random = philox(seed, f"seismic.phases.{phases}", spec.index)
    response, site = _station_spectra(seed, station, cells)
    counts, deviation = background(
        station, spec.noise_low, spec.noise_high, response, cells, seed, rng, random
    )
    counts += _offset_and_drift(rng, station, deviation, cells)
    if spec.category == "noise":
        return SimulatedRecord(spec, _digitise(counts, station, cells), None, None, {})
    start = window.p_sample
    motion, facts = ground_motion(spec, region, station, cells, start, rng, random)
    counts += fft.irfft(fft.rfft(motion) * (site * response), cells.length)
    finished = _digitise(counts, station, cells)
    s_sample = start + round(facts["s_after_p_s"] * cells.rate_hz)
    return SimulatedRecord(
        spec, finished, start, s_sample if s_sample < cells.samples else None,
        {"magnitude": spec.magnitude, "distance_km": spec.distance_km, "depth_km": spec.depth_km, **facts,
         "snr_db": signal_to_noise_db(finished, start, cells.rate_hz)},
    )


@lru_cache(maxsize=4096)
def _station_spectra(seed: int, station: Station, cells: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Response (F,), complex, counts per m/s, and site amplification (3, F) of a station."""
    rng = philox(seed, "seismic.site", station.number)
    site = wander(rng, cells, 3, 2.5) * np.array([[1.3], [1.3], [1.0]])  # soft ground shakes sideways
    response = station.instrument.response(cells.frequency)
    response[0] = 0.0  # offsets are the recorder's own
    site.flags.writeable = response.flags.writeable = False
    return response, site


def _offset_and_drift(
    rng: np.random.Generator, station: Station, deviation: float, cells: Grid
) -> np.ndarray:
    """Constant offset and a drift of up to half the noise's deviation, (3, length), counts."""
    offset = rng.normal(0.0, 10.0 ** rng.uniform(*OFFSET_DECADES[station.instrument.kind]), (3, 1))
    time = np.arange(cells.length) / cells.length - 0.5
    slope, bend = rng.normal(0.0, 0.5 * deviation, (2, 3, 1))
    return offset + slope * time + bend * np.sin(2.0 * np.pi * time * rng.uniform(0.2, 0.8))


def _digitise(counts: np.ndarray, station: Station, cells: Grid) -> np.ndarray:
    full = station.instrument.full_scale
    return np.clip(np.rint(counts[:, : cells.samples]), -full, full - 1).astype(np.int32)


def signal_to_noise_db(counts: np.ndarray, p_sample: int, rate_hz: float) -> float:
    """20 log10(std of 5 s after P / std of the 9 s that end ½ s before P), of the best component.

    counts (3, S). A component without any noise counts as noise of the rounding, 1/√12.
    """
    begin, end = (p_sample - round(seconds * rate_hz) for seconds in NOISE_MARGIN_S)
    noisy = counts[:, max(begin, 0): max(end, 2)].astype(float).std(axis=1)
    signal = counts[:, p_sample: p_sample + round(SIGNAL_S * rate_hz)].astype(float).std(axis=1)
    return float(20.0 * np.log10(np.max(signal / np.maximum(noisy, 12.0**-0.5)) + 1e-12))
