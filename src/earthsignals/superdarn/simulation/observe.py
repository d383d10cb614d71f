"""What radars see of the drift: its component along their beams, where there are echoes, with errors.

Echoes come and go as they do on 1 March 2015: a radar is rich or poor for hours, bands of some hundred
kilometres light up for tens of minutes, single cells flicker; 22 radars give about 550 vectors every two
minutes. Radars that see the same cell disagree more than one radar disagrees with itself, since refracted and
side-lobe paths put echoes in wrong places: each radar has its own slowly changing field of error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earthsignals.compute.seeds import philox
from earthsignals.superdarn.field_of_view import SeenCells
from earthsignals.superdarn.simulation.series import number_of, ornstein_uhlenbeck, stream
from earthsignals.superdarn.simulation.turbulence import Waves, plane, wave_sum

FRAME_MINUTES = 2
FRAMES = 720
SLOTS = 64
"""Radars that have streams of their own on each day."""

# Echoes: a cell is seen where the sum of these, in standard deviations of each, exceeds the threshold.
THRESHOLD = 1.9
BAND, BAND_LENGTHS_KM, BAND_MEMORY_MINUTES = 1.2, (250.0, 900.0), (50.0, 200.0)
RADAR, RADAR_MEMORY_MINUTES = 0.8, 180.0
SENSITIVITY = 0.7  # from radar to radar
DAILY, DAILY_PEAK_HOUR = 0.6, 4.0  # of universal time: most radars then look at the evening side
CELL, CELL_MEMORY_MINUTES = 0.2, 10.0
FLICKER = 0.1
BEST_RANGE_KM, RANGE_WIDTH_KM = 1500.0, 1200.0
DRIFT_HELPS = 0.25  # irregularities grow where drift is fast; per factor e of the speed over 200 m/s

# Errors
MISPLACED = 0.25
"""Standard deviation of a radar's own field of error over the day's root mean square velocity."""
MISPLACED_LENGTHS_KM, MISPLACED_MEMORY_MINUTES = (150.0, 600.0), (60.0, 180.0)
MOST_SAMPLES = 16  # gates and scans whose median a cell's velocity is
UNEVEN = 1.05  # standard deviation of the logarithm of a vector's noise level: most fits are good, few bad
TAIL_FREEDOM = 4  # of Student's t: fits go wrong more often than a normal law has it
GROUND_M_S, GROUND_REMOVED = 30.0, 0.75  # slow echoes pass for ground scatter and are taken out
RESOLUTION_M_S = 1 / 64
"""Velocities are rounded to this, so that every processor writes the same numbers."""

WAVES = 48


@dataclass(frozen=True)
class Seen:
    """One radar's vectors of a day, as flat arrays (M,) in order of time."""

    frame: np.ndarray
    """int64, number of the frame."""
    row: np.ndarray
    """int64, of the radar's cells."""
    line_of_sight: np.ndarray
    """float64 m/s, positive away from the radar."""
    velocity_sd: np.ndarray
    power: np.ndarray
    width: np.ndarray
    ground: int
    """Vectors taken out as ground scatter."""
    silent_hours: int
    """Hours without a record."""


def phase_minutes(slot: int) -> int:
    """Minute (0 or 1) at which the two-minute scans of the radar in that slot begin: clocks differ."""
    return int(slot % 3 == 1)


def observe(
    seed: int, day: int, slot: int, seen: SeenCells, drift: np.ndarray, noise_m_s: float, drop_out: float
) -> Seen:
    """What one radar sees of a day.

    slot: number of the radar in the simulation. seen: its cells (N,). drift: (frames, 2, N) m/s at its cells
    in the middle of each of its scans.
    """
    draw = philox(seed, stream("observe"), number_of(day) * SLOTS + slot)
    frames = drift.shape[0]
    minutes = phase_minutes(slot) + 1 + FRAME_MINUTES * np.arange(frames)
    angle = np.deg2rad(seen.kvect_away)
    places = plane(seen.mlat, seen.mlon)
    true = drift[:, 0] * np.cos(angle) + drift[:, 1] * np.sin(angle)
    score = _echoes(seed, day, slot, seen, places, minutes, draw)
    score += DRIFT_HELPS * np.log(np.hypot(drift[:, 0], drift[:, 1]) / 200.0 + 0.1)
    heard = score > THRESHOLD
    silent = draw.random(12) < drop_out  # outages last two hours
    heard &= ~silent[(minutes // 120) % 12][:, None]

    level = MISPLACED * float(np.sqrt(np.mean(true**2)))
    waves = Waves(seed, f"misplaced-{slot}", WAVES, MISPLACED_LENGTHS_KM, MISPLACED_MEMORY_MINUTES)
    error = level * wave_sum(waves, waves.amplitudes(day)[minutes], places)
    frame, row = np.nonzero(heard)
    count = len(frame)
    samples = draw.integers(1, MOST_SAMPLES + 1, count)
    spread = noise_m_s * np.exp(UNEVEN * draw.standard_normal(count))
    own = draw.standard_t(TAIL_FREEDOM, count) * np.sqrt((TAIL_FREEDOM - 2) / TAIL_FREEDOM)
    # The median of n normal samples scatters by √(π/2n).
    velocity = (true + error)[frame, row] + spread * own * np.sqrt(np.pi / 2 / samples)
    velocity = np.round(velocity / RESOLUTION_M_S) * RESOLUTION_M_S
    ground = (np.abs(velocity) < GROUND_M_S) & (draw.random(count) < GROUND_REMOVED)
    power = 6.0 + 9.0 * np.minimum(score[frame, row] - THRESHOLD, 3.0) + 3.0 * draw.standard_normal(count)
    width = 107.0 * np.exp(0.75 * draw.standard_normal(count))
    keep = ~ground
    return Seen(
        frame[keep], row[keep], velocity[keep], _to_tenths(spread[keep]),
        _to_tenths(np.maximum(power[keep], 3.0)), _to_tenths(np.minimum(width[keep], 1000.0)),
        int(ground.sum()), 2 * int(silent.sum()),
    )  # fmt: skip


def _echoes(
    seed: int, day: int, slot: int, seen: SeenCells, places: np.ndarray, minutes: np.ndarray,
    draw: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """How likely echoes are, (frames, N)."""
    waves = Waves(seed, f"bands-{slot}", WAVES, BAND_LENGTHS_KM, BAND_MEMORY_MINUTES)
    score = BAND * wave_sum(waves, waves.amplitudes(day)[minutes], places)
    slow = ornstein_uhlenbeck(seed, f"radar-{slot}", day, np.array([RADAR_MEMORY_MINUTES]))[minutes, 0]
    constant = SENSITIVITY * philox(seed, stream("sensitivity"), slot).standard_normal()
    daily = DAILY * np.cos(2 * np.pi * (minutes / 60 - DAILY_PEAK_HOUR) / 24)
    score += (RADAR * slow + daily + constant)[:, None]
    score -= 0.5 * ((seen.range_km - BEST_RANGE_KM) / RANGE_WIDTH_KM) ** 2
    # Single cells forget within minutes: this part starts anew at midnight.
    keep = np.exp(-FRAME_MINUTES / CELL_MEMORY_MINUTES)
    state = draw.standard_normal(len(seen))
    for frame in range(len(minutes)):
        score[frame] += CELL * state + FLICKER * draw.standard_normal(len(seen))
        state = keep * state + np.sqrt(1 - keep**2) * draw.standard_normal(len(seen))
    return score


def _to_tenths(values: np.ndarray) -> np.ndarray:
    return np.round(values * 8) / 8


