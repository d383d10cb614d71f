"""What is handed to people: tables and maps that other programs open, right to the pixel and repeatable."""

from __future__ import annotations

import json
import time
import zipfile
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import geopandas
import matplotlib.image
import numpy as np
import pyogrio
import pytest
from affine import Affine
from rasterio.crs import CRS
from shapely.geometry import Point, box

from earthsignals.figures import style
from earthsignals.plume.detection.bearings import bearing_of, centre_of, direction_of, longitude_latitude
from earthsignals.plume.detection.detect import find_plumes
from earthsignals.plume.detection.emission import Wind
from earthsignals.plume.detection.measure import (
    PlumeScene,
    columns_of,
    measure_flightline,
    measure_scene,
    rows_of,
)
from earthsignals.plume.detection.outlines import outline
from earthsignals.plume.imagery.flightline import FlightlineError, write_envi
from earthsignals.plume.params import DetectionParams
from earthsignals.plume.publishing.furniture import north_in_image, round_number
from earthsignals.plume.publishing.kmz import warp, write_kmz
from earthsignals.plume.publishing.publish import publish_all, write_geojson, write_geopackage
from earthsignals.plume.publishing.quicklook import block_mean, draw, fold, rate_text, write_quicklook
from earthsignals.plume.simulation.dispersion import gaussian_plume
from earthsignals.storage import EarthSignalsError

PIXEL_M = 5.0
SHAPE = (120, 90)
UTM = CRS.from_epsg(32611)
# Image up points 17 degrees east of the map's north: a flightline's rotated map info.
ROTATED = (
    Affine.translation(272_247.0, 3_992_010.0) @ Affine.rotation(-17.0) @ Affine.scale(PIXEL_M, -PIXEL_M)
)
WINDS = (Wind(4.0, 0.2, "wind"), Wind(6.0, 0.3, "model"))
KML = "{http://www.opengis.net/kml/2.2}"


def make_scene(
    *, plumes: int = 2, crs: CRS | None = UTM, place: Affine = ROTATED, winds=WINDS, rgb: bool = False
) -> PlumeScene:
    truth = np.zeros(SHAPE)
    for k in range(plumes):
        truth += gaussian_plume(SHAPE, PIXEL_M, (30 + 55 * k, 20), 700, 4, 90, 0.1)
    rng = np.random.default_rng(3)
    ch4 = (truth + 100 * rng.standard_normal(SHAPE)).astype(np.float32)
    ch4[:4] = np.nan
    saliency = np.where(truth > 100, 0.9, 0.1).astype(np.float32)
    return measure_scene(
        "ang20200924t211102", ch4, saliency, 0.5, DetectionParams(), PIXEL_M, winds=winds,
        wind_direction_deg=90.0, transform=place if crs else None, crs=crs, model_md5="0123abcd",
        rgb=rng.random((3, *SHAPE)).astype(np.float32) if rgb else None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def scene() -> PlumeScene:
    return make_scene()


def test_bearings_honour_the_maps_rotation_and_convergence() -> None:
    place, middle = ROTATED, (60.0, 45.0)
    # At 120 W 36 N, three degrees west of the zone's meridian, grid north lies 1.5 degrees off:
    # convergence = difference of longitude times sin(latitude).
    longitude, latitude = longitude_latitude(place, UTM, *middle)
    convergence = (longitude + 117.0) * np.sin(np.radians(latitude))
    up = bearing_of(place, UTM, *middle, 0.0)
    assert up == pytest.approx(17.0 + convergence, abs=0.02)
    assert bearing_of(place, UTM, *middle, 90.0) == pytest.approx(up + 90, abs=0.02)
    for angle in (0.0, 33.0, 211.0):
        there = bearing_of(place, UTM, *middle, angle)
        back = direction_of(place, UTM, *middle, there)
        assert abs((back - angle + 180) % 360 - 180) < 1e-6
    degrees = Affine(0.001, 0, 10.0, 0, -0.001, 60.5)
    # At 60 N a degree of longitude is half as long: image (1, 1) right and up is no north-east.
    assert bearing_of(degrees, CRS.from_epsg(4326), 500, 0, 45.0) == pytest.approx(26.6, abs=0.2)


def test_a_mirrored_image_is_not_mistaken_for_a_turned_one() -> None:
    mirrored = Affine(-PIXEL_M, 0, 500_000, 0, -PIXEL_M, 4_000_000)  # columns run to the west
    assert bearing_of(mirrored, UTM, 0, 0, 90.0) == pytest.approx(270, abs=0.01)
    assert direction_of(mirrored, UTM, 0, 0, 270.0) == pytest.approx(90, abs=0.01)


def test_outlines_hold_exactly_the_pixels(scene: PlumeScene) -> None:
    for plume in scene.detections:
        polygons = outline(plume, scene.transform)
        assert polygons.is_valid and polygons.geom_type == "MultiPolygon"
        assert polygons.area == pytest.approx(plume.area_m2, rel=1e-6)
        rows, cols = np.nonzero(plume.mask)
        for row, col in list(zip(rows + plume.rows.start, cols + plume.cols.start, strict=True))[::7]:
            assert polygons.contains(Point(centre_of(scene.transform, row, col)))


def test_corner_contacts_and_holes_give_a_valid_outline() -> None:
    saliency = np.full((40, 40), 0.9, np.float32)
    ch4 = np.zeros((40, 40), np.float32)
    ch4[5:15, 5:15] = ch4[15:25, 15:25] = 1000  # joined at a corner
    ch4[8:11, 8:11] = 0
    ch4[11, 11] = 0  # a hole that touches a hole at its corner
    params = DetectionParams(smoothing_m=0, bridge_m=0, cut_sigma=1, peak_sigma=1, minimum_area_m2=0)
    (plume,) = find_plumes(ch4, saliency, 0.5, params, 5.0)
    polygons = outline(plume, Affine.identity())
    assert polygons.is_valid
    assert polygons.area == 200 - 10
    assert not polygons.contains(Point(9.5, 9.5))


def test_geopackage_is_in_the_flightlines_map(scene: PlumeScene, tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    write_geopackage(path, scene)
    assert [row[0] for row in pyogrio.list_layers(path)] == ["plumes", "sources"]
    plumes, sources = (geopandas.read_file(path, layer=name) for name in ("plumes", "sources"))
    assert plumes.crs.to_epsg() == sources.crs.to_epsg() == 32611
    assert list(plumes["id"]) == ["ang20200924t211102-1", "ang20200924t211102-2"]
    assert plumes.geometry.area.to_numpy() == pytest.approx(plumes["area_m2"].to_numpy(), rel=1e-6)
    for plume, point in zip(scene.detections, sources.geometry, strict=True):
        expected = ROTATED @ (plume.source_col + 0.5, plume.source_row + 0.5)
        assert (point.x, point.y) == pytest.approx(expected)
    rates = scene.rates[0]
    assert plumes["rate_kg_h"][0] == pytest.approx(rates[0].rate_kg_h, rel=1e-6)
    assert plumes["rate_kg_h_model"][0] == pytest.approx(rates[1].rate_kg_h, rel=1e-6)
    assert plumes["model_md5"][0] == "0123abcd"
    assert plumes["wind_model"][0] == "model"


def test_geojson_is_rfc_7946(scene: PlumeScene, tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    write_geojson(path, scene)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["type"] == "FeatureCollection" and "crs" not in content
    native = geopandas.GeoSeries([outline(p, scene.transform) for p in scene.detections], crs=UTM.to_wkt())
    read = geopandas.read_file(path)
    assert read.crs.to_epsg() == 4326 and read.geometry.is_valid.all()
    back = read.to_crs(native.crs)
    # Rounding to 1e-7 degrees moves an edge by a centimetre at most.
    assert (back.geometry.hausdorff_distance(native) < 0.05).all()
    for feature, row in zip(content["features"], rows_of(scene), strict=True):
        assert feature["properties"] == row and feature["id"] == row["id"]
        for polygon in feature["geometry"]["coordinates"]:
            x, y = np.array(polygon[0]).T
            assert np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) > 0  # counterclockwise
        west, south, east, north = feature["bbox"]
        assert west < row["source_lon"] < east and south < row["source_lat"] < north


def test_rows_have_the_declared_columns_and_kinds(scene: PlumeScene) -> None:
    columns = columns_of(scene.winds)
    kinds = {"str": str, "float": float, "int": int}
    for row in rows_of(scene):
        assert list(row) == list(columns)
        for name, value in row.items():
            assert value is None or isinstance(value, kinds[columns[name]]), name
    row = rows_of(scene)[0]
    expected = bearing_of(ROTATED, UTM, row["source_row"], row["source_col"], row["orientation_deg"])
    assert row["bearing_deg"] == pytest.approx(expected, abs=1e-3)
    assert row["bearing_deg"] - row["orientation_deg"] == pytest.approx(17 - 1.5, abs=0.2)


def test_without_wind_there_is_a_reason_and_no_rate(tmp_path: Path) -> None:
    calm = make_scene(winds=())
    row = rows_of(calm)[0]
    assert row["rate_kg_h"] is None and row["rate_reason"] == "no wind speed is known"
    assert row["ime_kg"] > 0
    published = publish_all(calm, tmp_path)
    table = geopandas.read_file(published.paths["gpkg"], layer="plumes")
    assert table["rate_kg_h"].isna().all() and (table["rate_reason"] == "no wind speed is known").all()
    assert rate_text(calm.rates[0][0]) == "no rate"


def test_two_winds_of_one_name_are_refused() -> None:
    with pytest.raises(EarthSignalsError, match="same name"):
        make_scene(winds=(Wind(3.0), Wind(4.0)))


def test_everything_is_written_and_repeats_to_the_byte(scene: PlumeScene, tmp_path: Path) -> None:
    first = publish_all(scene, tmp_path / "a")
    assert set(first.paths) == {"gpkg", "geojson", "png", "kmz"} and not first.left_out
    assert first.counts["plumes"] == 2 and first.counts["pieces_too_small"] == 0
    assert {p.name for p in (tmp_path / "a").iterdir()} == {
        f"ang20200924t211102_plumes.{kind}" for kind in first.paths
    }
    time.sleep(1.1)  # zip and GeoPackage note the time to the second
    again = publish_all(scene, tmp_path / "b")
    for kind, path in first.paths.items():
        assert path.read_bytes() == again.paths[kind].read_bytes(), kind


def test_no_plumes_are_a_result_with_the_same_columns(tmp_path: Path) -> None:
    published = publish_all(make_scene(plumes=0), tmp_path)
    assert set(published.paths) == {"gpkg", "geojson", "png", "kmz"}
    plumes = geopandas.read_file(published.paths["gpkg"], layer="plumes")
    assert len(plumes) == 0 and plumes.crs.to_epsg() == 32611
    assert [c for c in plumes.columns if c != "geometry"] == list(columns_of(WINDS))
    info = pyogrio.read_info(published.paths["gpkg"], layer="sources")
    assert info["geometry_type"] == "Point" and info["features"] == 0
    assert json.loads(published.paths["geojson"].read_text())["features"] == []


def test_without_a_map_pixels_are_the_coordinates(tmp_path: Path) -> None:
    (tmp_path / "ang20200924t211102_plumes.kmz").write_text("from before")
    plain = make_scene(crs=None)
    published = publish_all(plain, tmp_path)
    assert set(published.paths) == {"gpkg", "png"}
    assert set(published.left_out) == {"geojson", "kmz"}
    assert not (tmp_path / "ang20200924t211102_plumes.kmz").exists()
    plumes = geopandas.read_file(published.paths["gpkg"], layer="plumes")
    assert plumes.crs is None
    left, top, right, bottom = plumes.total_bounds
    assert 0 <= left < right <= SHAPE[1] and 0 <= top < bottom <= SHAPE[0]
    assert plumes.geometry.area.to_numpy() == pytest.approx(plumes["pixels"].to_numpy())
    for write in (write_geojson, write_kmz):
        with pytest.raises(EarthSignalsError, match="no map reference"):
            write(tmp_path / "x", plain)


def test_kmz_opens_and_its_overlay_holds_the_plumes(scene: PlumeScene, tmp_path: Path) -> None:
    path = tmp_path / "a.kmz"
    write_kmz(path, scene)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == "doc.kml"
        root = ElementTree.fromstring(archive.read("doc.kml"))
        pictures = [element.text for element in root.iter(f"{KML}href")]
        inside = [name for name in pictures if not name.startswith("http")]
        assert sorted(inside) == sorted(set(archive.namelist()) - {"doc.kml"})
        overlay = matplotlib.image.imread(BytesIO(archive.read("enhancement.png")))
    bounds = {tag: float(root.find(f".//{KML}LatLonBox/{KML}{tag}").text) for tag in ("west", "south", "east",
              "north")}  # fmt: skip
    overlay_box = box(*bounds.values())
    rings = [e.text for e in root.iter(f"{KML}coordinates")]
    points = [tuple(map(float, p.split(","))) for text in rings for p in text.split()]
    assert points and all(overlay_box.contains(Point(x, y)) for x, y, _ in points)
    assert {e.text for e in root.iter(f"{KML}name")} >= {"Plume 1", "Plume 2"}
    assert "kg/h" in root.find(f".//{KML}Placemark[@id='source-1']/{KML}name").text
    balloon = root.find(f".//{KML}Placemark[@id='source-1']/{KML}description").text
    assert "68 % interval" in balloon and "rate, model 6 m/s" in balloon
    # The overlay shows enhancement where the source is: its picture and its box belong together.
    row = rows_of(scene)[0]
    x = (row["source_lon"] - bounds["west"]) / (bounds["east"] - bounds["west"]) * overlay.shape[1]
    y = (bounds["north"] - row["source_lat"]) / (bounds["north"] - bounds["south"]) * overlay.shape[0]
    assert overlay[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3, 3].max() > 0.5
    assert overlay[0, 0, 3] == overlay[-1, -1, 3] == 0  # corners of the turned image are clear


def test_the_warped_overlay_keeps_the_enhancement_in_place(scene: PlumeScene) -> None:
    warped, (west, south, east, north) = warp(scene)
    plume = scene.detections[0]
    lon, lat = longitude_latitude(ROTATED, UTM, plume.source_row, plume.source_col + 2)
    row = int((north - lat) / (north - south) * warped.shape[0])
    col = int((lon - west) / (east - west) * warped.shape[1])
    near = scene.ch4[int(plume.source_row) - 2 : int(plume.source_row) + 3, int(plume.source_col) + 2]
    assert np.nanmax(warped[row - 2 : row + 3, col - 2 : col + 3]) > 0.5 * near.max()


def test_quicklook_shows_the_scene(scene: PlumeScene, tmp_path: Path) -> None:
    for name, drawn in (("a", scene), ("b", make_scene(rgb=True)), ("c", make_scene(plumes=0, crs=None))):
        write_quicklook(tmp_path / f"{name}.png", drawn)
        picture = matplotlib.image.imread(tmp_path / f"{name}.png")
        assert picture.shape[1] == 1496  # a page's width at 200 dots per inch
        assert picture[..., :3].std() > 0.05
    with style():
        texts = [t.get_text() for t in draw(scene).axes[0].texts]
    assert texts == [f"{p.id}: {rate_text(r[0])}" for p, r in zip(scene.detections, scene.rates, strict=True)]


def test_the_north_arrow_is_turned_with_the_map(scene: PlumeScene) -> None:
    assert abs((north_in_image(scene) + 17.0 - 1.5 + 180) % 360 - 180) < 0.2


def test_long_flightlines_are_folded_and_reduced() -> None:
    assert fold((600, 500)) == [slice(0, 600)]
    strips = fold((28_010, 669))
    assert strips[0].start == 0 and strips[-1].stop == 28_010
    assert all(a.stop == b.start for a, b in zip(strips, strips[1:], strict=False))
    assert strips[0].stop <= 2.2 * 669 * len(strips)
    field = np.array([[1, 2, np.nan], [3, np.nan, np.nan], [5, 6, 7]], np.float32)
    reduced = block_mean(field, 2)
    assert np.allclose(reduced, [[2, np.nan], [5.5, 7]], equal_nan=True)
    assert [round_number(v) for v in (0.7, 1.0, 4.9, 5.0, 360.0)] == [0.5, 1, 2, 5, 200]


def test_from_files_to_files(tmp_path: Path) -> None:
    made = make_scene()
    bands = np.stack([np.full(SHAPE, 10.0 + k) for k in range(3)] + [np.nan_to_num(made.ch4, nan=-9999)])
    names = ("Red Radiance", "Green Radiance", "Blue Radiance", "CH4 Absorption (ppm x m)")
    line, map_ = tmp_path / "ang20200924t211102_img", tmp_path / "ang20200924t211102_saliency.img"
    like = make_like(made)
    write_envi(line, bands.astype(np.float32), like=like, band_names=names)
    write_envi(map_, np.nan_to_num(made.saliency, nan=-9999)[None].astype(np.float32), like=like)
    params = DetectionParams()
    # A wind to the image's right blows to the bearing of that direction.
    blows_to = bearing_of(ROTATED, UTM, *(n / 2 for n in SHAPE), 90.0)
    read = measure_flightline(
        line, map_, 0.5, params, winds=WINDS, wind_bearing_deg=blows_to, model_md5="0123abcd"
    )
    assert read.stem == "ang20200924t211102_img" and read.crs == UTM
    assert read.rgb.shape == (3, *SHAPE) and read.rgb[2, 50, 50] == 12
    ours, theirs = rows_of(made)[0], rows_of(read)[0]
    assert theirs["rate_kg_h"] == pytest.approx(ours["rate_kg_h"], rel=1e-4)
    assert theirs["source_lon"] == pytest.approx(ours["source_lon"], abs=1e-6)
    small = tmp_path / "small_saliency.img"
    write_envi(small, np.zeros((1, 5, 5), np.float32))
    with pytest.raises(EarthSignalsError, match="5 lines and 5 samples"):
        measure_flightline(line, small, 0.5, params)
    with pytest.raises(FlightlineError):
        measure_flightline(tmp_path / "missing.img", map_, 0.5, params)


def make_like(scene: PlumeScene):
    from earthsignals.plume.imagery.flightline import Georeference

    return Georeference(scene.transform, scene.crs)
