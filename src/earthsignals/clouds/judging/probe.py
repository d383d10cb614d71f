"""The linear probe: what of the regime a linear rule can read off a tile's features.

Multinomial logistic regression on standardised features, fitted to tiles of training scenes. Its penalty is
chosen for each row by cross-validation over training scenes, so that long and short descriptions both enter
at their best.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from earthsignals.clouds.judging.folds import by_scene
from earthsignals.clouds.judging.space import Scaling

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""C of scikit-learn: smaller is a stronger prior."""
STEPS = 300
USUAL = 0.1
"""Where there are too few scenes to choose by."""


@dataclass(frozen=True)
class Probe:
    """score = standardised features · weights + intercept, the largest wins; classes: (C,) names."""

    scaling: Scaling
    classes: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray
    penalty: float

    def score(self, features: np.ndarray) -> np.ndarray:
        """Logits (N, C) of features (N, F), up to a constant of each tile."""
        return self.scaling.apply(features) @ self.weights + self.intercept

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Classes (N,) of features (N, F)."""
        return self.classes[self.score(features).argmax(1)]


def fit_probe(features: np.ndarray, label: np.ndarray, scene: np.ndarray) -> Probe | None:
    """Fit to features (M, F) with labels (M,) of scenes (M,); None where all labels are the same."""
    label = np.asarray(label)
    if len(np.unique(label)) < 2:
        return None
    folds = by_scene(scene, label)
    right = np.zeros(len(PENALTIES))
    for own, held_back in folds:
        scaling = Scaling.fit(features[own])
        known, unseen = scaling.apply(features[own]), scaling.apply(features[held_back])
        for number, model in enumerate(_path(known, label[own])):
            right[number] += (model.predict(unseen) == label[held_back]).sum()
    # Of equally good ones the strongest prior: argmax takes the first.
    penalty = PENALTIES[int(right.argmax())] if folds else USUAL
    scaling = Scaling.fit(features)
    model = _fit(LogisticRegression(C=penalty, tol=1e-3, max_iter=STEPS), scaling.apply(features), label)
    weights, intercept = model.coef_.T.astype(np.float64), model.intercept_.astype(np.float64)
    if weights.shape[1] == 1:  # of two classes scikit-learn keeps the second's alone
        weights, intercept = np.hstack([-weights, weights]) / 2, np.r_[-intercept, intercept] / 2
    return Probe(scaling, model.classes_, weights, intercept, penalty)


def _path(features: np.ndarray, label: np.ndarray) -> list[LogisticRegression]:
    """A model for each penalty, each starting from the one before."""
    models: list[LogisticRegression] = []
    for penalty in PENALTIES:
        model = LogisticRegression(C=penalty, tol=1e-3, max_iter=STEPS, warm_start=bool(models))
        if models:
            model.coef_, model.intercept_ = models[-1].coef_.copy(), models[-1].intercept_.copy()
            model.classes_ = models[-1].classes_
        models.append(_fit(model, features, label))
    return models


def _fit(model: LogisticRegression, features: np.ndarray, label: np.ndarray) -> LogisticRegression:
    with warnings.catch_warnings():
        # Under a weak prior classes that can be told apart push the weights ever further; where the steps
        # end, the predicted classes have long stopped changing.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features, label)
