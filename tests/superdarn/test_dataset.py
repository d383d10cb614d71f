"""From daily grid files to frames: all is counted, nothing hangs on files or workers, faults survive."""

from __future__ import annotations

import bz2
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from earthsignals.storage import EarthSignalsError, md5_file
from earthsignals.superdarn.cells import cells_above
from earthsignals.superdarn.dataset import make_grid
from earthsignals.superdarn.grid import GridError, grid_of, open_grid
from earthsignals.superdarn.params import GridParams, SplitParams, SuperdarnParams
from earthsignals.superdarn.records.gridfile import write_grid as write_day
from earthsignals.superdarn.records.read import read_vectors
from earthsignals.superdarn.records.vectors import Vectors
from tests.superdarn.test_grid import START, steady

ROOT = Path(__file__).resolve().parents[2]
PARAMS = SuperdarnParams(split=SplitParams(block_hours=4))
DAYS = ("20150301", "20150302")
HOURS = 12.0


def of_day(day: int) -> Vectors:
    """Half a day of two radars; the second one's clock is a minute off and it pauses for two hours."""
    first = 1440.0 * day
    late = steady(HOURS, first + 1.0, stid=9, velocity=200.0)
    return Vectors.concatenate(
        [steady(HOURS, first), late.take(np.abs(late.start_s - START - 60 * first - 14400) > 3600)]
    )


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    for number, day in enumerate(DAYS):
        write_day(folder / f"{day}.north.grid.bz2", of_day(number))
    write_day(folder / "20150301.south.grid.bz2", steady(1.0, cells=-cells_above(50)[:3]))
    (folder / "records.json").write_text("{}")
    (folder / ".20150303.north.grid.bz2").write_bytes(b"left behind")
    return folder


@pytest.fixture(scope="module")
def made(records, tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "grid.h5"
    return make_grid(records, PARAMS, path), path


def test_the_file_holds_what_the_records_do(made):
    summary, path = made
    grid = open_grid(path)
    expected = grid_of(Vectors.concatenate([of_day(0), of_day(1)]), PARAMS.grid, PARAMS.split)
    for name in ("times_s", "frame", "stid", "index", "velocity", "kvect", "split", "segment", "mlt_zero"):
        assert np.array_equal(getattr(grid, name), getattr(expected, name)), name
    assert np.all(np.abs(grid.kvect - 30) < 1e-5) and set(grid.velocity.tolist()) == {200.0, 400.0}
    assert summary.vectors == len(grid.velocity) and summary.frames == len(grid)


def test_the_summary_counts_everything(made):
    summary, path = made
    grid = open_grid(path)
    assert (summary.files, summary.other_hemisphere, summary.refused, summary.faults) == (2, 1, {}, {})
    assert summary.radars == {"5": 2 * 4 * 360, "9": 2 * 4 * 300}
    assert summary.dropped == {} == grid.dropped
    for number, split in enumerate(("train", "validation", "test")):
        of = summary.splits[split]
        assert of["frames"] == np.count_nonzero(grid.split == number)
        assert of["vectors"] == np.count_nonzero(grid.split[grid.frame] == number)
    assert sum(of["blocks"] for of in summary.splits.values()) == 6
    assert summary.splits["train"]["first"] == "2015-03-01T00:00:00Z"
    # Four cells of 4,825 in nearly every frame: the second radar sees those of the first.
    assert summary.coverage == pytest.approx(4 / 4825, rel=0.01)
    assert grid.about["radars"] == summary.radars and grid.about["split"]["block_hours"] == 4


def test_nights_between_are_missing_time(made):
    """Twelve hours without records are three blocks of four, and none of them is there."""
    grid = open_grid(made[1])
    assert set(grid.segment.tolist()) == {0, 1} and set(grid.block.tolist()) == set(range(6))
    assert (
        np.flatnonzero(np.diff(grid.segment)).tolist() == np.flatnonzero(np.diff(grid.times_s) > 120).tolist()
    )


def test_the_same_bytes_for_any_number_of_workers_and_any_folder(records, made, tmp_path, monkeypatch):
    monkeypatch.setenv("EARTHSIGNALS_WORKERS", "2")
    shutil.copytree(records, tmp_path / "elsewhere")
    make_grid(tmp_path / "elsewhere", PARAMS, tmp_path / "grid.h5")
    assert md5_file(tmp_path / "grid.h5") == md5_file(made[1])


def test_a_record_of_midnight_may_lie_in_either_file(records, tmp_path):
    """Whichever file of a day a record is in, it is the time that counts, and twice is once."""
    days = [read_vectors(records / f"{day}.north.grid.bz2", PARAMS).vectors for day in DAYS]
    strays = days[0].take(days[0].start_s > days[0].start_s.max() - 600)
    write_day(tmp_path / "20150301.north.grid", days[0])
    write_day(tmp_path / "20150302.north.grid", Vectors.concatenate([days[1], strays]))
    summary = make_grid(tmp_path, PARAMS, tmp_path / "grid.h5")
    assert summary.dropped == {"duplicate": len(strays)}
    make_grid(records, PARAMS, tmp_path / "expected.h5")
    grid, expected = open_grid(tmp_path / "grid.h5"), open_grid(tmp_path / "expected.h5")
    assert np.array_equal(grid.velocity, expected.velocity) and np.array_equal(grid.times_s, expected.times_s)


def test_a_file_that_cannot_be_read_is_named_and_the_rest_used(records, tmp_path):
    for day in DAYS:
        shutil.copy(records / f"{day}.north.grid.bz2", tmp_path)
    (tmp_path / "20150303.north.grid.bz2").write_bytes(b"no bzip2 at all")
    (tmp_path / "20150304.north.grid").write_bytes(b"")
    summary = make_grid(tmp_path, PARAMS, tmp_path / "grid.h5")
    assert sorted(summary.refused) == ["20150303.north.grid.bz2", "20150304.north.grid"]
    assert all(name in sentence for name, sentence in summary.refused.items())
    assert not any(str(tmp_path) in sentence for sentence in summary.refused.values())
    assert summary.files == 2 and open_grid(tmp_path / "grid.h5").about["refused"] == summary.refused


def test_the_good_part_of_a_damaged_file_is_used_and_the_damage_counted(records, tmp_path):
    plain = bz2.decompress((records / "20150301.north.grid.bz2").read_bytes())
    shutil.copy(records / "20150302.north.grid.bz2", tmp_path)
    (tmp_path / "20150301.north.grid").write_bytes(plain[: int(0.9 * len(plain)) - 7])
    summary = make_grid(tmp_path, PARAMS, tmp_path / "grid.h5")
    whole = 2 * 4 * (360 + 300)
    assert 0.5 * whole < summary.vectors < whole and sum(summary.faults.values()) > 0
    assert open_grid(tmp_path / "grid.h5").about["faults"] == summary.faults


def test_files_of_nothing_but_damage_are_refused(tmp_path):
    (tmp_path / "20150301.north.grid.bz2").write_bytes(b"no bzip2 at all")
    with pytest.raises(GridError, match=r"none of its 1 files gave a vector: 20150301.north.grid.bz2"):
        make_grid(tmp_path, PARAMS, tmp_path / "grid.h5")
    assert not (tmp_path / "grid.h5").exists()


def test_a_folder_without_the_hemisphere_says_so(records, tmp_path):
    with pytest.raises(GridError, match="holds no grid file of the north, expected .*superdarn-records"):
        make_grid(tmp_path, PARAMS, tmp_path / "grid.h5")
    shutil.copy(records / "20150301.south.grid.bz2", tmp_path)
    with pytest.raises(GridError, match=r"other hemisphere it has 1: see superdarn.grid.hemisphere"):
        make_grid(tmp_path, PARAMS, tmp_path / "grid.h5")


def test_too_few_blocks_are_refused(records, tmp_path):
    with pytest.raises(EarthSignalsError, match="2 block.* of 24 hours"):
        make_grid(records, SuperdarnParams(), tmp_path / "grid.h5")
    assert not (tmp_path / "grid.h5").exists()


def test_every_parameter_of_grid_and_split_changes_the_arrays():
    seen = Vectors.concatenate([of_day(0), of_day(1)])

    def arrays(grid: dict, split: dict) -> tuple:
        made = grid_of(seen, GridParams(**grid), SplitParams(**{"block_hours": 4, **split}))
        return tuple(
            part.tobytes() for part in (made.times_s, made.split, made.row, made.column, made.velocity)
        )

    # equal-area puts the centres of cells where polar of 1° does, and everything else elsewhere: test_layout.
    grids = [
        {}, {"representation": "square"}, {"representation": "square", "size": 64}, {"columns": 300},
        {"representation": "flat"}, {"latitude_min": 66.0}, {"latitude_step": 2.0}, {"cadence_minutes": 4},
    ]  # fmt: skip
    splits = [{"block_hours": 2}, {"test_fraction": 0.5}, {"validation_fraction": 0.34}]
    found = {arrays(grid, {}) for grid in grids} | {arrays({}, split) for split in splits}
    assert len(found) == len(grids) + len(splits)


def test_the_stage_prints_what_it_made_the_same_bytes_on_another_processor(records, made, tmp_path):
    shutil.copytree(records, tmp_path / "data/superdarn/records")
    (tmp_path / "params.yaml").write_text("superdarn:\n  split: {block_hours: 4}\n")
    plain = {
        "NPY_DISABLE_CPU_FEATURES": "AVX512_ICL AVX512_SPR X86_V4 X86_V3", "OPENBLAS_CORETYPE": "Nehalem",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, ROOT / "stages/superdarn/grid.py"], cwd=tmp_path, env={**os.environ, **plain},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("train: ") and lines[3] == "2 radars, 0.1% of the cells in a frame"
    assert md5_file(tmp_path / "data/superdarn/grid.h5") == md5_file(made[1])
    assert len(open_grid(made[1])) == 2 * 361


def test_a_real_day_has_the_statistics_that_were_measured(real_data):
    """2015-03-01: ≈ 550 vectors a frame, RMSE of persistence 102 and 286 m/s at 2 and 60 minutes."""
    files = sorted((real_data / "superdarn/secs_nc_north").glob("*.nc"))
    if not files:
        pytest.skip("no real day of grid netCDF files: set EARTHSIGNALS_REAL_DATA")
    day = Vectors.concatenate([read_vectors(file, PARAMS).vectors for file in files])
    grid = grid_of(day, PARAMS.grid)
    assert abs(len(grid) - 720) <= 1 and set(grid.segment.tolist()) == set(grid.block.tolist()) == {0}
    assert len(np.unique(np.stack([grid.stid, grid.channel]), axis=1).T) == len(files)
    assert len(grid.velocity) / len(grid) == pytest.approx(550, rel=0.02)
    assert sum(grid.dropped.values()) < 0.005 * len(day)
    for lead, expected in {1: 102, 5: 184, 15: 233, 30: 286}.items():
        errors = []
        for t in range(360, len(grid) - lead):
            then, now = grid.persistence_pairs(t, lead)
            turned = np.radians(grid.kvect[now].astype(float) - grid.kvect[then])
            errors.append(grid.velocity[then] - grid.velocity[now] * np.cos(turned))
        assert np.sqrt(np.mean(np.concatenate(errors) ** 2)) == pytest.approx(expected, rel=0.05)
