"""CF netCDF of any origin as a scene.

It needs latitude and longitude, of rows and columns or of every pixel, and one or three bands of brightness
in units that tell what is white.
"""

from __future__ import annotations

import datetime as dt
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from pyresample.geometry import AreaDefinition, SwathDefinition

from earthsignals.clouds.imagery.brightness import Scale, scale_of
from earthsignals.clouds.imagery.names import time_in_name
from earthsignals.clouds.imagery.placing import scene_from
from earthsignals.clouds.imagery.plane import wrap
from earthsignals.clouds.imagery.refusal import RefusedScene
from earthsignals.clouds.imagery.scene import Scene

NETCDFS = (".nc", ".nc4", ".cdf")
_NAMES = {"latitude": ("lat", "latitude", "nav_lat"), "longitude": ("lon", "longitude", "nav_lon")}
_UNITS = {"latitude": "degrees_north", "longitude": "degrees_east"}
_ANGLES = {"degree", "degrees", "deg", "degrees_north", "degrees_east", "rad", "radian", "radians"}
_RGB = {"red": 0, "green": 1, "blue": 2}
_EVEN = 1e-3  # of the step by which even steps may differ


@dataclass(frozen=True)
class Band:
    """A band of brightness (H, W) float32, NaN where unknown."""

    name: str
    values: np.ndarray
    scale: Scale


def read_netcdf(path: str | Path, pixel_km: float, time: dt.datetime | None = None) -> Scene:
    """The scene of a CF netCDF file on a plane with pixels of `pixel_km`.

    time: in place of what the file or its name tells. Raises RefusedScene when the file is truncated or
    damaged, when place, time or full scale are unknown, when it has other than one or three bands, or when
    nothing in it is known.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=xr.SerializationWarning)
            with xr.open_dataset(path, engine="netcdf4", decode_timedelta=False) as file:
                file = file.squeeze()
                time = time or _time_of(file, path)
                latitude, longitude = (_coordinate(file, kind, path) for kind in ("latitude", "longitude"))
                bands = _bands(file, latitude, longitude, path)
                source, order = _source(latitude, longitude)
    except (OSError, RuntimeError) as error:
        raise RefusedScene(
            path, "unreadable", f"it cannot be read as netCDF ({error}): truncated, damaged or something else"
        ) from None
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise RefusedScene(path, "unreadable", f"it is no CF netCDF that can be decoded ({error})") from None
    values = np.stack([band.values for band in bands])[(slice(None), *order)]
    return scene_from(
        path, time, values, source, [band.scale for band in bands], [band.name for band in bands], pixel_km
    )


def _coordinate(file: xr.Dataset, kind: str, path: Path) -> xr.DataArray:
    """The variable of latitude or longitude: by its standard name, its units, or its own name."""
    tests = (
        lambda name, about: about.get("standard_name") == kind,
        lambda name, about: about.get("units") == _UNITS[kind],
        lambda name, about: str(name).lower() in _NAMES[kind],
    )
    for test in tests:
        for name, variable in file.variables.items():
            if variable.ndim in (1, 2) and test(name, variable.attrs):
                return file[name]
    raise RefusedScene(
        path, "no-place", f"no variable in it is the {kind} (standard_name, units {_UNITS[kind]})"
    )


def _source(
    latitude: xr.DataArray, longitude: xr.DataArray
) -> tuple[AreaDefinition | SwathDefinition, tuple[slice, slice]]:
    """Where the pixels lie, and in which order to take their rows and columns (north first, west first)."""
    lat, lon = np.asarray(latitude, np.float64), np.asarray(longitude, np.float64)
    plain = slice(None), slice(None)
    if lat.ndim == 2:
        return SwathDefinition(wrap(lon), lat), plain
    lon = np.unwrap(lon, period=360)
    steps = [np.diff(axis) for axis in (lat, lon)]
    even = all(
        step.size and step[0] != 0 and (np.abs(step - step.mean()) <= _EVEN * abs(step.mean())).all()
        for step in steps
    )
    if not even:
        return SwathDefinition(*np.meshgrid(wrap(lon), lat)), plain
    up, right = (abs(float(step.mean())) for step in steps)
    extent = (lon.min() - right / 2, lat.min() - up / 2, lon.max() + right / 2, lat.max() + up / 2)
    area = AreaDefinition("grid", "grid", "grid", "EPSG:4326", lon.size, lat.size, tuple(map(float, extent)))
    order = slice(None, None, -1 if lat[0] < lat[-1] else 1), slice(None, None, -1 if lon[0] > lon[-1] else 1)
    return area, order


def _bands(file: xr.Dataset, latitude: xr.DataArray, longitude: xr.DataArray, path: Path) -> list[Band]:
    """One band, or three: of as many variables, or of one with a dimension of bands."""
    dims = latitude.dims if latitude.ndim == 2 else (*latitude.dims, *longitude.dims)
    if latitude.ndim != longitude.ndim or len(dims) != 2:
        raise RefusedScene(
            path, "no-place", "latitude and longitude are not both of rows and columns or of pixels"
        )
    found: dict[str, list[Band]] = {}
    unscaled: list[str] = []
    for name, variable in file.variables.items():
        others = [dim for dim in variable.dims if dim not in dims]
        fits = set(dims) <= set(variable.dims) and len(others) <= 1 and variable.dtype.kind in "fiu"
        if not fits or name in (latitude.name, longitude.name) or _is_no_brightness(variable):
            continue
        stack = np.asarray(variable.transpose(*others, *dims).values, np.float32)
        stack = stack.reshape(-1, *stack.shape[-2:])
        bounds = _valid_range(variable)
        if bounds is not None:
            stack = np.where((stack >= bounds[0]) & (stack <= bounds[1]), stack, np.float32(np.nan))
        scale = scale_of(variable.attrs.get("units"), bounds, _raw_bytes(variable), stack)
        if scale is None:
            unscaled.append(str(name))
            continue
        told = [str(name)] if len(stack) == 1 else [f"{name}{number + 1}" for number in range(len(stack))]
        found[str(name)] = [Band(label, band, scale) for label, band in zip(told, stack, strict=True)]
    if not found and unscaled:
        raise RefusedScene(
            path, "scale",
            f"nothing tells what is white in {', '.join(unscaled)}; expected units of 1, % or K, or a "
            "valid_range",
        )  # fmt: skip
    return _chosen(found, path)


def _chosen(found: dict[str, list[Band]], path: Path) -> list[Band]:
    """All bands if they are one or three, else those named red, green and blue, else `brightness`."""
    every = [band for bands in found.values() for band in bands]
    if len(every) in (1, 3):
        return sorted(every, key=lambda band: _RGB.get(band.name.lower(), 0))
    named = {name.lower(): bands for name, bands in found.items()}
    if set(_RGB) <= set(named):
        return [named[name][0] for name in _RGB]
    if len(named.get("brightness", ())) in (1, 3):
        return named["brightness"]
    raise RefusedScene(
        path, "bands",
        f"it has {len(every)} variables of brightness over its latitudes and longitudes "
        f"({', '.join(found) or 'none'}); expected one, or three, or red, green and blue among others",
    )  # fmt: skip


def _is_no_brightness(variable: xr.Variable) -> bool:
    """Flags, angles, coordinates."""
    about = variable.attrs
    return (
        any(name.startswith("flag_") for name in about)
        or str(about.get("units", "")).lower() in _ANGLES
        or about.get("standard_name") in ("latitude", "longitude", "time", "status_flag")
        or "grid_mapping_name" in about
    )


def _raw_bytes(variable: xr.Variable) -> bool:
    """Stored as bytes that stand for themselves?"""
    stored = np.dtype(variable.encoding.get("dtype", variable.dtype))
    unsigned = stored == np.uint8 or (stored == np.int8 and variable.encoding.get("_Unsigned") == "true")
    return unsigned and "scale_factor" not in variable.encoding


def _valid_range(variable: xr.Variable) -> tuple[float, float] | None:
    """The attribute, in the numbers that the variable stands for: it is given in those that are stored."""
    about = variable.attrs
    stored = about.get("valid_range", (about.get("valid_min"), about.get("valid_max")))
    try:
        low, high = (float(number) for number in stored)
    except (TypeError, ValueError):
        return None
    factor, offset = variable.encoding.get("scale_factor", 1), variable.encoding.get("add_offset", 0)
    return float(low * factor + offset), float(high * factor + offset)


def _time_of(file: xr.Dataset, path: Path) -> dt.datetime:
    """From the variable `time`, the attribute time_coverage_start, or the name."""
    for name, variable in file.variables.items():
        if variable.attrs.get("standard_name") != "time" and str(name).lower() not in ("time", "t"):
            continue
        if variable.size != 1:
            raise RefusedScene(
                path, "times", f"it holds {variable.size} times; a scene has one: make a file of each"
            )
        if np.issubdtype(variable.dtype, np.datetime64):
            return _aware(pd.Timestamp(np.ravel(variable.values)[0]))
    text = file.attrs.get("time_coverage_start")
    if text:
        return _aware(pd.Timestamp(str(text)))
    time = time_in_name(path.stem)
    if time is None:
        raise RefusedScene(path, "no-time", "neither its variables and attributes nor its name tell a time")
    return time


def _aware(time: pd.Timestamp) -> dt.datetime:
    if pd.isna(time):
        raise ValueError("its time is missing")
    time = time.tz_localize("UTC") if time.tzinfo is None else time.tz_convert("UTC")
    return time.floor("us").to_pydatetime()
