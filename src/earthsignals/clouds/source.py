"""Where scenes come from: simulation, NOAA's buckets, or a folder of the user's own."""

from __future__ import annotations

from pathlib import Path

from earthsignals.clouds.imagery.index import Index
from earthsignals.clouds.params import CloudsParams


def prepare_scenes(params: CloudsParams, out: Path) -> Index:
    """Write the scenes that `params.source` names to the folder `out`; returns their index.

    `synthetic` and `goes` are sources of their own, anything else is the path of a folder.

    Raises EarthSignalsError when no scene comes of it.
    """
    if params.source == "synthetic":
        from earthsignals.clouds.simulation.scenes import write_scenes

        return write_scenes(params, out)
    if params.source == "goes":
        from earthsignals.clouds.goes.source import write_scenes as fetch_scenes

        return fetch_scenes(params, out)
    from earthsignals.clouds.imagery.folder import write_scenes as read_scenes

    return read_scenes(params, Path(params.source).expanduser(), out)
