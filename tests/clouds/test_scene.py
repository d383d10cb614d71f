"""Scenes and their files: round trip, valid CF for others, and files that are damaged or something else."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pyproj
import pytest
import xarray as xr

from earthsignals.clouds.imagery.plane import Plane
from earthsignals.clouds.imagery.scene import TRUTH, Scene, is_scene, read_scene, write_scene
from earthsignals.storage import EarthSignalsError

TIME = dt.datetime(2020, 2, 29, 13, 30, 0, 123456, tzinfo=dt.UTC)


def small_scene(**changes: object) -> Scene:
    """60 x 75 pixels at the antimeridian with an unknown corner and known truth."""
    generator = np.random.default_rng(1)
    values = generator.integers(0, 256, (3, 60, 75), dtype=np.uint8)
    valid = np.ones((60, 75), bool)
    valid[:10, :20] = False
    truth = {name: generator.random((8, 10), dtype=np.float32) for name in TRUTH}
    scene = Scene(
        "small_1", TIME, Plane.around(12.0, 179.9, 1.5625, (60, 75)), values * valid, valid,
        ("red", "green", "blue"), "visible", regime="fish", series=True, truth=truth,
    )  # fmt: skip
    return replace(scene, **changes)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "small_1.nc"
    write_scene(path, small_scene())
    return path


def test_a_scene_comes_back_as_it_was(path: Path) -> None:
    scene, back = small_scene(), read_scene(path)
    for name in ("name", "time", "plane", "bands", "product", "regime", "series"):
        assert getattr(back, name) == getattr(scene, name)
    np.testing.assert_array_equal(back.values, scene.values)
    np.testing.assert_array_equal(back.valid, scene.valid)
    assert back.values.dtype == np.uint8 and back.valid.dtype == bool
    assert set(back.truth) == set(TRUTH)
    for name in TRUTH:
        np.testing.assert_array_equal(back.truth[name], scene.truth[name])


def test_equal_scenes_are_equal_bytes(path: Path, tmp_path: Path) -> None:
    write_scene(tmp_path / "elsewhere.nc", small_scene())
    assert (tmp_path / "elsewhere.nc").read_bytes() == path.read_bytes()


def test_the_file_is_cf_that_others_can_read(path: Path) -> None:
    scene = small_scene()
    with xr.open_dataset(path) as file:
        assert file.attrs["Conventions"] == "CF-1.11"
        assert "history" not in file.attrs  # it would change with the day
        brightness = file["brightness"]
        assert brightness.dims == ("band", "y", "x")
        assert brightness.attrs["units"] == "1"
        np.testing.assert_allclose(brightness.values, scene.values / 255, atol=1e-6)
        standard = {name: file[name].attrs.get("standard_name") for name in file.variables}
        assert standard["lat"] == "latitude" and standard["lon"] == "longitude"
        assert standard["x"] == "projection_x_coordinate" and standard["y"] == "projection_y_coordinate"
        assert standard["time"] == "time" and standard["validity"] == "status_flag"
        assert standard["band_name"] == "sensor_band_identifier"
        assert file["lat"].attrs["units"] == "degrees_north" and file["lon"].attrs["units"] == "degrees_east"
        assert set(brightness.coords) >= {"x", "y", "lat", "lon", "time", "band_name"}
        assert [name.decode() for name in file["band_name"].values] == ["red", "green", "blue"]
        assert abs(file["time"].values - np.datetime64("2020-02-29T13:30:00.123456", "ns")).astype(int) < 1000
        for name in ("brightness", "validity", *TRUTH):
            mapping = file[name].attrs.get("grid_mapping") or file[name].encoding.get("grid_mapping")
            assert mapping == "crs"
            assert file[name].attrs["units"] in ("1", "km")
        for name in file.variables:
            assert "_FillValue" not in file[name].encoding  # nothing reads as missing but by `validity`
        longitude, latitude = scene.plane.lonlat()
        np.testing.assert_allclose(file["lat"].values, latitude, atol=2e-5)
        np.testing.assert_allclose(file["lon"].values, longitude, atol=2e-5)


def test_the_grid_mapping_leads_from_metres_to_degrees(path: Path) -> None:
    with xr.open_dataset(path) as file:
        crs = pyproj.CRS.from_cf(file["crs"].attrs)
        to_degrees = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
        longitude, latitude = to_degrees.transform(*np.meshgrid(file["x"].values, file["y"].values))
        np.testing.assert_allclose(latitude, file["lat"].values, atol=2e-5)
        np.testing.assert_allclose((longitude - file["lon"].values + 180) % 360 - 180, 0, atol=2e-5)


def test_truth_of_a_window_is_the_mean_of_its_pixels() -> None:
    scene = small_scene()
    for row, column, size in ((0, 0, 8), (3, 5, 20), (28, 43, 32), (50, 60, 10)):
        found = scene.truth_of(row, column, size)
        for name in TRUTH:
            pixels = np.kron(scene.truth[name], np.ones((8, 8)))[:60, :75]  # the last blocks are cut
            window = pixels[row : row + size, column : column + size]
            assert found[name] == pytest.approx(window.mean(), rel=1e-6)


def test_truth_is_unknown_where_there_is_none() -> None:
    scene = small_scene(truth={"scale_km": np.full((8, 10), 30, np.float32)})
    found = scene.truth_of(0, 0, 16)
    assert found["scale_km"] == 30 and np.isnan(found["clustering"])
    scene.truth["scale_km"][0, 0] = np.nan
    assert np.isnan(scene.truth_of(0, 0, 16)["scale_km"])
    assert scene.truth_of(8, 8, 16)["scale_km"] == 30  # NaN outside of the window does no harm


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.999])
def test_a_truncated_file_is_refused_in_a_sentence(path: Path, tmp_path: Path, share: float) -> None:
    whole = path.read_bytes()
    cut = tmp_path / "cut.nc"
    cut.write_bytes(whole[: int(share * len(whole))])
    assert not is_scene(cut)
    with pytest.raises(EarthSignalsError, match=r"cut\.nc cannot be read as netCDF .*truncated"):
        read_scene(cut)


def test_a_changed_byte_of_brightness_is_noticed(path: Path, tmp_path: Path) -> None:
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        chunk = file["brightness"].id.get_chunk_info(1)
    content[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    changed = tmp_path / "changed.nc"
    changed.write_bytes(content)
    with pytest.raises(EarthSignalsError, match="damaged"):
        read_scene(changed)


def test_files_that_are_no_scenes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EarthSignalsError, match="does not exist"):
        read_scene(tmp_path / "none.nc")
    other = tmp_path / "other.nc"
    with netCDF4.Dataset(other, "w") as file:
        file.createDimension("x", 3)
        file.createVariable("x", "f8", ("x",))[:] = 0
    assert not is_scene(other)
    with pytest.raises(EarthSignalsError, match="no scene of this project"):
        read_scene(other)
    with netCDF4.Dataset(other, "a") as file:
        file.earthsignals_scene = 1
    with pytest.raises(EarthSignalsError, match="no complete scene"):
        read_scene(other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a/b"}, "other characters"),
        ({"time": dt.datetime(2020, 1, 1)}, "time zone"),
        ({"values": np.zeros((3, 60, 75))}, "values are float64"),
        ({"valid": np.ones((3, 4), bool)}, "valid is bool"),
        ({"product": "radar"}, "product `radar`"),
        ({"truth": {"scale_km": np.zeros((2, 2))}}, "truth `scale_km`"),
        ({"truth": {"colour": np.zeros((8, 10))}}, "truth `colour`"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(EarthSignalsError, match=message):
        small_scene(**changes)
