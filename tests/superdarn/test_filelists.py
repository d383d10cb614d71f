"""fitacf files grouped by windows of time, and the maps beside them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pydarnio
import pytest

from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.records.filelists import FileList, conv_maps_for, fitacf_to_filelists
from earthsignals.superdarn.records.gridfile import write_grid
from tests.superdarn.record_stand_ins import MIDNIGHT, fitacf_record, some_vectors, write_fitacf


def _fit(folder: Path, name: str, stid: int, *minutes: float) -> Path:
    records = [
        fitacf_record(stid, MIDNIGHT + 60 * minute, 3, np.ones(2), np.arange(20, 22)) for minute in minutes
    ]
    folder.mkdir(parents=True, exist_ok=True)
    return write_fitacf(folder / name, records)


def _map(path: Path, sign: int, *minutes: float) -> Path:
    """Grid records with the fields of a fit: as much as tells a map by its content."""
    vectors = some_vectors(windows=len(minutes), stids=(5,))
    write_grid(path, vectors)
    records = pydarnio.read_dmap(str(path), mode="lax")[0]
    for record, minute in zip(records, minutes, strict=True):
        record |= {
            "start.hour": int(minute // 60), "start.minute": int(minute % 60), "hemisphere": sign,
            "fit.order": 8, "latmin": 60.0, "N+2": np.zeros(81),
        }  # fmt: skip
    path.write_bytes(bytes(pydarnio.write_dmap(records)))
    return path


def test_files_meet_in_the_windows_of_their_records(tmp_path: Path) -> None:
    """By the times inside, not by names: b tells of two windows, and is listed in both."""
    a = _fit(tmp_path / "x", "a", 5, 0, 20)
    b = _fit(tmp_path / "y", "b", 65, 50, 61)
    c = _fit(tmp_path, "c", 6, 110)
    lists = fitacf_to_filelists(tmp_path, 60)
    assert [(each.files, each.radars) for each in lists] == [((a, b), (5, 65)), ((c, b), (6, 65))]
    assert lists[0].start == dt.datetime(2015, 3, 1, tzinfo=dt.UTC)
    assert all(each.end - each.start == dt.timedelta(hours=1) for each in lists)
    assert lists.too_few == 0 and lists.refused == {}


def test_windows_of_too_few_radars_are_counted(tmp_path: Path) -> None:
    """A radar in two files is one radar; a gap of hours makes no window."""
    _fit(tmp_path, "a", 5, 0, 400)
    _fit(tmp_path, "b", 5, 10)
    _fit(tmp_path, "c", 6, 401)
    lists = fitacf_to_filelists(tmp_path, 30, 2)
    assert [each.radars for each in lists] == [(5, 6)] and lists.too_few == 1
    assert len(fitacf_to_filelists(tmp_path, 30, 1)) == 2


def test_unreadable_files_are_told_and_others_left_alone(tmp_path: Path) -> None:
    whole = _fit(tmp_path, "a", 5, 0, 1)
    (tmp_path / "b").write_bytes(b"\x01\x00\x01\x00" + bytes(60))
    write_grid(tmp_path / "c.grid", some_vectors())
    (tmp_path / "d").write_bytes(whole.read_bytes()[:-50])  # cut off: its first record counts
    lists = fitacf_to_filelists(tmp_path, 60)
    assert [file.name for file in lists[0].files] == ["a", "d"] and list(lists.refused) == ["b"]
    assert (tmp_path / "b").exists()


def test_what_cannot_be_grouped_is_said(tmp_path: Path) -> None:
    write_grid(tmp_path / "c.grid", some_vectors())
    with pytest.raises(EarthSignalsError, match="no readable fitacf file"):
        fitacf_to_filelists(tmp_path, 60)
    with pytest.raises(EarthSignalsError, match="at least 1 of each"):
        fitacf_to_filelists(tmp_path, 0)


def test_maps_are_found_by_time_and_hemisphere(tmp_path: Path) -> None:
    _fit(tmp_path, "20150301.0000.sas.fitacf", 5, 0, 30)
    _fit(tmp_path, "20150301.0200.sas.fitacf", 5, 125)
    _fit(tmp_path, "20150301.0600.mcm.fitacf", 20, 361)
    first = _map(tmp_path / "20150301.0000.north.convmap", 1, 0, 2, 4)
    _map(tmp_path / "20150301.north.map", 1, 58)  # of the first hour too, but one record only
    second = _map(tmp_path / "whatever", 1, 126, 128)
    _map(tmp_path / "north.mp", 1, 362)
    south = _map(tmp_path / "south.mp", -1, 364)
    lists = fitacf_to_filelists(tmp_path, 60)
    assert conv_maps_for(lists) == [first, second, south]
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "note.txt").write_text("nothing")
    assert conv_maps_for(lists, tmp_path / "empty") == [None, None, None]
    assert conv_maps_for([]) == []


def test_damaged_maps_are_passed_over(tmp_path: Path) -> None:
    fit = _fit(tmp_path, "a", 5, 0)
    _map(tmp_path / "b", 1, 0).write_bytes((tmp_path / "b").read_bytes()[:200])
    start = dt.datetime(2015, 3, 1, tzinfo=dt.UTC)
    assert conv_maps_for([FileList(start, start + dt.timedelta(hours=1), (fit,), (5,))]) == [None]


def test_real_files(real_data: Path, tmp_path: Path) -> None:
    """Wallops Island on 2011-05-09: files of two hours beginning at a minute past the hour."""
    for hour in (10, 12):
        name = f"20110509.{hour}01.00.wal.fitacf.bz2"
        (tmp_path / name).symlink_to((real_data / "superdarn/wal_20110509" / name).resolve())
    lists = fitacf_to_filelists(tmp_path, 120, 1)
    assert [len(each.files) for each in lists] == [1, 2, 1]
    assert all(each.radars == (32,) for each in lists)
    maps = real_data / "superdarn/dmap_tests"
    start = dt.datetime(2011, 2, 14, tzinfo=dt.UTC)
    wanted = FileList(start, start + dt.timedelta(hours=1), (), (3, 5))
    assert conv_maps_for([wanted], maps) == [maps / "test.map"]
