"""Scenes from NOAA's buckets, by dates and hours from local noon, and from level 1b files on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from earthsignals.clouds.goes.buckets import is_goes_name
from earthsignals.clouds.goes.composites import load
from earthsignals.clouds.goes.fetch import fetch
from earthsignals.clouds.goes.plan import Chosen, Left, choose_scans, wanted_times
from earthsignals.clouds.goes.scans import group_scans
from earthsignals.clouds.goes.view import moves, plane_of_sector
from earthsignals.clouds.imagery.index import Index
from earthsignals.clouds.imagery.making import make_scenes
from earthsignals.clouds.imagery.plane import Plane
from earthsignals.clouds.imagery.refusal import RefusedScene
from earthsignals.clouds.imagery.scene import Scene
from earthsignals.clouds.params import CloudsParams

VERSION = 1
"""Raised when the same files and parameters give other scenes than before."""


def files_in(folder: Path) -> list[list[Path]]:
    """ABI L1b files at and below `folder`, the files of each scan together, in order of satellite and time.

    Of files of one name in several places the first counts.
    """
    found: dict[str, Path] = {}
    for path in sorted(Path(folder).rglob("*.nc")):
        if is_goes_name(path.name):
            found.setdefault(path.name, path)
    return [[found[name] for name in scan.files.values()] for scan in group_scans(found)]


def read_local(files: Sequence[Path], params: CloudsParams) -> Scene:
    """The scene that the files of one scan give by `params.goes.composite`.

    The full disc and RadC show `params.goes.domain`; a mesoscale sector, which is moved about, all of itself.
    The scene's name is made of satellite, product and time; its time is the scan's start.

    Raises RefusedScene (`missing-bands`, `night`, `off-disk`, `too-wide`, `too-small`, `unreadable`), and
    EarthSignalsError for a domain too wide for one plane.
    """
    (scan,) = group_scans(path.name for path in files)
    pixel_km, tile = params.grid.pixel_km, params.grid.tile_px
    if moves(scan.product):
        plane = plane_of_sector(files[0], pixel_km)
    else:
        plane = Plane.covering(params.goes.domain, pixel_km)
    if min(plane.shape) < tile:
        rows, columns = plane.shape
        raise RefusedScene(
            files[0], "too-small",
            f"what is taken of it has {rows} x {columns} pixels, a tile {tile} x {tile}; widen "
            "clouds.goes.domain or lower clouds.grid.tile_km",
        )  # fmt: skip
    values, valid, bands, product = load(files, params.goes.composite, plane)
    return Scene(scan.name, scan.start, plane, values, valid, bands, product)


def write_scenes(
    params: CloudsParams, out: str | Path, *, resume_root: str | Path = Path(".resume/clouds-scenes")
) -> Index:
    """Fetch the scans that `params.goes` asks for and write their scenes and index to the folder `out`.

    Files are fetched into `params.goes.cache` and stay there. Scenes wait for each other below `resume_root`;
    a killed run goes on with what is missing. What gives no scene, a dark time of day as much as a damaged
    file, is counted in the index by its reason and listed in refused.csv.

    Raises EarthSignalsError when a bucket cannot be read, when no scene is left or scenes of fewer than three
    days, and as `plan.wanted_times`.
    """
    cache = Path(params.goes.cache)
    wanted, left = wanted_times(params.goes)
    chosen, unfound = choose_scans(wanted, params.goes, cache)
    if chosen:
        fetch([file for one in chosen for file in one.files], cache)
    sources: list[tuple[str, Chosen | Left]] = [(one.scan.name, one) for one in chosen]
    sources += [(one.what, one) for one in (*left, *unfound)]
    composite = params.goes.composite
    about = {
        "source": "goes", "product": params.goes.product,
        "composite": composite if isinstance(composite, str) else list(composite),
        "satellites": sorted({one.scan.satellite for one in chosen}),
    }  # fmt: skip
    work = Path(resume_root) / f"goes-{_key(params, [name for name, _ in sources])}"
    return make_scenes(_read, sources, params, Path(out), work=work, about=about)


def _read(source: Chosen | Left, params: CloudsParams) -> Scene:
    """The scene of a scan that lies in the cache; raises RefusedScene for a time that gave none."""
    if isinstance(source, Left):
        raise RefusedScene(source.what, source.reason, source.detail)
    return read_local([file.place(Path(params.goes.cache)) for file in source.files], params)


def _key(params: CloudsParams, names: Sequence[str]) -> str:
    """Names a run for resuming: all that shapes its scenes, and which they are."""
    shaping = {
        "goes": params.goes.model_dump(mode="json", exclude={"cache"}),
        "grid": params.grid.model_dump(mode="json"),
    }
    text = json.dumps([VERSION, shaping, list(names)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
