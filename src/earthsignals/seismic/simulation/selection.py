"""Which earthquakes a region's stations record: seismicity, triggering, and what a catalogue then holds.

Events follow the Gutenberg–Richter law and happen near the stations. An event enters the catalogue if
enough stations trigger on it, and a station's record is kept if its P stands out of its noise. Both are
judged by the forecast signal-to-noise ratio: the power spectra of P, S and noise, through the instrument,
integrated over frequency. So the mix of magnitudes, distances and ratios is a consequence, as in real
catalogues, where small events are seen by near stations alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from earthsignals.compute.seeds import philox
from earthsignals.seismic.params import SyntheticParams
from earthsignals.seismic.simulation import noise, path, source
from earthsignals.seismic.simulation.regions import Region, Station
from earthsignals.storage import EarthSignalsError

TRIGGER_DB = 12.0  # forecast ratio at which a station contributes to the detection of an event
TRIGGERS = 4  # stations that make an event
RECORD_DB = 3.5  # forecast ratio below which a record is not in the catalogue
CLIP_SHARE = 0.4  # of full scale: a forecast peak above it is an off-scale record, which catalogues leave out
NEARNESS = 2.0  # above 1, epicentres crowd near the stations, as networks stand where the earth quakes
BLOCK = 64  # events drawn at a time
PATIENCE = 40  # blocks without a record after which a station is given up
SIGNAL_S = 5.0  # the signal window after P
NOISE_LOW_HZ = 0.1  # the noise window of 9 s holds little below this
_FREQUENCY = np.geomspace(NOISE_LOW_HZ, 48.0, 40)
_DF = np.gradient(_FREQUENCY)


@dataclass(frozen=True)
class Candidates:
    """A block of events; arrays of shape (N,) of events, (N, S) of events and stations."""

    magnitude: np.ndarray
    depth_km: np.ndarray
    east_km: np.ndarray
    north_km: np.ndarray
    stress_drop_pa: np.ndarray
    distance_km: np.ndarray
    azimuth_deg: np.ndarray  # from the event to the station, clockwise from north
    noise_low: np.ndarray
    noise_high: np.ndarray
    snr_db: np.ndarray
    recorded: np.ndarray  # bool


def candidates(region: Region, params: SyntheticParams, block: int) -> Candidates:
    """Block `block` of the region's events, and which stations have a record of them in the catalogue."""
    rng = philox(params.seed, "seismic.events", region.number << 32 | block)
    stations = region.stations
    magnitude = source.draw_magnitudes(rng, BLOCK, params.magnitude.low, params.magnitude.high)
    depth = np.clip(rng.gamma(3.5, 1.8, BLOCK), 0.5, 35.0)
    stress = region.stress_drop_pa * np.exp(rng.normal(0.0, np.log(2.5), BLOCK))
    near = rng.integers(len(stations), size=BLOCK)
    low, high = max(params.distance_km.low, 0.1), params.distance_km.high
    reach = low * (high / low) ** (rng.random(BLOCK) ** NEARNESS)
    angle = rng.uniform(0.0, 2.0 * np.pi, BLOCK)
    station_east = np.array([station.east_km for station in stations])
    station_north = np.array([station.north_km for station in stations])
    east = station_east[near] + reach * np.sin(angle)
    north = station_north[near] + reach * np.cos(angle)
    d_east, d_north = station_east - east[:, None], station_north - north[:, None]
    distance = np.hypot(d_east, d_north)
    noise_low, noise_high = record_noise(rng, stations, distance.shape)
    snr, peak_share = forecast(region, magnitude, depth, stress, distance, noise_low, noise_high)
    in_range = (distance >= params.distance_km.low) & (distance <= params.distance_km.high)
    needed = max(1, min(TRIGGERS, len(stations) - 1))
    event = ((snr >= TRIGGER_DB) & in_range).sum(axis=1) >= needed
    recorded = event[:, None] & in_range & (snr >= RECORD_DB) & (peak_share < CLIP_SHARE)
    return Candidates(magnitude, depth, east, north, stress, distance,
                      np.degrees(np.arctan2(d_east, d_north)) % 360.0, noise_low, noise_high, snr, recorded)


def record_noise(
    rng: np.random.Generator, stations: Sequence[Station], shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Levels (N, S) of noise in records at `stations`, below and above 1 Hz: the stations' and the day's."""
    low = np.array([station.noise_low for station in stations]) + rng.normal(0.0, 0.05, shape)
    high = np.array([station.noise_high for station in stations]) + rng.normal(0.0, 0.05, shape)
    return np.clip(low, 0.05, 0.95), np.clip(high, 0.03, 0.9)


def forecast(
    region: Region, magnitude: np.ndarray, depth_km: np.ndarray, stress_drop_pa: np.ndarray,
    distance_km: np.ndarray, noise_low: np.ndarray, noise_high: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Expected signal-to-noise ratio in dB and peak over full scale, each (N, S), from power spectra.

    magnitude, depth_km, stress_drop_pa (N,); distance_km and noise levels (N, S).
    """
    crust = region.crust
    moment = source.moment_nm(magnitude)[:, None, None]
    corner = source.corner_hz(moment, stress_drop_pa[:, None, None], crust.beta)
    hypocentral = np.hypot(distance_km, depth_km[:, None])
    per_m = path.spreading_per_m(hypocentral)[..., None]
    s_after_p = hypocentral * 1e3 * (1.0 / crust.beta - 1.0 / crust.alpha)
    kappa = np.array([station.kappa_s for station in region.stations])[:, None]
    response = np.stack([np.abs(station.instrument.response(_FREQUENCY)) for station in region.stations])
    ambient = noise.ambient_psd(_FREQUENCY, noise.noise_models(tuple(_FREQUENCY)), noise_low[..., None],
                                noise_high[..., None])
    counts = np.stack([noise_counts(station, _FREQUENCY, response[k], ambient[:, k])
                       for k, station in enumerate(region.stations)], axis=1)
    noise_power = (counts * _DF).sum(-1)
    energies = []
    for speed, radiation, ratio in (
        (crust.alpha, source.RADIATION_P, source.CORNER_RATIO), (crust.beta, source.RADIATION_S, 1.0),
    ):
        spectrum = source.velocity_spectrum(_FREQUENCY, moment, corner * ratio, speed, radiation) * per_m
        travel = hypocentral[..., None] * 1e3 / speed
        loss = path.attenuation(_FREQUENCY, travel, crust.q(_FREQUENCY), kappa)
        energies.append(2.0 * ((spectrum * loss * response) ** 2 * _DF).sum(-1))
    p_energy, s_energy = energies
    s_share = 1.0 - np.exp(-np.maximum(SIGNAL_S - s_after_p, 0.0) / (0.5 + 0.02 * hypocentral))
    power = (p_energy + 0.5 * s_energy * s_share) * (1.0 + 0.5 * crust.scattering) / SIGNAL_S
    width = 0.1 + 0.016 * hypocentral + np.minimum(0.35 / corner[..., 0], 3.0)
    peak = 3.0 * np.sqrt(s_energy / width)
    full_scale = np.array([station.instrument.full_scale for station in region.stations])
    return 10.0 * np.log10((power + noise_power) / noise_power), peak / full_scale


def noise_counts(
    station: Station, frequency_hz: np.ndarray, response: np.ndarray, ambient: np.ndarray
) -> np.ndarray:
    """One-sided noise power in counts²/Hz: of acceleration `ambient` (…, F), and the instrument's own."""
    instrument = station.instrument
    acceleration = ambient + instrument.self_acceleration
    seen = acceleration * (response / (2.0 * np.pi * frequency_hz)) ** 2
    return seen + instrument.recorder_noise(frequency_hz)


def station_records(
    region: Region, params: SyntheticParams, quotas: list[int]
) -> Iterator[tuple[int, int, Candidates]]:
    """Yield (event number, place of the station, the event's block) until the stations have `quotas` records.

    Events come in order. A station that records nothing of PATIENCE blocks is out of reach or too noisy: the
    region's other stations take over what it lacks.

    Raises EarthSignalsError if no station records anything.
    """
    left = np.array(quotas)
    taken = np.zeros(len(quotas), dtype=int)
    idle = np.zeros(len(quotas), dtype=int)
    block = 0
    while left.any():
        drawn = candidates(region, params, block)
        idle += 1
        for row, place in np.argwhere(drawn.recorded):
            if left[place] > 0:
                left[place] -= 1
                taken[place] += 1
                idle[place] = 0
                yield block * BLOCK + int(row), int(place), drawn
        block += 1
        if ((left > 0) & (idle >= PATIENCE)).any():
            _hand_over(left, idle, taken, region, params)


def _hand_over(
    left: np.ndarray, idle: np.ndarray, taken: np.ndarray, region: Region, params: SyntheticParams
) -> None:
    """Move what the idle stations still lack to those that do record, in turn."""
    stuck = (left > 0) & (idle >= PATIENCE)
    able = np.flatnonzero(~stuck & (taken > 0))
    if not len(able):
        able = np.flatnonzero(taken > 0)
    if not len(able):
        raise EarthSignalsError(
            f"seismic.synthetic: none of {PATIENCE * BLOCK:,} earthquakes of region {region.number} is "
            f"recorded well, with magnitudes {params.magnitude.low:g}–{params.magnitude.high:g} at "
            f"{params.distance_km.low:g}–{params.distance_km.high:g} km; change `magnitude` (too weak, or so "
            "strong that all records are off scale) or `distance_km`"
        )
    lacking = int(left[stuck].sum())
    left[stuck] = 0
    idle[:] = 0
    for number in range(lacking):
        left[able[number % len(able)]] += 1
