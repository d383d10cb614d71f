"""Grid and map files (DMAP): vectors from them, and grid files from vectors.

A record is a window of time, usually two minutes, with all vectors of all radars in it. Map files hold
the vectors that went into their fit beside the fit itself (`potential.py`); both are read alike.
"""

from __future__ import annotations

import bz2
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from earthsignals.storage import EarthSignalsError, atomic_path
from earthsignals.superdarn.cells import cell_index
from earthsignals.superdarn.params import GriddingParams
from earthsignals.superdarn.records.dmap import Reading, read_dmap_records
from earthsignals.superdarn.records.notes import Note
from earthsignals.superdarn.records.times import fields_of, seconds_of
from earthsignals.superdarn.records.vectors import Vectors

CALENDAR = ("year", "month", "day", "hour", "minute", "second")
_COLUMNS = {
    "mlat": "vector.mlat", "mlon": "vector.mlon", "kvect": "vector.kvect", "stid": "vector.stid",
    "channel": "vector.channel", "velocity": "vector.vel.median", "velocity_sd": "vector.vel.sd",
}  # fmt: skip
_OPTIONAL = {"power": "vector.pwr.median", "width": "vector.wdt.median"}
_LONGEST_WINDOW_S = 86_400.0


def read_grid(source: str | Path | bytes, name: str | None = None) -> tuple[Vectors, Reading]:
    """The vectors of a grid file, sorted, and its reading (records and notes). Raises as `dmap` does."""
    return _read(source, "grid", name)


def read_map(source: str | Path | bytes, name: str | None = None) -> tuple[Vectors, Reading]:
    """The same of a map file: the vectors that its fit was made of."""
    return _read(source, "map", name)


def _read(source: str | Path | bytes, kind: str, name: str | None) -> tuple[Vectors, Reading]:
    reading = read_dmap_records(source, kind, name)
    vectors, notes = vectors_of(reading.records)
    return vectors, Reading(reading.records, (*reading.notes, *notes))


@np.errstate(invalid="ignore", over="ignore")  # damaged numbers are sorted out, not warned of
def vectors_of(records: Iterable[Mapping[str, Any]]) -> tuple[Vectors, list[Note]]:
    """The vectors of grid or map records, sorted, and what was left out.

    Left out and counted: records whose times are none, or whose vector fields are missing or differ in
    length; vectors that `placed` leaves out. Counted and kept: records whose `nvec` do not add up to their
    vectors. Velocities are kept as they are.
    """
    columns: dict[str, list[np.ndarray]] = {}
    lost: Counter[str] = Counter()
    for record in records:
        window = _window(record)
        if window is None:
            lost["records without a possible time"] += 1
            continue
        found = _vector_columns(record)
        if isinstance(found, str):
            lost[found] += 1
            continue
        size = len(found["mlat"])
        lost["records whose nvec is not the number of their vectors"] += _told(record["nvec"]) != size
        found |= {"start_s": np.full(size, window[0]), "end_s": np.full(size, window[1])}
        for name, values in found.items():
            columns.setdefault(name, []).append(values)
    vectors, misplaced = placed({name: np.concatenate(parts) for name, parts in columns.items()})
    return vectors.sorted(), [Note(reason, count) for reason, count in lost.items() if count] + misplaced


def placed(columns: Mapping[str, np.ndarray]) -> tuple[Vectors, list[Note]]:
    """Vectors of columns (all but `index`), each in its cell. Longitudes and azimuths may be of any turn.

    Left out and counted: those without a finite place and direction, and those whose station id or channel is
    no number that an int16 holds.
    """
    if not columns:
        return Vectors.empty(), []
    mlat, mlon, kvect = (np.asarray(columns[name], np.float64) for name in ("mlat", "mlon", "kvect"))
    usable = np.ones(len(mlat), bool)
    notes = []
    for why, good in (
        ("vectors without a place or a direction",
         (np.abs(mlat) <= 90) & np.isfinite(mlon) & np.isfinite(kvect)),
        ("vectors without a possible radar", _numbers(columns["stid"]) & _numbers(columns["channel"])),
    ):  # fmt: skip
        lost = int(np.count_nonzero(usable & ~good))
        notes += [Note(why, lost)] if lost else []
        usable &= good
    kept = {name: np.asarray(values)[usable] for name, values in columns.items()}
    kept["mlon"] = _turned(mlon[usable], 0.0)
    kept["kvect"] = _turned(kvect[usable], -180.0)
    kept["index"] = cell_index(mlat[usable], kept["mlon"])
    return Vectors(**kept), notes


def write_grid(
    path: str | Path, vectors: Vectors, *, limits: GriddingParams | None = None,
    revision: tuple[int, int] = (1, 0), program_id: int = 0, frequency_khz: float = 0.0,
) -> None:  # fmt: skip
    """Write vectors as a DMAP grid file by pydarnio, atomically; bzip2 where the name ends in `.bz2`.

    One record per window (start, end), in their order, with all its radars. The same vectors give the same
    bytes, in whatever order they come; `read_grid` gives them back, sorted. limits: what the records tell
    about the selection of echoes (default: the parameters' defaults).

    Raises EarthSignalsError when there is no vector, or the disk is full.
    """
    import pydarnio

    path = Path(path)
    if not len(vectors):
        raise EarthSignalsError(f"{path}: no vector to write; a grid file holds at least one")
    head = _Head(limits or GriddingParams(), revision, program_id, frequency_khz)
    data = pydarnio.write_grid(list(_records(vectors, head)))
    with atomic_path(path) as temporary:
        temporary.write_bytes(bz2.compress(bytes(data)) if path.suffix == ".bz2" else bytes(data))


class _Head:
    """What a record tells of each of its radars."""

    def __init__(
        self, limits: GriddingParams, revision: tuple[int, int], program_id: int, frequency_khz: float
    ) -> None:
        self.integers = {
            "major.revision": revision[0], "minor.revision": revision[1], "program.id": program_id,
            "gsct": 0 if limits.ground_scatter else 1,
        }  # fmt: skip
        self.numbers = {
            "freq": frequency_khz, "noise.mean": 0.0, "noise.sd": 0.0, "v.min": 0.0,
            "v.max": limits.maximum_velocity_m_s, "p.min": limits.minimum_power_db, "p.max": 100.0,
            "w.min": 0.0, "w.max": limits.maximum_width_m_s, "ve.min": 0.0,
            "ve.max": limits.maximum_velocity_error_m_s,
        }  # fmt: skip

    def of(self, vectors: Vectors) -> dict[str, Any]:
        """The fields of the radars of a window's vectors (sorted by radar and channel)."""
        radars, counts = np.unique(np.stack([vectors.stid, vectors.channel]), axis=1, return_counts=True)
        size = radars.shape[1]
        return {
            "stid": radars[0].astype(np.int16), "channel": radars[1].astype(np.int16),
            "nvec": counts.astype(np.int16),
            **{name: np.full(size, value, np.int16) for name, value in self.integers.items()},
            **{name: np.full(size, value, np.float32) for name, value in self.numbers.items()},
        }  # fmt: skip


def _records(vectors: Vectors, head: _Head) -> Iterator[dict[str, Any]]:
    order = np.lexsort((vectors.index, vectors.channel, vectors.stid, vectors.end_s, vectors.start_s))
    vectors = vectors.take(order)
    change = (np.diff(vectors.start_s) != 0) | (np.diff(vectors.end_s) != 0)
    borders = [0, *(np.flatnonzero(change) + 1).tolist(), len(vectors)]
    has = {name: bool(np.any(np.isfinite(getattr(vectors, name)))) for name in _OPTIONAL}
    for start, stop in zip(borders[:-1], borders[1:], strict=True):
        part = vectors.take(np.arange(start, stop))
        record = fields_of(float(part.start_s[0]), "start") | fields_of(float(part.end_s[0]), "end")
        record |= head.of(part)
        record |= {field: getattr(part, name) for name, field in _COLUMNS.items()}
        record["vector.index"] = part.index
        for name, field in _OPTIONAL.items():
            if has[name]:
                record[field] = getattr(part, name)
                record[field.replace("median", "sd")] = np.zeros(len(part), np.float32)
        yield record


def _window(record: Mapping[str, Any]) -> tuple[float, float] | None:
    start = seconds_of(record, tuple(f"start.{part}" for part in CALENDAR))
    end = seconds_of(record, tuple(f"end.{part}" for part in CALENDAR))
    if start is None or end is None or not 0 < end - start <= _LONGEST_WINDOW_S:
        return None
    return start, end


def _vector_columns(record: Mapping[str, Any]) -> dict[str, np.ndarray] | str:
    """The vector fields of a record; empty ones where it saw nothing; a reason where they are unusable."""
    if not any(field in record for field in _COLUMNS.values()):
        if np.any(np.asarray(record["nvec"]) != 0):
            return "records without their vectors"
        return {name: np.zeros(0) for name in (*_COLUMNS, *_OPTIONAL)}
    missing = [field for field in _COLUMNS.values() if field not in record]
    if missing:
        return f"records without {missing[0]}"
    columns = {name: np.asarray(record[field]) for name, field in _COLUMNS.items()}
    size = columns["mlat"].shape
    for name, field in _OPTIONAL.items():
        columns[name] = np.asarray(record.get(field, np.full(size, np.nan, np.float32)))
    if len(size) != 1 or any(c.shape != size or c.dtype.kind not in "iuf" for c in columns.values()):
        return "records whose vector fields differ in length"
    return columns


def _told(nvec: Any) -> float:
    """How many vectors a record says that it has; NaN where it says nothing."""
    counts = np.asarray(nvec)
    return float(counts.sum()) if counts.dtype.kind in "iuf" else np.nan


def _numbers(values: np.ndarray) -> np.ndarray:
    """Which of them are whole numbers that the files' own int16 holds; radars are not numbered below 0."""
    values = np.asarray(values)
    return (values >= 0) & (values <= np.iinfo(np.int16).max) & (values == np.floor(values))


def _turned(degrees: np.ndarray, lowest: float) -> np.ndarray:
    """float32 degrees in [lowest, lowest + 360)."""
    turned = ((degrees - lowest) % 360.0 + lowest).astype(np.float32)
    return np.where(turned >= lowest + 360.0, np.float32(lowest), turned)
