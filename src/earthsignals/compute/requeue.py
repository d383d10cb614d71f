"""Inside a SLURM job: run a stage once; warned of the time limit, save, requeue, and go on next time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from earthsignals.compute.jobscript import check_name
from earthsignals.compute.slurm import ask
from earthsignals.storage import EarthSignalsError, md5_file


def run(stage: str, root: Path, command: tuple[str, ...] | None = None) -> int:
    """Run `dvc repro -s <stage>` in this job. Returns the exit status the job shall have.

    On SIGUSR1 the file EARTHSIGNALS_STOP_FILE appears; the training sees it, writes a resume point and
    leaves, and the job is put back into the queue. Its next start goes on from that point. A stage that
    fails, or does not save itself, ends the job with the stage's own status: nothing is tried again that
    would fail again. The same holds when a whole start brought the training no step further.

    Args:
        stage: its resume points lie below `.resume/<stage>`, as every stage's do.
        root: the project.
        command: instead of dvc; for tests.

    Raises:
        EarthSignalsError: outside a SLURM job, and where the stage cannot be started.
    """
    check_name(stage)
    job, stop_file = os.environ.get("SLURM_JOB_ID"), os.environ.get("EARTHSIGNALS_STOP_FILE")
    if not job or not stop_file:
        raise EarthSignalsError(
            "`earthsignals slurm run` belongs inside a job: submit one with `earthsignals slurm submit "
            f"{stage}`"
        )
    restarts = os.environ.get("SLURM_RESTART_COUNT", "0")
    if not restarts.isdecimal():
        raise EarthSignalsError(
            f"SLURM_RESTART_COUNT is {ascii(restarts)}, no number of earlier starts: it is SLURM's to set, "
            "do not set it in your environment"
        )
    supervisor = _Supervisor(stage, root, job, Path(stop_file))
    try:
        return supervisor.run(command or ("dvc", "repro", "-s", stage), int(restarts) + 1)
    except OSError as error:
        raise EarthSignalsError(
            f"job {job} could not run {stage} ({error}); look at that file or program, and submit again"
        ) from None


class _Supervisor:
    def __init__(self, stage: str, root: Path, job: str, stop_file: Path) -> None:
        self.stage, self.root, self.job, self.stop_file = stage, root, job, stop_file
        self.asked: int | None = None
        """When the training was asked to save itself, by the clock of the stop file's file system, in ns."""
        self.child: subprocess.Popen[bytes] | None = None
        # What the last start left, to tell whether this one got any further.
        self.trail = stop_file.with_suffix(".point")

    def run(self, command: tuple[str, ...], start: int) -> int:
        self.say(f"start {start} on {os.environ.get('SLURM_JOB_NODELIST', 'this machine')}")
        self.stop_file.unlink(missing_ok=True)
        if start == 1:
            self.trail.unlink(missing_ok=True)
        signal.signal(signal.SIGUSR1, self.stop)
        signal.signal(signal.SIGTERM, self.end)
        # Told to all processes by mistake (`scancel --full`), the signal would kill dvc: it ignores it.
        self.child = subprocess.Popen(
            command, cwd=self.root, preexec_fn=lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        )
        status = self.child.wait()
        status = status if status >= 0 else 128 - status  # ended by a signal, as a shell counts
        if status == 0:
            self.say("done")
        elif self.asked is not None:
            status = self.go_on(status)
        else:
            self.say(f"failed with status {status}; the lines above say why")
        if status or self.asked is None:
            self.trail.unlink(missing_ok=True)
        self.stop_file.unlink(missing_ok=True)
        return status

    def stop(self, *_: object) -> None:
        """SIGUSR1: ask the training to save itself; come back with a requeue."""
        self.say("the time limit is near: the training is asked to save itself")
        try:
            self.stop_file.parent.mkdir(parents=True, exist_ok=True)
            self.stop_file.touch()
            self.asked = self.stop_file.stat().st_mtime_ns
        except OSError as error:  # the child goes on: what it reaches before the limit is not lost
            self.say(f"it cannot be asked ({error})")

    def end(self, *_: object) -> None:
        """SIGTERM: cancelled, or out of time. SLURM tells all processes; what it left out is told here."""
        self.say("ended from outside; submitted again, it goes on from its last resume point")
        if self.child is not None:
            self.child.terminate()

    def go_on(self, status: int) -> int:
        point = self.saved_point()
        if point is None:
            self.say(f"failed with status {status} and saved nothing since it was asked to; not requeued")
            return status
        reached = md5_file(point)
        if self.trail.exists() and self.trail.read_bytes() == reached.encode():
            self.say("this start brought the training no step further; not requeued: give it a longer --time")
            return status
        self.trail.write_text(reached)
        self.say(f"saved in {point.relative_to(self.root)}; back into the queue")
        ask("scontrol", "requeue", self.job)
        return 0

    def saved_point(self) -> Path | None:
        """The stage's newest resume point, if it was written after the stop file.

        Both times are the file system's own, so clocks of nodes do not matter.
        """
        files = [path for path in (self.root / ".resume" / self.stage).rglob("last*") if path.is_file()]
        newest = max(files, key=lambda path: path.stat().st_mtime_ns, default=None)
        return newest if newest and newest.stat().st_mtime_ns >= (self.asked or 0) else None

    def say(self, words: str) -> None:
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        print(f"[{now}] {self.stage}, job {self.job}: {words}", file=sys.stderr, flush=True)
