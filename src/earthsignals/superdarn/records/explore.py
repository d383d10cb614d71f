"""What a folder of SuperDARN files holds: kinds, radars, times, gaps, fields and faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import Any

import numpy as np

from earthsignals.compute.mapping import ordered_map
from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.records import fitacf, gridfile
from earthsignals.superdarn.records.dmap import read_dmap_records
from earthsignals.superdarn.records.kinds import kind_of
from earthsignals.superdarn.records.netcdf import read_netcdf
from earthsignals.superdarn.records.notes import Note
from earthsignals.superdarn.records.read import files_below
from earthsignals.superdarn.records.times import iso, seconds_of

GAP_S = 600.0
"""Longer stretches without a record of a radar are told as gaps."""
HOUR_S = 3600.0
_START = tuple(f"start.{part}" for part in gridfile.CALENDAR)


@dataclass(frozen=True)
class FileFound:
    """A file of the folder."""

    name: str
    """Relative to the folder, with forward slashes."""
    kind: str
    """As `kinds.kind_of` tells; `unknown` for others."""
    records: int
    radars: tuple[int, ...]
    """Station ids, rising."""
    times: Mapping[int, np.ndarray]
    """Of each radar: float64, starts of its records, rising."""
    fields: Mapping[str, str]
    """Of the records: dtype and shape of each field, `*` where records differ."""
    faults: tuple[str, ...]

    @property
    def first_s(self) -> float | None:
        """Start of the first record, seconds since 1970-01-01 UTC."""
        return min((float(times[0]) for times in self.times.values() if len(times)), default=None)

    @property
    def last_s(self) -> float | None:
        """Start of the last one."""
        return max((float(times[-1]) for times in self.times.values() if len(times)), default=None)


@dataclass(frozen=True)
class Gap:
    """A stretch without a record of a radar, seconds since 1970-01-01 UTC."""

    stid: int
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Exploration:
    """What a folder holds."""

    folder: str
    files: tuple[FileFound, ...]
    stid: np.ndarray
    """int64 (K,), the radars, rising."""
    hours_s: np.ndarray
    """float64 (H,), starts of the hours from the first record to the last, seconds since 1970-01-01 UTC."""
    count: np.ndarray
    """int64 (K, H): records of each radar in each hour."""
    gaps: tuple[Gap, ...]

    def kinds(self) -> dict[str, int]:
        """Files by kind, in the order of the kinds' names."""
        return dict(sorted(Counter(file.kind for file in self.files).items()))

    def fields(self) -> dict[str, dict[str, str]]:
        """By kind: dtype and shape of each field, `*` where files differ."""
        merged: dict[str, dict[str, str]] = {}
        for file in self.files:
            known = merged.setdefault(file.kind, {})
            for name, shape in file.fields.items():
                known[name] = shape if known.get(name, shape) == shape else _joined(known[name], shape)
        return {kind: dict(sorted(fields.items())) for kind, fields in sorted(merged.items()) if fields}

    def to_rows(self) -> list[dict[str, Any]]:
        """A row for each file: file, kind, records, radars, first, last, faults; for a CSV."""
        return [
            {
                "file": file.name, "kind": file.kind, "records": file.records,
                "radars": " ".join(map(str, file.radars)),
                "first": "" if file.first_s is None else iso(file.first_s),
                "last": "" if file.last_s is None else iso(file.last_s),
                "faults": "; ".join(file.faults),
            }
            for file in self.files
        ]  # fmt: skip

    def to_text(self) -> str:
        """For people: a paragraph each of files, radars, gaps, fields and faults."""
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.kinds().items())
        lines = [f"{self.folder}: {len(self.files):,} files ({kinds}), "
                 f"{sum(file.records for file in self.files):,} records"]  # fmt: skip
        first = [file.first_s for file in self.files if file.first_s is not None]
        last = [file.last_s for file in self.files if file.last_s is not None]
        if first:
            lines.append(f"from {iso(min(first))} to {iso(max(last))}")
        lines += ["", "radar  records  hours with records"]
        for stid, counts in zip(self.stid, self.count, strict=True):
            lines.append(f"{_named(int(stid)):<5}  {counts.sum():7,}  {np.count_nonzero(counts):5,}")
        lines += ["", f"gaps of more than {GAP_S / 60:.0f} minutes: {len(self.gaps)}"]
        lines += [
            f"  {_named(gap.stid):<5} {iso(gap.start_s)} to {iso(gap.end_s)} "
            f"({(gap.end_s - gap.start_s) / 60:.0f} minutes)"
            for gap in self.gaps
        ]
        for kind, fields in self.fields().items():
            lines += ["", f"fields of {kind}:", *(f"  {name:<22} {shape}" for name, shape in fields.items())]
        faulty = [file for file in self.files if file.faults]
        lines += ["", f"files with faults: {len(faulty)}"]
        for file in faulty:  # some faults name their file themselves
            told = "; ".join(fault.removeprefix(f"{file.name}: ") for fault in file.faults)
            lines.append(f"  {file.name}: {told}")
        return "\n".join(lines) + "\n"


def explore(folder: str | Path) -> Exploration:
    """Read every file below `folder` (or one file) and tell what there is; nothing is changed.

    Raises EarthSignalsError where there is no file.
    """
    folder = Path(folder)
    root = folder if folder.is_dir() else folder.parent
    paths = files_below(folder)
    found = tuple(ordered_map(partial(look, root=root), paths, description="explore", unit="files"))
    times: dict[int, list[np.ndarray]] = {}
    for file in found:
        for stid, moments in file.times.items():
            times.setdefault(stid, []).append(moments)
    joined = {stid: np.unique(np.concatenate(parts)) for stid, parts in sorted(times.items())}
    hours, count = _by_hour(joined)
    return Exploration(
        folder.name, found, np.array(list(joined), np.int64), hours, count,
        tuple(gap for stid, moments in joined.items() for gap in _gaps(stid, moments)),
    )  # fmt: skip


def look(path: Path, root: Path) -> FileFound:
    """What one file holds; a fault never stops it."""
    name = path.relative_to(root).as_posix()
    kind: str | None = None
    try:
        kind = kind_of(path, name)
        return _of_netcdf(path, name) if kind == "grid-netcdf" else _of_dmap(path, name, kind)
    except EarthSignalsError as error:
        fault = str(error)
    except (ArithmeticError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        fault = f"{name}: its fields hold what no such file has ({error})"
    return FileFound(name, kind or "unknown", 0, (), {}, {}, (fault,))


def _of_dmap(path: Path, name: str, kind: str | None) -> FileFound:
    reading = read_dmap_records(path, kind if kind not in (None, "grid-ascii") else "grid", name)
    faults = [str(note) for note in reading.notes]
    if kind in ("grid", "map"):
        faults += [str(note) for note in gridfile.vectors_of(reading.records)[1]]
    times, lost = _times(reading.records, kind)
    faults += [str(Note(why, count)) for why, count in sorted(lost.items())]
    fields = _fields(reading.records)
    return FileFound(name, kind or "grid", len(reading), tuple(times), times, fields, tuple(faults))


def _of_netcdf(path: Path, name: str) -> FileFound:
    import netCDF4

    vectors, notes = read_netcdf(path, name)
    with netCDF4.Dataset(path) as file:
        fields = {key: f"{variable.dtype} (*)" for key, variable in file.variables.items()}
    starts = np.unique(vectors.start_s)
    radars = tuple(sorted({int(stid) for stid in vectors.stid}))
    times = {stid: np.unique(vectors.start_s[vectors.stid == stid]) for stid in radars}
    return FileFound(
        name, "grid-netcdf", len(starts), radars, times, fields, tuple(str(note) for note in notes)
    )


def _times(
    records: list[dict[str, Any]], kind: str | None
) -> tuple[dict[int, np.ndarray], Counter[str]]:
    """Starts of each radar's records; how many records tell no possible radar or time, by reason. Times of
    grid and map records are `gridfile`'s to count.
    """
    times: dict[int, list[float]] = {}
    lost: Counter[str] = Counter()
    for record in records:
        gridded = kind in ("grid", "map")
        moment = seconds_of(record, _START) if gridded else fitacf.moment_of(record)
        radars = _radars(record["stid"])
        if radars is None or not gridded and len(radars) != 1:
            lost["records without a possible radar"] += 1
        elif moment is not None:
            for stid in _seen(record, radars) if gridded else radars:
                times.setdefault(stid, []).append(moment)
        elif not gridded:
            lost["records without a possible time"] += 1
    return {stid: np.unique(times[stid]) for stid in sorted(times)}, lost


def _radars(stid: Any) -> list[int] | None:
    """Station ids of a record; None where one of them is no number of a radar."""
    numbers = np.asarray(stid).ravel()
    if numbers.dtype.kind not in "iuf":
        return None
    possible = (numbers >= 0) & (numbers <= np.iinfo(np.int16).max) & (numbers == np.floor(numbers))
    return [int(number) for number in numbers.tolist()] if possible.all() else None


def _seen(record: Mapping[str, Any], radars: list[int]) -> list[int]:
    """Those of a grid record's radars that saw anything; all where that cannot be told."""
    counts = np.asarray(record["nvec"]).ravel()
    if counts.dtype.kind not in "iuf" or len(counts) != len(radars):
        return radars
    return [stid for stid, count in zip(radars, counts.tolist(), strict=True) if count > 0]


def _fields(records: list[dict[str, Any]]) -> dict[str, str]:
    seen: dict[str, dict[Any, None]] = {}
    for record in records:
        for name, value in record.items():
            array = isinstance(value, np.ndarray)
            seen.setdefault(name, {})[(value.dtype, value.shape) if array else (type(value), None)] = None
    return {name: reduce(_joined, map(_told, seen[name])) for name in sorted(seen)}


def _told(dtype_and_shape: tuple[Any, tuple[int, ...] | None]) -> str:
    dtype, shape = dtype_and_shape
    return dtype.__name__ if shape is None else f"{dtype} ({', '.join(map(str, shape))})"


def _joined(one: str, other: str) -> str:
    """Two fields' dtype and shape, with `*` for what differs."""
    first, second = one.partition(" ")[0], other.partition(" ")[0]
    return f"{first if first == second else '*'} (*)" if " " in one + other else "*"


def _by_hour(times: Mapping[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    if not times:
        return np.zeros(0), np.zeros((0, 0), np.int64)
    first = np.floor(min(moments[0] for moments in times.values()) / HOUR_S)
    last = np.floor(max(moments[-1] for moments in times.values()) / HOUR_S)
    hours = np.arange(first, last + 1)
    rows = [np.bincount((np.floor(m / HOUR_S) - first).astype(np.int64), minlength=len(hours))
            for m in times.values()]  # fmt: skip
    return hours * HOUR_S, np.stack(rows).astype(np.int64)


def _gaps(stid: int, moments: np.ndarray) -> list[Gap]:
    steps = np.diff(moments)
    return [Gap(stid, float(moments[i]), float(moments[i + 1])) for i in np.flatnonzero(steps > GAP_S)]


def _named(stid: int) -> str:
    from earthsignals.superdarn.stations import station

    try:
        return station(stid).code
    except EarthSignalsError:
        return str(stid)
