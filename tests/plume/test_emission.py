"""Mass and rate: the analytic plume, what noise does, and intervals that cover what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from earthsignals.compute.seeds import philox
from earthsignals.plume.detection.detect import Plume, find_plumes
from earthsignals.plume.detection.emission import Mass, Wind, estimate_rates, integrate
from earthsignals.plume.detection.footprint import lay_footprint
from earthsignals.plume.detection.rate_error import Calibration, Rate, calibrate_rate, rate_of
from earthsignals.plume.params import DetectionParams
from earthsignals.plume.simulation.dispersion import PPM_M_TO_KG_M2, gaussian_plume, puff_plume
from earthsignals.storage import EarthSignalsError

PIXEL_M = 5.0
SHAPE = (150, 130)
SOURCE = (75.0, 30.0)
PARAMS = DetectionParams()
WIND = 4.0
RATE = 600.0


def estimate_rate(ch4, plume, wind_m_s, wind_error, pixel_m, params, *, calibration=None, **options):
    """The rate of one plume under one wind."""
    mass = integrate(ch4, plume, pixel_m, params, **options)
    known = () if calibration is None else (calibration,)
    return estimate_rates(mass, [Wind(wind_m_s, wind_error)], params, *known)[0]


def truth(rate: float = RATE, turbulence: float = 0.12) -> np.ndarray:
    return gaussian_plume(SHAPE, PIXEL_M, SOURCE, rate, WIND, 90.0, turbulence)


def salient_around(field: np.ndarray) -> np.ndarray:
    return np.where(ndimage.distance_transform_edt(field < 100) < 15, 0.9, 0.05).astype(np.float32)


def noise(number: int, deviation: float = 250.0, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return deviation * philox(7, "test-emission", number).standard_normal(shape)


def plume_of(ch4: np.ndarray, clean: np.ndarray):
    found = find_plumes(ch4, salient_around(clean), 0.5, PARAMS, PIXEL_M, wind_direction_deg=90.0)
    return max(found, key=lambda plume: plume.pixels), found


def known_plume(clean: np.ndarray) -> Plume:
    """The plume with mask and source known beforehand: no selection by noise."""
    plume, _ = plume_of(clean.astype(np.float32), clean)
    return replace(plume, source_row=SOURCE[0], source_col=SOURCE[1])


def test_a_noise_free_plume_gives_its_rate() -> None:
    clean = truth()
    rate = estimate_rate(clean.astype(np.float32), known_plume(clean), WIND, 0.0, PIXEL_M, PARAMS)
    assert rate.rate_kg_h == pytest.approx(RATE, rel=0.03)
    # Inside the fetch there is rate times the time the wind takes to cross it.
    assert rate.ime_kg == pytest.approx(RATE / 3600 * rate.fetch_m / WIND, rel=0.03)
    assert rate.fetch_m == PARAMS.maximum_fetch_m
    assert "beyond-fetch" in rate.flags
    found, _ = plume_of(clean.astype(np.float32), clean)
    found_rate = estimate_rate(clean.astype(np.float32), found, WIND, 0.0, PIXEL_M, PARAMS)
    assert found_rate.rate_kg_h == pytest.approx(RATE, rel=0.05)


def test_a_constant_background_does_not_matter() -> None:
    clean = truth()
    plume = known_plume(clean)
    without = integrate(clean.astype(np.float32), plume, PIXEL_M, PARAMS)
    with_it = integrate((clean + 500).astype(np.float32), plume, PIXEL_M, PARAMS)
    assert with_it.kg_per_m == pytest.approx(without.kg_per_m, rel=1e-4)
    assert with_it.background_ppm_m - without.background_ppm_m == pytest.approx(500, abs=0.01)


def test_mass_is_density_times_area_and_depends_on_the_air() -> None:
    clean = truth()
    plume = known_plume(clean)
    ch4 = clean.astype(np.float32)
    mass = integrate(ch4, plume, PIXEL_M, PARAMS)
    footprint, _ = lay_footprint(
        plume.mask, (plume.rows.start, plume.cols.start), SOURCE, SHAPE, PIXEL_M,
        fetch_m=mass.fetch_m, flank_m=PARAMS.flank_m, ring_m=PARAMS.ring_m,
    )  # fmt: skip
    excess = (ch4[footprint.rows, footprint.cols].astype(float) - mass.background_ppm_m).sum()
    assert mass.ime_kg == pytest.approx(excess * PPM_M_TO_KG_M2 * PIXEL_M**2, rel=1e-6)
    air = {"temperature_k": 2 * 293.15, "pressure_hpa": 1013.25 / 2}
    thin = integrate(ch4, plume, PIXEL_M, PARAMS.model_copy(update=air))
    assert thin.ime_kg == pytest.approx(mass.ime_kg / 4, rel=1e-6)


def test_weights_are_the_mean_of_ime_over_r() -> None:
    mask = np.ones((1, 40), bool)
    footprint, cut = lay_footprint(
        mask, (50, 20), (50.0, 20.0), (100, 100), 5.0, fetch_m=100.0, flank_m=0.0, ring_m=30.0
    )
    assert not cut
    column = np.arange(100.0)
    values = np.zeros((100, 100))
    values[50] = np.sin(column) + 2
    distance = np.hypot(footprint.rows - 50, footprint.cols - 20) * 5.0
    inside = values[footprint.rows, footprint.cols]
    radii = np.arange(1, 21) * 5.0
    direct = np.mean([inside[distance <= r].sum() / r for r in radii])
    assert inside @ footprint.per_m == pytest.approx(direct, rel=1e-12)
    assert distance.max() <= 100.0


def test_noise_leaves_the_rate_unbiased_and_its_error_honest() -> None:
    clean = truth()
    plume = known_plume(clean)
    rates = []
    for number in range(50):
        ch4 = (clean + noise(number)).astype(np.float32)
        rates.append(estimate_rate(ch4, plume, WIND, 0.0, PIXEL_M, PARAMS, seed=number))
    values = np.array([rate.rate_kg_h for rate in rates])
    exact = estimate_rate(clean.astype(np.float32), plume, WIND, 0.0, PIXEL_M, PARAMS).rate_kg_h
    standard_error = values.std(ddof=1) / np.sqrt(len(values))
    assert abs(values.mean() - exact) < 3 * standard_error
    assert abs(values.mean() / RATE - 1) < 0.05
    # A standard deviation from 50 draws is known to 10 %, from 200 places to 5 % besides correlation.
    stated = np.mean([rate.standard_error for rate in rates])
    assert stated == pytest.approx(values.std(ddof=1), rel=0.3)
    inside = np.mean([rate.low_68 < exact < rate.high_68 for rate in rates])
    assert 0.68 - 3 * 0.066 < inside < 0.68 + 3 * 0.066


def test_found_plumes_in_noise_stay_near_the_truth() -> None:
    clean = truth()
    values = []
    for number in range(20):
        ch4 = (clean + noise(number)).astype(np.float32)
        plume, found = plume_of(ch4, clean)
        values.append(
            estimate_rate(
                ch4, plume, WIND, 0.0, PIXEL_M, PARAMS, plumes=found.plumes, salient=found.salient
            ).rate_kg_h
        )
    # The mask follows the noise a little, which calibration takes away.
    assert np.median(values) == pytest.approx(RATE, rel=0.15)


def test_rate_grows_with_the_wind_and_several_winds_give_several_rates() -> None:
    clean = truth()
    ch4 = (clean + noise(0)).astype(np.float32)
    mass = integrate(ch4, known_plume(clean), PIXEL_M, PARAMS)
    winds = [Wind(2.0, 0.1, "a"), Wind(4.0, 0.1, "b"), Wind(4.0, None, "c"), Wind(None, None, "d")]
    a, b, c, d = estimate_rates(mass, winds, PARAMS)
    assert b.rate_kg_h == pytest.approx(2 * a.rate_kg_h)
    assert b.low_68 == pytest.approx(2 * a.low_68)
    assert (c.wind_error, c.rate_kg_h) == (PARAMS.wind_error, b.rate_kg_h)
    assert c.high_68 / c.low_68 > b.high_68 / b.low_68
    assert d.rate_kg_h is None and d.low_68 is None
    assert d.reason == "no wind speed is known"
    assert d.ime_kg == a.ime_kg == mass.ime_kg > 0
    assert [rate.wind_name for rate in (a, b, c, d)] == ["a", "b", "c", "d"]


def test_parts_of_the_error_add_in_the_logarithm() -> None:
    facts = {"ime_kg": 1.0, "ime_error_kg": 0.1, "fetch_m": 100.0}
    rate = rate_of(0.02, 0.004, 5.0, 0.3, Calibration(1.2, 0.1), **facts)
    assert rate.rate_kg_h == pytest.approx(3600 * 5 * 0.02 * 1.2)
    assert rate.noise_error == pytest.approx(0.2)
    assert rate.standard_error == pytest.approx(rate.rate_kg_h * np.sqrt(0.2**2 + 0.3**2 + 0.1**2))
    spread = np.sqrt(np.log(1.04) + np.log(1.09) + np.log(1.01))
    assert np.log(rate.high_95 / rate.rate_kg_h) == pytest.approx(1.96 * spread, rel=1e-4)
    assert rate.low_68 * rate.high_68 == pytest.approx(rate.rate_kg_h**2)
    assert 0 < rate.low_95 < rate.low_68 < rate.rate_kg_h < rate.high_68 < rate.high_95


def test_no_enhancement_gives_no_rate_but_the_mass() -> None:
    clean = truth()
    hole = integrate((-clean).astype(np.float32), known_plume(clean), PIXEL_M, PARAMS)
    rate = estimate_rates(hole, [Wind(4.0)], PARAMS)[0]
    assert rate.rate_kg_h is None
    assert "no more methane" in rate.reason
    assert rate.ime_kg < 0


def test_a_neighbouring_plume_is_left_out_of_mass_and_background() -> None:
    clean = truth(turbulence=0.03)
    other = gaussian_plume(SHAPE, PIXEL_M, (92, 30), 3000, WIND, 90, 0.03)
    still = noise(1, 150)
    first, second = (plume_of((field + still).astype(np.float32), field)[0] for field in (clean, other))
    found = [first, replace(second, id=2)]
    ch4 = (clean + other + still).astype(np.float32)
    alone, mixed = (
        3600 * WIND * integrate(ch4, first, PIXEL_M, PARAMS, plumes=others).kg_per_m for others in (found, [])
    )
    assert alone == pytest.approx(RATE, rel=0.15)
    # Counted as background, a neighbour five times as strong leaves nothing over it.
    assert mixed < 0


def test_the_scenes_end_is_told() -> None:
    clean = gaussian_plume(SHAPE, PIXEL_M, (75, 90), RATE, WIND, 90.0, 0.12)
    ch4 = clean.astype(np.float32)
    plume, _ = plume_of(ch4, clean)
    rate = estimate_rate(ch4, plume, WIND, 0.0, PIXEL_M, PARAMS)
    assert "touches-edge" in rate.flags
    # The fetch ends with the plume: what lies beyond the scene is not missed.
    assert rate.fetch_m < PARAMS.maximum_fetch_m
    assert rate.rate_kg_h == pytest.approx(RATE, rel=0.1)
    # Flown along one side of the plume only, half of it is missing.
    side = gaussian_plume(SHAPE, PIXEL_M, (0, 30), RATE, WIND, 90.0, 0.12)
    plume, _ = plume_of(side.astype(np.float32), side)
    rate = estimate_rate(side.astype(np.float32), plume, WIND, 0.0, PIXEL_M, PARAMS)
    assert {"touches-edge", "cut-by-edge"} <= set(rate.flags)
    assert rate.rate_kg_h < 0.7 * RATE


def test_a_scene_without_room_says_where_its_noise_comes_from() -> None:
    clean = truth()
    ch4 = (clean + noise(2)).astype(np.float32)
    full = estimate_rate(ch4, known_plume(clean), WIND, 0.0, PIXEL_M, PARAMS, salient=np.ones(SHAPE, bool))
    assert "noise-from-pixels" in full.flags
    roomy = estimate_rate(ch4, known_plume(clean), WIND, 0.0, PIXEL_M, PARAMS)
    assert "noise-from-pixels" not in roomy.flags
    # This noise is white, so the lower bound is near the sampled one.
    assert full.noise_error == pytest.approx(roomy.noise_error, rel=0.5)


def test_equal_seeds_give_equal_errors() -> None:
    clean = truth()
    ch4 = (clean + noise(3)).astype(np.float32)
    one, two, other = (
        estimate_rate(ch4, known_plume(clean), WIND, 0.0, PIXEL_M, PARAMS, seed=s) for s in (1, 1, 2)
    )
    assert one == two
    assert one.rate_kg_h == other.rate_kg_h and one.standard_error != other.standard_error


@pytest.mark.parametrize("change", [{"flank_m": 25.0}, {"ring_m": 15.0}, {"maximum_fetch_m": 150.0}])
def test_every_parameter_changes_the_rate(change: dict) -> None:
    clean = truth()
    ch4 = (clean + noise(4)).astype(np.float32)
    plume = known_plume(clean)
    usual = estimate_rate(ch4, plume, WIND, None, PIXEL_M, PARAMS)
    changed = estimate_rate(ch4, plume, WIND, None, PIXEL_M, PARAMS.model_copy(update=change))
    assert changed.rate_kg_h != usual.rate_kg_h


@pytest.mark.parametrize("wind", [Wind(0.0), Wind(-3.0), Wind(3.0, -0.1)])
def test_impossible_winds_are_refused(wind: Wind) -> None:
    mass = Mass(1.0, 0.1, 0.01, 0.001, 100.0, 0.0, 200)
    with pytest.raises(EarthSignalsError, match="wind `wind`"):
        estimate_rates(mass, [wind], PARAMS)


def simulated_rates(number: int) -> tuple[list[Rate], np.ndarray]:
    """Rates by a method that is 30 % high with a scatter of 25 %, noise 15 %, wind 20 %."""
    rng = philox(8, "test-calibration", number)
    true = np.exp(rng.uniform(np.log(50), np.log(2000), 400))
    factors = np.exp([0.25, 0.15, 0.20] @ rng.standard_normal((3, 400)))
    facts = {"ime_kg": 1.0, "ime_error_kg": 0.1, "fetch_m": 100.0}
    per_m = 1.3 * true * factors / 3600 / 4
    return [rate_of(m, 0.15 * m, 4.0, 0.2, Calibration(), **facts) for m in per_m], true


def test_calibration_finds_scale_and_model_error_and_makes_intervals_cover() -> None:
    fitted = calibrate_rate(*simulated_rates(0))
    assert fitted.scale == pytest.approx(1 / 1.3, rel=0.05)
    assert fitted.model_error == pytest.approx(0.25, abs=0.06)
    others, true = simulated_rates(1)
    facts = {"ime_kg": 1.0, "ime_error_kg": 0.1, "fetch_m": 100.0}
    calibrated = [
        rate_of(r.rate_kg_h / 3600 / 4, 0.15 * r.rate_kg_h / 3600 / 4, 4.0, 0.2, fitted, **facts)
        for r in others
    ]
    # 400 plumes: 2.3 % for one deviation, and as much again from the fit.
    covered_68 = np.mean([r.low_68 < t < r.high_68 for r, t in zip(calibrated, true, strict=True)])
    covered_95 = np.mean([r.low_95 < t < r.high_95 for r, t in zip(calibrated, true, strict=True)])
    assert covered_68 == pytest.approx(0.68, abs=0.08)
    assert covered_95 == pytest.approx(0.95, abs=0.03)


def test_calibration_needs_enough_fresh_estimates() -> None:
    rates, true = simulated_rates(2)
    with pytest.raises(EarthSignalsError, match="only 7 plumes"):
        calibrate_rate(rates[:7], true[:7])
    with pytest.raises(EarthSignalsError, match="calibrated before"):
        calibrate_rate([replace(rate, model_error=0.1) for rate in rates], true)
    # A model error is never negative: here noise and wind alone explain more than there is.
    exact = [replace(rate, rate_kg_h=t) for rate, t in zip(rates, true, strict=True)]
    assert calibrate_rate(exact, true) == Calibration(1.0, 0.0)


def test_turbulent_plumes_after_calibration() -> None:
    rates, true = [], []
    for number in range(24):
        rng = philox(9, "test-emission-puffs", number)
        rate, wind = float(np.exp(rng.uniform(np.log(400), np.log(2000)))), float(rng.uniform(2, 5))
        clean = puff_plume((130, 130), PIXEL_M, (65, 30), rate, wind, 90, 0.35, rng, puffs=800)
        ch4 = (clean + noise(number, 250, (130, 130))).astype(np.float32)
        plume, found = plume_of(ch4, clean)
        rates.append(
            estimate_rate(ch4, plume, wind, 0.0, PIXEL_M, PARAMS, plumes=found.plumes, salient=found.salient)
        )
        true.append(rate)
    ratio = np.array([rate.rate_kg_h for rate in rates]) / true
    assert 0.85 < np.median(ratio) < 1.2
    fitted = calibrate_rate(rates, true)
    assert fitted.scale == pytest.approx(1 / np.median(ratio), rel=0.02)
    assert 0.0 < fitted.model_error < 0.6
