"""A folder of the user's own as scenes: GOES files, CF netCDF, pictures, GeoTIFF, in any mixture."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from glob import escape
from pathlib import Path

from earthsignals.clouds.imagery.files import Source, find_sources, read_source
from earthsignals.clouds.imagery.index import Index
from earthsignals.clouds.imagery.making import make_scenes
from earthsignals.clouds.params import CloudsParams

VERSION = 1
"""Raised when the same files and parameters give other scenes than before."""


def write_scenes(
    params: CloudsParams, folder: Path, out: Path, *, resume_root: Path = Path(".resume/clouds-scenes")
) -> Index:
    """Write the scenes of the files in and below `folder` to `out`, with their index and what was refused.

    Scenes wait for each other below `resume_root`; a killed run goes on with what is missing.

    Raises EarthSignalsError when the folder cannot be read, when no scene is left, or when all are of fewer
    than three days.
    """
    folder = Path(folder)
    sources = find_sources(folder)
    return make_scenes(
        read_source, [(source.name, source) for source in sources], params, Path(out),
        work=Path(resume_root) / f"folder-{_key(sources, params)}", about={"source": params.source},
    )  # fmt: skip


def _key(sources: Sequence[Source], params: CloudsParams) -> str:
    """Names a run for resuming: its files as they are now and all that shapes a scene."""
    shaping = params.model_dump(mode="json", include={"grid": True, "goes": {"composite", "domain"}})
    digest = hashlib.sha256(json.dumps([VERSION, shaping], sort_keys=True).encode())
    for source in sources:
        for path in source.paths:
            try:
                status = path.stat()
                told = f"{path}\t{status.st_size}\t{status.st_mtime_ns}\n"
            except OSError:  # a dangling link: refused when its turn comes
                told = f"{path}\n"
            digest.update(told.encode(errors="replace"))
            # A picture's place may lie in a file beside it.
            for world in sorted(path.parent.glob(f"{escape(path.stem)}.*w*")):
                digest.update(f"{world.name}\t{world.stat().st_mtime_ns}\n".encode(errors="replace"))
    return digest.hexdigest()[:16]
