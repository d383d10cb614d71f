"""Evaluation: the network beside least squares, ridge, PLS and the course's CNN, against the bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from earthsignals.compute.mapping import progress
from earthsignals.tdlas import scores
from earthsignals.tdlas.baselines import LinearModel
from earthsignals.tdlas.bound import BoundTable, ForwardModel, bound_table, forward_model
from earthsignals.tdlas.checkpoint import LoadedNet
from earthsignals.tdlas.course import Course, course_inputs
from earthsignals.tdlas.dataset import ScanFile, Scans, ScansError
from earthsignals.tdlas.least_squares import fit_scans
from earthsignals.tdlas.lines import LineList
from earthsignals.tdlas.measured import simulator_for
from earthsignals.tdlas.params import EvaluateParams, TdlasParams
from earthsignals.tdlas.simulate import PPM, Conditions
from earthsignals.tdlas.stress import (
    allan_curves,
    blank_scans,
    bound_at,
    run_stress,
    stress_cases,
)

BATCH = 4096
OUTPUTS = ("ppm", "error_ppm", "low_68", "high_68", "low_95", "high_95")


@dataclass(frozen=True)
class Rivals:
    """The trained methods that are compared."""

    net: LoadedNet
    ridge: LinearModel
    pls: LinearModel
    course: Course


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found: nested metrics, and arrays by name for the figures."""

    metrics: dict[str, Any]
    arrays: dict[str, np.ndarray]


@torch.no_grad()
def predict_net(net: LoadedNet, signal: np.ndarray, conditions: Conditions) -> dict[str, np.ndarray]:
    """All outputs (B,) of the network, by name."""
    pieces = []
    for start in range(0, len(signal), BATCH):
        rows = slice(start, start + BATCH)
        state = (conditions.temperature_k[rows], conditions.pressure_atm[rows])
        out = net.model(
            torch.from_numpy(signal[rows]), *(torch.from_numpy(v.astype(np.float32)) for v in state)
        )
        pieces.append([value.numpy() for value in out])
    return {
        name: np.concatenate([piece[k] for piece in pieces]) for k, name in enumerate(OUTPUTS)
    }


def evaluate(
    file: ScanFile, lines: LineList, rivals: Rivals, params: TdlasParams, onnx_max_rel_diff: float | None
) -> Evaluation:
    """Compare all methods on the labelled, unflagged scans of the test split.

    Raises ScansError where the split has none. Stress tests, blanks and repeated scans need the
    simulator and are left out for measured scans.
    """
    options = params.evaluate
    rivals.net.check(file)
    scans = file.read(file.rows("test"))
    usable = (scans.flags == 0) & (scans.conditions.mole_fraction > 0)
    if not usable.any():
        raise ScansError(
            f"{file.path}: no labelled scan in the test split (of {len(scans)}); evaluation needs known "
            "mole fractions. Add them (xi) or use `earthsignals tdlas predict`."
        )
    skipped = int(len(scans) - usable.sum())
    scans = Scans(scans.signal[usable], scans.conditions[usable], scans.flags[usable])

    model = forward_model(simulator_for(file, lines, params))
    table = bound_table(model)
    truth = scans.conditions.mole_fraction / PPM
    bound = table.ppm(scans.conditions)
    # Measured scans lie within the declared range too: they were refused otherwise.
    declared = params.gas.mole_fraction_ppm
    limits = scores.decades(declared.low, declared.high)
    masks = {name: m for name, m in scores.by_decade(truth, limits).items() if m.sum() >= 10}

    outputs = predict_net(rivals.net, scans.signal, scans.conditions)
    predictions = {"model": outputs["ppm"]}
    methods = _methods(rivals, model)
    for name in ("ridge", "pls", "course"):
        predictions[name] = methods[name](scans.signal, scans.conditions)
    chosen = _stratified(masks, options.least_squares_scans)
    fitted, fitted_error, chi_square = fit_scans(
        model, scans.signal[chosen], scans.conditions[chosen]
    )
    predictions["least_squares"] = np.full(len(truth), np.nan)
    predictions["least_squares"][chosen] = fitted

    metrics = _score(predictions, truth, bound, masks)
    metrics |= {
        "coverage_68": scores.coverage(truth, outputs["low_68"], outputs["high_68"]),
        "coverage_95": scores.coverage(truth, outputs["low_95"], outputs["high_95"]),
        "coverage_95_by_decade": {
            name: scores.coverage(truth[m], outputs["low_95"][m], outputs["high_95"][m])
            for name, m in masks.items()
        },
        "least_squares_chi_square": float(np.mean(chi_square)),
        "course_input": rivals.course.input,
        "course_target": rivals.course.target,
        "onnx_max_rel_diff": onnx_max_rel_diff,
        "test_scans": len(truth),
        "skipped_scans": skipped,
        "lines_sha256": str(file.attributes["lines_sha256"]),
    }
    arrays = {
        "test/truth_ppm": truth, "test/bound_ppm": bound,
        "test/temperature_k": scans.conditions.temperature_k,
        "test/pressure_atm": scans.conditions.pressure_atm,
        "test/least_squares_error_ppm": _scattered(chosen, fitted_error, len(truth)),
        **{f"test/{name}_ppm": values for name, values in predictions.items()},
        **{f"test/{name}": outputs[name] for name in OUTPUTS[1:]},
    }  # fmt: skip
    ppm = np.geomspace(declared.low, declared.high, 25)
    arrays |= {"bound/ppm": ppm, "bound/sigma_ppm": bound_at(model, ppm)}
    if file.simulated:
        _stress_and_repeat(methods, model, table, options, metrics, arrays)
    return Evaluation(metrics, arrays)


def _methods(
    rivals: Rivals, model: ForwardModel
) -> dict[str, Callable[[np.ndarray, Conditions], np.ndarray]]:
    def course(signal: np.ndarray, conditions: Conditions) -> np.ndarray:
        pieces = []
        for start in range(0, len(signal), 512):
            rows = slice(start, start + 512)
            c = conditions[rows]
            inputs = course_inputs(rivals.course.input, signal[rows], c, model.simulator)
            pieces.append(rivals.course.predict(inputs, c))
        return np.concatenate(pieces)

    return {
        "model": lambda signal, c: predict_net(rivals.net, signal, c)["ppm"],
        "ridge": rivals.ridge.predict,
        "pls": rivals.pls.predict,
        "course": course,
    }


def _stratified(masks: dict[str, np.ndarray], count: int) -> np.ndarray:
    """Rows (K,) with about equally many scans of each decade from 100 ppm on (or of all)."""
    high = {name: m for name, m in masks.items() if float(name.split("-")[0]) >= 99.0} or masks
    each = max(1, count // len(high))
    return np.sort(np.concatenate([np.flatnonzero(m)[:each] for m in high.values()]))


def _scattered(rows: np.ndarray, values: np.ndarray, length: int) -> np.ndarray:
    full = np.full(length, np.nan)
    full[rows] = values
    return full


def _score(
    predictions: dict[str, np.ndarray], truth: np.ndarray, bound: np.ndarray, masks: dict[str, np.ndarray]
) -> dict[str, Any]:
    """rmse_over_crlb[_method] by decade, and all scores under `scores.<method>.<decade>`."""
    result: dict[str, Any] = {"scores": {}}
    for method, values in predictions.items():
        known = np.isfinite(values)
        per_decade = {
            name: scores.errors(values[m & known], truth[m & known], bound[m & known])
            for name, m in masks.items()
            if (m & known).sum() >= 10
        }
        key = "rmse_over_crlb" if method == "model" else f"rmse_over_crlb_{method}"
        result[key] = {name: score["rmse_over_crlb"] for name, score in per_decade.items()}
        result["scores"][method] = per_decade
    return result


def _stress_and_repeat(
    methods: dict[str, Any], model: ForwardModel, table: BoundTable, options: EvaluateParams,
    metrics: dict[str, Any], arrays: dict[str, np.ndarray],
) -> None:  # fmt: skip
    simulator = model.simulator
    light = {name: methods[name] for name in ("model", "ridge", "pls")}
    with progress("blanks, stress tests, repeated scans", 3, "parts") as bar:
        signal, c = blank_scans(simulator, options.stress_scans, options.seed)
        blanks = {name: predict(signal, c) for name, predict in light.items()}
        metrics["limit_of_detection_ppm"] = 3 * float(blanks["model"].std())
        metrics["limit_of_detection_ridge_ppm"] = 3 * float(blanks["ridge"].std())
        metrics["limit_of_detection_bound_ppm"] = 3 * scores.rms(table.ppm(c))
        metrics["blank_bias_ppm"] = float(blanks["model"].mean())
        bar.advance()
        cases = stress_cases(simulator, options.stress_scans, options.seed)
        metrics["stress"] = run_stress(cases, light, table.ppm)
        bar.advance()
        lengths, curves = allan_curves(
            simulator, light, options.allan_ppm, options.allan_scans, options.seed
        )
        arrays["allan/scans"] = lengths
        arrays["allan/bound_ppm"] = bound_at(model, np.array([options.allan_ppm])) / np.sqrt(lengths)
        for name, deviations in curves.items():
            arrays[f"allan/{name}_ppm"] = deviations
        best = int(np.argmin(curves["model"]))
        metrics["allan"] = {
            "single_scan_ppm": float(curves["model"][0]),
            "minimum_ppm": float(curves["model"][best]),
            "minimum_at_scans": int(lengths[best]),
        }
        bar.advance()
