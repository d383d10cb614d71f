"""The grid: what is kept and what is dropped, the frames there are, windows, pairs, and the file."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import pytest

from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.cells import cell_centre
from earthsignals.superdarn.framing import split_of_blocks
from earthsignals.superdarn.grid import FRAMES, VECTORS, GridError, grid_of, open_grid, write_grid
from earthsignals.superdarn.mlt import mlt_of_zero
from earthsignals.superdarn.params import GridParams, SplitParams
from earthsignals.superdarn.records.vectors import Vectors
from earthsignals.superdarn.represent import CHANNELS, represent

START = 1_425_168_000  # 2015-03-01 00:00 UTC
PARAMS = GridParams()
CELLS = np.array([65_010, 65_011, 70_050, 75_003], np.int32)


def vectors(
    minutes, *, stid=5, channel=0, index=65_010, length=2.0, kvect=30.0, velocity=400.0, sd=50.0, **more
):
    """Vectors whose windows begin at these minutes of the first day; everything broadcasts."""
    start, *rest = np.broadcast_arrays(
        np.asarray(minutes, float) * 60 + START, np.asarray(length, float) * 60, stid, channel, index, kvect,
        velocity, sd,
    )  # fmt: skip
    start, length, stid, channel, index, kvect, velocity, sd = (part.ravel() for part in (start, *rest))
    mlat, mlon = cell_centre(index)
    columns = {
        "start_s": start, "end_s": start + length, "stid": stid, "channel": channel, "mlat": mlat,
        "mlon": mlon, "kvect": kvect, "velocity": velocity, "velocity_sd": sd, "power": start * 0,
        "width": start * 0, "index": index,
    }  # fmt: skip
    return Vectors(**columns | more)


def steady(hours: float, first_minute: float = 0.0, cells=CELLS, **more) -> Vectors:
    """The cells every two minutes."""
    minutes = first_minute + np.arange(0, hours * 60, 2.0)
    return vectors(np.repeat(minutes, len(cells)), index=np.tile(cells, len(minutes)), **more)


def blocks(hours: int, **more) -> SplitParams:
    return SplitParams(block_hours=hours, **more)


def test_frames_hold_the_middle_of_windows():
    """Middles at 1, 2 and 3.99 minutes; a window that straddles frames goes where its middle is."""
    grid = grid_of(vectors([0.0, 1.0, 2.99], index=CELLS[:3]), PARAMS)
    assert grid.times_s.tolist() == [START, START + 120]
    assert grid.frame.tolist() == [0, 1, 1]
    long = grid_of(vectors([0.0], length=20.0), PARAMS)
    assert long.times_s.tolist() == [START + 600]


def test_another_cadence_makes_other_frames():
    grid = grid_of(steady(1.0), GridParams(cadence_minutes=10))
    assert len(grid) == 6 and np.all(np.diff(grid.times_s) == 600)
    assert grid.dropped == {"same frame": 4 * 4 * 6}  # one of five windows stays


def test_arrays_have_their_types_and_order():
    seen = Vectors.concatenate([
        vectors([2.0, 0.0], stid=[40, 40]), vectors([0.0], stid=9, index=75_003),
        vectors([0.0, 0.0], stid=9, channel=[2, 1], index=65_011),
    ])  # fmt: skip
    grid = grid_of(seen, PARAMS)
    for name, dtype in (FRAMES | VECTORS | {"offsets": "<i8"}).items():
        assert getattr(grid, name).dtype == np.dtype(dtype), name
    assert grid.stid.tolist() == [9, 9, 9, 40, 40]
    assert grid.channel.tolist() == [0, 1, 2, 0, 0]
    assert grid.offsets.tolist() == [0, 4, 5]
    view = grid.vectors(0)
    assert view.index.tolist() == [75_003, 65_011, 65_011, 65_010]
    assert np.shares_memory(view.velocity, grid.velocity)
    row, column = grid.layout.place(view.mlat, view.mlon)
    assert np.array_equal(row, view.row) and np.array_equal(column, view.column)


def test_the_order_of_records_does_not_show():
    seen = Vectors.concatenate([steady(1.0), steady(1.0, 0.5, velocity=123.0), steady(1.0, stid=9)])
    one, other = (
        grid_of(seen, PARAMS),
        grid_of(seen.take(np.random.default_rng(1).permutation(len(seen))), PARAMS),
    )
    for name in (*FRAMES, *VECTORS, "offsets"):
        assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True), name
    assert one.dropped == other.dropped


def test_two_radars_in_a_cell_are_both_kept():
    grid = grid_of(vectors([0.0, 0.0], stid=[5, 6], velocity=[100.0, 200.0]), PARAMS)
    assert grid.velocity.tolist() == [100.0, 200.0] and grid.dropped == {}


def test_of_several_in_a_frame_the_nearest_its_middle_is_kept():
    """Windows of 30 s with middles 15, 55 and 105 s into the frame: 55 s is nearest to 60."""
    seen = vectors([0.0, 40 / 60, 1.5], length=0.5, velocity=[1.0, 2.0, 3.0])
    grid = grid_of(seen, PARAMS)
    assert grid.velocity.tolist() == [2.0] and grid.dropped == {"same frame": 2}


def test_what_is_read_twice_counts_once():
    seen = steady(0.5)
    grid = grid_of(Vectors.concatenate([seen, seen]), PARAMS)
    assert len(grid.velocity) == len(seen) and grid.dropped == {"duplicate": len(seen)}


def test_unusable_vectors_are_dropped_and_counted():
    count = 10
    start = np.full(count, START, float)
    seen = vectors(
        np.zeros(count), index=65_000 + np.arange(count),
        velocity=[np.nan, np.inf, -5.0, 1, 1, 1, 1, 1, 1, 0.0], kvect=[0, 0, 0, np.nan, 0, 0, 0, 0, 0, 0],
        mlat=[65, 65, 65, 65, -65, 45, np.nan, 65, 65, 65],
        start_s=np.where(np.arange(count) == 8, np.nan, start), end_s=start + 120 * (np.arange(count) != 7),
    )  # fmt: skip
    grid = grid_of(seen, PARAMS)
    assert grid.dropped == {
        "velocity not finite": 2, "velocity negative": 1, "azimuth not finite": 1, "other hemisphere": 1,
        "equatorward of latitude_min": 1, "position not finite": 1, "window of no length": 1,
        "time not finite": 1,
    }  # fmt: skip
    assert grid.velocity.tolist() == [0.0]  # at rest is a measurement
    assert len(grid.velocity) + sum(grid.dropped.values()) == count


def test_an_unknown_error_of_a_velocity_does_not_cost_the_vector():
    grid = grid_of(vectors([0.0, 2.0], sd=[np.nan, np.inf]), PARAMS)
    assert len(grid.velocity) == 2 and np.isnan(grid.velocity_sd).all()


def test_without_any_vector_the_reasons_are_told():
    with pytest.raises(
        GridError, match=r"no vector of the south is left .*other hemisphere: 120.*hemisphere"
    ):
        grid_of(steady(1.0), GridParams(hemisphere="south"))
    with pytest.raises(GridError, match="no vector of the north"):
        grid_of(Vectors.empty(), PARAMS)


def test_southern_vectors_make_a_southern_grid():
    grid = grid_of(steady(1.0, cells=-CELLS), GridParams(hemisphere="south"))
    assert np.all(grid.mlat < 0) and len(grid.velocity) == 4 * 30
    assert grid.row[:2].tolist() == [25, 20]  # in the order of the index: -75003, -70050, …
    assert sorted(set(grid.row.tolist())) == [15, 20, 25]


def test_a_gap_of_hours_is_empty_frames():
    """Records of hours 0–2 and 7–9 of one day: nine hours of frames, one segment."""
    grid = grid_of(Vectors.concatenate([steady(2.0), steady(2.0, 420.0)]), PARAMS)
    assert len(grid) == 270 and np.all(np.diff(grid.times_s) == 120) and np.all(grid.segment == 0)
    count = np.diff(grid.offsets)
    assert np.all(count[60:210] == 0) and np.all(count[:60] == 4) and np.all(count[210:] == 4)
    assert len(grid.vectors(100).velocity) == 0


def test_days_without_records_are_no_frames():
    """Records on the first and the fourth day: two segments, and no window reaches from one to the other."""
    grid = grid_of(Vectors.concatenate([steady(2.0), steady(2.0, 3 * 1440.0)]), PARAMS)
    assert len(grid) == 120 and grid.segment.tolist() == [0] * 60 + [1] * 60
    assert grid.block.tolist() == grid.segment.tolist()
    issues = grid.issues("train", 10, 5, 1)
    assert issues.tolist() == [*range(9, 55), *range(69, 115)]
    assert len(grid.persistence_pairs(58, 4)[0]) == 0


def test_midnight_is_no_border_of_segments():
    """Days that end at 23:30 and begin at 00:40 again: the frames between are there."""
    grid = grid_of(Vectors.concatenate([steady(23.5), steady(23.0, 1440 + 40.0)]), PARAMS)
    assert np.all(np.diff(grid.times_s) == 120) and np.all(grid.segment == 0)
    assert set(grid.block.tolist()) == {0, 1} and grid.block[720] == 1 and grid.block[719] == 0


def test_the_last_window_of_a_day_makes_no_day_of_its_own():
    """A radar whose clock is a minute off has windows whose middle is midnight."""
    grid = grid_of(steady(24.0, 1.0), PARAMS)
    assert len(grid) == 720 and set(grid.block.tolist()) == {0}
    grid = grid_of(steady(24.0, -1.5), PARAMS)
    assert set(grid.block.tolist()) == {0}


def test_splits_are_blocks_in_the_order_of_time():
    grid = grid_of(steady(24.0), PARAMS, blocks(2))
    assert grid.block.tolist() == np.repeat(np.arange(12), 60).tolist()
    assert grid.split[::60].tolist() == [0] * 7 + [1] * 2 + [2] * 3
    assert np.all(grid.segment == 0)


@pytest.mark.parametrize("count", [3, 4, 5, 12, 100])
@pytest.mark.parametrize("fractions", [(0.17, 0.25), (0.01, 0.01), (0.45, 0.5)])
def test_no_split_is_empty(count, fractions):
    split = split_of_blocks(count, SplitParams(validation_fraction=fractions[0], test_fraction=fractions[1]))
    assert (
        len(split) == count and set(split.tolist()) == {0, 1, 2} and np.all(np.diff(split.astype(int)) >= 0)
    )
    if count == 100:
        assert np.bincount(split).tolist()[1:] == [round(100 * share) for share in fractions]


def test_fewer_than_three_blocks_are_refused():
    with pytest.raises(
        EarthSignalsError, match="2 block.* of 24 hours.*set superdarn.split.block_hours smaller"
    ):
        grid_of(steady(48.0), PARAMS, blocks(24))


def test_splits_can_be_a_function_of_time():
    """As on the real day: the first twelve hours train, their last two validate."""
    noon = START + 12 * 3600
    grid = grid_of(steady(24.0), PARAMS, lambda times: np.where(times >= noon, 2, times >= noon - 7200))
    assert np.bincount(grid.split).tolist() == [300, 60, 360]
    with pytest.raises(ValueError, match="0, 1 or 2"):
        grid_of(steady(1.0), PARAMS, lambda times: np.full(len(times), 3))


def test_windows_stay_in_their_split():
    grid = grid_of(steady(24.0), PARAMS, blocks(2))
    for number, split in enumerate(("train", "validation", "test")):
        issues = grid.issues(split, 45, 30, 1)
        first, last = np.flatnonzero(grid.split == number)[[0, -1]]
        assert issues.tolist() == list(range(first + 44, last - 30 + 1))
        assert np.array_equal(issues, grid.issues(number, 45, 30))
        assert np.array_equal(grid.issues(split, 45, 30, 6), issues[::6])
    assert len(grid.issues("validation", 100, 30)) == 0  # 120 frames are too few
    assert grid.issues("validation", 1, 0).tolist() == np.flatnonzero(grid.split == 1).tolist()


def test_local_time_is_that_of_the_frames_middle():
    grid = grid_of(steady(24.0), PARAMS)
    assert np.abs(grid.mlt_zero - mlt_of_zero(grid.times_s + 60.0)).max() <= 5e-7
    assert grid.mlt_zero.min() >= 0 and grid.mlt_zero.max() < 24
    # An hour per hour, faster and slower by some per cent as the dipole's tilt turns with the Earth.
    steps = np.diff(grid.mlt_zero) % 24
    assert steps.sum() == pytest.approx(24 * 719 / 720, rel=2e-3)
    assert steps == pytest.approx(np.full(719, 2 / 60), rel=0.15)


def test_activity_is_the_mean_speed_of_the_last_hour():
    """Speeds of 100, after an hour of 300: the mean rises for an hour; an hour after the last it is NaN."""
    seen = Vectors.concatenate([
        steady(1.0, velocity=100.0), steady(1.0, 60.0, velocity=300.0), steady(1.0, 240.0, velocity=500.0),
    ])  # fmt: skip
    activity = grid_of(seen, PARAMS).activity
    assert np.all(activity[:30] == 100)
    assert activity[30:60] == pytest.approx(100 + 200 * np.arange(1, 31) / 30, rel=1e-6)
    assert (
        np.all(activity[60:89] == 300) and np.isnan(activity[89:120]).all() and np.all(activity[120:] == 500)
    )


def test_activity_does_not_reach_over_missing_days():
    grid = grid_of(Vectors.concatenate([steady(1.0, 1380.0), steady(1.0, 4 * 1440.0, velocity=9.0)]), PARAMS)
    assert np.all(grid.activity[30:] == 9)


def test_persistence_pairs_are_the_same_radar_channel_and_cell():
    now = vectors(
        np.zeros(4), stid=[5, 5, 6, 6], channel=[0, 1, 0, 0], index=[65_010, 65_010, 65_010, 70_050]
    )
    then = vectors(
        np.full(4, 10.0), stid=[6, 5, 6, 7], channel=[0, 0, 1, 0], index=65_010, velocity=[1, 2, 3, 4]
    )
    grid = grid_of(Vectors.concatenate([now, then]), PARAMS)
    i_then, i_now = grid.persistence_pairs(0, 5)
    assert grid.velocity[i_then].tolist() == [2, 1]  # of 5/0 and 6/0
    for name in ("stid", "channel", "index"):
        assert np.array_equal(getattr(grid, name)[i_then], getattr(grid, name)[i_now])
    assert np.all(grid.frame[i_then] == 5) and np.all(grid.frame[i_now] == 0)
    assert len(grid.persistence_pairs(0, 1)[0]) == len(grid.persistence_pairs(0, 6)[0]) == 0


def test_frame_at_a_time():
    grid = grid_of(Vectors.concatenate([steady(1.0), steady(1.0, 4 * 1440.0)]), PARAMS)
    assert [grid.frame_at(START + s) for s in (-1, 0, 119.9, 120, 3599, 3600, 4 * 86400)] == [
        -1,
        0,
        0,
        1,
        29,
        -1,
        30,
    ]


def test_one_radar_only():
    grid = grid_of(steady(1.0, cells=CELLS[:1]), PARAMS)
    assert len(grid.velocity) == len(grid) == 30 and grid.vectors(7).stid.tolist() == [5]


# -- representations of older practice


def test_represented_cells_hold_means_of_components_and_no_azimuths():
    """Two radars see the cell along 359° and 1°: the mean is along 0°, not 180°."""
    seen = vectors([0.0, 0.0, 0.0], stid=[5, 6, 6], index=[65_010, 65_010, 70_050], kvect=[359.0, 1.0, 90.0],
                   velocity=[100.0, 300.0, 50.0], sd=[10.0, np.nan, 20.0])  # fmt: skip
    grid = grid_of(seen, PARAMS)
    flat = represent(grid.vectors(0), PARAMS, "flat")
    assert flat.shape == (5, 4825) and flat.dtype == np.float32 and len(CHANNELS) == 5
    both = np.flatnonzero(flat[3] == 2)
    assert len(both) == 1 and flat[3].sum() == 3 and flat[4].sum() == 2
    expected = [200 * np.cos(np.radians(1)), 100 * np.sin(np.radians(1)), 10.0, 2, 1]
    assert flat[:, both[0]] == pytest.approx(expected, abs=1e-4)
    alone = flat[:, flat[3] == 1][:, 0]
    assert alone == pytest.approx([0, 50, 20, 1, 1], abs=1e-5)
    square = represent(grid.vectors(0), PARAMS, "grid", size=61)
    assert square.shape == (5, 61, 61) and square[3].sum() == 3
    assert square[:2].sum(axis=(1, 2)) == pytest.approx(flat[:2].sum(axis=1))


# -- the file


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    grid = grid_of(Vectors.concatenate([steady(6.0), steady(6.0, stid=9, sd=np.nan)]), PARAMS, blocks(2))
    grid.about["source"] = "é"
    path = tmp_path_factory.mktemp("grid") / "grid.h5"
    write_grid(path, grid)
    return grid, path


def test_what_is_written_is_read_back(written):
    grid, path = written
    again = open_grid(path)
    for name in (*FRAMES, *VECTORS, "offsets"):
        assert np.array_equal(getattr(again, name), getattr(grid, name), equal_nan=True), name
        assert getattr(again, name).dtype == getattr(grid, name).dtype
    assert (again.params, again.layout, again.dropped, again.about) == (
        PARAMS,
        grid.layout,
        {},
        {"source": "é"},
    )


def test_equal_grids_give_equal_bytes(written, tmp_path):
    grid, path = written
    write_grid(tmp_path / "other.h5", grid)
    assert (tmp_path / "other.h5").read_bytes() == path.read_bytes()
    write_grid(tmp_path / "again.h5", open_grid(path))
    assert (tmp_path / "again.h5").read_bytes() == path.read_bytes()


def test_an_open_grid_goes_to_other_processes_by_name(written):
    grid, path = written
    opened = open_grid(path)
    told = pickle.dumps(opened)
    assert len(told) < 1000 and np.array_equal(pickle.loads(told).velocity, grid.velocity)
    assert np.array_equal(
        pickle.loads(pickle.dumps(grid)).velocity, grid.velocity
    )  # one in memory as a whole


def test_writing_into_an_open_grid_does_not_reach_the_file(written):
    _, path = written
    before = path.read_bytes()
    open_grid(path).velocity[:] = 0
    assert path.read_bytes() == before and open_grid(path).velocity[0] == 400


def test_a_missing_file_and_a_foreign_one(tmp_path):
    with pytest.raises(GridError, match="no such file; run `dvc repro superdarn-grid`"):
        open_grid(tmp_path / "grid.h5")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["velocity"] = np.zeros(3)
    with pytest.raises(GridError, match="is no earthsignals.superdarn.grid file"):
        open_grid(tmp_path / "foreign.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(GridError, match="truncated or damaged"):
        open_grid(tmp_path / "text.h5")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_noticed(written, tmp_path, share):
    content = written[1].read_bytes()
    (tmp_path / "grid.h5").write_bytes(content[: int(share * len(content))])
    with pytest.raises(GridError, match="damaged"):
        open_grid(tmp_path / "grid.h5", verify=False)


def test_one_turned_bit_is_noticed_and_its_array_named(written, tmp_path):
    _, path = written
    with h5py.File(path) as file:
        offset = file["velocity"].id.get_offset()
    content = bytearray(path.read_bytes())
    content[offset + 101] ^= 1
    (tmp_path / "grid.h5").write_bytes(content)
    with pytest.raises(GridError, match=r"checksum of velocity\).*run `dvc repro superdarn-grid`"):
        open_grid(tmp_path / "grid.h5")
    assert len(open_grid(tmp_path / "grid.h5", verify=False)) == 180


def test_a_write_that_fails_leaves_nothing(written, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(h5py.File, "create_dataset", fails)
    with pytest.raises(KeyboardInterrupt):
        write_grid(tmp_path / "grid.h5", written[0])
    assert list(tmp_path.iterdir()) == []
