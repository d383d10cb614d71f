"""One three-component record, and the refusal of what does not make one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from earthsignals.storage import EarthSignalsError

COMPONENTS = ("E", "N", "Z")
"""The order of components everywhere in this room: east, north, up."""


@dataclass(frozen=True)
class Record:
    """What a station recorded, on three components of one length and rate."""

    waveform: np.ndarray
    """(3, n) float32, components E, N, Z, in `units`; not detrended, not filtered."""
    sampling_rate_hz: float
    start: str
    """UTC time of the first sample, ISO 8601 with microseconds and a Z."""
    network: str
    station: str
    location: str
    kind: str
    """Band and instrument code, such as HH; empty where neither file nor header tells."""
    event: str
    """Name of the event by the file's layout or header; empty if unknown, `noise…` for noise."""
    units: str
    """`counts`, or after removal of the response `m/s` or `m/s2`."""
    valid: tuple[int, int]
    """Samples [start, stop) that were measured: constant values that only pad the file lie outside; there the
    waveform repeats the nearest measured sample."""
    path: Path
    picks: dict[str, float] = field(default_factory=dict)
    """Seconds from `start` to the phases that the file itself names (`P`, `S`)."""
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Was subtracted from the components, in `units`: not zero only where float32 could not have held
    the values (beyond 2^24)."""
    channels: tuple[str, str, str] = ("", "", "")
    """Channel codes the components came from (`HHE`, or `HH2` where 1 and 2 were taken for N and E); empty
    for a component that the file does not have."""
    recorded_rate_hz: float = float("nan")
    """Sampling rate of the file, before resampling."""

    @property
    def samples(self) -> int:
        """Length of the waveform."""
        return self.waveform.shape[1]

    @property
    def identity(self) -> str:
        """`NET.STA.LOC.KIND`, as in channel identifiers."""
        return f"{self.network}.{self.station}.{self.location}.{self.kind}"


class RefusedRecord(EarthSignalsError):
    """A file, or a station within one, that yields no usable record.

    reason: a short code to count by, one of `REASONS`; detail: what was found and expected, a clause;
    the message is `path: detail`.
    """

    def __init__(self, path: str | Path, reason: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.path, self.reason, self.detail = Path(path), reason, detail

    def __reduce__(self) -> tuple:
        return RefusedRecord, (self.path, self.reason, self.detail)


REASONS = {
    "unreadable": "the file cannot be opened",
    "empty": "the file has no bytes",
    "unknown-format": "neither miniSEED nor SAC",
    "corrupt": "bytes that contradict themselves",
    "truncated": "the file ends within a record",
    "no-data": "no samples in it",
    "several-records": "more than one station, sensor or instrument kind where one was expected",
    "other-kind": "an instrument kind that was not asked for",
    "missing-component": "fewer than three components",
    "extra-component": "more traces than three components",
    "orientation": "channel directions that do not span space",
    "mixed-rates": "components with different sampling rates",
    "rate": "a sampling rate that cannot serve",
    "gap": "samples missing for longer than allowed",
    "overlap": "samples of the same time that contradict each other",
    "no-overlap": "components that share no time",
    "too-short": "shorter than the minimum",
    "nan": "values that are no finite numbers",
    "all-zero": "a component without any signal",
    "clipped": "amplitudes cut off at an extreme value",
    "response": "no usable instrument response",
    "duplicate": "the same record a second time",
}
"""Codes of refusal and what they stand for."""
