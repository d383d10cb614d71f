"""ENVI files of every form read alike, written exactly, and refused with a way out where they are broken."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS

from earthsignals.plume.imagery.envi import map_transform, read_header
from earthsignals.plume.imagery.flightline import (
    FlightlineError,
    Georeference,
    envi_header,
    open_flightline,
    stem_of,
    write_envi,
    write_header,
)
from earthsignals.plume.simulation.simulate import simulate_scene

from .conftest import BANDS, PLACE, STEM, plume_scene, small_params

LINES, SAMPLES = 7, 5
AXES = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}
CODES = {"u1": 1, "i2": 2, "i4": 3, "f4": 4, "f8": 5, "u2": 12, "u4": 13, "i8": 14, "u8": 15}
ROTATED = (
    "map info = {UTM, 1, 1, 272247.152557, 3992010.65018, 3.1, 3.1, 11, North, WGS-84, units=Meters, "
    "rotation=17.0000000}\n"
)


def cube(bands: int = 4) -> np.ndarray:
    """Values that tell band, line and sample: 60·band + 8·line + sample."""
    band, line, sample = np.mgrid[:bands, :LINES, :SAMPLES]
    return (60.0 * band + 8.0 * line + sample).astype(np.float64)


def write_by_hand(
    folder: Path, values: np.ndarray, *, dtype: str = "f8", interleave: str = "bip", order: int = 0,
    offset: int = 0, extra: str = "", names: tuple[str, str] = ("scene_img", "scene_img.hdr"),
    **changed: object,
) -> Path:  # fmt: skip
    """An ENVI file made without the project's writer; `changed` replaces entries of the header."""
    entries = {
        "samples": values.shape[2], "lines": values.shape[1], "bands": values.shape[0],
        "header offset": offset, "file type": "ENVI", "data type": CODES[dtype], "interleave": interleave,
        "byte order": order,
    }  # fmt: skip
    entries |= {key.replace("_", " "): value for key, value in changed.items()}
    lines = [f"{key} = {value}\n" for key, value in entries.items()]
    (folder / names[1]).write_text("ENVI\n" + "".join(lines) + extra)
    data = np.ascontiguousarray(values.transpose(AXES[interleave])).astype((">" if order else "<") + dtype)
    (folder / names[0]).write_bytes(b"\x07" * offset + data.tobytes())
    return folder / names[0]


def band(path: Path, **options: object) -> np.ndarray:
    with open_flightline(path, **options) as flightline:
        return flightline.read()


# ------------------------------------------------------------------------------------- what is read
@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("offset", [0, 96])
def test_every_layout_reads_the_same(tmp_path: Path, interleave: str, order: int, offset: int) -> None:
    path = write_by_hand(tmp_path, cube(), interleave=interleave, order=order, offset=offset)
    with open_flightline(path) as flightline:
        assert flightline.shape == (LINES, SAMPLES)
        for number in range(1, 5):
            np.testing.assert_array_equal(flightline.read(band=number), cube()[number - 1])
        np.testing.assert_array_equal(flightline.read(), cube()[3])  # no name says CH4: the last


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("order", [0, 1])
def test_every_real_type_reads_as_float32(tmp_path: Path, dtype: str, order: int) -> None:
    found = band(write_by_hand(tmp_path, cube(), dtype=dtype, order=order))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, cube()[3])


@pytest.mark.parametrize("code", [6, 9])
def test_complex_types_are_refused(tmp_path: Path, code: int) -> None:
    path = write_by_hand(tmp_path, cube(), data_type=code)
    with pytest.raises(FlightlineError, match=rf"scene_img.hdr: data type {code} is complex.*real part"):
        open_flightline(path)


def test_complex_geotiff_is_refused(tmp_path: Path) -> None:
    path = write_tiff(tmp_path, np.ones((1, 3, 3), np.complex64))
    with pytest.raises(FlightlineError, match="complex"):
        open_flightline(path)


@pytest.mark.parametrize(
    ("names", "given"),
    [
        (("a_img", "a_img.hdr"), "a_img"),
        (("a_img", "a_img.hdr"), "a_img.hdr"),
        (("a.img", "a.hdr"), "a.img"),
        (("a.img", "a.hdr"), "a.hdr"),
        (("a.img", "a.img.hdr"), "a.img"),
        (("a.img", "a.img.hdr"), "a.img.hdr"),
        (("a.v2_img", "a.v2_img.hdr"), "a.v2_img"),  # a dot that is no suffix
        (("a.dat", "a.HDR"), "a.dat"),
    ],
)
def test_either_file_of_the_pair_may_be_given(tmp_path: Path, names: tuple[str, str], given: str) -> None:
    path = write_by_hand(tmp_path, cube(), names=names)
    with open_flightline(tmp_path / given) as flightline:
        assert flightline.path == path
        assert flightline.stem == stem_of(path) == names[0].removesuffix(".img").removesuffix(".dat")
        np.testing.assert_array_equal(flightline.read(), cube()[3])


def test_windows_are_slices_of_the_whole(tmp_path: Path) -> None:
    path = write_by_hand(tmp_path, cube(), interleave="bil")
    with open_flightline(path) as flightline:
        whole = flightline.read()
        for rows, cols in [
            (slice(2, 5), slice(1, 3)), (slice(-3, None), None), (slice(0, 99), slice(4, 99)),
            (slice(3, 3), None), (slice(5, 2), slice(0, 1)),
        ]:  # fmt: skip
            expected = whole[rows or slice(None), cols or slice(None)]
            np.testing.assert_array_equal(flightline.read(rows, cols), expected)
            assert flightline.read(rows, cols).shape == expected.shape
        with pytest.raises(ValueError, match="no step"):
            flightline.read(slice(0, 6, 2))
        with pytest.raises(ValueError, match="counted from 1"):
            flightline.read(band=0)


def test_missing_pixels_are_nan_and_zero_is_a_measurement(tmp_path: Path) -> None:
    values = cube(1)
    values[0, 0, :4] = (np.nan, np.inf, -np.inf, -9999.0)
    values[0, 1, :3] = (1e300, -7.0, 0.0)  # too large for float32: no measurement either
    path = write_by_hand(tmp_path, values, extra="data ignore value = -7\n")
    found = band(path)
    missing = np.zeros((LINES, SAMPLES), bool)
    missing[0, :4] = missing[1, :2] = True
    np.testing.assert_array_equal(np.isnan(found), missing)
    assert found[1, 2] == 0.0
    # A sparse retrieval is full of zeros; a declared no-data value of 0 must not empty it.
    declared = write_by_hand(tmp_path, cube(1), extra="data ignore value = 0\n")
    np.testing.assert_array_equal(band(declared), cube(1)[0])


def test_gains_and_offsets_are_applied_after_missing_values(tmp_path: Path) -> None:
    values = cube(1)
    values[0, 0, 0] = -9999.0
    extra = "data gain values = {0.5}\ndata offset values = {3.0}\n"
    found = band(write_by_hand(tmp_path, values, dtype="i2", extra=extra))
    expected = cube(1)[0] * 0.5 + 3.0
    expected[0, 0] = np.nan
    np.testing.assert_array_equal(found, expected)


def test_reading_leaves_most_of_a_file_alone(tmp_path: Path) -> None:
    """A window of one band of a long pixel-interleaved file costs memory of its own size, not the file's."""
    import tracemalloc

    path = tmp_path / "long.img"
    write_header(path, envi_header((4, 20_000, 40), "f8", interleave="bip"))
    with path.open("wb") as file:
        file.truncate(4 * 20_000 * 40 * 8)  # 25.6 MB of zeros, sparse on disk
    tracemalloc.start()
    with open_flightline(path) as flightline:
        assert flightline.read(slice(10_000, 10_100)).shape == (100, 40)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


# ---------------------------------------------------------------------------------------- the band
def test_ch4_band_by_name_number_or_place(tmp_path: Path) -> None:
    names = "band names = {Red, Methane enhancement, Blue,\n Green}\n"
    path = write_by_hand(tmp_path, cube(), extra=names)
    with open_flightline(path) as flightline:
        assert flightline.band == 2  # named, though not the last
        assert flightline.band_names == ("Red", "Methane enhancement", "Blue", "Green")
    for wanted, number in [("blue", 3), ("meth", 2), (1, 1), ("4", 4), ("RED", 1)]:
        np.testing.assert_array_equal(band(path, band=wanted), cube()[number - 1])


@pytest.mark.parametrize("wanted", ["co2", 0, 5, "5", "re"])
def test_unknown_band_lists_those_there_are(tmp_path: Path, wanted: str | int) -> None:
    path = write_by_hand(tmp_path, cube(), extra="band names = {Red, Green, Blue, CH4}\n")
    with pytest.raises(FlightlineError, match="1 Red, 2 Green, 3 Blue, 4 CH4"):
        open_flightline(path, band=wanted)


# -------------------------------------------------------------------------------- where it lies
def test_rotation_of_the_published_header(tmp_path: Path) -> None:
    """A column steps (3.1 cos 17°, 3.1 sin 17°) east and north, a line the same turned right by 90°."""
    with open_flightline(write_by_hand(tmp_path, cube(), extra=ROTATED)) as flightline:
        transform = flightline.transform
        assert flightline.crs == CRS.from_epsg(32611)
        assert flightline.pixel_m == pytest.approx(3.1, rel=1e-12)
    cos, sin = 3.1 * math.cos(math.radians(17)), 3.1 * math.sin(math.radians(17))
    assert transform @ (0, 0) == pytest.approx((272247.152557, 3992010.65018), abs=1e-9)
    assert transform @ (1, 0) == pytest.approx((272247.152557 + cos, 3992010.65018 + sin), abs=1e-8)
    assert transform @ (0, 1) == pytest.approx((272247.152557 + sin, 3992010.65018 - cos), abs=1e-8)
    with rasterio.open(tmp_path / "scene_img") as gdal:
        assert gdal.transform.almost_equals(transform, 1e-9)


def test_real_headers_read_as_gdal_reads_them(real_data: Path, tmp_path: Path) -> None:
    """Both headers that srcfinder publishes, of the flightline and of its saliency map, lie alike."""
    folder = real_data / "plume" / "srcfinder"
    if not folder.is_dir():
        pytest.skip("no srcfinder headers")
    places = []
    for number, name in enumerate(["ch4mf_v2y1_img", "saliency_pad256_output"]):
        header = read_header(folder / f"ang20200924t211102_{name}.hdr")
        assert (header.lines, header.samples) == (2801, 669)
        # A tiny binary under the same header, but for its size.
        text = header.path.read_text().replace("2801", str(LINES)).replace("669", str(SAMPLES))
        path = tmp_path / f"{number}.img"
        path.with_suffix(".hdr").write_text(text)
        path.write_bytes(bytes(LINES * SAMPLES * header.bands * header.dtype.itemsize))
        with open_flightline(path) as ours, rasterio.open(path) as gdal:
            assert ours.transform.almost_equals(gdal.transform, 1e-9)
            assert ours.crs == CRS.from_epsg(32611) and gdal.nodata == -9999.0
            assert ours.band_names == gdal.descriptions
            assert ours.band == gdal.count
            places.append(ours.transform)
    assert places[0].almost_equals(places[1], 1e-9)


def test_tie_pixel_lies_at_its_coordinates(tmp_path: Path) -> None:
    """Tie pixel 3, 2 is 2 columns and 1 line from the outer corner; the image turns about it."""
    info = ROTATED.replace("UTM, 1, 1,", "UTM, 3, 2,")
    with open_flightline(write_by_hand(tmp_path, cube(), extra=info)) as flightline:
        assert flightline.transform @ (2, 1) == pytest.approx((272247.152557, 3992010.65018), abs=1e-8)


def test_degrees_are_measured_in_metres(tmp_path: Path) -> None:
    """One arc second at the equator is 30.92 m east by 30.72 m north (WGS84 radii of curvature)."""
    step = 1 / 3600
    place = f"10, {step * LINES / 2}, {step}, {step}, WGS-84, units=Degrees"
    info = f"map info = {{Geographic Lat/Lon, 1, 1, {place}}}\n"
    with open_flightline(write_by_hand(tmp_path, cube(), extra=info)) as flightline:
        assert flightline.crs == CRS.from_epsg(4326)
        assert flightline.pixel_m == pytest.approx(math.sqrt(30.9221 * 30.7151), rel=1e-4)


@pytest.mark.parametrize(
    "info",
    [
        "", "map info = {Arbitrary, 1, 1, 0, 0, 1, 1, 0, North}\n", "map info = {UTM, 1, 1}\n",
        "map info = {UTM, 1, 1, x, y, 3.1, 3.1, 11, North, WGS-84}\n", "map info = {junk\n",
        "map info = {}\n",
        "map info = {UTM, 1, 1, 272247, 3992010, 0, 0, 11, North, WGS-84, units=Meters}\n",
        "map info = {UTM, 1, 1, nan, 3992010, 3, 3, 11, North, WGS-84, units=Meters}\n",
        "map info = {UTM, 1, 1, 272247, 3992010, 3, 3, 11, North, WGS-84, rotation=up}\n",
    ],
)  # fmt: skip
def test_no_or_useless_map_info_is_no_georeference(tmp_path: Path, info: str) -> None:
    with open_flightline(write_by_hand(tmp_path, cube(), extra=info)) as flightline:
        assert flightline.crs is None
        assert flightline.transform == Affine.identity()
        assert flightline.pixel_m == 1.0
        np.testing.assert_array_equal(flightline.read(), cube()[3])


def test_units_missing_still_gives_the_pixel(tmp_path: Path) -> None:
    info = "map info = {UTM, 1, 1, 272247.15, 3992010.65, 3.1, 3.1, 11, North}\n"
    with open_flightline(write_by_hand(tmp_path, cube(), extra=info)) as flightline:
        assert flightline.pixel_m == pytest.approx(3.1)


# ------------------------------------------------------------------------------------------ faults
def test_missing_files_name_what_is_missing(tmp_path: Path) -> None:
    path = write_by_hand(tmp_path, cube())
    with pytest.raises(FlightlineError, match="nowhere.img: no such file"):
        open_flightline(tmp_path / "nowhere.img")
    (tmp_path / "scene_img.hdr").rename(tmp_path / "else.hdr")
    with pytest.raises(FlightlineError, match="no ENVI header scene_img.hdr beside it"):
        open_flightline(path)
    with pytest.raises(FlightlineError, match="else.hdr: the binary it describes is not beside it"):
        open_flightline(tmp_path / "else.hdr")
    with pytest.raises(FlightlineError, match="no such file"):
        open_flightline(tmp_path / "nowhere.hdr")
    with pytest.raises(FlightlineError, match="no such file"):
        open_flightline(tmp_path / "nowhere.tif")


def test_header_of_two_binaries_asks_which(tmp_path: Path) -> None:
    write_by_hand(tmp_path, cube(), names=("a", "a.hdr"))
    write_by_hand(tmp_path, cube(), names=("a.img", "a.hdr"))
    with pytest.raises(FlightlineError, match=r"a\.hdr: it may describe a or a\.img"):
        open_flightline(tmp_path / "a.hdr")


def test_two_headers_that_differ_are_refused(tmp_path: Path) -> None:
    """GDAL takes a.img.hdr where there is one; a user who points at a.hdr means the other."""
    write_by_hand(tmp_path, cube(), names=("a.img", "a.img.hdr"), dtype="f8")
    path = write_by_hand(tmp_path, cube(), names=("a.img", "a.hdr"), dtype="i8")
    with pytest.raises(FlightlineError, match=r"two headers for it.*Keep one"):
        open_flightline(tmp_path / "a.hdr")
    (tmp_path / "a.img.hdr").unlink()
    np.testing.assert_array_equal(band(path), cube()[3])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"interleave": "bpi"}, "interleave is bpi, expected bsq, bil or bip"),
        ({"interleave": None}, "interleave is missing"),
        ({"byte_order": 2}, "byte order is 2, expected 0"),
        ({"data_type": 7}, "data type 7 is none that ENVI knows"),
        ({"samples": None}, "samples is missing, expected a whole number"),
        ({"lines": 0}, "lines is 0, expected a whole number of at least 1"),
        ({"bands": "four"}, "bands is four"),
        ({"header_offset": -1}, "header offset is -1"),
        ({"file_compression": 1}, "gunzip"),
        ({"major_frame_offsets": "{8, 0}"}, "major frame offsets"),
    ],
)
def test_entries_that_cannot_be_used(tmp_path: Path, changed: dict, message: str) -> None:
    path = write_by_hand(tmp_path, cube())
    header = tmp_path / "scene_img.hdr"
    entries = dict(line.split(" = ", 1) for line in header.read_text().splitlines()[1:])
    entries |= {key.replace("_", " "): value for key, value in changed.items()}
    header.write_text("ENVI\n" + "".join(f"{k} = {v}\n" for k, v in entries.items() if v is not None))
    with pytest.raises(FlightlineError, match=message) as error:
        open_flightline(path)
    assert "scene_img.hdr" in str(error.value)


def test_other_text_is_no_header(tmp_path: Path) -> None:
    path = write_by_hand(tmp_path, cube())
    (tmp_path / "scene_img.hdr").write_text("BYTEORDER I\nLAYOUT BIL\n")
    with pytest.raises(FlightlineError, match="first line is not `ENVI`"):
        open_flightline(path)


@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
def test_truncated_binary_is_refused(tmp_path: Path, interleave: str) -> None:
    path = write_by_hand(tmp_path, cube(), interleave=interleave, offset=16)
    whole = path.read_bytes()
    path.write_bytes(whole[: 16 + 3 * 4 * SAMPLES * 8 + 5])  # three lines of four bands, and a bit
    with pytest.raises(FlightlineError, match="7 lines × 5 samples × 4 bands.*cut off.*again") as error:
        open_flightline(path)
    assert f"{len(whole):,} bytes" in str(error.value)
    # By lines the first three are whole and can be had; by bands the last is not there at all.
    assert ("set lines = 3" in str(error.value)) == (interleave != "bsq")


def test_the_way_out_of_a_truncated_file_works(tmp_path: Path) -> None:
    path = write_by_hand(tmp_path, cube(), interleave="bil")
    path.write_bytes(path.read_bytes()[: 3 * 4 * SAMPLES * 8])
    header = tmp_path / "scene_img.hdr"
    header.write_text(header.read_text().replace("lines = 7", "lines = 3"))
    np.testing.assert_array_equal(band(path), cube()[3, :3])


def test_trailing_bytes_are_refused_with_the_way_out(tmp_path: Path) -> None:
    """A header one sample short would read as a sheared image: nothing later could tell."""
    path = write_by_hand(tmp_path, cube())
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(bytes(11))
    with pytest.raises(FlightlineError, match=rf"11 bytes too many.*truncate -s {size} scene_img"):
        open_flightline(path)
    short = write_by_hand(tmp_path, cube(), samples=SAMPLES - 1)
    with pytest.raises(FlightlineError, match="7 lines of one band too many"):
        open_flightline(short)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("declared", [0, 1])
def test_wrong_byte_order_is_seen_by_its_values(tmp_path: Path, dtype: str, declared: int) -> None:
    """Noise, whole numbers and −9999 alike: the other order is plausible, the declared one is not."""
    ch4, _ = plume_scene(40, 30)
    whole = np.nan_to_num(np.round(ch4), nan=-9999.0)
    for values in (np.nan_to_num(ch4, nan=-9999.0), whole):
        path = write_by_hand(tmp_path, values[None].astype(float), dtype=dtype, order=1 - declared)
        header = tmp_path / "scene_img.hdr"
        header.write_text(
            header.read_text().replace(f"byte order = {1 - declared}", f"byte order = {declared}")
        )
        with pytest.raises(FlightlineError, match=rf"set byte order = {1 - declared} in scene_img.hdr"):
            open_flightline(path)


def test_plausible_scenes_pass_the_byte_order_check(tmp_path: Path) -> None:
    """Empty, all missing, sparse, huge but rare, and tiny values (a saliency map) are no fault."""
    ch4, _ = plume_scene(40, 30)
    sparse = np.where(ch4 > 1400, ch4, 0.0)
    rare = np.nan_to_num(ch4)
    rare[::7, ::5] = 1e30
    saliency = 1 / (1 + np.exp(30 - np.nan_to_num(ch4) / 50))
    for values in (np.zeros((40, 30)), np.full((40, 30), np.nan), sparse, rare, saliency):
        found = band(write_by_hand(tmp_path, values[None]))
        np.testing.assert_array_equal(found, values.astype(np.float32))


def redeclared(path: Path, **changed: object) -> Path:
    """The same binary under a header of other entries."""
    header = path.with_name("scene_img.hdr")
    entries = dict(line.split(" = ", 1) for line in header.read_text().splitlines()[1:])
    entries |= {key.replace("_", " "): str(value) for key, value in changed.items()}
    header.write_text("ENVI\n" + "".join(f"{key} = {value}\n" for key, value in entries.items()))
    return path


@pytest.fixture(scope="module")
def scenes() -> list[np.ndarray]:
    """Two simulated flightlines (4, 160, 112), whole numbers in all bands, −9999 beside the swath."""
    found = [simulate_scene(small_params(), day, 0).bands.astype(np.float64) for day in range(2)]
    scale = np.array([100.0, 100.0, 100.0, 1.0])[:, None, None]
    return [np.nan_to_num(np.round(bands * scale), nan=-9999.0).clip(-32000, 32000) for bands in found]


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "i4"])
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("true", AXES)
def test_wrong_interleave_is_refused_and_the_right_one_is_not(
    tmp_path: Path, scenes: list[np.ndarray], dtype: str, order: int, true: str
) -> None:
    for values in (*scenes, scenes[0][2:], np.tile(scenes[1], (2, 1, 1))[:5, 3:, :111]):
        path = write_by_hand(tmp_path, values, dtype=dtype, order=order, interleave=true, offset=24)
        expected = np.where(values[-1] == -9999.0, np.nan, values[-1])
        np.testing.assert_array_equal(band(path), expected.astype(np.float32))
        for declared in set(AXES) - {true}:
            redeclared(path, interleave=declared)
            with pytest.raises(FlightlineError, match=f"interleave {declared}, .*`interleave = {true}`"):
                open_flightline(path)


def undecided() -> dict[str, np.ndarray]:
    """Scenes of which some say nothing of their interleave, and some mislead by smoothness alone."""
    rng = np.random.default_rng(3)
    smooth = np.add.outer(np.sin(np.arange(160) / 9), np.cos(np.arange(112) / 7)) * 50
    noise = rng.normal(0, 100, (4, 160, 112))
    grey = smooth + noise[0] / 20
    line, column = rng.normal(0, 9, (160, 1)), rng.normal(0, 9, (1, 112))
    level = np.array([0, 300, 500, 900.0])[:, None, None]
    missing = np.full((4, 160, 112), -9999.0)
    gappy = np.where(rng.random((4, 160, 112)) < 0.97, -9999.0, noise)
    return {
        "noise": noise, "noise of levels": noise + level, "identical": np.stack([grey] * 4),
        "identical noise": np.stack([noise[0]] * 4), "nearly identical": noise[0] + noise / 30,
        "similar": smooth + noise / 20, "constant": np.zeros_like(noise) + level, "zero": 0 * noise,
        "missing": missing, "gappy": gappy, "not a number": np.full_like(noise, np.nan),
        "striped lines": np.zeros_like(noise) + line + level, "striped columns": noise / 50 + column,
        "four taps": smooth + 80 * (np.arange(112) % 4 == 1) + level + noise / 30,
        "ramp": np.add.outer(8.0 * np.arange(160), np.arange(112)) + level,
        "sparse": np.where(noise > 150, noise, 0.0), "one band": noise[:1], "smooth band": grey[None],
        "two identical": np.stack([grey, grey]), "two of noise": noise[:2],
        "few lines": np.stack([grey] * 4)[:, :4], "two lines": noise[:, :2], "one line": noise[:, :1],
        "one sample": noise[:, :, :1], "eight by eight": np.stack([grey] * 4)[:, :8, :8],
        "picture": np.stack([grey * 0.9, grey, grey * 1.1]), "many bands": np.stack([grey] * 20),
    }  # fmt: skip


@pytest.mark.parametrize("name", undecided())
@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "i4", "u2"])
def test_right_headers_are_never_refused(tmp_path: Path, name: str, dtype: str) -> None:
    values = undecided()[name]
    if dtype[0] != "f":
        values = np.nan_to_num(np.round(values), nan=-9999.0)
        values = values + 10_000 if dtype == "u2" else values
    for interleave in AXES:
        for order in (0, 1):
            path = write_by_hand(tmp_path, values, dtype=dtype, interleave=interleave, order=order)
            open_flightline(path).close()


@pytest.mark.parametrize("dtype", ["i2", "u2", "i4", "u4"])
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("interleave", AXES)
def test_wrong_byte_order_of_integers_is_refused(
    tmp_path: Path, scenes: list[np.ndarray], dtype: str, order: int, interleave: str
) -> None:
    values = np.maximum(scenes[0], 0) if dtype[0] == "u" else scenes[0]
    for part in (values, values[:1]):
        path = write_by_hand(tmp_path, part, dtype=dtype, order=order, interleave=interleave)
        open_flightline(path).close()
        redeclared(path, byte_order=1 - order)
        with pytest.raises(FlightlineError, match=rf"scene_img: .*`byte order = {order}`"):
            open_flightline(path)


def test_garbage_is_refused(tmp_path: Path) -> None:
    """Absurd in either byte order: not a matter of order, and said so."""
    values = 1e20 * np.arange(1.0, 36.0).reshape(1, LINES, SAMPLES)
    path = write_by_hand(tmp_path, values + 1e12 * np.random.default_rng(0).random(values.shape))
    with pytest.raises(FlightlineError, match="check data type, header offset"):
        open_flightline(path)


def test_other_formats_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"no picture at all")
    with pytest.raises(FlightlineError, match="a.tif: not readable as GTiff"):
        open_flightline(path)


# ----------------------------------------------------------------------------------------- GeoTIFF
def write_tiff(folder: Path, values: np.ndarray, **profile: object) -> Path:
    path = folder / "scene.tif"
    place = {"crs": PLACE.crs, "transform": PLACE.transform}
    with rasterio.open(
        path, "w", driver="GTiff", count=len(values), height=values.shape[1], width=values.shape[2],
        dtype=values.dtype, **(place | profile),
    ) as file:  # fmt: skip
        file.write(values)
    return path


def test_geotiff_reads_alike(tmp_path: Path) -> None:
    with open_flightline(write_tiff(tmp_path, cube(), nodata=0.0)) as flightline:
        np.testing.assert_array_equal(flightline.read(), cube()[3])
        assert flightline.band_names == ("Band 1", "Band 2", "Band 3", "Band 4")
        assert flightline.transform.almost_equals(PLACE.transform, 1e-9)
        assert (flightline.stem, flightline.crs) == ("scene", CRS.from_epsg(32611))
        assert flightline.pixel_m == pytest.approx(3.1)


def test_real_chip_keeps_its_zeros(real_data: Path) -> None:
    """Its no-data value is 0 and nine tenths of a quiet chip are 0: nothing there is missing."""
    chips = sorted((real_data / "plume" / "starcop_avirisng").glob("*/mag1c.tif"))
    if not chips:
        pytest.skip("no chips")
    for chip in chips:
        with open_flightline(chip) as flightline:
            ch4 = flightline.read()
            assert flightline.shape == (512, 512) and flightline.band_names == ("mag1c",)
            assert 3.0 < flightline.pixel_m < 9.0
        assert np.isfinite(ch4).all() and (ch4 == 0).mean() > 0.5


# ----------------------------------------------------------------------------------------- writing
@pytest.mark.parametrize("interleave", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "u1"])
def test_written_files_read_back_by_gdal(tmp_path: Path, interleave: str, dtype: str) -> None:
    path = tmp_path / "out.img"
    values = cube().astype(dtype)
    write_envi(path, values, like=PLACE, band_names=BANDS, interleave=interleave)
    with rasterio.open(path) as gdal:
        np.testing.assert_array_equal(gdal.read(), values)
        assert gdal.dtypes[0] == np.dtype(dtype).name
        assert gdal.transform.almost_equals(PLACE.transform, 1e-9)
        assert gdal.crs.to_epsg() == 32611
        assert gdal.descriptions == BANDS
        assert gdal.nodata == (None if dtype == "u1" else -9999.0)  # no byte is −9999


def test_text_cannot_break_the_header(tmp_path: Path) -> None:
    names = ("CH4, smoothed", "a {b}\nlines = 1")
    write_envi(tmp_path / "out.img", cube(2), band_names=names, description="x}\nsamples = 2\n{")
    with open_flightline(tmp_path / "out.img") as flightline:
        assert flightline.shape == (LINES, SAMPLES)
        assert flightline.band_names == ("CH4; smoothed", "a (b) lines = 1")
        assert flightline.tags["description"] == "x) samples = 2 ("


def test_not_a_number_is_written_as_missing(tmp_path: Path) -> None:
    values = cube(1)[0]
    values[0, :3] = (np.nan, np.inf, -np.inf)
    write_envi(tmp_path / "out.img", values)
    raw = np.fromfile(tmp_path / "out.img", "<f8").reshape(LINES, SAMPLES)
    assert (raw[0, :3] == -9999.0).all() and np.isnan(values[0, 0])  # the caller's array is as it was
    np.testing.assert_array_equal(raw[1:], cube(1)[0, 1:])


@pytest.mark.parametrize(
    "linear",
    [
        Affine.rotation(17) @ Affine.scale(3.1, -3.1), Affine.rotation(-30) @ Affine.scale(3.1, -3.1),
        Affine.rotation(90) @ Affine.scale(3, -3), Affine.rotation(-90) @ Affine.scale(3, -3),
        Affine.rotation(135) @ Affine.scale(3, -3), Affine.rotation(180) @ Affine.scale(3, -3),
        Affine.scale(3, -4), Affine.scale(3, 3), Affine.scale(-3, -3),
        Affine.rotation(35) @ Affine.scale(7.5, -7.5),
    ],
)  # fmt: skip
def test_transform_round_trips(tmp_path: Path, linear: Affine) -> None:
    """Rotated, oblong, mirrored and upside down: GDAL and the project's own reader give it back."""
    transform = Affine.translation(584115.5378049548, 3512873.827374347) @ linear
    path = tmp_path / "out.img"
    write_envi(path, cube(1), like=Georeference(transform, CRS.from_epsg(32613)))
    with rasterio.open(path) as gdal:
        assert gdal.transform.almost_equals(transform, 1e-9)
    assert map_transform(read_header(tmp_path / "out.hdr")).almost_equals(transform, 1e-9)


@pytest.mark.parametrize("code", [32611, 32719, 4326, 4269, 26911, 3310, 2229, None])
def test_crs_round_trips(tmp_path: Path, code: int | None) -> None:
    """UTM of both hemispheres, degrees, other datums, Albers, and feet, which GDAL would make metres."""
    crs = None if code is None else CRS.from_epsg(code)
    step = 3e-5 if crs is not None and crs.is_geographic else 3.0
    transform = Affine(step, 0, -117.0, 0, -step, 35.0)
    write_envi(tmp_path / "out.img", cube(1), like=Georeference(transform, crs))
    with open_flightline(tmp_path / "out.img") as flightline:
        assert flightline.crs == crs
        assert flightline.transform.almost_equals(transform, 1e-12)
        expected = {2229: 3.0 * 1200 / 3937}.get(code, 3.0)  # US survey foot
        assert flightline.pixel_m == pytest.approx(expected, rel=0.01)


def test_transform_that_a_header_cannot_say_is_refused(tmp_path: Path) -> None:
    sheared = Affine(3, 1, 0, 0, -3, 0)
    oblong = Affine.rotation(20) @ Affine.scale(3, -4)
    mirrored = Affine.rotation(20) @ Affine.scale(-3, -3)
    for transform in (sheared, oblong, mirrored, Affine(0, 0, 0, 0, 0, 0)):
        with pytest.raises(FlightlineError, match="gdalwarp"):
            write_envi(tmp_path / "out.img", cube(1), like=Georeference(transform, PLACE.crs))
        assert not any(tmp_path.iterdir())


def test_a_flightline_gives_its_place_to_its_map(
    small_flightline: Callable[..., Path], tmp_path: Path
) -> None:
    with open_flightline(small_flightline()) as flightline:
        header = envi_header(
            (1, *flightline.shape), "f4", like=flightline, nodata=-9999.0, fields={"model": "{a, b}"}
        )
        out = tmp_path / "map.img"
        out.write_bytes(np.zeros(flightline.shape, "<f4").tobytes())
        write_header(out, header)
        with open_flightline(out) as found:
            assert found.transform.almost_equals(flightline.transform, 1e-9)
            assert found.crs == flightline.crs and found.shape == flightline.shape
            assert found.tags["model"] == "a, b"
        with rasterio.open(out) as gdal:
            assert gdal.nodata == -9999.0


def test_same_values_same_bytes_and_no_header_before_its_binary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, header = tmp_path / "out.img", tmp_path / "out.hdr"
    write_envi(path, cube(), like=PLACE, band_names=BANDS)
    first = path.read_bytes(), header.read_bytes()
    write_envi(path, cube().astype(">f8")[:, ::-1][:, ::-1], like=PLACE, band_names=BANDS)
    assert (path.read_bytes(), header.read_bytes()) == first

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    # Killed between binary and header: the reader sees no pair, rather than an old header on new pixels.
    monkeypatch.setattr("earthsignals.plume.imagery.envi.write_header", killed)
    with pytest.raises(KeyboardInterrupt):
        write_envi(path, cube(1), like=PLACE)
    with pytest.raises(FlightlineError, match="no ENVI header"):
        open_flightline(path)


def test_what_envi_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FlightlineError, match="float16"):
        write_envi(tmp_path / "out.img", np.zeros((2, 2), np.float16))
    with pytest.raises(FlightlineError, match="bpi"):
        write_envi(tmp_path / "out.img", np.zeros((2, 2)), interleave="bpi")
    with pytest.raises(ValueError, match="expected"):
        write_envi(tmp_path / "out.img", np.zeros(4))
    assert not any(tmp_path.iterdir())


def test_factory_makes_what_it_says(small_flightline: Callable[..., Path]) -> None:
    ch4, _ = plume_scene(48, 40)
    for interleave in AXES:
        path = small_flightline(interleave=interleave)
        with open_flightline(path) as flightline:
            assert flightline.stem == STEM and flightline.band == 4
            np.testing.assert_array_equal(flightline.read(), ch4)
