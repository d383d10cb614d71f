"""What a folder holds: kinds, radars, hours, gaps, fields and faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydarnio
import pytest

from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.records.explore import explore
from earthsignals.superdarn.records.filelists import fitacf_to_filelists
from earthsignals.superdarn.records.gridfile import write_grid
from earthsignals.superdarn.records.vectors import Vectors
from tests.superdarn.record_stand_ins import MIDNIGHT, fitacf_record, some_vectors, write_fitacf


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two radars for ten minutes, Saskatoon again after three hours, fitacf of King Salmon, and rubbish."""
    early, late = some_vectors(5), some_vectors(2, stids=(5,), first_s=MIDNIGHT + 3 * 3600)
    (tmp_path / "grids").mkdir()
    write_grid(tmp_path / "grids" / "a.grid.bz2", Vectors.concatenate([early, late]))
    echoes = [fitacf_record(16, MIDNIGHT + 60 * n, 3, np.ones(n), np.arange(n)) for n in (1, 2, 3)]
    write_fitacf(tmp_path / "b.fitacf", echoes)
    write_grid(tmp_path / "cut.grid", early)
    (tmp_path / "cut.grid").write_bytes((tmp_path / "cut.grid").read_bytes()[:-40])
    (tmp_path / "note.txt").write_text("hello")
    return tmp_path


def test_files_and_radars(folder: Path) -> None:
    found = explore(folder)
    told = {file.name: (file.kind, file.records, file.radars) for file in found.files}
    assert told == {
        "b.fitacf": ("fitacf", 3, (16,)), "cut.grid": ("grid", 4, (5, 65)),
        "grids/a.grid.bz2": ("grid", 7, (5, 65)), "note.txt": ("unknown", 0, ()),
    }  # fmt: skip
    assert found.kinds() == {"fitacf": 1, "grid": 2, "unknown": 1}
    assert found.stid.tolist() == [5, 16, 65]
    np.testing.assert_array_equal(found.hours_s, MIDNIGHT + 3600.0 * np.arange(4))
    # A record that two files hold is one.
    np.testing.assert_array_equal(found.count, [[5, 0, 0, 2], [3, 0, 0, 0], [5, 0, 0, 0]])


def test_gaps_of_more_than_ten_minutes(folder: Path) -> None:
    (gap,) = explore(folder).gaps
    assert (gap.stid, gap.start_s, gap.end_s) == (5, MIDNIGHT + 480, MIDNIGHT + 3 * 3600)


def test_fields_with_dtype_and_shape(folder: Path) -> None:
    fields = explore(folder).fields()
    assert fields["grid"]["vector.mlat"] == "float32 (*)"  # 24 vectors early, 12 late
    assert fields["grid"]["start.year"] == "int" and fields["fitacf"]["pwr0"] == "float32 (75)"
    assert fields["fitacf"]["slist"] == "int16 (*)"


def test_faults_are_told_and_nothing_is_touched(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    faults = {file.name: file.faults for file in explore(folder).files if file.faults}
    assert set(faults) == {"cut.grid", "note.txt"}
    assert faults["cut.grid"][0].startswith("bytes of damaged records: ")
    assert faults["note.txt"][0].startswith("note.txt: no SuperDARN file")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("stid", ["five", np.nan, 1e30, -3.0, np.int16([5, 6])])
def test_records_without_a_possible_radar_are_counted(tmp_path: Path, stid: Any) -> None:
    """The file's other records are told as ever."""
    records = [fitacf_record(16, MIDNIGHT + 60 * n, 3, np.ones(2), np.arange(2)) for n in range(3)]
    write_fitacf(tmp_path / "a", [records[0] | {"stid": stid}, records[1] | {"time.us": "x"}, records[2]])
    (file,) = explore(tmp_path).files
    assert file.radars == (16,) and file.records == 3 and file.first_s == MIDNIGHT + 120
    assert file.faults == ("records without a possible radar: 1", "records without a possible time: 1")
    write_fitacf(tmp_path / "a", [record | {"stid": stid} for record in records])
    found = explore(tmp_path)
    assert found.files[0].faults == ("records without a possible radar: 3",)
    assert "files with faults: 1" in found.to_text()
    with pytest.raises(EarthSignalsError, match="no readable fitacf file"):
        fitacf_to_filelists(tmp_path, 60)
    write_fitacf(tmp_path / "b", records)
    assert fitacf_to_filelists(tmp_path, 60).refused == {"a": "records without a possible radar: 3"}


@pytest.mark.parametrize(
    "fields, fault, radars",
    [
        ({"nvec": "many"}, "records whose nvec is not the number of their vectors: 2", (5, 65)),
        ({"stid": "five"}, "records without a possible radar: 2", ()),
        ({"stid": np.float32([1e30, 5])}, "records without a possible radar: 2", ()),
    ],
)
def test_odd_grid_records_are_faults(
    tmp_path: Path, fields: dict[str, Any], fault: str, radars: tuple[int, ...]
) -> None:
    write_grid(tmp_path / "a.grid", some_vectors(2))
    records = pydarnio.read_dmap(str(tmp_path / "a.grid"), mode="lax")[0]
    write_fitacf(tmp_path / "a.grid", [record | fields for record in records])
    found = explore(tmp_path)
    assert [(file.radars, file.faults) for file in found.files] == [(radars, (fault,))]
    assert fault in found.to_text()


def test_text_and_rows(folder: Path) -> None:
    found = explore(folder)
    text = found.to_text()
    assert "4 files (1 fitacf, 2 grid, 1 unknown), 14 records" in text
    assert "from 2015-03-01T00:00:00Z to 2015-03-01T03:02:00Z" in text
    assert "sas   2015-03-01T00:08:00Z to 2015-03-01T03:00:00Z (172 minutes)" in text
    rows = found.to_rows()
    assert [row["file"] for row in rows] == ["b.fitacf", "cut.grid", "grids/a.grid.bz2", "note.txt"]
    assert rows[2]["radars"] == "5 65" and rows[2]["last"] == "2015-03-01T03:02:00Z"
    assert rows[3]["first"] == ""


def test_a_file_alone_and_nothing(folder: Path, tmp_path: Path) -> None:
    assert [file.name for file in explore(folder / "cut.grid").files] == ["cut.grid"]
    with pytest.raises(EarthSignalsError, match="no such file or folder"):
        explore(tmp_path / "absent")
    only = explore(folder / "note.txt")
    assert only.count.shape == (0, 0) and "gaps of more than 10 minutes: 0" in only.to_text()


def test_real_folder(real_data: Path) -> None:
    found = explore(real_data / "superdarn/dmap_tests")
    assert found.kinds() == {"fitacf": 2, "grid": 2, "iqdat": 1, "map": 2, "rawacf": 1, "snd": 1}
    assert all(file.records == 2 and not file.faults for file in found.files)
    assert found.fields()["map"]["N+2"] == "float64 (81)"
