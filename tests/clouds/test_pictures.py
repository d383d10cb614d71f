"""Pictures: what names and world files tell, gaps, GeoTIFF, the real MODIS and GOES images, and refusals."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio import Affine

from earthsignals.clouds.imagery.names import bounds_in_name, scene_name, time_in_name
from earthsignals.clouds.imagery.pictures import gaps, picture_frame, read_picture
from earthsignals.clouds.imagery.refusal import RefusedScene
from earthsignals.clouds.imagery.scene import read_scene, write_scene

NAME = "P_20200131_-61--57_10-14"


def picture(path: Path, pixels: np.ndarray) -> Path:
    """Written as the suffix says; bytes (H, W) or (H, W, C)."""
    Image.fromarray(pixels.astype(np.uint8)).save(path, **({"quality": 95} if path.suffix == ".jpeg" else {}))
    return path


def coloured(height: int = 200, width: int = 200) -> np.ndarray:
    """Red grows to the east, green to the south, blue is even."""
    red, green = np.meshgrid(np.linspace(40, 215, width), np.linspace(40, 215, height))
    return np.stack([red, green, np.full_like(red, 90)], axis=-1)


@pytest.mark.parametrize(
    ("stem", "time"),
    [
        ("Aqua_CorrectedReflectance20071227_-61--40_10-24", dt.datetime(2007, 12, 27, 12)),
        ("OR_ABI-L2-CMIPM1-M6C03_G16_s20211451810267_e20211451810324", dt.datetime(2021, 5, 25, 18, 10, 26)),
        ("goes_2020-02-29T1330", dt.datetime(2020, 2, 29, 13, 30)),
        ("x20200229_133059", dt.datetime(2020, 2, 29, 13, 30, 59)),
        ("x20210229", None),  # no leap year
        ("tile_123456789", None),
        ("Fish", None),
    ],
)
def test_times_in_names(stem: str, time: dt.datetime | None) -> None:
    assert time_in_name(stem) == (None if time is None else time.replace(tzinfo=dt.UTC))


@pytest.mark.parametrize(
    ("stem", "bounds"),
    [
        ("Aqua20071227_-61--40_10-24", (-61, -40, 10, 24)),
        ("a_12.5-13.25_-3--1.5", (12.5, 13.25, -3, -1.5)),
        ("a_170--170_-10-10", (170, 190, -10, 10)),  # across the antimeridian
        ("a_10-20_30-20", None),  # south above north
        ("a_10-20_80-95", None),
        ("a_10-20", None),
    ],
)
def test_bounds_in_names(stem: str, bounds: tuple | None) -> None:
    assert bounds_in_name(stem) == bounds


def test_names_become_those_of_scenes() -> None:
    assert scene_name("Wolken über See (2)") == "Wolken_ber_See_2_"
    assert scene_name("") == "scene"


@pytest.mark.parametrize("suffix", [".png", ".jpeg"])
def test_a_picture_lies_where_its_name_says(tmp_path: Path, suffix: str) -> None:
    scene = read_picture(picture(tmp_path / f"{NAME}{suffix}", coloured()), 2.0)
    assert scene.time == dt.datetime(2020, 1, 31, 12, tzinfo=dt.UTC)
    assert (scene.product, scene.bands) == ("visible", ("red", "green", "blue"))
    assert scene.plane.latitude == pytest.approx(12, abs=0.02)
    assert scene.plane.longitude == pytest.approx(-59, abs=1e-3)
    # 4° of longitude at the southern edge and 4° of latitude, in pixels of 2 km.
    assert scene.plane.shape[1] == pytest.approx(4 * 111.32 * np.cos(np.radians(10)) / 2, abs=2)
    assert scene.plane.shape[0] == pytest.approx(4 * 110.6 / 2, abs=5)
    longitude, latitude = scene.plane.lonlat()
    inside = (np.abs(longitude + 59) < 2) & (np.abs(latitude - 12) < 2)
    np.testing.assert_array_equal(scene.valid, inside)
    expected = np.stack([40 + 175 * (longitude + 61) / 4, 40 + 175 * (14 - latitude) / 4])
    error = np.abs(scene.values[:2].astype(float) - expected)[:, inside]
    assert error.max() < 6 and error.mean() < 1  # rounding, half a pixel at the edges, and JPEG
    assert not scene.values[:, ~inside].any()


def test_a_world_file_goes_before_the_name(tmp_path: Path) -> None:
    path = picture(tmp_path / f"{NAME}.png", coloured(50, 100))
    (tmp_path / f"{NAME}.pgw").write_text("0.02\n0\n0\n-0.04\n179.01\n-9.98\n")
    frame = picture_frame(path)
    assert (frame.west, frame.north) == pytest.approx((179.0, -9.96))  # given is the first pixel's centre
    x, y = frame.locate(np.array([-9.96, -11.96]), np.array([179.0, -179.0]))
    np.testing.assert_allclose((x, y), ([0, 100], [0, 50]), atol=1e-9)
    scene = read_picture(path, 2.0)
    assert abs(scene.plane.longitude) == pytest.approx(180, abs=1e-3)
    assert scene.valid.mean() > 0.97  # the antimeridian through its middle tears nothing


def test_grey_is_one_band_and_transparency_unknown(tmp_path: Path) -> None:
    grey = np.repeat(np.full((60, 60, 1), 120), 3, axis=2)
    grey[:, :30] = 0  # of an infrared picture: a warm sea, no gap
    scene = read_picture(picture(tmp_path / f"{NAME}.png", grey), 5.0)
    assert scene.bands == ("grey",) * 3 and (scene.values[0] == scene.values[2]).all()
    assert scene.valid[:, scene.plane.shape[1] // 4].mean() > 0.9

    alpha = np.dstack([coloured(60, 60), np.full((60, 60), 255)])
    alpha[:, :30, 3] = 0
    scene = read_picture(picture(tmp_path / f"{NAME}_a_-61--57_10-14.png", alpha), 5.0)
    middle = scene.plane.shape[1] // 2
    assert not scene.valid[:, : middle - 1].any() and scene.valid[5:-5, middle + 1 : -5].all()


def test_black_of_some_extent_is_a_gap_and_dark_specks_are_not() -> None:
    values = np.full((3, 60, 80), 20, np.uint8)
    values[:, :, 30:50] = 2
    values[:, 10:13, 5:8] = 0  # a speck
    found = gaps(values)
    columns = found.all(axis=0)
    assert columns[30:50].all() and not columns[:26].any() and not columns[54:].any()
    assert not found[:, :20].any()


def geotiff(path: Path, bands: np.ndarray, crs: str = "EPSG:4326", **about: object) -> Path:
    """Bands (B, H, W) from the upper left corner 61° W 14° N in steps of 0.02°."""
    count, height, width = bands.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=bands.dtype, crs=crs,
        transform=Affine(0.02, 0, -61, 0, -0.02, 14), nodata=about.pop("nodata", None),
        photometric=about.pop("photometric", "MINISBLACK"),
    ) as file:  # fmt: skip
        file.write(bands)
        file.scales = (about.get("scale", 1.0),) * count
        file.offsets = (about.get("offset", 0.0),) * count
        if "units" in about:
            file.units = (about["units"],) * count
    return path


def test_geotiff_of_brightness_temperature(tmp_path: Path) -> None:
    kelvin = np.full((1, 100, 100), 2500, np.uint16)  # 250 K: half way from black (310) to white (190)
    kelvin[0, :50] = 65535
    path = geotiff(tmp_path / "b_20200131T0300.tif", kelvin, scale=0.1, units="K", nodata=65535)
    scene = read_picture(path, 4.0)
    assert scene.product == "infrared" and scene.time.hour == 3
    assert set(scene.values[:, scene.valid].ravel()) == {128}
    latitude = scene.plane.lonlat()[1]
    assert not scene.valid[latitude > 13.03].any() and scene.valid.mean() > 0.4


def test_geotiff_of_three_bands_is_a_picture(tmp_path: Path) -> None:
    bands = coloured(100, 100).transpose(2, 0, 1).astype(np.uint8)
    scene = read_picture(geotiff(tmp_path / "c_20200131.tif", bands, photometric="RGB"), 4.0)
    assert scene.bands == ("red", "green", "blue")
    assert set(scene.values[2][scene.valid]) == {90}


def refusal(path: Path) -> RefusedScene:
    with pytest.raises(RefusedScene) as caught:
        read_picture(path, 2.0)
    assert caught.value.path in (path, *path.parent.glob("*.*w"))
    return caught.value


def test_pictures_without_place_or_time_are_refused(tmp_path: Path) -> None:
    assert refusal(picture(tmp_path / "Fish_20200131.png", coloured(9, 9))).reason == "no-place"
    assert refusal(picture(tmp_path / "Fish_-61--57_10-14.png", coloured(9, 9))).reason == "no-time"
    turned = picture(tmp_path / "t_20200131.png", coloured(9, 9))
    for text in ("0.1 0.1 0.1 -0.1 0 0", "0.1 0 0 -0.1 0", "30 0 0 -30 500000 0 ", "x"):
        turned.with_suffix(".pgw").write_text(text)
        assert refusal(turned).reason == "no-place"
    assert refusal(picture(tmp_path / "w_20200131_-160-160_-80-80.png", coloured(9, 9))).reason == "too-wide"


def test_pictures_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    whole = picture(tmp_path / f"{NAME}.jpeg", coloured())
    content = whole.read_bytes()
    for share in (0.0, 0.01, 0.5):
        whole.write_bytes(content[: int(share * len(content))])
        assert refusal(whole).reason == "unreadable"
    whole.write_bytes(b"no picture at all")
    assert refusal(whole).reason == "unreadable"
    transparent = picture(tmp_path / f"n_{NAME}.png", np.zeros((60, 60, 4)))
    assert refusal(transparent).reason == "empty"
    deep = tmp_path / f"d_{NAME}.png"
    Image.fromarray(np.full((9, 9), 3000, np.uint16)).save(deep)
    assert refusal(deep).reason == "scale"


def test_geotiffs_that_tell_too_little_are_refused(tmp_path: Path) -> None:
    one = np.full((1, 50, 50), 9, np.uint16)
    assert refusal(geotiff(tmp_path / "a_20200131.tif", one)).reason == "scale"
    two = np.full((2, 50, 50), 9, np.uint8)
    assert refusal(geotiff(tmp_path / "b_20200131.tif", two)).reason == "bands"
    assert refusal(geotiff(tmp_path / "c.tif", two[:1])).reason == "no-time"
    nowhere = geotiff(tmp_path / "d_20200131.tif", two[:1], crs=None)
    assert refusal(nowhere).reason == "no-place"
    cut = geotiff(tmp_path / "e_20200131.tif", two[:1])
    cut.write_bytes(cut.read_bytes()[:300])
    assert refusal(cut).reason == "unreadable"
    cut.write_bytes(b"II*\0nothing")
    assert refusal(cut).reason == "unreadable"


@pytest.fixture
def clouds_data(real_data: Path) -> Path:
    folder = real_data / "clouds"
    if not folder.is_dir():
        pytest.skip(f"no real cloud images at {folder}")
    return folder


def test_a_real_modis_picture(clouds_data: Path, tmp_path: Path) -> None:
    path = clouds_data / "sffg" / "Aqua_CorrectedReflectance20071227_-61--40_10-24.jpeg"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    scene = read_picture(path, 6.25)
    assert scene.time.date() == dt.date(2007, 12, 27)
    rows, columns = scene.plane.shape
    # 21° of longitude at 10° N and 14° of latitude, whose outer corners curve upwards.
    assert columns == pytest.approx(21 * 111.32 * np.cos(np.radians(10)) / 6.25, rel=0.01)
    assert 14 * 110.6 / 6.25 < rows < 1.03 * 14 * 110.6 / 6.25
    # The gap between two swaths is a tenth of the picture; corners of the raster are outside of it.
    x, y = picture_frame(path).locate(*reversed(scene.plane.lonlat()))
    inside = (x > 8) & (x < 2092) & (y > 8) & (y < 1392)
    assert (~scene.valid[inside]).mean() == pytest.approx(0.11, abs=0.02)
    assert not scene.valid[inside & (np.abs(x - 1300) < 40) & (np.abs(y - 700) < 40)].any()
    # The sea is dark and bluish, clouds are white.
    dark = np.percentile(scene.values[:, scene.valid], 10, axis=1)
    assert dark[2] > dark[0] and np.percentile(scene.values[:, scene.valid], 99) > 200
    write_scene(tmp_path / "modis.nc", scene)
    assert (read_scene(tmp_path / "modis.nc").values == scene.values).all()


def test_a_real_geotiff_of_goes(clouds_data: Path) -> None:
    found = sorted((clouds_data / "goes_l2_cmip_tif").glob("*C03*_CMI.tif"))
    if not found:
        pytest.skip("no GOES GeoTIFF there")
    scene = read_picture(found[0], 3.125)
    assert scene.bands == ("C03",) * 3 and scene.product == "visible"
    assert scene.time == dt.datetime(2021, 5, 25, 18, 10, 26, 700_000, tzinfo=dt.UTC)
    assert (scene.plane.latitude, scene.plane.longitude) == pytest.approx((35.3, -100.3), abs=0.1)
    # Median and 99th percentile of the file's counts 1100 and 3015, times its scale: the plane keeps them,
    # as far as areas go (pixels in the north are larger).
    share = scene.values[0][scene.valid] / 255
    assert np.median(share) == pytest.approx(1100 * 0.00031746, abs=0.03)
    assert np.percentile(share, 99) == pytest.approx(3015 * 0.00031746, abs=0.04)
