"""Images for a page in whole numbers of few bytes: enhancements, probabilities; 0 where nothing is known."""

from __future__ import annotations

import numpy as np

OFFSET = 20_000
"""Code of 0 ppm m; 0 is no data."""
SCORES = 254
"""Steps of a probability; 0 is no data."""


def coded_ppm_m(values: np.ndarray) -> np.ndarray:
    """Enhancements in whole ppm m, uint16 from OFFSET, clipped at what fits."""
    whole = np.clip(np.rint(np.nan_to_num(values)) + OFFSET, 1, np.iinfo(np.uint16).max)
    return np.where(np.isfinite(values), whole, 0).astype(np.uint16)


def coded_score(values: np.ndarray) -> np.ndarray:
    """Probabilities as uint8: 1 + SCORES · p."""
    whole = 1 + np.rint(SCORES * np.clip(np.nan_to_num(values), 0, 1))
    return np.where(np.isfinite(values), whole, 0).astype(np.uint8)
