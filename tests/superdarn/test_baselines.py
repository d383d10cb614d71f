"""Baselines against what regression, averaging and geometry say they must be."""

from __future__ import annotations

import numpy as np
import pytest

from earthsignals.superdarn import baselines
from earthsignals.superdarn.baselines import RIDGE, Climatology, bands, through_zero
from earthsignals.superdarn.grid import GridFile, grid_of
from earthsignals.superdarn.judging.pairing import Series
from earthsignals.superdarn.records.vectors import Vectors
from tests.superdarn.judging_stand_ins import GRID, MIDNIGHT_S, a_grid, seen, steady, thirds, waves

LEADS = (2, 10)


def decaying(rate: float):
    """Every vector loses the same share of its speed from frame to frame."""

    def flow(frame: np.ndarray, mlat: np.ndarray, mlon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        speed = (100.0 + mlat) * rate**frame
        return speed, 0.3 * speed

    return flow


def predictions(grid: GridFile, vector: np.ndarray, lead: int = 0) -> dict[str, np.ndarray]:
    series = Series.of(grid)
    fitted = baselines.fit(series, LEADS)
    return fitted.predict(series, vector, np.full(len(vector), lead, np.int16))


# ---------------------------------------------------------------------------------------------- persistence
def test_persistence_is_the_last_velocity_of_the_same_radar_channel_and_cell() -> None:
    """By a search through all vectors one by one, and as the grid itself pairs them."""
    grid = a_grid(waves, frames=30)
    series, vector = Series.of(grid), np.arange(len(grid.velocity))
    then = series.earlier(vector, 5)
    columns = (grid.frame, grid.stid, grid.channel, grid.index)
    key = list(zip(*(column.tolist() for column in columns), strict=True))
    place = {one: number for number, one in enumerate(key)}
    expected = [place.get((frame - 5, *rest), -1) for frame, *rest in key]
    assert then.tolist() == expected
    for t in (0, 7, 24):
        later, issue = grid.persistence_pairs(t, 5)
        assert then[later].tolist() == issue.tolist()


@pytest.mark.parametrize(
    ("turn", "factor"), [(0.0, 1.0), (180.0, -1.0), (90.0, 0.0), (60.0, 0.5), (-240.0, -0.5)]
)
def test_the_sign_of_persistence_is_in_the_azimuth(turn: float, factor: float) -> None:
    """v·cos(Δk): a flow that has turned around is minus what it was, though both speeds are positive."""
    both = seen(steady, np.arange(2), radars=1, cells=1, kvect=np.array([10.0, 10.0]))
    kvect = both.kvect.copy()
    kvect[1] = kvect[0] + turn
    both = Vectors(**{**vars(both), "kvect": kvect})
    grid = grid_of(both, GRID)
    series = Series.of(grid)
    persisted = series.persisted(np.array([1]), series.earlier(np.array([1]), 1))
    assert persisted == pytest.approx([factor * both.velocity[0]], abs=1e-3)


def test_another_radar_or_channel_in_the_same_cell_is_no_persistence() -> None:
    """Two radars may see one cell along two lines; each continues itself alone."""
    one = seen(steady, np.arange(1), radars=1, cells=3)
    for changed in ("stid", "channel"):
        later = {**vars(seen(steady, np.arange(1, 2), radars=1, cells=3))}
        later[changed] = later[changed] + 1
        grid = grid_of(Vectors.concatenate([one, Vectors(**later)]), GRID)
        assert (Series.of(grid).earlier(np.arange(6), 1) == -1).all()


def test_nothing_persists_across_a_gap_that_ends_a_segment() -> None:
    """Days without records are left out of the frames: neighbours there are no neighbours in time."""
    days_later = MIDNIGHT_S + 3 * 86_400
    parts = [seen(steady, np.arange(715, 720)), seen(steady, np.arange(5), start_s=days_later)]
    grid = grid_of(Vectors.concatenate(parts), GRID)
    assert len(np.unique(grid.segment)) == 2
    then = Series.of(grid).earlier(np.arange(len(grid.velocity)), 1)
    after = grid.times_s[grid.frame] >= days_later
    first = grid.frame == grid.frame[after].min()
    assert (then[first] == -1).all()
    assert (then[after & ~first] >= 0).all()


def test_a_gap_of_hours_within_a_day_is_frames_without_vectors() -> None:
    parts = [seen(steady, np.arange(10)), seen(steady, np.arange(130, 140))]
    grid = grid_of(Vectors.concatenate(parts), GRID)
    series, vector = Series.of(grid), np.arange(len(grid.velocity))
    assert (series.earlier(vector, 1)[grid.frame == 130] == -1).all()
    assert (series.earlier(vector, 125)[grid.frame == 130] >= 0).all()  # frame 5


# -------------------------------------------------------------------------------------- damped persistence
@pytest.mark.parametrize("rate", [0.9, 0.99])
def test_the_damping_of_a_decaying_flow_is_its_decay(rate: float) -> None:
    """v(t + n) = rateⁿ v(t) for every vector, so that the regression's slope is rateⁿ and its error zero."""
    grid = a_grid(decaying(rate), frames=60)
    fitted = baselines.fit(Series.of(grid), LEADS)
    assert fitted.damping == pytest.approx([rate, rate**5], rel=1e-5)
    vector = np.flatnonzero(grid.frame > 40)
    found = predictions(grid, vector, 1)
    assert found["damped"] == pytest.approx(grid.velocity[vector], rel=1e-4)
    assert found["persistence"] == pytest.approx(grid.velocity[vector] / rate**5, rel=1e-4)


def test_the_damping_of_noise_is_small_and_that_of_a_steady_flow_one() -> None:
    generator = np.random.default_rng(0)

    def noise(frame: np.ndarray, mlat: np.ndarray, mlon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return tuple(200.0 * generator.standard_normal((2, len(frame))))

    # Standard error of the slope of n = 119 · 48 independent pairs: 1/√n = 0.013.
    assert abs(baselines.fit(Series.of(a_grid(noise)), LEADS).damping).max() < 0.05
    assert baselines.fit(Series.of(a_grid(steady)), LEADS).damping == pytest.approx([1.0, 1.0])


def test_damped_persistence_minimises_the_error_on_what_it_was_fitted_to() -> None:
    grid = a_grid(waves)
    series = Series.of(grid)
    fitted = baselines.fit(series, LEADS)
    vector = np.flatnonzero(grid.split[grid.frame] == 0)
    then = series.earlier(vector, 5)
    vector, x = vector[then >= 0], series.persisted(vector, then)[then >= 0]
    y = grid.velocity[vector].astype(np.float64)
    error = [np.mean((y - factor * fitted.damping[1] * x) ** 2) for factor in (0.99, 1.0, 1.01)]
    assert error[1] < min(error[0], error[2])


def test_only_frames_of_the_training_split_are_learnt_from() -> None:
    """Whatever happens in validation and test, and in pairs that end there, changes nothing."""
    vectors = seen(waves, np.arange(240))
    split = thirds(MIDNIGHT_S + 120 * np.arange(240))
    later = split[((vectors.start_s - MIDNIGHT_S) / 120).astype(int)] > 0
    changed = Vectors(**{**vars(vectors), "velocity": np.where(later, 3000.0, vectors.velocity)})
    one, two = (
        baselines.fit(Series.of(grid_of(part, GRID, thirds)), LEADS) for part in (vectors, changed)
    )
    assert one.damping.tolist() == two.damping.tolist()
    assert one.anomaly_damping.tolist() == two.anomaly_damping.tolist()
    assert np.array_equal(one.climatology.drift, two.climatology.drift)
    both = baselines.fit(Series.of(grid_of(changed, GRID, thirds)), LEADS, (0, 1))
    assert both.damping.tolist() != one.damping.tolist()


def test_without_any_pair_nothing_is_known_to_persist() -> None:
    grid = a_grid(waves, frames=4)  # the longer lead is five frames
    assert baselines.fit(Series.of(grid), LEADS).damping[1] == 0.0
    assert through_zero(np.zeros(3), np.ones(3)) == 0.0
    assert through_zero(np.array([1.0, 2.0]), np.array([2.0, 4.0])) == 2.0


# ----------------------------------------------------------------------------------------------- climatology
def test_the_climatology_finds_the_drift_vector_from_its_components() -> None:
    """n lines of sight over all azimuths: n/2 each way against RIDGE/2, so n/(n + RIDGE) of the drift."""
    count, drift = 3600, np.array([150.0, -320.0])
    kvect = np.arange(count) * 0.1
    velocity = drift @ np.stack([np.cos(np.deg2rad(kvect)), np.sin(np.deg2rad(kvect))])
    found = Climatology.fit(np.full(count, 71.3), np.full(count, 5.5), kvect, velocity, 60.0)
    cell = int(found.cell(np.array([71.3]), np.array([5.5]))[0])
    assert found.drift.reshape(2, -1)[:, cell] == pytest.approx(drift * count / (count + RIDGE), rel=1e-9)
    assert np.count_nonzero(found.drift) == 2  # elsewhere nobody looked: no drift
    # Velocities measured along turned-around azimuths are the same measurements.
    turned = Climatology.fit(np.full(count, 71.3), np.full(count, 5.5), kvect + 180, -velocity, 60.0)
    assert turned.drift == pytest.approx(found.drift)


def test_one_line_of_sight_tells_nothing_of_the_other_component() -> None:
    """All along north: (n + RIDGE/2) u = n v, and no east."""
    found = Climatology.fit(np.full(30, 66.0), np.full(30, 12.0), np.zeros(30), np.full(30, 400.0), 60.0)
    north, east = found.drift.reshape(2, -1)[:, found.cell(np.array([66.0]), np.array([12.0]))[0]]
    assert north == pytest.approx(400 * 30 / (30 + RIDGE / 2))
    assert east == pytest.approx(0.0, abs=1e-9)
    along = found.along(np.array([66.0, 66.0]), np.array([12.0, 12.0]), np.array([60.0, 180.0]))
    assert along == pytest.approx([north / 2, -north])


def test_bands_reach_from_the_lowest_latitude_to_the_pole_in_both_hemispheres() -> None:
    for lowest in (50.0, 51.5, 60.0):
        edges = bands(lowest)
        assert edges[0] <= lowest and edges[-1] == 90.0
        assert (np.diff(edges) > 0).all() and (np.diff(edges) <= 3.0).all()
    empty = Climatology.fit(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0), 60.0)
    assert not empty.drift.any()
    places = np.array([60.0, 89.9, 90.0, -75.0, 75.0]), np.array([0.0, 23.99, 24.0, 6.0, 6.0])
    cell = empty.cell(*places)
    assert cell[0] == 0 and cell[3] == cell[4]
    assert cell[1] == 15 * 24 - 1 and cell[2] == 14 * 24  # the hour 24 is the hour 0
    assert (cell < empty.drift[0].size).all()


def test_the_anomaly_of_a_flow_that_is_its_climatology_is_nothing() -> None:
    """Steady everywhere: climatology, damped anomaly and persistence agree but for the ridge."""
    grid = a_grid(steady, frames=480)
    vector = np.flatnonzero((grid.frame >= 60) & (grid.frame < 240))  # local times that were learnt
    found = predictions(grid, vector)
    truth = grid.velocity[vector]
    error = {name: np.sqrt(np.mean((found[name] - truth) ** 2)) for name in found}
    assert error["persistence"] == pytest.approx(0.0, abs=1e-3)
    # A cell of one hour and four radars holds 120 vectors and a ridge of 20: a seventh is missing.
    assert error["climatology"] < 0.25 * error["zero"]
    assert error["damped_anomaly"] < 0.5 * error["climatology"]


def test_climatology_follows_local_time_and_not_longitude() -> None:
    """A flow fixed in local time, seen from longitudes that turn below it: learnt in the morning by one
    radar, it is what another sees in the same local time hours later."""
    from earthsignals.superdarn.mlt import mlt, mlt_of_zero

    def dawn(frame: np.ndarray, mlat: np.ndarray, mlon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        hours = mlt(mlon, mlt_of_zero(MIDNIGHT_S + 120.0 * frame + 60))
        east = np.where(hours < 12, 500.0, -500.0)
        return np.zeros(len(frame)), east

    vectors = seen(dawn, np.arange(0, 720, 3), radars=3, cells=24)
    fitted = baselines.fit(Series.of(grid_of(vectors, GRID)), LEADS)
    east = fitted.climatology.drift[1]
    known = east != 0
    assert known.any(0).all()
    assert (east[:, :12][known[:, :12]] > 100).all()
    assert (east[:, 12:][known[:, 12:]] < -100).all()


# -------------------------------------------------------------------------------------------------- all
def test_predictions_are_nan_exactly_where_the_cell_was_not_seen_at_issue() -> None:
    grid = a_grid(waves, frames=60)
    vector = np.flatnonzero(grid.frame < 8)
    found = predictions(grid, vector, 1)
    early = grid.frame[vector] < 5
    for name in ("persistence", "damped", "damped_anomaly"):
        assert np.isnan(found[name]).tolist() == early.tolist()
    assert np.isfinite(found["climatology"]).all()
    assert not found["zero"].any()


def test_the_south_is_judged_by_the_same_rules() -> None:
    """The mirror image, latitude for latitude: equal dampings."""
    north = baselines.fit(Series.of(a_grid(waves)), LEADS)
    params = GRID.model_copy(update={"hemisphere": "south"})
    grid = grid_of(seen(waves, np.arange(240), south=True), params, thirds)
    assert len(grid.velocity) == 240 * 48
    south = baselines.fit(Series.of(grid), LEADS)
    assert south.damping == pytest.approx(north.damping, rel=1e-12)
    assert south.climatology.drift == pytest.approx(north.climatology.drift)
