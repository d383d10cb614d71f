"""Features that are not defined for every tile: filled with a typical value, and marked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Imputer:
    """Medians (F,) of the tiles it was fitted to; marked: (F,) bool, features that were missing there.

    A linear rule on filled and marked features may treat "not defined" as a value of its own.
    """

    median: np.ndarray
    marked: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray) -> Imputer:
        """features: (M, F), NaN where not defined; one that is never defined becomes 0."""
        known = np.isfinite(features)
        columns = [values[own] for values, own in zip(features.T, known.T, strict=True)]
        median = np.array([np.median(values) if len(values) else 0.0 for values in columns])
        return cls(median, ~known.all(0) & known.any(0))

    def fill(self, features: np.ndarray) -> tuple[np.ndarray, int]:
        """Features (N, F) to (N, F + marks) without NaN, and how many values were filled."""
        missing = ~np.isfinite(features)
        filled = np.where(missing, self.median, features)
        return np.concatenate([filled, missing[:, self.marked]], axis=1), int(missing.sum())
