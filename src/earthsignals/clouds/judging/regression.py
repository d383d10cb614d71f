"""How well a linear rule reads scale, anisotropy, clustering and cloud fraction off a tile's features.

Ridge regression on standardised features, fitted to tiles of training scenes, its penalty chosen by
cross-validation over scenes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earthsignals.bootstrap import Groups
from earthsignals.clouds.judging.folds import by_scene
from earthsignals.clouds.judging.measured import Measured, group_sums
from earthsignals.clouds.judging.space import Scaling

PENALTIES = tuple(float(10.0**power) for power in np.arange(-3, 5))
"""Of Σ(y − ŷ)² + λ‖w‖² for standardised features."""
LEAST = 10
"""Tiles with a known value that a regression needs."""


@dataclass(frozen=True)
class Ridge:
    """ŷ = standardised features · weights + mean."""

    scaling: Scaling
    weights: np.ndarray
    mean: float
    penalty: float

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Values (N,) of features (N, F)."""
        return self.scaling.apply(features) @ self.weights + self.mean


def fit_ridge(features: np.ndarray, target: np.ndarray, scene: np.ndarray) -> Ridge | None:
    """Fit to features (M, F), targets (M,) of scenes (M,); NaN targets are left out.

    None where fewer than LEAST are known, or they do not vary.
    """
    known = np.isfinite(target)
    features, target, scene = features[known], target[known], scene[known]
    if len(target) < LEAST or np.ptp(target) == 0:
        return None
    error = np.zeros(len(PENALTIES))
    folds = by_scene(scene)
    for own, held_back in folds:
        scaling, weights, mean = _path(features[own], target[own])
        predicted = scaling.apply(features[held_back]) @ weights + mean
        error += ((predicted - target[held_back][:, None]) ** 2).sum(0)
    best = int(error.argmin()) if folds else PENALTIES.index(10.0)
    scaling, weights, mean = _path(features, target)
    return Ridge(scaling, weights[:, best], mean, PENALTIES[best])


def _path(features: np.ndarray, target: np.ndarray) -> tuple[Scaling, np.ndarray, float]:
    """Weights (F, penalties) by one singular value decomposition."""
    scaling, mean = Scaling.fit(features), float(target.mean())
    left, values, right = np.linalg.svd(scaling.apply(features), full_matrices=False)
    shrunk = values[:, None] / (values[:, None] ** 2 + np.array(PENALTIES))
    return scaling, right.T @ (shrunk * (left.T @ (target - mean))[:, None]), mean


def r2(groups: Groups, true: np.ndarray, predicted: np.ndarray) -> Measured:
    """Coefficient of determination 1 − Σ(y − ŷ)² / Σ(y − ȳ)² over tiles (N,) with a known value.

    Around the mean of the tiles judged (of the resample): a constant scores at most 0.
    """
    known = np.isfinite(true)
    if known.sum() < 2:
        return Measured.unknown(groups)
    true, predicted = true[known], predicted[known]
    # About the mean of all, so that no digits are lost in the squares.
    centre = true.mean()
    apart, error = true - centre, true - predicted
    terms = np.stack([np.ones(len(true)), apart, apart**2, error**2], axis=1)
    sums = group_sums(groups.subset(known), terms)
    return Measured(_r2(sums.sum(0)), _r2(groups.weights @ sums))


def _r2(sums: np.ndarray) -> np.ndarray:
    count, first, second, error = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - error / (second - first**2 / count)
