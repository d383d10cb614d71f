"""GeoTIFF as a scene: pictures of three bands, or one band of reflectance or brightness temperature.

Scales, offsets, fill values and units are the file's own, as in the GOES images of cloud and moisture (CMI).
"""

from __future__ import annotations

import datetime as dt
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
from pyresample.geometry import AreaDefinition

from earthsignals.clouds.imagery.brightness import Scale, scale_of
from earthsignals.clouds.imagery.names import time_in_name
from earthsignals.clouds.imagery.placing import scene_from
from earthsignals.clouds.imagery.refusal import RefusedScene
from earthsignals.clouds.imagery.scene import Scene

GEOTIFFS = (".tif", ".tiff")
_GOES_BAND = re.compile(r"-M\d(C\d\d)_G\d\d_")


def read_geotiff(path: str | Path, pixel_km: float, time: dt.datetime | None = None) -> Scene:
    """The scene of a GeoTIFF with one or three bands (and transparency) on a plane with pixels of `pixel_km`.

    time: in place of what its name or its tags tell. Raises RefusedScene when it cannot be read, when place,
    time or full scale are unknown, or when there is nothing on it.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as file:
                area = _area_of(file, path)
                numbers = _colours(file, path)
                bands = [_band_name(file, number, len(numbers), path) for number in numbers]
                values = np.stack([_numbers(file, number) for number in numbers])
                scales = [
                    _scale(file, number, band, path) for number, band in zip(numbers, values, strict=True)
                ]
                time = time or _time_of(file, path)
    except (RasterioError, OSError) as error:
        raise RefusedScene(path, "unreadable", f"it cannot be read as GeoTIFF ({error})") from None
    return scene_from(path, time, values, area, scales, bands, pixel_km)


def _area_of(file: Any, path: Path) -> AreaDefinition:
    step = file.transform
    if file.crs is None or step.is_identity:
        raise RefusedScene(path, "no-place", "it has no coordinate reference system or no place in it")
    if step.b or step.d or step.a <= 0 or step.e >= 0:
        raise RefusedScene(path, "no-place", "it is turned or mirrored; expected north up, no rotation")
    try:
        crs = pyproj.CRS.from_wkt(file.crs.to_wkt())
    except pyproj.exceptions.CRSError as error:
        raise RefusedScene(path, "no-place", f"its reference system is unknown ({error})") from None
    return AreaDefinition("raster", "raster", "raster", crs, file.width, file.height, tuple(file.bounds))


def _colours(file: Any, path: Path) -> list[int]:
    """Numbers of the bands of brightness: one, or three in the order red, green, blue."""
    from rasterio.enums import ColorInterp

    kinds = dict(zip(file.indexes, file.colorinterp, strict=True))
    numbers = [number for number, kind in kinds.items() if kind != ColorInterp.alpha]
    if ColorInterp.palette in kinds.values() or len(numbers) not in (1, 3):
        raise RefusedScene(path, "bands", f"it has {len(numbers)} bands or a palette; expected one or three")
    rgb = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
    if set(rgb) <= set(kinds.values()):
        numbers = [number for kind in rgb for number in numbers if kinds[number] == kind]
    return numbers


def _numbers(file: Any, number: int) -> np.ndarray:
    """A band (H, W) float32 in its units, NaN where its mask or its numbers say that nothing is known."""
    raw = file.read(number)
    values = raw.astype(np.float64) * file.scales[number - 1] + file.offsets[number - 1]
    known = (file.read_masks(number) > 0) & np.isfinite(values)
    return np.where(known, values, np.nan).astype(np.float32)


def _scale(file: Any, number: int, values: np.ndarray, path: Path) -> Scale:
    index = number - 1
    raw = file.dtypes[index] == "uint8" and (file.scales[index], file.offsets[index]) == (1.0, 0.0)
    units = file.units[index] or file.tags(number).get("units")
    scale = scale_of(units, None, raw, values)
    if scale is None:
        raise RefusedScene(
            path, "scale",
            f"nothing tells what is white in band {number} ({file.dtypes[index]}, units `{units or ''}`); "
            "expected bytes, or units of 1, % or K",
        )  # fmt: skip
    return scale


def _band_name(file: Any, number: int, count: int, path: Path) -> str:
    if count == 3:
        return ("red", "green", "blue")[number - 1] if number <= 3 else f"band{number}"
    found = _GOES_BAND.search(path.name)
    return found[1] if found else (file.descriptions[number - 1] or "grey")


def _time_of(file: Any, path: Path) -> dt.datetime:
    for tag in ("NC_GLOBAL#time_coverage_start", "time_coverage_start", "TIFFTAG_DATETIME"):
        text = file.tags().get(tag)
        if text:
            try:
                time = dt.datetime.fromisoformat(re.sub(r"^(\d{4}):(\d\d):(\d\d) ", r"\1-\2-\3 ", text))
            except ValueError:
                continue
            return time if time.tzinfo else time.replace(tzinfo=dt.UTC)
    time = time_in_name(path.stem)
    if time is None:
        raise RefusedScene(path, "no-time", "neither its tags nor its name tell a date; put YYYYMMDD in it")
    return time
