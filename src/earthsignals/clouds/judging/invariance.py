"""How far an embedding moves when its tile is moved, turned, brightened or stretched in contrast.

Distances are relative to the mean distance of tiles from different scenes: 0 is no change, 1 as good as
another scene. A good embedding moves steadily with the shift, and little with the rest.
"""

from __future__ import annotations

import numpy as np

from earthsignals.bootstrap import Groups
from earthsignals.clouds.judging.measured import Measured, group_sums
from earthsignals.clouds.judging.perturbed import Perturbed
from earthsignals.clouds.judging.space import distance, distances

SUMMARIES = {
    "continuity": "shift", "rotation_invariance": "rotation", "brightness_invariance": "brightness",
    "contrast_invariance": "contrast",
}  # fmt: skip


def relative_distances(groups: Groups, perturbed: Perturbed, directions: np.ndarray) -> dict[str, Measured]:
    """By kind of perturbation the relative distance (K,) at each amount.

    directions: (n + Σ K·n, F), of `perturbed.stacked()`. groups: of the study's scenes. NaN where fewer than
    two scenes gave base tiles, or all tiles look alike.
    """
    base, variants = perturbed.unstacked(directions)
    names = set(groups.names.tolist())
    own = np.array([name in names for name in perturbed.scene], bool)
    others = perturbed.scene[:, None] != perturbed.scene
    if not (others.any() and own.any()):
        return {
            name: Measured(np.full(len(kind.amounts), np.nan),
                           np.full((len(groups.weights), len(kind.amounts)), np.nan))
            for name, kind in perturbed.kinds.items()
        }  # fmt: skip
    apart = (distances(base, base) * others).sum(1) / np.maximum(others.sum(1), 1)
    scenes = groups.elsewhere(perturbed.scene[own])
    found = {}
    for name, kind in perturbed.kinds.items():
        moved = np.stack([distance(base, rows) for rows in variants[name]], axis=1)
        known = kind.known.T
        sums = group_sums(scenes, np.stack([moved * known, apart[:, None] * known], axis=1)[own])
        found[name] = Measured(_ratio(sums.sum(0)), _ratio(np.tensordot(scenes.weights, sums, axes=(1, 0))))
    return found


def summaries(relative: dict[str, Measured]) -> dict[str, Measured]:
    """One number each, 1 for no change and 0 for as good as another scene.

    continuity: at the first of the shifts; the others: mean over the amounts.
    """
    found = {}
    for name, kind in SUMMARIES.items():
        value, resampled = relative[kind].value, relative[kind].resampled
        if kind == "shift":
            found[name] = Measured(1 - value[0], 1 - resampled[:, 0])
        else:
            found[name] = Measured(1 - _mean(value), 1 - _mean(resampled))
    return found


def _mean(values: np.ndarray) -> np.ndarray:
    """Over the last axis, NaN left out."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, values, 0).sum(-1) / known.sum(-1)


def _ratio(sums: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums[..., 0, :] / sums[..., 1, :]
