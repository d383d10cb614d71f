"""Prediction: a file of scans in, mole fractions with intervals and flags out, any length."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from earthsignals.compute.mapping import progress
from earthsignals.params import validate
from earthsignals.storage import EarthSignalsError, atomic_path
from earthsignals.tdlas.checkpoint import ScanDescription, load_filter_net
from earthsignals.tdlas.dataset import (
    DARK,
    FORMAT,
    NOT_FINITE,
    SATURATED,
    ScanFile,
    Scans,
    open_scans,
)
from earthsignals.tdlas.evaluate import OUTPUTS, predict_net
from earthsignals.tdlas.ingest import ingest_for_prediction
from earthsignals.tdlas.lines import embedded_lines
from earthsignals.tdlas.params import TdlasParams

OUT_OF_RANGE = 8
FLAG_NAMES = {
    SATURATED: "saturated", NOT_FINITE: "not-finite", DARK: "dark", OUT_OF_RANGE: "out-of-range",
}  # fmt: skip
UNUSABLE = SATURATED | NOT_FINITE | DARK
BATCH = 4096
MARGIN = 0.02  # a condition this share of the trained range outside it is still "in range"


def load_predictor(path: Path):
    """(predict, scans it is for, parameters) of a `.pt` checkpoint or an `.onnx` network."""
    path = Path(path)
    if path.suffix == ".onnx":
        from earthsignals.tdlas.export import load_onnx

        predict, scans, content = load_onnx(path)
        return predict, scans, content["params"]
    net = load_filter_net(path)
    return (lambda signal, c: predict_net(net, signal, c)), net.scans, net.params


def predict_file(source: Path, model: Path, out: Path) -> dict[str, int]:
    """Predict every scan of `source` with `model` and write `out` (.csv or .h5), atomically.

    Saturated, dark and non-finite scans get NaN and a flag; predictions outside the trained ranges
    are kept and flagged. Returns the number of scans and of each flag. Raises EarthSignalsError for
    scans of another window, path or sampling than the model's.
    """
    if out.suffix not in (".csv", ".h5"):
        raise EarthSignalsError(f"{out}: results are written as .csv or .h5; choose such a name")
    predict, described, stored = load_predictor(model)
    counts = dict.fromkeys(["scans", *FLAG_NAMES.values()], 0)
    with _scans(Path(source), described, stored) as file:
        described.check(file, str(source))
        with _writer(out, len(file)) as write, progress("predicting", len(file), "scans") as bar:
            for _, scans in file.batches(BATCH):
                outputs, flags = predict_scans(predict, described, scans)
                write(outputs, flags)
                counts["scans"] += len(scans)
                for bit, name in FLAG_NAMES.items():
                    counts[name] += int(((flags & bit) > 0).sum())
                bar.advance(len(scans))
    return counts


def predict_scans(
    predict, described: ScanDescription, scans: Scans
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Outputs (B,) by name and flags (B,) of some scans; unusable ones are NaN, not numbers."""
    c = scans.conditions
    states = {"T": c.temperature_k, "P": c.pressure_atm}
    known = np.isfinite(np.stack(list(states.values()))).all(axis=0)
    flags = np.where(known, scans.flags, scans.flags | NOT_FINITE).astype(np.uint8)
    good = (flags & UNUSABLE) == 0
    outputs = {name: np.full(len(scans), np.nan) for name in OUTPUTS}
    if good.any():
        for name, values in predict(scans.signal[good], c[good]).items():
            outputs[name][good] = values
    states["xi"] = outputs["ppm"] * 1e-6
    for name, values in states.items():
        low, high = described.ranges[name]
        slack = MARGIN * (high - low) + 1e-9
        # Below the lowest trained mole fraction the answer is a blank, which the model knows.
        below = values < (low - slack if name != "xi" else -slack)
        flags[good & (below | (values > high + slack))] |= OUT_OF_RANGE
    return outputs, flags


@contextmanager
def _scans(source: Path, described: ScanDescription, stored: dict) -> Iterator[ScanFile]:
    """Open a dataset file, or bring a foreign file into its form first."""
    if _is_dataset(source):
        with open_scans(source) as file:
            yield file
        return
    params = validate(TdlasParams, stored, source="the model's parameters", prefix="tdlas")
    with tempfile.TemporaryDirectory(prefix="scans-") as folder:
        converted = Path(folder) / "scans.h5"
        ingest_for_prediction(source, params, embedded_lines(), converted, described.level)
        with open_scans(converted) as file:
            yield file


def _is_dataset(source: Path) -> bool:
    try:
        with h5py.File(source, "r") as file:
            return file.attrs.get("format") == FORMAT
    except OSError:
        # Not HDF5 at all, or broken: a broken dataset is named by open_scans, the rest by ingest.
        return source.suffix in (".h5", ".hdf5") and source.is_file()


@contextmanager
def _writer(out: Path, scans: int):
    """A function (outputs, flags) -> None that appends rows to `out`, which appears at the end."""
    columns = ("mole_fraction_ppm", "standard_error_ppm", *OUTPUTS[2:])
    with atomic_path(out) as temporary:
        if out.suffix == ".csv":
            with open(temporary, "w", newline="") as stream:
                table = csv.writer(stream)
                table.writerow(["scan", *columns, "flags"])
                row = 0

                def write(outputs: dict[str, np.ndarray], flags: np.ndarray) -> None:
                    nonlocal row
                    for k, flag in enumerate(flags.tolist()):
                        named = "+".join(n for bit, n in FLAG_NAMES.items() if flag & bit) or "ok"
                        values = (f"{outputs[name][k]:.6g}" for name in OUTPUTS)
                        table.writerow([row, *values, named])
                        row += 1

                yield write
            return
        with h5py.File(temporary, "w", libver="v110") as file:
            for name in columns:
                file.create_dataset(name, (scans,), "f8", track_times=False)
            file.create_dataset("flags", (scans,), "u1", track_times=False)
            file["flags"].attrs["meaning"] = ", ".join(f"{b}: {n}" for b, n in FLAG_NAMES.items())
            done = 0

            def write(outputs: dict[str, np.ndarray], flags: np.ndarray) -> None:
                nonlocal done
                rows = slice(done, done + len(flags))
                for name, source in zip(columns, OUTPUTS, strict=True):
                    file[name][rows] = outputs[source]
                file["flags"][rows] = flags
                done += len(flags)

            yield write
