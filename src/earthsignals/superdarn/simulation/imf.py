"""The interplanetary magnetic field that drives the convection: By and Bz, minute by minute.

Three things add up: sectors (levels that hold for hours and change within minutes), Ornstein-Uhlenbeck
wandering of some three hours, and storms of some hours of strong southward field. The sizes are those of the
near-Earth solar wind (standard deviations of 3-4 nT in both components, storms of -6 to -15 nT).
"""

from __future__ import annotations

import numpy as np

from earthsignals.compute.seeds import philox
from earthsignals.superdarn.simulation.series import DAY_MINUTES, number_of, ornstein_uhlenbeck, stream

SECTOR_MINUTES = 480
SECTOR_NT = (2.8, 2.0)  # of By, Bz
WANDER_NT = (1.8, 1.8)
WANDER_MINUTES = (200.0, 160.0)
TURN_MINUTES = 4.0
STORM_SHARE = 0.35  # of days on which a storm begins
STORM_NT = (6.0, 13.0)
STORM_HOURS = (3.0, 9.0)


def field(seed: int, day: int) -> np.ndarray:
    """By and Bz in nT (GSM) of one day: (1440, 2), row = minute of the day. Days join without a seam."""
    minutes = np.arange(DAY_MINUTES, dtype=float)
    wander = ornstein_uhlenbeck(seed, "imf", day, np.array(WANDER_MINUTES)) * WANDER_NT
    values = wander + _sectors(seed, day, minutes)
    values[:, 1] -= _storms(seed, day, minutes)
    return values


def with_yesterday(seed: int, day: int) -> np.ndarray:
    """By and Bz of the day and the one before it, (2880, 2): what the ionosphere still remembers."""
    return np.concatenate([field(seed, day - 1), field(seed, day)])


def coupling(imf: np.ndarray) -> np.ndarray:
    """How strongly the field couples to the magnetosphere, nT: B_T·sin²(θ/2) (Kan and Lee 1979).

    imf: (..., 2) of By, Bz. θ is the clock angle: 0 for northward field (no coupling), π for southward.
    """
    by, bz = imf[..., 0], imf[..., 1]
    total = np.hypot(by, bz)
    return (total - bz) / 2  # B·sin²(θ/2) = B·(1 - cos θ)/2


def smoothed(values: np.ndarray, memory_minutes: float) -> np.ndarray:
    """Exponential memory of a series (T,) by the minute; it begins at the series' own mean."""
    keep = np.exp(-1.0 / memory_minutes)
    out = np.empty_like(values)
    state = values.mean()
    for minute, value in enumerate(values):
        state = keep * state + (1 - keep) * value
        out[minute] = state
    return out


def _sectors(seed: int, day: int, minutes: np.ndarray) -> np.ndarray:
    """Levels (1440, 2) that turn at a random minute of every span of eight hours."""
    per_day = DAY_MINUTES // SECTOR_MINUTES
    first = number_of(day) * per_day - 1
    out = np.zeros((len(minutes), 2))
    before = np.zeros(2)
    for number in range(first, first + per_day + 1):
        draw = philox(seed, stream("sectors"), number)
        level = draw.standard_normal(2) * SECTOR_NT
        onset = (number - first - 1 + draw.random()) * SECTOR_MINUTES
        turned = _step(minutes - onset, TURN_MINUTES)[:, None]
        # The first level has long been reached when the day begins: its own onset lies in yesterday.
        out += level if number == first else (level - before) * turned
        before = level
    return out


def _storms(seed: int, day: int, minutes: np.ndarray) -> np.ndarray:
    """Southward field (1440,) in nT, positive, of storms that began today or yesterday."""
    out = np.zeros(len(minutes))
    for begun in (day - 1, day):
        draw = philox(seed, stream("storms"), number_of(begun))
        happens, when, size, length = draw.random(4)
        if happens >= STORM_SHARE:
            continue
        onset = when * DAY_MINUTES + (begun - day) * DAY_MINUTES
        hours = STORM_HOURS[0] + length * (STORM_HOURS[1] - STORM_HOURS[0])
        strength = STORM_NT[0] + size * (STORM_NT[1] - STORM_NT[0])
        passed = minutes - onset
        out += strength * (_step(passed, 10.0) - _step(passed - 60 * hours, 60.0))
    return out


def _step(minutes: np.ndarray, width: float) -> np.ndarray:
    """From 0 to 1 around minute 0, within some `width` minutes."""
    return 0.5 * (1 + np.tanh(minutes / width))
