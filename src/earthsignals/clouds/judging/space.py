"""The space that distances are measured in: one rule for every row of the table.

Features are standardised by the tiles that rules are fitted to, so that no unit outweighs another, and tiles
compared by the angle between what remains. The distance 1 − cos lies between 0 (same direction) and 2; of
unrelated tiles it is about 1. Nothing is whitened.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scaling:
    """mean and deviation (F,) float64; a feature that never varied counts for nothing."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray) -> Scaling:
        """features: (M, F) of the tiles that rules are fitted to."""
        mean = features.mean(0, dtype=np.float64)
        deviation = features.std(0, dtype=np.float64)
        constant = deviation <= 1e-9 * np.maximum(np.abs(mean), 1e-12)
        return cls(mean, np.where(constant, np.inf, deviation))

    def apply(self, features: np.ndarray) -> np.ndarray:
        """Features (N, F) with mean 0 and variance 1 on the tiles fitted to, float64."""
        return (np.asarray(features, np.float64) - self.mean) / self.deviation

    def directions(self, features: np.ndarray) -> np.ndarray:
        """Standardised features (N, F) at length one; a zero vector stays one."""
        scaled = self.apply(features)
        length = np.linalg.norm(scaled, axis=1, keepdims=True)
        return scaled / np.where(length > 0, length, 1)


def distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """1 − cos of directions (N, F) and (N, F), pair by pair: (N,), 0 for equal ones."""
    # Half the squared difference is the same and exactly 0 for equal tiles.
    half = ((one - other) ** 2).sum(-1) / 2
    # A tile without direction is unlike all others.
    empty = (one == 0).all(-1) ^ (other == 0).all(-1)
    return np.where(empty, 1.0, half)


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """1 − cos of every direction (N, F) to every other (M, F): (N, M)."""
    return np.clip(1 - one @ other.T, 0, 2)
