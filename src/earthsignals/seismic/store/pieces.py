"""The work of packing, a few files at a time: read, prepare, describe, and leave the result for resuming.

A piece is an uncompressed .npz in the resume folder with the prepared waveforms of its files, a row of
metadata for each and the files that were refused. Its name is its span of files; its zip checksums tell
whether it is whole. The packed store does not depend on how files were cut into pieces.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from obspy import Inventory

from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.records.folder import FileEntry
from earthsignals.seismic.records.record import Record, RefusedRecord
from earthsignals.seismic.records.response import read_inventory
from earthsignals.seismic.store.integrity import checksum
from earthsignals.seismic.store.prepare import (
    band_pass,
    cut_window,
    detrend,
    place_window,
    signal_to_noise_db,
)
from earthsignals.storage import EarthSignalsError, atomic_path

PIECE_FILES = 64  # about 5 MB of prepared waveforms
DIGEST = "digest"  # of the prepared waveform, to find duplicates


@dataclass(frozen=True)
class Source:
    """A file to read and what the folder tells about it; NaN and "" where it tells nothing."""

    entry: FileEntry
    name: str
    """Path within the folder (its first file's), by which it is reported."""
    event: str
    category: str
    p_sample: float
    s_sample: float
    magnitude: float
    distance_km: float
    azimuth_deg: float


@dataclass(frozen=True)
class Piece:
    """A finished piece in the resume folder."""

    path: Path

    def about(self) -> tuple[dict[str, list[Any]], list[tuple[str, str, str]]]:
        """Metadata of its records by column (packed.COLUMNS without trace_name and split, and DIGEST); and
        file, reason and detail of those that are no record."""
        with np.load(self.path, allow_pickle=False) as file:
            about = json.loads(file["about"].tobytes())
        return about["columns"], [tuple(entry) for entry in about["refused"]]

    def waveforms(self) -> np.ndarray:
        """(n, 3, S) float32. Raises zipfile.BadZipFile where bytes changed."""
        with np.load(self.path, allow_pickle=False) as file:
            return file["waveforms"]


@dataclass(frozen=True)
class PieceMaker:
    """Makes a piece from its files unless it is there already; sent to worker processes."""

    params: SeismicParams
    folder: Path
    inventory: Path | None
    """Folder with responses and directions, if there are any."""
    read: Callable[..., Record]
    """`read(entry, reading, window, inventory=…, channels=…) -> Record`: records.read.read_record."""

    def __call__(self, task: tuple[int, Sequence[Source]]) -> Path:
        start, sources = task
        target = self.folder / f"{start:09d}-{start + len(sources):09d}.npz"
        if is_whole(target):
            return target
        rows, waveforms, refused = [], [], []
        for source in sources:
            try:
                row, waveform = self._record(source)
            except RefusedRecord as refusal:
                refused.append((source.name, refusal.reason, refusal.detail))
                continue
            except (EarthSignalsError, MemoryError):  # not this file's fault alone
                raise
            except Exception as error:  # what no rule foresaw in one file must not stop the others
                refused.append((source.name, "unreadable", f"{type(error).__name__}: {error}"))
                continue
            rows.append(row)
            waveforms.append(waveform)
        shape = (-1, 3, self.params.window.samples)
        stacked = np.array(waveforms, dtype=np.float32).reshape(shape)
        columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
        about = json.dumps({"columns": columns, "refused": refused}).encode()
        with atomic_path(target) as temporary, open(temporary, "wb") as file:
            np.savez(file, waveforms=stacked, about=np.frombuffer(about, np.uint8))
        return target

    def _record(self, source: Source) -> tuple[dict[str, Any], np.ndarray]:
        params = self.params
        needed = self.inventory is not None and params.reading.response == "remove"
        record = self._read(source, _inventory(self.inventory) if needed else None)
        turned = any(channel[-1:] in "123" for channel in record.channels if channel)
        if turned and not needed and self.inventory is not None:
            record = self._read(source, _inventory(self.inventory))  # big files: opened only where they help
        return prepare_record(record, source, params)

    def _read(self, source: Source, inventory: Inventory | None) -> Record:
        params = self.params
        return self.read(
            source.entry, params.reading, params.window, inventory=inventory, channels=params.channels
        )


def prepare_record(
    record: Record, source: Source, params: SeismicParams
) -> tuple[dict[str, Any], np.ndarray]:
    """Metadata row and prepared window (3, S) float32 of a record as read.

    Raises RefusedRecord when too little of the record lies in the window, or nothing is left of it.
    """
    window, rate = params.window, params.window.sampling_rate_hz
    event = source.event or record.event
    noise = source.category == "noise" or (not source.category and event.startswith("noise"))
    p_sample, status = _first_known(source.p_sample, record.picks.get("P"), rate)
    cut = place_window(record.waveform.shape[1], p_sample, status, window, noise)
    samples, valid = cut_window(record.waveform, record.valid, cut.start, window.samples)
    if valid[1] - valid[0] < min(params.reading.minimum_s * rate, window.samples):
        raise RefusedRecord(
            source.entry.path, "too-short",
            f"{(valid[1] - valid[0]) / rate:.1f} s of it lie in the window of {window.samples / rate:g} s; "
            f"reading.minimum_s asks for {params.reading.minimum_s:g}",
        )  # fmt: skip
    detrend(samples, valid)
    if params.filter is not None:
        band_pass(samples, valid, params.filter, rate)
    stored = samples.astype(np.float32)
    if not np.isfinite(stored).all():
        raise RefusedRecord(source.entry.path, "nan", "values beyond what float32 holds")
    if not stored.any():
        raise RefusedRecord(source.entry.path, "all-zero", "nothing is left of it without its linear trend")

    s_sample = _first_known(source.s_sample, record.picks.get("S"), rate)[0] - cut.start
    # Zero beyond the valid samples. einsum here and in detrend: BLAS would wake threads for so little.
    power = np.einsum("cs,cs->", samples, samples) / (len(samples) * (valid[1] - valid[0]))
    row = {
        "trace_name_original": source.name,
        "trace_channel": record.kind or source.entry.kind,
        "trace_category": "noise" if noise else "earthquake",
        "source_id": "" if noise else event,
        "station_network_code": record.network,
        "station_code": record.station,
        "station_location_code": record.location,
        "trace_start_time": _later(record.start, cut.start / rate),
        "trace_sampling_rate_hz": rate,
        "trace_npts": window.samples,
        "trace_p_arrival_sample": cut.p_sample,
        "trace_p_status": cut.p_status,
        "trace_s_arrival_sample": float("nan") if noise else s_sample,
        "source_magnitude": source.magnitude,
        "path_ep_distance_km": source.distance_km,
        "path_azimuth_deg": source.azimuth_deg,
        "trace_snr_db": round(signal_to_noise_db(samples, valid, cut.p_sample, rate), 3),
        "trace_peak": float(max(stored.max(), -stored.min())),
        "trace_rms": float(f"{np.sqrt(power):.6g}"),
        "trace_units": record.units,
        "trace_valid_start": valid[0],
        "trace_valid_stop": valid[1],
        "trace_crc32": checksum(stored),
        DIGEST: blake2b(stored.tobytes(), digest_size=16).hexdigest(),
    }
    return row, stored


def tasks(sources: Sequence[Source]) -> Iterator[tuple[int, Sequence[Source]]]:
    """Number of the first file, and the files, of each piece."""
    for start in range(0, len(sources), PIECE_FILES):
        yield start, sources[start : start + PIECE_FILES]


def is_whole(path: Path) -> bool:
    """Is this a finished piece, every byte as it was written?"""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None and set(archive.namelist()) == {"waveforms.npy", "about.npy"}
    except (OSError, zipfile.BadZipFile):
        return False


def _first_known(catalogue: float, pick_s: float | None, rate: float) -> tuple[float, str]:
    """Sample from the record's start, and where it is known from."""
    if np.isfinite(catalogue):
        return catalogue, "catalogue"
    if pick_s is not None and np.isfinite(pick_s):
        return pick_s * rate, "pick"
    return float("nan"), ""


def _later(start: str, seconds: float) -> str:
    """ISO 8601 UTC time, `seconds` after `start`, with microseconds and a Z."""
    time = datetime.fromisoformat(start).replace(tzinfo=None) + timedelta(seconds=seconds)
    return time.isoformat(timespec="microseconds") + "Z"


@lru_cache(maxsize=1)
def _inventory(path: Path) -> Inventory:
    return read_inventory(path)
