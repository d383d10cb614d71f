"""How likely a plume is found, by its emission rate and the wind.

A matched filter sees the column, and a column in steady wind is proportional to rate over wind speed. So
detection is a logistic curve in ln(Q / U), as controlled-release studies fit it (Conrad et al. 2023, "Robust
probabilities of detection and quantification uncertainty for aerial methane detection"). A weak Gaussian
prior on both coefficients keeps the fit finite where every plume, or none, was found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PRIOR_DEVIATION = np.array([10.0, 3.0])
"""Of intercept and slope, in units of logit at x = ln(Q / U) less its mean."""
ROUNDS = 30
WIND_GROUPS = 3


@dataclass(frozen=True)
class DetectionCurve:
    """P(found) = 1 / (1 + exp(-(a + b (ln(Q/U) - centre)))), with coefficients of bootstrap resamples.

    `coefficients` (2,) and `resampled` (B, 2) hold a and b; `known_kg_h` are the lowest and highest rate of
    the plumes it was fitted to, beyond which it is extrapolation.
    """

    centre: float
    known_kg_h: tuple[float, float]
    coefficients: np.ndarray
    resampled: np.ndarray

    def probability(self, rate_kg_h: np.ndarray, wind_m_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Probability (K,) at rates (K,), and that of each resample (B, K)."""
        x = np.log(np.asarray(rate_kg_h) / wind_m_s) - self.centre
        each = self.resampled[:, :1] + self.resampled[:, 1:] * x
        return _logistic(self.coefficients[0] + self.coefficients[1] * x), _logistic(each)

    def rate_at(self, probability: float, wind_m_s: float) -> tuple[float, np.ndarray]:
        """Rate [kg/h] that is found with this probability, and that of each resample (B,).

        NaN where the curve does not rise (then no rate is) and, but for resamples, which are clipped, where
        it leaves `known_kg_h`.
        """
        logit = np.log(probability / (1 - probability))

        def solve(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            rising = b > 1e-3
            x = np.divide(logit - a, b, out=np.full(np.shape(b), np.nan), where=rising)
            return wind_m_s * np.exp(np.minimum(x + self.centre, 30.0))

        one = float(solve(*(np.atleast_1d(c) for c in self.coefficients))[0])
        low, high = self.known_kg_h
        each = np.clip(solve(self.resampled[:, 0], self.resampled[:, 1]), low, high)
        return one if low <= one <= high else float("nan"), each


def fit_detection(
    rate_kg_h: np.ndarray, wind_m_s: np.ndarray, found: np.ndarray, group: np.ndarray, drawn: np.ndarray
) -> DetectionCurve | None:
    """Fit plumes (N,): rate, wind, whether found, and number of their flightline in [0, S).

    drawn: (B, S), how often each flightline is in each resample (`bootstrap.draws`). None where there are
    fewer than four plumes.
    """
    if len(rate_kg_h) < 4:
        return None
    x = np.log(np.asarray(rate_kg_h, np.float64) / np.asarray(wind_m_s, np.float64))
    centre = float(x.mean())
    weights = np.concatenate([np.ones((1, len(x))), drawn[:, group]])
    fitted = _newton(x - centre, np.asarray(found, np.float64), weights)
    known = float(np.min(rate_kg_h)), float(np.max(rate_kg_h))
    return DetectionCurve(centre, known, fitted[0], fitted[1:])


def shares_by_wind(wind_m_s: np.ndarray, found: np.ndarray) -> list[dict[str, float]]:
    """Share of plumes (N,) found in calm, middling and strong wind, as many plumes in each: no model."""
    order = np.argsort(wind_m_s, kind="stable")
    return [
        {
            "wind_low_m_s": float(wind_m_s[part].min()), "wind_high_m_s": float(wind_m_s[part].max()),
            "plumes": len(part), "detected_share": float(np.mean(found[part])),
        }
        for part in np.array_split(order, WIND_GROUPS) if len(part)
    ]  # fmt: skip


def _newton(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Coefficients (B, 2) of weighted, penalised logistic regressions, all at once."""
    penalty = PRIOR_DEVIATION**-2
    design = np.stack([np.ones_like(x), x])  # (2, N)
    beta = np.zeros((len(weights), 2))
    for _ in range(ROUNDS):
        p = _logistic(beta @ design)
        gradient = (weights * (y - p)) @ design.T - penalty * beta
        curvature = np.einsum("bn,in,jn->bij", weights * p * (1 - p), design, design) + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        beta += np.clip(step, -2.0, 2.0)  # damped: a full step may overshoot where classes are separable
    return beta


def _logistic(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))
