"""How the packed store reads, beside the other layouts that it could have had.

    python benchmarks/seismic_store.py --quick

The same records (three components, 7,000 samples, float32 of integer counts) are written as: the store's
own layout (HDF5 without chunks, mapped into memory), the same file read through HDF5, HDF5 in chunks of one
and of 32 records, in compressed chunks of one, a plain .npy that is mapped, and zarr where it is installed.
Then each is read on one thread from the page cache: single records and batches of 64 in random order
(training), and batches in a row (evaluation); chunked HDF5 record by record where the order is random, which
is its fastest way, with room for two chunks of 32. Rounds alternate between layouts; the best of each is
shown. The last line is one JSON object, in records per second.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
from threadpoolctl import threadpool_limits

from earthsignals.seismic.store.integrity import checksum
from earthsignals.seismic.store.packed import COLUMNS, WAVEFORMS, open_store
from earthsignals.seismic.store.statistics import training_statistics
from earthsignals.seismic.store.writing import trace_names, write_metadata, write_waveforms
from earthsignals.storage import write_json
from earthsignals.tracking import describe_machine

SAMPLES, BATCH, BUCKET = 7000, 64, 1024
OURS = "store (HDF5 without chunks, mapped)"
Read = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer records; ends within half a minute")
    parser.add_argument("--report", type=Path, help="also write the JSON object to this file")
    options = parser.parse_args()
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        records, rounds = (512, 3) if options.quick else (4096, 5)
        result = measure(Path(folder), records, rounds)
    print(f"{'records per second':<38}{'MB':>7}{'single':>10}{'random':>10}{'in a row':>10}")
    for name, row in result["layouts"].items():
        print(f"{name:<38}{row['megabytes']:>7.0f}" + "".join(f"{row[key]:>10,.0f}" for key in ORDERS))
    if options.report:
        write_json(options.report, result)
    print(json.dumps(result))


ORDERS = ("single", "random", "in_a_row")


def measure(folder: Path, records: int, rounds: int) -> dict[str, object]:
    """Records per second of every layout and order of reading."""
    waveforms = make_records(records)
    layouts = dict(write_layouts(folder, waveforms))
    order = np.random.default_rng(1).permutation(records)
    plans = {
        "single": [order[i : i + 1] for i in range(min(records, 256))],
        "random": [order[i : i + BATCH] for i in range(0, records - BATCH + 1, BATCH)],
        "in_a_row": [np.arange(i, i + BATCH) for i in range(0, records - BATCH + 1, BATCH)],
    }
    for read, _ in layouts.values():  # every layout gives the same records, and is in the page cache
        for rows in plans["in_a_row"]:
            if not np.array_equal(read(rows), waveforms[rows]):
                raise AssertionError("a layout gives other records")
    best: dict[str, dict[str, float]] = {name: dict.fromkeys(ORDERS, 0.0) for name in layouts}
    for _ in range(rounds):
        for name, (read, _) in layouts.items():
            for key, plan in plans.items():
                best[name][key] = max(best[name][key], _rate(read, plan))
    table = {
        name: {"megabytes": size / 1e6, **best[name]} for name, (_, size) in layouts.items()
    }
    chosen = table[OURS]
    others = [row for name, row in table.items() if name != OURS]
    return {
        "store_records_per_s": chosen["random"],
        "speedup_vs_best_chunked": chosen["random"] / max(
            row["random"] for name, row in table.items() if "chunks of" in name
        ),
        "share_of_fastest": chosen["random"] / max(row["random"] for row in others),
        "layouts": table, "records": records, "batch": BATCH, "threads": 1, "machine": describe_machine(),
    }  # fmt: skip


def make_records(records: int) -> np.ndarray:
    """(records, 3, SAMPLES) float32: coloured noise with a burst, in integer counts less a straight line."""
    random = np.random.default_rng(0)
    base = random.standard_normal((16, 3, SAMPLES)).cumsum(axis=-1) * 20
    base[:, :, 1000:] *= np.exp(-np.arange(SAMPLES - 1000) / 900) * 30 + 1
    which, scale = random.integers(0, 16, records), random.uniform(0.5, 2.0, records)
    drawn = enumerate(zip(which, scale, strict=True))
    return np.stack([np.rint(base[w] * s) - i % 7 / 7 for i, (w, s) in drawn]).astype(np.float32)


def write_layouts(folder: Path, waveforms: np.ndarray) -> Iterator[tuple[str, tuple[Read, int]]]:
    """Name of each layout, how it is read by rows, and its bytes on the disk."""
    (folder / "store").mkdir()
    _write_store(folder / "store", waveforms)
    path = folder / "store" / WAVEFORMS
    yield OURS, (open_store(folder / "store", verify=False).read, path.stat().st_size)

    data = h5py.File(path, "r")["data"]
    buckets = [data[f"bucket{number}"] for number in range(len(data))]

    def through_hdf5(rows: np.ndarray) -> np.ndarray:
        return np.stack([buckets[row // BUCKET][row % BUCKET] for row in rows])

    yield "the same, read through HDF5", (through_hdf5, path.stat().st_size)

    for name, chunk, compression in (
        ("HDF5, chunks of 1", 1, None),
        ("HDF5, chunks of 32", 32, None),
        ("HDF5, gzipped chunks of 1", 1, "gzip"),
    ):
        target = folder / f"{chunk}-{compression}.h5"
        with h5py.File(target, "w") as file:
            file.create_dataset(
                "x", data=waveforms, chunks=(chunk, *waveforms.shape[1:]), compression=compression,
                shuffle=compression is not None,
            )  # fmt: skip
        dataset = h5py.File(target, "r", rdcc_nbytes=6 << 20)["x"]
        yield name, (_reader(dataset), target.stat().st_size)

    np.save(folder / "plain.npy", waveforms)
    mapped = np.load(folder / "plain.npy", mmap_mode="r", allow_pickle=False)
    yield "plain .npy, mapped", (lambda rows: mapped[rows], (folder / "plain.npy").stat().st_size)

    try:
        import zarr
    except ImportError:
        return
    for chunk in (1, 32):
        target = folder / f"{chunk}.zarr"
        array = zarr.create_array(
            target, shape=waveforms.shape, chunks=(chunk, *waveforms.shape[1:]), dtype="f4", compressors=None
        )
        array[:] = waveforms
        size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
        yield f"zarr, chunks of {chunk}", ((lambda rows, a=array: a.oindex[rows]), size)


def _write_store(folder: Path, waveforms: np.ndarray) -> None:
    import pandas as pd

    write_waveforms(
        folder / WAVEFORMS, [waveforms], records=len(waveforms), samples=SAMPLES, bucket_records=BUCKET,
        sampling_rate_hz=100.0, unit="counts",
    )  # fmt: skip
    blank = {name: "" if kind == "str" else 0 for name, kind in COLUMNS.items()}
    metadata = pd.DataFrame([blank] * len(waveforms))
    metadata["trace_name"] = trace_names(len(waveforms), BUCKET, SAMPLES)
    metadata["trace_crc32"] = [checksum(waveform) for waveform in waveforms]
    about = {"samples": SAMPLES, "sampling_rate_hz": 100.0, "statistics": training_statistics(metadata)}
    write_metadata(folder, metadata, about)


def _reader(dataset: h5py.Dataset) -> Read:
    """Rows of a chunked dataset: at once if they are in a row, else one by one."""

    def read(rows: np.ndarray) -> np.ndarray:
        if (np.diff(rows) == 1).all():
            return dataset[rows[0] : rows[-1] + 1]
        return np.stack([dataset[row] for row in rows])

    return read


def _rate(read: Read, plan: list[np.ndarray]) -> float:
    started = time.perf_counter()
    for rows in plan:
        read(rows)
    return sum(map(len, plan)) / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
