"""The noise-free scan: drive, sweep, block averages, detector, fringes, quantiser."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from earthsignals.tdlas.lines import embedded_lines
from earthsignals.tdlas.params import (
    EtalonParams,
    GasParams,
    InstrumentParams,
    LaserParams,
    LinesParams,
)
from earthsignals.tdlas.scan import (
    detector_response,
    drive,
    fringe_basis,
    fringe_scale,
    power,
    scan_grid,
    wavenumber,
)
from earthsignals.tdlas.simulate import Conditions, Nuisances, Simulator, make_simulator
from earthsignals.tdlas.voigt import Gas, absorption_coefficient

LINES, GAS, LASER = LinesParams(), GasParams(), LaserParams()
WINDOW = (4383.0, 4386.0)
SILENT = InstrumentParams(
    white=0.0, shot=0.0, rin=0.0, flicker=0.0, jitter=0.0, etalons=(), baseline=(),
    detector_bandwidth_hz=0.0,
)  # fmt: skip
RICH = Conditions(np.array([296.0]), np.array([0.8]), np.array([0.05]))


def simulator(**changes: object) -> Simulator:
    instrument = SILENT.model_copy(update=changes)
    lines = embedded_lines().within(*WINDOW)
    return make_simulator(lines, LINES, GAS, LASER, instrument, seed=5)


@pytest.fixture(scope="module")
def silent() -> Simulator:
    return simulator()


def still(count: int = 1, coefficients: int = 0) -> Nuisances:
    return Nuisances(np.zeros(count), np.zeros((count, coefficients)))


def raw_trace(detector_hz: float = 0.0) -> np.ndarray:
    """The richest gas at all 25,000 raw samples, by the direct sum: what blocks are averaged from."""
    raw = LASER.raw_samples
    v = drive((np.arange(raw) + 0.5) / LASER.sampling_rate_hz, LASER)
    nu = wavenumber(v, WINDOW)
    lines = embedded_lines().within(*WINDOW)
    down = absorption_coefficient(nu[: raw // 2], lines, Gas(296.0, 0.8, 0.05), GAS) * GAS.path_cm
    signal = power(v, LASER) * np.exp(-np.concatenate([down, down[::-1]]))
    if detector_hz:
        harmonic = np.arange(raw // 2 + 1) * LASER.drive_frequency_hz
        signal = np.fft.irfft(np.fft.rfft(signal) / (1 + 1j * harmonic / detector_hz), raw)
    return signal.reshape(-1, LASER.block).mean(axis=1)


# ------------------------------------------------------------------------------ drive and sweep
def test_drive_is_the_course_s() -> None:
    """V = 1 + cos(2 pi 10 Hz t): 2 at the start, 0 after 50 ms, 2 again after 100 ms."""
    np.testing.assert_allclose(drive(np.array([0, 0.025, 0.05, 0.1]), LASER), [2, 1, 0, 2], atol=1e-12)
    assert (LASER.raw_samples, LASER.block) == (25_000, 25)


def test_wavenumber_sweeps_down_then_up_at_the_drive_s_rate() -> None:
    grid = scan_grid(LINES, LASER)
    half = grid.samples // 2
    assert (np.diff(grid.nu[:half]) < 0).all() and (np.diff(grid.nu[half:]) > 0).all()
    assert 4383.0 < grid.nu.min() < 4383.0001 and 4385.9999 < grid.nu.max() < 4386.0
    v = drive(grid.time, LASER)
    ratio = np.gradient(grid.nu, grid.time) / np.gradient(v, grid.time)
    np.testing.assert_allclose(np.delete(ratio, [half - 1, half]), 1.5, rtol=1e-6)  # (high - low) / 2
    np.testing.assert_array_equal(np.round(grid.nu, 9), np.round(grid.nu[::-1], 9))


def test_power_curve_has_slope_and_curvature_about_mid_scan() -> None:
    laser = LaserParams(power_slope=0.3, power_curvature=-0.1)
    assert power(np.array([0.0, 1.0, 2.0]), laser).tolist() == pytest.approx([0.6, 1.0, 1.2])


# ------------------------------------------------------------------------------ block averages
def test_two_gauss_points_stand_for_twenty_five_samples(silent: Simulator) -> None:
    """Sharpest lines of the range (0.8 atm, 5 %): off by at most 1e-5 of mid-scan power."""
    blocks = silent.transmitted(RICH, still())[0]
    assert np.abs(blocks - raw_trace()).max() < 1e-5
    np.testing.assert_array_equal(blocks, blocks[::-1])  # mirror of the sweep


def test_detector_low_pass_equals_the_full_rate(silent: Simulator) -> None:
    for bandwidth in (100_000.0, 10_000.0):
        response = detector_response(LASER, SILENT.model_copy(update={"detector_bandwidth_hz": bandwidth}))
        blocks = replace(silent, response=response).transmitted(RICH, still())[0]
        full = raw_trace(bandwidth)
        assert np.abs(blocks - full).max() < 2e-5
        assert np.abs(full - full[::-1]).max() > 5e-4  # the delay breaks the mirror
    assert detector_response(LASER, SILENT) is None


def test_beer_and_lambert(silent: Simulator) -> None:
    """Twice the (thin) methane squares the transmission; none at all leaves the power curve."""
    x = np.array([1e-6, 2e-6])
    two = Conditions(np.full(2, 296.0), np.full(2, 1.0), x)
    empty = silent.grid.fold(silent.grid.half_power)
    depth = -np.log(silent.transmitted(two, still(2)) / empty)
    np.testing.assert_allclose(depth[1], 2 * depth[0], rtol=1e-4)
    # At 296 K and 1 atm the peak is 0.645 per cm of pure CH4 (0.647 on its axis, 4384.378 cm-1).
    assert depth[1].max() == pytest.approx(2e-6 * 100 * 0.645, rel=0.005)


# ------------------------------------------------------------------------------ imperfections
def test_baseline_rows_are_legendre_polynomials() -> None:
    grid = scan_grid(LINES, LASER)
    rows = fringe_basis(grid, grid.nu, SILENT.model_copy(update={"baseline": (0.1, 0.1, 0.1)}))
    v = grid.scaled(grid.nu)
    assert np.abs(v).max() <= 1.0
    np.testing.assert_allclose(rows, [np.ones_like(v), v, 1.5 * v**2 - 0.5], atol=1e-12)
    assert fringe_basis(grid, grid.nu, SILENT).shape == (0, 1000)


def test_etalon_has_its_period_and_rms() -> None:
    instrument = SILENT.model_copy(update={"etalons": (EtalonParams(rms=2e-3, free_spectral_range=0.5),)})
    grid = scan_grid(LINES, LASER)
    nu = np.linspace(4383, 4386, 601)  # 100 points a fringe
    rows = fringe_basis(grid, nu, instrument)
    np.testing.assert_allclose(rows[:, :-100], rows[:, 100:], atol=1e-9)
    np.testing.assert_allclose(rows[0] ** 2 + rows[1] ** 2, 1.0, rtol=1e-12)
    assert fringe_scale(instrument).tolist() == [2e-3, 2e-3]
    source = simulator(etalons=instrument.etalons)
    drawn = source.draw_nuisances(np.arange(4000)).fringes @ rows[:, :100]
    # Stationary over the fringe: the same rms at every wavenumber, phases spread evenly.
    np.testing.assert_allclose(drawn.std(axis=0), 2e-3, rtol=0.05)
    assert abs(drawn.mean()) < 4 * 2e-3 / np.sqrt(4000)


def test_fringes_and_baseline_multiply_the_signal() -> None:
    source = simulator(baseline=(0.03, 0.02), etalons=(EtalonParams(rms=1e-3, free_spectral_range=0.5),))
    coefficients = np.array([[0.05, -0.02, 1e-3, 2e-3]])
    with_fringes = source.transmitted(RICH, Nuisances(np.zeros(1), coefficients))
    without = source.transmitted(RICH, still(coefficients=4))
    expected = coefficients @ fringe_basis(source.grid, source.grid.nu, source.instrument)
    np.testing.assert_allclose(np.log(with_fringes / without), expected, atol=1e-5)


def test_nuisances_have_their_declared_statistics() -> None:
    source = simulator(jitter=5e-4, baseline=(0.03, 0.0, 0.01))
    drawn = source.draw_nuisances(np.arange(4000))
    assert drawn.shift.std() == pytest.approx(5e-4, rel=0.05)
    np.testing.assert_allclose(drawn.fringes.std(axis=0), [0.03, 0.0, 0.01], rtol=0.05)
    correlation = np.corrcoef(drawn.shift, drawn.fringes[:, 0])[0, 1]
    assert abs(correlation) < 4 / np.sqrt(4000)


def test_jitter_moves_the_laser_up() -> None:
    """A shift of +d shows each line d lower on the nominal axis."""
    source = simulator(jitter=5e-4)
    shift = 2e-3
    moved = source.transmitted(RICH, Nuisances(np.array([shift]), np.zeros((1, 0))))[0, :500]
    plain = source.transmitted(RICH, still())[0, :500]
    power_curve = source.grid.fold(source.grid.half_power)[:500]
    nu = source.grid.nu[:500]
    lower = np.interp(nu[::-1] + shift, nu[::-1], (plain / power_curve)[::-1])[::-1]
    inside = slice(20, 480)
    assert np.abs(moved / power_curve - lower)[inside].max() < 2e-3  # of interpolation
    assert np.abs(moved - plain).max() > 0.01


# ------------------------------------------------------------------------------ quantiser
def test_counts_round_to_nearest_and_saturate(silent: Simulator) -> None:
    lsb = silent.lsb
    assert lsb == 2.0 / 65_536
    signal = np.array([[-1.0, 0.0, 0.4 * lsb, 0.6 * lsb, 100 * lsb, 2.0 - lsb, 2.0, 9.0]])
    assert silent.quantise(signal).tolist() == [[0, 0, 0, 1, 100, 65_535, 65_535, 65_535]]
    eight = simulator(adc_bits=8, adc_full_scale=4.0)
    assert eight.lsb == 4.0 / 256
    assert eight.quantise(np.array([[1.0, 5.0]])).tolist() == [[64, 255]]


def test_silent_scan_is_the_quantised_model(silent: Simulator) -> None:
    """With every source at zero, counts are the noise-free trace within half a count."""
    counts = silent.measure(np.array([7]), RICH, still())
    trace = silent.transmitted(RICH, still())
    assert np.abs(counts * silent.lsb - trace).max() <= 0.5 * silent.lsb * (1 + 1e-9)


# ------------------------------------------------------------------------------ conditions
def test_conditions_fill_their_ranges() -> None:
    lines = embedded_lines().within(*WINDOW)
    indices = np.arange(4000)
    drawn = make_simulator(lines, LINES, GAS, LASER, SILENT).draw_conditions(indices)
    for values, (low, high) in (
        (drawn.temperature_k, (253, 323)),
        (drawn.pressure_atm, (0.8, 1.1)),
        (np.log(drawn.mole_fraction), np.log([1e-6, 0.05])),
    ):
        assert low - 1e-9 <= values.min() and values.max() <= high + 1e-9
        uniform = np.sort((values - low) / (high - low))
        kolmogorov = np.abs(uniform - (np.arange(4000) + 0.5) / 4000).max()
        assert kolmogorov < 1.63 / np.sqrt(4000)  # the 1 % point of the Kolmogorov distribution
