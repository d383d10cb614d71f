"""Fast absorbance: a Chebyshev tensor over (T, P, x_CH4, wavelength shift), one matrix product a batch.

The absorption coefficient per mole fraction is smooth in the gas state and in the laser's wavelength
shift, so its values at a few Chebyshev nodes (6 x 6 x 3 x 4) fix it everywhere between: Trefethen 2019,
Approximation Theory and Approximation Practice, ch. 2-8. The direct Voigt sum is evaluated at the nodes
once and turned into Chebyshev coefficients; the K of them that matter (about 170 of 432) are kept.
Afterwards B scans cost one (B, K) @ (K, M) product. The build checks itself against the direct sum at
random conditions and refuses an error above tolerance; a state outside the axes is refused too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.polynomial import chebyshev

from earthsignals.compute.seeds import philox
from earthsignals.storage import EarthSignalsError
from earthsignals.tdlas.lines import METHANE, LineList
from earthsignals.tdlas.params import GasParams
from earthsignals.tdlas.voigt import Gas, absorption_coefficient, cross_section, number_density

NODES = (6, 6, 3)
SHIFT_NODES = 4
TOLERANCE = 1e-5  # of the strongest absorption; the default domain reaches 3e-6
NEGLIGIBLE = 1e-7  # coefficients below this part of the largest table value are dropped
CHECKS = 12
AXIS_NAMES = ("temperature_k", "pressure_atm", "mole_fraction", "shift")


class EmulatorError(EarthSignalsError):
    """The emulator misses its tolerance on the requested domain."""


@dataclass(frozen=True)
class Axis:
    """One Chebyshev axis over [low, high]; a single node where low == high."""

    low: float
    high: float
    nodes: int

    def points(self) -> np.ndarray:
        """Chebyshev points of the first kind on the axis, shape (nodes,)."""
        middle, half = 0.5 * (self.low + self.high), 0.5 * (self.high - self.low)
        return middle + half * chebyshev.chebpts1(self.nodes)

    def weights(self, values: np.ndarray, derivative: int = 0) -> np.ndarray:
        """Interpolation weights (B, nodes) of `values` (B,), or of their first derivative."""
        return self.polynomials(values, derivative) @ self.to_coefficients()

    def to_coefficients(self) -> np.ndarray:
        """Matrix (nodes, nodes) that turns values at the points into Chebyshev coefficients."""
        return np.linalg.inv(chebyshev.chebvander(chebyshev.chebpts1(self.nodes), self.nodes - 1))

    def polynomials(self, values: np.ndarray, derivative: int = 0) -> np.ndarray:
        """Chebyshev polynomials (B, nodes) at `values` (B,), or their first derivatives."""
        values = np.asarray(values, dtype=float)
        if self.nodes == 1:
            return np.full((len(values), 1), 1.0 if derivative == 0 else 0.0)
        half = 0.5 * (self.high - self.low)
        x = (values - 0.5 * (self.low + self.high)) / half
        if derivative == 0:
            return chebyshev.chebvander(x, self.nodes - 1)
        columns = [chebyshev.chebval(x, chebyshev.chebder(row)) for row in np.eye(self.nodes)]
        return np.stack(columns, axis=1) / half

    def holds(self, values: np.ndarray) -> bool:
        """Do all `values` lie on the axis (but for rounding)? NaN does not."""
        slack = 1e-9 * max(abs(self.low), abs(self.high))
        return bool(np.all((values >= self.low - slack) & (values <= self.high + slack)))


@dataclass(frozen=True)
class Emulator:
    """Absorbance of B gas states at fixed wavenumbers nu (M,) [cm-1].

    `table` (K, M) holds Chebyshev coefficients of the direct absorption coefficient per CH4 mole
    fraction [1/cm], `orders` (K, 4) their degrees in (T, P, x, shift); `water` is the same for the
    fixed water content (or None); `error` is the largest difference from the direct sum found at build
    time, relative to the largest absorption of the same condition.

    All methods raise EmulatorError for a state outside the axes: a polynomial is worthless there.
    """

    axes: tuple[Axis, Axis, Axis, Axis]
    orders: np.ndarray
    table: np.ndarray
    water: np.ndarray | None
    path_cm: float
    error: float

    def weights(
        self,
        temperature_k: np.ndarray,
        pressure_atm: np.ndarray,
        mole_fraction: np.ndarray,
        shift: np.ndarray,
        derivative: str = "",
    ) -> np.ndarray:
        """Rows (B, K) of the matrix product; `derivative` is "", "mole_fraction" or "shift"."""
        values = (temperature_k, pressure_atm, mole_fraction, shift)
        rows = np.ones((len(temperature_k), len(self.orders)))
        for axis, value, name, order in zip(
            self.axes, values, AXIS_NAMES, self.orders.T, strict=True
        ):
            if not axis.holds(value):
                raise EmulatorError(
                    f"{name} {np.min(value):.6g} .. {np.max(value):.6g} leaves the emulated range "
                    f"{axis.low:.6g} .. {axis.high:.6g}; widen the range in tdlas.gas (or "
                    "tdlas.instrument.jitter), or leave these scans out."
                )
            rows *= axis.polynomials(value, derivative=int(name == derivative))[:, order]
        return rows

    def absorbance(
        self,
        temperature_k: np.ndarray,
        pressure_atm: np.ndarray,
        mole_fraction: np.ndarray,
        shift: np.ndarray,
        path_cm: float | None = None,
    ) -> np.ndarray:
        """Naperian absorbance (B, M) [1] of B states; all arguments have shape (B,)."""
        path = self.path_cm if path_cm is None else path_cm
        rows = self.weights(temperature_k, pressure_atm, mole_fraction, shift)
        total = (rows * (mole_fraction * path)[:, None]) @ self.table
        if self.water is not None:
            total += (rows * path) @ self.water
        return total

    def absorbance_gradient(
        self,
        temperature_k: np.ndarray,
        pressure_atm: np.ndarray,
        mole_fraction: np.ndarray,
        shift: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives (B, M) of the absorbance by mole fraction and by wavelength shift [1/cm-1]."""
        state = (temperature_k, pressure_atm, mole_fraction, shift)
        x = mole_fraction[:, None]
        rows = self.weights(*state)
        by_x = self.weights(*state, derivative="mole_fraction")
        by_shift = self.weights(*state, derivative="shift")
        fraction = (rows + x * by_x) @ self.table
        slope = (x * by_shift) @ self.table
        if self.water is not None:
            fraction += by_x @ self.water
            slope += by_shift @ self.water
        return fraction * self.path_cm, slope * self.path_cm


def domain(gas: GasParams, jitter: float) -> tuple[Axis, Axis, Axis, Axis]:
    """Axes wide enough for the simulated conditions and for every stress test around them."""
    t, p, x = gas.temperature_k, gas.pressure_atm, gas.mole_fraction_ppm
    shift = 6.0 * jitter
    return (
        Axis(t.low - 15.0, t.high + 15.0, NODES[0]),
        Axis(0.9 * p.low, 1.1 * p.high, NODES[1]),
        Axis(-0.02 * x.high * 1e-6, min(1.6 * x.high * 1e-6, 1.0 - gas.water_mole_fraction), NODES[2]),
        Axis(-shift, shift, SHIFT_NODES if shift > 0 else 1),
    )


def build_emulator(
    nu: np.ndarray, lines: LineList, gas: GasParams, jitter: float, seed: int = 0
) -> Emulator:
    """Tabulate the direct sum at the nodes and check it. Raises EmulatorError above tolerance.

    nu (M,) [cm-1]; jitter is the standard deviation of the wavelength shift [cm-1]. A positive shift
    moves the laser up: the absorbance is evaluated at nu + shift.
    """
    axes = domain(gas, jitter)
    methane = lines.of_molecule(METHANE)
    others = lines.select(lines.molecule != METHANE)
    water = gas.water_mole_fraction
    with_water = water > 0 and len(others) > 0

    t_nodes, p_nodes, x_nodes, shift_nodes = (axis.points() for axis in axes)
    moved = (nu[None, :] + shift_nodes[:, None]).ravel()
    table, water_table = [], []
    for t in t_nodes:
        for p in p_nodes:
            density = number_density(t, p)
            for x in x_nodes:
                state = Gas(float(t), float(p), float(x), water)
                table.append(cross_section(moved, methane, state, gas) * density)
                if with_water:
                    water_table.append(cross_section(moved, others, state, gas) * density * water)
    both = np.array([_coefficients(values, axes) for values in (table, water_table) if values])
    size = np.abs(both).max(axis=2)
    kept = (size > NEGLIGIBLE * size.max(axis=1, keepdims=True)).any(axis=0)
    orders = np.stack(np.unravel_index(np.flatnonzero(kept), [axis.nodes for axis in axes]), axis=1)
    emulator = Emulator(
        axes=axes,
        orders=orders,
        table=both[0][kept],
        water=both[1][kept] if with_water else None,
        path_cm=gas.path_cm,
        error=0.0,
    )
    error = _largest_error(emulator, nu, lines, gas, seed)
    if error > TOLERANCE:
        raise EmulatorError(
            f"the absorption emulator differs from the direct Voigt sum by {error:.1e} of the peak on "
            f"T {axes[0].low:g}..{axes[0].high:g} K, P {axes[1].low:g}..{axes[1].high:g} atm, "
            f"mole fraction up to {axes[2].high:g}; expected at most {TOLERANCE:g}. Narrow the ranges "
            "in tdlas.gas (or tdlas.instrument.jitter), split them into several datasets, or keep "
            "tdlas.gas.wing_policy at full: a wing cut inside the window is a jump that no smooth "
            "function follows."
        )
    return replace(emulator, error=error)


def _coefficients(values: list[np.ndarray], axes: tuple[Axis, ...]) -> np.ndarray:
    """Chebyshev coefficients (all nodes, M) of node values listed in the order of the axes."""
    tensor = np.reshape(values, (*(axis.nodes for axis in axes), -1))
    for number, axis in enumerate(axes):
        moved = np.tensordot(axis.to_coefficients(), tensor, axes=(1, number))
        tensor = np.moveaxis(moved, 0, number)
    return tensor.reshape(-1, tensor.shape[-1])


def _largest_error(
    emulator: Emulator, nu: np.ndarray, lines: LineList, gas: GasParams, seed: int
) -> float:
    """Largest |emulated - direct| over random conditions and a subset of nu, relative to the peak."""
    draw = philox(seed, "tdlas-emulator-check", 0).random((4, CHECKS))
    state = [a.low + (a.high - a.low) * d for a, d in zip(emulator.axes, draw, strict=True)]
    state[2] = np.maximum(state[2], 1e-9)
    emulated = emulator.absorbance(*state) / gas.path_cm
    worst = 0.0
    for row, (t, p, x, shift) in zip(emulated, zip(*state, strict=True), strict=True):
        mixture = Gas(t, p, x, gas.water_mole_fraction)
        direct = absorption_coefficient(nu + shift, lines, mixture, gas)
        worst = max(worst, float(np.abs(row - direct).max() / direct.max()))
    return worst
