"""Work over many items: on all cores or a cluster, in order, in bounded memory, with progress.

    for chunk in ordered_map(simulate, chunks, description="scans", unit="scans"):
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
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import Any, TypeVar

from earthsignals.compute.progress import Progress, progress
from earthsignals.settings import Settings, load_settings
from earthsignals.storage import EarthSignalsError

__all__ = ["ordered_map", "progress", "single_threaded"]

Item = TypeVar("Item")
Result = TypeVar("Result")

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
    inline: bool = False,
) -> Iterator[Result]:
    """Yield `function(item)` for each item, in item order.

    workers: None does as the settings say: on the workers of `cluster`, or in `workers` processes
    of this machine. A number is that many processes of this machine; 1 runs in this process.
    inline: without a cluster, run in this process: for work that uses all processors by itself.
    sizes: how many `unit`s each item stands for (default 1 each), for the rate and the time left;
    its length also gives the total where `items` is a generator. executor: anything with
    `submit(function, item)` returning futures with `result()`, instead of own processes.
    At most 2·workers + 2 items are under way at any time, whatever the number of items.

    An exception of `function` passes through and stops the map. Raises EarthSignalsError when a
    worker process dies, and for a cluster that cannot be used (see `cluster.Cluster`); a worker of
    a cluster that dies is replaced, and its items are done again.
    """
    settings = load_settings()
    count = len(items) if hasattr(items, "__len__") else (len(sizes) if sizes is not None else None)
    total = sum(sizes) if sizes is not None else count
    with progress(description, total, unit, enabled=settings.progress) as bar:
        if executor is not None:
            ahead = 2 * (settings.workers if workers is None else workers) + 2
            results = _submitted(function, items, executor, ahead)
        elif workers is None and settings.cluster is not None and not _on_cluster():
            results = _clustered(function, items, settings, bar)
        else:
            processes = 1 if inline else settings.workers if workers is None else workers
            results = _local(function, items, processes, count, description)
        for number, result in enumerate(results):
            yield result
            bar.advance(sizes[number] if sizes is not None else 1)


def _clustered(
    function: Callable[[Item], Result], items: Iterable[Item], settings: Settings, bar: Progress
) -> Iterator[Result]:
    from earthsignals.compute.cluster import connect

    return connect(settings).map(function, items, bar)


def _on_cluster() -> bool:
    """Is this an item of a cluster's map? What it maps in turn stays where it is.

    A worker that waited for other workers could leave none to wait for.
    """
    errand = sys.modules.get("earthsignals.compute.errand")
    return errand is not None and errand.running


def _local(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, count: int | None,
    description: str,
) -> Iterator[Result]:  # fmt: skip
    if workers <= 1 or count == 1:
        return map(function, items)
    return _pooled(function, items, min(workers, count) if count else workers, description)


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


def single_threaded() -> None:
    """One BLAS thread in this process: there are as many processes as processors."""
    for name in _THREAD_VARIABLES:  # for libraries not yet loaded
        os.environ[name] = "1"
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)  # for those that are
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _start_worker() -> None:
    """One BLAS thread per worker, Ctrl-C is the parent's business, and no worker outlives it."""
    single_threaded()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        # A pool whose parent is killed (SIGKILL, out of memory) would wait for work for ever.
        threading.Thread(target=_leave_with, args=(parent.sentinel,), daemon=True).start()


def _leave_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
