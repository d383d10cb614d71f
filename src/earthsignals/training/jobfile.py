"""Handing a training over to ranks that this process does not start itself.

Spawned processes inherit pipes and shared memory; ranks under srun share nothing but a file system. They
get a pickle, which only its writer's own account could have written and whose SHA-256 they are told, and
beside it the large arrays as torch's format, mapped into memory: the ranks of one machine share its pages,
so that data in memory cost once per machine and not once per rank.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

from earthsignals.storage import EarthSignalsError

LARGE_BYTES = 1 << 20
"""Tensors and arrays from this size on are mapped; smaller ones are copied into each rank."""


@contextmanager
def written_job(folder: Path, job: Any) -> Iterator[tuple[Path, str]]:
    """Yield a file in `folder` that holds `job`, and its SHA-256; afterwards it is gone.

    Needs as much disk as the job needs memory.

    Raises:
        EarthSignalsError: something in it cannot be handed to another process, or the disk is full.
    """
    import torch

    path = folder / "ranks.pkl"
    inner = io.BytesIO()
    pickler = _Pickler(inner)
    try:
        pickler.dump(job)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise EarthSignalsError(
            f"this training cannot be handed to ranks of srun ({error}): its loss and data must be "
            "functions of modules and instances of their classes, neither local nor of the script itself"
        ) from None
    content = pickle.dumps({"sys.path": sys.path, "cwd": os.getcwd(), "job": inner.getvalue()})
    try:
        _write(path, lambda file: file.write(content))
        _write(_arrays(path), lambda file: torch.save(pickler.large, file))
        yield path, hashlib.sha256(content).hexdigest()
    finally:
        path.unlink(missing_ok=True)
        _arrays(path).unlink(missing_ok=True)


def read_job(path: Path, digest: str) -> Any:
    """The job that `written_job` wrote, in another process of the same account.

    Raises:
        EarthSignalsError: the file is another one, or not this account's alone.
    """
    import torch

    with open(path, "rb") as file:
        status, content = os.fstat(file.fileno()), file.read()
    if status.st_uid != os.getuid() or status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise EarthSignalsError(f"{path} is not this account's alone: it is not read, train again")
    if hashlib.sha256(content).hexdigest() != digest:
        raise EarthSignalsError(f"{path} is not the file this rank was started for: train again")
    outer = pickle.loads(content)
    sys.path[:] = outer["sys.path"]
    os.chdir(outer["cwd"])
    large = torch.load(_arrays(path), mmap=True, weights_only=True)
    return _Unpickler(io.BytesIO(outer["job"]), large).load()


class _Pickler(pickle.Pickler):
    """Pickles all but large tensors and arrays, which it collects in `large`."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.large: list[Any] = []
        self._known: dict[int, tuple[Any, tuple[str, int]]] = {}

    def persistent_id(self, value: Any) -> tuple[str, int] | None:
        import torch

        if type(value) not in (torch.Tensor, np.ndarray) or value.nbytes < LARGE_BYTES:
            return None
        if id(value) not in self._known:
            tensor = value if isinstance(value, torch.Tensor) else _as_tensor(value)
            if tensor is None:
                return None
            kind = "tensor" if tensor is value else "array"
            # The value is kept too: while it lives, nothing else gets its id.
            self._known[id(value)] = value, (kind, len(self.large))
            self.large.append(_alone(tensor))
        return self._known[id(value)][1]

    def reducer_override(self, value: Any) -> Any:
        if getattr(value, "__module__", None) == "__main__" and isinstance(value, type | FunctionType):
            raise pickle.PicklingError(f"{value.__qualname__} is defined in the script that runs")
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, large: list[Any]) -> None:
        super().__init__(file)
        self.large = large

    def persistent_load(self, reference: tuple[str, int]) -> Any:
        kind, number = reference
        return self.large[number] if kind == "tensor" else self.large[number].numpy()


def _as_tensor(array: np.ndarray) -> Any:
    """The array as a tensor, without a copy where it is writable; None for what torch has no type for."""
    import torch

    try:
        return torch.from_numpy(np.require(array, requirements=["C", "W"]))
    except (TypeError, ValueError):
        return None


def _alone(tensor: Any) -> Any:
    """The tensor on the CPU without the rest of a larger one that it is a part of."""
    tensor = tensor.detach().cpu()
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def _arrays(path: Path) -> Path:
    return path.with_suffix(".arrays.pt")


def _write(path: Path, fill: Callable[[Any], Any]) -> None:
    """A new file that only this account can read; what a killed training left there is gone first."""
    path.unlink(missing_ok=True)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            fill(file)
    except OSError as error:
        raise EarthSignalsError(f"{path} cannot be written ({error.strerror}): make room there") from None
