"""Bands become brightness by arithmetic that is known, and what cannot become a scene says why."""

from __future__ import annotations

import datetime as dt
import socket
from pathlib import Path

import numpy as np
import pyproj
import pytest
import satpy

from earthsignals.clouds.goes.composites import bands_of, is_visible, load
from earthsignals.clouds.goes.sun import cosine_of_zenith, solar_noon
from earthsignals.clouds.goes.view import moves, plane_of_sector, sees
from earthsignals.clouds.imagery.plane import Plane, wrap
from earthsignals.clouds.imagery.refusal import RefusedScene
from earthsignals.storage import EarthSignalsError

from .goes_stand_ins import write_l1b

HEIGHT_M = 35_786_023.0
NOON = solar_noon(dt.date(2019, 3, 20), -60.0).replace(microsecond=0)
MIDNIGHT = NOON + dt.timedelta(hours=12)
PLACE = (10.0, -60.0)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets that lead away from this machine are an error in every test of this file."""
    plain = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        assert self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1"), f"reached for {address}"
        plain(self, address)

    def unknown(*args: object, **options: object) -> None:
        raise AssertionError(f"asked for the address of {args}")

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)


@pytest.fixture
def goes_l1b(real_data: Path) -> Path:
    folder = real_data / "clouds" / "goes_l1b"
    if not folder.is_dir():
        pytest.skip(f"no GOES files at {folder}")
    return folder


def fixed_grid(latitude: float, longitude: float, below: float = -75.0) -> tuple[float, float]:
    """Angles x and y of a place on the grid of a satellite above `below`."""
    projection = pyproj.Proj(
        {"proj": "geos", "h": HEIGHT_M, "lon_0": below, "sweep": "x", "ellps": "GRS80", "units": "m"}
    )
    x, y = projection(longitude, latitude)
    return x / HEIGHT_M, y / HEIGHT_M


def band(
    folder: Path, name: str, values: np.ndarray | float, *, time: dt.datetime = NOON,
    step_km: float = 2.0, place: tuple[float, float] = PLACE, **options: object,
) -> Path:  # fmt: skip
    """A file around `PLACE`: 300 km of it where `values` is one number."""
    if np.ndim(values) == 0:
        values = np.full((int(300 / step_km),) * 2, float(values))
    below = options.get("longitude", -75.0)
    return write_l1b(folder, name, values, time, centre=fixed_grid(*place, below), step_km=step_km, **options)


def small_plane(pixel_km: float = 2.0, size: int = 64, place: tuple[float, float] = PLACE) -> Plane:
    return Plane.around(*place, pixel_km, (size, size))


def test_true_colour_is_the_published_arithmetic(tmp_path: Path) -> None:
    # Radiance · kappa0 is reflectance times the cosine of the sun's zenith angle, which differs by pixel.
    plane = small_plane()
    longitude, latitude = plane.lonlat()
    cosine = cosine_of_zenith(NOON, latitude, longitude)
    red, veggie, blue = 0.20, 0.40, 0.12
    files = [band(tmp_path, "C02", red), band(tmp_path, "C03", veggie), band(tmp_path, "C01", blue)]
    values, valid, names, product = load(files, "true_colour", plane)
    assert (names, product) == (("red", "green", "blue"), "visible")
    assert values.dtype == np.uint8 and valid.dtype == bool and valid.all()
    green = 0.45 * red + 0.10 * veggie + 0.45 * blue
    for layer, share in zip(values, (red, green, blue), strict=True):
        np.testing.assert_allclose(layer, 255 * (share / cosine) ** (1 / 2.2), atol=0.51)


def test_a_band_finer_than_the_plane_is_averaged_not_sampled(tmp_path: Path) -> None:
    # C02 has 0.5 km. A checkerboard of 0 and 0.4 in it averages to 0.2 on pixels of 2 km; samples would be
    # near 0 or 0.4 by chance of position.
    fine = np.zeros((600, 600))
    fine[::2, ::2] = fine[1::2, 1::2] = 0.4
    plane = small_plane()
    files = [band(tmp_path, "C02", fine, step_km=0.5), band(tmp_path, "C01", 0.2, step_km=1.0),
             band(tmp_path, "C03", 0.2, step_km=1.0)]  # fmt: skip
    values, valid, *_ = load(files, "true_colour", plane)
    assert valid.all()
    # Red is equal to blue, which is 0.2 everywhere.
    assert np.abs(values[0].astype(int) - values[2]).max() <= 2
    assert np.abs(values[0].astype(float).mean() - values[2].mean()) < 0.5


@pytest.mark.parametrize(
    ("kelvin", "level"), [(310.0, 0), (250.0, 127.5), (190.0, 255), (180.0, 255), (320.0, 0)]
)
def test_cold_is_bright(tmp_path: Path, kelvin: float, level: float) -> None:
    plane = small_plane()
    values, valid, names, product = load([band(tmp_path, "C14", kelvin)], "bt_14", plane)
    assert valid.all() and (names, product) == (("C14", "C14", "C14"), "infrared")
    # The file's 15 bits hold 190 K to a few hundredths of a kelvin; two levels are one kelvin.
    np.testing.assert_allclose(values.astype(float), level, atol=0.6)
    assert (values[0] == values[1]).all() and (values[1] == values[2]).all()


def test_infrared_bands_are_red_green_and_blue_by_night(tmp_path: Path) -> None:
    files = [band(tmp_path, name, kelvin, time=MIDNIGHT)
             for name, kelvin in (("C11", 280.0), ("C14", 270.0), ("C15", 260.0))]  # fmt: skip
    values, _, names, product = load(files, "infrared_rgb", small_plane())
    assert (names, product) == (("C11", "C14", "C15"), "infrared")
    for layer, kelvin in zip(values, (280, 270, 260), strict=True):
        np.testing.assert_allclose(layer.astype(float), 255 * (310 - kelvin) / 120, atol=0.6)
    values, _, names, _ = load(files, ("C15", "C11", "C15"), small_plane())
    assert names == ("C15", "C11", "C15")
    assert (values[0] == values[2]).all() and (values[0] > values[1]).all()


def test_a_row_of_the_file_lies_where_the_fixed_grid_says(tmp_path: Path) -> None:
    # The northern half cold, the western half of the southern half cool: position and orientation by value.
    kelvin = np.full((150, 150), 300.0)
    kelvin[:75] = 200
    kelvin[75:, :75] = 250
    values, *_ = load([band(tmp_path, "C14", kelvin)], "bt_14", small_plane())
    levels = [values[0, row, column] for row, column in ((16, 16), (16, 48), (48, 16), (48, 48))]
    np.testing.assert_allclose(levels, [255 * (310 - k) / 120 for k in (200, 200, 250, 300)], atol=0.6)
    turns = np.flatnonzero(np.diff(values[0, :, 48].astype(int)))
    assert np.abs(turns - 31).max() <= 2  # the centre of the plane is the centre of the file


def test_unknown_pixels_are_unknown_and_zero(tmp_path: Path) -> None:
    kelvin = np.full((150, 150), 250.0)
    kelvin[60:90, 60:90] = np.nan
    values, valid, *_ = load([band(tmp_path, "C14", kelvin)], "bt_14", small_plane())
    assert 0.05 < 1 - valid.mean() < 0.5
    assert not valid[32, 32] and valid[0].all()
    assert (values[:, ~valid] == 0).all() and (values[:, valid] > 0).all()
    # Of several bands a pixel is known where all are.
    files = [band(tmp_path, "C11", 250.0), band(tmp_path, "C14", kelvin), band(tmp_path, "C15", 250.0)]
    assert (load(files, "infrared_rgb", small_plane())[1] == valid).all()


def test_a_night_scene_is_refused_for_a_visible_product_before_it_is_read(tmp_path: Path) -> None:
    files = [band(tmp_path, name, 0.2, time=MIDNIGHT) for name in ("C01", "C02", "C03")]
    for path in files:
        path.write_bytes(b"not read")
    told = "the sun stands -[0-9]+° high.*true_colour.*nearer to noon"
    with pytest.raises(RefusedScene, match=told) as caught:
        load(files, "true_colour", small_plane())
    assert caught.value.reason == "night"


def test_a_dark_scene_is_night_whatever_its_time_says(tmp_path: Path) -> None:
    with pytest.raises(RefusedScene, match="mean reflectance is 0") as caught:
        load([band(tmp_path, "C02", 0.004)], ("C02",) * 3, small_plane())
    assert caught.value.reason == "night"


def test_pixels_beyond_the_terminator_are_unknown(tmp_path: Path) -> None:
    # The sun 12° high at the centre; 10° of longitude further east it has set.
    time = NOON + dt.timedelta(hours=5, minutes=8)
    plane = small_plane(20.0, 128)
    wide = np.full((300, 300), 0.1)
    values, valid, *_ = load([band(tmp_path, "C02", wide, time=time, step_km=10)], ("C02",) * 3, plane)
    longitude, latitude = plane.lonlat()
    height = np.degrees(np.arcsin(cosine_of_zenith(time, latitude, longitude)))
    assert valid[height > 5.2].mean() > 0.9 and not valid[height < 4.8].any()
    assert (height < 4.8).any()


def test_missing_bands_are_named(tmp_path: Path) -> None:
    with pytest.raises(RefusedScene, match=r"has no C01, C03, which true_colour needs.*\(C02\)") as caught:
        load([band(tmp_path, "C02", 0.2)], "true_colour", small_plane())
    assert caught.value.reason == "missing-bands" and "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
def test_a_truncated_file_is_refused_with_its_name(tmp_path: Path, share: float) -> None:
    noisy = np.random.Generator(np.random.Philox(1)).uniform(200, 300, (150, 150))
    path = band(tmp_path, "C14", noisy)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(RefusedScene, match="no whole ABI L1b file.*fetch it again") as caught:
        load([path], "bt_14", small_plane())
    assert caught.value.reason == "unreadable" and path.name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    path = band(tmp_path, "C14", 250.0)
    path.write_text("<html>Access denied</html>")
    with pytest.raises(RefusedScene, match="no whole ABI L1b file"):
        load([path], "bt_14", small_plane())


def test_a_place_outside_of_the_sector_or_off_the_disc_is_refused(tmp_path: Path) -> None:
    path = band(tmp_path, "C14", 250.0)
    for place in ((-40.0, -60.0), (10.0, 100.0)):
        with pytest.raises(RefusedScene, match="no pixel around") as caught:
            load([path], "bt_14", small_plane(place=place))
        assert caught.value.reason == "off-disk"


def test_corners_off_the_disc_are_unknown(tmp_path: Path) -> None:
    # A plane over the limb: 81.3° from the point below the satellite nothing is seen.
    path = band(tmp_path, "C14", np.full((400, 400), 250.0), place=(0.0, -140.0), step_km=4.0)
    plane = small_plane(20.0, 128, (0.0, -150.0))
    values, valid, *_ = load([path], "bt_14", plane)
    longitude, _ = plane.lonlat()
    assert 0.1 < valid.mean() < 0.9
    assert not valid[np.abs(wrap(longitude + 75)) > 82].any()
    assert (values[:, ~valid] == 0).all()


def test_a_plane_across_the_antimeridian_sees_both_sides(tmp_path: Path) -> None:
    place = (5.0, 179.9)
    kelvin = np.full((150, 150), 300.0)
    kelvin[:, 75:] = 200.0  # east of the date line, nearer to the satellite
    path = band(tmp_path, "C14", kelvin, place=place, satellite=17, longitude=-137.0)
    plane = small_plane(place=place)
    values, valid, *_ = load([path], "bt_14", plane)
    longitude, _ = plane.lonlat()
    assert longitude.min() < -179 and longitude.max() > 179
    assert valid.all()
    assert values[0, 32, 4] == pytest.approx(255 * 10 / 120, abs=1)
    assert values[0, 32, 60] == pytest.approx(255 * 110 / 120, abs=1)


def test_only_the_plane_of_a_large_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from earthsignals.clouds.goes import composites

    seen = []
    plain = composites.to_plane
    monkeypatch.setattr(composites, "to_plane", lambda v, a, p: seen.append(v.shape) or plain(v, a, p))
    path = band(tmp_path, "C14", np.full((1500, 1500), 250.0))
    _, valid, *_ = load([path], "bt_14", small_plane())
    assert valid.all() and max(seen[0][1:]) < 100


def test_composites_know_their_bands() -> None:
    assert bands_of("true_colour") == ("C02", "C03", "C01") and is_visible("true_colour")
    assert bands_of("bt_11") == ("C11",) * 3 and not is_visible("bt_11")
    assert bands_of(("C02", "C14", "C16")) == ("C02", "C14", "C16") and is_visible(("C02", "C14", "C16"))
    with pytest.raises(EarthSignalsError, match="names the band `C17`"):
        bands_of(("C01", "C02", "C17"))


def test_what_a_satellite_sees() -> None:
    full, conus = "ABI-L1b-RadF", "ABI-L1b-RadC"
    assert sees(16, full, 20.0, -45.0) and not sees(16, full, 20.0, 100.0)
    assert sees(16, full, 0.0, -75.2 + 80) and not sees(16, full, 0.0, -75.2 + 83)
    assert sees(17, full, 20.0, 175.0)
    assert sees(16, conus, 35.0, -90.0) and not sees(16, conus, 0.0, -75.0)
    assert sees(17, conus, 35.0, -137.0) and not sees(17, conus, -10.0, -137.0)
    assert moves("ABI-L1b-RadM1") and moves("ABI-L1b-RadM2") and not moves(full)


def test_the_plane_of_a_sector_holds_it_around_its_middle(tmp_path: Path) -> None:
    path = band(tmp_path, "C14", 250.0)
    plane = plane_of_sector(path, 2.0)
    assert (plane.latitude, plane.longitude) == pytest.approx(PLACE, abs=0.01)
    values, valid, *_ = load([path], "bt_14", plane)
    assert valid.mean() > 0.8
    # The outermost rows and columns are met somewhere.
    assert all(edge.any() for edge in (valid[:3], valid[-3:], valid[:, :3], valid[:, -3:]))
    off = band(tmp_path / "off", "C14", np.full((10, 10), 250.0), place=(0.0, -75.0))
    import netCDF4

    with netCDF4.Dataset(off, "a") as file:
        file["x"][:] = file["x"][:] + 0.17
    with pytest.raises(RefusedScene, match="off the Earth's disc"):
        plane_of_sector(off, 2.0)


def test_a_sector_too_wide_for_one_plane_is_refused(tmp_path: Path) -> None:
    path = band(tmp_path, "C14", np.full((40, 40), 250.0), place=(0.0, -75.0), step_km=200)
    with pytest.raises(RefusedScene, match="too far for one plane") as caught:
        plane_of_sector(path, 20.0)
    assert caught.value.reason == "too-wide"


# Real files


def test_a_real_night_sector_gives_infrared_and_no_true_colour(goes_l1b: Path) -> None:
    files = sorted(goes_l1b.glob("*RadM1*.nc"))
    plane = plane_of_sector(files[0], 1.5625)
    # Provenance: GOES-17 mesoscale sector 1 over 39.1° N, 119.9° W, 500 × 500 pixels of 2 km at nadir.
    assert (plane.latitude, plane.longitude) == pytest.approx((39.1, -119.9), abs=0.6)
    values, valid, names, product = load(files, "infrared_rgb", plane)
    assert (names, product) == (("C11", "C14", "C15"), "infrared")
    assert 0.5 < valid.mean() < 1
    with pytest.raises(RefusedScene, match="has no C01, C02, C03, which true_colour needs"):
        load(files, "true_colour", plane)


def test_real_brightness_temperatures_are_satpys(goes_l1b: Path) -> None:
    (path,) = goes_l1b.glob("*M6C14_G17*.nc")
    scene = satpy.Scene(reader="abi_l1b", filenames=[str(path)])
    scene.load(["C14"])
    kelvin, area = scene["C14"].values, scene["C14"].attrs["area"]
    row, column = 250, 250
    longitude, latitude = area.get_lonlat(row, column)
    around = kelvin[row - 3 : row + 4, column - 3 : column + 4]
    values, *_ = load([path], "bt_14", Plane.around(latitude, longitude, 1.5625, (65, 65)))
    levels = 255 * (310 - around) / 120
    assert levels.min() - 1 <= values[0, 32, 32] <= levels.max() + 1
    assert values[0, 32, 32] == pytest.approx(255 * (310 - kelvin[row, column]) / 120, abs=3)


def test_a_real_day_sector_has_light_and_a_night_of_it_would_not(goes_l1b: Path, tmp_path: Path) -> None:
    (path,) = goes_l1b.glob("*RadC*C06*.nc")
    plane = small_plane(1.5625, 256, (35.0, -137.0))
    values, valid, names, product = load([path], ("C06", "C06", "C06"), plane)
    assert product == "visible" and valid.all()
    # Stratocumulus over the north-east Pacific: open and closed cells, neither black nor white.
    assert 60 < values[0].mean() < 180 and values[0].std() > 15
    night = tmp_path / path.name.replace("_s20193002001196", "_s20193001001196")
    night.write_bytes(path.read_bytes())
    with pytest.raises(RefusedScene, match="the sun stands"):
        load([night], ("C06", "C06", "C06"), plane)


def test_a_real_file_cut_short_is_refused(goes_l1b: Path, tmp_path: Path) -> None:
    (path,) = goes_l1b.glob("*M6C13_G17*.nc")
    short = tmp_path / path.name
    short.write_bytes(path.read_bytes()[:300_000])
    with pytest.raises(RefusedScene, match="no whole ABI L1b file"):
        load([short], ("C13",) * 3, small_plane(place=(39.1, -119.9)))


def test_the_stand_ins_are_made_like_real_files(goes_l1b: Path, tmp_path: Path) -> None:
    import netCDF4

    (real,) = goes_l1b.glob("*M6C14_G17*.nc")
    with netCDF4.Dataset(real) as theirs, netCDF4.Dataset(band(tmp_path, "C14", 250.0)) as ours:
        assert set(ours.variables) <= set(theirs.variables) and set(ours.ncattrs()) <= set(theirs.ncattrs())
        for name in ours.variables:
            assert ours[name].dimensions == theirs[name].dimensions, name
        assert ours["Rad"].dtype == theirs["Rad"].dtype
        assert set(ours["Rad"].ncattrs()) <= set(theirs["Rad"].ncattrs())
        for name in ("fk1", "fk2", "bc1", "bc2"):
            constants = [float(file[f"planck_{name}"][...]) for file in (ours, theirs)]
            assert constants[0] == pytest.approx(constants[1], rel=1e-5)
