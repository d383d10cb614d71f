"""Directions between the image and the ground: a flightline's image is rarely turned to the north.

In the image a direction is counted clockwise from its up (towards line 0); on the ground, a bearing is
counted clockwise from true north. The map's rotation, a mirrored image and the convergence of the map's
grid all lie between the two, so a short step is carried over to longitude and latitude and looked at there.
"""

from __future__ import annotations

import math

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform

# WGS84 ellipsoid.
SEMI_MAJOR_M = 6378137.0
ECCENTRICITY_2 = 6.69437999014e-3
# In pixels: short against the curvature of any map, long against its rounding.
STEP = 1.0


def centre_of(place: Affine, row: float, col: float) -> tuple[float, float]:
    """Map coordinates of a point in the image whose pixel centres lie at whole numbers."""
    return place @ (col + 0.5, row + 0.5)


def longitude_latitude(place: Affine, crs: CRS, row: float, col: float) -> tuple[float, float]:
    """Degrees on WGS84 of a point in the image whose pixel centres lie at whole numbers."""
    x, y = centre_of(place, row, col)
    (longitude,), (latitude,) = transform(crs, CRS.from_epsg(4326), [x], [y])
    return longitude, latitude


def bearing_of(place: Affine, crs: CRS, row: float, col: float, direction_deg: float) -> float:
    """Bearing in [0, 360), clockwise from true north, of a direction in the image at one of its points."""
    angle = math.radians(direction_deg)
    matrix = _metres_per_pixel(place, crs, row, col)
    east, north = matrix @ (math.sin(angle), -math.cos(angle))
    return math.degrees(math.atan2(east, north)) % 360.0


def direction_of(place: Affine, crs: CRS, row: float, col: float, bearing_deg: float) -> float:
    """Direction in the image in [0, 360), clockwise from its up, of a bearing at one of its points."""
    angle = math.radians(bearing_deg)
    matrix = _metres_per_pixel(place, crs, row, col)
    right, down = np.linalg.solve(matrix, (math.sin(angle), math.cos(angle)))
    return math.degrees(math.atan2(right, -down)) % 360.0


def _metres_per_pixel(place: Affine, crs: CRS, row: float, col: float) -> np.ndarray:
    """Matrix (2, 2): (columns to the right, lines down) → metres to the (east, north)."""
    columns = []
    latitude = longitude_latitude(place, crs, row, col)[1]
    shrink = 1 - ECCENTRICITY_2 * math.sin(math.radians(latitude)) ** 2
    north_m = math.radians(1.0) * SEMI_MAJOR_M * (1 - ECCENTRICITY_2) / shrink**1.5
    east_m = math.radians(1.0) * SEMI_MAJOR_M / math.sqrt(shrink) * math.cos(math.radians(latitude))
    for right, down in ((STEP, 0.0), (0.0, STEP)):
        ahead = longitude_latitude(place, crs, row + down, col + right)
        behind = longitude_latitude(place, crs, row - down, col - right)
        turn = (ahead[0] - behind[0] + 180.0) % 360.0 - 180.0  # across the date line too
        columns.append((turn * east_m / 2, (ahead[1] - behind[1]) * north_m / 2))
    return np.array(columns).T
