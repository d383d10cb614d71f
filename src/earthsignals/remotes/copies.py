"""Good copies in this machine's DVC cache: hashed before anything rests on them."""

from __future__ import annotations

import threading
from pathlib import Path

from earthsignals.dvcfiles import object_name
from earthsignals.storage import md5_file


class LocalCopies:
    """Copies by md5, each hashed once. Threads may share it."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self._known: dict[str, Path | None] = {}
        self._lock = threading.Lock()

    def find(self, md5: str) -> Path | None:
        """The path of a copy whose content has this md5; None where there is none, or a bad one."""
        with self._lock:
            if md5 in self._known:
                return self._known[md5]
        path = self.cache / object_name(md5)
        try:
            good = md5_file(path) == md5.removesuffix(".dir")
        except OSError:
            good = False
        with self._lock:
            self._known[md5] = path if good else None
        return path if good else None

    def size(self, md5: str) -> int | None:
        """Bytes of the copy, unchecked: good enough to call a shorter one truncated."""
        try:
            return (self.cache / object_name(md5)).stat().st_size
        except OSError:
            return None

    def run(self, name: str) -> Path | None:
        """The run-cache entry of this name, if it is here."""
        path = self.cache / name
        return path if path.is_file() else None
