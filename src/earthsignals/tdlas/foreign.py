"""Readers of scans that others wrote: HDF5, wide CSV, and folders of single-spectrum CSV files."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from earthsignals.tdlas.dataset import ScansError
from earthsignals.tdlas.params import TdlasParams
from earthsignals.tdlas.scan import wavenumber

ROWS = 2048
SPLIT_CODES = {
    "train": 0, "training": 0, "0": 0, "validation": 1, "val": 1, "1": 1, "test": 2, "2": 2,
}  # fmt: skip
COLUMNS = ("nu", "V", "t", "T", "P", "xi", "xi_ppm", "split", "group")
WINDOW_SLACK = 2e-4  # cm-1
LABELS = ("temperature_k", "pressure_atm", "mole_fraction_ppm", "split", "group")
SPECTRUM_NAME = re.compile(r"^\d+-\d+_\d+-\d+-\d+(-\d+)?\.csv$")


@dataclass(frozen=True)
class ForeignScans:
    """N scans of M samples: labels in memory, traces in batches.

    nu (M,) [cm-1], time (M,) [s]; temperature_k, pressure_atm, mole_fraction [1] (N,), NaN where
    unknown; split (N,) codes and group (N,) labels or None; `batches()` yields traces (B, M) in order.
    """

    where: str
    nu: np.ndarray
    time: np.ndarray
    temperature_k: np.ndarray
    pressure_atm: np.ndarray
    mole_fraction: np.ndarray
    split: np.ndarray | None
    group: np.ndarray | None
    path_cm: float | None
    full_scale: int
    integer: bool
    largest: float
    batches: Callable[[], Iterator[np.ndarray]]

    def __len__(self) -> int:
        return len(self.temperature_k)


def read_foreign(source: Path, params: TdlasParams) -> ForeignScans:
    """Scans of a file or folder. Raises ScansError naming what is missing or wrong."""
    if source.is_dir():
        return _read_spectra(source)
    if not source.is_file():
        raise ScansError(
            f"{source}: no such file of scans; tdlas.dataset.source takes 'simulated' or the path of an "
            ".h5 or .csv file, or a folder of single spectra (docs/tdlas-scans.md)."
        )
    if source.suffix == ".csv":
        return _read_wide_csv(source)
    return _read_hdf5(source, params)


# -------------------------------------------------------------------------------------- HDF5
def _read_hdf5(path: Path, params: TdlasParams) -> ForeignScans:
    where = str(path)
    try:
        with h5py.File(path, "r") as file:
            # Whatever else the file holds (clean absorbances, images, groups) stays unread.
            arrays = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
            columns = {name: arrays[name][()] for name in COLUMNS if name in arrays}
            attributes = dict(file.attrs)
            name = next((n for n in ("I_t", "signal") if n in arrays), None)
            if name is None:
                raise ScansError(f"{where}: no dataset I_t or signal (N, M) in it: {list(file)}.")
            shape, dtype = arrays[name].shape, arrays[name].dtype
            scale = dict(arrays[name].attrs)
    except OSError as error:
        raise ScansError(
            f"{where} cannot be read as HDF5 ({str(error).splitlines()[0][:90]}): it is truncated or "
            "of another format. Copy it again, or give .h5 or .csv scans."
        ) from None
    if len(shape) != 2 or 0 in shape or dtype.kind not in "iuf":
        raise ScansError(f"{where}: {name} has shape {shape} of {dtype}; expected real numbers (N, M).")

    def batches() -> Iterator[np.ndarray]:
        with h5py.File(path, "r") as file:
            for start in range(0, shape[0], ROWS):
                yield file[name][start : start + ROWS]

    _check_window(attributes, where, params)
    n, m = shape
    nu = _axis(columns, where, m, params)
    mole_fraction = np.full(n, np.nan)
    for key, factor in (("xi", 1.0), ("xi_ppm", 1e-6)):
        if key in columns:
            mole_fraction = _per_scan(columns[key], key, n, where) * factor
    split = columns.get("split")
    group = columns.get("group")
    time = np.asarray(columns.get("t", np.arange(m)), float)
    if time.shape != (m,):
        raise ScansError(f"{where}: t has shape {time.shape}, expected ({m},): one time per sample.")
    return ForeignScans(
        where=where, nu=nu, time=time,
        temperature_k=_required("T", columns, attributes, n, where),
        pressure_atm=_required("P", columns, attributes, n, where),
        mole_fraction=mole_fraction,
        split=None if split is None else _codes([_text(v) for v in split], where),
        group=None if group is None else np.array([_text(v) for v in group]),
        path_cm=float(attributes["path_cm"]) if "path_cm" in attributes else None,
        full_scale=int(scale.get("full_scale", attributes.get("full_scale", 0))),
        integer=dtype.kind in "iu",
        largest=_largest_count(batches) if dtype.kind in "iu" else np.inf,
        batches=batches,
    )  # fmt: skip


def _largest_count(batches: Callable[[], Iterator[np.ndarray]]) -> float:
    """The largest count of integer traces; infinite where a negative one rules out unsigned storage."""
    largest = 0
    for batch in batches():
        if batch.min() < 0:
            return np.inf
        largest = max(largest, int(batch.max()))
    return float(largest)


def _check_window(attributes: dict[str, Any], where: str, params: TdlasParams) -> None:
    """A file that names its window [cm-1] must name the declared one."""
    if "window" not in attributes:
        return
    declared = (params.lines.window_low, params.lines.window_high)
    try:
        low, high = (float(v) for v in np.ravel(attributes["window"]))
    except ValueError:
        raise ScansError(
            f"{where}: the attribute window is {attributes['window']}, expected two wavenumbers in cm-1; "
            "correct it or leave it out."
        ) from None
    if max(abs(low - declared[0]), abs(high - declared[1])) > WINDOW_SLACK:
        raise ScansError(
            f"{where}: the scans' window is {low:g} .. {high:g} cm-1, the declared one "
            f"{declared[0]:g} .. {declared[1]:g}; set tdlas.lines.window_low and window_high to the "
            "scans' own."
        )


def _axis(columns: dict[str, Any], where: str, samples: int, params: TdlasParams) -> np.ndarray:
    if "nu" in columns:
        nu = np.asarray(columns["nu"], float)
    elif "V" in columns:
        window = (params.lines.window_low, params.lines.window_high)
        nu = wavenumber(np.asarray(columns["V"], float), window)
    else:
        raise ScansError(f"{where}: no axis; give nu (M,) in cm-1 or the drive V (M,) in [0, 2].")
    if nu.shape != (samples,):
        raise ScansError(
            f"{where}: the axis has shape {nu.shape}, expected ({samples},): one value per sample, the "
            "same for all scans. Interpolate scans of different axes onto one."
        )
    return nu


def _required(
    name: str, columns: dict[str, Any], attributes: dict[str, Any], scans: int, where: str
) -> np.ndarray:
    if name not in columns and name not in attributes:
        unit = {"T": "kelvin", "P": "atm"}[name]
        raise ScansError(f"{where}: no {name}; give it per scan, or one number, in {unit}.")
    return _per_scan(columns.get(name, attributes.get(name)), name, scans, where)


def _per_scan(values: Any, name: str, scans: int, where: str) -> np.ndarray:
    try:
        return np.broadcast_to(np.asarray(values, float), (scans,)).copy()
    except ValueError:
        raise ScansError(
            f"{where}: {name} has shape {np.shape(values)}, expected ({scans},) or one number."
        ) from None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _codes(names: list[str], where: str) -> np.ndarray:
    unknown = sorted({n for n in names if n.strip().lower() not in SPLIT_CODES})
    if unknown:
        raise ScansError(
            f"{where}: split holds {', '.join(unknown[:3])}; expected train, validation or test (0, 1, 2)."
        )
    return np.array([SPLIT_CODES[n.strip().lower()] for n in names], dtype=np.uint8)


# --------------------------------------------------------------------------------------- CSV
def _read_wide_csv(path: Path) -> ForeignScans:
    """One scan a row; columns temperature_k, pressure_atm, optional labels, then wavenumbers."""
    where = str(path)
    comments, header = _head(path)
    labels = [name for name in header if name in LABELS]
    for name in ("temperature_k", "pressure_atm"):
        if name not in labels:
            raise ScansError(
                f"{where}: no column {name}; the header must be temperature_k, pressure_atm[, "
                "mole_fraction_ppm][, split][, group] and then one wavenumber in cm-1 per sample."
            )
    try:
        nu = np.array([float(name) for name in header if name not in LABELS])
    except ValueError as error:
        raise ScansError(
            f"{where}: {error} in the header; beside {', '.join(LABELS)} every column name must be a "
            "wavenumber in cm-1."
        ) from None
    columns: dict[str, list[str]] = {name: [] for name in labels}
    for row in _rows(path, header):
        for name in labels:
            columns[name].append(row[header.index(name)])
    n = len(columns["temperature_k"])
    if n == 0:
        raise ScansError(f"{where}: no scan below the header; expected one per row.")
    sampled = [k for k, name in enumerate(header) if name not in LABELS]

    def batches() -> Iterator[np.ndarray]:
        batch: list[np.ndarray] = []
        for row in _rows(path, header):
            batch.append(_numbers([row[k] for k in sampled], where))
            if len(batch) == ROWS:
                yield np.array(batch)
                batch = []
        if batch:
            yield np.array(batch)

    ppm = columns.get("mole_fraction_ppm")
    return ForeignScans(
        where=where, nu=nu, time=np.arange(len(nu), dtype=float),
        temperature_k=_numbers(columns["temperature_k"], where),
        pressure_atm=_numbers(columns["pressure_atm"], where),
        mole_fraction=np.full(n, np.nan) if ppm is None else _numbers(ppm, where) * 1e-6,
        split=_codes(columns["split"], where) if "split" in columns else None,
        group=np.array(columns["group"]) if "group" in columns else None,
        path_cm=float(comments["path_cm"]) if "path_cm" in comments else None,
        full_scale=int(comments.get("full_scale", 0)), integer=False, largest=np.inf, batches=batches,
    )  # fmt: skip


def _head(path: Path) -> tuple[dict[str, str], list[str]]:
    """Comments `# key: value` and the header row of a CSV file."""
    comments: dict[str, str] = {}
    with open(path, newline="") as stream:
        for line in stream:
            if line.startswith("#"):
                key, _, value = line[1:].partition(":")
                comments[key.strip()] = value.strip()
            elif line.strip():
                return comments, [name.strip() for name in next(csv.reader([line]))]
    raise ScansError(f"{path}: the file is empty; expected a header and one scan per row.")


def _rows(path: Path, header: list[str]) -> Iterator[list[str]]:
    with open(path, newline="") as stream:
        lines = (line for line in stream if line.strip() and not line.startswith("#"))
        for number, row in enumerate(csv.reader(lines)):
            if number == 0:
                continue
            if len(row) != len(header):
                raise ScansError(
                    f"{path}: data row {number} has {len(row)} columns, the header {len(header)}; the "
                    "file may be truncated. Write it again."
                )
            yield row


def _numbers(texts: list[str], where: str) -> np.ndarray:
    """Floats of some cells; an empty one is NaN."""
    try:
        return np.array([float(t) if t.strip() else np.nan for t in texts])
    except ValueError as error:
        raise ScansError(f"{where}: {error}; expected a number or an empty cell.") from None


# ------------------------------------------------------------------------------ single spectra
def _read_spectra(folder: Path) -> ForeignScans:
    """A folder of TTT-P_P-LLLL-XXXXX.csv files as `earthsignals tdlas dump` writes them."""
    where = str(folder)
    paths = sorted(p for p in folder.glob("*.csv") if SPECTRUM_NAME.match(p.name))
    if not paths:
        raise ScansError(
            f"{where}: no spectra named TTT-P_P-LLLL-XXXXX.csv in it; give such a folder, or one .h5 or "
            ".csv file of scans."
        )
    comments = [_head(path)[0] for path in paths]
    first = _spectrum(paths[0])
    try:
        labels = [[float(c[name]) for c in comments] for name in LABELS[:3]]
        lengths = {float(c["path_cm"]) for c in comments}
    except KeyError as error:
        raise ScansError(f"{where}: a spectrum lacks the comment {error}; write them with `dump`.") from None
    if len(lengths) > 1:
        raise ScansError(f"{where}: paths of {sorted(lengths)} cm; one dataset has one path length.")

    def batches() -> Iterator[np.ndarray]:
        for start in range(0, len(paths), ROWS):
            yield np.array([_spectrum(p, first["nu"])["signal"] for p in paths[start : start + ROWS]])

    t, p, ppm = (np.array(values) for values in labels)
    return ForeignScans(
        where=where, nu=first["nu"], time=first["time"], temperature_k=t, pressure_atm=p,
        mole_fraction=ppm * 1e-6, split=None, group=None, path_cm=lengths.pop(), full_scale=0,
        integer=False, largest=np.inf, batches=batches,
    )  # fmt: skip


def _spectrum(path: Path, axis: np.ndarray | None = None) -> dict[str, np.ndarray]:
    _, header = _head(path)
    try:
        where = {name: header.index(name) for name in ("t_s", "nu_cm-1", "I_t")}
    except ValueError as error:
        raise ScansError(f"{path}: {error}; expected columns t_s, nu_cm-1 and I_t.") from None
    table = np.array([_numbers(row, str(path)) for row in _rows(path, header)])
    nu = table[:, where["nu_cm-1"]]
    if axis is not None and (len(nu) != len(axis) or np.abs(nu - axis).max() > 1e-6):
        raise ScansError(f"{path}: its wavenumber axis is not that of the other spectra in the folder.")
    return {"nu": nu, "time": table[:, where["t_s"]], "signal": table[:, where["I_t"]]}
