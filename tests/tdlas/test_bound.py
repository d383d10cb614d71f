"""The Cramer-Rao bound against closed forms, published-style figures and its own symmetries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from earthsignals.tdlas.bound import (
    Stabiliser,
    bound_table,
    crlb_ppm,
    fit_stabiliser,
    forward_model,
)
from earthsignals.tdlas.emulator import build_emulator
from earthsignals.tdlas.lines import embedded_lines
from earthsignals.tdlas.params import (
    EtalonParams,
    GasParams,
    InstrumentParams,
    LaserParams,
    LinesParams,
)
from earthsignals.tdlas.scan import ScanGrid, fringe_basis, fringe_scale
from earthsignals.tdlas.simulate import (
    PPM,
    Conditions,
    Nuisances,
    Simulator,
    make_simulator,
)

LASER = LaserParams(samples_per_scan=250)
GAS = GasParams()
WHITE = InstrumentParams(
    white=2.5e-3, shot=0.0, rin=0.0, flicker=0.0, jitter=0.0, etalons=(), baseline=(),
    detector_bandwidth_hz=0.0,
)  # fmt: skip
X = np.array([10.0, 1000.0, 10_000.0, 50_000.0])


def at(ppm: np.ndarray, t: float = 288.0, p: float = 0.95) -> Conditions:
    ppm = np.asarray(ppm, dtype=float)
    return Conditions(np.full(len(ppm), t), np.full(len(ppm), p), ppm * PPM)


def simulator(**changes: object) -> Simulator:
    instrument = WHITE.model_copy(update=changes)
    lines = embedded_lines().within(4383, 4386)
    return make_simulator(lines, LinesParams(), GAS, LASER, instrument, seed=5)


@pytest.fixture(scope="module")
def white() -> Simulator:
    return simulator()


@pytest.fixture(scope="module")
def default() -> Simulator:
    """The default instrument on a short scan."""
    lines = embedded_lines().within(4383, 4386)
    return make_simulator(lines, LinesParams(), GAS, LASER, InstrumentParams(), seed=5)


def test_white_noise_alone_has_the_textbook_bound(white: Simulator) -> None:
    """sigma^2 / sum g^2, with g = dI/dx by finite differences of the simulator itself."""
    still = Nuisances(np.zeros(len(X)), np.zeros((len(X), 0)))
    step = 1.0
    above, below = (white.transmitted(at(X + s), still) for s in (step, -step))
    g = (above - below) / (2 * step)
    variance = 2.5e-3**2 / LASER.block + white.lsb**2 / 12
    expected = np.sqrt(variance / (g**2).sum(axis=1))
    np.testing.assert_allclose(crlb_ppm(forward_model(white), at(X)), expected, rtol=1e-6)


def test_gradients_are_those_of_the_simulator(default: Simulator) -> None:
    model = forward_model(default)
    nuisances = Nuisances(np.array([2e-4]), np.linspace(-1, 1, 8)[None] * default.fringe_std)
    trace, slopes = model.trace(at([20_000.0]), nuisances)
    np.testing.assert_array_equal(trace, default.transmitted(at([20_000.0]), nuisances))
    for number in range(slopes.shape[1]):
        step = (1.0, 1e-6, *([1e-4] * 8))[number]
        pair = []
        for sign in (1, -1):
            shift, fringes = nuisances.shift.copy(), nuisances.fringes.copy()
            ppm = 20_000.0
            if number == 0:
                ppm += sign * step
            elif number == 1:
                shift += sign * step
            else:
                fringes[0, number - 2] += sign * step
            pair.append(default.transmitted(at([ppm]), Nuisances(shift, fringes))[0])
        central = (pair[0] - pair[1]) / (2 * step)
        assert np.abs(slopes[0, number] - central).max() < 1e-5 * np.abs(central).max(), number


def test_each_nuisance_raises_the_bound(white: Simulator) -> None:
    bounds = [crlb_ppm(forward_model(white), at(X))]
    grown: dict[str, object] = {}
    for change in (
        {"baseline": (0.03,)},
        {"baseline": (0.03, 0.02, 0.01, 0.005)},
        {"etalons": (EtalonParams(rms=1e-3, free_spectral_range=0.47),)},
        {"jitter": 5e-4},
        {"shot": 1e-3, "rin": 1e-3},
        {"flicker": 8e-5},
    ):
        grown |= change
        bounds.append(crlb_ppm(forward_model(simulator(**grown)), at(X)))
    # Jitter shifts all lines, which at thin absorption x cannot imitate: equality is allowed.
    assert (np.diff(bounds, axis=0) >= -1e-9 * np.array(bounds[1:])).all()
    assert (bounds[-1] > 1.2 * bounds[0]).all()


def test_a_free_baseline_is_a_projection(white: Simulator) -> None:
    """A nuisance with an endless prior costs what it shares with the gradient: the projected one stays."""
    free = simulator(baseline=(1e4, 1e4, 1e4))
    still = Nuisances(np.zeros(1), np.zeros((1, 3)))
    _, slopes = forward_model(free).trace(at([500.0]), still)
    gradient, nuisances = slopes[0, 0], slopes[0, 2:].T
    rest = gradient - nuisances @ np.linalg.lstsq(nuisances, gradient, rcond=None)[0]
    expected = np.sqrt((2.5e-3**2 / LASER.block + free.lsb**2 / 12) / (rest**2).sum())
    assert crlb_ppm(forward_model(free), at([500.0]))[0] == pytest.approx(expected, rel=1e-5)
    # And a nuisance that is known exactly costs nothing.
    known = simulator(baseline=(0.0, 0.0, 0.0))
    same = crlb_ppm(forward_model(known), at(X)) / crlb_ppm(forward_model(white), at(X))
    np.testing.assert_allclose(same, 1.0, rtol=1e-12)


def test_bound_scales_with_the_noise(white: Simulator, default: Simulator) -> None:
    one, ten = (crlb_ppm(forward_model(white), at(X), scale) for scale in (1.0, 10.0))
    np.testing.assert_allclose(ten / one, 10.0, rtol=1e-3)  # but for the quantiser's LSB^2 / 12
    # With priors, ten times the noise is less than ten times the bound.
    ratio = crlb_ppm(forward_model(default), at(X), 10.0) / crlb_ppm(forward_model(default), at(X))
    assert ((ratio > 3) & (ratio < 10)).all()


def test_figures_of_the_design() -> None:
    """1000 points over 6046-6048, 1 m, white 1e-3, cubic baseline unknown: 4.8, 6.1, 14.8 ppm.

    Reproduced within 4 % at 296 K and 1 atm (a slightly other gas state explains the rest); the default
    window's stronger triplet gives 2.8, 4.2 and 13.5.
    """
    for low, expected, tolerance in ((6046.0, [4.8, 6.1, 14.8], 0.04), (4383.5, [2.77, 4.21, 13.5], 0.01)):
        nu = np.linspace(low, low + 2, 1000)
        grid = ScanGrid((low, low + 2), np.arange(1000.0), nu, nu, np.ones(1000), mirrored=False)
        instrument = WHITE.model_copy(update={"white": 1e-3, "baseline": (10.0,) * 4})
        lines = embedded_lines().within(low - 1, low + 3)
        source = Simulator(
            gas=GAS, laser=LaserParams(sampling_rate_hz=1e4), instrument=instrument, seed=0,
            sampling="log-uniform", grid=grid, emulator=build_emulator(nu, lines, GAS, 0.0),
            fringes=fringe_basis(grid, nu, instrument), fringe_std=fringe_scale(instrument),
            response=None, flicker_amplitudes=None,
        )  # fmt: skip
        bound = crlb_ppm(forward_model(source), at([1.0, 1e4, 5e4], t=296.0, p=1.0))
        np.testing.assert_allclose(bound, expected, rtol=tolerance)


def test_linear_gauss_markov_estimate_reaches_the_bound(default: Simulator) -> None:
    """The bound is attained, in the linear range: generalised least squares with the priors, 1500 scans."""
    model = forward_model(default)
    truth = at(np.full(1500, 500.0))
    indices = np.arange(1500)
    nuisances = default.draw_nuisances(indices)
    counts = default.measure(indices, truth, nuisances)
    trace, slopes = model.trace(truth[:1], Nuisances(np.zeros(1), np.zeros((1, 8))))
    # Logarithms make baseline and fringes exactly linear; the noise stays small.
    y = np.log(counts * default.lsb) - np.log(trace)
    jacobian = (slopes[0] / trace).T
    covariance = model.covariance(trace[0]) / np.outer(trace[0], trace[0])
    prior = np.concatenate([[0.0], 1 / model.prior**2])
    information = jacobian.T @ np.linalg.solve(covariance, jacobian) + np.diag(prior)
    estimates = y @ np.linalg.solve(covariance, jacobian) @ np.linalg.inv(information)
    rmse = np.sqrt(np.mean(estimates[:, 0] ** 2))
    assert rmse / crlb_ppm(model, truth[:1])[0] == pytest.approx(1.0, abs=4 / np.sqrt(2 * 1500))


# ------------------------------------------------------------------------------ stabiliser and table
def test_stabiliser_measures_in_units_of_the_bound(default: Simulator) -> None:
    stabiliser = fit_stabiliser(forward_model(default))
    ppm = np.array([-50.0, 0.0, 1.0, 1000.0, 50_000.0])
    np.testing.assert_allclose(stabiliser.ppm(stabiliser.u(ppm)), ppm, rtol=1e-12, atol=1e-9)
    central = (stabiliser.u(ppm + 0.1) - stabiliser.u(ppm - 0.1)) / 0.2
    np.testing.assert_allclose(stabiliser.slope(ppm), central, rtol=1e-6)
    bounds = crlb_ppm(forward_model(default), at(X))
    np.testing.assert_allclose(stabiliser.slope(X) * bounds, 1.0, atol=0.25)
    assert Stabiliser(2.0, 1e9).u(np.array([10.0]))[0] == pytest.approx(5.0)  # linear far below the knee


def test_table_equals_the_bound_between_its_nodes(default: Simulator) -> None:
    model = forward_model(default)
    table = bound_table(model)
    draw = np.random.default_rng(4)
    conditions = Conditions(
        draw.uniform(253, 323, 12), draw.uniform(0.8, 1.1, 12), 10 ** draw.uniform(-6, -1.3, 12)
    )
    np.testing.assert_allclose(table.ppm(conditions), crlb_ppm(model, conditions), rtol=2e-3)


def test_information_of_the_noise_s_own_change_is_small(default: Simulator) -> None:
    """Shot noise and RIN shrink with the signal: that information is left out of the bound.

    For a diagonal covariance it is sum (dlnC/dx)^2 / 2, compared here with the information kept.
    """
    model = forward_model(replace(default, flicker_amplitudes=None))
    still = Nuisances(np.zeros(1), np.zeros((1, 8)))
    for ppm, kept in zip(X, crlb_ppm(model, at(X)) ** -2, strict=True):
        pair = [model.trace(at([ppm + s]), still)[0][0] for s in (1.0, -1.0)]
        variances = [np.diag(model.covariance(trace) - model.flicker) for trace in pair]
        left_out = 0.5 * np.sum((np.log(variances[0] / variances[1]) / 2) ** 2)
        assert left_out < 1e-6 * kept
