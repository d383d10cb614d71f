"""Matched filters on the log-trace: the linear solution that the network starts from.

Near a gas state s = (T, P, x) the log-trace is linear in a small change of x,

    y = ln I = y(s) + g(s) dx + r,      Cov r = C(s),

so the best linear estimate weighs y by f(s) = C(s)^-1 g(s) (Gauss-Markov), nuisances being part of C.
Over all states these filters span few dimensions: a singular value decomposition keeps the ones that
matter. g and C come from the declared instrument ("physics") or from the training scans alone ("data").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial.chebyshev import chebvander
from scipy.linalg import cho_factor, cho_solve
from threadpoolctl import threadpool_limits

from earthsignals.tdlas.bound import ForwardModel, Stabiliser
from earthsignals.tdlas.covariance import Covariance, learn_covariance
from earthsignals.tdlas.simulate import PPM, Conditions, Nuisances

STATES = (3, 3, 16)  # T, P, x grid on which filters are made
FORWARD_DEGREE = 8
MEMBERS = 200  # least scans in a range of x that has its own noise level
LOST = 2e-3  # share of the information that "data" filters may lose


@dataclass(frozen=True)
class Scaling:
    """Maps T [K], P [atm] and u to about [-1, 1]; an unvarying quantity maps to 0."""

    centre: tuple[float, float, float]
    half: tuple[float, float, float]

    def __call__(self, t: np.ndarray, p: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, ...]:
        """Scaled T, P, u; u is clipped to [-1.1, 1.1] so that polynomials stay tame."""
        scaled = [(v - c) / h for v, c, h in zip((t, p, u), self.centre, self.half, strict=True)]
        return scaled[0], scaled[1], np.clip(scaled[2], -1.1, 1.1)


def scaling_of(conditions: Conditions, u: np.ndarray) -> Scaling:
    """Centre and half range of the training conditions."""
    values = (conditions.temperature_k, conditions.pressure_atm, u)
    centre = tuple(float(0.5 * (v.min() + v.max())) for v in values)
    half = tuple(float(0.5 * (v.max() - v.min())) for v in values)
    return Scaling(centre, tuple(h if h > 1e-6 * abs(c) + 1e-12 else 1e9
                                 for h, c in zip(half, centre, strict=True)))  # fmt: skip


def exponents(scaling: Scaling, degree: int, gas_degree: int = 2) -> np.ndarray:
    """Chebyshev degrees (K, 3) in (T, P, u): at most `gas_degree` in T and P, `degree` in total.

    A gas quantity that does not vary (half range 1e9) gets degree 0 only.
    """
    limits = [0 if h >= 1e9 else gas_degree for h in scaling.half[:2]]
    return np.array(
        [
            (i, j, k)
            for i in range(limits[0] + 1)
            for j in range(limits[1] + 1)
            for k in range(degree + 1)
            if i + j <= gas_degree and i + j + k <= max(degree, i + j)
        ]
    )


def basis(scaled: tuple[np.ndarray, ...], degrees: np.ndarray) -> np.ndarray:
    """Products of Chebyshev polynomials (B, K) at scaled (T, P, u), each (B,)."""
    columns = [
        chebvander(v, int(degrees[:, axis].max()))[:, degrees[:, axis]]
        for axis, v in enumerate(scaled)
    ]
    return columns[0] * columns[1] * columns[2]


@dataclass(frozen=True)
class FilterBank:
    """Independent filters (R, M) and the stabiliser that makes an error of 1 one standard error."""

    filters: np.ndarray
    stabiliser: Stabiliser


def _strongest(filters: np.ndarray, count: int) -> np.ndarray:
    """Right singular vectors (R, M) of the largest singular values, with a fixed sign."""
    _, _, vectors = np.linalg.svd(filters, full_matrices=False)
    vectors = vectors[:count]
    sign = np.sign(vectors[np.arange(len(vectors)), np.abs(vectors).argmax(axis=1)])
    return vectors * sign[:, None]


@threadpool_limits.wrap(limits=1)  # small factorisations: threads would only wait for each other
def physics_filters(model: ForwardModel, stabiliser: Stabiliser, count: int) -> FilterBank:
    """Filters of the declared instrument: those that estimate x with every nuisance unknown."""
    gas = model.simulator.gas
    limits = gas.mole_fraction_ppm
    axes = (
        np.linspace(gas.temperature_k.low, gas.temperature_k.high, STATES[0]),
        np.linspace(gas.pressure_atm.low, gas.pressure_atm.high, STATES[1]),
        stabiliser.ppm(np.linspace(0.0, stabiliser.u(limits.high), STATES[2])) * PPM,
    )
    states = Conditions(*(g.ravel() for g in np.meshgrid(*axes, indexing="ij")))
    free = np.concatenate([[True], model.prior > 0])
    prior = np.concatenate([[0.0], model.prior[model.prior > 0] ** -2.0])
    filters = []
    for row in range(len(states)):
        still = Nuisances(np.zeros(1), np.zeros((1, len(model.simulator.fringe_std))))
        trace, slopes = model.trace(states[row : row + 1], still)
        gradient = (slopes[0, free] / trace[0]).T
        covariance = model.covariance(trace[0]) / np.outer(trace[0], trace[0])
        whitened = cho_solve(cho_factor(covariance, lower=True), gradient)
        inverse = np.linalg.inv(gradient.T @ whitened + np.diag(prior))
        filters.append(whitened @ inverse[:, 0] / np.sqrt(inverse[0, 0]))
    return FilterBank(_strongest(np.array(filters), count), stabiliser)


def data_filters(log_trace: np.ndarray, conditions: Conditions, count: int) -> FilterBank:
    """Filters learned from training scans: log_trace (N, M) float32 and their conditions.

    A polynomial in (T, P, asinh x) is fitted to the mean trace; what it leaves gives C, with a noise
    level for each of up to six ranges of x. At most `count` filters, fewer where fewer hold all but
    LOST of the information at every state: each filter more is one more column of tables that have
    to be learned from the same scans.
    """
    ppm = conditions.mole_fraction / PPM
    knee = max(0.2 * float(ppm.max()), 1e-6)
    v = np.arcsinh(ppm / knee)
    scaling = scaling_of(conditions, v)
    degrees = exponents(scaling, FORWARD_DEGREE)
    design = basis(scaling(conditions.temperature_k, conditions.pressure_atm, v), degrees)
    axes, strength, rotation = np.linalg.svd(design, full_matrices=False)
    solid = strength > 1e-7 * strength[0]
    axes, transform = axes[:, solid], rotation[solid].T / strength[solid]
    residual = log_trace - log_trace.mean(axis=0, dtype=np.float64)
    forward = axes.T @ residual
    residual -= axes @ forward

    edges = _ranges(v)
    member = np.clip(np.searchsorted(edges, v, side="right") - 1, 0, len(edges) - 2)
    groups = [np.flatnonzero(member == k) for k in range(len(edges) - 1)]
    covariances = learn_covariance(residual, groups)
    forward = transform @ _above_noise(forward, covariances[len(groups) // 2])
    t_axis, p_axis = (np.linspace(c - h, c + h, 3) if h < 1e9 else np.array([c])
                      for c, h in zip(scaling.centre[:2], scaling.half[:2], strict=True))  # fmt: skip
    step = 1e-3 * (v.max() - v.min())
    filters, spread = [], []
    for low, high, covariance in zip(edges[:-1], edges[1:], covariances, strict=True):
        grid = np.meshgrid(t_axis, p_axis, np.linspace(low, high, 4), indexing="ij")
        t, p, w = (g.ravel() for g in grid)
        ahead, behind = (basis(scaling(t, p, w + s), degrees) for s in (step, -step))
        slopes = (ahead - behind) @ forward / (2 * step)
        weighed = covariance.solve(slopes)
        information = np.maximum(np.sum(slopes * weighed, axis=1), 1e-12)
        filters.append(weighed / np.sqrt(information)[:, None])
        spread.append(np.stack([knee * np.sinh(w), knee * np.cosh(w) / np.sqrt(information)], axis=1))
    filters = _white(np.concatenate(filters), residual, count)
    return FilterBank(filters, _stabiliser(np.concatenate(spread), ppm.max()))


def _above_noise(coefficients: np.ndarray, covariance: Covariance) -> np.ndarray:
    """Reduced-rank regression: coefficients (K, M) of orthonormal regressors without their noise.

    In whitened space the noise of K x M coefficients has no singular value above sqrt(K) + sqrt(M),
    while the shapes that absorption takes are few; combinations below that edge are left out.
    """
    left, strength, _ = np.linalg.svd(covariance.whiten(coefficients), full_matrices=False)
    edge = np.sqrt(coefficients.shape[0]) + np.sqrt(coefficients.shape[1])
    kept = left[:, : max(1, int(np.sum(strength > 1.05 * edge)))]
    return kept @ (kept.T @ coefficients)


def _ranges(v: np.ndarray) -> np.ndarray:
    """Edges of up to six ranges of v that hold equally many scans, at least MEMBERS each."""
    ranges = int(np.clip(len(v) // MEMBERS, 1, 6))
    edges = np.unique(np.quantile(v, np.linspace(0, 1, ranges + 1)))
    return edges if len(edges) > 1 else np.array([edges[0] - 0.5, edges[0] + 0.5])


def _white(filters: np.ndarray, residual: np.ndarray, count: int) -> np.ndarray:
    """Combinations (R, M) of filters (S, M) whose scores have unit, uncorrelated noise.

    In that metric the leading ones keep most of the information at every state.
    """
    scores = residual @ filters.T
    values, vectors = np.linalg.eigh(scores.T @ scores / len(scores))
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = np.cumsum(np.maximum(values, 0.0) * vectors**2, axis=1)
    worst = np.min(kept / kept[:, -1:], axis=0)
    rank = min(count, 1 + int(np.argmax(worst >= 1.0 - LOST)))
    chosen = (vectors[:, :rank] / np.sqrt(values[:rank])).T @ filters
    sign = np.sign(chosen[np.arange(rank), np.abs(chosen).argmax(axis=1)])
    return chosen * sign[:, None]


def _stabiliser(spread: np.ndarray, high: float) -> Stabiliser:
    """Fit unit sqrt(1 + (x/knee)^2) to standard errors: rows (x, error) [ppm]."""
    from scipy.optimize import least_squares

    x, error = np.maximum(spread[:, 0], 0.0), spread[:, 1]
    start = np.log([np.median(error[x <= np.quantile(x, 0.3)]), high / 5])
    fitted = least_squares(
        lambda p: p[0] + np.log(np.hypot(1.0, x / np.exp(p[1]))) - np.log(error), start,
        loss="soft_l1", bounds=([-np.inf, np.log(high * 1e-3)], [np.inf, np.log(high * 100)]),
    )  # fmt: skip
    unit, knee = np.exp(fitted.x)
    return Stabiliser(float(unit), float(knee))
