"""Dask workers as jobs of a batch system: SLURM, SGE, PBS and others, by dask-jobqueue's names."""

from __future__ import annotations

import atexit
import inspect
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from earthsignals.storage import EarthSignalsError

CLASSES = {
    "slurm": "SLURMCluster", "sge": "SGECluster", "pbs": "PBSCluster", "lsf": "LSFCluster",
    "oar": "OARCluster", "moab": "MoabCluster", "htcondor": "HTCondorCluster",
}  # fmt: skip


def open_batch_cluster(name: str, options: dict[str, Any]) -> Any:
    """A scheduler in this process, whose workers are jobs of the batch system called `name`.

    options: dask-jobqueue's own (cores, memory, queue, walltime, account, …), with `jobs`: how many, 1 by
    default. As many are kept: one that ends, by its time limit say, is submitted again. Each job runs one
    process per core. Scheduler and workers speak TLS with keys made for the occasion, since they listen on
    the network, and a Dask scheduler runs whatever it is sent.

    Raises EarthSignalsError when the system's commands are not here or it does not take the options.
    """
    import dask_jobqueue

    kind = getattr(dask_jobqueue, CLASSES[name])
    command = kind.job_cls.submit_command.split()[0]
    if shutil.which(command) is None:
        raise EarthSignalsError(
            f"the setting `cluster` is {name}, but its command {command} is not on this machine: run on a "
            "login node of the cluster, or give the address of a Dask scheduler (tcp://HOST:PORT)"
        )
    jobs = options.pop("jobs", 1)
    scratch = _scratch()
    mine = {
        "processes": options.get("cores"),
        "job_name": "earthsignals",
        "log_directory": str(scratch),
        "security": _keys(scratch),
        "scheduler_options": {"dashboard": False, "dashboard_address": "127.0.0.1:0"},
    }
    own = inspect.signature(dask_jobqueue.JobQueueCluster.__init__).parameters
    try:  # a job alone first: a cluster that fails half-way leaves a scheduler behind
        kind.job_cls("tcp://0.0.0.0:0", "trial", **{k: v for k, v in options.items() if k not in own})
    except (TypeError, ValueError) as error:
        raise EarthSignalsError(
            f"{name} does not take the cluster_options {', '.join(sorted(options)) or '(none)'} "
            f"({' '.join(str(error).split())[:160]}); expected dask-jobqueue's, such as {{cores: 8, "
            'memory: 16GB, queue: cpu, walltime: "2:00:00", jobs: 4}'
        ) from None
    cluster = kind(**mine | options)
    cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)
    return cluster


def _scratch() -> Path:
    """A private folder for keys and job logs that nodes of the cluster see as this process does."""
    hidden = Path.cwd() / ".dvc" / "tmp"
    folder = (hidden if hidden.is_dir() else Path.cwd()) / "dask"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _keys(scratch: Path) -> Any:
    """Keys and certificates for this run only, as files that nobody else can read; gone at the end."""
    from distributed.security import Security

    folder = Path(tempfile.mkdtemp(prefix="keys-", dir=scratch))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made, files = Security.temporary(), {}
    roles = ("client", "scheduler", "worker")
    for name in ("ca_file", *(f"{role}_{part}" for role in roles for part in ("cert", "key"))):
        path = folder / f"{name}.pem"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(getattr(made, f"tls_{name}"))
        files[f"tls_{name}"] = str(path)
    return Security(require_encryption=True, **files)
