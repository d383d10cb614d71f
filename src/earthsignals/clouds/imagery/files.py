"""Any file of a folder as a scene: the pipeline's own, CF netCDF, pictures, GeoTIFF, GOES level 1b."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from earthsignals.clouds.goes.buckets import is_goes_name
from earthsignals.clouds.goes.scans import group_scans
from earthsignals.clouds.imagery.geotiff import GEOTIFFS, read_geotiff
from earthsignals.clouds.imagery.names import scene_name
from earthsignals.clouds.imagery.netcdf import NETCDFS, read_netcdf
from earthsignals.clouds.imagery.pictures import PICTURES, read_picture
from earthsignals.clouds.imagery.plane import Plane
from earthsignals.clouds.imagery.refusal import RefusedScene
from earthsignals.clouds.imagery.regrid import to_plane
from earthsignals.clouds.imagery.scene import Scene, is_scene, read_scene
from earthsignals.clouds.params import CloudsParams
from earthsignals.storage import EarthSignalsError, is_partial

SUFFIXES = (*NETCDFS, *PICTURES, *GEOTIFFS)


@dataclass(frozen=True)
class Source:
    """What makes up one scene: a file, or the files of a GOES scan's bands."""

    name: str
    """By which it is reported: the path of its first file within the folder."""
    paths: tuple[Path, ...]
    is_scan: bool = False


def find_sources(folder: Path) -> list[Source]:
    """Scenes to be read from `folder` and below it, in the order of their paths; a file stands for itself.

    Raises EarthSignalsError when the folder is missing, cannot be listed or holds no file of a known kind.
    """
    if not folder.exists():
        raise EarthSignalsError(
            f"{folder} does not exist; point clouds.source to a folder of scenes or images, or set it to "
            "`synthetic` or `goes`"
        )
    files = [folder] if folder.is_file() else list(_walk(folder))
    base = folder.parent if folder.is_file() else folder
    scans = _scans([path for path in files if is_goes_name(path.name)])
    sources = [Source(scan[0].relative_to(base).as_posix(), scan, True) for scan in scans]
    sources += [
        Source(path.relative_to(base).as_posix(), (path,)) for path in files
        if path.suffix.lower() in SUFFIXES and not is_goes_name(path.name)
    ]  # fmt: skip
    if not sources:
        raise EarthSignalsError(
            f"{folder} holds no scene: expected CF netCDF ({', '.join(NETCDFS)}), pictures "
            f"({', '.join(PICTURES)}), GeoTIFF ({', '.join(GEOTIFFS)}) or GOES level 1b files"
        )
    return sorted(sources, key=lambda source: source.name)


def _scans(files: Sequence[Path]) -> Iterator[tuple[Path, ...]]:
    """GOES files of each scan, whichever folders they are in; copies of files make up scans of their own."""
    copies: list[dict[str, Path]] = []
    for path in files:
        fresh = next((layer for layer in copies if path.name not in layer), None)
        if fresh is None:
            copies.append(fresh := {})
        fresh[path.name] = path
    for layer in copies:
        for scan in group_scans(layer):
            yield tuple(sorted(layer[name] for name in scan.files.values()))


def read_source(source: Source, params: CloudsParams) -> Scene:
    """The scene of a source on a plane with pixels of `grid.pixel_km`.

    Raises RefusedScene, or another EarthSignalsError with or without a `reason`, when it is none.
    """
    if source.is_scan:
        from earthsignals.clouds.goes.source import read_local

        return read_local(source.paths, params)
    return read_file(source.paths[0], params.grid.pixel_km)


def read_file(path: str | Path, pixel_km: float) -> Scene:
    """The scene of a file on a plane with pixels of `pixel_km`: any kind but single bands of GOES scans.

    Raises RefusedScene when it is none.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in GEOTIFFS:
        return read_geotiff(path, pixel_km)
    if suffix in PICTURES:
        return read_picture(path, pixel_km)
    if suffix not in NETCDFS:
        raise RefusedScene(path, "unreadable", f"expected a file that ends in {', '.join(SUFFIXES)}")
    if not is_scene(path):
        return read_netcdf(path, pixel_km)
    try:
        scene = read_scene(path)
    except EarthSignalsError as error:
        raise RefusedScene(path, "unreadable", str(error).removeprefix(f"{path} ")) from None
    return at_pixel(replace(scene, name=scene_name(scene.name)), pixel_km)


def at_pixel(scene: Scene, pixel_km: float) -> Scene:
    """The scene on pixels of `pixel_km`: itself where these are its own, else without truth.

    Truth is kept on blocks of the pixels that it was made on.
    """
    old = scene.plane
    if abs(old.pixel_km / pixel_km - 1) < 1e-9:
        return scene
    shape = tuple(max(1, int(size * old.pixel_km / pixel_km + 1e-9)) for size in old.shape)
    plane = Plane(old.latitude, old.longitude, pixel_km, old.left_km, old.top_km, (shape[0], shape[1]))
    known = np.where(scene.valid, scene.values.astype(np.float32), np.float32(np.nan))
    values, valid = to_plane(known, old.area(), plane)
    return replace(scene, plane=plane, values=np.rint(values).astype(np.uint8), valid=valid, truth={})


def _walk(folder: Path) -> Iterator[Path]:
    """All files in the order of their paths; links to folders are followed, each folder once."""

    def refuse(error: OSError) -> None:
        said = error.strerror or str(error)
        raise EarthSignalsError(f"{error.filename or folder} cannot be listed ({said}); make it readable")

    seen = {os.path.realpath(folder)}
    for root, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        kept = []
        for name in sorted(folders):
            real = os.path.realpath(os.path.join(root, name))
            if not name.startswith(".") and real not in seen:
                seen.add(real)
                kept.append(name)
        folders[:] = kept
        for name in sorted(names):
            if not name.startswith(".") and not is_partial(name):
                yield Path(root, name)
