"""How many directions of its space an embedding uses, and the alarm when it has collapsed."""

from __future__ import annotations

import numpy as np

from earthsignals.bootstrap import Groups
from earthsignals.clouds.judging.measured import Measured, group_sums

COLLAPSED_RANK = 2.0
COLLAPSED_SPREAD = 1e-3
"""Deviation of an embedding over the length of its mean."""
RESAMPLED = 128
"""Features up to which the interval is worked out: it takes an eigenproblem of their number each resample."""


def effective_rank(features: np.ndarray) -> float:
    """exp of the entropy of the normalised singular values of centred features (N, F).

    Roy & Vetterli 2007 (EUSIPCO, eq. 2–3): F for equal variance in all directions, 1 for variance in one
    direction alone, and 1 where nothing varies. Features are taken as they are: standardised, a direction
    that hardly varies would count like any other.
    """
    centred = features - features.mean(0, dtype=np.float64)
    return float(_rank(np.linalg.svd(centred, compute_uv=False)))


def resampled_rank(groups: Groups, features: np.ndarray) -> Measured:
    """The effective rank of features (N, F), its resamples centred; NaN beyond RESAMPLED features."""
    value = effective_rank(features)
    resamples = np.full(len(groups.weights), np.nan)
    width = features.shape[1]
    if width <= RESAMPLED:
        centred = features - features.mean(0, dtype=np.float64)
        names = groups.weights.shape[1]
        products = np.stack([centred[groups.group == g].T @ centred[groups.group == g] for g in range(names)])
        sums = group_sums(groups, np.concatenate([centred, np.ones((len(centred), 1))], axis=1))
        for number, weights in enumerate(groups.weights):
            total = weights @ sums
            if total[-1]:
                scatter = np.tensordot(weights, products, axes=1)
                scatter -= np.outer(total[:-1], total[:-1]) / total[-1]
                resamples[number] = _rank(np.sqrt(np.clip(np.linalg.eigvalsh(scatter), 0, None)))
    return Measured(np.array(value), resamples).centred()


def collapsed(features: np.ndarray, rank: float) -> bool:
    """Has the embedding (N, D) lost what tells tiles apart: below two directions, or next to no spread?"""
    spread = np.sqrt(features.var(0, dtype=np.float64).sum())
    length = np.linalg.norm(features.mean(0, dtype=np.float64))
    return bool(rank < COLLAPSED_RANK or spread <= COLLAPSED_SPREAD * length)


def _rank(singular: np.ndarray) -> float:
    total = singular.sum()
    if not total > 0:
        return 1.0
    share = singular / total
    return float(np.exp(-(share * np.log(np.where(share > 0, share, 1))).sum()))
