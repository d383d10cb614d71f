"""A map that grows on disk strip by strip, and survives being killed.

A hidden folder holds the binary as far as it is (`map.img`) and a journal of the finished blocks with a
checksum of each. A later run with the same key (same image, model, mode and cut) checks them, computes
the missing ones and ends with the same bytes as a run that was never broken. Another key starts anew.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from earthsignals.plume.saliency.strips import Block
from earthsignals.storage import EarthSignalsError, write_json

NODATA = np.float32(-9999.0)
_JOURNAL_SECONDS = 0.5  # a kill loses what was finished within them, at most


class PartialMap:
    """An unfinished map of float32 (lines, samples); made by `open_partial`.

    `missing` are the numbers of the blocks still to do, `restarted` says that what lay there had
    another key or was damaged.
    """

    def __init__(self, folder: Path, shape: tuple[int, int], blocks: Sequence[Block], key: str) -> None:
        self.folder, self.path = folder, folder / "map.img"
        self.shape, self.blocks, self.key = shape, blocks, key
        self._journal = folder / "journal.json"
        self._sums: dict[int, int] = {}
        self._saved = 0.0
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._claim()
            self._sums, self.restarted = self._finished()
            self._reserve()
        except BaseException:
            self.close()
            raise

    @property
    def missing(self) -> list[int]:
        return [number for number in range(len(self.blocks)) if number not in self._sums]

    def write(self, number: int, values: np.ndarray) -> None:
        """Put block `number` (h, w) into its place; NaN becomes −9999."""
        block = self.blocks[number]
        values = np.where(np.isnan(values), NODATA, values).astype("<f4", copy=False)
        for row, line in enumerate(values):
            os.pwrite(self._file, line.tobytes(), self._offset(block.top + row, block.left))
        self._sums[number] = zlib.crc32(values.tobytes())
        if time.monotonic() - self._saved > _JOURNAL_SECONDS:
            self.save()

    def read(self, block: Block) -> np.ndarray:
        """Float32 (h, w) as it lies in the file, −9999 where invalid."""
        bytes_per_row = 4 * block.shape[1]
        rows = [
            os.pread(self._file, bytes_per_row, self._offset(row, block.left))
            for row in range(block.top, block.bottom)
        ]
        return np.frombuffer(b"".join(rows), "<f4").reshape(block.shape)

    def save(self) -> None:
        """Bring the journal up to date."""
        sums = {str(number): value for number, value in sorted(self._sums.items())}
        write_json(self._journal, {"key": self.key, "finished": sums})
        self._saved = time.monotonic()

    def flush(self) -> None:
        """Everything written reaches the disk."""
        os.fsync(self._file)

    def close(self) -> None:
        os.close(self._file)

    def discard(self) -> None:
        """Remove the folder, and the hidden one above it once that is empty."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):
            self.folder.parent.rmdir()

    def _offset(self, row: int, column: int) -> int:
        return 4 * (row * self.shape[1] + column)

    def _claim(self) -> None:
        """One process per map; the lock ends with the process, however it ends."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EarthSignalsError(
                f"another process is writing this map right now (it holds {self.path}): wait for it, or "
                "choose another output folder"
            ) from None

    def _finished(self) -> tuple[dict[int, int], bool]:
        """Checksums of the blocks whose bytes are what the journal says, and whether all is void."""
        try:
            journal = json.loads(self._journal.read_text(encoding="utf-8"))
            key, sums = journal["key"], {int(n): int(v) for n, v in journal["finished"].items()}
        except FileNotFoundError:
            return {}, False
        except (ValueError, KeyError, TypeError, AttributeError):
            return {}, True
        if key != self.key:
            return {}, True
        if os.fstat(self._file).st_size != self._offset(self.shape[0], 0):
            return {}, True
        whole = {
            number: value
            for number, value in sums.items()
            if number < len(self.blocks) and zlib.crc32(self.read(self.blocks[number]).tobytes()) == value
        }
        return whole, False

    def _reserve(self) -> None:
        """Claim the room on the disk now: better a refusal at the start than after hours."""
        size = self._offset(self.shape[0], 0)
        os.ftruncate(self._file, size)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._file, 0, size)


@contextmanager
def open_partial(
    folder: Path, shape: tuple[int, int], blocks: Sequence[Block], key: str
) -> Iterator[PartialMap]:
    """The unfinished map in `folder`, made if need be; on leaving its journal is up to date.

    Raises EarthSignalsError when the folder cannot be written, the disk is too small for the map, or
    another process is at it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = PartialMap(folder, shape, blocks, key)
    except OSError as error:
        raise EarthSignalsError(
            f"{folder.parent.parent} cannot take a map of {4 * shape[0] * shape[1] / 1e6:,.0f} MB "
            f"({error.strerror}): choose another folder with --output, or make room"
        ) from None
    try:
        yield partial
    finally:
        if partial.folder.is_dir():
            partial.save()
        partial.close()
