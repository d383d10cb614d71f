"""Folds of cross-validation that keep a scene together: tiles of one scene are no independent samples."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

FOLDS = 4
Fold = tuple[np.ndarray, np.ndarray]


def by_scene(scene: np.ndarray, label: np.ndarray | None = None, folds: int = FOLDS) -> list[Fold]:
    """(training, held back) indices of up to `folds` folds of items with scenes (N,).

    label: (N,) classes that each fold should hold in proportion. Folds whose training part misses a class are
    left out; none is left where the scenes are too few.
    """
    scenes = len(np.unique(scene))
    if scenes < 2:
        return []
    nothing = np.zeros(len(scene))
    if label is None:
        return list(GroupKFold(min(folds, scenes)).split(nothing, groups=scene))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of classes with fewer members than folds: see below
        number = min(folds, scenes, len(label))
        try:
            found = list(StratifiedGroupKFold(number).split(nothing, label, scene))
        except ValueError:  # every class has fewer tiles than there are folds
            return []
    every = set(label.tolist())
    return [fold for fold in found if set(label[fold[0]].tolist()) == every and len(fold[1])]
