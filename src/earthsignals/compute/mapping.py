"""Work over many items: on all cores, in order, in bounded memory, with progress.

    for chunk in ordered_map(simulate, chunks, workers=4, description="scans", unit="scans"):
        write(chunk)

Results come in item order whatever the number of workers, so a consumer that writes them writes
the same file. The function and the items must pickle; a script that calls this guards its own
start with `if __name__ == "__main__"`, since workers are fresh interpreters (spawn: no state of
torch, HDF5 or MLflow is inherited by a fork).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import Any, TypeVar

from earthsignals.settings import cpu_count, load_settings
from earthsignals.storage import EarthSignalsError

Item = TypeVar("Item")
Result = TypeVar("Result")

_QUIET_SECONDS = 2.0  # work shorter than this shows nothing
_LINE_SECONDS = 10.0  # a log gets at most one line per this long
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int | None = None,
    description: str,
    unit: str = "items",
    sizes: Sequence[float] | None = None,
    executor: Any = None,
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in item order.

    workers: processes; None is one per processor, 1 runs inline in this process. sizes: how many
    `unit`s each item stands for (default 1 each), for the rate and the time left; its length also
    gives the total where `items` is a generator. executor: anything with `submit(function, item)`
    returning futures with `result()` (concurrent.futures, a Dask client) instead of own processes.
    At most 2·workers + 2 items are under way at any time, whatever the number of items.

    An exception of `function` passes through and stops the map. Raises EarthSignalsError when a
    worker process dies.
    """
    workers = cpu_count() if workers is None else workers
    count = len(items) if hasattr(items, "__len__") else (len(sizes) if sizes is not None else None)
    total = sum(sizes) if sizes is not None else count
    with progress(description, total, unit) as bar:
        if executor is not None:
            results = _submitted(function, items, executor, 2 * workers + 2)
        elif workers <= 1 or count == 1:
            results = map(function, items)
        else:
            workers = min(workers, count) if count else workers
            results = _pooled(function, items, workers, description)
        for number, result in enumerate(results):
            yield result
            bar.advance(sizes[number] if sizes is not None else 1)


def _pooled(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, description: str
) -> Iterator[Result]:
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)
    done = 0
    try:
        for result in _submitted(function, items, pool, 2 * workers + 2):
            yield result
            done += 1
    except BrokenProcessPool:
        raise EarthSignalsError(
            f"{description}: a worker process died after {done} finished items, most likely "
            f"killed for want of memory with {workers} workers; set fewer `workers` in "
            "settings.yaml (or EARTHSIGNALS_WORKERS) and run again"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _submitted(
    function: Callable[[Item], Result], items: Iterable[Item], executor: Any, in_flight: int
) -> Iterator[Result]:
    """Submit a few items ahead, yield results in order; cancel the rest if the consumer stops."""
    pending: deque[Any] = deque()
    try:
        for item in items:
            pending.append(executor.submit(function, item))
            if len(pending) >= in_flight:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


def _start_worker() -> None:
    """One BLAS thread per worker, Ctrl-C is the parent's business, and no worker outlives it."""
    for name in _THREAD_VARIABLES:  # for libraries not yet loaded
        os.environ[name] = "1"
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)  # for those that are
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        # A pool whose parent is killed (SIGKILL, out of memory) would wait for work for ever.
        threading.Thread(target=_leave_with, args=(parent.sentinel,), daemon=True).start()


def _leave_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


@contextmanager
def progress(
    description: str, total: float | None, unit: str = "items", *, enabled: bool | None = None
) -> Iterator[_Progress]:
    """Show rate and time left of a piece of work on stderr; `.advance(n)` after n `unit`s.

    On a terminal a live bar; elsewhere a plain line at most every ten seconds and one at the end.
    Silent while the work has taken under two seconds, and when `enabled` (default: the setting
    `progress`) is false.
    """
    enabled = load_settings().progress if enabled is None else enabled
    shown: _Progress
    if not enabled:
        shown = _Progress(description, total, unit)
    elif sys.stderr.isatty():
        shown = _Bar(description, total, unit)
    else:
        shown = _Lines(description, total, unit)
    try:
        yield shown
        shown.finish()
    finally:
        shown.close()


class _Progress:
    """Counts and shows nothing; the base of the two that do."""

    def __init__(self, description: str, total: float | None, unit: str) -> None:
        self.description, self.total, self.unit = description, total, unit
        self.done = 0.0
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def advance(self, amount: float = 1) -> None:
        self.done += amount

    def finish(self) -> None:
        """The work ended well."""

    def close(self) -> None:
        """The work ended, well or not: leave the terminal as it was."""


class _Lines(_Progress):
    """Plain lines, for logs."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.last = self.started - _LINE_SECONDS + _QUIET_SECONDS

    def advance(self, amount: float = 1) -> None:
        super().advance(amount)
        if time.monotonic() - self.last >= _LINE_SECONDS and self.done != self.total:
            self.last = time.monotonic()
            self._print(left=True)

    def finish(self) -> None:
        if self.seconds >= _QUIET_SECONDS:
            self._print(left=False)

    def _print(self, left: bool) -> None:
        rate = self.done / max(self.seconds, 1e-9)
        of = f" of {self.total:,.0f}" if self.total and left else ""
        line = f"{self.description}: {self.done:,.0f}{of} {self.unit}, {rate:,.1f}/s"
        if left and self.total and rate > 0:
            line += f", {_clock((self.total - self.done) / rate)} left"
        elif not left:
            line += f", took {_clock(self.seconds)}"
        print(line, file=sys.stderr, flush=True)


class _Bar(_Progress):
    """A live bar, drawn once the work has lasted two seconds."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._live = Progress(
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
        rate = self.done / max(self.seconds, 1e-9)
        of = f"/{self.total:,.0f}" if self.total else ""
        text = f"{self.done:,.0f}{of} {self.unit}, {rate:,.1f}/s"
        self._live.update(
            self._task, completed=self.done, rate=text, description=self.description
        )

    def close(self) -> None:
        self._timer.cancel()
        self._timer.join()
        self._live.stop()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
