"""Instruments within a file, and the stretches of time that their components share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
from obspy import Trace

from earthsignals.seismic.params import ReadingParams
from earthsignals.seismic.records import components
from earthsignals.seismic.records.files import read_traces
from earthsignals.seismic.records.folder import FileEntry
from earthsignals.seismic.records.gaps import Piece, join
from earthsignals.seismic.records.record import COMPONENTS, RefusedRecord


@dataclass
class Sensor:
    """Traces of one instrument by the letter of their orientation."""

    network: str
    station: str
    location: str
    kind: str
    entry: FileEntry
    traces: dict[str, list[Trace]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`NET.STA.LOC.KIND`."""
        return f"{self.network}.{self.station}.{self.location}.{self.kind}"

    def channel(self, letter: str) -> str:
        """Channel code as in the file."""
        return self.traces[letter][0].stats.channel

    def identifier(self, letter: str) -> str:
        """`NET.STA.LOC.CHA`."""
        return f"{self.network}.{self.station}.{self.location}.{self.channel(letter)}"


@dataclass
class Span:
    """Samples of one sensor that its components share."""

    start_ns: int
    rate_hz: float
    data: dict[str, np.ndarray]
    """Component → (n,), in the file's type."""
    letters: dict[str, str]
    """Component → orientation letter of its channel."""


def sensors_of(entry: FileEntry) -> list[Sensor]:
    """Sensors of the entry's files, sorted by name.

    Raises RefusedRecord with the reasons of `files.read_traces`.
    """
    found: dict[tuple[str, ...], Sensor] = {}
    for path in entry.files:
        for trace in read_traces(path):
            stats = trace.stats
            kind, letter = components.split_code(stats.channel)
            key = (
                stats.network.strip(), stats.station.strip() or entry.station, stats.location.strip(),
                kind or entry.kind,
            )  # fmt: skip
            sensor = found.setdefault(key, Sensor(*key, entry))
            sensor.traces.setdefault(letter, []).append(trace)
    return [found[key] for key in sorted(found)]


def the_one(sensors: list[Sensor], entry: FileEntry, channels: Sequence[str] | None) -> Sensor:
    """The sensor that the file is about: its only one, or the only one of the kind in the file's name.

    Raises RefusedRecord `other-kind` if none is of the wanted kinds, `several-records` if more than one is.
    """
    wanted = [sensor for sensor in sensors if channels is None or sensor.kind in channels]
    if not wanted:
        raise other_kind(sensors, channels or (), entry.path)
    if len(wanted) > 1 and entry.kind:
        wanted = [sensor for sensor in wanted if sensor.kind == entry.kind] or wanted
    if len(wanted) > 1:
        names = [sensor.name for sensor in wanted]
        listed = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
        raise RefusedRecord(
            entry.path, "several-records",
            f"holds {len(names)} sensors ({listed}); expected one, in three components; split it by station",
        )  # fmt: skip
    return wanted[0]


def other_kind(sensors: list[Sensor], channels: Sequence[str], path: Path) -> RefusedRecord:
    """The refusal of sensors whose kinds are not wanted."""
    kinds = ", ".join(sorted({sensor.kind or "(none)" for sensor in sensors}))
    return RefusedRecord(path, "other-kind", f"is of kind {kinds}; wanted are {', '.join(channels)}")


def spans_of(sensor: Sensor, reading: ReadingParams, path: Path) -> list[Span]:
    """Stretches without a break that all components of a sensor share, in time order; at least one.

    Raises RefusedRecord `orientation`, `extra-component`, `missing-component`, `mixed-rates`, `rate`,
    `overlap` or `no-overlap`.
    """
    letters = components.assign(sorted(sensor.traces), sensor.name, path)
    absent = components.missing(letters)
    if absent and (reading.missing_component == "refuse" or len(absent) == len(COMPONENTS)):
        present = ", ".join(sensor.channel(letter) for letter in letters.values())
        raise RefusedRecord(
            path, "missing-component",
            f"{sensor.name} has {present} alone, no {' and no '.join(absent)}; expected three components "
            "(reading.missing_component: zero would fill them)",
        )  # fmt: skip
    pieces = {
        component: join(sensor.traces[letter], reading.maximum_gap_s, path)
        for component, letter in letters.items()
    }
    rates = {component: found[0].rate_hz for component, found in pieces.items()}
    if max(rates.values()) - min(rates.values()) > 1e-6 * max(rates.values()):
        listed = ", ".join(f"{sensor.channel(letters[c])} {rate:g} Hz" for c, rate in rates.items())
        raise RefusedRecord(path, "mixed-rates", f"its components differ in rate ({listed}); expected one")
    spans = [Span(*shared, letters) for shared in _shared(pieces)]
    if not spans:
        raise RefusedRecord(path, "no-overlap", f"the components of {sensor.name} share no time")
    return spans


def _shared(pieces: dict[str, list[Piece]]) -> Iterator[tuple[int, float, dict[str, np.ndarray]]]:
    """Start, rate and samples of the stretches in which every component has a piece.

    Components whose samples lie off each other by a fraction are aligned to the nearest sample.
    """
    position = dict.fromkeys(pieces, 0)
    while all(position[component] < len(pieces[component]) for component in pieces):
        current = {component: pieces[component][position[component]] for component in pieces}
        rate = next(iter(current.values())).rate_hz
        start = max(piece.start_ns for piece in current.values())
        first = {c: round((start - piece.start_ns) * rate / 1e9) for c, piece in current.items()}
        samples = min(len(piece.data) - first[c] for c, piece in current.items())
        if samples > 0:
            yield start, rate, {c: piece.data[first[c] : first[c] + samples] for c, piece in current.items()}
        earliest = min(current, key=lambda component: current[component].stop_ns)
        position[earliest] += 1


def refuse_gap(spans: list[Span], sensor: Sensor, reading: ReadingParams, path: Path) -> NoReturn:
    """Raise RefusedRecord `gap` for a sensor of several spans."""
    stops = [span.start_ns + len(next(iter(span.data.values()))) * 1e9 / span.rate_hz for span in spans]
    gaps = [(after.start_ns - stop) / 1e9 for stop, after in zip(stops, spans[1:], strict=False)]
    raise RefusedRecord(
        path, "gap",
        f"{sensor.name} has {len(gaps)} gap{'s' if len(gaps) > 1 else ''}, the longest of {max(gaps):.2f} s; "
        f"expected none beyond {reading.maximum_gap_s:g} s (reading.maximum_gap_s)",
    )  # fmt: skip
