"""Dense embeddings as CF netCDF: `embedding` (scene, y, x, component) with times and geolocation.

Strips are written as they come, so a map need not fit into memory, and the file appears when it is whole.
Equal embeddings give equal bytes.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import netCDF4
import numpy as np

from earthsignals.clouds.dense.shared import DenseEmbedding, DensePlan
from earthsignals.clouds.dense.windows import Windows
from earthsignals.clouds.imagery.plane import Plane
from earthsignals.storage import EarthSignalsError, atomic_path

if TYPE_CHECKING:
    from earthsignals.clouds.checkpoint import EmbeddingModel
    from earthsignals.clouds.imagery.scene import Scene

_MARK = "earthsignals_embedding"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class _Header:
    """What a map's file tells besides its values."""

    name: str
    time: dt.datetime
    windows: Windows
    plane: Plane
    mode: str
    missing: int
    components: int


def embed_to_file(
    model: EmbeddingModel, scene: Scene, path: Path, step_px: int, *, mode: str = "auto",
    maximum_missing: float = 0.0, quiet: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Embed a scene densely straight into a file, in memory of a strip.

    Returns `mode`, `windows`, `missing` and `difference`, that of inexact sharing, else None. Raises
    EarthSignalsError as `embed_scene`.
    """
    plan = DensePlan(model, scene, step_px, mode, maximum_missing)
    header = _Header(
        scene.name, scene.time, plan.windows, plan.plane, plan.mode, plan.missing, model.network.embedding
    )  # fmt: skip
    with _writing(path, header, {"model": model.name, "model_md5": model.md5}) as variable:
        for strip in plan.strips(quiet):
            variable[0, strip.rows, strip.columns] = strip.values
        difference = plan.difference(np.asarray(variable[0])) if plan.inexact else None
        _note_difference(variable, difference)
    return {
        "mode": plan.mode, "windows": int(np.prod(plan.windows.shape)), "missing": plan.missing,
        "difference": difference,
    }  # fmt: skip


def is_map(path: Path) -> bool:
    """Is this a file of `write_map` or `embed_to_file`?"""
    try:
        with netCDF4.Dataset(path) as file:
            return _MARK in file.ncattrs()
    except (OSError, RuntimeError):
        return False


def write_map(path: str | Path, dense: DenseEmbedding, about: Mapping[str, str] | None = None) -> None:
    """Write a dense embedding; `about` becomes attributes of the file."""
    header = _Header(
        dense.name, dense.time, dense.windows, dense.plane, dense.mode, dense.missing, dense.values.shape[-1]
    )  # fmt: skip
    with _writing(Path(path), header, about or {}) as variable:
        variable[0] = dense.values
        _note_difference(variable, dense.difference)


def _note_difference(variable: netCDF4.Variable, difference: float | None) -> None:
    if difference is not None:
        variable.setncattr("relative_difference_from_sliding", difference)


@contextmanager
def _writing(path: Path, header: _Header, about: Mapping[str, str]) -> Iterator[netCDF4.Variable]:
    with atomic_path(path) as temporary, netCDF4.Dataset(temporary, "w", format="NETCDF4") as file:
        file.setncatts({
            "Conventions": "CF-1.11", "title": f"Embedding of the organisation of clouds: {header.name}",
            "source": "neural network over overlapping windows", **about,
        })  # fmt: skip
        file.setncattr(_MARK, json.dumps({
            "plane": header.plane.to_dict(), "size": header.windows.size, "step": header.windows.step,
            "mode": header.mode, "missing": header.missing,
        }, sort_keys=True))  # fmt: skip
        _write_places(file, header)
        yield _variable(file, header)


def _write_places(file: netCDF4.Dataset, header: _Header) -> None:
    plane = header.plane
    for name, size in (
        ("scene", 1),
        ("y", plane.shape[0]),
        ("x", plane.shape[1]),
        ("component", header.components),
    ):
        file.createDimension(name, size)
    letters = header.name.encode()
    file.createDimension("name_characters", len(letters))
    name = file.createVariable("scene_name", "S1", ("scene", "name_characters"))
    name.setncatts({"long_name": "name of the scene", "cf_role": "timeseries_id"})
    name[:] = np.frombuffer(letters, "S1")[None]
    time = file.createVariable("time", "f8", ("scene",))
    time.setncatts({
        "standard_name": "time", "long_name": "time of the scene", "calendar": "standard",
        "units": "seconds since 1970-01-01 00:00:00 +00:00",
    })  # fmt: skip
    time[:] = (header.time - _EPOCH).total_seconds()
    crs = file.createVariable("crs", "i4")
    # Of CF's appendix F; PROJ's own text would change with its version.
    crs.setncatts({
        "grid_mapping_name": "lambert_azimuthal_equal_area",
        "latitude_of_projection_origin": plane.latitude, "longitude_of_projection_origin": plane.longitude,
        "false_easting": 0.0, "false_northing": 0.0,
        "semi_major_axis": 6378137.0, "inverse_flattening": 298.257223563,
        "longitude_of_prime_meridian": 0.0, "reference_ellipsoid_name": "WGS 84",
        "horizontal_datum_name": "World Geodetic System 1984", "geographic_crs_name": "WGS 84",
    })  # fmt: skip
    crs[...] = 0
    for name, values in (("y", plane.y_m()), ("x", plane.x_m())):
        axis = file.createVariable(name, "f8", (name,))
        axis.setncatts({
            "standard_name": f"projection_{name}_coordinate", "long_name": f"{name} of the window's centre",
            "units": "m", "axis": name.upper(),
        })  # fmt: skip
        axis[:] = values
    longitude, latitude = plane.lonlat()
    for name, values, standard in (("lat", latitude, "latitude"), ("lon", longitude, "longitude")):
        degrees = file.createVariable(name, "f4", ("y", "x"), compression="zlib", fletcher32=True)
        degrees.setncatts({
            "standard_name": standard, "long_name": f"{standard} of the window's centre",
            "units": "degrees_north" if name == "lat" else "degrees_east",
        })  # fmt: skip
        degrees[:] = np.float32(values)


def _variable(file: netCDF4.Dataset, header: _Header) -> netCDF4.Variable:
    """Embeddings are noise to a compressor: they are stored as they are, with checksums."""
    file.createVariable("component", "i4", ("component",))[:] = np.arange(header.components)
    file["component"].long_name = "number of the embedding's component"
    rows, columns = header.plane.shape
    variable = file.createVariable(
        "embedding", "f4", ("scene", "y", "x", "component"), fill_value=np.float32(np.nan), fletcher32=True,
        chunksizes=(1, min(rows, 64), min(columns, 64), header.components),
    )  # fmt: skip
    variable.set_auto_maskandscale(False)
    variable.setncatts({
        "long_name": "embedding of the window around the point", "units": "1", "grid_mapping": "crs",
        "coordinates": "lat lon time scene_name",
        "window_px": np.int32(header.windows.size), "step_px": np.int32(header.windows.step),
    })  # fmt: skip
    return variable


def read_map(path: str | Path) -> DenseEmbedding:
    """The dense embedding of a file of `write_map` or `embed_to_file`.

    Raises EarthSignalsError when it is missing, truncated, damaged or no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise EarthSignalsError(
            f"{path} does not exist, expected a map of embeddings; run `dvc repro clouds-embed`"
        )
    try:
        with netCDF4.Dataset(path) as file:
            if _MARK not in file.ncattrs():
                raise EarthSignalsError(
                    f"{path} is netCDF but no map of embeddings; make one with `earthsignals clouds embed`"
                )
            file.set_auto_maskandscale(False)
            return _read(file)
    except (OSError, RuntimeError, KeyError, IndexError, AttributeError, ValueError) as error:
        raise EarthSignalsError(
            f"{path} cannot be read as a map of embeddings ({error}): it is damaged; make it again"
        ) from None


def _read(file: netCDF4.Dataset) -> DenseEmbedding:
    about = json.loads(file.getncattr(_MARK))
    plane, variable = Plane.from_dict(about["plane"]), file["embedding"]
    inexact = "relative_difference_from_sliding"
    return DenseEmbedding(
        name=bytes(file["scene_name"][0].view(np.uint8)).decode(),
        time=_EPOCH + dt.timedelta(microseconds=round(float(file["time"][0]) * 1e6)),
        values=np.asarray(variable[0]),
        windows=Windows(about["size"], about["step"], plane.shape),
        plane=plane, mode=about["mode"], missing=about["missing"],
        difference=float(variable.getncattr(inexact)) if inexact in variable.ncattrs() else None,
    )  # fmt: skip
