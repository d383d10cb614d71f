"""Scores, least squares and stress tests against what they must be."""

from __future__ import annotations

import numpy as np
import pytest

from earthsignals.tdlas import scores, stress
from earthsignals.tdlas.baselines import fit_pls, fit_ridge, load_linear, save_linear
from earthsignals.tdlas.bound import crlb_ppm, fit_stabiliser, forward_model
from earthsignals.tdlas.course import course_inputs, load_course, train_course
from earthsignals.tdlas.dataset import open_scans
from earthsignals.tdlas.least_squares import fit_scans
from earthsignals.tdlas.measured import simulator_for, white_level
from earthsignals.tdlas.simulate import PPM, Conditions
from earthsignals.tdlas.train import read_labelled

from .conftest import QUIET, Small


def test_decades_are_cut_at_the_range() -> None:
    assert list(scores.decades(1, 50_000)) == ["1e0-1e1", "1e1-1e2", "1e2-1e3", "1e3-1e4", "1e4-5e4"]
    assert scores.decades(1, 50_000)["1e4-5e4"] == (1e4, 5e4)
    assert list(scores.decades(3, 1000)) == ["3e0-1e1", "1e1-1e2", "1e2-1e3"]


def test_every_scan_is_in_exactly_one_decade() -> None:
    ppm = np.concatenate([np.geomspace(1, 50_000, 501), [10.0, 100.0, 50_000.0]])
    masks = scores.by_decade(ppm, scores.decades(1, 50_000))
    np.testing.assert_array_equal(np.sum(list(masks.values()), axis=0), 1)


def test_errors_of_a_known_distribution() -> None:
    """Normal errors of exactly one bound: the ratio is 1 within its own interval."""
    rng = np.random.default_rng(1)
    truth = np.full(4000, 100.0)
    found = scores.errors(truth + 5 * rng.standard_normal(4000) + 1, truth, np.full(4000, 5.0))
    assert found["rmse_over_crlb"] == pytest.approx(np.sqrt(1 + 0.04), abs=0.05)
    assert found["rmse_over_crlb_low"] < found["rmse_over_crlb"] < found["rmse_over_crlb_high"]
    assert found["bias_ppm"] == pytest.approx(1, abs=0.3)
    assert found["rmse_over_crlb_high"] - found["rmse_over_crlb_low"] == pytest.approx(
        2 * 1.96 / np.sqrt(2 * 4000), rel=0.3
    )


def test_allan_deviation_of_white_noise_and_of_a_ramp() -> None:
    """White noise falls as n^-1/2; a ramp of slope s rises as s n / sqrt(2)."""
    rng = np.random.default_rng(2)
    lengths, white = scores.allan_deviation(rng.standard_normal(65_536))
    np.testing.assert_allclose(white[:8] * np.sqrt(lengths[:8]), 1.0, atol=0.05)
    lengths, ramp = scores.allan_deviation(0.3 * np.arange(1024))
    np.testing.assert_allclose(ramp, 0.3 * lengths / np.sqrt(2), rtol=1e-9)


def test_least_squares_attains_the_bound(small: Small) -> None:
    """The check on bound and simulator: RMSE over the bound within 0.9 .. 1.3 of 300 scans, chi2 1."""
    with open_scans(small.dataset) as file:
        model = forward_model(simulator_for(file, small.lines, small.params))
        scans = file.read(slice(0, 300))
    truth = scans.conditions.mole_fraction / PPM
    keep = truth < 1e4
    scans_c = scans.conditions[keep]
    ppm, error, chi_square = fit_scans(model, scans.signal[keep], scans_c)
    bound = crlb_ppm(model, scans_c)
    assert 0.9 < scores.rms((ppm - truth[keep]) / bound) < 1.3
    np.testing.assert_allclose(error / bound, 1.0, atol=0.1)
    assert np.mean(chi_square) == pytest.approx(1.0, abs=0.02)


def test_baselines_find_the_mole_fraction_and_survive_their_files(small: Small) -> None:
    with open_scans(small.dataset) as file:
        training, validation = read_labelled(file, "train"), read_labelled(file, "validation")
        model = forward_model(simulator_for(file, small.lines, small.params))
        test = file.read(file.rows("test"))
    truth = test.conditions.mole_fraction / PPM
    bound = crlb_ppm(model, test.conditions)
    stabiliser = fit_stabiliser(model)
    for fit, name in ((fit_ridge, "ridge"), (fit_pls, "pls")):
        linear = fit(training, validation, stabiliser, small.params.baselines)
        ratio = scores.rms((linear.predict(test.signal, test.conditions) - truth) / bound)
        assert 1.2 < ratio < 12  # linear in ln I: no better than twice the bound, far from lost
        save_linear(small.folder / f"{name}.npz", linear)
        again = load_linear(small.folder / f"{name}.npz")
        np.testing.assert_array_equal(
            again.predict(test.signal, test.conditions),
            linear.predict(test.signal, test.conditions),
        )


@pytest.mark.parametrize("kind", ["trace", "clean-absorbance"])
def test_the_course_network_trains_on_either_input(small: Small, kind: str, tmp_path) -> None:
    options = small.params.course.model_copy(update={"epochs": 1, "scans": 256, "input": kind})
    with open_scans(small.dataset) as file:
        training, validation = read_labelled(file, "train"), read_labelled(file, "validation")
        simulator = simulator_for(file, small.lines, small.params)
        train_course(
            file, training, validation, simulator, fit_stabiliser(forward_model(simulator)), options,
            QUIET, tmp_path / "course.pt", resume_root=tmp_path,
        )  # fmt: skip
    course = load_course(tmp_path / "course.pt")
    assert (course.input, course.target) == (kind, "ppm")
    c = validation.conditions[:8]
    inputs = course_inputs(kind, validation.signal(slice(0, 8)), c, simulator)
    assert np.isfinite(course.predict(inputs, c)).all()
    if kind == "clean-absorbance":
        # Beer-Lambert: proportional to x in the optically thin limit, whatever the noise.
        half = Conditions(c.temperature_k, c.pressure_atm, c.mole_fraction / 2)
        ratio = inputs.max(axis=1) / course_inputs(kind, inputs, half, simulator).max(axis=1)
        np.testing.assert_allclose(ratio, 2.0, rtol=0.02)


def test_stress_cases_change_what_they_name(small: Small) -> None:
    with open_scans(small.dataset) as file:
        simulator = simulator_for(file, small.lines, small.params)
    cases = stress.stress_cases(simulator, 64, seed=3)
    nominal = cases["nominal"].conditions
    offset = cases["T +5 K"].told.temperature_k - cases["T +5 K"].conditions.temperature_k
    np.testing.assert_allclose(offset, 5.0)
    np.testing.assert_allclose(cases["P -5 %"].told.pressure_atm, 0.95 * nominal.pressure_atm)
    high = simulator.gas.mole_fraction_ppm.high * PPM
    assert (cases["x above range"].conditions.mole_fraction >= high).all()
    t = cases["T 0-10 K outside"].conditions.temperature_k
    assert ((t < simulator.gas.temperature_k.low) | (t > simulator.gas.temperature_k.high)).all()
    assert not np.allclose(cases["unseen etalons"].simulator.fringes, simulator.fringes)


def test_repeated_scans_drift_slowly(small: Small) -> None:
    """Neighbouring scans share their etalons; scans a few correlation lengths apart do not."""
    with open_scans(small.dataset) as file:
        simulator = simulator_for(file, small.lines, small.params)
    quiet = simulator.instrument.model_copy(
        update={"white": 0.0, "shot": 0.0, "rin": 0.0, "flicker": 0.0, "jitter": 0.0,
                "etalon_drift_scans": 20.0}
    )  # fmt: skip
    from earthsignals.tdlas.measured import with_noise

    signal = stress.repeated_scans(with_noise(simulator, quiet), 10.0, 256, seed=1)
    near = np.mean((signal[1:] - signal[:-1]) ** 2)
    far = np.mean((signal[120:] - signal[:-120]) ** 2)
    # A Gauss-Markov process of correlation 20 scans: 1 - exp(-1/20) against 1 - exp(-6).
    assert far / near == pytest.approx((1 - np.exp(-6)) / (1 - np.exp(-1 / 20)), rel=0.5)


def test_the_white_level_is_found_under_a_smooth_trace() -> None:
    rng = np.random.default_rng(3)
    x = np.linspace(0, 20, 1000)
    signal = np.exp(-np.sin(x)) + 1e-3 * rng.standard_normal((50, 1000))
    assert white_level(signal) == pytest.approx(1e-3, rel=0.03)
