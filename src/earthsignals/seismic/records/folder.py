"""Which files of a folder belong to which record, told by their names alone: no file is opened here.

The layout is `{KIND}/{event}_{station}_{KIND}.mseed`, one file of three traces a record. Other names are
taken as well, and what they do not tell the headers do. Files of one component each (SAC as a rule) form one
record if their names differ in the letter of the component alone: `XX.ABC.BHE.SAC`, `XX.ABC.BHN.SAC`, ….
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from earthsignals.storage import EarthSignalsError, is_partial

SUFFIXES = (".mseed", ".miniseed", ".ms", ".msd", ".sac")
"""Of waveform files, in any case."""

_LAYOUT = re.compile(r"^(?P<event>.+)_(?P<station>[A-Za-z0-9.-]+)_(?P<kind>[A-Z]{2})$")
_CHANNEL = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]{2})([ENZenz123])(?![A-Za-z0-9])")
_LETTER = re.compile(r"(?<![A-Za-z0-9])()([ENZenz])(?![A-Za-z0-9])")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """The file, or the files of one component each, of a record; empty texts where the names do not tell."""

    path: Path
    """The file, the first one by name if there are several."""
    kind: str = ""
    event: str = ""
    station: str = ""
    paths: tuple[Path, ...] = ()
    """All files of the record."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the record, at least `path`."""
        return self.paths or (self.path,)


def entry_of(path: str | Path) -> FileEntry:
    """What the name of a single file tells."""
    path = Path(path)
    match = _LAYOUT.match(path.stem)
    if match:
        return FileEntry(path, match["kind"], match["event"], match["station"], (path,))
    channel = list(_CHANNEL.finditer(path.name))
    return FileEntry(path, kind=channel[-1][1].upper() if channel else "", paths=(path,))


def find_files(folder: str | Path, channels: Sequence[str] | None) -> list[FileEntry]:
    """Records by their files in `folder` and below it, in the order of their paths.

    channels: kinds to keep (`HH`, …), None for all; files whose names do not tell a kind are kept. A path
    that is a file gives that file alone, whatever its name. Hidden and half-written files do not count.

    Raises EarthSignalsError if the folder or one below it cannot be read, or holds no waveform file.
    """
    folder = Path(folder)
    if folder.is_file():
        return [entry_of(folder)]
    if not folder.is_dir():
        raise EarthSignalsError(
            f"{folder} is no folder; expected one with waveform files ({', '.join(SUFFIXES)}), in the layout "
            "{KIND}/{event}_{station}_{KIND}.mseed or any other"
        )
    entries = group_files(_walk(folder))
    if not entries:
        raise EarthSignalsError(
            f"{folder} holds no waveform file, in itself or below; expected names that end in "
            f"{', '.join(SUFFIXES)}"
        )
    if channels is None:
        return entries
    return [entry for entry in entries if not entry.kind or entry.kind in channels]


def _walk(folder: Path) -> Iterator[Path]:
    """Waveform files in the order of their paths; links to folders are followed, each folder once."""

    def refuse(error: OSError) -> None:
        said = error.strerror or str(error)
        raise EarthSignalsError(
            f"{error.filename or folder} cannot be listed ({said}); make it readable"
        ) from None

    seen = {os.path.realpath(folder)}
    for root, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        kept = []
        for name in sorted(folders):
            real = os.path.realpath(os.path.join(root, name))
            if not name.startswith(".") and real not in seen:
                seen.add(real)
                kept.append(name)
        folders[:] = kept
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES) and not name.startswith(".") and not is_partial(name):
                yield Path(root, name)


def group_files(paths: Iterator[Path]) -> list[FileEntry]:
    """Entries of single files, and of files that differ in their component's letter alone."""
    groups: dict[tuple, dict[str, Path]] = {}
    for path in paths:
        key, component = _component_key(path)
        group = groups.setdefault(key, {})
        if component in group:  # `.1.` beside `.N.`: no triple, files of their own
            groups[(path,)] = {"": path}
        else:
            group[component] = path
    entries = []
    for group in groups.values():
        files = tuple(sorted(group.values()))
        first = entry_of(files[0])
        entries.append(
            first if len(files) == 1 else FileEntry(first.path, first.kind, first.event, first.station, files)
        )
    return sorted(entries, key=lambda entry: entry.path)


def _component_key(path: Path) -> tuple[tuple, str]:
    """What the names of a record's files have in common, and the letter in which this one differs."""
    if not _LAYOUT.match(path.stem):
        for pattern in (_CHANNEL, _LETTER):
            matches = list(pattern.finditer(path.name))
            if matches:
                start, stop = matches[-1].span(2)
                return (path.parent, path.name[:start], path.name[stop:]), path.name[start:stop].upper()
    return (path,), ""
