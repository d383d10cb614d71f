"""The emulator equals the direct Voigt sum wherever it answers, and says so where it cannot."""

from __future__ import annotations

import numpy as np
import pytest

from earthsignals.tdlas.emulator import (
    TOLERANCE,
    Axis,
    Emulator,
    EmulatorError,
    build_emulator,
)
from earthsignals.tdlas.lines import WATER, LineList, embedded_lines
from earthsignals.tdlas.params import GasParams, LaserParams, LinesParams, PressureRange
from earthsignals.tdlas.scan import scan_grid
from earthsignals.tdlas.voigt import Gas, absorption_coefficient

GAS = GasParams()
JITTER = 5e-4
SHORT = LaserParams(samples_per_scan=250)


def build(low: float, high: float, gas: GasParams = GAS, jitter: float = JITTER) -> tuple:
    grid = scan_grid(LinesParams(window_low=low, window_high=high), SHORT)
    lines = embedded_lines().within(low - 1, high + 1)
    return build_emulator(grid.half_nu, lines, gas, jitter), grid.half_nu, lines


@pytest.fixture(scope="module", params=[(4383.0, 4386.0), (6046.0, 6048.0)], ids=["4384", "6047"])
def window(request: pytest.FixtureRequest) -> tuple[Emulator, np.ndarray, LineList]:
    return build(*request.param)


def states(count: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Random gas states of the simulated range, x log-uniform, and shifts up to 3 sigma."""
    draw = np.random.default_rng(seed)
    return (
        draw.uniform(253, 323, count), draw.uniform(0.8, 1.1, count),
        10 ** draw.uniform(-6, np.log10(0.05), count), draw.uniform(-3, 3, count) * JITTER,
    )  # fmt: skip


def direct(nu: np.ndarray, lines: LineList, gas: GasParams, *state: float) -> np.ndarray:
    t, p, x, shift = state
    mixture = Gas(t, p, x, gas.water_mole_fraction)
    return absorption_coefficient(nu + shift, lines, mixture, gas) * gas.path_cm


def test_equals_the_direct_sum(window: tuple[Emulator, np.ndarray, LineList]) -> None:
    """Relative to each condition's own peak, over conditions that the build did not check."""
    emulator, nu, lines = window
    conditions = states(40)
    emulated = emulator.absorbance(*conditions)
    for row, state in zip(emulated, zip(*conditions, strict=True), strict=True):
        exact = direct(nu, lines, GAS, *state)
        assert np.abs(row - exact).max() <= TOLERANCE * exact.max()
    assert 0 < emulator.error <= TOLERANCE
    assert len(emulator.table) < 250  # of 432 coefficients: the rest cannot be seen


def test_gradients_are_those_of_the_absorbance(window: tuple[Emulator, np.ndarray, LineList]) -> None:
    emulator, _, _ = window
    t, p, x, shift = states(6)
    by_x, by_shift = emulator.absorbance_gradient(t, p, x, shift)
    step_x, step_shift = 1e-4, 1e-5
    for gradient, steps in ((by_x, (step_x, 0)), (by_shift, (0, step_shift))):
        above = emulator.absorbance(t, p, x + steps[0], shift + steps[1])
        below = emulator.absorbance(t, p, x - steps[0], shift - steps[1])
        central = (above - below) / (2 * sum(steps))
        assert np.abs(gradient - central).max() < 1e-6 * np.abs(central).max()


def test_path_scales_the_absorbance(window: tuple[Emulator, np.ndarray, LineList]) -> None:
    emulator, _, _ = window
    state = states(3)
    np.testing.assert_allclose(
        emulator.absorbance(*state, path_cm=250.0), 2.5 * emulator.absorbance(*state), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature_k", 340.0), ("pressure_atm", 0.5), ("mole_fraction", 0.2), ("shift", 0.01),
     ("temperature_k", np.nan)],
)  # fmt: skip
def test_a_state_outside_is_refused_by_name(
    window: tuple[Emulator, np.ndarray, LineList], name: str, value: float
) -> None:
    emulator, _, _ = window
    names = ("temperature_k", "pressure_atm", "mole_fraction", "shift")
    state = {n: np.array([v[0]]) for n, v in zip(names, states(1), strict=True)}
    state[name] = np.array([value])
    with pytest.raises(EmulatorError, match=f"{name} .* leaves the emulated range"):
        emulator.absorbance(*state.values())
    with pytest.raises(EmulatorError, match=name):
        emulator.absorbance_gradient(*state.values())


def test_a_range_too_wide_is_refused_at_the_build() -> None:
    """Lines 1 Doppler width wide at 0.02 atm and ten times that at 5 atm: no six nodes bridge it."""
    wide = GasParams(pressure_atm=PressureRange(low=0.02, high=5.0))
    with pytest.raises(EmulatorError, match=r"differs from the direct Voigt sum by .*P 0\.018\.\.5\.5 atm"):
        build(4383.0, 4386.0, wide)
    with pytest.raises(EmulatorError, match="jitter"):
        build(4383.0, 4386.0, jitter=0.1)
    # A cut 0.5 cm-1 from each centre leaves steps of 1 % inside the window, which move with the laser.
    with pytest.raises(EmulatorError, match="wing_policy at full"):
        build(4383.0, 4386.0, GasParams(wing_policy="cut", wing_cutoff=0.5))


def test_without_jitter_there_is_one_shift_node() -> None:
    emulator, nu, lines = build(6046.0, 6048.0, jitter=0.0)
    assert emulator.axes[3].nodes == 1 and emulator.orders[:, 3].max() == 0
    t, p, x, _ = states(3)
    row = emulator.absorbance(t, p, x, np.zeros(3))[2]
    exact = direct(nu, lines, GAS, t[2], p[2], x[2], 0.0)
    assert np.abs(row - exact).max() <= TOLERANCE * exact.max()
    _, by_shift = emulator.absorbance_gradient(t, p, x, np.zeros(3))
    assert not by_shift.any()
    with pytest.raises(EmulatorError, match="shift"):
        emulator.absorbance(t, p, x, np.full(3, 1e-6))


def test_water_is_part_of_the_emulated_spectrum() -> None:
    """A water line made up in the window, so that no file is needed: molecule 1 and its own x."""
    methane = embedded_lines().within(6045, 6049)
    line = {name: getattr(methane, name)[:1] for name in LineList.__annotations__ if name != "edition"}
    line |= {"molecule": np.array([WATER]), "nu": np.array([6047.4]), "intensity": np.array([1e-24])}
    both = LineList(
        *(np.concatenate([getattr(methane, n), line[n]]) for n in LineList.__annotations__ if n in line)
    )
    gas = GasParams(water_mole_fraction=0.01)
    nu = scan_grid(LinesParams(window_low=6046.0, window_high=6048.0), SHORT).half_nu
    emulator = build_emulator(nu, both, gas, JITTER)
    conditions = states(8, seed=1)
    by_x, _ = emulator.absorbance_gradient(*conditions)
    for row, state in zip(emulator.absorbance(*conditions), zip(*conditions, strict=True), strict=True):
        exact = direct(nu, both, gas, *state)
        assert np.abs(row - exact).max() <= TOLERANCE * exact.max()
    t, p, x, shift = conditions
    central = emulator.absorbance(t, p, x + 1e-4, shift) - emulator.absorbance(t, p, x - 1e-4, shift)
    assert np.abs(by_x - central / 2e-4).max() < 1e-6 * by_x.max()


def test_axis_interpolates_polynomials_exactly() -> None:
    axis = Axis(-1.0, 3.0, 4)
    x = np.linspace(-1, 3, 9)
    cubic = np.polynomial.Polynomial([1.0, -2.0, 0.5, 0.25])
    values = cubic(axis.points())
    np.testing.assert_allclose(axis.weights(x) @ values, cubic(x), atol=1e-12)
    np.testing.assert_allclose(axis.weights(x, derivative=1) @ values, cubic.deriv()(x), atol=1e-12)
    assert Axis(2.0, 2.0, 1).weights(np.array([2.0, 2.0])).tolist() == [[1.0], [1.0]]
