"""What a user points at, as records: files and folders in any mixture, refusals collected on the way."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from obspy import Inventory

from earthsignals.compute.mapping import progress
from earthsignals.seismic.params import ReadingParams
from earthsignals.seismic.records.folder import FileEntry, find_files, group_files
from earthsignals.seismic.records.read import read_stations
from earthsignals.seismic.records.record import Record, RefusedRecord
from earthsignals.seismic.records.refused import Refusal, count_reasons, write_refused
from earthsignals.seismic.records.resampling import resample
from earthsignals.seismic.records.response import read_inventory
from earthsignals.storage import EarthSignalsError


@dataclass(frozen=True)
class Source:
    """A file, or the files of one component each that belong together."""

    entry: FileEntry
    name: Path
    """Name of results without suffix, relative to the folder of results; no two sources share one."""


@dataclass(frozen=True)
class Recording:
    """One record twice: as the file has it, and at the rate that the model works at."""

    source: Source
    native: Record
    record: Record

    def at_native_rate(self, waveform: np.ndarray) -> np.ndarray:
        """A waveform (3, n) at the model's rate, (3, native samples) float32 at the file's own.

        What a faster file holds above half of the model's rate is not in the result.
        """
        if waveform.shape[1] == self.native.samples:
            return waveform
        found = resample(
            waveform.astype(np.float64), self.record.sampling_rate_hz, self.native.sampling_rate_hz,
            self.native.path,
        )  # fmt: skip
        missing = max(self.native.samples - found.shape[1], 0)
        return np.pad(found, ((0, 0), (0, missing)))[:, : self.native.samples].astype(np.float32)


@dataclass
class Inputs:
    """Everything below the given paths; `refused` fills while `recordings` is walked through."""

    sources: list[Source]
    reading: ReadingParams
    rate_hz: float
    refused: list[Refusal] = field(default_factory=list)
    used: int = 0
    """Records handed out."""

    @classmethod
    def of(cls, paths: str | Path | Sequence[str | Path], reading: ReadingParams, rate_hz: float) -> Inputs:
        """Find the files. Raises EarthSignalsError for a path that is missing or holds no waveforms."""
        given = [paths] if isinstance(paths, str | Path) else list(paths)
        if not given:
            raise EarthSignalsError("no input was given: pass a waveform file or a folder of them")
        return cls(list(_sources([Path(path) for path in given])), reading, rate_hz)

    @property
    def files(self) -> list[Path]:
        """Every file that will be read."""
        return [path for source in self.sources for path in source.entry.files]

    def recordings(self, description: str) -> Iterator[Recording]:
        """Every usable record, in the order of sources, with progress over files.

        Raises EarthSignalsError at the end if there was none.
        """
        with progress(description, len(self.sources), "files") as bar:
            for source in self.sources:
                for native in self._read(source):
                    try:
                        record = _at_rate(native, self.rate_hz)
                    except RefusedRecord as error:
                        self.refused.append(Refusal.of(error))
                        continue
                    self.used += 1
                    yield Recording(source, native, record)
                bar.advance()
        if not self.used:
            reason = self.refused[0]
            raise EarthSignalsError(
                f"none of {len(self.sources)} files holds a usable record ({self._reasons()}); the first, "
                f"{reason.file}: {reason.detail}"
                if len(self.sources) > 1
                else f"{reason.file}: {reason.detail}"
            )

    def _read(self, source: Source) -> list[Record]:
        try:
            inventory = stations_near(source.entry.path) if self.reading.response == "remove" else None
            return read_stations(
                source.entry, self.reading, None, inventory=inventory, refused=self.refused
            )
        except RefusedRecord:  # it is in the list already
            return []

    def report(self, path: Path) -> str:
        """Write the refusals to `path`, if there are any; a clause for people, or an empty text.

        A report of an earlier run is removed where there is nothing to refuse.
        """
        if not self.refused:
            path.unlink(missing_ok=True)
            return ""
        try:
            write_refused(path, self.refused)
        except OSError as error:
            raise EarthSignalsError(
                f"{path}, the list of what was refused, cannot be written ({error.strerror}): make its "
                "folder writable, or choose another place for the results (--output)"
            ) from None
        return f"; {len(self.refused)} refused ({self._reasons()}), see {path}"

    def _reasons(self) -> str:
        return ", ".join(f"{count} {reason}" for reason, count in count_reasons(self.refused).items())


def stations_near(path: Path) -> Inventory | None:
    """The StationXML beside a file, or one folder above it, as in `<folder>/HH/<record>.mseed`."""
    for folder in path.absolute().parents[:2]:
        if (found := _inventory(folder)) is not None:
            return found
    return None


@lru_cache(maxsize=8)
def _inventory(folder: Path) -> Inventory | None:
    return read_inventory(folder)


def refuse_inside(out: Path, paths: str | Path | Sequence[str | Path]) -> None:
    """Raise EarthSignalsError where results would lie within a folder of inputs, to be read the next time."""
    for path in [paths] if isinstance(paths, str | Path) else paths:
        path = Path(path)
        if os.path.isdir(path) and out.resolve().is_relative_to(path.resolve()):
            raise EarthSignalsError(
                f"{out} lies inside the input folder {path}, where the next run would take results for "
                "records: choose another folder for the results (--output)"
            )


def _sources(paths: list[Path]) -> Iterator[Source]:
    taken: set[Path] = set()
    for inner, entry in _entries(paths):
        name, count = inner.with_suffix(""), 1
        while name in taken:  # a.sac beside a.mseed, or the same name in two folders
            count += 1
            name = inner.with_name(f"{inner.stem}_{count}")
        taken.add(name)
        yield Source(entry, name)


def _entries(paths: list[Path]) -> Iterator[tuple[Path, FileEntry]]:
    """Entries in the order given, with their paths below the folder given; files of one record become one."""
    for path in paths:
        _require(path)
    single = list(dict.fromkeys(path for path in paths if not path.is_dir()))
    together = {file: entry for entry in group_files(iter(single)) for file in entry.files}
    seen: set[Path] = set()
    for path in paths:
        if path in together:
            entry = together[path]
            if entry.path not in seen:
                seen.add(entry.path)
                yield Path(entry.path.name), entry
            continue
        for entry in find_files(path, None):
            yield entry.path.relative_to(path), entry


def _require(path: Path) -> None:
    try:
        path.stat()
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        reason = "does not exist" if missing else f"cannot be read ({error.strerror})"
        raise EarthSignalsError(
            f"{path} {reason}; expected a waveform file (miniSEED or SAC), or a folder of them"
        ) from None


def _at_rate(native: Record, rate_hz: float) -> Record:
    """The record at `rate_hz`. Raises RefusedRecord `rate` where that is too far from its own."""
    waveform = resample(native.waveform, native.sampling_rate_hz, rate_hz, native.path)
    if waveform is native.waveform:
        return native
    scale = waveform.shape[1] / native.samples
    valid = tuple(round(edge * scale) for edge in native.valid)
    return replace(native, waveform=waveform.astype(np.float32), sampling_rate_hz=rate_hz, valid=valid)
