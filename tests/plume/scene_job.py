"""Small synthetic flightlines made in a process of its own, to be killed or run on "another" machine.

    scene_job.py OUT RESUME '{"workers": 1, "kill_at": 0}'

Prints one JSON object: md5 of each image, and flightlines simulated in this process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from earthsignals.plume.params import (
    DetectionParams,
    PeersParams,
    PlumeEvaluateParams,
    PlumeParams,
    PlumeTrainParams,
    PreprocessingParams,
)
from earthsignals.plume.simulation import scenes
from earthsignals.storage import EarthSignalsError, md5_file


def parameters(**sections: dict[str, Any]) -> PlumeParams:
    """Default parameters with changes by section; six flightlines of 150 x 110, so that tests are quick."""
    small = {"days": 3, "flightlines_per_day": 2, "lines": 150, "samples": 110}
    return PlumeParams(
        scenes=small | sections.pop("scenes", {}),
        background=sections.pop("background", {}),
        surface=sections.pop("surface", {}),
        emission=sections.pop("emission", {}),
        tiles=sections.pop("tiles", {}),
        preprocessing=PreprocessingParams(),
        train=PlumeTrainParams(),
        peers=PeersParams(),
        detection=DetectionParams(),
        evaluate=PlumeEvaluateParams(),
    )


def hashes(folder: Path) -> dict[str, str]:
    """md5 of each file of a folder by its name."""
    return {path.name: md5_file(path) for path in sorted(folder.iterdir())}


def main(out: str, resume: str, options: str) -> None:
    wanted = {"workers": 1, "kill_at": 0, "sections": {}} | json.loads(options)
    simulated = 0
    whole = scenes.simulate_scene

    def counted(*args: Any) -> Any:
        nonlocal simulated
        simulated += 1
        if simulated == wanted["kill_at"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(*args)

    if wanted["workers"] == 1:
        scenes.simulate_scene = counted
    try:
        scenes.make_scenes(
            parameters(**wanted["sections"]), Path(out), wanted["workers"], resume_root=Path(resume)
        )
    except EarthSignalsError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(json.dumps({"files": hashes(Path(out)), "simulated": simulated}))


if __name__ == "__main__":
    main(*sys.argv[1:])
