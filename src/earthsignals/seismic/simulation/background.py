"""What a station records when the ground is quiet: ambient noise, lines, gusts, traffic and steps.

Three components in counts. The mean spectrum comes from the station's level between Peterson's models; above
1.5 Hz its strength wanders with time; machines near some stations add narrow lines; people, vehicles and
falling objects add transients, so that a trigger on amplitude alone is not perfect.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft

from earthsignals.compute.seeds import philox
from earthsignals.seismic.simulation import noise
from earthsignals.seismic.simulation.regions import Station
from earthsignals.seismic.simulation.selection import noise_counts
from earthsignals.seismic.simulation.waves import Grid, wander, white

TRANSIENT_SHARE = 0.45
"""Of all records, with and without an earthquake."""
HIGH_HZ = 1.5  # from here on the strength wanders with time


@dataclass(frozen=True)
class StationNoise:
    """What a station's noise always has: colour per component, and lines; factors on power, (3, F)."""

    colour: np.ndarray
    lines: np.ndarray


@lru_cache(maxsize=4096)
def station_noise(seed: int, number: int, grid: Grid) -> StationNoise:
    """Colour and lines (relative to the colour, 0 where there is none) of station `number`, ENZ."""
    rng = philox(seed, "seismic.station-noise", number)
    colour = wander(rng, grid, 3, 2.5) ** 2
    tilt = 1.0 + 3.0 / (1.0 + (grid.frequency / 0.06) ** 2)
    colour[:2] *= 1.3 * tilt
    lines = np.zeros_like(colour)
    for _ in range(rng.poisson(0.8)):
        centre, width = np.exp(rng.uniform(np.log(2.0), np.log(0.47 * grid.rate_hz))), rng.uniform(0.03, 0.15)
        height = 10.0 ** rng.uniform(1.0, 2.8) * rng.uniform(0.2, 1.0, (3, 1))
        lines += height * np.exp(-0.5 * ((grid.frequency - centre) / width) ** 2)
    colour.flags.writeable = lines.flags.writeable = False
    return StationNoise(colour.astype(np.float32), lines.astype(np.float32))


@lru_cache(maxsize=8)
def _models(grid: Grid) -> np.ndarray:
    return noise.noise_models(tuple(grid.frequency))


def background(
    station: Station, low: float, high: float, response: np.ndarray, grid: Grid, seed: int,
    rng: np.random.Generator, phases: np.random.Generator,
) -> tuple[np.ndarray, float]:
    """Noise in counts, (3, length), ENZ, of one record, and its expected deviation without transients.

    low, high: the record's levels between NLNM (0) and NHNM (1); response (F,) complex, counts per m/s; rng
    draws the record's traits, phases the random phases.
    """
    own = station_noise(seed, station.number, grid)
    ambient = noise.ambient_psd(grid.frequency, _models(grid), low, high)
    ambient = ambient * own.colour * wander(rng, grid, 3, 1.0) ** 2
    power = noise_counts(station, grid.frequency, np.abs(response), ambient)
    power = power * (1.0 + own.lines * (rng.random() < 0.8) * rng.uniform(0.3, 1.0))
    spectrum = white(phases, grid, 3) * np.sqrt(power)
    share = 1.0 / (1.0 + (HIGH_HZ / grid.frequency) ** 4)
    counts = fft.irfft(spectrum * share, grid.length)
    counts *= _gusts(rng, grid)
    counts += fft.irfft(spectrum * (1.0 - share), grid.length)
    if rng.random() < TRANSIENT_SHARE:
        # Expected, not measured, deviations: redrawn phases leave the strength of everything as it is.
        strength = np.sqrt((power * share**2).mean(axis=0).sum() * grid.frequency[1])
        counts += strength * transients(rng, phases, np.abs(response), grid)
    return counts, float(np.sqrt(power.mean(axis=0).sum() * grid.frequency[1]))


def _gusts(rng: np.random.Generator, grid: Grid) -> np.ndarray:
    """Slow changes of strength, (length,), about 1: a deviation of 0.3–3 dB, changing within some 8 s."""
    deviation = np.exp(rng.uniform(np.log(0.3), np.log(3.0))) * np.log(10.0) / 20.0
    seconds = grid.length / grid.rate_hz
    knots = np.linspace(0.0, seconds, max(2, round(seconds / 8.0)))
    values = rng.normal(0.0, deviation, len(knots))
    return np.exp(np.interp(np.arange(grid.length) / grid.rate_hz, knots, values))


def transients(
    rng: np.random.Generator, phases: np.random.Generator, response: np.ndarray, grid: Grid
) -> np.ndarray:
    """Footsteps, a vehicle, thuds or spikes, (3, length), in multiples of the noise's deviation above 1.5 Hz.

    All but spikes are bursts of band-limited noise: centre 2–30 Hz, half to one octave wide.
    """
    seconds = grid.length / grid.rate_hz
    time = np.arange(grid.length) / grid.rate_hz
    envelope = np.zeros(grid.length)
    strength = np.exp(rng.uniform(np.log(1.0), np.log(30.0)))
    begin = rng.uniform(-3.0, seconds - 3.0)
    sort = rng.choice(4, p=(0.3, 0.3, 0.3, 0.1))
    if sort == 0:  # footsteps
        spacing, number = rng.uniform(0.45, 0.75), rng.integers(4, 16)
        for step in range(number):
            after = time - begin - spacing * step - rng.normal(0.0, 0.03)
            loud = np.sin(np.pi * (step + 1) / (number + 1)) * rng.uniform(0.6, 1.2)
            envelope += loud * _decay(after, 0.08)
    elif sort == 1:  # a vehicle passes
        envelope += np.exp(-0.5 * ((time - begin) / rng.uniform(1.5, 9.0)) ** 2) * 0.6
    elif sort == 2:  # thuds
        for _ in range(rng.integers(1, 4)):
            after = time - begin - rng.exponential(6.0)
            decay = np.exp(rng.uniform(np.log(0.1), np.log(1.5)))
            envelope += rng.uniform(0.3, 1.0) * _decay(after, decay)
    else:
        spikes = np.zeros((3, grid.length))
        where = rng.integers(grid.length, size=rng.integers(1, 4))
        spikes[:, where] = strength * 3.0 * rng.uniform(-1.0, 1.0, (3, len(where)))
        return spikes
    centre, width = np.exp(rng.uniform(np.log(2.0), np.log(30.0))), rng.uniform(0.5, 1.0)
    shape = np.exp(-0.5 * (np.log2(grid.frequency / centre) / width) ** 2) * response / response.max()
    shape /= np.sqrt((shape**2).sum() * grid.frequency[1])  # a burst's deviation is one
    bursts = fft.irfft(white(phases, grid, 3) * shape * rng.uniform(0.5, 1.5, (3, 1)), grid.length)
    return bursts * (strength * envelope)


def _decay(after_s: np.ndarray, decay_s: float) -> np.ndarray:
    """0 before time 0, from there exp(−t/decay)."""
    return np.where(after_s >= 0.0, np.exp(-np.maximum(after_s, 0.0) / decay_s), 0.0)
