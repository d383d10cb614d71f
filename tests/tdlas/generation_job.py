"""A small dataset generated in a process of its own, to be killed, starved or run on "another" machine.

    generation_job.py OUT RESUME '{"scans": 512, "workers": 1, ...}'

Prints one JSON object: sha256 of the file, chunks simulated in this process, peak memory in GB.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from earthsignals.compute.memory import peak_memory_gb
from earthsignals.storage import EarthSignalsError, sha256_file
from earthsignals.tdlas import dataset
from earthsignals.tdlas.lines import embedded_lines, keep_near
from earthsignals.tdlas.params import CourseParams, TdlasParams, TrainParams
from earthsignals.tdlas.simulate import Simulator


def parameters(**sections: dict[str, Any]) -> TdlasParams:
    """Default parameters with changes by section; 250 samples a scan, so that tests are quick."""
    laser = {"samples_per_scan": 250} | sections.pop("laser", {})
    return TdlasParams(
        train=TrainParams(), course=CourseParams(), laser=laser, **sections
    )


def lines_for(params: TdlasParams):
    own = params.lines
    return keep_near(
        embedded_lines(), own.window_low, own.window_high, own.wing_margin, own.minimum_intensity
    )


def main(out: str, resume: str, options: str) -> None:
    wanted = {"scans": 512, "chunk": 128, "workers": 1, "samples": 250, "kill_at": 0, "file_limit": 0}
    wanted |= json.loads(options)
    params = parameters(
        dataset={"scans": wanted["scans"], "chunk_scans": wanted["chunk"]},
        laser={"samples_per_scan": wanted["samples"]},
    )
    simulated = 0
    whole = Simulator.scans

    def scans(self: Simulator, start: int, stop: int) -> Any:
        nonlocal simulated
        simulated += 1
        if simulated == wanted["kill_at"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(self, start, stop)

    if wanted["workers"] == 1:
        Simulator.scans = scans
    if wanted["file_limit"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (wanted["file_limit"],) * 2)
    try:
        dataset.generate(
            lines_for(params), params, Path(out), resume_root=Path(resume), workers=wanted["workers"]
        )
    except EarthSignalsError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    # Kilobytes on Linux, bytes on macOS.
    unit = 2**30 if sys.platform == "darwin" else 2**20
    worker_gb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit
    peak_gb = peak_memory_gb() + wanted["workers"] * worker_gb
    print(json.dumps({"sha256": sha256_file(out), "chunks": simulated, "peak_gb": peak_gb}))


if __name__ == "__main__":
    main(*sys.argv[1:])
