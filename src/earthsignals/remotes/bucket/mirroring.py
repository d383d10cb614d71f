"""A bucket's objects as files of a folder: several at a time, checked, and continued where a run stopped.

An object with the key `2015/03/a.bz2` becomes `FOLDER/2015/03/a.bz2`. While it comes it is called
`FOLDER/.mirror/<digest of bucket, key and version>.partial`, so that no reader takes half a file for a whole
one.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from earthsignals.compute.progress import Progress, progress
from earthsignals.remotes.bucket.connection import Bucket
from earthsignals.remotes.bucket.objects import (
    Object,
    ObjectError,
    agrees,
    insist,
    list_objects,
    pieces,
    unusable_in_name,
)
from earthsignals.storage import EarthSignalsError, md5_file, read_json, write_json

STATE = ".mirror"
"""The hidden folder of unfinished files and of notes, in each mirror."""


@dataclass(frozen=True)
class Mirrored:
    """What a mirror did."""

    fetched: int
    """Files that came now."""
    kept: int
    """Files that were there and whole."""
    bytes: int
    """Of the files that came; less was transferred where a file was continued."""
    refused: dict[str, str] = field(default_factory=dict)
    """Key → why it is not in the folder."""
    folders: int = 0
    """Empty objects whose key ends with a slash: some programs mark folders so."""


def mirror(
    bucket: Bucket, folder: str | Path, *, workers: int = 8, include: Callable[[str], bool] | None = None
) -> Mirrored:
    """Bring every object below the bucket's prefix into `folder`, under its whole key.

    workers: objects at a time. include: which keys; None: all. What is there with size and checksum of its
    object is kept, anything else of its name is replaced; files that are no objects stay. Keys that would
    leave the folder, and objects that are gone, keep changing or come damaged, are in `refused`, each with
    its reason. Raises EarthSignalsError when the server cannot be reached (any more) or refuses the keys, the
    disk is full, or another run is mirroring into `folder`; what has come stays, and the next run goes on
    from there.
    """
    folder = Path(folder)
    listed = [each for each in list_objects(bucket) if include is None or include(each.key)]
    wanted, refused = sort_out(listed)
    folders = len(listed) - len(wanted) - len(refused)
    try:
        (folder / STATE).mkdir(parents=True, exist_ok=True)
        with FileLock(folder / STATE / "lock", timeout=0):
            return _mirrored(_Target(bucket, folder), wanted, refused, folders, workers)
    except Timeout:
        raise EarthSignalsError(
            f"{folder}: another run is mirroring into this folder; wait for its end and run again"
        ) from None
    except OSError as error:
        raise EarthSignalsError(
            f"{folder}: what comes cannot be written ({error.strerror or error}); free some space or name a "
            "folder that can be written, and run again: it goes on where it stopped"
        ) from error


def sort_out(listed: Sequence[Object]) -> tuple[list[Object], dict[str, str]]:
    """Objects that can be files below a folder, and why others cannot; marks of folders are neither."""
    needed_as_folders = {
        "/".join(parts[:depth])
        for parts in (each.key.split("/") for each in listed)
        for depth in range(1, len(parts))
    }
    wanted, refused = [], {}
    for each in listed:
        if each.key.endswith("/") and not each.size and not why_not(each.key[:-1]):
            continue
        why = why_not(each.key)
        if not why and each.key in needed_as_folders:
            why = "other objects need this name for their folder"
        if why:
            refused[each.key] = why
        else:
            wanted.append(each)
    return wanted, refused


def why_not(key: str) -> str:
    """Why a key cannot be a file below a folder, or ""."""
    parts = key.split("/")
    if key.startswith("/") or ".." in parts:
        return "the key would lead out of the folder"
    if "" in parts or "." in parts:
        return "the key has an empty part, which no path of a file has"
    if parts[0] == STATE:
        return f"the name {STATE} is taken by the mirror's own state"
    return next(filter(None, map(unusable_in_name, parts)), "")


def _mirrored(
    target: _Target, wanted: list[Object], refused: dict[str, str], folders: int, workers: int
) -> Mirrored:
    # First what is there, then what is missing: the rate and the time left are those of the network.
    here = [each for each in wanted if target.path(each).is_file()]
    whole: set[str] = set()

    def look(item: Object, bar: _Bar) -> None:
        if target.is_whole(item):
            whole.add(item.key)
        bar.advance(item.size)

    _in_threads(look, here, workers, "looking at what is here", refused)
    missing = [each for each in wanted if each.key not in whole and each.key not in refused]
    came: list[int] = []
    _in_threads(lambda item, bar: came.append(target.fetch(item, bar)), missing, workers, "mirror", refused)
    target.tidy(missing, refused)
    return Mirrored(len(came), len(whole), sum(came), dict(sorted(refused.items())), folders)


class _Bar:
    """A bar of megabytes that several threads move, until one of them fails."""

    def __init__(self, bar: Progress) -> None:
        self.bar, self.lock, self.stopped = bar, threading.Lock(), threading.Event()

    def advance(self, size: int) -> None:
        with self.lock:
            self.bar.advance(size / 1e6)


def _in_threads(
    function: Callable[[Object, _Bar], None], items: Sequence[Object], workers: int, description: str,
    refused: dict[str, str],
) -> None:  # fmt: skip
    """`function` of each item; ObjectError is noted in `refused`, any other error ends all of them."""

    def one(item: Object) -> None:
        if bar.stopped.is_set():
            return
        try:
            function(item, bar)
        except ObjectError as error:
            refused[item.key] = str(error)
        except BaseException:
            bar.stopped.set()  # at once: this thread would take the next item before the error is seen
            raise

    total = sum(each.size for each in items) / 1e6
    with progress(description, total, "MB") as shown, ThreadPoolExecutor(workers) as pool:
        bar = _Bar(shown)
        try:
            futures = [pool.submit(one, item) for item in items]
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()
        finally:
            # Also on Ctrl-C: what is under way ends with its present range, the rest does not begin.
            bar.stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)


class _Stopped(ObjectError):
    """Another thread failed; this object goes on at the next run."""


@dataclass(frozen=True)
class _Target:
    """The folder that a bucket is mirrored into."""

    bucket: Bucket
    folder: Path

    def path(self, item: Object) -> Path:
        return self.folder / item.key

    def state(self, item: Object, suffix: str) -> Path:
        """A file of the mirror's own about this version of the object."""
        digest = hashlib.sha256(f"{self.bucket.name}\0{item.key}\0{item.etag}\0{item.size}".encode())
        return self.folder / STATE / f"{digest.hexdigest()[:32]}{suffix}"

    def is_whole(self, item: Object) -> bool:
        """Is the file the object as listed? Where the ETag says nothing: what arrived as this version?"""
        path = self.path(item)
        if path.stat().st_size != item.size:
            return False
        with suppress(EarthSignalsError, KeyError, TypeError):
            return read_json(self.state(item, ".json"))["md5"] == md5_file(path)
        return _agrees(self.bucket, item, path) is True

    def fetch(self, item: Object, bar: _Bar) -> int:
        """Bytes of the file that came."""
        path = self.path(item)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise ObjectError(f"{path.parent}: a file is where a folder is needed; move it away") from None
        if path.is_dir():
            raise ObjectError(f"{path} is a folder, and a file of that name is to come; move it away")

        def attempt(version: Object) -> Path | None:
            part = self._grown(version, bar)
            agreed = _agrees(self.bucket, version, part)
            if agreed is False:
                part.unlink()
                return None
            if agreed is None:
                write_json(self.state(version, ".json"), {"key": version.key, "md5": md5_file(part)})
            return part

        version, part = insist(self.bucket, item, attempt)
        os.replace(part, path)
        return version.size

    def _grown(self, item: Object, bar: _Bar) -> Path:
        """The partial file, brought to the object's full size from where it ends."""
        part = self.state(item, ".partial")
        have = part.stat().st_size if part.is_file() else 0
        if have > item.size:
            part.unlink()
            have = 0
        bar.advance(have)
        with open(part, "ab") as out:
            for piece in pieces(self.bucket, item, have):
                out.write(piece)
                out.flush()
                bar.advance(len(piece))
                if bar.stopped.is_set():
                    raise _Stopped(item.key)
            os.fsync(out.fileno())
        return part

    def tidy(self, fetched: Sequence[Object], refused: dict[str, str]) -> None:
        """Remove beginnings of versions that no longer are; those of refused objects may be continued."""
        left = {self.state(each, ".partial") for each in fetched if each.key in refused}
        for part in (self.folder / STATE).glob("*.partial"):
            if part not in left:
                part.unlink()


def _agrees(bucket: Bucket, item: Object, path: Path) -> bool | None:
    """`agrees` of a file, without reading it into memory at once."""
    if not path.stat().st_size:
        return agrees(bucket, item, b"")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return agrees(bucket, item, content)
