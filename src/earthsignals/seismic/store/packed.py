"""Read the packed store.

    store = open_store("data/seismic/packed")
    rows = store.rows("train", category="earthquake")
    x = store.read(rows[:64])                        # (64, 3, 7000) float32, components E, N, Z
    store.metadata.loc[rows[:64], "source_magnitude"]

A store is a folder of three files: `metadata.csv` and `waveforms.hdf5` as SeisBench reads them
(`seisbench.data.WaveformDataset(folder)`), and `store.json` with checksums and statistics. The waveforms
lie in the HDF5 file without chunks or compression, one dataset directly after the other, so that the same
bytes are one memory-mapped array here: reading a batch costs one copy from the page cache.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from earthsignals.seismic.store.integrity import StoreError, corrupt_rows, describe_corrupt, sha256_bytes
from earthsignals.storage import EarthSignalsError, read_json

__all__ = ["Store", "StoreError", "open_store"]

FORMAT = "earthsignals-seismic-store"
VERSION = 1
METADATA, WAVEFORMS, ABOUT = "metadata.csv", "waveforms.hdf5", "store.json"
COMPONENTS = "ENZ"

COLUMNS: dict[str, str] = {
    "trace_name": "str",  # "bucket0$12,:3,:7000": dataset, row, components, samples
    "trace_name_original": "str",  # path of the file in its folder
    "trace_channel": "str",  # HH, HN, EH, BH, …
    "trace_category": "str",  # "earthquake" or "noise"
    "source_id": "str",  # event; "" for noise
    "station_network_code": "str",
    "station_code": "str",
    "station_location_code": "str",
    "trace_start_time": "str",  # of the window, ISO 8601 UTC
    "trace_sampling_rate_hz": "float64",
    "trace_npts": "int64",
    "trace_p_arrival_sample": "float64",  # in the window; NaN where unknown or none
    "trace_p_status": "str",  # "catalogue", "pick", "layout" or ""
    "trace_s_arrival_sample": "float64",
    "source_magnitude": "float64",
    "path_ep_distance_km": "float64",
    "path_azimuth_deg": "float64",
    "trace_snr_db": "float64",  # see prepare.signal_to_noise_db
    "trace_peak": "float64",  # largest absolute sample, in trace_units
    "trace_rms": "float64",  # over valid samples and components, in trace_units
    "trace_units": "str",
    "trace_valid_start": "int64",  # valid samples [start, stop); the rest of the window is padding
    "trace_valid_stop": "int64",
    "trace_crc32": "int64",
    "split": "str",  # "train", "dev", "test" or "unused"
}
"""Columns of metadata.csv, in order, with their types."""


@dataclass(frozen=True, eq=False)
class Store:
    """An open store. Row i of `metadata` describes `waveforms[i]`."""

    folder: Path
    waveforms: np.ndarray
    """(N, 3, S) float32, read-only and mapped from the file; components E, N, Z; the metadata has units."""
    metadata: pd.DataFrame
    skipped: np.ndarray
    """Rows (int64) whose bytes do not match their checksum, when opened with corrupt="skip"."""
    statistics: dict[str, Any]
    """Of the training split alone (see statistics.py)."""
    sampling_rate_hz: float
    about: dict[str, Any]
    """store.json."""
    component_order: str = COMPONENTS

    def __len__(self) -> int:
        return len(self.waveforms)

    @property
    def samples(self) -> int:
        """Samples S of every window."""
        return self.waveforms.shape[2]

    def rows(
        self, split: str | None = None, category: str | None = None, kind: str | None = None
    ) -> np.ndarray:
        """Rows (int64, ascending) of this split, category and instrument kind; skipped rows left out."""
        chosen = np.ones(len(self), dtype=bool)
        chosen[self.skipped] = False
        for column, value in (("split", split), ("trace_category", category), ("trace_channel", kind)):
            if value is not None:
                chosen &= (self.metadata[column] == value).to_numpy()
        return np.flatnonzero(chosen)

    def read(self, rows: Sequence[int] | np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Waveforms of these rows, in their order: a copy (B, 3, S) float32, written to `out` if given.

        Raises IndexError for a row outside the store.
        """
        rows = np.asarray(rows, dtype=np.int64)
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"rows lie in 0..{len(self) - 1}, found {rows.min()}..{rows.max()}")
        if out is None:
            out = np.empty((len(rows), *self.waveforms.shape[1:]), np.float32)
        # "clip": with its default, "raise", np.take fills a second buffer first.
        return np.take(self.waveforms, rows, axis=0, out=out, mode="clip")

    def valid(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Valid samples [start, stop) of these rows: (B, 2) int64; outside them the window is padding."""
        spans = self.metadata[["trace_valid_start", "trace_valid_stop"]].to_numpy(np.int64)
        return spans[np.asarray(rows, dtype=np.int64)]

    def verify(self) -> None:
        """Compare every record with its checksum. Raises StoreError naming the blocks that are corrupt."""
        bad = corrupt_rows(self.waveforms, self.metadata["trace_crc32"].to_numpy())
        if len(bad):
            raise StoreError(describe_corrupt(self.folder, self.metadata, bad))


def open_store(folder: str | Path, *, corrupt: str = "refuse", verify: bool = True) -> Store:
    """Open a packed store.

    corrupt: what happens to records whose bytes do not match their checksum: "refuse" raises, "skip" leaves
    them out of `rows` and lists them in `skipped`. verify: read and compare all records now (about a second
    per gigabyte); False trusts the file.

    Raises StoreError when the folder is no store, when its parts do not fit each other, or (with "refuse")
    when records are corrupt.
    """
    if corrupt not in ("refuse", "skip"):
        raise ValueError(f"corrupt is 'refuse' or 'skip', found {corrupt!r}")
    folder = Path(folder)
    about = _read_about(folder)
    metadata = _read_metadata(folder, about)
    waveforms = _map_waveforms(folder / WAVEFORMS, about)
    if len(metadata) != len(waveforms):
        raise StoreError(
            f"{folder}: {METADATA} has {len(metadata)} rows and {WAVEFORMS} {len(waveforms)} records; "
            "they are of different runs: pack again"
        )
    skipped = np.empty(0, dtype=np.int64)
    if verify:
        skipped = corrupt_rows(waveforms, metadata["trace_crc32"].to_numpy())
        if len(skipped) and corrupt == "refuse":
            raise StoreError(describe_corrupt(folder, metadata, skipped))
    return Store(
        folder=folder, waveforms=waveforms, metadata=metadata, skipped=skipped,
        statistics=about["statistics"], sampling_rate_hz=float(about["sampling_rate_hz"]), about=about,
    )  # fmt: skip


def evenly(rows: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of these rows, evenly spread over them, so that every station has its share."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]


def _read_about(folder: Path) -> dict[str, Any]:
    missing = [name for name in (ABOUT, METADATA, WAVEFORMS) if not (folder / name).is_file()]
    if missing:
        raise StoreError(
            f"{folder} is no packed store: it lacks {', '.join(missing)}; run `dvc repro seismic-pack` "
            "or `dvc pull`"
        )
    try:
        about = read_json(folder / ABOUT)
        found = (about["format"], about["version"])
    except (EarthSignalsError, KeyError, TypeError) as error:
        raise StoreError(f"{folder / ABOUT} is not readable ({error}); pack again") from None
    if found != (FORMAT, VERSION):
        raise StoreError(
            f"{folder} is a {found[0]} of version {found[1]}, expected {FORMAT} of version {VERSION}; "
            "pack again"
        )
    return about


def _read_metadata(folder: Path, about: dict[str, Any]) -> pd.DataFrame:
    path = folder / METADATA
    content = path.read_bytes()
    if sha256_bytes(content) != about["metadata_sha256"]:
        raise StoreError(
            f"{path} is not what was packed (its SHA-256 differs from the one in {ABOUT}): it was edited or "
            "is corrupt; run `dvc repro seismic-pack` or `dvc pull`"
        )
    texts = [name for name, kind in COLUMNS.items() if kind == "str"]
    # Only "" is missing: "NA" is a network's code, and pandas would read it as not-a-number.
    table = pd.read_csv(
        io.BytesIO(content), dtype={name: kind for name, kind in COLUMNS.items()},
        keep_default_na=False, na_values={name: [""] for name in COLUMNS if name not in texts},
    )  # fmt: skip
    return table


def _map_waveforms(path: Path, about: dict[str, Any]) -> np.ndarray:
    """The datasets bucket0, bucket1, … of the file as one array (N, 3, S), mapped read-only."""
    try:
        with h5py.File(path, "r") as file:
            buckets = [file["data"][f"bucket{number}"] for number in range(len(file["data"]))]
            shapes = [bucket.shape for bucket in buckets]
            kinds = {bucket.dtype.str for bucket in buckets}
            offsets = [bucket.id.get_offset() for bucket in buckets]
    except (OSError, KeyError) as error:
        reason = str(error).splitlines()[0][:90]
        raise StoreError(
            f"{path} cannot be read as HDF5 ({reason}): it is truncated or corrupt; delete it and run "
            "`dvc repro seismic-pack` or `dvc pull`"
        ) from None
    sizes = [int(np.prod(shape)) * 4 for shape in shapes]
    follow = [offset + size for offset, size in zip(offsets, sizes, strict=True) if offset is not None]
    expected = (len(COMPONENTS), int(about["samples"]))
    if not shapes or {shape[1:] for shape in shapes} != {expected} or kinds != {"<f4"} or (
        follow[:-1] != offsets[1:]
    ):
        raise StoreError(
            f"{path} holds no records of {expected} float32 in consecutive datasets, as {ABOUT} says; "
            "it was written by something else: pack again"
        )
    if path.stat().st_size < follow[-1]:
        raise StoreError(
            f"{path} is truncated: {path.stat().st_size:,} bytes where its records end at {follow[-1]:,}; "
            "delete it and run `dvc repro seismic-pack` or `dvc pull`"
        )
    rows = sum(shape[0] for shape in shapes)
    return np.memmap(path, np.float32, "r", offset=offsets[0], shape=(rows, *expected))
