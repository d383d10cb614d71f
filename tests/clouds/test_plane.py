"""The equal-area plane: areas, places and indices, the antimeridian, and how far a scene may reach."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest

from earthsignals.clouds.imagery.plane import Plane, distortion, wrap
from earthsignals.clouds.params import Domain
from earthsignals.storage import EarthSignalsError

CENTRES = [(0.0, 0.0), (20.0, -45.0), (-35.0, 179.9), (80.0, 12.0)]


@pytest.mark.parametrize(("latitude", "longitude"), CENTRES)
def test_pixels_cover_equal_areas_on_the_ellipsoid(latitude: float, longitude: float) -> None:
    plane = Plane.around(latitude, longitude, 2.0, (1000, 1200))
    geodesic = pyproj.Geod(ellps="WGS84")
    for row, column in ((0, 0), (499, 599), (999, 0), (120, 1100)):
        corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) + (row, column)
        lat, lon = plane.geolocate(*corners.T)
        area, _ = geodesic.polygon_area_perimeter(lon, lat)
        # Geodesics between the corners, not the straight lines of the plane.
        assert abs(area) == pytest.approx(4e6, rel=1e-5)


@pytest.mark.parametrize(("latitude", "longitude"), CENTRES)
def test_places_and_indices_are_inverse(latitude: float, longitude: float) -> None:
    plane = Plane.around(latitude, longitude, 1.5625, (64, 50))
    row, column = np.meshgrid(np.arange(64.0), np.arange(50.0), indexing="ij")
    found = plane.locate(*plane.geolocate(row, column))
    np.testing.assert_allclose(found, (row, column), atol=1e-5)  # a few millimetres
    longitudes, latitudes = plane.lonlat()
    np.testing.assert_allclose(plane.geolocate(row, column), (latitudes, longitudes), atol=1e-10)
    assert longitudes.min() >= -180 and longitudes.max() < 180


def test_the_raster_is_centred_and_whole_indices_are_pixel_centres() -> None:
    plane = Plane.around(10.0, 190.0, 2.0, (4, 6))
    assert plane.longitude == -170.0
    assert plane.locate(10.0, -170.0) == pytest.approx((1.5, 2.5))  # between the middle pixels
    assert plane.geolocate(1.5, 2.5) == pytest.approx((10.0, -170.0))
    assert plane.x_m().tolist() == [-5000, -3000, -1000, 1000, 3000, 5000]
    assert plane.y_m().tolist() == [3000, 1000, -1000, -3000]  # north first
    north, south = plane.geolocate(0, 2)[0], plane.geolocate(3, 2)[0]
    assert north > south


def test_a_window_sees_the_same_places() -> None:
    plane = Plane.around(20.0, -45.0, 1.5625, (300, 400))
    part = plane.window(17, 40, 128, 130)
    assert part.shape == (128, 130)
    whole = plane.lonlat()
    for axis, of_part in zip(whole, part.lonlat(), strict=True):
        np.testing.assert_allclose(of_part, axis[17:145, 40:170], atol=1e-12)


def test_pyresample_sees_the_same_places() -> None:
    plane = Plane.around(-30.0, 179.5, 3.0, (40, 60)).window(2, 3, 30, 50)
    longitude, latitude = plane.area().get_lonlats()
    np.testing.assert_allclose(wrap(longitude), plane.lonlat()[0], atol=1e-9)
    np.testing.assert_allclose(latitude, plane.lonlat()[1], atol=1e-9)


def test_the_far_side_of_the_earth_has_no_place() -> None:
    plane = Plane.around(0.0, 0.0, 2.0, (10, 10))
    row, column = plane.locate(np.array([0.0, 0.0, np.nan]), np.array([89.0, 91.0, 0.0]))
    assert np.isfinite(row).tolist() == np.isfinite(column).tolist() == [True, False, False]
    assert np.isnan(plane.geolocate(0.0, 1e6)).all()  # two million kilometres aside


def test_a_domain_is_covered_to_its_corners() -> None:
    domain = Domain(west=-60, east=-30, south=10, north=30)
    plane = Plane.covering(domain, 2.0)
    along, up = np.linspace(-60, -30, 300), np.linspace(10, 30, 300)
    lat = np.concatenate([np.full(300, 10), np.full(300, 30), up, up])
    lon = np.concatenate([along, along, np.full(300, -60), np.full(300, -30)])
    row, column = plane.locate(lat, lon)
    assert row.min() >= -0.5 - 1e-3 and row.max() <= plane.shape[0] - 0.5 + 1e-3
    assert column.min() >= -0.5 - 1e-3 and column.max() <= plane.shape[1] - 0.5 + 1e-3
    assert row.min() < 1 and column.max() > plane.shape[1] - 2  # and hardly more than that


def test_a_domain_across_the_antimeridian_is_as_any_other() -> None:
    across = Plane.covering(Domain(west=165, east=-165, south=10, north=30), 2.0)
    elsewhere = Plane.covering(Domain(west=-60, east=-30, south=10, north=30), 2.0)
    assert across.shape == elsewhere.shape
    assert (across.latitude, across.longitude) == (20.0, -180.0)


def test_distortion_is_that_of_the_textbook_and_bounds_the_domain() -> None:
    # Snyder 1987, p. 182 ff.: k' = sqrt(2/(1 + cos c)) across and h' = 1/k' along the radius.
    angle = np.array([0.0, 5.0, 10.0, 35.0])
    across = np.sqrt(2 / (1 + np.cos(np.radians(angle))))
    np.testing.assert_allclose(distortion(angle), across**2 - 1, atol=1e-12)
    assert distortion(35.0) < 0.10 < distortion(35.5)
    assert Plane.covering(Domain(west=-20, east=20, south=-20, north=20), 50).largest_distortion() < 0.08
    with pytest.raises(EarthSignalsError, match="smaller domain"):
        Plane.covering(Domain(west=-30, east=30, south=-30, north=30), 50)
    with pytest.raises(EarthSignalsError, match="smaller domain"):
        Plane.covering(Domain(west=10, east=9, south=-80, north=80), 50)


def test_a_plane_survives_its_dictionary() -> None:
    plane = Plane.around(1 / 3, -100 / 7, 200 / 128, (50, 70)).window(3, 4, 5, 6)
    assert Plane.from_dict(plane.to_dict()) == plane
