"""Checksums: one CRC-32 for every record, so that a damaged block is named and the rest stays usable."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from earthsignals.storage import EarthSignalsError

if TYPE_CHECKING:  # workers that pack need no pandas
    import pandas as pd


class StoreError(EarthSignalsError):
    """A packed store cannot be used as it is."""


def checksum(waveform: np.ndarray) -> int:
    """CRC-32 (unsigned) of a record's bytes as they lie in the file: (3, S) float32, little-endian."""
    return zlib.crc32(np.ascontiguousarray(waveform, dtype="<f4"))


def sha256_bytes(content: bytes) -> str:
    """Hex SHA-256."""
    return hashlib.sha256(content).hexdigest()


def corrupt_rows(waveforms: np.ndarray, checksums: np.ndarray) -> np.ndarray:
    """Rows (int64) of waveforms (N, 3, S) whose CRC-32 is not the one in `checksums` (N,)."""
    bad = [row for row, expected in enumerate(checksums.tolist()) if checksum(waveforms[row]) != expected]
    return np.array(bad, dtype=np.int64)


def describe_corrupt(folder: Path, metadata: pd.DataFrame, rows: np.ndarray) -> str:
    """One sentence that names the blocks and the first records of `rows`."""
    names = metadata["trace_name"].iloc[rows]
    blocks = names.str.split("$").str[0].value_counts(sort=False)
    told = ", ".join(f"{block} ({count} records)" for block, count in blocks.items())
    first = ", ".join(metadata["trace_name_original"].iloc[rows[:3]])
    return (
        f"{folder}: {len(rows)} of {len(metadata)} records do not match their checksum, in {told}; first "
        f"{first}; run `dvc pull` or `dvc repro seismic-pack` again, or set seismic.store.corrupt to skip "
        "to go on without them"
    )
