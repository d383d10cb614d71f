"""Progress of a piece of work on stderr: rate and time left, as a live bar or as lines of a log."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from earthsignals.settings import load_settings

_QUIET_SECONDS = 2.0  # work shorter than this shows nothing
_LINE_SECONDS = 10.0  # a log gets at most one line per this long


@contextmanager
def progress(
    description: str, total: float | None, unit: str = "items", *, enabled: bool | None = None
) -> Iterator[Progress]:
    """Show rate and time left of a piece of work on stderr; `.advance(n)` after n `unit`s.

    On a terminal a live bar; elsewhere a plain line at most every ten seconds and one at the end.
    Silent while the work has taken under two seconds, and when `enabled` (default: the setting
    `progress`) is false.
    """
    enabled = load_settings().progress if enabled is None else enabled
    shown: Progress
    if not enabled:
        shown = Progress(description, total, unit)
    elif sys.stderr.isatty():
        shown = _Bar(description, total, unit)
    else:
        shown = _Lines(description, total, unit)
    try:
        yield shown
        shown.finish()
    finally:
        shown.close()


class Progress:
    """Counts and shows nothing; the base of the two that do."""

    def __init__(self, description: str, total: float | None, unit: str) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.note = ""
        self.done = 0.0
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def title(self) -> str:
        """What is done, and where, if somebody said so by `annotate`."""
        return f"{self.description} ({self.note})" if self.note else self.description

    def advance(self, amount: float = 1) -> None:
        self.done += amount

    def annotate(self, note: str) -> None:
        """Words to stand behind the description: how many workers, or what is waited for."""
        self.note = note

    def finish(self) -> None:
        """The work ended well."""

    def close(self) -> None:
        """The work ended, well or not: leave the terminal as it was."""


class _Lines(Progress):
    """Plain lines, for logs."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.last = self.started - _LINE_SECONDS + _QUIET_SECONDS

    def advance(self, amount: float = 1) -> None:
        super().advance(amount)
        if self.done != self.total:
            self._print_now_and_then()

    def annotate(self, note: str) -> None:
        if note != self.note:
            super().annotate(note)
            self._print_now_and_then()

    def finish(self) -> None:
        if self.seconds >= _QUIET_SECONDS:
            self._print(left=False)

    def _print_now_and_then(self) -> None:
        if time.monotonic() - self.last >= _LINE_SECONDS:
            self.last = time.monotonic()
            self._print(left=True)

    def _print(self, left: bool) -> None:
        rate = self.done / max(self.seconds, 1e-9)
        of = f" of {self.total:,.0f}" if self.total and left else ""
        line = f"{self.title}: {self.done:,.0f}{of} {self.unit}, {rate:,.1f}/s"
        if left and self.total and rate > 0:
            line += f", {_clock((self.total - self.done) / rate)} left"
        elif not left:
            line += f", took {_clock(self.seconds)}"
        print(line, file=sys.stderr, flush=True)


class _Bar(Progress):
    """A live bar, drawn once the work has lasted two seconds."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as LiveProgress

        self._live = LiveProgress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._live.add_task(self.description, total=self.total, rate="")
        self._timer = threading.Timer(_QUIET_SECONDS, self._live.start)
        self._timer.daemon = True
        self._timer.start()

    def advance(self, amount: float = 1) -> None:
        super().advance(amount)
        self._draw()

    def annotate(self, note: str) -> None:
        super().annotate(note)
        self._draw()

    def close(self) -> None:
        self._timer.cancel()
        self._timer.join()
        self._live.stop()

    def _draw(self) -> None:
        rate = self.done / max(self.seconds, 1e-9)
        of = f"/{self.total:,.0f}" if self.total else ""
        text = f"{self.done:,.0f}{of} {self.unit}, {rate:,.1f}/s"
        self._live.update(self._task, completed=self.done, rate=text, description=self.title)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
