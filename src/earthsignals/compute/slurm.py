"""A stage as a SLURM job: the batch script, its submission, and its end seen from outside.

One script serves every pipeline. It gives the stage's training its ranks by the execution settings and
then becomes `earthsignals slurm run <stage>` (:mod:`earthsignals.compute.requeue`): one process runs
`dvc repro -s`, so that one process writes `dvc.lock`, and SLURM's warning before the time limit reaches it.
"""

from __future__ import annotations

import difflib
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from earthsignals.dvcfiles import declared, read_stages
from earthsignals.storage import EarthSignalsError, atomic_path

FOLDER = Path(".dvc/tmp/slurm")
"""Scripts, logs and stop files, below the project's root; git and DVC ignore it."""

_GPUS = re.compile(r"^gpu(?::[\w.-]+)*?(?::(?P<count>\d+))?$")


@dataclass(frozen=True)
class Job:
    """What is asked of SLURM for one stage; None leaves it to the cluster's default."""

    stage: str
    time: str = "24:00:00"
    """Limit of one start; the job is requeued and goes on until the training is done."""
    partition: str | None = None
    nodes: int = 1
    ntasks_per_node: int = 1
    """Ranks of distributed training on each node; a rank on a GPU needs one of its own."""
    gres: str | None = None
    cpus_per_task: int | None = None
    mem: str | None = None
    account: str | None = None
    qos: str | None = None
    signal_seconds: int = 120
    """How long before its limit the job is told to save itself and leave."""
    extra: tuple[str, ...] = ()
    """Further options of sbatch, such as `--constraint=a100`."""
    setup: tuple[str, ...] = ()
    """Shell lines before the stage, such as `module load cuda`."""

    @property
    def ranks(self) -> int:
        return self.nodes * self.ntasks_per_node


def check(job: Job, root: Path) -> None:
    """Raise EarthSignalsError where the job could not work, before it waits in a queue for hours."""
    stages = read_stages(root)
    if job.stage not in stages:
        near = difflib.get_close_matches(job.stage, stages, n=1)
        trains = ", ".join(name for name in stages if name.endswith("-train"))
        hint = f"did you mean {near[0]}?" if near else f"stages that train: {trains}"
        raise EarthSignalsError(f"dvc.yaml has no stage `{job.stage}`; {hint}")
    absent = [name for name in declared(stages[job.stage].get("deps")) if not (root / name).exists()]
    if absent:
        raise EarthSignalsError(
            f"{job.stage} needs {absent[0]}, which is not here: `dvc pull` it, or run the stages that make "
            "it first"
        )
    for word in [*_words(job), *job.extra, *job.setup]:
        if any(ord(letter) < 32 for letter in word):
            raise EarthSignalsError(f"an option of the job holds a line break or control character: {word!r}")
    gpus = _GPUS.match(job.gres or "")
    if gpus and int(gpus["count"] or 1) < job.ntasks_per_node:
        raise EarthSignalsError(
            f"--gres {job.gres} gives a node fewer GPUs than its {job.ntasks_per_node} ranks: ask for "
            f"gpu:{job.ntasks_per_node}, or for fewer --ntasks-per-node"
        )


def script(job: Job, root: Path, program: tuple[str, ...] = ("earthsignals",)) -> str:
    """The batch script: bash, `#SBATCH` lines first.

    program: what to call the command line by; tests give another.
    """
    folder = root / FOLDER
    launcher = "srun" if job.ranks > 1 else "spawn"
    environment = Path(sys.prefix) / "bin"
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH {word}" for word in _words(job)),
        f"#SBATCH --output={_directive(folder / f'{job.stage}-%j.log')}",
        f"#SBATCH --signal=B:USR1@{job.signal_seconds}",
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        *(f"#SBATCH {word}" for word in job.extra),
        "set -euo pipefail",
        f"cd {shlex.quote(str(root))}",
        f"export PATH={shlex.quote(str(environment))}:$PATH PYTHONUNBUFFERED=1",
        "# How this job runs the stage; never what it computes, so that DVC sees no change.",
        f"export EARTHSIGNALS_NODES={job.nodes} EARTHSIGNALS_DEVICES={job.ntasks_per_node}",
        f"export EARTHSIGNALS_LAUNCHER={launcher}",
        f"export EARTHSIGNALS_STOP_FILE={shlex.quote(str(folder))}/{job.stage}-$SLURM_JOB_ID.stop",
        *job.setup,
        "# exec: the signal goes to this very process, which knows what to do with it.",
        f"exec {shlex.join(program)} slurm run {job.stage}",
    ]
    return "\n".join(lines) + "\n"


def _words(job: Job) -> list[str]:
    asked = {
        "job-name": job.stage, "time": job.time, "partition": job.partition, "nodes": job.nodes,
        "ntasks-per-node": job.ntasks_per_node, "gres": job.gres, "cpus-per-task": job.cpus_per_task,
        "mem": job.mem, "account": job.account, "qos": job.qos,
    }  # fmt: skip
    return [f"--{name}={value}" for name, value in asked.items() if value is not None]


def _directive(path: Path) -> str:
    """A path as a `#SBATCH` line holds it: quotes for blanks."""
    return f'"{path}"' if " " in str(path) else str(path)


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
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(script(job, root, program), encoding="utf-8")
    answer = ask("sbatch", "--parsable", str(path))
    number = int(answer.split(";")[0])  # a federation adds its cluster's name
    return number, root / FOLDER / f"{job.stage}-{number}.log"


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
        state, restarts = found["JobState"], found.get("Restarts", "0")
        if (state, restarts) != shown:
            again = f" (start {int(restarts) + 1})" if restarts != "0" else ""
            say(f"job {number}: {state.lower().replace('_', ' ')}{again}")
            shown = state, restarts
        if state == "COMPLETED":
            return 0
        if state not in ("PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED",
                         "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED"):  # fmt: skip
            return max(1, int(found.get("ExitCode", "1:0").split(":")[0]))
        time.sleep(seconds)


def job_state(number: int) -> dict[str, str]:
    """What `scontrol show job` tells: JobState, Restarts, ExitCode, NodeList, …"""
    text = ask("scontrol", "show", "job", "--oneliner", str(number))
    return dict(pair.split("=", 1) for pair in text.split() if "=" in pair)


def ask(*command: str) -> str:
    """A SLURM command's answer; raises EarthSignalsError with its own complaint."""
    _need(command[0])
    done = subprocess.run(command, capture_output=True, text=True)
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
