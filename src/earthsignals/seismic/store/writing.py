"""Write the packed store.

The HDF5 file is made first, empty, with all its datasets placed one directly after the other; then the
records' bytes are written to their places by plain file writes, in order. HDF5 itself never writes data:
it would crash the interpreter on a full disk, and it is slower.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from earthsignals.seismic.store.integrity import StoreError, sha256_bytes
from earthsignals.seismic.store.packed import (
    ABOUT,
    COLUMNS,
    COMPONENTS,
    FORMAT,
    METADATA,
    VERSION,
    WAVEFORMS,
)
from earthsignals.storage import write_json

_SMALLEST_METADATA = 1 << 16  # bytes that HDF5 sets aside for its own notes, in one piece
_METADATA_PER_BUCKET = 1 << 10


def bucket_sizes(records: int, bucket_records: int) -> list[int]:
    """Records in each dataset: full ones and the rest."""
    full, rest = divmod(records, bucket_records)
    return [bucket_records] * full + [rest] * (rest > 0)


def trace_names(records: int, bucket_records: int, samples: int) -> list[str]:
    """SeisBench's address of each record: dataset, row, components, samples."""
    return [
        f"bucket{row // bucket_records}${row % bucket_records},:{len(COMPONENTS)},:{samples}"
        for row in range(records)
    ]


def write_waveforms(
    path: Path,
    blocks: Iterable[np.ndarray],
    *,
    records: int,
    samples: int,
    bucket_records: int,
    sampling_rate_hz: float,
    unit: str,
    restituted: bool = False,
) -> None:
    """Write `records` waveforms to `path`, which arrive in order as blocks (n, 3, samples) float32.

    `dimension_order` of SeisBench is that of one record within a dataset: CW for components, samples.

    Raises StoreError when the blocks hold another number of records, OSError on a full disk.
    """
    data_format = {
        "dimension_order": "CW", "component_order": COMPONENTS, "sampling_rate": sampling_rate_hz,
        "unit": unit, "measurement": "seismogram",
        "instrument_response": "restituted" if restituted else "not restituted",
    }  # fmt: skip
    offset = _make_file(path, bucket_sizes(records, bucket_records), samples, data_format)
    end = offset + records * len(COMPONENTS) * samples * 4
    with open(path, "r+b") as file:
        if hasattr(os, "posix_fallocate"):  # Linux: a disk that is too small says so before the work
            os.posix_fallocate(file.fileno(), 0, max(end, os.path.getsize(path)))
        file.seek(offset)
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype="<f4"))
        if file.tell() != end:
            raise StoreError(f"{path}: {file.tell() - offset} bytes of records came, expected {end - offset}")


def _make_file(path: Path, buckets: list[int], samples: int, data_format: dict[str, Any]) -> int:
    """An HDF5 file with SeisBench's groups and empty datasets; returns where the first one's bytes lie."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    # HDF5's own notes go to one piece before the data: nothing comes between two datasets.
    access.set_meta_block_size(max(_SMALLEST_METADATA, _METADATA_PER_BUCKET * len(buckets)))
    options = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    options.set_layout(h5py.h5d.CONTIGUOUS)
    options.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    options.set_fill_time(h5py.h5d.FILL_TIME_NEVER)

    created = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    for properties in (created, options):  # no times: the same records give the same bytes
        properties.set_obj_track_times(False)

    identifier = h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_TRUNC, fcpl=created, fapl=access)
    with h5py.File(identifier) as file:
        about = file.create_group("data_format")
        for name, value in data_format.items():
            about.create_dataset(name, data=value, track_times=False)
        data = file.create_group("data")
        offsets = []
        for number, records in enumerate(buckets):
            space = h5py.h5s.create_simple((records, len(COMPONENTS), samples))
            name = f"bucket{number}".encode()
            dataset = h5py.h5d.create(data.id, name, h5py.h5t.IEEE_F32LE, space, options)
            offsets.append(dataset.get_offset())
    sizes = [records * len(COMPONENTS) * samples * 4 for records in buckets]
    if any(a + size != b for a, size, b in zip(offsets, sizes, offsets[1:], strict=False)):
        raise StoreError(f"{path}: HDF5 {h5py.version.hdf5_version} did not place the datasets in one row")
    return offsets[0]


def write_metadata(folder: Path, metadata: pd.DataFrame, about: dict[str, Any]) -> None:
    """Write metadata.csv (columns of packed.COLUMNS) and store.json, which holds `about` and its checksum."""
    path = folder / METADATA
    text = metadata[list(COLUMNS)].to_csv(index=False, lineterminator="\n", float_format="%.9g")
    path.write_text(text, encoding="utf-8")
    write_json(
        folder / ABOUT,
        {
            "format": FORMAT, "version": VERSION, "component_order": COMPONENTS,
            "metadata_sha256": sha256_bytes(text.encode()), **about,
        },
    )  # fmt: skip


__all__ = ["WAVEFORMS", "bucket_sizes", "trace_names", "write_metadata", "write_waveforms"]
