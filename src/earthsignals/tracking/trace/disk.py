"""Are the files here still what was locked? Each is hashed once."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from earthsignals.storage import md5_path

State = Literal["same", "other", "absent", "unchecked"]
"""A file beside its locked md5: the same bytes, other bytes, not here, or only its size compared."""

HASHED_BYTES = 500 * 2**20
"""What a trace rests upon is hashed up to this size; beyond it, sizes are compared."""


class Disk:
    """The files below `root`, hashed as DVC does, each once.

    `thorough` hashes whatever its size.
    """

    def __init__(self, root: Path, *, thorough: bool = False) -> None:
        self.root, self.thorough = root, thorough
        self._known: dict[str, str | None] = {}

    def md5(self, path: str) -> str | None:
        """DVC's hash of what lies at `path` (relative to the root), None where nothing does."""
        if path not in self._known:
            full = self.root / path
            self._known[path] = md5_path(full) if full.exists() else None
        return self._known[path]

    def listing(self, folder: str) -> dict[str, str]:
        """Relative path → md5 of every file in a folder."""
        full = self.root / folder
        return {
            file.relative_to(full).as_posix(): md5_path(file)
            for file in sorted(full.rglob("*"))
            if file.is_file()
        }

    def state(self, path: str, md5: str, size: int = 0) -> State:
        """Compare `path` with its locked `md5`; `size` in bytes, as dvc.lock has it."""
        if "://" in path:  # an address: nothing lies here
            return "unchecked"
        if size > HASHED_BYTES and not self.thorough and path not in self._known:
            full = self.root / path
            if not full.exists():
                return "absent"
            return "unchecked" if _bytes(full) == size else "other"
        found = self.md5(path)
        if found is None:
            return "absent"
        return "same" if found == md5 else "other"


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(file.stat().st_size for file in files)
