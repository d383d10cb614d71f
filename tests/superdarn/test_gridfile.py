"""Grid and map files: a round trip through pydarnio, real files, and faults of their records."""

from __future__ import annotations

import bz2
from pathlib import Path
from typing import Any

import numpy as np
import pydarnio
import pytest

from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.records.gridfile import read_grid, read_map, vectors_of, write_grid
from earthsignals.superdarn.records.notes import Unusable, counted
from earthsignals.superdarn.records.vectors import Vectors
from tests.superdarn.record_stand_ins import MIDNIGHT, some_vectors


@pytest.mark.parametrize("name", ["day.grid", "day.grid.bz2"])
def test_what_is_written_is_read(tmp_path: Path, name: str) -> None:
    vectors = some_vectors(windows=7, stids=(5, 65, 209))
    write_grid(tmp_path / name, vectors)
    found, reading = read_grid(tmp_path / name)
    assert found.equals(vectors) and not reading.notes and len(reading) == 7
    # pydarnio's own, strict reader takes it for a grid file.
    records, bad_byte = pydarnio.read_grid(str(tmp_path / name), mode="lax")
    assert bad_byte is None and records[0]["stid"].tolist() == [5, 65, 209]
    assert all(record["nvec"].sum() == len(record["vector.mlat"]) for record in records)


def test_the_order_of_vectors_changes_no_byte(tmp_path: Path) -> None:
    vectors = some_vectors()
    write_grid(tmp_path / "a.grid.bz2", vectors)
    write_grid(tmp_path / "b.grid.bz2", vectors.take(np.random.default_rng(0).permutation(len(vectors))))
    assert (tmp_path / "a.grid.bz2").read_bytes() == (tmp_path / "b.grid.bz2").read_bytes()


def test_radars_of_one_moment_keep_their_own_windows(tmp_path: Path) -> None:
    """Radars have clocks of their own: equal starts with different ends, and starts within a second."""
    one, other = some_vectors(1, 4, (5,)), some_vectors(1, 4, (6,), MIDNIGHT + 0.25)
    longer = some_vectors(1, 4, (7,))
    longer = Vectors(**{**vars(longer), "end_s": longer.end_s + 60})
    vectors = Vectors.concatenate([one, other, longer]).sorted()
    write_grid(tmp_path / "a.grid", vectors)
    found, reading = read_grid(tmp_path / "a.grid")
    assert found.equals(vectors) and len(reading) == 3


def test_south_missing_powers_and_nan_survive(tmp_path: Path) -> None:
    vectors = some_vectors(south=True)
    velocity = vectors.velocity.copy()
    velocity[3] = np.nan
    bare = Vectors(**{**vars(vectors), "velocity": velocity, "power": np.full(len(vectors), np.nan)})
    write_grid(tmp_path / "a.grid", bare)
    found, reading = read_grid(tmp_path / "a.grid")
    assert found.equals(bare) and np.all(found.index < 0) and np.all(found.hemisphere() == -1)
    assert "vector.pwr.median" not in reading.records[0] and "vector.wdt.median" in reading.records[0]


def test_nothing_to_write_is_said(tmp_path: Path) -> None:
    with pytest.raises(EarthSignalsError, match="no vector to write"):
        write_grid(tmp_path / "a.grid", Vectors.empty())
    assert not list(tmp_path.iterdir())


def test_records_out_of_order_and_radars_twice(tmp_path: Path) -> None:
    """Read in the order of time; the same record twice counts once, and is told."""
    vectors = some_vectors()
    write_grid(tmp_path / "a.grid", vectors)
    records = read_grid(tmp_path / "a.grid")[1].records
    found, notes = vectors_of([records[3], *records[::-1]])
    assert not notes and np.all(np.diff(found.start_s) >= 0)
    once, twice = found.deduplicated()
    assert once.equals(vectors) and twice == np.count_nonzero(vectors.start_s == MIDNIGHT + 360)


def _spoilt(records: list[dict[str, Any]], number: int, **fields: Any) -> list[dict[str, Any]]:
    changed = {name: value for name, value in (records[number] | fields).items() if value is not None}
    return [*records[:number], changed, *records[number + 1 :]]


@pytest.mark.parametrize(
    "fields, reason, lost",
    [
        ({"vector.kvect": None}, "records without vector.kvect", 1),
        ({"vector.mlat": np.zeros(3, "f4")}, "records whose vector fields differ in length", 1),
        ({"vector.stid": np.zeros((24, 1), "i2")}, "records whose vector fields differ in length", 1),
        ({"start.month": 13}, "records without a possible time", 1),
        ({"end.year": 2014}, "records without a possible time", 1),
        ({"start.second": np.nan}, "records without a possible time", 1),
    ],
)
def test_a_spoilt_record_costs_itself_alone(
    tmp_path: Path, fields: dict[str, Any], reason: str, lost: int
) -> None:
    vectors = some_vectors()
    write_grid(tmp_path / "a.grid", vectors)
    records = read_grid(tmp_path / "a.grid")[1].records
    found, notes = vectors_of(_spoilt(records, 2, **fields))
    assert counted(notes) == {reason: lost}
    assert found.equals(vectors.take(vectors.start_s != MIDNIGHT + 240))


def test_vectors_without_a_place_are_left_out_and_counted(tmp_path: Path) -> None:
    vectors = some_vectors()
    write_grid(tmp_path / "a.grid", vectors)
    records = read_grid(tmp_path / "a.grid")[1].records
    mlat, kvect = records[0]["vector.mlat"].copy(), records[0]["vector.kvect"].copy()
    mlat[:2], kvect[5] = (np.nan, 97.0), np.inf
    found, notes = vectors_of(_spoilt(records, 0, **{"vector.mlat": mlat, "vector.kvect": kvect}))
    assert counted(notes) == {"vectors without a place or a direction": 3}
    assert len(found) == len(vectors) - 3


@pytest.mark.parametrize(
    "name, value", [("stid", 100_005), ("stid", np.nan), ("stid", -5), ("stid", 5.5), ("channel", 1e9)]
)
def test_radars_that_are_none_are_left_out_and_counted(tmp_path: Path, name: str, value: float) -> None:
    """Cast to int16 they would be other radars: 100,005 would be -31,067."""
    vectors = some_vectors()
    write_grid(tmp_path / "a.grid", vectors)
    records = read_grid(tmp_path / "a.grid")[1].records
    spoilt = records[0][f"vector.{name}"].astype(np.float64)
    spoilt[:3] = value
    found, notes = vectors_of(_spoilt(records, 0, **{f"vector.{name}": spoilt}))
    assert counted(notes) == {"vectors without a possible radar": 3}
    assert len(found) == len(vectors) - 3


@pytest.mark.parametrize("nvec", [np.int16([12, 11]), "many", np.zeros(2, np.int16)])
def test_nvec_that_does_not_add_up_is_told(tmp_path: Path, nvec: Any) -> None:
    """The vectors are there and are kept."""
    vectors = some_vectors()
    write_grid(tmp_path / "a.grid", vectors)
    records = read_grid(tmp_path / "a.grid")[1].records
    found, notes = vectors_of(_spoilt(records, 1, nvec=nvec))
    assert counted(notes) == {"records whose nvec is not the number of their vectors": 1}
    assert found.equals(vectors)


def test_angles_come_in_one_turn(tmp_path: Path) -> None:
    vectors = some_vectors(1, 4, (5,))
    write_grid(tmp_path / "a.grid", vectors)
    records = read_grid(tmp_path / "a.grid")[1].records
    kvect = np.float32([180, -180, 190, 720])
    turned = {"vector.mlon": records[0]["vector.mlon"] - 360, "vector.kvect": kvect}
    found, _ = vectors_of(_spoilt(records, 0, **turned))
    np.testing.assert_array_equal(found.kvect, [-180, -180, -170, 0])
    np.testing.assert_allclose(found.mlon, vectors.mlon, atol=1e-4)
    np.testing.assert_array_equal(found.index, vectors.index)


def test_a_window_that_saw_nothing_is_a_record(tmp_path: Path) -> None:
    """Real files have them: radars with nvec 0 and no vector fields at all."""
    write_grid(tmp_path / "a.grid", some_vectors(1))
    record = read_grid(tmp_path / "a.grid")[1].records[0]
    empty = {name: value for name, value in record.items() if not name.startswith("vector.")}
    assert vectors_of([empty])[1][0].reason == "records without their vectors"  # nvec says there were some
    found, notes = vectors_of([empty | {"nvec": np.zeros(2, np.int16)}])
    assert len(found) == 0 and not notes


def test_real_grid_files(real_data: Path, tmp_path: Path) -> None:
    for name, size in (("dmap_tests/test.grid", 67), ("pydarn_tests/test.grd", 691)):
        found, reading = read_grid(real_data / "superdarn" / name)
        assert len(found) == size and not reading.notes and np.all(found.velocity >= 0)
        write_grid(tmp_path / "again.grid.bz2", found)
        assert read_grid(tmp_path / "again.grid.bz2")[0].equals(found)


def test_real_map_files(real_data: Path) -> None:
    found, reading = read_map(real_data / "superdarn/pydarn_tests/test.north.mp")
    assert len(found) == 216 and found.start_s[0] == 1_665_176_520.0  # 2022-10-07 21:02 UTC
    assert np.all(np.isnan(found.power))  # maps hold none
    with pytest.raises(Unusable, match="not a map file but one of grid records"):
        read_map(real_data / "superdarn/dmap_tests/test.grid")


def test_a_compressed_copy_reads_alike(real_data: Path, tmp_path: Path) -> None:
    raw = (real_data / "superdarn/pydarn_tests/test.grd").read_bytes()
    halves = bz2.compress(raw[:20_000]) + bz2.compress(raw[20_000:])  # as pbzip2 writes
    assert read_grid(halves)[0].equals(read_grid(raw)[0])
