"""Scores against what they are by definition, and pairs against a search one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from earthsignals.storage import EarthSignalsError, write_json
from earthsignals.superdarn import baselines
from earthsignals.superdarn.cells import cell_centre, cells_above
from earthsignals.superdarn.grid import GridFile, grid_of
from earthsignals.superdarn.judging.breakdown import FEWEST, binned
from earthsignals.superdarn.judging.pairing import Series
from earthsignals.superdarn.judging.pairs import (
    QUIET,
    STORM,
    UNKNOWN,
    Table,
    collect,
    pooled,
    storm_threshold,
)
from earthsignals.superdarn.judging.pictured import Examples, coverage, examples_of, radars
from earthsignals.superdarn.judging.report import report
from earthsignals.superdarn.judging.skill import Blocks, Sums, with_fallback
from earthsignals.superdarn.judging.truth import Truth, frame_of
from earthsignals.superdarn.mlt import mlt
from earthsignals.superdarn.params import EvaluateParams
from earthsignals.superdarn.records.vectors import Vectors
from tests.superdarn.judging_stand_ins import GRID, MIDNIGHT_S, Oracle, a_grid, seen, steady, waves

LEADS = (2, 10, 20)
EVALUATE = EvaluateParams(leads_minutes=LEADS, bootstrap=50, block_hours=1.0)


def a_table(
    grid: GridFile, oracle: Oracle, storm_above: float = 200.0, issues: np.ndarray | None = None
) -> Table:
    series = Series.of(grid)
    issues = grid.issues("test", 1, 10, 3) if issues is None else issues
    return collect(
        grid, issues, baselines.fit(series, LEADS), series,
        {
            "model": lambda t: oracle.forecast(grid, t),
            "start": lambda t: oracle.forecast(grid, t, network=False),
        },
        block_hours=1.0, storm_above=storm_above,
    )  # fmt: skip


def made(observed: np.ndarray, predictions: dict[str, np.ndarray], **columns: np.ndarray) -> Table:
    """A table of one lead from observations and predictions (n,); groups of ten rows."""
    count, zero = len(observed), np.zeros(len(observed), np.int16)
    own = {
        "issue": zero, "lead": zero, "vector": zero, "kvect": zero, "row": zero, "column": zero,
        "mlat": zero + 70.0, "mlt": zero + 3.0, "group": np.arange(count) // 10, "storm": zero,
        "paired": zero == 0,
    } | columns  # fmt: skip
    return Table(leads_minutes=(10,), observed=observed, predictions=predictions, **own)


@pytest.fixture(scope="module")
def grid() -> GridFile:
    return a_grid(waves)


@pytest.fixture(scope="module")
def table(grid: GridFile) -> Table:
    return a_table(grid, Oracle(waves))


# --------------------------------------------------------------------------------------------------- pairs
def test_every_vector_at_every_lead_is_a_row_once_in_order(grid: GridFile, table: Table) -> None:
    expected = [
        (t, number, vector)
        for t in grid.issues("test", 1, 10, 3).tolist()
        for number, lead in enumerate(LEADS)
        for vector in range(*(int(o) for o in grid.offsets[t + lead // 2 : t + lead // 2 + 2]))
    ]
    rows = list(zip(table.issue.tolist(), table.lead.tolist(), table.vector.tolist(), strict=True))
    assert rows == expected
    assert table.observed.tolist() == grid.velocity[table.vector].tolist()


def test_series_are_told_apart_by_radar_channel_and_cell() -> None:
    """Numbers that differ in one of the three are other series, whatever their size; pairs say the same."""
    base = seen(steady, np.arange(6), radars=2, cells=3)
    channels = [replace(base, channel=base.channel + number) for number in (0, 1, 256)]
    grid = grid_of(Vectors.concatenate(channels), GRID)
    series = Series.of(grid)
    assert series.count == 2 * 3 * 3
    for t in range(4):
        later, before = grid.persistence_pairs(t, 2)
        assert series.earlier(later, 2).tolist() == before.tolist()
        assert sorted(later.tolist()) == list(range(*grid.span(t + 2).indices(len(grid.velocity))))


def test_targets_stay_in_the_test_split(grid: GridFile, table: Table) -> None:
    assert (grid.split[grid.frame[table.vector]] == 2).all()
    assert (grid.split[table.issue] == 2).all()


def test_a_forecast_is_projected_on_each_vectors_own_line_of_sight(grid: GridFile) -> None:
    """A forecast that numbers its cells, frames and components: each row must have met its own."""
    rows, columns = grid.layout.shape
    numbered = np.arange(10 * 2 * rows * columns, dtype=np.float64).reshape(10, 2, rows, columns)
    series = Series.of(grid)
    found = collect(
        grid, np.array([200, 203]), baselines.fit(series, LEADS), series, {"model": lambda t: numbered + t},
        block_hours=1.0, storm_above=0.0,
    )  # fmt: skip
    for row in range(0, len(found), 37):
        vector, ahead = found.vector[row], LEADS[found.lead[row]] // 2
        north, east = (
            numbered[ahead - 1, part, grid.row[vector], grid.column[vector]] + found.issue[row]
            for part in (0, 1)
        )
        azimuth = np.deg2rad(float(grid.kvect[vector]))
        expected = north * np.cos(azimuth) + east * np.sin(azimuth)
        assert found.predictions["model"][row] == pytest.approx(expected, rel=1e-5, abs=1e-3)


def test_what_is_carried_on_is_added_to_each_vector_along_its_line_of_sight(grid: GridFile) -> None:
    """Carried: each vector's own number. The field stays without it, the start gets it too."""
    series, issues = Series.of(grid), np.array([200, 203])
    still = np.zeros((10, 2, *grid.layout.shape))
    found = collect(
        grid, issues, baselines.fit(series, LEADS), series,
        {"model": lambda t: still + 1.0, "start": lambda t: still}, block_hours=1.0, storm_above=0.0,
        carried=lambda t: np.arange(grid.offsets[t + 1], grid.offsets[t + 11], dtype=np.float64),
    )  # fmt: skip
    field, model = (found.predictions[name].astype(float) for name in ("field", "model"))
    assert model - field == pytest.approx(found.vector, rel=1e-5)
    assert found.predictions["start"] == pytest.approx(found.vector)
    azimuth = np.deg2rad(found.kvect.astype(float))
    assert field == pytest.approx(np.cos(azimuth) + np.sin(azimuth), abs=1e-5)


def test_what_knows_the_flow_of_each_cell_is_right_everywhere() -> None:
    grid = a_grid(steady)
    metrics, _ = report(a_table(grid, Oracle(steady)), EVALUATE, GRID)
    for lead in ("2", "10", "20"):
        assert metrics["rmse_m_s"]["model"][lead] == pytest.approx(0.0, abs=1e-3)
        assert metrics["skill_vs_zero"][lead] == pytest.approx(1.0)
        assert metrics["skill_vs_start"][lead] == pytest.approx(1.0)
        # Half of the drift leaves half of every velocity: skill over zero 1 − 1/4.
        half, zero = metrics["rmse_m_s"]["start"][lead], metrics["rmse_m_s"]["zero"][lead]
        assert 1 - (half / zero) ** 2 == pytest.approx(0.75, abs=1e-5)
        assert metrics["acc"]["model"][lead] == pytest.approx(1.0, abs=1e-6)


def test_storm_quiet_and_blocks_follow_the_time_of_issue(grid: GridFile) -> None:
    activity = grid.activity.copy()
    issues = grid.issues("test", 1, 10, 3)
    activity[issues[0]], activity[issues[1]], activity[issues[2]] = 100.0, 300.0, np.nan
    found = a_table(replace(grid, activity=activity), Oracle(waves), storm_above=250.0, issues=issues[:3])
    storm = [set(found.storm[found.issue == t].tolist()) for t in issues[:3]]
    assert storm == [{QUIET}, {STORM}, {UNKNOWN}]
    assert set(found.group) == {int(grid.times_s[issues[0]]) // 3600}
    metrics, _ = report(found, EVALUATE, GRID)
    assert (metrics["quiet"]["issues"], metrics["storm"]["issues"], metrics["issues"]) == (1, 1, 3)
    both = metrics["quiet"]["vectors"]["10"] + metrics["storm"]["vectors"]["10"]
    assert both == pytest.approx(metrics["vectors"]["10"] * 2 / 3)


def test_the_threshold_of_storms_is_a_quantile_of_training_frames(grid: GridFile) -> None:
    activity = np.where(grid.split == 0, np.arange(len(grid.times_s)), 1e6).astype(np.float32)
    activity[0] = np.nan
    training = replace(grid, activity=activity)
    last = int(np.flatnonzero(grid.split == 0)[-1])
    assert storm_threshold(training, 0.5) == pytest.approx((1 + last) / 2)
    nothing = replace(grid, activity=np.full_like(activity, np.nan))
    assert storm_threshold(nothing, 0.5) == np.inf


@pytest.mark.parametrize(
    ("forecast", "message"),
    [
        (np.full((10, 2, 15, 24), np.nan), "is not finite where radars saw"),
        (np.zeros((4, 2, 15, 24)), r"has shape \(4, 2, 15, 24\), expected at least 10 frames"),
        (np.zeros((10, 2, 15, 25)), "trained on another grid"),
    ],
)
def test_a_forecast_that_is_none_is_refused_in_a_sentence(
    grid: GridFile, forecast: np.ndarray, message: str
) -> None:
    series = Series.of(grid)
    with pytest.raises(EarthSignalsError, match=message):
        collect(
            grid, np.array([200]), baselines.fit(series, LEADS), series, {"model": lambda t: forecast},
            block_hours=1.0, storm_above=0.0,
        )  # fmt: skip


def test_times_of_issue_without_anything_to_see_are_refused_in_a_sentence(grid: GridFile) -> None:
    with pytest.raises(EarthSignalsError, match="nothing to judge"):
        a_table(grid, Oracle(waves), issues=np.zeros(0, np.int64))


def test_one_radar_and_a_gap_of_hours_are_judged_on_what_there_is() -> None:
    """One radar that falls silent for two hours: no pairs inside the gap, all others as ever."""
    frames = np.r_[0:200, 260:480]
    grid = grid_of(seen(waves, frames, radars=1), GRID, lambda t: np.where(np.arange(len(t)) < 150, 0, 2))
    found = a_table(grid, Oracle(waves))
    targets = grid.frame[found.vector]
    assert not ((targets >= 200) & (targets < 260)).any()
    # What is forecast from inside the gap to behind it has no persistence; everything else has.
    silent = (found.issue >= 200) & (found.issue < 260)
    assert silent.any()
    assert found.paired.tolist() == (~silent).tolist()
    metrics, _ = report(found, EVALUATE, GRID)
    first = metrics["vectors_seen_for_the_first_time"]
    assert sum(first.values()) == silent.sum()
    assert first["20"] + metrics["vectors"]["20"] == metrics["all_vectors"]["vectors"]["20"]


# ------------------------------------------------------------------------------------------------ statistics
def test_rmse_and_skill_are_what_they_are_defined_as() -> None:
    """Errors of 3 and 4 m/s in equal numbers: RMSE √12.5; against 10 m/s, skill 1 − 12.5/100."""
    observed = np.full(40, 50.0)
    error = np.tile([3.0, -4.0], 20)
    predictions = {
        "model": observed + error, "damped": observed + 10.0, "persistence": observed - 20.0,
        "climatology": np.zeros(40),
    }  # fmt: skip
    one = made(observed, predictions)
    sums = Sums.of(one, Blocks.of(one, 30, 0), one.paired, one.predictions)
    assert sums.vectors.tolist() == [40.0]
    # Every block has the same errors: whichever are drawn, the interval is the value.
    assert sums.rmse("model") == pytest.approx(np.full((1, 3), np.sqrt(12.5)))
    assert sums.skill("model", "damped") == pytest.approx(np.full((1, 3), 0.875))
    assert sums.skill("model", "persistence") == pytest.approx(np.full((1, 3), 1 - 12.5 / 400))
    assert sums.skill("damped", "damped") == pytest.approx(np.zeros((1, 3)))
    assert sums.anomaly_correlation("damped") == pytest.approx(np.ones((1, 3)))


def test_differences_between_methods_are_paired() -> None:
    """Blocks differ a hundredfold in error, but the model's is always half: no resample can tell else."""
    size = np.repeat(np.arange(1.0, 5.0), 10)
    one = made(np.zeros(40), {"model": 5 * size, "damped": 10 * size, "climatology": np.zeros(40)})
    sums = Sums.of(one, Blocks.of(one, 200, 1), one.paired, one.predictions)
    assert sums.skill("model", "damped") == pytest.approx(np.full((1, 3), 0.75))
    value, low, high = sums.rmse("model")[0]
    assert low < 0.8 * value and high > 1.1 * value


def test_the_interval_of_a_mean_over_blocks_has_the_width_that_theory_gives() -> None:
    """MSE of G blocks with variance s² between them: standard error s/√G."""
    generator = np.random.default_rng(3)
    level = generator.gamma(4.0, 25.0, 400)
    one = made(np.zeros(4000), {"model": np.sqrt(np.repeat(level, 10)), "climatology": np.zeros(4000)})
    sums = Sums.of(one, Blocks.of(one, 2000, 2), one.paired, one.predictions)
    _, low, high = sums.rmse("model")[0] ** 2
    assert high - low == pytest.approx(2 * 1.96 * level.std() / np.sqrt(400), rel=0.1)


def test_scores_do_not_depend_on_which_way_an_azimuth_is_written() -> None:
    """k and v, or k + 180° and −v, are one observation: RMSE, skill and ACC are the same."""
    generator = np.random.default_rng(4)
    truth, mean = generator.normal(0, 300, (2, 200))
    predictions = {"model": truth + generator.normal(0, 100, 200), "climatology": mean}
    turn = generator.choice([-1.0, 1.0], 200)
    scores = []
    places = []
    for sign in (np.ones(200), turn, np.sign(truth)):
        one = made(sign * truth, {name: sign * values for name, values in predictions.items()})
        sums = Sums.of(one, Blocks.of(one, 20, 5), one.paired, one.predictions)
        scores.append([sums.rmse("model"), sums.anomaly_correlation("model")])
        places.append(binned(one, one.paired, ("model",), 60.0).anomaly_correlation("model", (2,))[0, 5])
    assert np.allclose(scores[0], scores[1]) and np.allclose(scores[0], scores[2])
    # All of them stand in one band, whose correlation is then that of all.
    assert places == pytest.approx([scores[0][1][0, 0]] * 3)


def test_vectors_seen_for_the_first_time_fall_back_on_the_climatology() -> None:
    unknown = np.array([np.nan, 2.0])
    one = made(np.ones(2), {"damped": unknown, "persistence": unknown, "climatology": np.array([5.0, 6.0])})
    found = with_fallback(one)
    assert found["damped"].tolist() == [5.0, 2.0]
    assert "persistence" not in found


def test_a_lead_without_vectors_is_null_and_the_report_is_json(table: Table, tmp_path: Path) -> None:
    chosen = table.lead != 1
    part = replace(
        table, **{
            name: getattr(table, name)[chosen] for name in vars(table)
            if isinstance(getattr(table, name), np.ndarray)
        },
        predictions={name: values[chosen] for name, values in table.predictions.items()},
    )  # fmt: skip
    metrics, arrays = report(part, EVALUATE, GRID)
    assert metrics["rmse_m_s"]["model"]["10"] is None
    assert metrics["skill_vs_damped_low"]["10"] is None
    assert metrics["vectors"]["10"] == 0
    assert metrics["rmse_m_s"]["model"]["2"] > 0
    write_json(tmp_path / "metrics.json", metrics)
    assert np.isnan(arrays["skill_damped"][1])


def test_pooled_days_are_the_sum_of_their_vectors(table: Table) -> None:
    """Twice the same day is the same RMSE; a day and an empty half of it keep their rows."""
    other = replace(table, group=table.group + 24)
    metrics, _ = report(pooled([table, other]), EVALUATE, GRID)
    alone, _ = report(table, EVALUATE, GRID)
    assert metrics["rmse_m_s"] == alone["rmse_m_s"]
    assert metrics["blocks"] == 2 * alone["blocks"]
    assert metrics["vectors"]["10"] == 2 * alone["vectors"]["10"]
    assert pooled([table]) is table


# -------------------------------------------------------------------------------------------- where and when
def test_cells_of_latitude_and_local_time_hold_all_errors_once(table: Table) -> None:
    bins = binned(table, table.paired, ("model", "damped"), 60.0)
    assert bins.count.sum((1, 2)).tolist() == np.bincount(table.lead[table.paired]).tolist()
    error = (table.predictions["model"].astype(float) - table.observed)[table.paired] ** 2
    assert bins.error["model"].sum() == pytest.approx(error.sum())
    one = 17
    band = np.searchsorted(bins.mlat_edges, table.mlat[one], side="right") - 1
    inside = (
        table.paired & (table.lead == table.lead[one])
        & (table.mlat >= bins.mlat_edges[band]) & (table.mlat < bins.mlat_edges[band + 1])
        & (np.floor(table.mlt) == np.floor(table.mlt[one]))
    )  # fmt: skip
    assert bins.count[table.lead[one], band, int(table.mlt[one])] == inside.sum()


def test_cells_of_a_handful_of_vectors_tell_nothing() -> None:
    count = 2 * FEWEST - 1
    place = np.where(np.arange(count) < FEWEST, 71.0, 75.0)
    predictions = {
        "model": np.ones(count), "damped": np.full(count, 2.0), "climatology": np.full(count, -1.0),
    }  # fmt: skip
    one = made(np.zeros(count), predictions, mlat=place)
    bins = binned(one, one.paired, ("model", "damped"), 60.0)
    # Errors of 1 against 2; and anomalies of 2 where 1 was seen, always the same way.
    for values, expected in (
        (bins.skill("model", "damped", (2,)), 0.75), (bins.anomaly_correlation("model", (2,)), 1.0),
    ):  # fmt: skip
        assert values[0, 5] == expected
        assert np.isnan(np.delete(values[0], 5)).all()


def scattered(count: int = 6000, seed: int = 6) -> Table:
    """Vectors anywhere and anywhen: three leads, quiet and storm, a fifth not seen at the time of issue."""
    generator = np.random.default_rng(seed)
    truth, mean = generator.normal(0, 300, count), generator.normal(0, 150, count)
    noise = generator.normal(0, 1, (2, count))
    paired = generator.random(count) < 0.8
    damped = np.where(paired, truth + 250 * noise[1], np.nan)
    predictions = {
        "model": truth + 200 * noise[0], "damped": damped, "persistence": damped, "climatology": mean,
    }  # fmt: skip
    one = made(
        truth, predictions, mlat=generator.uniform(60, 90, count), mlt=generator.uniform(0, 24, count),
        group=generator.integers(0, 30, count), storm=generator.choice([QUIET, STORM, UNKNOWN], count),
        paired=paired, lead=generator.integers(0, 3, count),
    )  # fmt: skip
    return replace(one, leads_minutes=LEADS)


def correlations(metrics: dict) -> dict[str, float | None]:
    """Every anomaly correlation of the model in the metrics, by where it stands."""
    found = {}
    for end in ("", "_low", "_high"):
        found |= {f"acc{end}/{lead}": value for lead, value in metrics[f"acc{end}"]["model"].items()}
        for part in ("quiet", "storm", "all_vectors"):
            found |= {f"{part}{end}/{lead}": value for lead, value in metrics[part][f"acc{end}"].items()}
    for place in ("by_mlat", "by_mlt"):
        for lead, values in metrics[place]["acc"].items():
            enough = (count >= FEWEST for count in metrics[place]["vectors"][lead])
            for number, (value, kept) in enumerate(zip(values, enough, strict=True)):
                if kept:
                    found[f"{place}/{lead}/{number}"] = value
                else:
                    assert value is None
    return found


@pytest.mark.parametrize(("share", "expected"), [(1.0, 1.0), (0.5, 1.0), (-2.0, -1.0)])
def test_anomalies_in_proportion_correlate_fully_everywhere(share: float, expected: float) -> None:
    """A perfect forecast has 1 in all parts and places; so has one of half the anomalies; turned ones −1."""
    one = scattered()
    mean = one.predictions["climatology"]
    forecast = mean + share * (one.observed - mean)
    metrics, arrays = report(replace(one, predictions=one.predictions | {"model": forecast}), EVALUATE, GRID)
    found = correlations(metrics)
    assert len(found) > 3 * (12 + 10 + 20)  # leads × (four with their ends, bands, hours)
    assert list(found.values()) == pytest.approx([expected] * len(found))
    assert np.nanmin(arrays["by_mlt/acc"]) == pytest.approx(expected)


def test_the_climatology_itself_foretells_no_anomaly_anywhere() -> None:
    """Nothing departs from it, which is no correlation of 0 but none at all; its skill is one as any."""
    one = scattered()
    climate = one.predictions | {"model": one.predictions["climatology"]}
    metrics, arrays = report(replace(one, predictions=climate), EVALUATE, GRID)
    assert set(correlations(metrics).values()) == {None}
    assert np.isnan(arrays["storm/acc"]).all() and np.isnan(arrays["map/acc"]).all()
    assert metrics["storm"]["skill_vs_damped"]["10"] < 0


def test_anomaly_correlations_of_parts_and_places_are_those_of_a_loop() -> None:
    """Vector by vector in plain numbers, only those whose radar saw the cell; null below FEWEST."""
    one = scattered()
    sums: dict[tuple, list[float]] = {}
    for row in range(len(one)):
        if not one.paired[row]:
            continue
        mean = float(one.predictions["climatology"][row])
        forecast, seen_then = float(one.predictions["model"][row]) - mean, float(one.observed[row]) - mean
        for where in (
            ("part", int(one.storm[row])), ("by_mlat", int((one.mlat[row] - 60) // 2)),
            ("by_mlt", int(one.mlt[row])),
        ):  # fmt: skip
            of = sums.setdefault((*where, LEADS[one.lead[row]]), [0.0, 0.0, 0.0, 0])
            for number, value in enumerate((forecast * seen_then, forecast**2, seen_then**2, 1)):
                of[number] += value
    metrics, arrays = report(one, EVALUATE, GRID)
    kept = 0
    for (kind, number, lead), (product, power, anomaly, count) in sums.items():
        expected = product / (power * anomaly) ** 0.5
        if kind != "part":
            found = metrics[kind]["acc"][str(lead)][number]
            assert metrics[kind]["vectors"][str(lead)][number] == count
            assert found == (pytest.approx(expected) if count >= FEWEST else None)
            kept += count >= FEWEST
        elif number != UNKNOWN:
            name = "storm" if number == STORM else "quiet"
            value, low, high = (metrics[name][f"acc{end}"][str(lead)] for end in ("", "_low", "_high"))
            assert value == pytest.approx(expected)
            assert low < value < high
            # 200 m/s of noise on anomalies of 335: 335/√(335² + 200²).
            assert value == pytest.approx(0.859, abs=0.03)
            assert arrays[f"{name}/acc"][LEADS.index(lead)] == value
    assert kept > 60


def test_local_time_is_that_of_the_target(grid: GridFile, table: Table) -> None:
    frame = grid.frame[table.vector]
    assert (frame == table.issue + np.array(LEADS)[table.lead] // 2).all()
    assert table.mlt == pytest.approx(mlt(grid.mlon[table.vector], grid.mlt_zero[frame]), abs=1e-4)


# ------------------------------------------------------------------------------------------------------ truth
def truth_file(path: Path, flow_m_s: float) -> Path:
    index = cells_above(50.0)
    times = MIDNIGHT_S + 60 + 600 * np.arange(48)
    drift = np.full((48, 2, len(index)), flow_m_s, np.float16)
    drift[:, 1] *= 2
    with h5py.File(path, "w") as file:
        file["drift"], file["times_s"], file["index"] = drift, times, index
    return path


def test_fields_are_compared_with_the_truth_where_it_is_known(grid: GridFile, tmp_path: Path) -> None:
    """True drift (100, 200) m/s: zero is wrong by its length √5·100, and (100, 0) by 200."""
    issues = np.arange(180, 225, 3)
    truth = Truth.open(truth_file(tmp_path / "truth.h5", 100.0), grid, issues, (1, 5, 10))
    assert len(truth.rows) == len(cells_above(60.0))
    right = np.broadcast_to(np.array([100.0, 200.0])[:, None, None], (10, 2, *grid.layout.shape))
    half = right * np.array([1.0, 0.0])[:, None, None]
    climatology = baselines.fit(Series.of(grid), LEADS).climatology
    for t in issues.tolist():
        truth.watch(t, "right", right)
        truth.watch(t, "half", half)
        truth.watch_references(t, climatology)
    found = truth.rmse()
    assert found["right"] == pytest.approx(np.zeros(3), abs=1e-6)
    assert found["half"] == pytest.approx(np.full(3, 200.0))
    assert found["zero"] == pytest.approx(np.full(3, np.sqrt(5) * 100))
    assert (found["climatology"] > 0).all()


def test_truth_is_known_in_the_frame_that_holds_its_time(grid: GridFile, tmp_path: Path) -> None:
    at = frame_of(grid, np.array([MIDNIGHT_S - 1, MIDNIGHT_S, MIDNIGHT_S + 119, MIDNIGHT_S + 240, 2e9]))
    assert at[:3].tolist() == [2, -1, 3]
    assert (at[3:] == -1).all()
    truth = Truth.open(truth_file(tmp_path / "truth.h5", 50.0), grid, np.array([200]), (1, 5, 10))
    raster = truth.raster(205)  # the two minutes from 6:50, which hold 6:51
    assert set(np.unique(raster[0][np.isfinite(raster[0])])) == {50.0}
    assert np.isnan(truth.raster(204)).all()
    mlat, mlon = cell_centre(cells_above(60.0))
    row, column = grid.layout.place(mlat, mlon)
    assert np.isfinite(raster[1][row, column]).all()


def test_a_truth_that_is_none_is_refused_in_a_sentence(grid: GridFile, tmp_path: Path) -> None:
    (tmp_path / "truth.h5").write_bytes(b"no truth")
    with pytest.raises(EarthSignalsError, match="cannot be read as the truth"):
        Truth.open(tmp_path / "truth.h5", grid, np.array([200]), (1,))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["drift"] = np.zeros(3)
    with pytest.raises(EarthSignalsError, match="cannot be read as the truth"):
        Truth.open(tmp_path / "other.h5", grid, np.array([200]), (1,))


# ----------------------------------------------------------------------------------------------- for figures
def test_coverage_is_the_share_of_frames_that_saw_a_cell() -> None:
    """A cell seen by two radars in one frame was seen once in it."""
    vectors = seen(steady, np.arange(10), radars=2, cells=3)
    once = vectors.take((vectors.index != vectors.index[0]) | (vectors.start_s < MIDNIGHT_S + 500))
    grid = grid_of(once, GRID)
    share = coverage(grid)["coverage/share"]
    assert share.shape == grid.layout.shape
    assert share[grid.row[0], grid.column[0]] == pytest.approx(0.5)  # frames 0 to 4
    assert sorted(share[share > 0].tolist()) == pytest.approx([0.5, 1.0, 1.0])


def test_radars_are_counted_by_hour() -> None:
    late = seen(steady, np.arange(30, 75), radars=1, cells=2)
    early = seen(steady, np.arange(0, 90), radars=1, cells=1)
    grid = grid_of(Vectors.concatenate([Vectors(**{**vars(late), "stid": late.stid + 40}), early]), GRID)
    found = radars(grid)
    assert found["radars/stid"].tolist() == [1, 41]
    assert found["radars/count"].tolist() == [[30, 30, 30], [0, 60, 30]]
    assert int(found["radars/first_s"]) == MIDNIGHT_S


def test_examples_are_quiet_ordinary_and_stormy_and_hold_what_was_seen(grid: GridFile) -> None:
    issues = np.arange(180, 220)
    chosen = examples_of(grid, issues)
    rank = [(grid.activity[issues] < grid.activity[t]).sum() for t in chosen]
    assert rank == [round(share * 39) for share in (0.1, 0.5, 0.95)]
    kept = Examples(grid, chosen[:1], "model")
    t, oracle = int(chosen[0]), Oracle(waves)
    kept.watch(t, "start", np.zeros((10, 2, 15, 24)))
    kept.watch(t, "model", oracle.forecast(grid, t))
    found = kept.arrays()
    assert found["example/0/forecast"].shape == (10, 2, 15, 24)
    assert found["example/0/leads_all"].tolist() == list(range(2, 22, 2))
    assert int(found["example/0/time_s"]) == grid.times_s[t]
    lead = found["example/0/observed/lead"]
    assert sorted(set(lead.tolist())) == list(range(0, 22, 2))
    then = lead == 6
    assert found["example/0/observed/velocity"][then].tolist() == grid.velocity[grid.span(t + 3)].tolist()
    assert found["example/0/mlat"].shape == (15,) and found["example/0/mlon"].shape == (24,)


def test_without_any_activity_the_first_times_of_issue_are_drawn(grid: GridFile) -> None:
    nothing = replace(grid, activity=np.full(len(grid.times_s), np.nan, np.float32))
    assert examples_of(nothing, np.arange(7, 20)).tolist() == [7, 8, 9]
    assert examples_of(nothing, np.arange(7, 8)).tolist() == [7]
