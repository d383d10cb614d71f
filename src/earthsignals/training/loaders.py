"""Batches made by other processes, in the same order and with the same bytes as in this one."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from earthsignals.storage import EarthSignalsError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import DataLoader

    from earthsignals.settings import Settings
    from earthsignals.training.data import BatchPlan, BatchSource


@dataclass(frozen=True)
class Loading:
    """How batches get to the device; never what is in them."""

    workers: int = 0
    """Processes that make batches; 0: a thread of this one, or none where the data are at hand."""
    pin_memory: bool = False
    """Put batches into page-locked memory, from which a CUDA device copies while it computes."""
    prefetch_factor: int = 2
    """Batches that each process makes ahead."""

    @classmethod
    def of(cls, settings: Settings, workers: int | None = None) -> Loading:
        """By the execution settings; `workers` wins over theirs."""
        chosen = settings.loader_workers if workers is None else workers
        return cls(chosen, settings.pin_memory, settings.prefetch_factor)

    @property
    def pins(self) -> bool:
        """Is memory pinned? Only for a device that gains from it."""
        import torch

        return self.pin_memory and torch.cuda.is_available()

    def options(self) -> dict[str, Any]:
        """What torch's ``DataLoader`` is told."""
        options: dict[str, Any] = {"num_workers": self.workers, "pin_memory": self.pins}
        if self.workers:
            # Forked copies of a process with threads may hang; spawned ones start from nothing.
            options |= {
                "persistent_workers": True, "multiprocessing_context": "spawn",
                "prefetch_factor": self.prefetch_factor,
            }  # fmt: skip
        return options


def pinned(batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The batch in page-locked memory; what lies on a device already stays there."""
    return tuple(tensor if tensor.is_cuda else tensor.pin_memory() for tensor in batch)


def worker_loader(source: BatchSource, plan: BatchPlan, loading: Loading) -> DataLoader:
    """A loader of `source`'s batches by `plan`, made by `loading.workers` processes.

    It draws nothing from torch's global generator, so that dropout does not depend on how batches are made.
    """
    import torch
    from torch.utils.data import DataLoader

    return DataLoader(
        _Made(source), sampler=_Requests(plan), batch_size=None, collate_fn=_as_it_is,
        generator=torch.Generator(), **loading.options(),
    )  # fmt: skip


def loaded(loader: DataLoader) -> Iterator[tuple[Tensor, ...]]:
    """The loader's batches of one epoch.

    Raises EarthSignalsError: what the source raised as such, a source that cannot be handed to another
    process, or a process that died.
    """
    try:
        with warnings.catch_warnings():  # torch's own word for what is told below
            warnings.filterwarnings("ignore", message="Got pickle error")
            batches = iter(loader)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise EarthSignalsError(
            f"this data cannot be handed to processes that make batches ({error}): set loader_workers to 0"
        ) from None
    try:
        for batch in batches:
            if isinstance(batch, EarthSignalsError):
                raise batch
            yield tuple(batch)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise EarthSignalsError(
            "a process that makes batches died, most often for lack of memory: set loader_workers lower"
        ) from None


class _Made:
    """A source as ``DataLoader`` wants it: one "item" is a whole batch."""

    def __init__(self, source: BatchSource) -> None:
        self.source = source

    def __getitem__(self, request: tuple[np.ndarray, int]) -> Any:
        try:
            return self.source.batch(*request)
        except EarthSignalsError as error:
            return error  # torch would wrap a traceback around its one sentence


class _Requests:
    """A plan's batches, with the epoch that a source keys its random numbers by."""

    def __init__(self, plan: BatchPlan) -> None:
        self.plan = plan

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        return ((indices, self.plan.epoch) for indices in self.plan)


def _as_it_is(batch: Any) -> Any:
    return batch
