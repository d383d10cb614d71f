"""fitacf to vectors: an analytic flow, medians, quality flags, windows, and real files."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from earthsignals.superdarn import field_of_view
from earthsignals.superdarn.params import GriddingParams
from earthsignals.superdarn.records import fitacf
from earthsignals.superdarn.records.fitacf import gates_of, group_median, read_fitacf, vectors_of
from earthsignals.superdarn.records.notes import counted
from earthsignals.superdarn.records.vectors import Vectors
from earthsignals.superdarn.stations import by_code
from tests.superdarn.record_stand_ins import MIDNIGHT, fitacf_record, write_fitacf

SAS = by_code("sas")
PARAMS = GriddingParams()
NORTH, EAST = 400.0, -250.0
GATES = np.arange(75)


def _table() -> fitacf.Gates:
    return gates_of(SAS.stid, 180.0, 45.0, SAS.beams, 75, 2015, PARAMS)


def _scan(start: float, **fields: Any) -> list[dict[str, Any]]:
    """All beams, an echo in each gate, of the drift (NORTH, EAST): v is positive towards the radar."""
    away = np.radians(_table().kvect_away)
    v = -(NORTH * np.cos(away) + EAST * np.sin(away))
    return [fitacf_record(SAS.stid, start + 3 * b, b, v[b], GATES, **fields) for b in range(SAS.beams)]


def test_a_uniform_flow_comes_back_along_every_line_of_sight() -> None:
    found, notes = vectors_of(_scan(MIDNIGHT), PARAMS)
    assert len(found) > 150 and np.all(found.velocity >= 0)
    angle = np.radians(found.kvect.astype(float))
    along = NORTH * np.cos(angle) + EAST * np.sin(angle)
    # Each of a cell's gates looks along its own direction; near the radar they differ by some degrees.
    assert np.abs(found.velocity - along).max() < 15
    assert np.abs(found.velocity - along).mean() < 2
    # Both ends of the drift are seen: towards the radar and away from it.
    seen = field_of_view.cells(SAS, dt.datetime(2015, 3, 1))
    away = dict(zip(seen.index.tolist(), seen.kvect_away.tolist(), strict=True))
    signs = {np.sign(np.cos(a - np.radians(away[int(i)]))) for a, i in zip(angle, found.index, strict=True)}
    assert signs == {1.0, -1.0}
    assert counted(notes).keys() == {"echoes beyond the ranges"}
    ranges = 180 + 45 * (GATES + 0.5)
    beyond = int(np.count_nonzero((ranges < 500) | (ranges > 3000)))
    assert counted(notes)["echoes beyond the ranges"] == beyond * SAS.beams


def test_the_median_forgets_what_is_wild() -> None:
    """Of five scans in a window one is spoilt: the vectors are those of the other four."""
    scans = [_scan(MIDNIGHT + 6 * n) for n in range(5)]
    for record in scans[2]:
        record["v"] = record["v"] + np.float32(1500)
    found, _ = vectors_of([record for scan in scans for record in scan], PARAMS)
    true, _ = vectors_of(_scan(MIDNIGHT), PARAMS)
    np.testing.assert_array_equal(found.index, true.index)
    signed = found.velocity * np.cos(np.radians(found.kvect - true.kvect))
    assert np.median(np.abs(signed - true.velocity)) < 8


def test_medians_of_groups() -> None:
    values = np.array([5.0, 1.0, 9.0, 4.0, 2.0, 7.0])
    member = np.array([0, 0, 0, 2, 2, 1])
    np.testing.assert_array_equal(group_median(values, member, 3), [5.0, 7.0, 3.0])
    assert group_median(np.zeros(0), np.zeros(0, int), 0).shape == (0,)


@pytest.mark.parametrize(
    "fields, reason",
    [
        ({"qflg": np.zeros(75, "i1")}, "echoes of no good fit"),
        ({"gflg": np.ones(75, "i1")}, "echoes of the ground"),
        ({"p_l": np.full(75, 2.9, "f4")}, "echoes too weak"),
        ({"v": np.full(75, -2501, "f4")}, "echoes too fast"),
        ({"v_e": np.full(75, 201, "f4")}, "echoes of uncertain velocity"),
        ({"v_e": np.full(75, -1, "f4")}, "echoes of uncertain velocity"),
        ({"w_l": np.full(75, 1001, "f4")}, "echoes too wide"),
        ({"v": np.full(75, np.nan, "f4")}, "echoes not finite"),
        ({"slist": np.full(75, 80, "i2")}, "echoes beyond the ranges"),
    ],
)
def test_every_flag_and_limit_leaves_echoes_out_and_is_counted(fields: dict[str, Any], reason: str) -> None:
    good, _ = vectors_of(_scan(MIDNIGHT), PARAMS)
    found, notes = vectors_of([record | fields for record in _scan(MIDNIGHT)], PARAMS)
    assert len(good) and len(found) == 0
    counts = counted(notes)
    assert counts[reason] > 0 and sum(counts.values()) == 75 * SAS.beams


def test_ground_scatter_is_kept_where_asked_for() -> None:
    ground = [record | {"gflg": np.ones(75, "i1")} for record in _scan(MIDNIGHT)]
    kept, _ = vectors_of(ground, GriddingParams(ground_scatter=True))
    assert kept.equals(vectors_of(_scan(MIDNIGHT), PARAMS)[0])


def test_limits_of_range_change_the_cells() -> None:
    near, _ = vectors_of(_scan(MIDNIGHT), GriddingParams(maximum_range_km=1500))
    far, _ = vectors_of(_scan(MIDNIGHT), GriddingParams(minimum_range_km=1500))
    assert 0 < len(near) < 150 and len(far) > len(near)


def test_a_cell_seen_by_fewer_than_a_quarter_of_its_gates_is_left_out() -> None:
    """Ten scans, of which two (a fifth) have echoes, then three."""
    def scans(full: int) -> list[dict[str, Any]]:
        empty = [{k: v for k, v in r.items() if k not in fitacf._GATES} for r in _scan(MIDNIGHT)]
        return [r for n in range(10) for r in (_scan(MIDNIGHT) if n < full else empty)]

    none, notes = vectors_of(scans(2), PARAMS)
    assert len(none) == 0 and counted(notes)["echoes of cells seen too rarely"] > 0
    assert len(vectors_of(scans(3), PARAMS)[0]) == len(vectors_of(_scan(MIDNIGHT), PARAMS)[0])


def test_windows_begin_with_the_radars_own_clock() -> None:
    """Scans at odd minutes are cut at odd minutes: no scan is split. Order does not matter."""
    records = [record for n in range(3) for record in _scan(MIDNIGHT + 60 + 120 * n)]
    found, _ = vectors_of(records[::-1], PARAMS)
    np.testing.assert_array_equal(np.unique(found.start_s), MIDNIGHT + 60 + 120 * np.arange(3))
    assert np.all(found.end_s - found.start_s == 120) and found.equals(found.sorted())
    late = [record for n in (0, 90) for record in _scan(MIDNIGHT + 120 * n)]  # a gap of three hours
    np.testing.assert_array_equal(
        np.unique(vectors_of(late, PARAMS)[0].start_s), MIDNIGHT + np.array([0, 10_800])
    )


def test_errors_shrink_with_the_number_of_echoes() -> None:
    """As in RST: 1/√Σ(1/e²), where no echo counts for less than 100 m/s."""
    found, _ = vectors_of(_scan(MIDNIGHT), PARAMS)
    squares = (100.0 / found.velocity_sd.astype(float)) ** 2
    np.testing.assert_allclose(squares, np.round(squares), atol=1e-3)
    assert squares.max() > 3 and squares.min() >= 1
    np.testing.assert_allclose(found.power, 20) and np.testing.assert_allclose(found.width, 100)


def test_spoilt_records_cost_themselves_alone() -> None:
    records = _scan(MIDNIGHT)
    spoilt = [
        records[0] | {"time.mo": 0}, records[1] | {"v": np.zeros(3, "f4")}, records[2] | {"bmnum": 99},
        records[3] | {"stid": 999}, {k: v for k, v in records[4].items() if k != "p_l"},
    ]  # fmt: skip
    found, notes = vectors_of([*records[5:], *spoilt], PARAMS)
    counts = counted(notes)
    del counts["echoes beyond the ranges"]
    assert counts == {
        "records without a possible time": 1, "records with unequal or missing gate fields": 2,
        "records without a possible beam": 1, "records of unknown radars": 1,
    }  # fmt: skip
    assert found.equals(vectors_of(records[5:], PARAMS)[0])


@pytest.mark.parametrize(
    "fields, reason",
    [
        ({"time.us": "never"}, "records without a possible time"),
        ({"time.us": np.zeros(2, "i4")}, "records without a possible time"),
        ({"time.us": np.nan}, "records without a possible time"),
        ({"time.us": -5e6}, "records without a possible time"),
        ({"stid": "five"}, "records without a possible radar"),
        ({"channel": 1e9}, "records without a possible radar"),
        ({"channel": np.inf}, "records without a possible radar"),
        ({"bmnum": np.inf}, "records without a possible beam"),
        ({"nrang": 1e30}, "records without a possible beam"),
        ({"slist": "abc"}, "records with unequal or missing gate fields"),
        ({"slist": None}, "records with unequal or missing gate fields"),
        ({name: 1.0 for name in fitacf._GATES}, "records with unequal or missing gate fields"),
        ({name: np.ones((1, 75)) for name in fitacf._GATES}, "records with unequal or missing gate fields"),
    ],
)
def test_fields_that_make_no_sense_cost_their_record_alone(fields: dict[str, Any], reason: str) -> None:
    records = _scan(MIDNIGHT)
    spoilt = {name: value for name, value in (records[3] | fields).items() if value is not None}
    whole = [*records[:3], *records[4:]]
    found, notes = vectors_of([*whole, spoilt], PARAMS)
    counts = counted(notes)
    del counts["echoes beyond the ranges"]
    assert counts.pop(reason) == 1
    # A beam whose echoes are lost still looked: cells that it shares are seen by fewer of their gates.
    assert counts.keys() <= {"echoes of cells seen too rarely"} and len(found) > 150
    if "gate" not in reason:
        assert found.equals(vectors_of(whole, PARAMS)[0]) and not counts


def test_channels_are_radars_of_their_own() -> None:
    both = [*_scan(MIDNIGHT, channel=np.int16(1)), *_scan(MIDNIGHT, channel=np.int16(2))]
    found, _ = vectors_of(both, PARAMS)
    assert set(found.channel.tolist()) == {1, 2} and found.deduplicated()[1] == 0


def test_a_file_of_no_echoes_gives_no_vectors(tmp_path: Path) -> None:
    path = write_fitacf(tmp_path / "a", [fitacf_record(5, MIDNIGHT, 3, np.ones(0), np.arange(0))])
    found, reading = read_fitacf(path, PARAMS)
    assert found.equals(Vectors.empty()) and len(reading) == 1 and not reading.notes


def test_real_southern_file(real_data: Path) -> None:
    """McMurdo, on the Antarctic coast: everything lies in the south, and speeds are those of plasma."""
    found, reading = read_fitacf(real_data / "superdarn/pydarn_tests/test_south.fitacf.bz2", PARAMS)
    assert len(reading) == 100 and np.all(found.stid == 20) and len(found) > 80
    assert np.all(found.mlat < -70) and np.all(found.index < 0)
    assert 30 < np.median(found.velocity) < 300
    seen = field_of_view.cells(by_code("mcm"), dt.datetime(2021, 2, 5))
    assert np.isin(found.index, seen.index).mean() > 0.99
