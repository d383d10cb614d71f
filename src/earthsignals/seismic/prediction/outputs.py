"""What predictions leave behind: miniSEED, rows of a table, Parquet. Each file whole or not there."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from obspy import Stream, Trace, UTCDateTime

from earthsignals.seismic.prediction.places import written
from earthsignals.seismic.records.record import Record
from earthsignals.storage import EarthSignalsError

PLACE = ("file", "network", "station", "location", "kind", "event", "start", "seconds")
"""Columns that say which window a row is about; `start` is UTC, `seconds` its measured length."""


def traces(record: Record, waveform: np.ndarray) -> list[Trace]:
    """A waveform (3, n) under the identifiers, start time and sampling rate of a record, float32.

    Components that the file did not have (filled with zeros on reading) are left out.
    """
    made = []
    for channel, row in zip(record.channels, waveform, strict=True):
        if not channel:
            continue
        header = {
            "network": record.network, "station": record.station, "location": record.location,
            "channel": channel, "starttime": UTCDateTime(record.start),
            "sampling_rate": record.sampling_rate_hz,
        }  # fmt: skip
        made.append(Trace(np.ascontiguousarray(row, np.float32), header))
    return made


def write_miniseed(path: Path, made: Sequence[Trace]) -> None:
    """Write traces as miniSEED with 4-byte floats, atomically.

    Raises EarthSignalsError for values that are no finite numbers, and where the disk is full.
    """
    for trace in made:
        if not np.isfinite(trace.data).all():
            raise EarthSignalsError(
                f"{path} is not written: {trace.id} would hold values that are no finite numbers; check the "
                "input's amplitudes (float32 holds up to 3e38) and the model"
            )
    with written(path) as temporary:
        Stream(list(made)).write(str(temporary), format="MSEED", encoding="FLOAT32")


def place(record: Record, source: Path, start: int, valid: tuple[int, int]) -> dict[str, Any]:
    """The columns PLACE of the window that starts at sample `start`; `valid` are its measured samples."""
    time = UTCDateTime(record.start) + start / record.sampling_rate_hz
    return {
        "file": source.as_posix(), "network": record.network, "station": record.station,
        "location": record.location, "kind": record.kind, "event": record.event, "start": str(time),
        "seconds": (valid[1] - valid[0]) / record.sampling_rate_hz,
    }  # fmt: skip


def write_table(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write rows as CSV with these columns, numbers to six digits, missing ones empty; atomically."""
    with written(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows([_text(row.get(name)) for name in columns] for row in rows)


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    # A file's name may hold bytes that are no UTF-8, which Python carries as lone surrogates.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def write_embeddings(
    path: Path, rows: Sequence[Mapping[str, Any]], latents: np.ndarray, extra: Mapping[str, np.ndarray],
    about: Mapping[str, str],
) -> None:  # fmt: skip
    """Write windows and their latents as Parquet, atomically.

    rows: the columns PLACE of each window; latents: (N, L) float32, the column `latent`, a list of fixed
    length; extra: further columns (N,); about: the file's own metadata.
    """
    columns: dict[str, pa.Array] = {name: pa.array([_plain(row[name]) for row in rows]) for name in PLACE}
    columns |= {name: pa.array(np.asarray(values)) for name, values in extra.items()}
    flat = pa.array(np.ascontiguousarray(latents, np.float32).reshape(-1))
    columns["latent"] = pa.FixedSizeListArray.from_arrays(flat, latents.shape[1])
    table = pa.table(columns).replace_schema_metadata(dict(about))
    with written(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _plain(value: Any) -> Any:
    return _text(value) if isinstance(value, str) else value
