"""Stress tests: what happens outside the comfort of the training conditions, and over repeated scans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from earthsignals.compute.seeds import philox
from earthsignals.tdlas.bound import ForwardModel, crlb_ppm
from earthsignals.tdlas.measured import with_noise
from earthsignals.tdlas.scores import allan_deviation, by_decade, decades, rms
from earthsignals.tdlas.simulate import PPM, Conditions, Nuisances, Simulator

Method = Callable[[np.ndarray, Conditions], np.ndarray]
FIRST_INDEX = 10**12  # scan indices no dataset reaches: their noise is new


@dataclass(frozen=True)
class Case:
    """One stress test: how scans are made and which T and P the methods are told."""

    simulator: Simulator
    conditions: Conditions
    told: Conditions
    noise_scale: float = 1.0


def stress_cases(simulator: Simulator, scans: int, seed: int) -> dict[str, Case]:
    """Named cases over the same conditions: noise, wrong T or P, unseen etalons, extrapolation."""
    gas = simulator.gas
    draw = replace(simulator, seed=seed, sampling="log-uniform")
    c = draw.draw_conditions(np.arange(FIRST_INDEX, FIRST_INDEX + scans))
    cases = {"nominal": Case(draw, c, c)}
    for factor in (2, 5, 10):
        cases[f"noise x{factor}"] = Case(draw, c, c, noise_scale=float(factor))
    for offset in (-5.0, -1.0, 1.0, 5.0):
        told = Conditions(c.temperature_k + offset, c.pressure_atm, c.mole_fraction)
        cases[f"T {offset:+.0f} K"] = Case(draw, c, told)
    for percent in (-5, -1, 1, 5):
        told = Conditions(c.temperature_k, c.pressure_atm * (1 + percent / 100), c.mole_fraction)
        cases[f"P {percent:+d} %"] = Case(draw, c, told)
    if simulator.instrument.etalons:
        moved = tuple(
            e.model_copy(update={"free_spectral_range": 0.73 * e.free_spectral_range})
            for e in simulator.instrument.etalons
        )
        unseen = with_noise(draw, simulator.instrument.model_copy(update={"etalons": moved}))
        cases["unseen etalons"] = Case(unseen, c, c)
    uniform = philox(seed, "stress-extrapolation", 0).random((3, scans))
    high = gas.mole_fraction_ppm.high * PPM
    more = replace(c, mole_fraction=np.minimum(high * (1 + 0.5 * uniform[0]), 1.0))
    cases["x above range"] = Case(draw, more, more)
    t, p = gas.temperature_k, gas.pressure_atm
    sign = np.where(uniform[1] < 0.5, -1.0, 1.0)
    edge = np.where(sign > 0, t.high, t.low)
    outside = replace(c, temperature_k=edge + sign * 10.0 * uniform[2])
    cases["T 0-10 K outside"] = Case(draw, outside, outside)
    edge = np.where(sign > 0, p.high, p.low)
    outside = replace(c, pressure_atm=edge * (1 + sign * 0.08 * uniform[2]))
    cases["P 0-8 % outside"] = Case(draw, outside, outside)
    return cases


def run_stress(
    cases: dict[str, Case], methods: dict[str, Method], bound: Callable[[Conditions], np.ndarray]
) -> dict[str, dict]:
    """RMSE in nominal bounds and median relative error of each method: overall and per decade."""
    results: dict[str, dict] = {}
    for name, case in cases.items():
        indices = np.arange(FIRST_INDEX, FIRST_INDEX + len(case.conditions))
        nuisances = case.simulator.draw_nuisances(indices)
        counts = case.simulator.measure(indices, case.conditions, nuisances, case.noise_scale)
        signal = counts.astype(np.float32) * np.float32(case.simulator.lsb)
        truth = case.conditions.mole_fraction / PPM
        sigma = bound(case.conditions)
        masks = by_decade(truth, decades(float(truth.min()), float(truth.max())))
        masks = {"all": np.ones(len(truth), bool)} | {k: m for k, m in masks.items() if m.sum() > 20}
        results[name] = {}
        for method, predict in methods.items():
            error = predict(signal, case.told) - truth
            results[name][method] = {
                decade: {
                    "rmse_over_crlb": rms(error[mask] / sigma[mask]),
                    "median_relative_error": float(np.median(np.abs(error[mask]) / truth[mask])),
                }
                for decade, mask in masks.items()
            }
    return results


def middle(simulator: Simulator, ppm: float, scans: int) -> Conditions:
    """`scans` equal gas states at the middle of T and P."""
    gas = simulator.gas
    values = gas.temperature_k.middle, gas.pressure_atm.middle, ppm * PPM
    return Conditions(*(np.full(scans, v) for v in values))


def blank_scans(simulator: Simulator, scans: int, seed: int) -> tuple[np.ndarray, Conditions]:
    """Signals (B, M) and conditions of gas without methane over the simulated T and P."""
    draw = replace(simulator, seed=seed)
    indices = np.arange(FIRST_INDEX, FIRST_INDEX + scans)
    c = replace(draw.draw_conditions(indices), mole_fraction=np.zeros(scans))
    counts = draw.measure(indices, c, draw.draw_nuisances(indices))
    return counts.astype(np.float32) * np.float32(draw.lsb), c


def repeated_scans(simulator: Simulator, ppm: float, scans: int, seed: int) -> np.ndarray:
    """Signals (B, M) of one unchanging gas while the etalons drift and the noise goes on.

    Each etalon coefficient is a stationary Gauss-Markov process with a correlation of
    `etalon_drift_scans` scans; the baseline stays as drawn; jitter and noise are new in each scan.
    """
    instrument = simulator.instrument
    draw = replace(simulator, seed=seed)
    indices = np.arange(FIRST_INDEX, FIRST_INDEX + scans)
    nuisances = draw.draw_nuisances(indices)
    baseline = len(instrument.baseline)
    fringes = np.repeat(nuisances.fringes[:1], scans, axis=0)
    memory = np.exp(-1.0 / instrument.etalon_drift_scans)
    drive = nuisances.fringes[:, baseline:] * np.sqrt(1 - memory**2)
    for k in range(1, scans):
        fringes[k, baseline:] = memory * fringes[k - 1, baseline:] + drive[k]
    counts = draw.measure(indices, middle(draw, ppm, scans), Nuisances(nuisances.shift, fringes))
    return counts.astype(np.float32) * np.float32(draw.lsb)


def allan_curves(
    simulator: Simulator, methods: dict[str, Method], ppm: float, scans: int, seed: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Averaging lengths [scans] and the Allan deviation [ppm] of each method on repeated scans."""
    signal = repeated_scans(simulator, ppm, scans, seed)
    told = middle(simulator, ppm, scans)
    curves = {name: allan_deviation(predict(signal, told)) for name, predict in methods.items()}
    lengths = next(iter(curves.values()))[0]
    return lengths, {name: deviations for name, (_, deviations) in curves.items()}


def bound_at(model: ForwardModel, ppm: np.ndarray) -> np.ndarray:
    """sigma_CRLB (K,) [ppm] at mole fractions (K,) [ppm], in the middle of T and P."""
    c = middle(model.simulator, 0.0, len(ppm))
    return crlb_ppm(model, replace(c, mole_fraction=ppm * PPM))
