"""What a stage asks of SLURM, whether that can work, and the batch script that says it.

One script serves every pipeline. It gives the stage's training its ranks by the execution settings and
then becomes `earthsignals slurm run <stage>` (:mod:`earthsignals.compute.requeue`): one process runs
`dvc repro -s`, so that one process writes `dvc.lock`, and SLURM's warning before the time limit reaches it.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import sys
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earthsignals.dvcfiles import declared, read_stages
from earthsignals.storage import EarthSignalsError

FOLDER = Path(".dvc/tmp/slurm")
"""Scripts, logs and stop files, below the project's root; git and DVC ignore it."""

_STAGE = re.compile(r"\w[\w@.-]*")
_BREAKS = ("Cc", "Zl", "Zp", "Cs")  # Unicode's controls, line and paragraph separators, broken UTF-8


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
    check_name(job.stage)
    absent = [name for name in _needs(job.stage, root) if not os.path.exists(root / name)]
    if absent:
        raise EarthSignalsError(
            f"{job.stage} needs {absent[0]}, which is not here: `dvc pull` it, or run the stages that make "
            "it first"
        )
    for name, value in _asked(job).items():
        if isinstance(value, str) and not value.strip():
            raise EarthSignalsError(f"--{name} is empty: name what the job shall have, or leave it out")
    for word in job.extra:
        if not word.strip().strip("-"):
            raise EarthSignalsError(
                f"--extra {word!r} is no option of sbatch: expected one such as '--constraint=a100'"
            )
    for word in [str(root), *_words(job), *job.extra, *job.setup]:
        if any(unicodedata.category(letter) in _BREAKS for letter in word):
            raise EarthSignalsError(
                "an option of the job, or the project's path, holds a line break or another control "
                f"character, which no batch script can: {ascii(word)}"
            )
    _check_gpus(job)


def check_name(stage: str) -> None:
    """Raise EarthSignalsError for a stage whose name could not name a job and its files."""
    if not _STAGE.fullmatch(stage):
        raise EarthSignalsError(
            f"{ascii(stage)} is no name for a job: a stage that runs as one is called by letters, digits and "
            "_ @ . - alone"
        )


def _needs(stage: str, root: Path) -> list[str]:
    """Paths of what the stage of dvc.yaml reads."""
    stages = {str(name): body for name, body in read_stages(root).items()}
    if stage not in stages:
        near = difflib.get_close_matches(stage, stages, n=1)
        trains = ", ".join(name for name in stages if name.endswith("-train")) or "there are none"
        hint = f"did you mean {near[0]}?" if near else f"stages that train: {trains}"
        raise EarthSignalsError(f"dvc.yaml has no stage `{stage}`; {hint}")
    return list(declared(stages[stage].get("deps")))


def _check_gpus(job: Job) -> None:
    counts = [_gpus(part.strip()) for part in (job.gres or "").split(",")]
    given = [count for count in counts if count is not None]
    if given and sum(given) < job.ntasks_per_node:
        raise EarthSignalsError(
            f"--gres {job.gres} gives a node fewer GPUs than its {job.ntasks_per_node} ranks: ask for "
            f"gpu:{job.ntasks_per_node}, or for fewer --ntasks-per-node"
        )


def _gpus(part: str) -> int | None:
    """GPUs by one part of --gres: gpu, gpu:2, gpu:1g.5gb, gpu:a100:2, gpu:2(S:0); None for other things."""
    name, *words = re.split("[:=]", part.split("(")[0])
    if name != "gpu":
        return None
    return int(words[-1]) if words and re.fullmatch("[0-9]+", words[-1]) else 1


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
        f"#SBATCH --output={_log_pattern(folder, job.stage)}",
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
        f"export EARTHSIGNALS_STOP_FILE={shlex.quote(f'{folder}/{job.stage}')}-$SLURM_JOB_ID.stop",
        *job.setup,
        "# exec: the signal goes to this very process, which knows what to do with it.",
        f"exec {shlex.join(program)} slurm run {shlex.quote(job.stage)}",
    ]
    return "\n".join(lines) + "\n"


def _asked(job: Job) -> dict[str, Any]:
    asked = {
        "job-name": job.stage, "time": job.time, "partition": job.partition, "nodes": job.nodes,
        "ntasks-per-node": job.ntasks_per_node, "gres": job.gres, "cpus-per-task": job.cpus_per_task,
        "mem": job.mem, "account": job.account, "qos": job.qos,
    }  # fmt: skip
    return {name: value for name, value in asked.items() if value is not None}


def _words(job: Job) -> list[str]:
    return [f"--{name}={_directive(str(value))}" for name, value in _asked(job).items()]


def _directive(text: str) -> str:
    """A word of a `#SBATCH` line: SLURM knows the shell's quotes, but a backslash counts within them too."""
    return shlex.quote(text.replace("\\", "\\\\"))


def _log_pattern(folder: Path, stage: str) -> str:
    """The log's name, to which SLURM adds the job's number; its own `%` in a path stands twice."""
    return _directive(f"{folder}/{stage}".replace("%", "%%") + "-%j.log")
