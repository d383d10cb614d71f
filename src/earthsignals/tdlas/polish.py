"""Solving FilterNet's linear tables: ridge regressions in closed form, conditioned on the gas state.

The polish step is linear in its coefficients once u is given, so they are the solution of one weighted
least-squares problem over the training scans, with u replaced by the truth plus a normal error of
`spread` units: what the step will see when it starts from an imperfect estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earthsignals.compute.seeds import philox
from earthsignals.tdlas.filters import Scaling, basis

PENALTIES = (1e-12, 1e-10, 1e-8, 1e-6, 1e-4)
ROWS = 4096


@dataclass(frozen=True)
class Regression:
    """Scores with a leading 1 (N, R + 1), conditions and target u (N,) of one split."""

    scores: np.ndarray
    temperature_k: np.ndarray
    pressure_atm: np.ndarray
    u: np.ndarray

    def design(self, scaling: Scaling, degrees: np.ndarray, u: np.ndarray, rows: slice) -> np.ndarray:
        """Rows (B, K (R + 1)) of the regression at conditioning values u (N,)."""
        scaled = scaling(self.temperature_k[rows], self.pressure_atm[rows], u[rows])
        phi = basis(scaled, degrees)
        return (phi[:, :, None] * self.scores[rows][:, None, :]).reshape(len(phi), -1)


@dataclass(frozen=True)
class Table:
    """A solved table (K, R + 1) over polynomial `degrees` (K, 3), and its validation error in u."""

    degrees: np.ndarray
    coefficients: np.ndarray
    error: float


def solve_table(
    train: Regression,
    validation: Regression,
    scaling: Scaling,
    candidates: list[np.ndarray],
    *,
    spread: float,
    seed: int,
    prior: np.ndarray | None = None,
) -> Table:
    """The best table over candidate degree sets and penalties, judged on the validation scans.

    spread: error of the conditioning u in units of u. prior: coefficients (K, R + 1) to shrink
    towards instead of zero (fine-tuning; then there is one candidate).
    """
    conditioned = [
        split.u + spread * philox(seed, name, 0).standard_normal(len(split.u))
        for split, name in ((train, "polish-train"), (validation, "polish-validation"))
    ]
    best: Table | None = None
    for degrees in candidates:
        gram, moment = _normal_equations(train, scaling, degrees, conditioned[0])
        size = len(moment)
        start = np.zeros(size) if prior is None else prior.ravel()
        ridge = np.diag(gram).mean()
        for penalty in PENALTIES:
            shrunk = gram + penalty * ridge * np.eye(size)
            try:
                solved = np.linalg.solve(shrunk, moment + penalty * ridge * start)
            except np.linalg.LinAlgError:
                continue
            error = _error(validation, scaling, degrees, conditioned[1], solved)
            if best is None or error < 0.999 * best.error:
                best = Table(degrees, solved.reshape(len(degrees), -1), error)
    assert best is not None  # the largest penalty makes every problem solvable
    return best


def _normal_equations(
    data: Regression, scaling: Scaling, degrees: np.ndarray, u: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    size = len(degrees) * data.scores.shape[1]
    gram, moment = np.zeros((size, size)), np.zeros(size)
    for start in range(0, len(data.u), ROWS):
        rows = slice(start, start + ROWS)
        design = data.design(scaling, degrees, u, rows)
        gram += design.T @ design
        moment += design.T @ data.u[rows]
    return gram, moment


def _error(
    data: Regression, scaling: Scaling, degrees: np.ndarray, u: np.ndarray, solved: np.ndarray
) -> float:
    total = 0.0
    for start in range(0, len(data.u), ROWS):
        rows = slice(start, start + ROWS)
        design = data.design(scaling, degrees, u, rows)
        total += float(((design @ solved - data.u[rows]) ** 2).sum())
    return float(np.sqrt(total / len(data.u)))
