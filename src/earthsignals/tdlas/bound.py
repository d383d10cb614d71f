"""The Cramer-Rao bound of the mole fraction for the very instrument that is simulated.

The unknowns are the mole fraction x (no prior) and the nuisances: wavelength shift, baseline and etalon
coefficients, normal with the standard deviations that the simulator draws from. T and P are known. The
information matrix in van Trees' form (van Trees 1968, sec. 2.4; hybrid bound) is

    J = G' C^-1 G + diag(0, 1/sigma_1^2, ..., 1/sigma_p^2)

with G the derivatives of the noise-free trace and C the noise covariance: white, shot and RIN on the
diagonal, block-averaged flicker noise, and the quantiser's LSB^2/12. sigma_CRLB(x)^2 = (J^-1)_xx. The
information in the signal dependence of C itself (about 1e-7 of the total here) is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, toeplitz
from scipy.optimize import least_squares
from threadpoolctl import threadpool_limits

from earthsignals.tdlas import noise
from earthsignals.tdlas.emulator import Axis
from earthsignals.tdlas.simulate import PPM, Conditions, Nuisances, Simulator

TABLE_NODES = (4, 4, 14)


@dataclass(frozen=True)
class ForwardModel:
    """Trace and derivatives with respect to (x [ppm], shift [cm-1], fringe coefficients)."""

    simulator: Simulator
    flicker: np.ndarray
    prior: np.ndarray

    def trace(self, conditions: Conditions, nuisances: Nuisances) -> tuple[np.ndarray, np.ndarray]:
        """Noise-free traces (B, M) and their derivatives (B, 2 + P, M)."""
        s, c = self.simulator, conditions
        state = (c.temperature_k, c.pressure_atm, c.mole_fraction, nuisances.shift)
        exponent = nuisances.fringes @ s.fringes - s.emulator.absorbance(*state)
        half = np.exp(exponent) * s.grid.half_power
        by_x, by_shift = s.emulator.absorbance_gradient(*state)
        slopes = np.empty((len(c), 2 + len(s.fringe_std), half.shape[1]))
        slopes[:, 0] = -by_x * half * PPM
        slopes[:, 1] = -by_shift * half
        slopes[:, 2:] = s.fringes[None] * half[:, None]
        return s.detect(s.grid.fold(half)), s.detect(s.grid.fold(slopes))

    def variance(self, trace: np.ndarray, noise_scale: float = 1.0) -> np.ndarray:
        """Variance of each sample of a trace (..., M), quantisation included, without flicker."""
        s = self.simulator
        white = noise.white_variance(trace, s.instrument, s.laser.block)
        return white * noise_scale**2 + s.lsb**2 / 12.0

    def covariance(self, trace: np.ndarray, noise_scale: float = 1.0) -> np.ndarray:
        """Noise covariance (M, M) of one trace (M,), quantisation included."""
        matrix = self.flicker * noise_scale**2
        matrix[np.diag_indices_from(matrix)] += self.variance(trace, noise_scale)
        return matrix


def forward_model(simulator: Simulator) -> ForwardModel:
    """The simulator's deterministic part with its noise covariance and nuisance priors."""
    samples = simulator.grid.samples
    if simulator.instrument.flicker > 0:
        flicker = toeplitz(
            noise.flicker_covariance(simulator.laser, simulator.instrument)[:samples]
        )
    else:
        flicker = np.zeros((samples, samples))
    prior = np.concatenate([[simulator.instrument.jitter], simulator.fringe_std])
    return ForwardModel(simulator, flicker, prior)


# One thread for the factorisations here: on a busy machine threads would wait for each other.
@threadpool_limits.wrap(limits=1)
def crlb_ppm(model: ForwardModel, conditions: Conditions, noise_scale: float = 1.0) -> np.ndarray:
    """Bound on the standard deviation of x [ppm] at each of B conditions, shape (B,).

    Nuisances are at their prior mean; those with a prior standard deviation of 0 are known.
    """
    free = np.concatenate([[True], model.prior > 0])
    information_prior = np.concatenate([[0.0], 1.0 / model.prior[model.prior > 0] ** 2])
    bounds = np.empty(len(conditions))
    for row in range(len(conditions)):
        one = conditions[row : row + 1]
        still = Nuisances(np.zeros(1), np.zeros((1, len(model.simulator.fringe_std))))
        trace, slopes = model.trace(one, still)
        gradient = slopes[0, free].T
        factor = cho_factor(model.covariance(trace[0], noise_scale), lower=True)
        information = gradient.T @ cho_solve(factor, gradient)
        information[np.diag_indices_from(information)] += information_prior
        bounds[row] = np.sqrt(np.linalg.inv(information)[0, 0])
    return bounds


@dataclass(frozen=True)
class Stabiliser:
    """u = (c/s) asinh(x/c): the mole fraction in units of its bound.

    For a bound that grows as s sqrt(1 + (x/c)^2), u = integral of dx/bound, so an error of 1 in u is
    one bound at every x. `unit_ppm` is s, `knee_ppm` is c.
    """

    unit_ppm: float
    knee_ppm: float

    def u(self, ppm: np.ndarray) -> np.ndarray:
        """Stabilised mole fraction of `ppm` (any shape), negative values included."""
        return self.knee_ppm / self.unit_ppm * np.arcsinh(np.asarray(ppm) / self.knee_ppm)

    def ppm(self, u: np.ndarray) -> np.ndarray:
        """Inverse of `u`."""
        return self.knee_ppm * np.sinh(np.asarray(u) * self.unit_ppm / self.knee_ppm)

    def slope(self, ppm: np.ndarray) -> np.ndarray:
        """du/dppm."""
        return 1.0 / (self.unit_ppm * np.sqrt(1.0 + (np.asarray(ppm) / self.knee_ppm) ** 2))


@dataclass(frozen=True)
class BoundTable:
    """ln sigma_CRLB interpolated over (T, P, asinh(x/knee)), and the stabiliser fitted to it."""

    axes: tuple[Axis, Axis, Axis]
    log_bound: np.ndarray
    stabiliser: Stabiliser

    def ppm(self, conditions: Conditions) -> np.ndarray:
        """sigma_CRLB [ppm] at B conditions, shape (B,)."""
        u = self.stabiliser.u(conditions.mole_fraction / PPM)
        rows = np.ones((len(conditions), 1))
        values = (conditions.temperature_k, conditions.pressure_atm, u)
        for axis, value in zip(self.axes, values, strict=True):
            weights = axis.weights(np.clip(value, axis.low, axis.high))
            rows = (rows[:, :, None] * weights[:, None, :]).reshape(len(rows), -1)
        return np.exp(rows @ self.log_bound)


def bound_table(model: ForwardModel) -> BoundTable:
    """Tabulate the bound over the simulated conditions (and half as much again in x)."""
    gas = model.simulator.gas
    t, p = gas.temperature_k, gas.pressure_atm
    stabiliser = fit_stabiliser(model)
    high = stabiliser.u(1.5 * gas.mole_fraction_ppm.high)
    axes = (
        Axis(t.low, t.high, TABLE_NODES[0]),
        Axis(p.low, p.high, TABLE_NODES[1]),
        Axis(0.0, float(high), TABLE_NODES[2]),
    )
    grid = np.meshgrid(*(axis.points() for axis in axes), indexing="ij")
    states = [g.ravel() for g in grid]
    conditions = Conditions(states[0], states[1], stabiliser.ppm(states[2]) * PPM)
    return BoundTable(axes, np.log(crlb_ppm(model, conditions)), stabiliser)


def fit_stabiliser(model: ForwardModel) -> Stabiliser:
    """Fit s sqrt(1 + (x/c)^2) to the bound at the middle T and P, in relative error."""
    gas = model.simulator.gas
    low, high = gas.mole_fraction_ppm.low, gas.mole_fraction_ppm.high
    ppm = np.concatenate([[low], np.geomspace(max(low, high * 1e-3), high, 9)])
    middle = np.full(len(ppm), gas.temperature_k.middle), np.full(len(ppm), gas.pressure_atm.middle)
    bounds = crlb_ppm(model, Conditions(*middle, ppm * PPM))

    def misfit(logs: np.ndarray) -> np.ndarray:
        unit, knee = np.exp(logs)
        return np.log(unit * np.hypot(1.0, ppm / knee)) - np.log(bounds)

    start = np.log([bounds[0], high / 5])
    unit, knee = np.exp(least_squares(misfit, start).x)
    # Where the bound hardly grows the knee runs to infinity: keep asinh well conditioned.
    return Stabiliser(float(unit), float(min(knee, 100 * high)))
