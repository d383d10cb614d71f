"""Scores, intervals, matching and detection curves against what they must be."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_curve

from earthsignals import bootstrap
from earthsignals.plume.detection.detect import Plume
from earthsignals.plume.detection.rate_error import Calibration
from earthsignals.plume.judging import scores
from earthsignals.plume.judging.matching import REACH_M, label_map, match, owners
from earthsignals.plume.judging.rate_scores import Pair, judge_rates, pairs, rate
from earthsignals.plume.judging.sensitivity import fit_detection, shares_by_wind


def made_scores(count: int = 600, ties: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, labels and flightlines (of 6) of a mediocre method."""
    rng = np.random.default_rng(3)
    label = rng.random(count) < 0.3
    score = rng.normal(label * 1.2, 1.0)
    return (np.round(score) if ties else score), label, rng.integers(0, 6, count)


# ------------------------------------------------------------------------------------------ scores
def test_counts_of_nothing_are_no_number() -> None:
    assert np.isnan(scores.f1(0, 0, 0)) and np.isnan(scores.iou(0, 0, 0))
    assert np.isnan(scores.precision(0, 0)) and np.isnan(scores.recall(0, 0))
    assert scores.f1(3, 1, 2) == pytest.approx(6 / 9) and scores.iou(3, 1, 2) == pytest.approx(0.5)


@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_and_roc_are_those_of_scikit_learn(ties: bool) -> None:
    score, label, group = made_scores(ties=ties)
    tally = scores.tally(score, label, group, 6)
    assert tally.positives.sum() == label.sum() and tally.negatives.sum() == (~label).sum()
    found = scores.average_precision(*tally.total())
    assert found == pytest.approx(average_precision_score(label, score), abs=1e-12)
    false, true, _ = roc_curve(label, score, drop_intermediate=False)
    grid = np.array([0.1, 0.4, 0.9])
    np.testing.assert_allclose(
        scores.true_positive_rate_at(*tally.total(), grid), np.interp(grid, false, true), atol=1e-12
    )


def test_many_scores_are_binned_without_losing_an_item() -> None:
    score, label, group = made_scores(20_000)
    tally = scores.tally(score, label, group, 6)
    assert len(tally.scores) <= scores.MOST_SCORES and (np.diff(tally.scores) < 0).all()
    np.testing.assert_array_equal(tally.positives.sum(axis=1), np.bincount(group, label))
    found = scores.average_precision(*tally.total())
    assert found == pytest.approx(average_precision_score(label, score), abs=2e-3)


def test_an_uninformative_score_has_the_share_of_positives() -> None:
    assert scores.average_precision(np.array([30.0]), np.array([70.0])) == pytest.approx(0.3)


def test_best_threshold_is_that_of_all_thresholds() -> None:
    score, label, _ = made_scores(80)
    threshold, found = scores.best_f1_threshold(score, label)
    every = [f1_score(label, score >= t) for t in score]
    assert found == pytest.approx(max(every)) and f1_score(label, score >= threshold) == pytest.approx(found)
    assert scores.best_f1_threshold(score, np.zeros(80, bool)) == (np.inf, 0.0)


def test_precision_at_recall_reads_the_first_score_that_reaches_it() -> None:
    # Positives at ranks 1, 3, 4: recall 1/3 at precision 1, 2/3 at 2/3, 1 at 3/4.
    positives, negatives = np.array([1.0, 0, 1, 1]), np.array([0.0, 1, 0, 0])
    np.testing.assert_allclose(
        scores.precision_at(positives, negatives, np.array([0.2, 1 / 3, 0.5, 1.0])), [1, 1, 2 / 3, 3 / 4]
    )


def test_pixel_tallies_clip_at_the_edges_and_fall() -> None:
    edges = np.linspace(0, 1, 5)
    positives, negatives = scores.tally_pixels(
        np.array([-1.0, 0.1, 0.3, 0.8, 7.0]), np.array([False, False, True, True, True]), edges
    )
    np.testing.assert_array_equal(positives, [2, 0, 1, 0])
    np.testing.assert_array_equal(negatives, [0, 0, 0, 2])


def test_reliability_of_calibrated_and_of_overconfident_probabilities() -> None:
    rng = np.random.default_rng(1)
    probability = rng.random(50_000)
    label = rng.random(50_000) < probability
    assert scores.reliability(probability, label).expected_calibration_error < 0.01
    certain = np.where(probability > 0.5, 1.0, 0.0)
    # Half of the mass claims 1 and is right in 3/4, half claims 0 and is right in 3/4: off by 1/4.
    assert scores.reliability(certain, label).expected_calibration_error == pytest.approx(0.25, abs=0.01)


# ---------------------------------------------------------------------------------------- matching
def found_plume(rows: slice, cols: slice, number: int = 1) -> Plume:
    """A full rectangle."""
    mask = np.ones((rows.stop - rows.start, cols.stop - cols.start), bool)
    facts = dict.fromkeys(
        ("score", "mean_score", "area_m2", "peak_ppm_m", "peak_smoothed_ppm_m", "background_ppm_m",
         "deviation_ppm_m", "source_row", "source_col", "orientation_deg", "length_m"), 0.0,
    )  # fmt: skip
    return Plume(id=number, rows=rows, cols=cols, mask=mask, **facts)


def test_a_piece_with_one_source_is_that_source_s_and_a_shared_one_is_split_downwind() -> None:
    truth = np.zeros((40, 60), bool)
    truth[5:8, 5:40] = True  # from two sources in a row, wind to the right
    truth[30:33, 10:30] = True
    sources = np.array([[6.0, 6.0], [6.0, 25.0], [31.0, 11.0]])
    owner = owners(truth, sources, 5.0, wind_direction_deg=90.0)
    np.testing.assert_array_equal(owner[6, [6, 15, 23, 27, 39]], [1, 1, 1, 2, 2])
    assert set(np.unique(owner[30:33, 10:30])) == {3} and owner[20, 20] == 0
    # Without wind the nearest source owns a pixel: between the two the middle divides them.
    assert owners(truth, sources, 5.0)[6, 17] == 2


def test_pieces_far_from_every_source_are_nobody_s() -> None:
    truth = np.zeros((10, 300), bool)
    truth[5, 290:] = True
    assert owners(truth, np.array([[5.0, 5.0]]), 5.0).max() == 0


def test_hits_false_alarms_and_merged_plumes() -> None:
    truth = np.zeros((60, 200), bool)
    truth[10:13, 10:30] = truth[10:13, 60:80] = True
    sources = np.array([[11.0, 10.0], [11.0, 60.0], [50.0, 150.0], [50.0, 40.0]])
    owner = owners(truth, sources, 4.0, 90.0)
    near = int(REACH_M / 4.0)
    found = [
        found_plume(slice(10, 13), slice(25, 65)),  # reaches into both
        found_plume(slice(50, 52), slice(150 + near, 155 + near)),  # misses, but within reach of the third
        found_plume(slice(30, 33), slice(100, 110)),  # nothing there
    ]
    matches = match(label_map(found, truth.shape), np.array([0.9, 0.6, 0.8]), owner, sources, 4.0)
    np.testing.assert_array_equal(matches.best, [0.9, 0.9, 0.6, -np.inf])
    np.testing.assert_array_equal(matches.object_of, [1, 1, 2, 0])
    np.testing.assert_array_equal(matches.plumes_of, [2, 1, 0])
    np.testing.assert_array_equal(matches.plume_of, [-1, 2, -1])
    beyond = [found_plume(slice(50, 52), slice(151 + near, 155 + near))]
    assert match(label_map(beyond, truth.shape), np.ones(1), owner, sources, 4.0).plumes_of == [0]


def test_a_stray_pixel_of_a_neighbour_does_not_merge() -> None:
    truth = np.zeros((40, 120), bool)
    truth[10:14, 10:60] = truth[10:14, 61:110] = True
    sources = np.array([[12.0, 10.0], [12.0, 109.0]])
    owner = owners(truth, sources, 4.0)
    labels = label_map([found_plume(slice(10, 14), slice(10, 62))], truth.shape)
    matches = match(labels, np.ones(1), owner, sources, 4.0)
    assert list(matches.plumes_of) == [2] and list(matches.plume_of) == [0]


def test_a_scene_without_plumes_or_without_objects() -> None:
    nothing = np.zeros((20, 20), np.int32)
    some = label_map([found_plume(slice(2, 5), slice(2, 5))], (20, 20))
    lonely = match(some, np.ones(1), nothing, np.zeros((0, 2)), 5.0)
    assert list(lonely.plumes_of) == [0] and len(lonely.best) == 0
    missed = match(nothing, np.zeros(0), nothing, np.array([[3.0, 3.0]]), 5.0)
    assert list(missed.best) == [-np.inf] and list(missed.object_of) == [0]


# ---------------------------------------------------------------------------------------- detection
def test_detection_curve_finds_the_curve_that_made_the_plumes() -> None:
    """P = 1/(1 + exp(-(2 (ln(Q/U) - ln 40)))): half are found at Q = 40 U, nine of ten at 3 times that."""
    rng = np.random.default_rng(1)
    rate_kg_h, wind = np.exp(rng.uniform(np.log(10), np.log(3000), 4000)), rng.uniform(1.5, 7, 4000)
    p = 1 / (1 + np.exp(-2 * (np.log(rate_kg_h / wind) - np.log(40))))
    group = rng.integers(0, 50, 4000)
    curve = fit_detection(
        rate_kg_h, wind, rng.random(4000) < p, group, bootstrap.draws(50, 200, 0, "plume-bootstrap")
    )
    half, each = curve.rate_at(0.5, 3.0)
    assert half == pytest.approx(120, rel=0.08)
    low, high = bootstrap.interval(each)
    assert low < 120 < high and high / low < 1.5
    assert curve.rate_at(0.9, 3.0)[0] == pytest.approx(120 * 3.0, rel=0.12)  # exp(ln 9 / 2) = 3
    value, bands = curve.probability(np.array([120.0, 360.0]), 3.0)
    np.testing.assert_allclose(value, [0.5, 0.9], atol=0.04)
    assert bands.shape == (200, 2)
    # Twice the wind needs twice the rate: only Q / U counts.
    assert curve.rate_at(0.5, 6.0)[0] == pytest.approx(2 * half)


def test_detection_curve_stays_finite_where_all_or_none_are_found() -> None:
    rate_kg_h, wind, group = np.geomspace(20, 2000, 12), np.full(12, 3.0), np.arange(12) % 3
    drawn = bootstrap.draws(3, 60, 0, "plume-bootstrap")
    for found in (np.ones(12, bool), np.zeros(12, bool), rate_kg_h > 200):
        curve = fit_detection(rate_kg_h, wind, found, group, drawn)
        value, each = curve.probability(rate_kg_h, 3.0)
        assert np.isfinite(value).all() and np.isfinite(each).all()
        assert np.mean(value) == pytest.approx(found.mean(), abs=0.12)
        extrapolated, each = curve.rate_at(0.9, 3.0)
        assert np.isnan(extrapolated) or 1 <= extrapolated <= 1e5
        assert np.nanmax(each, initial=1) <= 1e5
    assert fit_detection(rate_kg_h[:3], wind[:3], np.ones(3), group[:3], drawn) is None


# -------------------------------------------------------------------------------------------- rates
def test_shares_by_wind_split_the_plumes_evenly() -> None:
    found = shares_by_wind(np.array([5.0, 1.0, 3.0, 2.0, 6.0, 4.0]), np.array([0, 1, 0, 1, 0, 1], bool))
    assert [(g["wind_low_m_s"], g["wind_high_m_s"]) for g in found] == [(1, 2), (3, 4), (5, 6)]
    assert [g["detected_share"] for g in found] == [1.0, 0.5, 0.0]
    assert shares_by_wind(np.zeros(0), np.zeros(0, bool)) == []


def made_pairs(count: int, spread: float, factor: float = 1.0) -> list[Pair]:
    """Plumes whose mass per metre is off by a lognormal of `spread` and by `factor`."""
    rng = np.random.default_rng(11)
    made = []
    for number in range(count):
        q, u = np.exp(rng.uniform(4, 8)), rng.uniform(2, 7)
        mass = q / (3600 * u) * factor * np.exp(spread * rng.standard_normal())
        made.append(Pair(mass, spread * mass, q, u, number % 8))
    return made


def test_honest_errors_cover_what_they_say_and_a_factor_is_a_bias() -> None:
    drawn = bootstrap.draws(8, 100, 0, "plume-bootstrap")
    report, arrays = judge_rates(made_pairs(400, 0.2), Calibration(), 0.25, drawn, seed=1)
    assert report["coverage_68"] == pytest.approx(0.68, abs=0.04)
    assert report["coverage_95"] == pytest.approx(0.95, abs=0.03)
    assert report["coverage_68_true_wind"] == pytest.approx(0.68, abs=0.06)
    assert abs(report["bias"]) < 0.05 and report["bias_low"] <= report["bias"] <= report["bias_high"]
    np.testing.assert_array_less(arrays["low_68"], arrays["rate_kg_h"])
    double, _ = judge_rates(made_pairs(400, 0.2, factor=2.0), Calibration(), 0.25, drawn, seed=1)
    assert double["bias"] == pytest.approx(1.0, abs=0.1) and double["coverage_68"] < 0.2
    mended, _ = judge_rates(made_pairs(400, 0.2, factor=2.0), Calibration(scale=0.5), 0.25, drawn, seed=1)
    assert abs(mended["bias"]) < 0.05


def test_no_pairs_give_no_numbers() -> None:
    report, arrays = judge_rates(
        [], Calibration(), 0.25, bootstrap.draws(3, 20, 0, "plume-bootstrap"), seed=0
    )
    assert report["plumes"] == 0 and report["bias"] is None and report["coverage_68"] is None
    assert len(arrays["true_kg_h"]) == 0


def test_pairs_tell_why_a_plume_has_no_rate() -> None:
    truth = np.zeros((60, 200), bool)
    sources = np.array([[10.0, 20.0], [10.0, 80.0], [10.0, 90.0], [40.0, 20.0], [40.0, 100.0], [40.0, 180.0]])
    found = [
        found_plume(slice(9, 12), slice(18, 30)), found_plume(slice(9, 12), slice(78, 95)),
        found_plume(slice(39, 42), slice(18, 30)), found_plume(slice(39, 42), slice(98, 110)),
    ]  # fmt: skip
    labels = label_map(found, truth.shape)
    matches = match(labels, np.ones(4), owners(truth, sources, 8.0), sources, 8.0)
    masses = [0.02, 0.05, -0.01, 0.03]
    records = [{"kg_per_m": m, "kg_per_m_error": 0.01} for m in masses]
    rates = np.array([200.0, 300.0, 300.0, 100.0, np.nan, 500.0])
    made, left_out = pairs(records, matches, rates, np.full(6, 3.0), flightline=4)
    assert made == [Pair(0.02, 0.01, 200.0, 3.0, 4)]
    assert left_out == {
        "not_found": 1, "merged_with_another": 2, "rate_not_estimable": 1, "truth_unknown": 1,
    }  # fmt: skip
    assert rate(made[0], 3.0, 0.25, Calibration()).rate_kg_h == pytest.approx(0.02 * 3.0 * 3600)
