"""The simulated records as files: miniSEED in folders by kind, with stations, events and a table beside them.

    out/HH/2012082505145960_AAB03_HH.mseed     event, station, kind; noise000123_… where nothing but noise is
    out/stations.xml  out/events.xml  out/records.csv

Every file holds three traces (E, N, Z; int32, STEIM2) that begin `window.before_p_s` before P.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from obspy import Stream, Trace, UTCDateTime

from earthsignals.compute.mapping import ordered_map
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.simulation.catalogue import write_events, write_stations
from earthsignals.seismic.simulation.record import SimulatedRecord, simulate, specs
from earthsignals.seismic.simulation.spec import RecordSpec, region_of
from earthsignals.storage import atomic_directory

COLUMNS = (
    "file", "category", "network", "station", "kind", "event", "magnitude", "distance_km", "azimuth_deg",
    "p_sample", "s_sample", "snr_db",
)  # fmt: skip
CHUNK = 64  # records per task of a worker
RECORD_BYTES = 4096  # of a miniSEED record


@dataclass(frozen=True)
class Written:
    """What the tables need of a record whose waveforms are on disk."""

    spec: RecordSpec
    s_sample: int | None
    snr_db: float | None


def write_waveforms(params: SeismicParams, out: Path, *, workers: int | None = None) -> dict[str, Any]:
    """Simulate all records and write them under `out`; the same bytes for any number of workers.

    The folder appears whole, under its final name, when everything is written; a killed run leaves nothing
    under that name and is started again. Returns counts: `records`, `events`, `kinds` (earthquakes by kind),
    `noise_kinds` and `bytes`.

    Raises EarthSignalsError when the magnitudes cannot be recorded at the distances, or the disk is full.
    """
    records = specs(params)
    chunks = [records[start: start + CHUNK] for start in range(0, len(records), CHUNK)]
    with atomic_directory(out) as folder:
        for kind in sorted({spec.kind for spec in records}):
            (folder / kind).mkdir()
        done: list[Written] = []
        size = 0
        results = ordered_map(
            partial(_write_chunk, params=params, folder=folder), chunks, workers=workers,
            description="waveforms", unit="records", sizes=[len(chunk) for chunk in chunks],
        )  # fmt: skip
        for written, count in results:
            done += written
            size += count
        rate = params.window.sampling_rate_hz
        numbers = sorted({spec.region for spec in records})
        write_stations(folder / "stations.xml", (region_of(params, number) for number in numbers), rate)
        events = write_events(folder / "events.xml", _picks(done, params))
        _write_table(folder / "records.csv", done, params.window.p_sample)
    kinds = {category: Counter(spec.kind for spec in records if spec.category == category)
             for category in ("earthquake", "noise")}
    return {"records": len(records), "events": events, "kinds": dict(sorted(kinds["earthquake"].items())),
            "noise_kinds": dict(sorted(kinds["noise"].items())), "bytes": size}


def file_name(spec: RecordSpec) -> str:
    """Path below the root: {kind}/{event}_{station}_{kind}.mseed; noise is numbered by its record."""
    event = spec.event or f"noise{spec.index:06d}"
    return f"{spec.kind}/{event}_{spec.station}_{spec.kind}.mseed"


def write_record(record: SimulatedRecord, path: Path, sampling_rate_hz: float) -> int:
    """One miniSEED file of three traces; returns its bytes. Not atomic: the folder around it is."""
    spec = record.spec
    start = UTCDateTime(ns=round(spec.time * 1e6) * 1000)
    header = {"network": spec.network, "station": spec.station, "location": "", "starttime": start,
              "sampling_rate": sampling_rate_hz}
    traces = [
        Trace(np.ascontiguousarray(counts), {**header, "channel": spec.kind + component})
        for component, counts in zip("ENZ", record.counts, strict=True)
    ]
    Stream(traces).write(str(path), format="MSEED", encoding="STEIM2", reclen=RECORD_BYTES, byteorder=">")
    return os.path.getsize(path)


def _write_chunk(chunk: list[RecordSpec], params: SeismicParams, folder: Path) -> tuple[list[Written], int]:
    written, size = [], 0
    for spec in chunk:
        record = simulate(spec, params)
        size += write_record(record, folder / file_name(spec), params.window.sampling_rate_hz)
        written.append(Written(spec, record.s_sample, record.truth.get("snr_db")))
    return written, size


def _picks(done: list[Written], params: SeismicParams) -> Iterator[tuple[RecordSpec, float, float | None]]:
    rate, p_sample = params.window.sampling_rate_hz, params.window.p_sample
    for item in done:
        if item.spec.category == "earthquake":
            s_time = None if item.s_sample is None else item.spec.time + item.s_sample / rate
            yield item.spec, item.spec.time + p_sample / rate, s_time


def _write_table(path: Path, done: list[Written], p_sample: int) -> None:
    """records.csv; cells that do not apply (noise has no event) are empty."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for item in done:
            spec = item.spec
            quake = spec.category == "earthquake"
            details: tuple[Any, ...] = ("",) * 6
            if quake:
                details = (
                    f"{spec.magnitude:.2f}", f"{spec.distance_km:.3f}", f"{spec.azimuth_deg:.2f}", p_sample,
                    "" if item.s_sample is None else item.s_sample, f"{item.snr_db:.2f}",
                )  # fmt: skip
            writer.writerow((
                file_name(spec), spec.category, spec.network, spec.station, spec.kind, spec.event, *details,
            ))  # fmt: skip
