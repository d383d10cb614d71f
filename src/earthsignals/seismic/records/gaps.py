"""Traces of one channel joined in time: overlaps merged, short gaps bridged, long ones left as breaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from obspy import Trace

from earthsignals.seismic.records.record import RefusedRecord

_RATES_HZ = (1e-6, 1e6)  # beyond these a header is wrong


@dataclass
class Piece:
    """A stretch of one channel without a break."""

    start_ns: int
    """UTC of the first sample, nanoseconds since 1970."""
    rate_hz: float
    data: np.ndarray
    """(n,), in the file's own type; float64 where a gap was bridged."""

    @property
    def stop_ns(self) -> int:
        """Time at which the sample after the last would lie."""
        return self.start_ns + round(len(self.data) * 1e9 / self.rate_hz)


def join(traces: Sequence[Trace], maximum_gap_s: float, path: Path) -> list[Piece]:
    """Pieces of one channel in time order, from traces in any order.

    Times are rounded to whole samples. A gap of at most `maximum_gap_s` is bridged by a straight line; a
    longer one separates two pieces. Where traces overlap, equal samples are merged; samples that differ are
    merged too, the earlier trace's winning, if the overlap is at most `maximum_gap_s`.

    Raises RefusedRecord `mixed-rates` if the traces differ in rate, `rate` for one that no instrument has,
    `overlap` if they contradict each other for longer than allowed.
    """
    rates = {float(trace.stats.sampling_rate) for trace in traces}
    if len(rates) > 1:
        listed = " and ".join(f"{rate:g} Hz" for rate in sorted(rates))
        raise RefusedRecord(
            path, "mixed-rates", f"channel {traces[0].id} has samples at {listed}; expected one rate"
        )
    rate = rates.pop()
    if not _RATES_HZ[0] <= rate <= _RATES_HZ[1]:
        raise RefusedRecord(
            path, "rate",
            f"channel {traces[0].id} has a sampling rate of {rate:g} Hz; expected {_RATES_HZ[0]:g} to "
            f"{_RATES_HZ[1]:g} Hz",
        )  # fmt: skip
    pieces = [Piece(trace.stats.starttime._ns, rate, np.ma.getdata(trace.data)) for trace in traces]
    if len(pieces) == 1:
        return pieces
    pieces.sort(key=lambda piece: (piece.start_ns, -len(piece.data)))
    joined: list[Piece] = []
    # The piece that grows: put together once it ends, as there may be thousands of traces.
    # Its samples are counted, so that fractions of a sample between traces do not add up.
    start, parts, count = pieces[0].start_ns, [pieces[0].data], len(pieces[0].data)
    for piece in pieces[1:]:
        first = round((piece.start_ns - start) * rate / 1e9)
        missing = first - count
        if missing > maximum_gap_s * rate:
            joined.append(Piece(start, rate, np.concatenate(parts)))
            start, parts, count = piece.start_ns, [piece.data], len(piece.data)
            continue
        if missing >= 0:
            parts += [_line(parts[-1][-1], piece.data[0], missing), piece.data]
        else:
            parts = _merged(parts, piece, -missing, maximum_gap_s, traces[0].id, path)
        count = max(count, first + len(piece.data))
    joined.append(Piece(start, rate, np.concatenate(parts)))
    return joined


def _line(before: float, after: float, missing: int) -> np.ndarray:
    """`missing` values on the straight line between two samples."""
    return np.linspace(float(before), float(after), missing + 2)[1:-1] if missing else np.empty(0, np.int8)


def _merged(
    parts: list[np.ndarray], piece: Piece, shared: int, maximum_gap_s: float, channel: str, path: Path
) -> list[np.ndarray]:
    """`parts` continued by what `piece` adds; they share `shared` samples, or `piece` lies within."""
    if shared > len(parts[-1]):
        parts = [np.concatenate(parts)]
    offset = max(len(parts[-1]) - shared, 0)
    common = min(shared, len(piece.data))
    one, other = parts[-1][offset : offset + common], piece.data[:common]
    contradicting = int(np.count_nonzero(one != other))
    if contradicting and common > maximum_gap_s * piece.rate_hz:
        raise RefusedRecord(
            path, "overlap",
            f"channel {channel} has two versions of the same {common / piece.rate_hz:.2f} s that differ in "
            f"{contradicting:,} of {common:,} samples; keep one of them",
        )  # fmt: skip
    return [*parts, piece.data[common:]] if len(piece.data) > common else parts
