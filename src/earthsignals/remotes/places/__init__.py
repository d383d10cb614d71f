"""Where objects live: a folder, a machine reached by ssh, an S3 bucket. Each can hash what it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from earthsignals.remotes.config import Remote
from earthsignals.storage import EarthSignalsError


@dataclass(frozen=True)
class Wanted:
    """An object to hash: its name below the root, and the md5 it should have."""

    name: str
    md5: str


class Place(Protocol):
    """The root of a DVC remote. Names are relative to it: `files/md5/ab/cdef…`, `runs/…`.

    All methods raise EarthSignalsError, one sentence, when the place cannot be reached or used.
    """

    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        """Bytes of each object that is there."""
        ...

    def hashes(self, wanted: list[Wanted], download: bool) -> Iterator[tuple[str, str]]:
        """(name, md5 of what is stored, or "" where it cannot be read), in any order.

        Hashed where the object lives if the place can do that; read and hashed here with `download`.
        """
        ...

    def read(self, name: str) -> bytes:
        """The content of a small object."""
        ...

    def runs(self) -> dict[str, bytes]:
        """All entries of the run cache by name (`runs/ab/<key>/<value>`)."""
        ...

    def put(self, name: str, source: Path) -> None:
        """Store the file under `name`, whole or not at all, in place of what is there."""
        ...


def open_place(
    root: Path, remote: Remote, jobs: int, ssh_config: Path | None, local_copy: Callable[[str], Path | None]
) -> AbstractContextManager[Place]:
    """The place of `remote`; `local_copy(md5)` is a checked copy in the local cache, or None.

    Raises EarthSignalsError for a kind that cannot be verified.
    """
    if remote.kind == "folder":
        from earthsignals.remotes.places.folder import open_folder

        return open_folder(Path(remote.url), jobs)
    if remote.kind == "ssh":
        from earthsignals.remotes.places.machine import open_machine

        return open_machine(root, remote, jobs, ssh_config)
    if remote.kind == "s3":
        from earthsignals.remotes.places.bucket import open_bucket

        return open_bucket(remote, jobs, local_copy)
    raise EarthSignalsError(
        f"the remote `{remote.name}` ({remote.kind}) cannot be verified; folders, ssh and S3 can"
    )
