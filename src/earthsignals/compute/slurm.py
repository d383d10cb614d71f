"""A stage submitted as a SLURM job, and the job's end seen from outside."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from earthsignals.compute.jobscript import FOLDER, Job, check, script
from earthsignals.storage import EarthSignalsError, atomic_path

# The answer of `sbatch --parsable`; a federation adds its cluster's name, a wrapper may say it in full.
_NUMBER = re.compile(r"^(?:Submitted batch job )?([0-9]+)(?:;\S*)?\s*$", re.MULTILINE)


def submit(job: Job, root: Path, program: tuple[str, ...] = ("earthsignals",)) -> tuple[int, Path]:
    """Write the script and hand it to `sbatch`. Returns the job's id and its log.

    Raises EarthSignalsError when the job makes no sense here (:func:`check`), when one for the same
    stage of this project is already queued or running, and when sbatch refuses.
    """
    check(job, root)
    _need("sbatch")
    running = _queued(job.stage, root)
    if running:
        raise EarthSignalsError(
            f"job {running} already runs or waits for {job.stage} here, and two would write the same "
            f"files: wait for it, or end it with `scancel {running}`"
        )
    path = root / FOLDER / f"{job.stage}.sh"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            temporary.write_text(script(job, root, program), encoding="utf-8")
    except OSError as error:
        raise EarthSignalsError(
            f"the batch script cannot be written to {path.parent} ({error.strerror}): it must be a folder "
            "that you may write to"
        ) from None
    # The job's folder, by which `_queued` knows it again, whichever folder this is called in.
    answer = ask("sbatch", "--parsable", f"--chdir={root}", str(path))
    numbers = _NUMBER.findall(answer)
    if not numbers:
        raise EarthSignalsError(
            f"sbatch took the script and answered {_shown(answer)}, not the job's number; the job may wait "
            f"all the same: `squeue --me --name {job.stage}` lists it, `scancel` ends it"
        )
    return int(numbers[-1]), root / FOLDER / f"{job.stage}-{numbers[-1]}.log"


def _queued(stage: str, root: Path) -> str | None:
    for line in ask("squeue", "--me", "--noheader", "--name", stage, "--format", "%A %Z").splitlines():
        number, _, folder = line.strip().partition(" ")
        if Path(folder) == root:
            return number
    return None


def wait(number: int, say: Callable[[str], None], seconds: float = 5.0) -> int:
    """Wait until the job has ended for good, requeues included. Returns its exit status.

    say: gets a line whenever the job's state changes. A job that a signal or its time limit ended has
    status 1 at least.
    """
    shown = None
    while True:
        found = job_state(number)
        state, restarts = found["JobState"], _count(found.get("Restarts"), 0)
        if (state, restarts) != shown:
            again = f" (start {restarts + 1})" if restarts else ""
            say(f"job {number}: {state.lower().replace('_', ' ')}{again}")
            shown = state, restarts
        if state == "COMPLETED":
            return 0
        if state not in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED",
                         "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED"):  # fmt: skip
            return min(255, max(1, _count(found.get("ExitCode", "").split(":")[0], 1)))
        time.sleep(seconds)


def job_state(number: int) -> dict[str, str]:
    """What `scontrol show job` tells: JobState, Restarts, ExitCode, NodeList, …"""
    text = ask("scontrol", "show", "job", "--oneliner", str(number))
    found = dict(pair.split("=", 1) for pair in text.split() if "=" in pair)
    if "JobState" not in found:
        raise EarthSignalsError(
            f"scontrol answered {_shown(text)}, not the state of job {number}: the job goes on without being "
            f"watched; `squeue -j {number}` shows it"
        )
    return found


def _count(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isdecimal() else otherwise


def _shown(answer: str) -> str:
    """A program's answer as part of a sentence."""
    return f"`{' '.join(answer.split())[:200]}`" if answer.strip() else "nothing"


def ask(*command: str) -> str:
    """A SLURM command's answer; raises EarthSignalsError with its own complaint."""
    _need(command[0])
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace"
        )
    except OSError as error:
        raise EarthSignalsError(f"{command[0]} cannot be started: {error.strerror}") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        said = lines[-1].removeprefix(f"{command[0]}: ").removeprefix("error: ") if lines else "no reason"
        raise EarthSignalsError(f"{command[0]} refused: {said}")
    return done.stdout.strip()


def _need(program: str) -> None:
    if shutil.which(program) is None:
        raise EarthSignalsError(
            f"SLURM's {program} is not on this machine: call this on a login node of the cluster (--print "
            "shows the script without it)"
        )
