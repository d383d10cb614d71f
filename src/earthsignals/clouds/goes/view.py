"""What a satellite sees: whether a place lies in a product's sector, and the plane of a sector that moves."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pyproj

from earthsignals.clouds.goes.buckets import LONGITUDE, parse_name, position_of
from earthsignals.clouds.goes.composites import DAMAGED, damaged
from earthsignals.clouds.imagery.plane import LARGEST_DISTORTION, Plane
from earthsignals.clouds.imagery.refusal import RefusedScene

_HEIGHT_M = 35_786_023.0
_SECTORS = {"east": (-0.10136, 0.03864), "west": (-0.07, 0.07)}
"""x of the edges of RadC (CONUS, PACUS) on the fixed grid, radians; y is the same for both."""
_SECTOR_Y = (0.04424, 0.12824)


def moves(product: str) -> bool:
    """Is it one of the two mesoscale sectors, which are moved to where the weather is?"""
    return product[:-1].endswith("RadM")


def sees(satellite: int, product: str, latitude: float, longitude: float) -> bool:
    """Does the place (degrees) lie in the full disc (RadF) or in the sector of RadC?

    Not for sectors that move. Bounds as in the GOES-R Product Definition and Users' Guide, volume 3.
    """
    position = position_of(satellite)
    x, y = _geostationary(LONGITUDE[position])(longitude, latitude)
    if not np.isfinite([x, y]).all():
        return False
    if product.endswith("RadF"):
        return True
    west, east = _SECTORS[position]
    south, north = _SECTOR_Y
    return west <= x / _HEIGHT_M <= east and south <= y / _HEIGHT_M <= north


def plane_of_sector(path: Path, pixel_km: float) -> Plane:
    """The smallest plane around the middle of a file's sector that holds all of the sector.

    Raises RefusedScene for a file that cannot be read (`unreadable`), a sector whose middle is off the disc
    (`off-disk`) and one that reaches too far for one plane (`too-wide`).
    """
    try:
        with netCDF4.Dataset(path) as file:
            x, y = (np.asarray(file[axis][:], np.float64) for axis in ("x", "y"))
            grid = file["goes_imager_projection"]
            below = float(grid.longitude_of_projection_origin)
            height = float(grid.perspective_point_height)
    except DAMAGED as error:
        raise damaged(path, error) from error
    projection = _geostationary(below)
    longitude, latitude = projection(height * x.mean(), height * y.mean(), inverse=True)
    if not np.isfinite([longitude, latitude]).all():
        raise RefusedScene(path, "off-disk", "the middle of its sector is off the Earth's disc; leave it out")
    # Edges alone would do, were they never off the disc.
    angles = np.meshgrid(np.linspace(x[0], x[-1], 65), np.linspace(y[0], y[-1], 65))
    lon, lat = projection(height * angles[0].ravel(), height * angles[1].ravel(), inverse=True)
    seen = np.isfinite(lon) & np.isfinite(lat)
    centred = Plane.around(latitude, longitude, pixel_km, (1, 1))
    row, column = centred.locate(lat[seen], lon[seen])
    shape = tuple(int(2 * np.ceil(np.nanmax(np.abs(axis)))) for axis in (row, column))
    plane = Plane.around(latitude, longitude, pixel_km, shape)
    if not plane.largest_distortion() <= LARGEST_DISTORTION:  # nor where a corner is beyond the plane
        raise RefusedScene(
            path, "too-wide",
            f"the {parse_name(path.name).product} sector reaches too far for one plane: shapes would be "
            f"distorted by more than {LARGEST_DISTORTION:.0%} at its corners; set a clouds.goes.domain",
        )  # fmt: skip
    return plane


def _geostationary(longitude: float) -> pyproj.Proj:
    """Degrees to metres on the ABI fixed grid of a satellite above `longitude`."""
    return pyproj.Proj(
        {"proj": "geos", "h": _HEIGHT_M, "lon_0": longitude, "sweep": "x", "ellps": "GRS80", "units": "m"}
    )
