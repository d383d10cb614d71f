"""Which plane a source is brought onto, and the scene that this gives."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pyproj
from pyresample.geometry import AreaDefinition, SwathDefinition

from earthsignals.clouds.imagery.brightness import Scale
from earthsignals.clouds.imagery.names import scene_name
from earthsignals.clouds.imagery.plane import LARGEST_DISTORTION, Plane, distortion, wrap
from earthsignals.clouds.imagery.refusal import RefusedScene
from earthsignals.clouds.imagery.regrid import to_plane
from earthsignals.clouds.imagery.scene import Scene

_ACROSS = 129  # points along an edge from which a source's extent is told


def plane_for(source: AreaDefinition | SwathDefinition, pixel_km: float, path: Path) -> Plane:
    """The smallest raster around the middle of a source that holds all of it.

    Raises RefusedScene when no place of it is known, or when it reaches so far that shapes at its edge would
    be distorted by more than `LARGEST_DISTORTION`.
    """
    longitude, latitude = _outline(source)
    if not longitude.size:
        raise RefusedScene(path, "no-place", "no pixel of it has a known latitude and longitude")
    phi, lam = np.radians(latitude), np.radians(longitude)
    x, y, z = (np.mean(axis) for axis in (np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)))
    middle = float(np.degrees(np.arctan2(z, np.hypot(x, y)))), float(np.degrees(np.arctan2(y, x)))
    for _ in range(3):  # the middle of the extent is known on a plane only, which moves with it
        start = Plane.around(round(middle[0], 4), round(middle[1], 4), pixel_km, (1, 1))
        row, column = start.locate(latitude, longitude)
        furthest = 90.0 if np.isnan(row).any() else _reach(start, latitude, longitude)
        if distortion(furthest) > LARGEST_DISTORTION:
            raise RefusedScene(
                path, "too-wide",
                f"it reaches {furthest:.0f}° or more from its middle, and beyond 35° shapes on one plane are "
                "distorted by more than 10 %; cut a smaller region out of it",
            )  # fmt: skip
        middle = start.geolocate((row.min() + row.max()) / 2, (column.min() + column.max()) / 2)
    half = np.array([np.abs(row).max(), np.abs(column).max()])
    rows, columns = np.maximum(1, np.ceil(2 * half - 1e-3)).astype(int)
    return Plane.around(start.latitude, start.longitude, pixel_km, (int(rows), int(columns)))


def scene_from(
    path: Path, time: dt.datetime, values: np.ndarray, source: AreaDefinition | SwathDefinition,
    scales: list[Scale], bands: list[str], pixel_km: float,
) -> Scene:  # fmt: skip
    """The scene of one or three bands (B, H, W), NaN where unknown, with the scale and the name of each.

    Raises RefusedScene when there is no known pixel, or no plane for it.
    """
    if not np.isfinite(values).all(axis=0).any():
        raise RefusedScene(path, "empty", "no pixel is known in all of its bands")
    plane = plane_for(source, pixel_km, path)
    found, valid = to_plane(values, source, plane)
    if not valid.any():
        raise RefusedScene(path, "empty", "nothing is left of it on the plane")
    levels = np.stack([scale.to_bytes(band, valid) for scale, band in zip(scales, found, strict=True)])
    if len(levels) == 1:
        levels, bands = np.repeat(levels, 3, axis=0), bands * 3
    infrared = all(scale.product == "infrared" for scale in scales)
    return Scene(
        name=scene_name(path.stem), time=time, plane=plane, values=levels, valid=valid,
        bands=(bands[0], bands[1], bands[2]), product="infrared" if infrared else "visible",
    )  # fmt: skip


def _outline(source: AreaDefinition | SwathDefinition) -> tuple[np.ndarray, np.ndarray]:
    """Longitude and latitude in degrees of points all over the source, its edges included; (N,) each."""
    if isinstance(source, SwathDefinition):
        longitude, latitude = (
            np.ma.filled(np.ma.asarray(axis, np.float64), np.nan) for axis in source.get_lonlats()
        )
        spans = (np.linspace(0, size - 1, 4 * _ACROSS).astype(int) for size in longitude.shape)
        picks = np.ix_(*map(np.unique, spans))
        longitude, latitude = longitude[picks], latitude[picks]
    else:
        left, bottom, right, top = source.area_extent
        x, y = np.meshgrid(np.linspace(left, right, _ACROSS), np.linspace(top, bottom, _ACROSS))
        if source.crs.is_geographic:
            longitude, latitude = x, y
        else:
            longitude, latitude = pyproj.Proj(source.crs)(x, y, inverse=True)
    known = np.isfinite(longitude) & np.isfinite(latitude) & (np.abs(latitude) <= 90)
    return wrap(longitude[known]), latitude[known]


def _reach(plane: Plane, latitude: np.ndarray, longitude: np.ndarray) -> float:
    """Greatest angular distance in degrees from the plane's centre."""
    geodesic = pyproj.Geod(ellps="sphere")
    here = np.full(latitude.shape, plane.longitude), np.full(latitude.shape, plane.latitude)
    return float(np.degrees(geodesic.inv(*here, longitude, latitude)[2].max() / geodesic.a))
