"""SAC files, one trace each: their header is checked against the file's size before a decoder sees it.

Format: https://ds.iris.edu/files/sac-manual/manual/file_format.html — 70 floats, 40 integers and 192
characters of header (632 bytes), then NPTS float32 samples; either byte order.
"""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

from obspy import Trace
from obspy.io.sac.core import _read_sac

from earthsignals.seismic.records.record import RefusedRecord

_HEADER = 632
_VERSION = 76 * 4  # NVHDR: 6, or 7 with doubles after the samples
_POINTS = 79 * 4  # NPTS
_EVEN = 105 * 4  # LEVEN: 1 where samples are evenly spaced
_FOOTER = 22 * 8
_PLACES = (31, 32, 35, 36)  # STLA, STLO, EVLA, EVLO
_UNDEFINED = -12345


def looks_like_sac(data: bytes) -> bool:
    """True if the header's version number is one of SAC's, in either byte order."""
    return len(data) >= _HEADER and _order(data) is not None


def read_sac(data: bytes, path: Path) -> list[Trace]:
    """The file's one trace; picks stay in its SAC header.

    Raises RefusedRecord `truncated` or `corrupt`.
    """
    order = _order(data)
    (points,) = struct.unpack_from(f"{order}i", data, _POINTS)
    (version,) = struct.unpack_from(f"{order}i", data, _VERSION)
    (even,) = struct.unpack_from(f"{order}i", data, _EVEN)
    if points < 0 or even == 0:
        what = f"{points} samples" if points < 0 else "unevenly spaced samples"
        raise RefusedRecord(
            path, "corrupt", f"its SAC header declares {what}; expected an evenly sampled trace"
        )
    expected = _HEADER + 4 * points + (_FOOTER if version == 7 else 0)
    if len(data) < expected:
        raise RefusedRecord(
            path, "truncated",
            f"its SAC header declares {points:,} samples ({expected:,} bytes), the file has {len(data):,} "
            "bytes; fetch it again",
        )  # fmt: skip
    if len(data) > expected:
        raise RefusedRecord(
            path, "corrupt",
            f"its SAC header declares {points:,} samples ({expected:,} bytes), the file has {len(data):,} "
            "bytes; one of them is wrong",
        )  # fmt: skip
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return list(_read_sac(io.BytesIO(_without_places(data, order)), fsize=False))
    except Exception as error:
        brief = " ".join(str(error).split())[:160]
        raise RefusedRecord(path, "corrupt", f"its SAC header cannot be decoded ({brief})") from None


def sac_picks(trace: Trace) -> dict[str, float]:
    """Seconds from the first sample to P (`A`) and S (the first of `T0`–`T9` labelled S…), where picked."""
    header = trace.stats.get("sac")
    if header is None:
        return {}
    begin = float(header.get("b", 0.0))
    picks = {}
    if float(header.get("a", _UNDEFINED)) != _UNDEFINED:
        picks["P"] = float(header["a"]) - begin
    for number in range(10):
        label, time = str(header.get(f"kt{number}", "")).strip(), float(header.get(f"t{number}", _UNDEFINED))
        if time != _UNDEFINED and label[:1].upper() in ("P", "S"):
            picks.setdefault(label[0].upper(), time - begin)
    return picks


def sac_event(trace: Trace) -> str:
    """The event's name by the header (`KEVNM`), empty if none."""
    name = str(trace.stats.get("sac", {}).get("kevnm", "")).strip()
    return "" if name == str(_UNDEFINED) else name


def _without_places(data: bytes, order: str) -> bytes:
    """The bytes with coordinates left undefined.

    obspy computes a distance from them, and turns a corrupt longitude round by 360 degrees without end.
    """
    undefined = struct.pack(f"{order}f", _UNDEFINED)
    patched = bytearray(data)
    for word in _PLACES:
        patched[4 * word : 4 * word + 4] = undefined
    return bytes(patched)


def _order(data: bytes) -> str | None:
    for order in "<>":
        (version,) = struct.unpack_from(f"{order}i", data, _VERSION)
        if version in (6, 7):
            return order
    return None
