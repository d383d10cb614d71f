"""From files to records.

    record = read_record(path, params.reading, params.window)            # one record a file: packing
    for record in read_stations(path, params.reading, params.window): …  # any number and length: prediction

The order of the rules: traces of one channel are joined in time (`gaps`), components are told by their codes
(`components`) and cut to the time they share, samples are checked as they were recorded (`faults`), then
rotated to the compass, divided by the response if wanted, and resampled (`resampling`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from obspy import Inventory, UTCDateTime

from earthsignals.seismic.params import ReadingParams, WindowParams
from earthsignals.seismic.records import components, faults
from earthsignals.seismic.records.folder import FileEntry, entry_of
from earthsignals.seismic.records.record import COMPONENTS, Record, RefusedRecord
from earthsignals.seismic.records.refused import Refusal
from earthsignals.seismic.records.resampling import resample
from earthsignals.seismic.records.response import remove_response
from earthsignals.seismic.records.sac import sac_event, sac_picks
from earthsignals.seismic.records.sensors import (
    Sensor,
    Span,
    other_kind,
    refuse_gap,
    sensors_of,
    spans_of,
    the_one,
)

_EXACT = 2.0**24  # integers up to here are float32 values


def read_record(
    path: str | Path | FileEntry,
    reading: ReadingParams,
    window: WindowParams | None,
    *,
    inventory: Inventory | None = None,
    channels: Sequence[str] | None = None,
) -> Record:
    """The one three-component record of a file, or of an entry's files of one component each.

    window: its sampling rate is what the record is resampled to; None keeps the file's. inventory: responses
    and channel directions (`response.read_inventory`). channels: kinds that are wanted, None for all.

    Raises RefusedRecord with one of `record.REASONS`, among them `gap` for a break beyond
    `reading.maximum_gap_s` (also one filled with constant values), `clipped` beyond
    `reading.clipped_share`, `too-short` below `reading.minimum_s`. A dead component (all samples equal)
    counts as missing: refused, or by `reading.missing_component` filled with zeros, unless all three are.
    """
    entry = path if isinstance(path, FileEntry) else entry_of(path)
    sensor = the_one(sensors_of(entry), entry, channels)
    spans = spans_of(sensor, reading, entry.path)
    if len(spans) > 1:
        refuse_gap(spans, sensor, reading, entry.path)
    return _record(sensor, spans[0], reading, window, inventory, strict=True)


def read_stations(
    path: str | Path | FileEntry,
    reading: ReadingParams,
    window: WindowParams | None,
    *,
    inventory: Inventory | None = None,
    channels: Sequence[str] | None = None,
    refused: list[Refusal] | None = None,
) -> list[Record]:
    """All records of a file: one per station, location, kind and stretch without a break, in that order.

    Clipped records, dead components and filled gaps are kept: a prediction is to judge them. What
    cannot be used is appended to `refused`, if a list is given, and never stops the rest.

    Raises RefusedRecord if nothing in the file can be used: the first reason.
    """
    entry = path if isinstance(path, FileEntry) else entry_of(path)
    records: list[Record] = []
    errors: list[RefusedRecord] = []
    try:
        for sensor in sensors_of(entry):
            try:
                if channels is not None and sensor.kind not in channels:
                    raise other_kind([sensor], channels, entry.path)
                spans = spans_of(sensor, reading, entry.path)
            except RefusedRecord as error:
                errors.append(error)
                continue
            for span in spans:
                try:
                    records.append(_record(sensor, span, reading, window, inventory, strict=False))
                except RefusedRecord as error:
                    errors.append(error)
    except RefusedRecord as error:
        errors.append(error)
    if refused is not None:
        refused.extend(Refusal.of(error) for error in errors)
    if not records:
        raise errors[0]
    return records


def _record(
    sensor: Sensor, span: Span, reading: ReadingParams, window: WindowParams | None,
    inventory: Inventory | None, *, strict: bool,
) -> Record:  # fmt: skip
    """The record of a span. Raises RefusedRecord for what its samples show; fewer faults if not `strict`."""
    path, rate = sensor.entry.path, span.rate_hz
    start = UTCDateTime(ns=span.start_ns)
    samples = len(next(iter(span.data.values())))
    if samples < reading.minimum_s * rate:
        raise RefusedRecord(
            path, "too-short",
            f"{sensor.name} has {samples / rate:.2f} s of three components; expected {reading.minimum_s:g} s "
            "or more (reading.minimum_s)",
        )  # fmt: skip
    valid = _check(sensor, span, reading, path, strict)
    waveform, units = _physical(sensor, span, reading, inventory, start, valid)
    if inventory is not None and components.turned(span.letters):
        names = [sensor.identifier(span.letters[component]) for component in COMPONENTS]
        waveform = components.rotate(waveform, names, start, inventory, path)
    if window is not None:
        waveform = resample(waveform, rate, window.sampling_rate_hz, path)
        scale, rate = waveform.shape[1] / samples, window.sampling_rate_hz
        valid = (round(valid[0] * scale), round(valid[1] * scale))
    offset = np.where(np.abs(waveform).max(axis=1) > _EXACT, np.rint(waveform.mean(axis=1)), 0.0)
    return Record(
        waveform=(waveform - offset[:, None] if offset.any() else waveform).astype(np.float32),
        sampling_rate_hz=rate, recorded_rate_hz=span.rate_hz, start=str(start),
        network=sensor.network, station=sensor.station, location=sensor.location, kind=sensor.kind,
        event=sensor.entry.event or _event(sensor), units=units, valid=valid, path=path,
        picks=_picks(sensor, start),
        offset=tuple(offset.tolist()),
        channels=tuple(
            sensor.channel(span.letters[component]) if component in span.letters else ""
            for component in COMPONENTS
        ),
    )  # fmt: skip


def _event(sensor: Sensor) -> str:
    """The event that one of the files' headers names."""
    return next((name for traces in sensor.traces.values() for t in traces if (name := sac_event(t))), "")


def _picks(sensor: Sensor, start: UTCDateTime) -> dict[str, float]:
    """Seconds from `start` to the phases in the files' headers; for P the vertical's before others."""
    picks: dict[str, float] = {}
    for letter in sorted(sensor.traces, reverse=True):
        for trace in sensor.traces[letter]:
            for phase, time in sac_picks(trace).items():
                picks.setdefault(phase, time - (start - trace.stats.starttime))
    return picks


def _check(sensor: Sensor, span: Span, reading: ReadingParams, path: Path, strict: bool) -> tuple[int, int]:
    """Samples [start, stop) that were measured; raises RefusedRecord for faults of samples as recorded."""
    for component, data in span.data.items():
        faults.require_finite(data, sensor.channel(span.letters[component]), path)
    dead = [component for component, data in span.data.items() if faults.is_dead(data)]
    if len(dead) == len(span.data):
        raise RefusedRecord(
            path, "all-zero", f"{sensor.name} holds no signal: all samples of each component are equal"
        )
    longest = round(reading.maximum_gap_s * span.rate_hz)
    start, stop = faults.padding(list(span.data.values()), longest)
    if not strict:
        return start, stop
    if dead and reading.missing_component == "refuse":
        names = " and ".join(sensor.channel(span.letters[component]) for component in dead)
        raise RefusedRecord(
            path, "all-zero",
            f"{names} holds no signal: all its samples are equal (reading.missing_component: zero would "
            "keep the rest)",
        )  # fmt: skip
    if stop - start < reading.minimum_s * span.rate_hz:
        raise RefusedRecord(
            path, "too-short",
            f"{sensor.name} has {(stop - start) / span.rate_hz:.2f} s between the constant values that pad "
            f"it; expected {reading.minimum_s:g} s or more (reading.minimum_s)",
        )  # fmt: skip
    measured = {component: data[start:stop] for component, data in span.data.items()}
    begin, end = faults.longest_standstill(list(measured.values()))
    if end - begin > longest:
        raise RefusedRecord(
            path, "gap",
            f"no component of {sensor.name} changes for {(end - begin) / span.rate_hz:.2f} s, which is a "
            f"filled gap; expected none beyond {reading.maximum_gap_s:g} s (reading.maximum_gap_s)",
        )  # fmt: skip
    for component, data in measured.items():
        share = faults.clipped_share(data)
        if share > reading.clipped_share:
            raise RefusedRecord(
                path, "clipped",
                f"{sensor.channel(span.letters[component])} has {100 * share:.1f} % of its samples at an "
                f"extreme value; expected at most {100 * reading.clipped_share:g} % (reading.clipped_share)",
            )  # fmt: skip
    return start, stop


def _physical(
    sensor: Sensor, span: Span, reading: ReadingParams, inventory: Inventory | None, start: UTCDateTime,
    valid: tuple[int, int],
) -> tuple[np.ndarray, str]:  # fmt: skip
    """Waveform (3, n) float64 and its units; zeros where a component is missing or dead.

    Padding is overwritten by the nearest measured sample: no step rings into the record when it is resampled.
    """
    samples = len(next(iter(span.data.values())))
    waveform, units = np.zeros((3, samples)), "counts"
    for row, component in enumerate(COMPONENTS):
        data = span.data.get(component)
        if data is None or (faults.is_dead(data) and reading.missing_component == "zero"):
            continue
        waveform[row] = data
        waveform[row, : valid[0]], waveform[row, valid[1] :] = data[valid[0]], data[valid[1] - 1]
        if reading.response == "remove":
            name = sensor.identifier(span.letters[component])
            waveform[row], units = remove_response(
                waveform[row], span.rate_hz, start, name, inventory, sensor.entry.path
            )
    return waveform, units
