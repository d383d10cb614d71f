"""Evaluation on real data outside the repository: full HITRAN lists, or measured scans.

With a line list, scans are simulated from all its lines with the declared instrument, and the trained
network, which may have seen an abridged list only, is judged on them. With scans, it is judged on the
labelled ones. Nothing is trained on either.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from earthsignals.storage import EarthSignalsError, md5_path
from earthsignals.tdlas import scores
from earthsignals.tdlas.bound import bound_table, forward_model
from earthsignals.tdlas.checkpoint import LoadedNet
from earthsignals.tdlas.dataset import open_scans, simulator_of
from earthsignals.tdlas.evaluate import predict_net
from earthsignals.tdlas.ingest import ingest
from earthsignals.tdlas.lines import METHANE, LineList, keep_near, read_lines
from earthsignals.tdlas.params import TdlasParams
from earthsignals.tdlas.simulate import PPM, Conditions
from earthsignals.tdlas.stress import FIRST_INDEX
from earthsignals.tdlas.voigt import Gas, absorption_coefficient

SCANS = 4000


def evaluate_real(
    source: Path, net: LoadedNet, trained_on: LineList, params: TdlasParams
) -> dict[str, Any]:
    """Judge `net` on a line list, a folder of lists, or a file of scans.

    Returns metrics with the data's content hash and the model's md5. Raises EarthSignalsError where
    nothing in `source` fits the model's window.
    """
    source = Path(source)
    if not source.exists():
        raise EarthSignalsError(
            f"{source}: no such file or folder of real data; give its path, or set real_data in "
            "settings.yaml (EARTHSIGNALS_REAL_DATA)"
        )
    lists = _lists(source, net.scans.window)
    if lists:
        path, lines = lists
        found = _on_lines(lines, net, trained_on, params) | {"lines": path.name}
    else:
        path, found = source, _on_scans(source, net, trained_on, params)
    return found | {
        "data": path.name, "data_md5": md5_path(path), "model_md5": md5_path(net.path),
    }  # fmt: skip


def _lists(source: Path, window: tuple[float, float]) -> tuple[Path, LineList] | None:
    """The line list (of a folder: the one with the most methane lines) that covers the window."""
    if source.is_dir():
        candidates = sorted([*source.glob("*.data"), *source.glob("*.par")])
    else:
        candidates = [source] if source.suffix in (".data", ".par", ".header") else []
    best = None
    for path in candidates:
        lines = read_lines(path).of_molecule(METHANE)
        inside = len(lines.within(*window))
        if inside and (best is None or inside > len(best[1].within(*window))):
            best = (path, lines)
    if candidates and best is None:
        names = ", ".join(p.name for p in candidates)
        raise EarthSignalsError(
            f"{source}: none of {names} has methane lines in the model's window "
            f"{window[0]:g} .. {window[1]:g} cm-1; give a list that does"
        )
    return best


def _on_lines(
    lines: LineList, net: LoadedNet, trained_on: LineList, params: TdlasParams
) -> dict[str, Any]:
    low, high = params.lines.window_low, params.lines.window_high
    lines = keep_near(lines, low, high, params.lines.wing_margin, 0.0)
    simulator = replace(simulator_of(lines, params), sampling="log-uniform", seed=1)
    indices = np.arange(FIRST_INDEX, FIRST_INDEX + SCANS)
    conditions = simulator.draw_conditions(indices)
    counts = simulator.measure(indices, conditions, simulator.draw_nuisances(indices))
    signal = counts.astype(np.float32) * np.float32(simulator.lsb)
    bound = bound_table(forward_model(simulator)).ppm(conditions)
    found = _judge(net, signal, conditions, bound, params)
    nu = np.linspace(low, high, 3001)
    gas = Gas(296.0, 1.0, 1e-3)
    full = absorption_coefficient(nu, lines, gas, params.gas)
    seen = absorption_coefficient(nu, trained_on, gas, params.gas)
    return found | {
        "line_count": len(lines),
        "lines_sha256": lines.sha256(),
        "absorbance_difference_of_peak": float(np.abs(full - seen).max() / full.max()),
    }


def _on_scans(
    source: Path, net: LoadedNet, trained_on: LineList, params: TdlasParams
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="real-") as folder:
        path = Path(folder) / "scans.h5"
        ingest(source, params, trained_on, path)
        with open_scans(path) as file:
            net.check(file)
            scans = file.read(slice(None))
    good = (scans.flags == 0) & (scans.conditions.mole_fraction > 0)
    if not good.any():
        raise EarthSignalsError(f"{source}: no usable scan has a known mole fraction (xi) to judge by")
    outputs = predict_net(net, scans.signal[good], scans.conditions[good])
    found = _judge(net, scans.signal[good], scans.conditions[good], outputs["error_ppm"], params)
    return found | {"skipped_scans": int((~good).sum()), "unit": "predicted standard error"}


def _judge(
    net: LoadedNet, signal: np.ndarray, conditions: Conditions, bound: np.ndarray, params: TdlasParams
) -> dict[str, Any]:
    """Scores per decade of the declared range; `bound` (B,) is the unit of RMSE and bias [ppm]."""
    declared = params.gas.mole_fraction_ppm
    truth = conditions.mole_fraction / PPM
    outputs = predict_net(net, signal, conditions)
    masks = scores.by_decade(truth, scores.decades(declared.low, declared.high))
    per_decade = {
        name: scores.errors(outputs["ppm"][m], truth[m], bound[m])
        for name, m in masks.items()
        if m.sum() >= 10
    }
    return {
        "rmse_over_crlb": {name: score["rmse_over_crlb"] for name, score in per_decade.items()},
        "bias_over_crlb": {name: score["bias_over_crlb"] for name, score in per_decade.items()},
        "relative_error": {name: score["relative_error"] for name, score in per_decade.items()},
        "coverage_95": scores.coverage(truth, outputs["low_95"], outputs["high_95"]),
        "scans": len(truth),
    }
