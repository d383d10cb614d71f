"""How a training is asked to stop: by SIGUSR1, or by a file that appears.

Batch systems announce the end of a job's time by a signal (SLURM: `--signal`); who runs stages in a job
hands it on as a file, since a signal would have to pass through `dvc repro` first. The training answers
at its next step with a resume point, and goes on from that very step when called again.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from earthsignals.storage import Stopped


class Interrupted(Stopped):
    """The training was asked to stop, has saved itself, and goes on when called again."""

    def __init__(self, folder: Path, epoch: int, step: int, steps: int) -> None:
        super().__init__(
            f"the training stopped as it was asked to; saved in {folder} at epoch {epoch + 1}, after "
            f"{step} of its {steps} steps: run the same command again to go on from there"
        )


class StopRequest:
    """Whether someone asked. Copies of it in other processes see the same files."""

    def __init__(self, own: Path, other: Path | None = None) -> None:
        """`own` passes a signal on to the other ranks; `other` is what a batch job may create."""
        self.own = own.absolute()
        self.files = [str(self.own)] + ([str(other.absolute())] if other else [])
        self.signalled = False

    def asked(self) -> bool:
        """Cheap enough for every step: it looks for two files, which takes microseconds."""
        return self.signalled or any(os.path.exists(file) for file in self.files)

    def listen(self) -> Any:
        """Take SIGUSR1 as a request from now on; returns the handler before.

        In threads other than the main one, where Python allows no handlers, only the files count.
        """
        if not _can_listen():
            return None
        return signal.signal(signal.SIGUSR1, self._on_signal) or signal.SIG_DFL

    def _on_signal(self, *_: Any) -> None:
        self.signalled = True
        with suppress(OSError):
            self.own.touch()


@contextmanager
def listening(folder: Path, stop_file: Path | None) -> Iterator[StopRequest]:
    """Yield the request of a training whose resume points lie in `folder`; old requests of ours are gone.

    `stop_file` belongs to whoever names it: it is not removed, and one that is there already counts.
    """
    request = StopRequest(folder / "stop", stop_file)
    request.own.unlink(missing_ok=True)
    before = request.listen()
    try:
        yield request
    finally:
        if before is not None:
            signal.signal(signal.SIGUSR1, before)
        request.own.unlink(missing_ok=True)


def _can_listen() -> bool:
    return hasattr(signal, "SIGUSR1") and threading.current_thread() is threading.main_thread()
