"""Grid netCDF files: the convention of their azimuths on real files, and faults of made-up ones."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from earthsignals.superdarn import field_of_view
from earthsignals.superdarn.cells import cell_index
from earthsignals.superdarn.params import GriddingParams
from earthsignals.superdarn.records.gridfile import read_grid
from earthsignals.superdarn.records.netcdf import VARIABLES, read_netcdf
from earthsignals.superdarn.records.notes import Unusable, counted
from earthsignals.superdarn.records.read import read_vectors
from earthsignals.superdarn.records.times import MJD_OF_EPOCH
from earthsignals.superdarn.stations import by_code
from tests.superdarn.record_stand_ins import some_vectors

NAME = "20150301.sas.v3.0.grid.nc"


def _write(
    path: Path, leave_out: str = "", lat: Any = 52.16, format: str = "NETCDF4", **changes: Any
) -> Path:
    vectors = some_vectors(stids=(5,))
    columns = {key: getattr(vectors, key).astype(np.float64) for key in VARIABLES} | changes
    for key in ("start_s", "end_s"):
        columns[key] = columns[key] / 86400.0 + MJD_OF_EPOCH
    with netCDF4.Dataset(path, "w", format=format) as file:
        file.createDimension("npts", len(vectors))
        for key, variable in VARIABLES.items():
            if key != leave_out:
                kind = "f8" if variable.startswith("mjd") else "f4"
                file.createVariable(variable, kind, ("npts",), fill_value=-999.0)[:] = columns[key]
        if lat is not None:
            file.lat, file.lon = lat, -106.53
    return path


def test_what_is_in_the_file_is_read(tmp_path: Path) -> None:
    found, notes = read_netcdf(_write(tmp_path / NAME))
    assert found.equals(some_vectors(stids=(5,))) and not notes


@pytest.mark.parametrize(
    "name, channel", [(NAME, 0), ("20150301.sas.a.v3.0.grid.nc", 1), ("20150301.SAS.d.v3.0.grid.nc", 4)]
)
def test_the_name_tells_radar_and_channel(tmp_path: Path, name: str, channel: int) -> None:
    found, _ = read_netcdf(_write(tmp_path / name))
    assert np.all(found.stid == 5) and np.all(found.channel == channel)


def test_fill_values_and_impossible_ones_are_counted(tmp_path: Path) -> None:
    vectors = some_vectors(stids=(5,))
    mlat, velocity = vectors.mlat.astype("f8"), vectors.velocity.astype("f8")
    start, end = vectors.start_s.copy(), vectors.end_s.copy()
    mlat[0], velocity[1], start[2], end[3] = -999.0, -999.0, np.nan, start[3]
    path = _write(tmp_path / NAME, mlat=mlat, velocity=velocity, start_s=start, end_s=end)
    found, notes = read_netcdf(path)
    assert counted(notes) == {
        "vectors without a place or a direction": 1, "vectors without a possible time": 2,
    }  # fmt: skip
    assert len(found) == len(vectors) - 3
    assert np.count_nonzero(np.isnan(found.velocity)) == 1  # for the dataset to count


@pytest.mark.parametrize(
    "name, faults, message",
    [
        (NAME, {"leave_out": "kvect"}, "no variable vector.kvect"),
        (NAME, {"lat": 60.0}, "named for Saskatoon at 52.16"),
        ("20150301.xyz.v3.0.grid.nc", {}, "xyz"),
        ("grid.nc", {}, "its name tells no radar"),
    ],
)
def test_faults_are_sentences(tmp_path: Path, name: str, faults: dict[str, Any], message: str) -> None:
    with pytest.raises(Unusable, match=message):
        read_netcdf(_write(tmp_path / name, **faults))


def test_a_file_cut_off_and_one_of_something_else(tmp_path: Path) -> None:
    path = _write(tmp_path / NAME)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(Unusable, match=f"{NAME}: no readable netCDF file"):
        read_netcdf(path)
    with netCDF4.Dataset(tmp_path / "20150301.sas.other.nc", "w") as file:
        file.createDimension("x", 1)
    with pytest.raises(Unusable, match="no SuperDARN file"):
        read_vectors(tmp_path / "20150301.sas.other.nc", GriddingParams())


@pytest.mark.parametrize("format", ["NETCDF4", "NETCDF3_CLASSIC"])
def test_a_file_cut_off_is_called_so(tmp_path: Path, format: str) -> None:
    """Of the classic format the beginning can be opened: its length says it."""
    path = _write(tmp_path / NAME, format=format)
    assert len(read_vectors(path, GriddingParams()).vectors) == 60
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(Unusable, match=f"^a/{NAME}: .* cut off or damaged") as raised:
        read_vectors(path, GriddingParams(), f"a/{NAME}")
    assert raised.value.reason == "damaged netCDF" and str(tmp_path) not in str(raised.value)


def test_lengths_that_no_such_file_can_hold(tmp_path: Path) -> None:
    """Ten kilobytes that claim 2e9 vectors: refused before anything is read."""
    with netCDF4.Dataset(tmp_path / NAME, "w") as file:
        file.createDimension("npts", 2_000_000_000)
        for variable in VARIABLES.values():
            file.createVariable(variable, "f4", ("npts",), chunksizes=(100_000,), zlib=True)
    assert (tmp_path / NAME).stat().st_size < 100_000
    with pytest.raises(Unusable, match=f"{NAME}: claims 2,000,000,000 vectors in .* bytes"):
        read_vectors(tmp_path / NAME, GriddingParams())


def test_variables_that_are_no_numbers(tmp_path: Path) -> None:
    path = _write(tmp_path / NAME, leave_out="kvect")
    with netCDF4.Dataset(path, "a") as file:
        file.createVariable("vector.kvect", str, ("npts",))[0] = "north"
    with pytest.raises(Unusable, match=r"vector\.kvect holds no numbers"):
        read_netcdf(path)


@pytest.mark.parametrize("lat", [np.nan, np.inf, "north", np.array([52.16, 52.16])])
def test_a_place_that_is_none_is_no_proof_of_the_name(tmp_path: Path, lat: Any) -> None:
    with pytest.raises(Unusable, match="its attributes lat and lon are no place"):
        read_netcdf(_write(tmp_path / NAME, lat=lat))
    assert len(read_netcdf(_write(tmp_path / NAME, lat=None))[0]) == 60  # without: nothing to compare with


def test_vectors_of_the_other_hemisphere_are_counted(tmp_path: Path) -> None:
    """Saskatoon sees nothing of the south."""
    mlat = some_vectors(stids=(5,)).mlat.astype("f8")
    mlat[:3] *= -1
    found, notes = read_netcdf(_write(tmp_path / NAME, mlat=mlat))
    assert len(found) == 57 and np.all(found.mlat > 0)
    assert counted(notes) == {"vectors in another hemisphere than their radar": 3}


def test_azimuths_point_along_the_flow(real_data: Path) -> None:
    """Inuvik on 2015-03-01, 20:02 to 20:06: the same echoes as a DMAP grid file, which points along the flow.

    Azimuths agree, and speeds as well as another version of the fit lets them.
    """
    folder = real_data / "superdarn"
    grid, _ = read_grid(folder / "dmap_tests/test.grid")
    path = folder / "secs_nc_north/20150301.inv.v3.0.grid.nc"
    found, _ = read_netcdf(path)
    assert np.all(found.stid == grid.stid[0]) and np.all(found.velocity >= 0)
    pairs = [
        (here, there)
        for here in range(len(grid))
        for there in np.flatnonzero((found.start_s == grid.start_s[here]) & (found.index == grid.index[here]))
    ]
    one, other = (np.array(side) for side in zip(*pairs, strict=True))
    turn = np.radians(grid.kvect[one] - found.kvect[other])
    assert len(pairs) > 40 and np.median(np.cos(turn)) > 0.999
    fast = grid.velocity[one] > 150  # slow ones change their sign by noise
    assert np.all(np.cos(turn[fast]) > 0.99)
    assert np.corrcoef(grid.velocity[one], found.velocity[other])[0, 1] > 0.8


@pytest.mark.parametrize("code", ["inv", "sto", "wal"])
def test_what_vel_dirn_really_says(real_data: Path, code: str) -> None:
    """-1 where the flow is away from the radar and +1 where it is towards it, against its own description."""
    path = real_data / f"superdarn/secs_nc_north/20150301.{code}.v3.0.grid.nc"
    found, _ = read_netcdf(path)
    with netCDF4.Dataset(path) as file:
        # By the start alone, stably: as vectors of one radar and channel would be if cells were in order.
        order = np.lexsort((found.index, found.start_s))
        own = np.asarray(file["mjd_start"][:]), np.asarray(file["vector.mlat"][:]), file["vector.mlon"][:]
        there = np.lexsort((cell_index(own[1], own[2]), own[0]))
        dirn = np.asarray(file["vector.vel.dirn"][:])[there]
    seen = field_of_view.cells(by_code(code), dt.datetime(2015, 3, 1))
    row = np.minimum(np.searchsorted(seen.index, found.index), len(seen) - 1)
    known = seen.index[row] == found.index
    along = np.cos(np.radians(found.kvect - seen.kvect_away[row]))
    assert np.array_equal(order, np.arange(len(found))) and known.mean() > 0.9
    assert np.mean(np.sign(along[known]) == -dirn[known]) > 0.995


def test_the_whole_real_day(real_data: Path) -> None:
    """22 files of 20 radars: 399,327 vectors, none twice."""
    paths = sorted((real_data / "superdarn/secs_nc_north").glob("*.nc"))
    read = [read_vectors(path, GriddingParams()) for path in paths]
    assert sum(len(each.vectors) for each in read) == 399_327
    assert not any(each.notes for each in read)
    assert len({int(each.vectors.stid[0]) for each in read}) == 20
