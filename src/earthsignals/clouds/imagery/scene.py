"""A scene: brightness on an equal-area plane at one time, and its file, CF netCDF.

The file holds projection coordinates and the grid mapping, latitude and longitude of every pixel, the time,
the three bands and which pixels are known; `xarray.open_dataset` shows brightness as numbers from 0 to 1. Of
equal scenes the bytes are equal: no dates, no histories.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from earthsignals.clouds.imagery.plane import Plane
from earthsignals.storage import EarthSignalsError, atomic_path

TRUTH = ("scale_km", "anisotropy", "clustering", "cloud_fraction")
"""What is known of the organisation at every point of a synthetic scene."""
TRUTH_STEP = 8
"""Truth is kept as means over blocks of 8 x 8 pixels."""
PRODUCTS = ("visible", "infrared")

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_TRUTH_UNITS = {"scale_km": "km", "anisotropy": "1", "clustering": "1", "cloud_fraction": "1"}
_TRUTH_NAMES = {
    "scale_km": "distance between the elements of the pattern",
    "anisotropy": "ratio of the pattern's scales along and across its direction",
    "clustering": "degree of clustering of the clouds",
    "cloud_fraction": "share of the area under clouds",
}
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MARK = "earthsignals_scene"  # attribute that tells our files from other CF netCDF


@dataclass(frozen=True)
class Scene:
    """Brightness of a region at one time.

    Raises EarthSignalsError where the parts do not fit together.
    """

    name: str
    """Stem of its file: letters, digits, `_`, `.`, `-`."""
    time: dt.datetime
    """UTC, aware."""
    plane: Plane
    values: np.ndarray
    """(3, H, W) uint8: brightness in 255ths of full scale; of a grey scene three equal bands."""
    valid: np.ndarray
    """(H, W) bool. Values are 0 where it is False."""
    bands: tuple[str, str, str]
    product: str
    """`visible` or `infrared`."""
    regime: str = ""
    """Of synthetic scenes."""
    series: bool = False
    """One of the hourly series, which is not judged."""
    truth: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Of synthetic scenes: by the names of `TRUTH`, (ceil(H / 8), ceil(W / 8)) float32 each."""

    def __post_init__(self) -> None:
        shape = self.plane.shape
        blocks = tuple(-(-size // TRUTH_STEP) for size in shape)
        unfit = [name for name, block in self.truth.items() if name not in TRUTH or block.shape != blocks]
        wrong = None
        if not _NAME.fullmatch(self.name):
            wrong = "its name holds other characters than letters, digits, `_`, `.` and `-`"
        elif self.time.tzinfo is None:
            wrong = "its time has no time zone"
        elif self.values.shape != (3, *shape) or self.values.dtype != np.uint8:
            wrong = f"values are {self.values.dtype} {self.values.shape}, expected uint8 {(3, *shape)}"
        elif self.valid.shape != shape or self.valid.dtype != np.bool_:
            wrong = f"valid is {self.valid.dtype} {self.valid.shape}, expected bool {shape}"
        elif len(self.bands) != 3 or self.product not in PRODUCTS:
            wrong = f"bands {self.bands} and product `{self.product}`: expected three and one of {PRODUCTS}"
        elif unfit:
            wrong = f"truth `{unfit[0]}` is none of {TRUTH} with the shape {blocks}"
        if wrong:
            raise EarthSignalsError(f"scene {self.name}: {wrong}")

    def truth_of(self, row: int, column: int, size: int) -> dict[str, float]:
        """Mean of each truth over the window of size x size pixels that begins at (row, column).

        NaN where it is unknown. The block at an edge of the window counts by the share that lies in it.
        """
        down, across = _overlap(row, size, self.plane.shape[0]), _overlap(column, size, self.plane.shape[1])
        weights = down[:, None] * across[None, :]
        total = weights.sum()
        means = {}
        for name in TRUTH:
            block = self.truth.get(name)
            inside = weights > 0
            known = block is not None and total > 0
            means[name] = float((block[inside] * weights[inside]).sum() / total) if known else float("nan")
        return means


def _overlap(start: int, size: int, length: int) -> np.ndarray:
    """Pixels of [start, start + size) in each block along an axis of `length` pixels."""
    edges = np.arange(0, length + TRUTH_STEP, TRUTH_STEP).clip(max=length).astype(np.float64)
    return np.clip(np.minimum(edges[1:], start + size) - np.maximum(edges[:-1], start), 0, None)


def write_scene(path: str | Path, scene: Scene) -> None:
    """Write the scene as CF-1.11 netCDF-4, compressed, with checksums, whole or not at all."""
    with atomic_path(path) as temporary, netCDF4.Dataset(temporary, "w", format="NETCDF4") as file:
        _write_about(file, scene)
        _write_plane(file, scene.plane)
        _write_brightness(file, scene)
        if scene.truth:
            _write_truth(file, scene)


def _write_about(file: netCDF4.Dataset, scene: Scene) -> None:
    file.setncatts({
        "Conventions": "CF-1.11",
        "title": f"Brightness of clouds, {scene.product}: {scene.name}",
        "source": "synthetic" if scene.regime or scene.truth else "satellite imagery",
        _MARK: np.int32(1),
        "product": scene.product,
        "regime": scene.regime,
        "series": np.int32(scene.series),
    })  # fmt: skip
    time = file.createVariable("time", "f8")
    time.setncatts({
        "standard_name": "time", "long_name": "time of the scene", "calendar": "standard",
        "units": "seconds since 1970-01-01 00:00:00 +00:00", "axis": "T",
    })  # fmt: skip
    time[...] = (scene.time - _EPOCH).total_seconds()


def _write_plane(file: netCDF4.Dataset, plane: Plane) -> None:
    crs = file.createVariable("crs", "i4")
    # The attributes of CF's appendix F; PROJ's own text would change with its version.
    crs.setncatts({
        "grid_mapping_name": "lambert_azimuthal_equal_area",
        "latitude_of_projection_origin": plane.latitude, "longitude_of_projection_origin": plane.longitude,
        "false_easting": 0.0, "false_northing": 0.0,
        "semi_major_axis": 6378137.0, "inverse_flattening": 298.257223563,
        "longitude_of_prime_meridian": 0.0, "reference_ellipsoid_name": "WGS 84",
        "horizontal_datum_name": "World Geodetic System 1984", "geographic_crs_name": "WGS 84",
        "pixel_km": plane.pixel_km, "left_km": plane.left_km, "top_km": plane.top_km,
    })  # fmt: skip
    crs[...] = 0
    for name, size, values in (("y", plane.shape[0], plane.y_m()), ("x", plane.shape[1], plane.x_m())):
        file.createDimension(name, size)
        axis = file.createVariable(name, "f8", (name,))
        axis.setncatts({
            "standard_name": f"projection_{name}_coordinate", "long_name": f"{name} of the projection",
            "units": "m", "axis": name.upper(),
        })  # fmt: skip
        axis[:] = values
    longitude, latitude = plane.lonlat()
    for name, values, units in (("lat", latitude, "degrees_north"), ("lon", longitude, "degrees_east")):
        kind = {"lat": "latitude", "lon": "longitude"}[name]
        _packed(file, name, np.float32(values), ("y", "x"), {
            "standard_name": kind, "long_name": f"{kind} of the pixel's centre", "units": units,
        })  # fmt: skip


def _write_brightness(file: netCDF4.Dataset, scene: Scene) -> None:
    length = max(len(band.encode()) for band in scene.bands)
    file.createDimension("band", 3)
    file.createDimension("band_characters", length)
    names = file.createVariable("band_name", "S1", ("band", "band_characters"))
    names.setncatts({"standard_name": "sensor_band_identifier", "long_name": "name of the band"})
    letters = [list(band.encode().ljust(length, b"\0")) for band in scene.bands]
    names[:] = np.array(letters, np.uint8).view("S1")
    placed = {"grid_mapping": "crs", "coordinates": "lat lon time band_name"}
    _packed(file, "brightness", scene.values, ("band", "y", "x"), {
        "long_name": "brightness of the picture as a share of full scale", "units": "1",
        "scale_factor": 1 / 255, "valid_range": np.array([0, 255], np.uint8),
        "ancillary_variables": "validity", **placed,
    })  # fmt: skip
    _packed(file, "validity", scene.valid.astype(np.int8), ("y", "x"), {
        "standard_name": "status_flag", "long_name": "is the pixel known", "units": "1",
        "flag_values": np.array([0, 1], np.int8), "flag_meanings": "missing known",
        "grid_mapping": "crs", "coordinates": "lat lon time",
    })  # fmt: skip


def _write_truth(file: netCDF4.Dataset, scene: Scene) -> None:
    """Means over blocks; the last block of an edge may be cut, its coordinate is that of its part."""
    for name, values in (("y", scene.plane.y_m()), ("x", scene.plane.x_m())):
        starts = np.arange(0, len(values), TRUTH_STEP)
        file.createDimension(f"block_{name}", len(starts))
        axis = file.createVariable(f"block_{name}", "f8", (f"block_{name}",))
        axis.setncatts({
            "standard_name": f"projection_{name}_coordinate", "units": "m",
            "long_name": f"{name} of the projection at the middle of a block",
        })  # fmt: skip
        axis[:] = np.add.reduceat(values, starts) / np.diff([*starts, len(values)])
    for name in sorted(scene.truth):
        _packed(file, name, np.float32(scene.truth[name]), ("block_y", "block_x"), {
            "long_name": _TRUTH_NAMES[name], "units": _TRUTH_UNITS[name], "grid_mapping": "crs",
            "coordinates": "time", "cell_methods": "block_y: block_x: mean",
            **({"standard_name": "cloud_area_fraction"} if name == "cloud_fraction" else {}),
        })  # fmt: skip


def _packed(
    file: netCDF4.Dataset, name: str, values: np.ndarray, dimensions: tuple[str, ...], about: dict[str, Any]
) -> None:
    """A compressed variable with checksums, in chunks of a band of 256 x 256 at most, nothing masked."""
    chunks = tuple(
        1 if dimension == "band" else min(256, size)
        for dimension, size in zip(dimensions, values.shape, strict=True)
    )
    variable = file.createVariable(
        name, values.dtype, dimensions, compression="zlib", complevel=4, shuffle=values.dtype.itemsize > 1,
        fletcher32=True, chunksizes=chunks,
    )  # fmt: skip
    variable.set_auto_maskandscale(False)
    variable.setncatts(about)
    variable[:] = values


def is_scene(path: str | Path) -> bool:
    """Is this a netCDF file of `write_scene`? Any other file, whole or not, is none."""
    try:
        with netCDF4.Dataset(path) as file:
            return _MARK in file.ncattrs()
    except (OSError, RuntimeError):
        return False


def read_scene(path: str | Path) -> Scene:
    """The scene of a file that `write_scene` wrote, its checksums verified.

    Raises EarthSignalsError when the file is missing, truncated, damaged or no such scene.
    """
    path = Path(path)
    if not path.is_file():
        raise EarthSignalsError(
            f"{path} does not exist; expected a scene, as `dvc repro clouds-scenes` writes it"
        )
    try:
        with netCDF4.Dataset(path) as file:
            if _MARK not in file.ncattrs():
                raise EarthSignalsError(
                    f"{path} is netCDF but no scene of this project; bring it onto a plane first, by naming "
                    "its folder in clouds.source"
                )
            file.set_auto_maskandscale(False)
            return _scene_of(path.stem, file)
    except (OSError, RuntimeError) as error:
        raise EarthSignalsError(
            f"{path} cannot be read as netCDF ({error}): it is truncated, damaged or something else; make it "
            "again with `dvc repro clouds-scenes`"
        ) from None
    except (KeyError, IndexError, AttributeError, ValueError, OverflowError) as error:
        raise EarthSignalsError(
            f"{path} is no complete scene ({error}); make it again with `dvc repro clouds-scenes`"
        ) from None


def _scene_of(name: str, file: netCDF4.Dataset) -> Scene:
    crs, variables = file["crs"], file.variables
    plane = Plane(
        float(crs.latitude_of_projection_origin), float(crs.longitude_of_projection_origin),
        float(crs.pixel_km), float(crs.left_km), float(crs.top_km),
        (len(file.dimensions["y"]), len(file.dimensions["x"])),
    )  # fmt: skip
    told = (plane.latitude, plane.longitude, plane.pixel_km, plane.left_km, plane.top_km)
    if not np.isfinite(told).all() or abs(plane.latitude) > 90 or not 1e-4 <= plane.pixel_km <= 1e3:
        raise ValueError(f"its plane's latitude, longitude, pixel and edges cannot be {told}")
    bands = [bytes(row).rstrip(b"\0").decode() for row in file["band_name"][:].view(np.uint8)]
    return Scene(
        name=name,
        time=_EPOCH + dt.timedelta(microseconds=round(float(file["time"][...]) * 1e6)),
        plane=plane,
        values=np.asarray(file["brightness"][:]),
        valid=np.asarray(file["validity"][:]) == 1,
        bands=(bands[0], bands[1], bands[2]),
        product=str(file.product),
        regime=str(file.regime),
        series=bool(file.series),
        truth={key: np.asarray(variables[key][:]) for key in TRUTH if key in variables},
    )
