"""CF netCDF of any origin as a scene: its places, bands, scales and times, and what is refused."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from earthsignals.clouds.imagery.netcdf import read_netcdf
from earthsignals.clouds.imagery.plane import Plane
from earthsignals.clouds.imagery.refusal import RefusedScene

TIME = np.datetime64("2020-01-31T13:30:00", "ns")
LAT, LON = np.arange(8, 12, 0.05) + 0.025, np.arange(-62, -57, 0.05) + 0.025


def dataset(values: np.ndarray | None = None, lat: np.ndarray = LAT, lon: np.ndarray = LON) -> xr.Dataset:
    """One variable `albedo` over latitude (ascending) and longitude; it grows to the east unless given."""
    if values is None:
        values = np.broadcast_to(np.linspace(0, 1, len(lon)), (len(lat), len(lon)))
    return xr.Dataset(
        {"albedo": (("lat", "lon"), values.astype(np.float32), {"units": "1"})},
        {
            "lat": ("lat", lat, {"standard_name": "latitude", "units": "degrees_north"}),
            "lon": ("lon", lon, {"standard_name": "longitude", "units": "degrees_east"}),
            "time": ((), TIME, {"standard_name": "time"}),
        },
    )


def saved(file: xr.Dataset, path: Path, **encoding: dict) -> Path:
    file.to_netcdf(path, engine="netcdf4", encoding=encoding)
    return path


def test_a_grid_of_latitudes_and_longitudes(tmp_path: Path) -> None:
    scene = read_netcdf(saved(dataset(), tmp_path / "grid.nc"), 5.0)
    assert scene.name == "grid"
    assert scene.time == dt.datetime(2020, 1, 31, 13, 30, tzinfo=dt.UTC)
    assert (scene.product, scene.bands) == ("visible", ("albedo",) * 3)
    longitude, latitude = scene.plane.lonlat()
    inside = (np.abs(longitude + 59.5) < 2.5) & (np.abs(latitude - 10) < 2)
    np.testing.assert_array_equal(scene.valid, inside)
    expected = 255 * (longitude - LON[0]) / (LON[-1] - LON[0])
    away = inside & (np.abs(longitude + 59.5) < 2.4)
    assert np.abs(scene.values[0] - expected)[away].max() < 1  # ascending latitudes are turned, not mirrored


@pytest.mark.parametrize("flip", ["north-first", "east-first", "0-360"])
def test_the_order_of_rows_and_columns_does_not_matter(tmp_path: Path, flip: str) -> None:
    values = np.add.outer(np.linspace(0, 0.6, len(LAT)), np.linspace(0, 0.4, len(LON)))
    plain = read_netcdf(saved(dataset(values), tmp_path / "plain.nc"), 5.0)
    turned = dataset(values)
    if flip == "north-first":
        turned = turned.isel(lat=slice(None, None, -1))
    elif flip == "east-first":
        turned = turned.isel(lon=slice(None, None, -1))
    else:
        turned["lon"] = turned["lon"] + 360
    scene = read_netcdf(saved(turned, tmp_path / "turned.nc"), 5.0)
    assert scene.plane == plain.plane
    assert np.abs(scene.values.astype(int) - plain.values).max() <= 1


def test_a_grid_across_the_antimeridian(tmp_path: Path) -> None:
    lon = (LON + 59.5 + 180 + 180) % 360 - 180  # 177.5° E … 177.5° W as others write it: 179.9, -179.9, …
    assert lon.max() > 179 and lon.min() < -179
    scene = read_netcdf(saved(dataset(lon=lon), tmp_path / "dateline.nc"), 5.0)
    elsewhere = read_netcdf(saved(dataset(), tmp_path / "elsewhere.nc"), 5.0)
    assert abs(scene.plane.longitude) == pytest.approx(180, abs=1e-3)
    assert scene.plane.shape == elsewhere.plane.shape
    assert np.abs(scene.values.astype(int) - elsewhere.values).max() <= 1


def test_a_place_for_every_pixel(tmp_path: Path) -> None:
    """A turned swath of three bands, with variables beside them that are no brightness."""
    plane = Plane.around(-10.0, 179.8, 4.0, (80, 90))
    turn, (row, column) = np.radians(25), np.meshgrid(np.arange(-60, 60), np.arange(-70, 70), indexing="ij")
    lat, lon = plane.geolocate(
        39.5 + np.cos(turn) * row - np.sin(turn) * column, 44.5 + np.sin(turn) * row + np.cos(turn) * column
    )
    place = {"grid_mapping": "crs", "coordinates": "lat lon", "units": "%"}
    file = xr.Dataset({
        name: (("line", "pixel"), np.full(lat.shape, percent, np.float32), place)
        for name, percent in (("blue", 60.0), ("red", 20.0), ("green", 40.0))
    })  # fmt: skip
    file["lat"] = (("line", "pixel"), lat, {"standard_name": "latitude"})
    file["lon"] = (("line", "pixel"), lon, {"standard_name": "longitude"})
    file["sun"] = (("line", "pixel"), lat, {"units": "degrees"})
    file["quality"] = (("line", "pixel"), np.ones(lat.shape, np.int8), {"flag_values": np.int8(1)})
    file.attrs["time_coverage_start"] = "2020-01-31T13:30:00Z"
    scene = read_netcdf(saved(file, tmp_path / "swath.nc"), 4.0)
    assert scene.bands == ("red", "green", "blue")
    assert scene.time.hour == 13
    assert [set(band[scene.valid]) for band in scene.values] == [{51}, {102}, {153}]
    assert scene.valid.sum() == pytest.approx(120 * 140, rel=0.03)  # areas are true


def test_three_bands_in_one_variable_and_a_time_of_length_one(tmp_path: Path) -> None:
    kelvin = np.stack([np.full((len(LAT), len(LON)), t, np.float32) for t in (310, 250, 190)])
    file = dataset().drop_vars(["albedo", "time"])
    file["bt"] = (("time", "channel", "lat", "lon"), kelvin[None], {"units": "K"})
    file["time"] = ("time", [TIME], {"standard_name": "time"})
    scene = read_netcdf(saved(file, tmp_path / "bt.nc"), 5.0)
    assert scene.product == "infrared"
    assert [set(band[scene.valid]) for band in scene.values] == [{0}, {128}, {255}]  # cold is bright


def test_fill_values_nan_and_numbers_out_of_range_are_unknown(tmp_path: Path) -> None:
    values = np.full((len(LAT), len(LON)), 0.5)
    values[:20] = np.nan
    packed = {"dtype": "i2", "scale_factor": 1e-4, "_FillValue": np.int16(-9999)}
    scene = read_netcdf(saved(dataset(values), tmp_path / "fill.nc", albedo=packed), 5.0)
    latitude = scene.plane.lonlat()[1]
    assert not scene.valid[latitude < 8.97].any()
    assert scene.valid[(latitude > 9.03) & (latitude < 11.9)].mean() > 0.95
    assert set(scene.values[0][scene.valid]) == {128}

    file = dataset(np.where(LON < -60, 300.0, 128.0) * np.ones((len(LAT), 1)))
    file["albedo"].attrs = {"valid_range": np.array([0, 256], np.float32)}  # which tells what is white, too
    scene = read_netcdf(saved(file, tmp_path / "range.nc"), 5.0)
    longitude = scene.plane.lonlat()[0]
    assert not scene.valid[longitude < -60.03].any()
    assert set(scene.values[0][scene.valid]) == {128}


def test_bytes_stand_for_themselves(tmp_path: Path) -> None:
    file = dataset(np.full((len(LAT), len(LON)), 77.0))
    file["albedo"] = file["albedo"].astype(np.uint8)
    file["albedo"].attrs = {}
    scene = read_netcdf(saved(file, tmp_path / "bytes.nc"), 5.0)
    assert set(scene.values[0][scene.valid]) == {77}


def refused(path: Path) -> RefusedScene:
    with pytest.raises(RefusedScene) as caught:
        read_netcdf(path, 5.0)
    return caught.value


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated_files_are_refused(tmp_path: Path, share: float) -> None:
    path = saved(dataset(), tmp_path / "cut.nc")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert refused(path).reason == "unreadable"


def test_missing_and_superfluous_bands_are_refused(tmp_path: Path) -> None:
    none = refused(saved(dataset().drop_vars("albedo"), tmp_path / "none.nc"))
    assert none.reason == "bands" and "(none)" in none.detail
    two = dataset()
    two["other"] = two["albedo"]
    found = refused(saved(two, tmp_path / "two.nc"))
    assert found.reason == "bands" and "albedo, other" in found.detail
    for name in ("red", "green", "blue"):  # among others, these are meant
        two[name] = two["albedo"]
    assert read_netcdf(saved(two, tmp_path / "rgb.nc"), 5.0).bands == ("red", "green", "blue")


def test_files_that_tell_too_little_are_refused(tmp_path: Path) -> None:
    file = dataset(np.full((len(LAT), len(LON)), 40.0))
    file["albedo"].attrs["units"] = "W m-2 sr-1"
    assert refused(saved(file, tmp_path / "radiance.nc")).reason == "scale"
    assert refused(saved(dataset().drop_vars("time"), tmp_path / "undated.nc")).reason == "no-time"
    several = dataset().drop_vars("time").expand_dims(time=pd.date_range("2020-01-01", periods=2))
    assert refused(saved(several, tmp_path / "several.nc")).reason == "times"
    nowhere = dataset().drop_vars("lat")
    assert refused(saved(nowhere, tmp_path / "nowhere.nc")).reason == "no-place"
    empty = dataset(np.full((len(LAT), len(LON)), np.nan))
    assert refused(saved(empty, tmp_path / "empty.nc")).reason == "empty"
    wide = dataset(lat=np.linspace(-60, 60, len(LAT)), lon=np.linspace(-100, 100, len(LON)))
    assert refused(saved(wide, tmp_path / "wide.nc")).reason == "too-wide"
    with netCDF4.Dataset(tmp_path / "odd.nc", "w") as odd:
        odd.createDimension("time", 1)
        time = odd.createVariable("time", "f8", ("time",))
        time.units = "days since the flood"
        time[:] = 1
    assert refused(tmp_path / "odd.nc").reason == "unreadable"
