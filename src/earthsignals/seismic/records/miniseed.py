"""miniSEED files: their records are checked one by one before a decoder sees them.

libmseed skips what it cannot read and says so, if at all, on the terminal. Here the chain of records is
walked first (SEED manual 2.4, chapter 8: fixed header of 48 bytes, blockette 1000 with the record's length),
so that a file which ends within a record, or holds foreign bytes, is refused by name and nothing is lost in
silence. Only data records go on to the decoder: control headers of full SEED and blank filling are left out.
"""

from __future__ import annotations

import struct
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from obspy import Trace
from obspy.io.mseed.core import _read_mseed  # obspy.read without its guesses: globs, URLs, archives, pickles

from earthsignals.seismic.records.record import RefusedRecord

_HEADER = 48  # bytes of the fixed header
_SHORTEST = 128  # bytes of the shortest record that SEED allows
_LONGEST = 1 << 20
_SEQUENCE = frozenset(b"0123456789 \x00")
_CODE = frozenset(range(0x20, 0x7F)) | {0}  # printable characters, or NUL for nothing
_CONTROL = b"VAST"
_BLANK = frozenset(b" \x00")


def looks_like_miniseed(data: bytes) -> bool:
    """True if a data record, or a control header of full SEED, or blank filling before one, comes first."""
    if _is_data_header(data, 0):
        return True
    return _is_control(data) or _is_blank(data)


def read_miniseed(data: bytes, path: Path) -> list[Trace]:
    """Traces of the file's bytes: contiguous pieces, in the file's order.

    Raises RefusedRecord `truncated`, `corrupt` or `no-data`.
    """
    records = _records(data, path)
    if not records:
        raise RefusedRecord(path, "no-data", "holds no data record; expected miniSEED waveforms")
    whole = len(records) == 1 and records[0] == (0, len(data))
    kept = data if whole else b"".join(data[start:stop] for start, stop in records)
    try:
        with warnings.catch_warnings(record=True) as said, _muted_callbacks():
            warnings.simplefilter("always")
            stream = _read_mseed(np.frombuffer(kept, dtype=np.int8))
    except Exception as error:  # obspy raises anything from struct.error to bare Exception
        raise RefusedRecord(path, "corrupt", f"its records cannot be decoded ({_brief(error)})") from None
    complaints = [str(warning.message) for warning in said if "ntegrity" in str(warning.message)]
    if complaints:
        # Steim records carry their first and last value: they are a checksum of what lies between.
        raise RefusedRecord(
            path, "corrupt",
            "its compressed samples do not add up to the value stated in their record "
            f"({_brief(complaints[0])})",
        )  # fmt: skip
    return list(stream)


@contextmanager
def _muted_callbacks() -> Iterator[None]:
    """Nothing on the terminal when obspy fails to decode libmseed's own message about foreign bytes."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = hook


def _records(data: bytes, path: Path) -> list[tuple[int, int]]:
    """Start and stop of the file's data records; neighbours are joined."""
    found: list[tuple[int, int]] = []
    offset = 0
    while offset < len(data):
        if not _is_data_header(data, offset):
            offset = _skip(data, offset, path)
            continue
        stop = offset + _record_length(data, offset)
        if stop > len(data):
            raise RefusedRecord(
                path, "truncated",
                f"ends at byte {len(data):,}, within a record that should end at {stop:,}; fetch it again",
            )  # fmt: skip
        if found and found[-1][1] == offset:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((offset, stop))
        offset = stop
    return found


def _skip(data: bytes, offset: int, path: Path) -> int:
    """Where the next data record begins, if only control headers and filling lie before it."""
    start = offset
    while offset < len(data) and not _is_data_header(data, offset):
        offset += _SHORTEST
    passed = data[start : min(offset, len(data))]
    if _is_control(passed) or _is_blank(passed):
        return offset
    if offset >= len(data) and start and len(passed) < _SHORTEST:
        raise RefusedRecord(
            path, "truncated",
            f"ends with {len(passed)} bytes that are no whole record; fetch the file again",
        )  # fmt: skip
    raise RefusedRecord(
        path, "corrupt",
        f"bytes {start:,} to {min(offset, len(data)):,} are no miniSEED record; fetch the file again",
    )  # fmt: skip


def _is_data_header(data: bytes, offset: int) -> bool:
    """libmseed's test of a fixed header, and that the codes are text."""
    if len(data) - offset < _HEADER or data[offset + 6] not in b"DRQM":
        return False
    head = data[offset : offset + _HEADER]
    return (
        _SEQUENCE.issuperset(head[:6]) and head[7] in _BLANK and _CODE.issuperset(head[8:20])
        and head[24] <= 23 and head[25] <= 59 and head[26] <= 60
    )  # fmt: skip


def _is_control(data: bytes) -> bool:
    """True at a control header of full SEED: volume, abbreviations, stations, time span."""
    return len(data) >= 8 and data[6] in _CONTROL and _SEQUENCE.issuperset(data[:6]) and data[7] in b" \x00*"


def _is_blank(data: bytes) -> bool:
    """True at a noise record: a sequence number, or none, and blanks where the header would be."""
    return _SEQUENCE.issuperset(data[:6]) and _BLANK.issuperset(data[6:_HEADER])


def _record_length(data: bytes, offset: int) -> int:
    """Bytes of the record at `offset`, from its blockette 1000, else from where the next one begins."""
    (year,) = struct.unpack_from(">H", data, offset + 20)
    order = ">" if 1900 <= year <= 2100 else "<"
    (blockette,) = struct.unpack_from(f"{order}H", data, offset + 46)
    for _ in range(16):  # a chain that does not end is a corrupt one
        if blockette < _HEADER or offset + blockette + 8 > len(data):
            break
        kind, following = struct.unpack_from(f"{order}HH", data, offset + blockette)
        if kind == 1000:
            exponent = data[offset + blockette + 6]
            if 7 <= exponent <= 20:
                return 1 << exponent
            break
        if following <= blockette:
            break
        blockette = following
    length = _SHORTEST
    while length <= _LONGEST and offset + length < len(data):
        if _is_data_header(data, offset + length):
            return length
        length *= 2
    return len(data) - offset


def _brief(error: object) -> str:
    return " ".join(str(error).split())[:160]
