"""Ambient noise between Peterson's models, cultural and instrumental additions, and transients.

Power spectra are of ground acceleration in (m/s²)²/Hz. A record's level is a position between the new low and
the new high noise model (NLNM 0, NHNM 1; Peterson 1993, as tabulated by obspy): one below about 0.5 Hz, where
ocean waves make the noise, and one above about 1.5 Hz, where wind and people do. Beyond the tables' last
frequency, 10 Hz, acceleration power rises in proportion to frequency, as at most sites on the surface.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from obspy.signal.spectral_estimation import get_nhnm, get_nlnm

CROSSOVER_HZ = (0.5, 1.5)
TABLE_END_HZ = 10.0


@lru_cache(maxsize=8)
def noise_models(frequencies: tuple[float, ...]) -> np.ndarray:
    """NLNM and NHNM in dB re (m/s²)²/Hz at ascending frequencies in Hz, (2, F); held beyond the tables."""
    rows = []
    for period, decibels in (get_nlnm(), get_nhnm()):
        rows.append(np.interp(np.log(frequencies), -np.log(period), decibels))
    table = np.stack(rows)
    table.flags.writeable = False
    return table


def ambient_psd(
    frequency_hz: np.ndarray, models_db: np.ndarray, low: np.ndarray | float, high: np.ndarray | float
) -> np.ndarray:
    """Acceleration power spectrum (…, F) in (m/s²)²/Hz of records at levels `low` and `high` (…, 1)."""
    first, second = np.log(CROSSOVER_HZ)
    share = np.clip((np.log(frequency_hz) - first) / (second - first), 0.0, 1.0)
    level = low * (1.0 - share) + high * share
    rising = np.maximum(frequency_hz / TABLE_END_HZ, 1.0)
    return rising * 10.0 ** ((models_db[0] + level * (models_db[1] - models_db[0])) / 10.0)
