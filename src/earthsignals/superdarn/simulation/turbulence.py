"""Drift on scales of some hundred kilometres and some minutes: a random stream function over the pole.

A sum of plane waves on the tangent plane (random Fourier features) whose amplitudes are Ornstein-Uhlenbeck
series: stationary in time and space, and one matrix product for all cells and times. Its strength varies from
region to region, which makes differences as heavy-tailed as radars see them.
"""

from __future__ import annotations

import numpy as np

from earthsignals.compute.seeds import philox
from earthsignals.superdarn.simulation.series import ornstein_uhlenbeck, stream

WAVES = 320
LENGTHS_KM = (70.0, 500.0)
"""Wavelengths over 2π: log-uniform between these."""
MEMORY_MINUTES = (4.0, 8.0)
"""Of the shortest and of the longest waves."""
GUST_WAVES = 48
GUST_LENGTHS_KM = (300.0, 1200.0)
GUST_MEMORY_MINUTES = (60.0, 150.0)
GUSTINESS = 1.0
"""Standard deviation of the logarithm of the strength, which makes the tails heavier than normal ones."""
KM_PER_DEGREE = 2 * np.pi * 6671.2 / 360


def plane(mlat: np.ndarray, mlon: np.ndarray) -> np.ndarray:
    """Places (N, 2) in km on the azimuthal equidistant plane, along magnetic longitudes 0 and 90°."""
    reach = (90.0 - np.abs(np.asarray(mlat, float))) * KM_PER_DEGREE
    angle = np.deg2rad(mlon)
    return np.stack([reach * np.cos(angle), reach * np.sin(angle)], -1)


class Waves:
    """Plane waves of a seed and a name, the same on every day: numbers (count, 2) in 1/km and memories."""

    def __init__(self, seed: int, name: str, count: int, lengths_km: tuple[float, float],
                 memory_minutes: tuple[float, float]) -> None:  # fmt: skip
        draw = philox(seed, stream(f"{name}-waves"))
        part = (np.arange(count) + draw.random(count)) / count
        length = lengths_km[0] * (lengths_km[1] / lengths_km[0]) ** part
        angle = draw.random(count) * 2 * np.pi
        self.numbers = np.stack([np.cos(angle), np.sin(angle)], -1) / length[:, None]
        share = np.log(length / lengths_km[0]) / np.log(lengths_km[1] / lengths_km[0])
        self.memory = memory_minutes[0] * (memory_minutes[1] / memory_minutes[0]) ** share
        self.seed, self.name = seed, name

    def amplitudes(self, day: int) -> np.ndarray:
        """(1440, 2·count) of unit variance: cosines, then sines."""
        memory = np.tile(self.memory, 2)
        back = int(min(10 * memory.max(), 2880))
        return ornstein_uhlenbeck(self.seed, self.name, day, memory, earlier_minutes=back)

    def phases(self, places: np.ndarray) -> np.ndarray:
        """(N, count) radians at places (N, 2) in km."""
        return places @ self.numbers.T


class Turbulence:
    """The small drift of one day.

    seed: of the simulation. day: number from the first. speed_m_s: standard deviation of each component.
    """

    def __init__(self, seed: int, day: int, speed_m_s: float) -> None:
        self.waves = Waves(seed, "turbulence", WAVES, LENGTHS_KM, MEMORY_MINUTES)
        self.gusts = Waves(seed, "gusts", GUST_WAVES, GUST_LENGTHS_KM, GUST_MEMORY_MINUTES)
        self.amplitudes = self.waves.amplitudes(day) * speed_m_s
        self.gust_amplitudes = self.gusts.amplitudes(day)

    def drift(self, minutes: np.ndarray, mlat: np.ndarray, mlon: np.ndarray) -> np.ndarray:
        """Drift (T, 2, N) in m/s, north and east, at `minutes` (T,) of the day and places (N,) in degrees."""
        places = plane(mlat, mlon)
        phase = self.waves.phases(places)
        cosine, sine = np.cos(phase), np.sin(phase)
        # The velocity of a wave is across its direction.
        direction = self.waves.numbers / np.linalg.norm(self.waves.numbers, axis=1, keepdims=True)
        amplitudes = self.amplitudes[minutes] * np.sqrt(2.0 / len(direction))
        along_x, along_y = (
            amplitudes @ np.concatenate([cosine * part, sine * part], 1).T
            for part in (-direction[:, 1], direction[:, 0])
        )
        strength = self._strength(minutes, places)
        angle = np.deg2rad(mlon)
        # North points to the pole, against the radius; east along growing longitude.
        north = -(np.cos(angle) * along_x + np.sin(angle) * along_y)
        east = -np.sin(angle) * along_x + np.cos(angle) * along_y
        return np.stack([north * strength, east * strength], 1)

    def _strength(self, minutes: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Log-normal (T, N) of mean square 1: some regions are rough for an hour, others smooth."""
        gust = wave_sum(self.gusts, self.gust_amplitudes[minutes], places)
        return np.exp(GUSTINESS * gust - GUSTINESS**2)


def wave_sum(waves: Waves, amplitudes: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Field (T, N) of unit variance: amplitudes (T, 2·count), of unit variance, at places (N, 2) in km."""
    phase = waves.phases(places)
    return amplitudes @ np.concatenate([np.cos(phase), np.sin(phase)], 1).T / np.sqrt(phase.shape[1])
