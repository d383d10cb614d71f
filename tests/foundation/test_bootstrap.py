"""Resampling whole groups: against closed forms, and that its random numbers stay what they were."""

from __future__ import annotations

import numpy as np
import pytest

from earthsignals import bootstrap
from earthsignals.bootstrap import Groups, auc, named, roc


# --------------------------------------------------------------------------------------- resamples
@pytest.mark.parametrize(
    ("stream", "first"),
    [("plume-bootstrap", [4, 0, 0, 0, 1]), ("seismic-bootstrap", [2, 2, 0, 1, 0])],
)
def test_resamples_belong_to_their_stream(stream: str, first: list[int]) -> None:
    """Published intervals hang on these numbers."""
    drawn = bootstrap.draws(5, 50, 0, stream)
    assert drawn[0].tolist() == first
    np.testing.assert_array_equal(drawn.sum(axis=1), 5)
    np.testing.assert_array_equal(drawn, bootstrap.draws(5, 50, 0, stream))
    names = np.array(list("eadcbea"))
    np.testing.assert_array_equal(Groups.of(names, 50, 0, stream).weights, drawn)


def test_no_items_have_no_interval() -> None:
    nothing = Groups.of(np.array([], str), 20, 0, "test")
    assert np.isnan(nothing.mean(np.zeros(0))).all()
    assert bootstrap.interval(np.full((20, 2, 3), np.nan)).shape == (2, 2, 3)


def test_auc_sums_pairs_and_halves_ties() -> None:
    generator = np.random.default_rng(0)
    score, label = generator.integers(0, 6, 60).astype(float), generator.random(60) < 0.4
    pairs = score[label][:, None] - score[~label]
    expected = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    assert float(auc(score, label)) == pytest.approx(expected)
    assert float(auc(-score, label)) == pytest.approx(1 - expected)
    # Weights are repetitions.
    times = generator.integers(0, 4, 60)
    repeated = np.repeat(score, times), np.repeat(label, times)
    weighted = auc(score, label, np.stack([times, np.ones(60)]))
    assert weighted == pytest.approx([float(auc(*repeated)), expected])
    # The area under the curve is what its name says (ties make the curve piecewise linear).
    false, true = roc(score, label, 4001)
    assert np.trapezoid(true, false) == pytest.approx(expected, abs=1e-3)
    assert np.isnan(auc(score, np.ones(60, bool)))


def test_intervals_come_from_stations_not_records() -> None:
    """Records of a station are alike: the interval is that of a mean of stations, far wider than naive."""
    generator = np.random.default_rng(1)
    offsets = generator.standard_normal(40)
    names = np.repeat([f"XX.S{n:02d}" for n in range(40)], 50)
    values = np.repeat(offsets, 50) + 0.01 * generator.standard_normal(2000)
    value, low, high = Groups.of(names, 2000, seed=1, stream="test").mean(values)
    assert value == pytest.approx(values.mean())
    expected = 2 * 1.96 * offsets.std() / np.sqrt(40)
    assert high - low == pytest.approx(expected, rel=0.1)
    assert high - low > 5 * (2 * 1.96 * values.std() / np.sqrt(2000))


def test_means_leave_out_what_is_unknown() -> None:
    stations = Groups.of(np.array(["a", "a", "b", "b"]), 100, seed=0, stream="test")
    values = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan], [5.0, np.nan]])
    means = stations.mean(values)
    assert means.shape == (2, 3)
    assert means[0, 0] == pytest.approx(3.0)
    assert np.isnan(means[1]).all()
    assert named("x", means[1]) == {"x": None, "x_low": None, "x_high": None}
    assert stations.mean(np.array([7.0] * 4)).tolist() == [7.0, 7.0, 7.0]


def test_paired_differences_know_that_records_are_the_same() -> None:
    generator = np.random.default_rng(2)
    names = np.repeat([f"S{n}" for n in range(30)], 10)
    hard = np.repeat(generator.random(30), 10)
    stations = Groups.of(names, 500, seed=3, stream="test")
    one, other = stations.mean(hard), stations.mean(hard + 0.001)
    difference = stations.mean(hard - (hard + 0.001))
    assert one[2] > other[1]  # the intervals overlap
    assert difference[2] < 0  # and yet the one is better, always
    # Other records of the same stations meet the same resamples.
    again = stations.elsewhere(names[::10])
    assert again.resampled_mean(hard[::10])[1] == pytest.approx(stations.resampled_mean(hard)[1])


# ----------------------------------------------------------------------------------- of sums
def test_resampled_groups_have_the_spread_of_a_mean() -> None:
    """The mean of S independent groups scatters by sigma / sqrt(S)."""
    rng = np.random.default_rng(5)
    values = rng.standard_normal(400)
    sums = np.stack([values, np.ones(400)], axis=1)
    found = bootstrap.of_sums(
        "mean", lambda c: c[..., 0] / c[..., 1], sums, bootstrap.draws(400, 4000, 1, "test")
    )
    assert found["mean"] == pytest.approx(values.mean())
    half = 0.5 * (found["mean_high"] - found["mean_low"])
    assert half == pytest.approx(1.96 * values.std() / 20, rel=0.06)


def test_identical_groups_leave_no_doubt_and_unknown_ones_no_number() -> None:
    drawn = bootstrap.draws(5, 50, 0, "test")

    def share(sums: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return sums[..., 0] / sums.sum(axis=-1)

    same = bootstrap.of_sums("share", share, np.tile([6.0, 2.0], (5, 1)), drawn)
    assert set(same) == {"share", "share_low", "share_high"} and set(same.values()) == {0.75}
    nothing = bootstrap.of_sums("share", share, np.zeros((5, 2)), drawn)
    assert set(nothing.values()) == {None}
