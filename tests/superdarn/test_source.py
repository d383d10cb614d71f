"""Records of a folder and of a bucket become daily grid files, whatever is wrong with some of them."""

from __future__ import annotations

import bz2
import datetime as dt
import json
from pathlib import Path

import numpy as np
import pytest

from earthsignals.storage import EarthSignalsError, md5_path
from earthsignals.superdarn.params import SuperdarnParams
from earthsignals.superdarn.records import days
from earthsignals.superdarn.records.gridfile import read_grid, write_grid
from earthsignals.superdarn.records.summary import read_summary
from earthsignals.superdarn.records.vectors import Vectors
from earthsignals.superdarn.source import prepare_records
from tests.superdarn.record_stand_ins import MIDNIGHT, fitacf_record, some_vectors, write_fitacf

DAY = 86_400.0


def _params(source: str | Path, **further: object) -> SuperdarnParams:
    return SuperdarnParams(source=str(source), **further)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """North and south over midnight, a copy under another name, and five files that are no use."""
    folder = tmp_path / "files"
    (folder / "more").mkdir(parents=True)
    night = some_vectors(windows=4, first_s=MIDNIGHT + DAY - 240)
    write_grid(folder / "night.grid.bz2", Vectors.concatenate([night, some_vectors(2, south=True)]))
    write_grid(folder / "more" / "copy.grid", night)
    write_fitacf(folder / "raw", [fitacf_record(5, MIDNIGHT, 3, np.ones(0), np.arange(0))])
    (folder / "cut.grid").write_bytes((folder / "more" / "copy.grid").read_bytes()[:300])
    (folder / "cut.bz2").write_bytes((folder / "night.grid.bz2").read_bytes()[:50])
    (folder / "empty.grid").write_bytes(b"")
    (folder / "old.grd").write_bytes(b"2013 3 16 6 0 0 2013 3 16 6 2 0\n2\n")
    return folder


def test_a_folder_becomes_daily_files_of_each_hemisphere(folder: Path, tmp_path: Path) -> None:
    summary = prepare_records(_params(folder), tmp_path / "out")
    names = ["20150301.north.grid.bz2", "20150301.south.grid.bz2", "20150302.north.grid.bz2"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [*names, "records.json"]
    night = some_vectors(windows=4, first_s=MIDNIGHT + DAY - 240)
    before = night.start_s < MIDNIGHT + DAY
    assert read_grid(tmp_path / "out" / names[0])[0].equals(night.take(before))
    assert read_grid(tmp_path / "out" / names[2])[0].equals(night.take(~before))
    assert read_grid(tmp_path / "out" / names[1])[0].equals(some_vectors(2, south=True))
    assert [entry.file for entry in summary.files] == names
    assert [entry.vectors for entry in summary.files] == [48, 48, 48] and summary.vectors == 144
    assert summary.radars == (5, 65) and summary.files[0].windows == 2


def test_faults_are_counted_and_files_stay(folder: Path, tmp_path: Path) -> None:
    before = md5_path(folder)
    summary = prepare_records(_params(folder), tmp_path / "out")
    assert summary.refusals() == {
        "ASCII of the years before DMAP": 1, "empty": 1, "no vectors": 1, "truncated bzip2": 1,
        "zero records": 1,
    }  # fmt: skip
    assert {refusal.file for refusal in summary.refused} == {
        "cut.bz2", "cut.grid", "empty.grid", "old.grd", "raw",
    }  # fmt: skip
    assert summary.kinds == {"fitacf": 1, "grid": 2}
    assert summary.dropped == {"vectors told by several files": 96}
    assert md5_path(folder) == before
    assert read_summary(tmp_path / "out") == summary
    told = json.loads((tmp_path / "out" / "records.json").read_text())
    assert told["refused_by_reason"] == summary.refusals()
    assert str(tmp_path) not in json.dumps(told["refused"])  # names below the folder, the same on any machine


def test_the_same_bytes_for_any_number_of_workers(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for workers in ("1", "2"):
        monkeypatch.setenv("EARTHSIGNALS_WORKERS", workers)
        prepare_records(_params(folder), tmp_path / workers)
    assert md5_path(tmp_path / "1") == md5_path(tmp_path / "2")


def test_of_equal_vectors_the_better_kind_is_kept(tmp_path: Path) -> None:
    """fitacf of a moment, and a grid file that tells of the same: the grid file's velocities."""
    folder = tmp_path / "files"
    folder.mkdir()
    gates = np.arange(20, 40)
    fit = write_fitacf(folder / "a", [fitacf_record(5, MIDNIGHT, 3, np.full(20, 300.0), gates)])
    params = _params(folder)
    vectors = prepare_records(params, tmp_path / "fit").vectors
    found, _ = read_grid(tmp_path / "fit" / "20150301.north.grid.bz2")
    assert len(found) == vectors > 5 and np.all(found.velocity == 300)
    faster = Vectors(**{**vars(found), "velocity": found.velocity + 50})
    write_grid(folder / "z.grid", faster)
    summary = prepare_records(params, tmp_path / "both")
    again, _ = read_grid(tmp_path / "both" / "20150301.north.grid.bz2")
    assert np.all(again.velocity == 350) and summary.dropped["vectors told by several files"] == len(found)
    assert fit.exists()


def test_gridding_parameters_reach_fitacf(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_fitacf(path, [fitacf_record(5, MIDNIGHT, 3, np.full(20, 300.0), np.arange(20, 40))])
    few = prepare_records(_params(path, gridding={"maximum_range_km": 1500.0}), tmp_path / "few")
    many = prepare_records(_params(path), tmp_path / "many")
    assert few.vectors < many.vectors


def test_one_radar_with_a_gap_of_hours(tmp_path: Path) -> None:
    early, late = some_vectors(3, stids=(5,)), some_vectors(3, stids=(5,), first_s=MIDNIGHT + 6 * 3600)
    write_grid(tmp_path / "a.grid", Vectors.concatenate([late, early]))
    summary = prepare_records(_params(tmp_path / "a.grid"), tmp_path / "out")
    assert summary.radars == (5,) and summary.files[0].windows == 6


def test_nothing_usable_is_one_sentence_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    for name in ("night.grid.bz2", "more/copy.grid"):
        (folder / name).unlink()
    with pytest.raises(EarthSignalsError, match=r"none of its 5 files gave a vector \(ASCII .* 1, empty 1"):
        prepare_records(_params(folder), tmp_path / "out")
    with pytest.raises(EarthSignalsError, match="no such file or folder"):
        prepare_records(_params(tmp_path / "absent"), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


def test_synthetic_records_are_written_as_grid_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days of the simulation in the same places, read by the same reader; its own numbers are kept."""
    import earthsignals.superdarn.simulation.days as simulated

    def write(params: SuperdarnParams, out: Path) -> simulated.Summary:
        write_grid(out / "20150301.north.grid.bz2", some_vectors())
        (out / "truth.h5").write_bytes(b"truth")
        return simulated.Summary(("20150301.north.grid.bz2",), ("sas", "rkn"), 120, 0.2, 3, 7)

    monkeypatch.setattr(simulated, "write_days", write)
    summary = prepare_records(_params("synthetic"), tmp_path / "out")
    assert summary.vectors == 120 and summary.radars == (5, 65) and summary.source == "synthetic"
    assert summary.about["silent_radar_hours"] == 3 and read_summary(tmp_path / "out") == summary
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "20150301.north.grid.bz2", "records.json", "truth.h5",
    ]  # fmt: skip


# -- a bucket: the objects' contents come from a dictionary here; services/test_bucket.py has the server


@pytest.fixture
def objects(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes | Exception]:
    import earthsignals.remotes.bucket as remote

    contents: dict[str, bytes | Exception] = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }

    def listed(bucket: remote.Bucket) -> list[remote.Object]:
        moment = dt.datetime(2015, 3, 2, tzinfo=dt.UTC)
        return [remote.Object(key, 1, "", moment) for key in sorted(contents)]

    def read(bucket: remote.Bucket, item: remote.Object) -> bytes:
        content = contents[item.key]
        if isinstance(content, Exception):
            raise content
        return content

    monkeypatch.setattr(remote, "list_objects", listed)
    monkeypatch.setattr(days, "read", read)
    return contents


def test_a_bucket_gives_what_a_folder_gives(
    objects: dict[str, bytes | Exception], folder: Path, tmp_path: Path
) -> None:
    local = prepare_records(_params(folder), tmp_path / "local")
    streamed = prepare_records(_params("s3", s3={"bucket": "superdarn", "prefix": "2015/"}), tmp_path / "s3")
    assert streamed.source == "s3://superdarn/2015/"
    assert (streamed.files, streamed.refused, streamed.dropped) == (local.files, local.refused, local.dropped)


def test_an_object_that_cannot_be_had_is_skipped_but_a_dead_server_ends_it(
    objects: dict[str, bytes | Exception], tmp_path: Path
) -> None:
    from earthsignals.remotes.bucket import ObjectError

    objects["more/copy.grid"] = ObjectError("s3://superdarn/more/copy.grid changes again and again")
    summary = prepare_records(_params("s3"), tmp_path / "out")
    assert summary.refusals()["cannot be had from the bucket"] == 1 and summary.vectors == 144
    objects["night.grid.bz2"] = EarthSignalsError("s3://superdarn does not answer")
    before = md5_path(tmp_path / "out")
    with pytest.raises(EarthSignalsError, match="does not answer"):
        prepare_records(_params("s3"), tmp_path / "out")
    assert md5_path(tmp_path / "out") == before  # what was there stays


def test_an_empty_bucket_is_said(objects: dict[str, bytes | Exception], tmp_path: Path) -> None:
    objects.clear()
    with pytest.raises(EarthSignalsError, match=r"holds no object; correct bucket, prefix or endpoint_url"):
        prepare_records(_params("s3"), tmp_path / "out")


def test_a_real_day_keeps_every_vector(real_data: Path, tmp_path: Path) -> None:
    """Three radars of it, one with two channels."""
    folder = tmp_path / "files"
    folder.mkdir()
    for code in ("wal", "kod.c", "kod.d", "ksr.a"):
        name = f"20150301.{code}.v3.0.grid.nc"
        (folder / name).symlink_to((real_data / "superdarn/secs_nc_north" / name).resolve())
    summary = prepare_records(_params(folder), tmp_path / "out")
    assert summary.vectors == 1381 + 471 + 9124 + 4628 and summary.radars == (7, 16, 32)
    assert [entry.file for entry in summary.files] == ["20150301.north.grid.bz2"]
    bz2.decompress((tmp_path / "out" / "20150301.north.grid.bz2").read_bytes())
