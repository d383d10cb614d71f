"""Onto the plane: exact where the answer is known, no aliases, gaps and edges, the antimeridian, the limb."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyresample.geometry import AreaDefinition, SwathDefinition

from earthsignals.clouds.imagery.placing import plane_for
from earthsignals.clouds.imagery.plane import Plane, wrap
from earthsignals.clouds.imagery.regrid import finer_than, to_plane

GEOS = "+proj=geos +lon_0=-75 +h=35786023 +ellps=GRS80 +sweep=x +units=m"


def grid(longitude: float, step: float, half: float = 3.0) -> tuple[AreaDefinition, np.ndarray, np.ndarray]:
    """A raster of degrees around (10° N, longitude), its longitudes and latitudes (H, W)."""
    size = round(2 * half / step)
    west, north = longitude - half, 10 + half
    area = AreaDefinition("", "", "", "EPSG:4326", size, size, (west, 10 - half, longitude + half, north))
    axis = (np.arange(size) + 0.5) * step
    return area, *np.meshgrid(west + axis, north - axis)


def waves(longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
    """Smooth, of period 6° and 9°, and continuous at the antimeridian."""
    return np.cos(np.radians(60 * longitude)) + np.sin(np.radians(40 * latitude))


@pytest.mark.parametrize("longitude", [-45.0, 180.0])
@pytest.mark.parametrize("step", [0.005, 0.02, 0.1])
def test_a_raster_keeps_its_values(longitude: float, step: float) -> None:
    area, lon, lat = grid(longitude, step)
    plane = Plane.around(10, longitude, 2.0, (150, 170))
    values, valid = to_plane(waves(lon, lat)[None], area, plane)
    assert valid.all() and values.dtype == np.float32
    # The bound of linear interpolation: second derivative times step squared over eight, in both directions.
    bound = (np.radians(60) ** 2 + np.radians(40) ** 2) * max(step, 0.02) ** 2 / 8
    assert np.abs(values[0] - waves(*plane.lonlat())).max() < 1.1 * bound + 1e-6


@pytest.mark.parametrize("longitude", [-45.0, 180.0])
@pytest.mark.parametrize("step", [0.005, 0.03])
def test_a_swath_keeps_its_values(longitude: float, step: float) -> None:
    _, lon, lat = grid(longitude, step, 1.5)
    turn = np.radians(20)
    plane = Plane.around(10, longitude, 2.0, (70, 90))
    row, column = plane.locate(lat, lon)
    row, column = row - 34.5, column - 44.5
    row, column = (
        34.5 + np.cos(turn) * row - np.sin(turn) * column, 44.5 + np.sin(turn) * row + np.cos(turn) * column
    )  # fmt: skip
    lat, lon = plane.geolocate(row, column)
    values, valid = to_plane(waves(lon, lat)[None], SwathDefinition(lon, lat), plane)
    assert valid.all()
    # Means over the pixels that happen to fall in one are off by half a source pixel's slope at worst.
    assert np.abs(values[0] - waves(*plane.lonlat())).max() < np.hypot(np.radians(60), np.radians(40)) * 0.02


def test_a_fine_source_is_averaged_and_not_sampled() -> None:
    """Stripes finer than a pixel of the plane must vanish into grey; point samples would show false waves."""
    area, lon, _ = grid(0.0, 0.002)
    stripes = (np.arange(lon.shape[1]) // 2 % 2).astype(float) * np.ones_like(lon)  # period 0.008°: 0.9 km
    plane = Plane.around(10, 0, 4.0, (100, 100))
    assert finer_than(area, plane) > 10
    values, valid = to_plane(stripes[None], area, plane)
    assert valid.all()
    assert np.abs(values - 0.5).max() < 0.15
    assert values.mean() == pytest.approx(0.5, abs=1e-3)


def test_unknown_pixels_have_no_weight() -> None:
    area, lon, lat = grid(0.0, 0.02)
    plane = Plane.around(10, 0, 2.0, (150, 150))
    field = np.full((2, *lon.shape), 7.0)
    hole = np.hypot(lon, lat - 10) < 0.5
    field[1, hole] = np.nan  # in one band of two
    values, valid = to_plane(field, area, plane)
    longitude, latitude = plane.lonlat()
    distance = np.hypot(longitude, latitude - 10)
    assert not valid[distance < 0.47].any() and valid[distance > 0.53].all()
    np.testing.assert_allclose(values[:, valid], 7.0, rtol=1e-6)  # no trace of what is missing
    assert (values[:, ~valid] == 0).all()


def test_beyond_the_source_nothing_is_known() -> None:
    area, lon, _ = grid(0.0, 0.02, 0.5)
    plane = Plane.around(10, 0, 2.0, (150, 150))
    _, valid = to_plane(np.ones((1, *lon.shape)), area, plane)
    longitude, latitude = plane.lonlat()
    np.testing.assert_array_equal(valid, (np.abs(longitude) < 0.5) & (np.abs(latitude - 10) < 0.5))


def test_a_global_grid_has_no_seam() -> None:
    area = AreaDefinition("", "", "", "EPSG:4326", 360, 180, (0, -90, 360, 90))
    lon, lat = np.meshgrid(np.arange(360) + 0.5, 89.5 - np.arange(180))
    plane = Plane.around(0, 0, 20.0, (40, 60))  # at the grid's first and last column
    values, valid = to_plane(np.cos(np.radians(lon))[None], area, plane)
    assert valid.all()
    np.testing.assert_allclose(values[0], np.cos(np.radians(plane.lonlat()[0])), atol=1e-4)


def test_space_beside_the_disk_is_unknown() -> None:
    """A full disk of a geostationary satellite, as it comes: no numbers off the disk."""
    half = 5_434_894.0
    area = AreaDefinition("", "", "", GEOS, 400, 400, (-half, -half, half, half))
    lon, _ = area.get_lonlats()
    disk = np.where(np.isfinite(lon), 1.0, np.nan)
    plane = Plane.around(0, -75 + 68, 50.0, (60, 110))  # reaches beyond the limb at 81° from the satellite
    values, valid = to_plane(disk[None], area, plane)
    away = np.abs(wrap(plane.lonlat()[0] + 75))
    near_equator = np.abs(plane.lonlat()[1]) < 5
    assert valid[near_equator & (away < 75)].all()
    assert not valid[away > 82].any()
    assert (values[0][valid] == 1).all()


def test_a_sector_with_a_corner_off_the_disk_has_a_plane() -> None:
    """A corner of a sector near the limb looks into space; the rest of it lies on a plane all the same."""
    area = AreaDefinition("", "", "", GEOS, 200, 200, (-4.6e6, 2.0e6, -3.4e6, 3.2e6))
    longitude, latitude = area.get_lonlats()
    seen = np.isfinite(longitude)
    assert not seen[0, 0] and seen[-1, -1] and 0.5 < seen.mean() < 1
    plane = plane_for(area, 20.0, Path("sector.tif"))
    # The pixels at the very limb span five of the plane's; all others lie on it.
    row, column = plane.locate(latitude[seen], longitude[seen])
    assert row.min() > -3 and row.max() < plane.shape[0] + 2
    assert column.min() > -3 and column.max() < plane.shape[1] + 2
    values, valid = to_plane(np.where(seen, latitude, np.nan)[None], area, plane)
    assert valid.any() and not valid.all()
    # Latitude is smooth but for the limb, where a pixel of the source spans many of the plane's.
    assert np.median(np.abs(values[0] - plane.lonlat()[1])[valid]) < 0.01


def test_nothing_known_gives_nothing_known() -> None:
    area, lon, lat = grid(0.0, 0.1)
    plane = Plane.around(10, 0, 5.0, (8, 9))
    for source in (area, SwathDefinition(lon, lat)):
        values, valid = to_plane(np.full((3, *lon.shape), np.nan), source, plane)
        assert values.shape == (3, 8, 9) and not valid.any() and not values.any()
    elsewhere = Plane.around(-40, 100, 5.0, (8, 9))
    assert not to_plane(np.ones((1, *lon.shape)), area, elsewhere)[1].any()
    assert not to_plane(np.ones((1, *lon.shape)), SwathDefinition(lon, lat), elsewhere)[1].any()


def test_a_swath_without_places_in_parts_is_read_for_the_rest() -> None:
    _, lon, lat = grid(0.0, 0.03, 1.5)
    lon[:40], lat[:40] = np.nan, np.nan  # scan lines without geolocation
    plane = Plane.around(10, 0, 2.0, (100, 100))
    values, valid = to_plane(np.ones((1, *lon.shape)), SwathDefinition(lon, lat), plane)
    latitude = plane.lonlat()[1]
    assert not valid[latitude > 11.5 - 40 * 0.03 + 0.03].any()
    assert valid[latitude < 11.5 - 41 * 0.03 - 0.03].all()
    np.testing.assert_allclose(values[0][valid], 1.0)
