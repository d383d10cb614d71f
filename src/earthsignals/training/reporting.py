"""Telling others how the training goes: MLflow, the progress bar, the caller."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from earthsignals.compute.device import describe_device
from earthsignals.settings import Settings

if TYPE_CHECKING:
    from earthsignals.tracking import Run

Row = dict[str, float]


@contextmanager
def rows_of_ranks(report: Callable[[Row], None]) -> Iterator[Callable[[Row], None]]:
    """Yield a function that rank 0 calls in its process and that reports in this one."""
    from torch.multiprocessing import get_context

    queue = get_context("spawn").SimpleQueue()

    def listen() -> None:
        while (row := queue.get()) is not None:
            report(row)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield queue.put
    finally:
        queue.put(None)
        listener.join()


def also_on_bar(report: Callable[[Row], None], bar: Any) -> Callable[[Row], None]:
    """Return ``report`` that shows the losses at the progress bar too."""
    name = bar.description

    def both(row: Row) -> None:
        report(row)
        bar.description = (
            f"{name}: epoch {row['epoch'] + 1:.0f}, loss {row['train_loss']:.4g}, "
            f"validation {row['validation_loss']:.4g}"
        )

    return both


def reporter(run: Run | None, on_epoch: Callable[[Row], None] | None) -> Callable[[Row], None]:
    """Return what every epoch's row is handed to: the run's metrics, then the caller."""
    last = time.monotonic()

    def report(row: Row) -> None:
        nonlocal last
        now = time.monotonic()
        if run is not None:
            # Times differ from run to run: they go to MLflow and never into the history.
            run.log_metrics(metrics(row) | {"epoch_seconds": now - last}, step=int(row["epoch"]))
        last = now
        if on_epoch is not None:
            on_epoch(row)

    return report


def metrics(row: Mapping[str, float]) -> Row:
    """Return the row as MLflow shows it, without its epoch, which is the step.

    ``train_<name>`` becomes ``train/<name>`` and ``validation_<name>`` ``val/<name>``: MLflow draws
    what stands before the slash as one group, the same in all pipelines.
    """
    return {_shown(key): value for key, value in row.items() if key != "epoch"}


def _shown(key: str) -> str:
    for column, group in (("train_", "train/"), ("validation_", "val/")):
        if key.startswith(column):
            return group + key.removeprefix(column)
    return key


def announce(run: Run, device: Any, precision: str, settings: Settings) -> None:
    """Tag the run with the device that trains it."""
    described = {f"device.{name}": value for name, value in describe_device(device).items()}
    run.set_tags(
        {"device": device.type, **described, "device.count": settings.devices * settings.nodes,
         "device.precision": precision, "device.threads": settings.threads}
    )
