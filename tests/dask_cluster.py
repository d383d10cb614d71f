"""A real Dask scheduler and workers on the loopback, each a process that a test can kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class DaskCluster:
    """The scheduler's `address`, its `scheduler` process, and workers started by `worker`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        told = folder / "scheduler.json"
        # No HTTP pages: bokeh is not installed, and nobody looks.
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(told), "--no-dashboard"
        )
        self.address = _address(told, self.scheduler)

    def worker(self, *options: str) -> subprocess.Popen[bytes]:
        """Start `dask worker ADDRESS --nthreads 1 …` in another folder than the test's."""
        scratch = self.folder / "worker-space"
        scratch.mkdir(exist_ok=True)
        return self._start(
            "worker", self.address, "--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard",
            "--local-directory", str(scratch), *options,
        )  # fmt: skip

    def close(self) -> None:
        """End all of them at once, with the workers of nannies: there is nothing to be saved."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _start(self, kind: str, *options: str) -> subprocess.Popen[bytes]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("EARTHSIGNALS_")}
        # Two deaths of a task's worker are forgiven, the third is taken for the task's own fault.
        environment["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] = "2"
        with open(self.folder / f"{kind}.log", "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options],
                cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        return process


def _address(told: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 60
    while True:
        try:
            return json.loads(told.read_text())["address"]
        except (OSError, ValueError):
            assert process.poll() is None and time.monotonic() < deadline, "the scheduler did not start"
            time.sleep(0.05)


@contextmanager
def dask_cluster(folder: Path) -> Iterator[DaskCluster]:
    """A scheduler without workers; all its processes end with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    cluster = DaskCluster(folder)
    try:
        yield cluster
    finally:
        cluster.close()
