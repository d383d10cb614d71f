"""Reading DMAP files: whole, compressed, cut off or damaged.

pydarnio reads the records; what it leaves open is done here: bytes that it could not use are counted instead
of passed over, a damaged record does not take those after it along, half a bzip2 file gives the half that is
there, and records that lack a field are told by its name.
"""

from __future__ import annotations

import bz2
import re
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earthsignals.superdarn.records.notes import Note, Unusable

REQUIRED = {
    "fitacf": ("stid", "time.yr", "bmnum", "nrang", "frang", "rsep", "tfreq"),
    "rawacf": ("stid", "time.yr", "bmnum", "nrang"),
    "grid": ("start.year", "end.year", "stid", "channel", "nvec"),
    "map": ("start.year", "end.year", "stid", "channel", "nvec", "fit.order", "latmin", "hemisphere", "N+2"),
    "iqdat": ("stid", "time.yr"),
    "snd": ("stid", "time.yr"),
}
"""Fields that every record of a kind has, echoes or not."""
LARGEST_BYTES = 4 << 30
"""Of a decompressed file: more is no day of any radar."""
_MAGIC = struct.pack("<i", 65537)
_LEAST_RECORD, _LARGEST_RECORD = 16, 16 << 20
_STEP, _PART = 1 << 15, 1 << 24
"""Bytes into the decompressor, and at most out of it, at a time."""
_MOST_FAILURES = 1000
"""Of places that look like a record and are none: a file with more of them is given up."""
_TOO_LARGE = "too large"
_OLD_ASCII = re.compile(rb"\s*(\d{4})(\s+\d{1,2}){4}\s+[\d.]+\s+(\d{4})(\s+\d{1,2}){4}\s+[\d.]+\s*\r?\n")


@dataclass(frozen=True)
class Reading:
    """The good records of a file, and what was wrong with the rest."""

    records: list[dict[str, Any]]
    notes: tuple[Note, ...]

    def __len__(self) -> int:
        return len(self.records)


def read_dmap_records(source: str | Path | bytes, kind: str, name: str | None = None) -> Reading:
    """The records of a DMAP file of that `kind` (a key of `REQUIRED`), decompressed where it is bzip2.

    source: a path, or the file's bytes; name: what messages call it (default: the path).

    Damage is counted in `notes` (`bytes of damaged records`, `truncated bzip2`, `bytes after the compressed
    stream`, `records without …`) and the good records are kept. Raises Unusable for a file that cannot be
    opened, is empty or of another format or kind, or holds no good record at all.
    """
    name = _name(source, name)
    data, notes = _content(source, name)
    if is_old_ascii(data):
        raise Unusable(
            "ASCII of the years before DMAP",
            f"{name}: an ASCII grid file of the years before DMAP, which pydarnio passes over in silence; "
            "convert it to DMAP (RST's gridtogrdmap) or take the newer file from the archive",
        )
    found, unusable = _parse(data)
    if unusable:
        notes.append(Note("bytes of damaged records", unusable, f"of {len(data):,}"))
    if not found:
        raise Unusable(*_nothing(name, data, notes))
    records, lacking = _complete(found, kind)
    if not records:
        other = kind_of_record(found[0])
        if other is not None and other != kind:
            raise Unusable(
                "another kind", f"{name}: not a {kind} file but one of {other} records; name a {kind} file"
            )
        raise Unusable(
            "missing fields",
            f"{name}: every one of its {len(found):,} records lacks a field that {kind} records have "
            f"({', '.join(sorted(lacking))}); write the file anew from its source",
        )
    notes += [Note(f"records without {field}", count) for field, count in sorted(lacking.items())]
    return Reading(records, tuple(notes))


def kind_of_record(record: dict[str, Any]) -> str | None:
    """What kind of record it is, by its fields; None for none of SuperDARN's."""
    for kind, marks in (
        ("map", ("start.year", "N+2")), ("map", ("start.year", "fit.order")),
        ("grid", ("start.year", "nvec")),
        ("iqdat", ("iqdata.revision.major",)), ("snd", ("snd.revision.major",)),
        ("fitacf", ("fitacf.revision.major",)), ("rawacf", ("rawacf.revision.major",)),
        ("fitacf", ("time.yr", "v")), ("rawacf", ("time.yr", "acfd")),
    ):  # fmt: skip
        if all(mark in record for mark in marks):
            return kind
    return None


def is_old_ascii(data: bytes) -> bool:
    """Does it begin with the two times and the counts of an ASCII grid file?"""
    return _OLD_ASCII.match(data[:200]) is not None


def decompressed(data: bytes, limit: int = LARGEST_BYTES) -> tuple[bytes, Note | None]:
    """What a bzip2 file holds, as far as it can be had, and what was wrong with it (None: nothing).

    Bytes that are not bzip2 come back as they are. Several streams in a row (pbzip2) are joined; what follows
    the last and is none is counted. At most about `limit` bytes are made.
    """
    parts: list[bytes] = []
    made, at = 0, 0

    def stopped(reason: str) -> tuple[bytes, Note]:
        return b"".join(parts), Note(reason, 1, f"{made:,} bytes could be had")

    while data.startswith(b"BZh", at):
        machine = bz2.BZ2Decompressor()
        try:
            while not machine.eof:
                if made > limit:
                    return stopped(_TOO_LARGE)
                if machine.needs_input and at >= len(data):
                    return stopped("truncated bzip2")
                # In small steps: where bytes are damaged, what the step before gave is had already.
                step = data[at : at + _STEP] if machine.needs_input else b""
                at += len(step)
                parts.append(machine.decompress(step, max_length=min(_PART, limit - made + 1)))
                made += len(parts[-1])
        except (OSError, ValueError):
            return stopped("damaged bzip2")
        at -= len(machine.unused_data)
    if not at:
        return data, None
    left = len(data) - at
    return b"".join(parts), Note("bytes after the compressed stream", left) if left else None


def first_record(data: bytes) -> dict[str, Any] | None:
    """The first record of decompressed bytes, or None where there is none that can be read."""
    return next((record for record, _ in _one_by_one(data)), None)


def open_bytes(source: str | Path) -> bytes:
    """A file's bytes; raises Unusable where it cannot be read."""
    check_regular(source)
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise cannot_be_read(source, error) from None


def check_regular(path: str | Path, name: str | None = None) -> int:
    """The size of the file in bytes. Raises Unusable where there is none, or no regular one: to open a pipe
    would wait for ever.
    """
    try:
        found = Path(path).stat()
    except (OSError, ValueError) as error:
        raise cannot_be_read(name or path, error) from None
    if not stat.S_ISREG(found.st_mode):
        raise Unusable(
            "no regular file",
            f"{name or path}: no regular file but a folder, a pipe or a device; give the path of a SuperDARN "
            "file",
        )
    return found.st_size


def cannot_be_read(name: str | Path, error: Exception) -> Unusable:
    """The sentence of a file that cannot be opened."""
    why = getattr(error, "strerror", None) or error
    return Unusable(
        "cannot be opened", f"{name}: cannot be read ({why}); give the path of a SuperDARN file"
    )


def _name(source: str | Path | bytes, name: str | None) -> str:
    return name or ("bytes" if isinstance(source, bytes) else str(source))


def _content(source: str | Path | bytes, name: str) -> tuple[bytes, list[Note]]:
    raw = source if isinstance(source, bytes) else open_bytes(source)
    if not raw:
        raise Unusable("empty", f"{name}: the file is empty; fetch it again")
    data, fault = decompressed(raw)
    if fault is not None and fault.reason == _TOO_LARGE:
        raise Unusable(
            "too large",
            f"{name}: decompresses to more than {LARGEST_BYTES >> 30} GiB, which no day of records does; "
            "check where it comes from",
        )
    return data, [fault] if fault else []


def _nothing(name: str, data: bytes, notes: list[Note]) -> tuple[str, str]:
    """Reason and sentence of a file without a single good record."""
    broken = [note.reason for note in notes if "bzip2" in note.reason]
    if not data and broken:
        return broken[0], f"{name}: a {broken[0]} file of which nothing can be had; fetch it again"
    if _MAGIC not in data[:_LEAST_RECORD]:
        return "no SuperDARN file", (
            f"{name}: no SuperDARN file; expected fitacf, rawacf, grid or map records (DMAP, bzip2 or not), "
            "or a grid netCDF file"
        )
    return "zero records", (
        f"{name}: zero records can be read from its {len(data):,} bytes, all are damaged; fetch it again"
    )


def _parse(data: bytes) -> tuple[list[dict[str, Any]], int]:
    """The records of decompressed bytes, and how many bytes gave none."""
    whole = _call(data)
    if whole is not None:
        return whole, 0
    records, used = [], 0
    for record, length in _one_by_one(data):
        records.append(record)
        used += length
    return records, len(data) - used


def _one_by_one(data: bytes) -> Iterator[tuple[dict[str, Any], int]]:
    """Each record that can be read, with its length in bytes, by the records' own headers: a code and a
    length. After a damaged one it goes on at the next bytes that look like a record and can be read as one.
    """
    failures, start = 0, data.find(_MAGIC)
    while 0 <= start <= len(data) - _LEAST_RECORD and failures < _MOST_FAILURES:
        (length,) = struct.unpack_from("<i", data, start + 4)
        found = None
        if _LEAST_RECORD <= length <= min(_LARGEST_RECORD, len(data) - start):
            found = _call(data[start : start + length])
        if found:
            yield found[0], length
            start = data.find(_MAGIC, start + length)
        else:
            failures += 1
            start = data.find(_MAGIC, start + 1)


def _call(data: bytes) -> list[dict[str, Any]] | None:
    """pydarnio's records of `data`; None where any byte was left over."""
    import pydarnio

    if len(data) < _LEAST_RECORD:
        return None
    try:
        records, bad_byte = pydarnio.read_dmap(data, mode="lax")
    except (OSError, ValueError, OverflowError, MemoryError):
        return None
    except BaseException as error:  # a panic of its Rust code derives from BaseException alone
        if type(error).__name__ != "PanicException":
            raise
        return None
    return records if bad_byte is None and records else None


def _complete(
    found: list[dict[str, Any]], kind: str
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The records that have every field of the kind; how many lack each of the others."""
    records, lacking = [], {}
    for record in found:
        missing = [field for field in REQUIRED[kind] if field not in record]
        for field in missing:
            lacking[field] = lacking.get(field, 0) + 1
        if not missing:
            records.append(record)
    return records, lacking
