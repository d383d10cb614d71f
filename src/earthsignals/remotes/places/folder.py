"""A remote that is a folder of this machine or a mount: objects are read and hashed here, in threads."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from earthsignals.remotes.places import Wanted
from earthsignals.storage import EarthSignalsError, atomic_path, is_partial

_CHUNK = 1 << 20


@contextmanager
def open_folder(folder: Path, jobs: int) -> Iterator[Folder]:
    if not folder.is_dir():
        raise EarthSignalsError(f"the remote folder {folder} does not exist; mount it, or `make remote`")
    yield Folder(folder, jobs)


class Folder:
    def __init__(self, folder: Path, jobs: int) -> None:
        self.folder, self.jobs = folder, jobs

    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        found = {}
        for name in names:
            try:
                found[name] = os.stat(self.folder / name).st_size
            except FileNotFoundError:
                continue
            except OSError as error:
                raise EarthSignalsError(
                    f"{self.folder / name} cannot be looked at: {error.strerror}; check its rights"
                ) from None
        return found

    def hashes(self, wanted: list[Wanted], download: bool) -> Iterator[tuple[str, str]]:
        with ThreadPoolExecutor(self.jobs) as pool:
            waiting = {pool.submit(_md5, self.folder / each.name): each.name for each in wanted}
            for future in as_completed(waiting):
                yield waiting[future], future.result()

    def read(self, name: str) -> bytes:
        return _read(self.folder / name)

    def runs(self) -> dict[str, bytes]:
        runs = self.folder / "runs"
        if runs.exists() and not runs.is_dir():
            raise EarthSignalsError(f"{runs} is no folder, as DVC's run cache is: remove it, then push")
        files = (file for file in runs.rglob("*") if file.is_file())
        return {
            file.relative_to(self.folder).as_posix(): _read(file)
            for file in sorted(files)
            if not is_partial(file.name)
        }

    def put(self, name: str, source: Path) -> None:
        target = self.folder / name
        try:
            with atomic_path(target) as temporary:
                shutil.copyfile(source, temporary)
        except OSError as error:
            raise EarthSignalsError(
                f"{target} cannot be replaced: {error.strerror}; check its rights"
            ) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EarthSignalsError(f"{path} cannot be read: {error.strerror}; check its rights") from None


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError:  # a bad sector, or no right to read: this object is bad, the others are still judged
        return ""
    return digest.hexdigest()
