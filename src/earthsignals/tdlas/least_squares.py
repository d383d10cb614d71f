"""Voigt non-linear least squares with the simulator's priors: the classical analysis at its best.

Minimises (y - s(theta))' C^-1 (y - s(theta)) + sum (theta_k / sigma_k)^2 over the mole fraction, the
wavelength shift and the fringe coefficients by scipy's Levenberg-Marquardt with analytic derivatives.
It is the maximum a posteriori estimate, which attains the Cramer-Rao bound where that can be attained;
so it checks the bound itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import least_squares
from threadpoolctl import threadpool_limits

from earthsignals.compute.mapping import ordered_map
from earthsignals.tdlas.bound import ForwardModel
from earthsignals.tdlas.simulate import PPM, Conditions, Nuisances

START_FRACTIONS = np.concatenate([[0.0], np.geomspace(1e-3, 1.2, 12)])


@dataclass(frozen=True)
class Fit:
    """A fitted scan: mole fraction and standard error [ppm], reduced chi square, iterations."""

    ppm: float
    error_ppm: float
    chi_square: float
    evaluations: int


def fit_scan(
    model: ForwardModel, signal: np.ndarray, temperature_k: float, pressure_atm: float
) -> Fit:
    """Fit one measured scan (M,) at known T [K] and P [atm]."""
    prior = model.prior
    free = np.concatenate([[True], prior > 0])
    scale = np.concatenate([[100.0], prior[prior > 0]])  # of ppm, cm-1 and coefficients
    top = model.simulator.emulator.axes[2].high / PPM

    start = _start(model, signal, temperature_k, pressure_atm)
    trace, _ = _evaluate(model, start, temperature_k, pressure_atm)
    root = cholesky(model.covariance(trace), lower=True)

    def unpack(scaled: np.ndarray) -> np.ndarray:
        theta = np.zeros(1 + len(prior))
        theta[free] = scaled * scale
        theta[0] = np.clip(theta[0], -0.02 * top, top)
        return theta

    def residual(scaled: np.ndarray) -> np.ndarray:
        trace, _ = _evaluate(model, unpack(scaled), temperature_k, pressure_atm)
        whitened = solve_triangular(root, signal - trace, lower=True, check_finite=False)
        return np.concatenate([whitened, scaled[1:]])

    def jacobian(scaled: np.ndarray) -> np.ndarray:
        _, slopes = _evaluate(model, unpack(scaled), temperature_k, pressure_atm)
        gradient = -(slopes[free].T * scale)
        whitened = solve_triangular(root, gradient, lower=True, check_finite=False)
        return np.concatenate([whitened, np.eye(len(scaled))[1:]])

    found = least_squares(residual, start[free] / scale, jac=jacobian, method="lm")
    covariance = np.linalg.inv(found.jac.T @ found.jac)
    return Fit(
        float(unpack(found.x)[0]), float(np.sqrt(covariance[0, 0]) * scale[0]),
        float(2 * found.cost / len(signal)), int(found.nfev),
    )  # fmt: skip


def _evaluate(
    model: ForwardModel, theta: np.ndarray, t: float, p: float
) -> tuple[np.ndarray, np.ndarray]:
    conditions = Conditions(np.array([t]), np.array([p]), np.array([theta[0] * PPM]))
    axis = model.simulator.emulator.axes[3]
    shift = np.clip(theta[1:2], axis.low, axis.high)
    trace, slopes = model.trace(conditions, Nuisances(shift, theta[None, 2:]))
    return trace[0], slopes[0]


def _start(model: ForwardModel, signal: np.ndarray, t: float, p: float) -> np.ndarray:
    """The best of a few mole fractions, each with its fringes solved linearly on the log-trace."""
    simulator = model.simulator
    top = simulator.gas.mole_fraction_ppm.high
    ppm = top * START_FRACTIONS
    n = len(ppm)
    still = Nuisances(np.zeros(n), np.zeros((n, len(simulator.fringe_std))))
    conditions = Conditions(np.full(n, t), np.full(n, p), ppm * PPM)
    traces, slopes = model.trace(conditions, still)
    best, least = np.zeros(2 + len(simulator.fringe_std)), np.inf
    used = simulator.fringe_std > 0
    for row in range(n):
        weight = 1.0 / np.sqrt(model.variance(traces[row]) + model.flicker[0, 0])
        design = slopes[row, 2:][used].T * weight[:, None]
        residual = (signal - traces[row]) * weight
        prior = np.diag(1.0 / simulator.fringe_std[used])
        solved = np.linalg.lstsq(
            np.concatenate([design, prior]), np.concatenate([residual, np.zeros(used.sum())]),
            rcond=None,
        )[0]  # fmt: skip
        misfit = float(((residual - design @ solved) ** 2).sum() + ((prior @ solved) ** 2).sum())
        if misfit < least:
            least = misfit
            best = np.zeros(2 + len(simulator.fringe_std))
            best[0] = ppm[row]
            best[2:][used] = solved
    return best


@dataclass(frozen=True)
class _OneFit:
    """Picklable: fits one scan of a batch for `ordered_map`."""

    model: ForwardModel

    def __call__(self, scan: tuple[np.ndarray, float, float]) -> Fit:
        return fit_scan(self.model, *scan)


def fit_scans(
    model: ForwardModel, signal: np.ndarray, conditions: Conditions
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit B scans one after the other: ppm, standard errors [ppm] and reduced chi squares, each (B,)."""
    scans = [
        (row.astype(float), float(t), float(p))
        for row, t, p in zip(signal, conditions.temperature_k, conditions.pressure_atm, strict=True)
    ]
    # One thread: the problems are small, and threads would only wait for each other.
    with threadpool_limits(1):
        fits = list(
            ordered_map(_OneFit(model), scans, workers=1, description="least squares", unit="scans")
        )
    return tuple(np.array([getattr(f, n) for f in fits]) for n in ("ppm", "error_ppm", "chi_square"))
