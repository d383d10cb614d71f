"""fitacf files of one window of time together, and the convection maps beside them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from earthsignals.compute.mapping import ordered_map
from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.records.dmap import read_dmap_records
from earthsignals.superdarn.records.explore import look
from earthsignals.superdarn.records.gridfile import CALENDAR
from earthsignals.superdarn.records.kinds import kind_of
from earthsignals.superdarn.records.read import files_below
from earthsignals.superdarn.records.times import EPOCH, seconds_of
from earthsignals.superdarn.stations import station


@dataclass(frozen=True)
class FileList:
    """The files that hold records of a window, whole or in part."""

    start: dt.datetime
    """UTC; windows follow each other from midnight of 1970-01-01."""
    end: dt.datetime
    files: tuple[Path, ...]
    """In the order of their names."""
    radars: tuple[int, ...]
    """Station ids with a record in the window, rising; a radar in several files counts once."""


class FileLists(list[FileList]):
    """Lists in the order of time, and what gave none."""

    too_few: int = 0
    """Windows with records of fewer radars than asked for."""
    refused: dict[str, str]
    """File → why it could not be read; files of other kinds are left alone."""


def fitacf_to_filelists(folder: str | Path, window_minutes: float, min_radars: int = 1) -> FileLists:
    """Group the fitacf files below `folder` by windows of `window_minutes`, by the times of their records.

    Windows with records of fewer than `min_radars` radars are left out and counted.
    Raises EarthSignalsError where there is no fitacf file, or for a window or a number below 1.
    """
    if not window_minutes >= 1 or min_radars < 1:
        raise EarthSignalsError(
            f"fitacf_to_filelists: windows of {window_minutes:g} minutes with {min_radars} radars cannot be "
            "made; expected at least 1 of each"
        )
    folder = Path(folder)
    paths = files_below(folder)
    root = folder if folder.is_dir() else folder.parent
    found = list(ordered_map(partial(look, root=root), paths, description="filelists", unit="files"))
    length = window_minutes * 60.0
    windows: dict[int, tuple[set[Path], set[int]]] = {}
    lists = FileLists()
    lists.refused = {
        file.name: "; ".join(file.faults) for file in found
        if file.faults and not (file.times if file.kind == "fitacf" else file.records)
    }  # fmt: skip
    for path, file in zip(paths, found, strict=True):
        if file.kind != "fitacf":
            continue
        for stid, moments in file.times.items():
            for number in np.unique(np.floor(moments / length)).astype(int).tolist():
                files, radars = windows.setdefault(number, (set(), set()))
                files.add(path)
                radars.add(stid)
    if not windows:
        raise EarthSignalsError(
            f"{folder}: no readable fitacf file below it; expected fitacf files, bzip2 or not"
        )
    for number in sorted(windows):
        files, radars = windows[number]
        if len(radars) < min_radars:
            lists.too_few += 1
            continue
        start = EPOCH + dt.timedelta(seconds=number * length)
        lists.append(
            FileList(start, start + dt.timedelta(seconds=length), tuple(sorted(files)), tuple(sorted(radars)))
        )
    return lists


def conv_maps_for(
    filelists: Sequence[FileList], folder: str | Path | None = None
) -> list[Path | None]:
    """For each list the map file (CONVMAP) that tells of its window and hemisphere, or None.

    folder: where maps lie; None: beside the lists' own files. Maps are known by what they hold, whatever
    their names; of several, the one with most records in the window, then the first by name. The hemisphere
    is that of most of the list's radars.
    """
    folders = {file.parent for each in filelists for file in each.files} if folder is None else {Path(folder)}
    maps = [found for path in _candidates(folders) if (found := _map_at(path)) is not None]
    return [_best(each, maps) for each in filelists]


@dataclass(frozen=True)
class _Map:
    path: Path
    hemisphere: int
    starts: np.ndarray


def _candidates(folders: Iterable[Path]) -> list[Path]:
    found: set[Path] = set()
    for folder in folders:
        found |= set(files_below(folder))
    return sorted(found)


def _map_at(path: Path) -> _Map | None:
    """The map file at `path`; None where it is none or cannot be read."""
    try:
        if kind_of(path) != "map":
            return None
        records = read_dmap_records(path, "map").records
        sign = 1 if int(records[0]["hemisphere"]) >= 0 else -1
    except (EarthSignalsError, OverflowError, TypeError, ValueError):
        return None
    starts = [seconds_of(record, tuple(f"start.{part}" for part in CALENDAR)) for record in records]
    return _Map(path, sign, np.array([start for start in starts if start is not None], np.float64))


def _best(wanted: FileList, maps: Sequence[_Map]) -> Path | None:
    north = sum(_is_northern(stid) for stid in wanted.radars)
    sign = 1 if 2 * north >= len(wanted.radars) else -1
    start, end = ((moment - EPOCH).total_seconds() for moment in (wanted.start, wanted.end))
    best, most = None, 0
    for each in maps:
        inside = int(np.count_nonzero((each.starts >= start) & (each.starts < end)))
        if each.hemisphere == sign and inside > most:
            best, most = each.path, inside
    return best


def _is_northern(stid: int) -> bool:
    try:
        return station(stid).hemisphere == "north"
    except EarthSignalsError:
        return True
