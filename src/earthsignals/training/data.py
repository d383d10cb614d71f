"""Batches: which items, in which order, and how they become tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from earthsignals.compute.seeds import philox
from earthsignals.storage import EarthSignalsError
from earthsignals.training.loaders import Loading, loaded, pinned, worker_loader

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@runtime_checkable
class BatchSource(Protocol):
    """A dataset that makes whole batches, e.g. from HDF5 blocks or with augmentation.

    ``batch`` must be a pure function of its arguments (key random numbers by epoch and index), so
    that a resumed training sees what an unbroken one would have seen. It is called from one
    background thread, one batch ahead, or from the processes of :class:`Loading`, which get a pickle.
    """

    def __len__(self) -> int: ...

    def batch(self, indices: np.ndarray, epoch: int) -> tuple[Tensor, ...]:
        """Return tensors whose first axis follows ``indices`` (int64, shape (B,))."""
        ...


class BatchPlan:
    """The indices of every batch of an epoch, for one rank: a function of (seed, epoch) alone.

    Shuffled plans keep full batches only (the ragged rest differs from epoch to epoch, so nothing
    is lost for good); plans in order keep all items. Ranks take every ``world``-th item of each
    global batch, and all have the same number of batches. A rank left without items in the last
    batch repeats one, and ``weights`` says 0 for it. An epoch that goes on where it was interrupted
    starts at its batch number ``first``.
    """

    def __init__(self, length: int, batch_size: int, *, shuffle: bool, seed: int) -> None:
        self.length, self.shuffle, self.seed = length, shuffle, seed
        self.batch_size = min(batch_size, length)
        self.epoch, self.rank, self.world = 0, 0, 1
        self.first = 0

    def __len__(self) -> int:
        """Batches still to come in this epoch; for plans in order all, since Lightning asks but once
        for validation, and takes an earlier end as it comes."""
        return self.whole - self.first if self.shuffle else self.whole

    @property
    def whole(self) -> int:
        """Batches of a whole epoch."""
        full, rest = divmod(self.length, self.batch_size)
        return full if self.shuffle or rest == 0 else full + 1

    def __iter__(self) -> Iterator[np.ndarray]:
        order = np.arange(self.length)
        if self.shuffle:
            order = philox(self.seed, "training-order", self.epoch).permutation(self.length)
        for number in range(self.first, self.whole):
            chunk = order[number * self.batch_size : (number + 1) * self.batch_size]
            own = chunk[self.rank :: self.world]
            yield own if len(own) else chunk[:1]

    @property
    def weights(self) -> list[int]:
        """Items that count in each batch of this rank, over a whole epoch."""
        sizes = [self.batch_size] * self.whole
        if not self.shuffle and (rest := self.length % self.batch_size):
            sizes[-1] = rest
        return [len(range(self.rank, size, self.world)) for size in sizes]


class Batches:
    """An iterable of tensor tuples over one of the three kinds of data.

    data: a tuple of tensors with equal first axis (the fast path: one slice per tensor), a
    :class:`BatchSource`, or a map-style torch ``Dataset`` whose items are tuples (collated by a
    ``DataLoader``). The batches are the same however they are loaded. Setting ``cut`` ends the epoch under
    way and those to come.
    """

    def __init__(self, data: Any, plan: BatchPlan, loading: Loading | None = None) -> None:
        self.data, self.plan, self.loading = data, plan, loading or Loading()
        self.cut = False
        self._loader: Any = None

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        batches = self._all()
        while not self.cut and (batch := next(batches, None)) is not None:
            yield batch

    def _all(self) -> Iterator[tuple[Tensor, ...]]:
        if isinstance(self.data, tuple):
            return map(pinned, self._slices()) if self.loading.pins else self._slices()
        if not isinstance(self.data, BatchSource):
            return self._collated()
        if self.loading.workers == 0:
            return self._made_ahead()
        if self._loader is None:
            self._loader = worker_loader(self.data, self.plan, self.loading)
        return loaded(self._loader)

    def to(self, device: torch.device, share_of_memory: float = 0.25) -> None:
        """Move tensors onto a CUDA device if they take at most this share of its free memory."""
        import torch

        if device.type != "cuda" or not isinstance(self.data, tuple):
            return
        size = sum(tensor.numel() * tensor.element_size() for tensor in self.data)
        if size <= share_of_memory * torch.cuda.mem_get_info(device)[0]:
            self.data = tuple(tensor.to(device) for tensor in self.data)

    def _slices(self) -> Iterator[tuple[Tensor, ...]]:
        import torch

        device = self.data[0].device
        for indices in self.plan:
            where = torch.from_numpy(indices).to(device)
            yield tuple(tensor.index_select(0, where) for tensor in self.data)

    def _made_ahead(self) -> Iterator[tuple[Tensor, ...]]:
        epoch = self.plan.epoch
        with ThreadPoolExecutor(1) as pool:
            waiting = None
            for indices in self.plan:
                following = pool.submit(self._made, indices, epoch)
                if waiting is not None:
                    yield waiting.result()
                waiting = following
            if waiting is not None:
                yield waiting.result()

    def _made(self, indices: np.ndarray, epoch: int) -> tuple[Tensor, ...]:
        batch = self.data.batch(indices, epoch)
        return pinned(batch) if self.loading.pins else batch

    def _collated(self) -> Iterator[tuple[Tensor, ...]]:
        import torch
        from torch.utils.data import DataLoader

        if self._loader is None:
            self._loader = DataLoader(
                self.data, batch_sampler=_Lists(self.plan), **self.loading.options()
            )
        random = torch.get_rng_state()
        batches = iter(self._loader)
        if self.plan.first > 0:  # the number that a loader draws to begin with was drawn long ago
            torch.set_rng_state(random)
        for batch in batches:
            yield tuple(batch)


class _Lists:
    """A plan as ``DataLoader`` wants it: lists of Python integers."""

    def __init__(self, plan: BatchPlan) -> None:
        self.plan = plan

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[list[int]]:
        return (indices.tolist() for indices in self.plan)


def checked(data: Any, name: str) -> tuple[Any, int]:
    """Return the data (a list of tensors as tuple) and its length.

    Raises:
        EarthSignalsError: tensors of unequal length, no items, or no data set at all.
    """
    if isinstance(data, Sequence) and not hasattr(data, "batch") and _all_tensors(data):
        lengths = {len(tensor) for tensor in data}
        if len(lengths) != 1:
            raise EarthSignalsError(
                f"the tensors of the {name} data have {sorted(lengths)} items, expected one length"
            )
        data, length = tuple(data), lengths.pop()
    elif hasattr(data, "__len__") and (hasattr(data, "__getitem__") or hasattr(data, "batch")):
        length = len(data)
    else:
        raise EarthSignalsError(
            f"the {name} data is a {type(data).__name__}, expected a tuple of tensors, a torch "
            "Dataset, or an object with __len__ and batch(indices, epoch)"
        )
    if length == 0:
        raise EarthSignalsError(f"the {name} data is empty: enlarge the dataset or its split")
    return data, length


def _all_tensors(data: Sequence[Any]) -> bool:
    import torch

    return len(data) > 0 and all(isinstance(item, torch.Tensor) for item in data)
