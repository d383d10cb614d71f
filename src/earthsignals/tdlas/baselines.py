"""Linear baselines: ridge and partial least squares on ln I with T and P interactions.

Both are what a chemometrician would fit first, on the same scans, with their settings chosen on the
validation split. Errors are weighed by the bound (via the stabiliser's slope), not by plain ppm.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earthsignals.storage import EarthSignalsError, atomic_path
from earthsignals.tdlas.bound import Stabiliser
from earthsignals.tdlas.model import FLOOR
from earthsignals.tdlas.params import BaselineParams
from earthsignals.tdlas.simulate import PPM, Conditions
from earthsignals.tdlas.train import Labelled


@dataclass(frozen=True)
class LinearModel:
    """ppm = intercept + coefficients . features; features are [y, y t, y p, t, p, t^2, p^2, t p].

    y = ln I - mean (M,); t and p are T and P scaled to about [-1, 1]; coefficients (3 M + 5,).
    """

    mean: np.ndarray
    centre: np.ndarray
    half: np.ndarray
    coefficients: np.ndarray
    intercept: float
    setting: float

    def features(self, signal: np.ndarray, conditions: Conditions) -> np.ndarray:
        """Feature rows (B, 3 M + 5) float32 of signals (B, M)."""
        y = np.log(np.maximum(signal, np.float32(FLOOR))) - self.mean.astype(np.float32)
        t = ((conditions.temperature_k - self.centre[0]) / self.half[0]).astype(np.float32)[:, None]
        p = ((conditions.pressure_atm - self.centre[1]) / self.half[1]).astype(np.float32)[:, None]
        return np.concatenate([y, y * t, y * p, t, p, t * t, p * p, t * p], axis=1)

    def predict(self, signal: np.ndarray, conditions: Conditions) -> np.ndarray:
        """Mole fractions (B,) [ppm]."""
        return self.features(signal, conditions) @ self.coefficients + self.intercept


def fit_ridge(
    training: Labelled, validation: Labelled, stabiliser: Stabiliser, params: BaselineParams
) -> LinearModel:
    """Weighted ridge; the penalty is chosen on the validation scans."""
    from sklearn.linear_model import Ridge

    blank, x, ppm, weight = _design(training, stabiliser, params.scans)
    held, truth, held_weight = _held_out(blank, validation, stabiliser)
    best: tuple[float, LinearModel] | None = None
    for alpha in params.ridge_alphas:
        fitted = Ridge(alpha=alpha, solver="cholesky").fit(x, ppm, sample_weight=weight)
        candidate = _with(blank, fitted.coef_, float(fitted.intercept_), alpha)
        best = _better(best, candidate, held, truth, held_weight)
    return best[1]


def fit_pls(
    training: Labelled, validation: Labelled, stabiliser: Stabiliser, params: BaselineParams
) -> LinearModel:
    """Partial least squares; the number of components is chosen on the validation scans."""
    from sklearn.cross_decomposition import PLSRegression

    blank, x, ppm, _ = _design(training, stabiliser, params.pls_scans)
    held, truth, held_weight = _held_out(blank, validation, stabiliser)
    best: tuple[float, LinearModel] | None = None
    for components in params.pls_components:
        fitted = PLSRegression(min(components, *x.shape), scale=False, copy=True).fit(x, ppm)
        coefficients = fitted.coef_.ravel()
        intercept = float(fitted.intercept_[0] - fitted._x_mean @ coefficients)
        candidate = _with(blank, coefficients, intercept, components)
        best = _better(best, candidate, held, truth, held_weight)
    return best[1]


def _design(
    training: Labelled, stabiliser: Stabiliser, scans: int
) -> tuple[LinearModel, np.ndarray, np.ndarray, np.ndarray]:
    """An unfitted model with its scalings, and features, targets [ppm], weights of the scans."""
    rows = slice(0, scans)
    c = training.conditions[rows]
    state = np.stack([c.temperature_k, c.pressure_atm])
    half = 0.5 * np.ptp(state, axis=1)
    blank = LinearModel(
        training.log_trace(rows).mean(axis=0, dtype=np.float64), state.mean(axis=1),
        np.where(half > 0, half, 1.0), np.zeros(0), 0.0, 0.0,
    )  # fmt: skip
    ppm = c.mole_fraction / PPM
    weight = stabiliser.slope(ppm) ** 2
    return blank, blank.features(training.signal(rows), c), ppm, weight / weight.mean()


def _held_out(
    blank: LinearModel, validation: Labelled, stabiliser: Stabiliser
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    c = validation.conditions
    ppm = c.mole_fraction / PPM
    return blank.features(validation.signal(slice(None)), c), ppm, stabiliser.slope(ppm)


def _with(
    blank: LinearModel, coefficients: np.ndarray, intercept: float, setting: float
) -> LinearModel:
    scalings = (blank.mean, blank.centre, blank.half)
    return LinearModel(*scalings, np.asarray(coefficients, float), intercept, setting)


def _better(
    best: tuple[float, LinearModel] | None, candidate: LinearModel, features: np.ndarray,
    ppm: np.ndarray, weight: np.ndarray,
) -> tuple[float, LinearModel]:  # fmt: skip
    predicted = features @ candidate.coefficients + candidate.intercept
    error = float(np.sqrt(np.mean(((predicted - ppm) * weight) ** 2)))
    return (error, candidate) if best is None or error < best[0] else best


def save_linear(path: Path, model: LinearModel) -> None:
    """Write a linear model as plain arrays, atomically and with repeatable bytes."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **{name: np.asarray(value) for name, value in model.__dict__.items()})


def load_linear(path: Path) -> LinearModel:
    """Read a linear model; raises EarthSignalsError where the file is none."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            values = {name: arrays[name] for name in LinearModel.__dataclass_fields__}
    except (OSError, ValueError, KeyError) as error:
        raise EarthSignalsError(
            f"{path} is no linear baseline ({str(error)[:80]}); run `dvc repro tdlas-baselines`."
        ) from None
    scalars = {name: float(values.pop(name)) for name in ("intercept", "setting")}
    return LinearModel(**values, **scalars)
