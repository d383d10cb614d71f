"""What a worker of a Dask cluster does with one item: be where its sender is, alike it, then compute.

A worker may run elsewhere, started by someone else, long ago. Before its first item it makes sure that it
has the sender's versions and sources and sees the sender's folder, and moves there, so that relative paths
mean the same files. Bytes then do not depend on who computed them.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import platform
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import earthsignals
from earthsignals.compute.mapping import single_threaded
from earthsignals.storage import EarthSignalsError

PACKAGES = (
    "cloudpickle", "distributed", "h5py", "numpy", "obspy", "pandas", "rasterio", "scipy", "torch",
)  # fmt: skip
"""Libraries that have a say in results, or in how they travel."""

_NEVER_COMPUTE = ("cli/", "remotes/", "tracking/")  # rooms whose changes leave every result alone

running = False
"""Is this process at an item of a cluster's map right now?"""

_turn = threading.Lock()
_functions: dict[str, Callable[[Any], Any]] = {}


@dataclass(frozen=True)
class Sender:
    """Who asks: its folder, a file in it that only a shared file system shows, and what it runs."""

    folder: str
    token: str | None
    runs: tuple[tuple[str, str], ...]


def run(packed: bytes, digest: str, item: bytes, sender: Sender) -> Any:
    """Compute one item: `packed` is the pickled function, `digest` names it, `item` is pickled too.

    One item at a time, even on a worker with several threads: functions may keep state of their own, and
    the working directory is the whole process's.

    Raises EarthSignalsError where this worker is not like the sender.
    """
    global running
    with _turn:
        _settle(sender)
        running = True
        try:
            return _function(packed, digest)(pickle.loads(item))
        finally:
            running = False


@contextmanager
def sender() -> Iterator[Sender]:
    """This process as a sender, for the time of a map. A hidden file marks its folder meanwhile."""
    folder = Path.cwd()
    hidden = folder / ".dvc" / "tmp"  # where neither git nor DVC looks
    with tempfile.TemporaryDirectory(prefix="cluster-", dir=hidden if hidden.is_dir() else None) as marked:
        inside = Path(marked).is_relative_to(folder)
        yield Sender(str(folder), marked if inside else None, running_here())


@cache
def running_here() -> tuple[tuple[str, str], ...]:
    """Python, libraries and our own sources in this process, as pairs (name, version).

    Computed once: a worker that was started before the sources changed still runs the old ones.
    """
    python = ".".join(platform.python_version_tuple()[:2])
    return ("Python", python), *((name, _version(name)) for name in PACKAGES), ("earthsignals", _sources())


def differences(
    theirs: tuple[tuple[str, str], ...], ours: tuple[tuple[str, str], ...]
) -> list[str]:
    """Each thing that differs, in words: `numpy 1.26 (expected 2.4)`."""
    expected = dict(ours)
    return [
        f"{name} {found} (expected {expected[name]})"
        for name, found in theirs
        if expected.get(name) != found
    ]


def _settle(sender: Sender) -> None:
    host = socket.gethostname()
    other = differences(running_here(), sender.runs)
    if other:
        raise EarthSignalsError(
            f"the worker on {host} runs {', '.join(other)}: results could differ, so it is refused: "
            "start the workers with this project's Python, anew after every change of the sources"
        )
    try:
        if os.getcwd() != sender.folder:
            os.chdir(sender.folder)
        shared = sender.token is None or os.path.isdir(sender.token)
    except OSError:
        shared = False
    if not shared:
        raise EarthSignalsError(
            f"the worker on {host} does not see the folder {sender.folder} of this process: workers "
            "read and write the project's files, so put it on a file system that all of them mount at the "
            "same place"
        )


def _function(packed: bytes, digest: str) -> Callable[[Any], Any]:
    """The function, unpickled once per process; the last one only is kept."""
    if digest not in _functions:
        _functions.clear()
        _functions[digest] = pickle.loads(packed)
        single_threaded()  # after its libraries were loaded
    return _functions[digest]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _sources() -> str:
    """Version and a hash of this package's files that compute, as they are on the disk now."""
    root, digest = Path(earthsignals.__file__).parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if name.startswith(_NEVER_COMPUTE):
            continue
        with suppress(OSError):  # an editor's file that went away
            digest.update(f"{name}\0".encode() + path.read_bytes())
    return f"{earthsignals.__version__}-{digest.hexdigest()[:8]}"
