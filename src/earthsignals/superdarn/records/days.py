"""Files of any kind and cut to daily grid files: each file is read once, each day is written once.

A file's vectors go to pieces on disk, by day and hemisphere, and the pieces of a day to its file, so memory
holds one file and one day at a time, however many there are. Where files tell of the same vector (the same
start, radar, channel and cell), that of the better kind is kept: grid before netCDF before map before fitacf;
among equals, that of the file whose name comes first.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from earthsignals.compute.mapping import ordered_map
from earthsignals.remotes.bucket import Bucket, Object, ObjectError, read
from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.params import GriddingParams
from earthsignals.superdarn.records.gridfile import write_grid
from earthsignals.superdarn.records.kinds import WITH_VECTORS
from earthsignals.superdarn.records.notes import Note, Unusable, counted
from earthsignals.superdarn.records.read import Read, read_vectors
from earthsignals.superdarn.records.summary import DayFile, Refusal, Summary
from earthsignals.superdarn.records.times import day_of
from earthsignals.superdarn.records.vectors import DTYPES, Vectors

HEMISPHERES = {1: "north", -1: "south"}


@dataclass(frozen=True)
class LocalFile:
    """A file of a folder."""

    name: str
    """Relative to the folder, with forward slashes."""
    path: Path

    def read(self, params: GriddingParams) -> Read:
        """Its vectors."""
        return read_vectors(self.path, params, self.name)


@dataclass(frozen=True)
class BucketFile:
    """An object of a bucket, read without a copy that stays."""

    name: str
    """Its key."""
    bucket: Bucket
    item: Object

    def read(self, params: GriddingParams) -> Read:
        """Its vectors. Raises Unusable where this object alone cannot be had."""
        try:
            content = read(self.bucket, self.item)
        except ObjectError as error:
            raise Unusable("cannot be had from the bucket", str(error)) from None
        with tempfile.TemporaryDirectory(prefix="superdarn-") as folder:
            copy = Path(folder) / self.item.name  # netCDF files tell their radar by their name
            copy.write_bytes(content)
            return read_vectors(copy, params, self.name)


@dataclass(frozen=True)
class Piece:
    """A file's vectors of one day and hemisphere, on disk."""

    day: str
    hemisphere: str
    path: Path
    preference: tuple[int, int]
    """Place of its kind in `WITH_VECTORS`, and of its file among all."""


@dataclass(frozen=True)
class _Taken:
    """What became of one file."""

    kind: str | None
    pieces: tuple[Piece, ...]
    notes: tuple[Note, ...]
    refusal: Refusal | None


def write_days(
    files: Sequence[LocalFile | BucketFile], params: GriddingParams, out: Path, source: str
) -> Summary:
    """Write `YYYYMMDD.<hemisphere>.grid.bz2` into the folder `out`; the same bytes for any number of workers.

    Files that give nothing are told in the summary. Raises EarthSignalsError where none gives a vector, and
    for a bucket that does not answer any more.
    """
    work = out / ".pieces"
    work.mkdir()
    try:
        take = partial(_take, params=params, work=work)
        taken = list(ordered_map(take, list(enumerate(files)), description="records", unit="files"))
        refused = tuple(each.refusal for each in taken if each.refusal is not None)
        days: dict[tuple[str, str], list[Piece]] = {}
        for piece in (piece for each in taken for piece in each.pieces):
            days.setdefault((piece.day, piece.hemisphere), []).append(piece)
        if not days:
            raise EarthSignalsError(_nothing(source, len(files), refused))
        put = partial(_put, params=params, out=out)
        written = list(
            ordered_map(put, [days[key] for key in sorted(days)], description="days", unit="days")
        )
    finally:
        shutil.rmtree(work, ignore_errors=True)
    notes = [note for each in taken for note in each.notes] + [note for _, note in written]
    entries = tuple(entry for entry, _ in written)
    return Summary(
        source=source, files=entries, vectors=sum(entry.vectors or 0 for entry in entries),
        radars=tuple(sorted({stid for entry in entries for stid in entry.radars})),
        kinds=dict(sorted(Counter(each.kind for each in taken if each.kind).items())), refused=refused,
        dropped=counted(notes),
    )  # fmt: skip


def by_day(vectors: Vectors) -> Iterable[tuple[str, str, Vectors]]:
    """Vectors by the UTC day their window begins in (YYYYMMDD) and by hemisphere."""
    day, side = np.floor(vectors.start_s / 86400.0).astype(np.int64), vectors.hemisphere()
    for number, sign in np.unique(np.stack([day, side]), axis=1).T.tolist():
        chosen = (day == number) & (side == sign)
        yield day_of(number * 86400.0), HEMISPHERES[sign], vectors.take(chosen)


def _take(numbered: tuple[int, LocalFile | BucketFile], params: GriddingParams, work: Path) -> _Taken:
    number, file = numbered
    try:
        found = file.read(params)
    except Unusable as error:
        return _Taken(None, (), (), Refusal(file.name, error.reason, str(error)))
    pieces = []
    for day, hemisphere, part in by_day(found.vectors):
        path = work / f"{number}.{day}.{hemisphere}.npz"
        np.savez(path, **{name: getattr(part, name) for name in DTYPES})
        pieces.append(Piece(day, hemisphere, path, (WITH_VECTORS.index(found.kind), number)))
    refusal = None if pieces else Refusal(file.name, "no vectors", f"{file.name}: its records hold no vector")
    return _Taken(found.kind, tuple(pieces), found.notes, refusal)


def _put(pieces: list[Piece], params: GriddingParams, out: Path) -> tuple[DayFile, Note]:
    parts = []
    for piece in sorted(pieces, key=lambda piece: piece.preference):
        with np.load(piece.path, allow_pickle=False) as stored:
            parts.append(Vectors(**{name: stored[name] for name in DTYPES}))
    vectors, twice = Vectors.concatenate(parts).deduplicated()
    name = f"{pieces[0].day}.{pieces[0].hemisphere}.grid.bz2"
    write_grid(out / name, vectors, limits=params)
    windows = np.unique(np.stack([vectors.start_s, vectors.end_s]), axis=1).shape[1]
    entry = DayFile(name, len(vectors), windows, tuple(np.unique(vectors.stid).tolist()))
    return entry, Note("vectors told by several files", twice)


def _nothing(source: str, count: int, refused: Sequence[Refusal]) -> str:
    reasons = ", ".join(f"{why} {n}" for why, n in sorted(Counter(r.reason for r in refused).items()))
    first = f"; the first: {refused[0].detail}" if refused else ""
    return (
        f"{source}: none of its {count:,} files gave a vector ({reasons or 'there are none'}); expected "
        f"fitacf, grid, map or grid netCDF files somewhere below it{first}"
    )
