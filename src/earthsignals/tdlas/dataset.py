"""The dataset file: scans as ADC counts with their gas states, written once and bit-identical.

Layout of `dataset.h5` (N scans of M samples; simulated and measured scans share it):

    I_t    (N, M) uint16 or float32   detector trace; signal = I_t * scale_factor [mid-scan power]
    nu     (M,) float64               wavenumber of each sample [cm-1]
    t      (M,) float64               time of each sample [s]
    T, P   (N,) float64               temperature [K], pressure [atm]
    xi     (N,) float64               CH4 mole fraction [1]; NaN where unknown
    split  (N,) uint8                 0 train, 1 validation, 2 test

Attributes carry the schema version, window, path, line-list hash, seed and every parameter, so that
the file alone rebuilds its simulator.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from earthsignals.compute.mapping import ordered_map
from earthsignals.storage import EarthSignalsError, atomic_path
from earthsignals.tdlas.lines import LineList
from earthsignals.tdlas.params import TdlasParams
from earthsignals.tdlas.simulate import Conditions, Simulator, make_simulator

FORMAT = "earthsignals.tdlas.scans"
VERSION = 1
SPLITS = {"train": 0, "validation": 1, "test": 2}
UNITS = {
    "I_t": "ADC counts", "nu": "cm-1", "t": "s", "T": "K", "P": "atm",
    "xi": "CH4 mole fraction (1)", "split": "0 train, 1 validation, 2 test",
}  # fmt: skip
SATURATED, NOT_FINITE, DARK = 1, 2, 4


class ScansError(EarthSignalsError):
    """A file of scans that cannot be used, with the remedy."""


@dataclass(frozen=True)
class Scans:
    """Some scans in memory: signal (B, M) float32 [mid-scan power], gas states, flags (B,) uint8."""

    signal: np.ndarray
    conditions: Conditions
    flags: np.ndarray

    def __len__(self) -> int:
        return len(self.signal)


@dataclass(frozen=True)
class ScanFile:
    """An open file of scans. Reads rows on demand; nothing is loaded before it is asked for."""

    path: Path
    handle: h5py.File
    nu: np.ndarray
    window: tuple[float, float]
    path_cm: float
    scale: float
    full_scale_counts: int | None
    attributes: dict[str, Any]

    def __len__(self) -> int:
        return self.handle["I_t"].shape[0]

    @property
    def samples(self) -> int:
        """Samples per scan."""
        return self.handle["I_t"].shape[1]

    @property
    def simulated(self) -> bool:
        """Were these scans made by this pipeline's simulator?"""
        return self.attributes["source"] == "simulated"

    def rows(self, split: str) -> np.ndarray:
        """Indices (B,) of the scans of a split."""
        return np.flatnonzero(self.handle["split"][:] == SPLITS[split])

    def read(self, rows: np.ndarray | slice) -> Scans:
        """Scans of the given rows (increasing indices or a slice)."""
        h = self.handle
        counts = _take(h["I_t"], rows)
        conditions = Conditions(*(_take(h[name], rows) for name in ("T", "P", "xi")))
        flags = scan_flags(counts, self.full_scale_counts)
        signal = counts.astype(np.float32)
        signal *= np.float32(self.scale)
        return Scans(signal, conditions, flags)

    def batches(self, size: int = 4096) -> Iterator[tuple[int, Scans]]:
        """All scans in order, `size` at a time: (first row, scans)."""
        for start in range(0, len(self), size):
            yield start, self.read(slice(start, min(start + size, len(self))))


def _take(dataset: h5py.Dataset, rows: np.ndarray | slice) -> np.ndarray:
    """Rows of a dataset; runs of consecutive indices become slices, which h5py reads fast."""
    if isinstance(rows, slice) or len(rows) == 0:
        return dataset[rows] if isinstance(rows, slice) else dataset[0:0]
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    if len(breaks) > len(rows) // 8:
        low, high = int(rows[0]), int(rows[-1]) + 1
        return dataset[low:high][rows - low]
    return np.concatenate([dataset[run[0] : run[-1] + 1] for run in np.split(rows, breaks)])


def scan_flags(trace: np.ndarray, full_scale_counts: int | None) -> np.ndarray:
    """Bits (B,) uint8 of traces (B, M): SATURATED, NOT_FINITE, DARK (no light at all)."""
    finite = np.isfinite(trace).all(axis=1) if trace.dtype.kind == "f" else np.ones(len(trace), bool)
    flags = np.where(finite, 0, NOT_FINITE).astype(np.uint8)
    with np.errstate(invalid="ignore"):
        top = trace.max(axis=1)
    if full_scale_counts is not None:
        flags |= np.where(top >= full_scale_counts, SATURATED, 0).astype(np.uint8)
    flags |= np.where(finite & ~(top > 0), DARK, 0).astype(np.uint8)
    return flags


@contextmanager
def open_scans(path: str | Path) -> Iterator[ScanFile]:
    """Open a dataset file for reading. Raises ScansError naming what is wrong with it."""
    path = Path(path)
    if not path.is_file():
        raise ScansError(f"{path}: no such dataset; run `dvc repro tdlas-dataset` or `dvc pull`.")
    try:
        handle = h5py.File(path, "r")
    except OSError as error:
        raise ScansError(
            f"{path} cannot be read as HDF5 ({str(error).splitlines()[0][:90]}): it is truncated or "
            "not a dataset. Delete it and run `dvc repro tdlas-dataset` (or `dvc pull`) again."
        ) from None
    with handle:
        attributes = dict(handle.attrs)
        if attributes.get("format") != FORMAT or attributes.get("version") != VERSION:
            raise ScansError(
                f"{path} is no {FORMAT} file of version {VERSION}; expected one written by "
                "`tdlas-dataset`. To use scans of your own set tdlas.dataset.source to the file "
                "(docs/tdlas-scans.md gives the schema)."
            )
        missing = sorted(set(UNITS) - set(handle))
        if missing or len({handle[n].shape[0] for n in ("I_t", "T", "P", "xi", "split")}) != 1:
            raise ScansError(
                f"{path} lacks {missing or 'rows in some of its columns'}; write it again with "
                "`dvc repro tdlas-dataset`."
            )
        full = int(handle["I_t"].attrs["full_scale"])
        yield ScanFile(
            path=path,
            handle=handle,
            nu=handle["nu"][:],
            window=tuple(np.asarray(attributes["window"]).tolist()),
            path_cm=float(attributes["path_cm"]),
            scale=float(handle["I_t"].attrs["scale_factor"]),
            full_scale_counts=full or None,
            attributes=attributes,
        )


# ---------------------------------------------------------------------------------- writing
@contextmanager
def writing(
    path: Path, scans: int, nu: np.ndarray, t: np.ndarray, *, dtype: str, scale: float,
    full_scale: int, attributes: dict[str, Any],
) -> Iterator[h5py.File]:  # fmt: skip
    """A new dataset file that appears under its name only when the block ends well.

    Its room on the disk is taken at once: HDF5 crashes the interpreter when it cannot write, and a disk
    that is too small had better say so before hours of simulation.
    """
    with atomic_path(path) as temporary:
        with h5py.File(temporary, "w", libver="v110") as file:
            samples, plain = len(nu), {"track_times": False}
            rows = min(128, scans)
            whole = -(-scans // rows) * rows  # HDF5 stores whole chunks
            _reserve(file, whole * (samples * np.dtype(dtype).itemsize + 25) + (1 << 20))
            file.create_dataset("I_t", (scans, samples), dtype, chunks=(rows, samples), **plain)
            file["I_t"].attrs.update(scale_factor=scale, full_scale=full_scale)
            file.create_dataset("nu", data=nu, **plain)
            file.create_dataset("t", data=t, **plain)
            for name in ("T", "P", "xi"):
                file.create_dataset(name, (scans,), "f8", **plain)
            file.create_dataset("split", (scans,), "u1", **plain)
            for name, unit in UNITS.items():
                file[name].attrs["units"] = unit
            for name, value in {"format": FORMAT, "version": VERSION, **attributes}.items():
                file.attrs[name] = value
            yield file
            file.flush()
            size = file.id.get_filesize()
        os.truncate(temporary, size)


def _reserve(file: h5py.File, size: int) -> None:
    """Take `size` bytes of the disk for an open file; OSError where they are not there."""
    if hasattr(os, "posix_fallocate"):  # Linux; elsewhere a full disk shows when it is reached
        os.posix_fallocate(file.id.get_vfd_handle(), 0, size)


@dataclass(frozen=True)
class _Chunk:
    """Makes scans start..stop and leaves them in the resume folder; returns the file's name."""

    simulator: Simulator
    folder: Path

    def __call__(self, span: tuple[int, int]) -> Path:
        start, stop = span
        target = self.folder / f"{start:012d}-{stop:012d}.npz"
        if not _readable(target, stop - start):
            counts, c = self.simulator.scans(start, stop)
            with atomic_path(target) as temporary, open(temporary, "wb") as file:
                np.savez(
                    file, I_t=counts, T=c.temperature_k, P=c.pressure_atm, xi=c.mole_fraction
                )
        return target


def _readable(path: Path, scans: int) -> bool:
    """Is this a whole chunk of `scans` scans (left by an interrupted run)?"""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                return False
        with np.load(path, allow_pickle=False) as chunk:
            return len(chunk["I_t"]) == scans
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return False


def rebuild_parameters(params: TdlasParams) -> str:
    """The parameters that shape a simulated dataset, as canonical JSON."""
    sections = ("lines", "gas", "laser", "instrument", "dataset")
    kept = {name: getattr(params, name).model_dump(mode="json") for name in sections}
    kept["dataset"].pop("chunk_scans")  # how the work is cut does not change the file
    return json.dumps(kept, sort_keys=True)


def generate(
    lines: LineList,
    params: TdlasParams,
    path: Path,
    *,
    resume_root: Path,
    workers: int | None = None,
    executor: Any = None,
    simulator: Simulator | None = None,
) -> None:
    """Simulate `params.dataset.scans` scans into `path`, the same bytes for any workers or chunks.

    Finished chunks wait in `resume_root` until the file is whole; a killed run goes on from them.
    Memory holds a few chunks at any time. `executor` may be a Dask client or any `submit`-er;
    `simulator` that of `simulator_of(lines, params)`, where it was built already.
    """
    simulator = simulator_of(lines, params) if simulator is None else simulator
    n = params.dataset.scans
    described = rebuild_parameters(params)
    key = hashlib.sha256(f"{VERSION}/{lines.sha256()}/{described}".encode()).hexdigest()[:16]
    folder = resume_root / f"{key}-{params.dataset.chunk_scans}"
    folder.mkdir(parents=True, exist_ok=True)

    step = params.dataset.chunk_scans
    spans = [(start, min(start + step, n)) for start in range(0, n, step)]
    chunks = ordered_map(
        _Chunk(simulator, folder), spans, workers=workers, description="simulating", unit="scans",
        sizes=[stop - start for start, stop in spans], executor=executor,
    )  # fmt: skip
    grid = simulator.grid
    # Rounded, since cosines differ in their last bit between processors.
    with writing(
        path, n, np.round(grid.nu, 9), np.round(grid.time, 12), dtype="u2",
        scale=simulator.lsb, full_scale=2**params.instrument.adc_bits - 1,
        attributes={
            "source": "simulated", "window": grid.window, "path_cm": params.gas.path_cm,
            "lines_sha256": lines.sha256(), "lines_edition": lines.edition,
            "seed": params.dataset.seed, "params": described,
        },
    ) as file:  # fmt: skip
        # HDF5 places data in the order of writing: traces first, then each column in one piece,
        # so that the file does not remember how the work was cut.
        columns = {name: np.empty(n) for name in ("T", "P", "xi")}
        for (start, stop), name in zip(spans, chunks, strict=True):
            with np.load(name, allow_pickle=False) as chunk:
                file["I_t"][start:stop] = chunk["I_t"]
                for column, values in columns.items():
                    values[start:stop] = chunk[column]
        for column, values in columns.items():
            file[column][:] = values
        file["split"][:] = contiguous_split(n, params)
    shutil.rmtree(folder)


def simulator_of(lines: LineList, params: TdlasParams) -> Simulator:
    """The simulator that the parameters describe, with the knee of "bound" sampling if asked for."""
    parts = (lines, params.lines, params.gas, params.laser, params.instrument)
    sampling, seed = params.dataset.mole_fraction_sampling, params.dataset.seed
    simulator = make_simulator(*parts, sampling=sampling, seed=seed)
    if sampling == "bound":
        from earthsignals.tdlas.bound import fit_stabiliser, forward_model

        knee = fit_stabiliser(forward_model(simulator)).knee_ppm
        # Two digits: an optimiser's last bits differ between machines, and the file must not.
        simulator = replace(simulator, bound_scale=float(f"{knee:.1e}") * 1e-6)
    return simulator


def contiguous_split(scans: int, params: TdlasParams) -> np.ndarray:
    """Split codes (N,): simulated scans are independent, so train, validation, test lie in a row."""
    test = max(1, round(scans * params.dataset.test_fraction))
    validation = max(1, round(scans * params.dataset.validation_fraction))
    split = np.full(scans, SPLITS["train"], dtype=np.uint8)
    split[scans - test - validation :] = SPLITS["validation"]
    split[scans - test :] = SPLITS["test"]
    return split
