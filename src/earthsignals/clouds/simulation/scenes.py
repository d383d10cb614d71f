"""The folder of synthetic scenes, made on as many processors as there are, resumable."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from earthsignals.clouds.imagery.index import Index
from earthsignals.clouds.imagery.making import make_scenes
from earthsignals.clouds.imagery.scene import Scene
from earthsignals.clouds.params import CloudsParams
from earthsignals.clouds.simulation.scene import Weather, list_weather, simulate
from earthsignals.storage import EarthSignalsError

VERSION = 1
"""Raised when the same parameters give other scenes than before."""


def write_scenes(
    params: CloudsParams, out: Path, *, resume_root: Path = Path(".resume/clouds-scenes")
) -> Index:
    """Write every synthetic scene of the parameters to `out`, with their index.

    The same bytes for any number of workers; a killed run goes on with what is missing.

    Raises EarthSignalsError for scenes of fewer than three days.
    """
    weather = list_weather(params)
    index = make_scenes(
        _read, [(each.name, each) for each in weather], params, Path(out),
        work=Path(resume_root) / f"synthetic-{_key(params)}", about={"source": "synthetic"},
    )  # fmt: skip
    if index.refused:  # of files that is the user's to judge; here it is a fault
        raise EarthSignalsError(
            f"{out}: {sum(index.refused.values())} of {len(weather)} synthetic scenes could not be made; "
            f"{Path(out) / 'refused.csv'} says why"
        )
    return index


def _read(weather: Weather, params: CloudsParams) -> Scene:
    return simulate(params, weather)


def _key(params: CloudsParams) -> str:
    """Names a run for resuming: all that shapes a scene."""
    shaping = params.model_dump(mode="json", include={"grid", "scenes"})
    return hashlib.sha256(json.dumps([VERSION, shaping], sort_keys=True).encode()).hexdigest()[:16]
