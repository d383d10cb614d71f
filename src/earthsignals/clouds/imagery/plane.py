"""The plane that a scene lies on: a raster of square pixels of equal area around the scene's centre.

Lambert's azimuthal equal-area projection (Snyder 1987, Map Projections: A Working Manual, USGS Professional
Paper 1395, p. 182) on the WGS 84 ellipsoid. Areas are true everywhere. Shapes are not: at the angular
distance c from the centre lengths across the radius are stretched by 1/cos(c/2) and lengths along it shrunk
by cos(c/2), so that a circle becomes an ellipse whose axes stand as 1/cos²(c/2): 0.2 % off at 5°, 0.8 % at
10°, 3 % at 20°, 10 % at 35°, which is as far as a scene may reach.

Indices are those of arrays: the centre of the first pixel is (0, 0), its outer corner (-0.5, -0.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyproj

from earthsignals.clouds.params import Domain
from earthsignals.storage import EarthSignalsError

if TYPE_CHECKING:
    from pyresample.geometry import AreaDefinition

LARGEST_DISTORTION = 0.10
"""How far the axes of a circle's image may differ anywhere in a scene."""


def distortion(angle: np.ndarray | float) -> np.ndarray | float:
    """1/cos²(c/2) - 1 at the angular distance c in degrees: how much longer than wide a circle becomes."""
    return 1 / np.cos(np.radians(angle) / 2) ** 2 - 1


@dataclass(frozen=True)
class Plane:
    """A raster on a Lambert azimuthal equal-area plane."""

    latitude: float
    longitude: float
    """Centre of the projection in degrees, longitude in [-180, 180)."""
    pixel_km: float
    left_km: float
    top_km: float
    """Outer edge of the first column and of the first row, from the centre of the projection."""
    shape: tuple[int, int]
    """Rows (north to south), columns (west to east)."""

    @classmethod
    def around(cls, latitude: float, longitude: float, pixel_km: float, shape: tuple[int, int]) -> Plane:
        """The raster of this shape that is centred on the point."""
        rows, columns = shape
        return cls(
            float(latitude), wrap(float(longitude)), float(pixel_km),
            -columns * pixel_km / 2, rows * pixel_km / 2, (int(rows), int(columns)),
        )  # fmt: skip

    @classmethod
    def covering(cls, domain: Domain, pixel_km: float) -> Plane:
        """The smallest raster around the middle of a domain that covers all of it.

        Raises EarthSignalsError when the domain is so wide that shapes at its edge would be distorted by more
        than `LARGEST_DISTORTION`.
        """
        latitude, longitude = (domain.south + domain.north) / 2, wrap(domain.west + domain.width / 2)
        share = np.linspace(0, 1, 181)
        east = domain.west + domain.width
        along, up = domain.west + share * domain.width, domain.south + share * (domain.north - domain.south)
        lat = np.concatenate([np.full(181, domain.south), np.full(181, domain.north), up, up])
        lon = np.concatenate([along, along, np.full(181, domain.west), np.full(181, east)])
        furthest = float(_angle(latitude, longitude, lat, lon).max())
        if furthest >= 90 or distortion(furthest) > LARGEST_DISTORTION:
            raise EarthSignalsError(
                f"the domain {domain.west:g}…{domain.east:g}° E, {domain.south:g}…{domain.north:g}° N "
                f"reaches {furthest:.0f}° from its middle; beyond 35° shapes on one plane are distorted by "
                f"more than {LARGEST_DISTORTION:.0%}: take a smaller domain"
            )
        x, y = _projection(latitude, longitude)(lon, lat)
        half = np.array([np.abs(y).max(), np.abs(x).max()]) / 1000 / pixel_km
        rows, columns = np.maximum(1, np.ceil(2 * half - 1e-9)).astype(int)
        return cls.around(latitude, longitude, pixel_km, (int(rows), int(columns)))

    def crs(self) -> pyproj.CRS:
        """The projection, in metres."""
        return _crs(self.latitude, self.longitude)

    def x_m(self) -> np.ndarray:
        """Projection coordinate of the columns' centres in metres, (W,) ascending."""
        return 1000 * (self.left_km + (np.arange(self.shape[1]) + 0.5) * self.pixel_km)

    def y_m(self) -> np.ndarray:
        """Projection coordinate of the rows' centres in metres, (H,) descending."""
        return 1000 * (self.top_km - (np.arange(self.shape[0]) + 0.5) * self.pixel_km)

    def lonlat(self) -> tuple[np.ndarray, np.ndarray]:
        """Longitude and latitude of the pixels' centres in degrees, (H, W) float64 each."""
        x, y = np.meshgrid(self.x_m(), self.y_m())
        longitude, latitude = _projection(self.latitude, self.longitude)(x, y, inverse=True)
        return wrap(longitude), latitude

    def locate(self, latitude: Any, longitude: Any) -> tuple[Any, Any]:
        """Row and column (fractions of pixels) of points in degrees, arrays or numbers.

        They may lie outside of the raster; NaN beyond the hemisphere around the projection's centre.
        """
        latitude, longitude = np.asarray(latitude, np.float64), np.asarray(longitude, np.float64)
        with np.errstate(invalid="ignore"):
            near = _angle(self.latitude, self.longitude, latitude, longitude) < 90
        x, y = _projection(self.latitude, self.longitude)(
            np.where(near, longitude, self.longitude), np.where(near, latitude, self.latitude)
        )
        row = (self.top_km - np.asarray(y) / 1000) / self.pixel_km - 0.5
        column = (np.asarray(x) / 1000 - self.left_km) / self.pixel_km - 0.5
        row, column = np.where(near, row, np.nan), np.where(near, column, np.nan)
        return (row, column) if row.ndim else (float(row), float(column))

    def geolocate(self, row: Any, column: Any) -> tuple[Any, Any]:
        """Latitude and longitude in degrees of rows and columns (fractions of pixels), arrays or numbers.

        NaN where the plane has no such point.
        """
        x = 1000 * (self.left_km + (np.asarray(column, np.float64) + 0.5) * self.pixel_km)
        y = 1000 * (self.top_km - (np.asarray(row, np.float64) + 0.5) * self.pixel_km)
        longitude, latitude = _projection(self.latitude, self.longitude)(x, y, inverse=True)
        known = np.isfinite(longitude) & np.isfinite(latitude)
        longitude = wrap(np.where(known, longitude, np.nan))
        latitude = np.where(known, latitude, np.nan)
        return (latitude, longitude) if latitude.ndim else (float(latitude), float(longitude))

    def window(self, row: int, column: int, height: int, width: int) -> Plane:
        """The part that begins at a pixel: same projection, whole pixels."""
        return Plane(
            self.latitude, self.longitude, self.pixel_km,
            self.left_km + column * self.pixel_km, self.top_km - row * self.pixel_km, (height, width),
        )  # fmt: skip

    def extent_m(self) -> tuple[float, float, float, float]:
        """Outer edges in metres: left, bottom, right, top."""
        rows, columns = self.shape
        left, top = 1000 * self.left_km, 1000 * self.top_km
        return left, top - 1000 * rows * self.pixel_km, left + 1000 * columns * self.pixel_km, top

    def largest_distortion(self) -> float:
        """`distortion` at the corner furthest from the projection's centre."""
        rows, columns = self.shape
        latitude, longitude = self.geolocate(
            np.array([-0.5, -0.5, rows - 0.5, rows - 0.5]), np.array([-0.5, columns - 0.5] * 2)
        )
        return float(np.max(distortion(_angle(self.latitude, self.longitude, latitude, longitude))))

    def area(self) -> AreaDefinition:
        """The same raster for pyresample."""
        from pyresample.geometry import AreaDefinition

        rows, columns = self.shape
        return AreaDefinition("plane", "plane", "plane", self.crs(), columns, rows, self.extent_m())

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON and attributes."""
        return {**asdict(self), "shape": list(self.shape)}

    @classmethod
    def from_dict(cls, about: Mapping[str, Any]) -> Plane:
        """What `to_dict` made."""
        rows, columns = (int(size) for size in about["shape"])
        numbers = ("latitude", "longitude", "pixel_km", "left_km", "top_km")
        return cls(*(float(about[name]) for name in numbers), shape=(rows, columns))


def wrap(longitude: Any) -> Any:
    """Into [-180, 180)."""
    return (longitude + 180) % 360 - 180


def _angle(latitude: float, longitude: float, lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    """Angular distance in degrees of points from a centre (haversine)."""
    phi, other = np.radians(latitude), np.radians(lat)
    chord = np.sin((other - phi) / 2) ** 2
    chord = chord + np.cos(phi) * np.cos(other) * np.sin(np.radians(lon - longitude) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(np.clip(chord, 0, 1))))


@lru_cache(maxsize=64)
def _crs(latitude: float, longitude: float) -> pyproj.CRS:
    return pyproj.CRS.from_dict(
        {"proj": "laea", "lat_0": latitude, "lon_0": longitude, "datum": "WGS84", "units": "m"}
    )


@lru_cache(maxsize=64)
def _projection(latitude: float, longitude: float) -> pyproj.Proj:
    """Degrees to metres: `(longitude, latitude)` to `(x, y)`, and back with `inverse=True`."""
    return pyproj.Proj(_crs(latitude, longitude))
