"""Are emission rates right, and are their intervals as wide as they say?

Only found plumes that are one true plume and nothing else are judged: of two that grew together nobody can
say which rate was estimated. The wind a user has is never the true one: it is drawn around the truth with
the declared error, several times per plume, and the interval has to cover the true rate despite it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from earthsignals import bootstrap
from earthsignals.compute.seeds import philox
from earthsignals.plume.detection.rate_error import Calibration, Rate, rate_of
from earthsignals.plume.judging import scores
from earthsignals.plume.judging.matching import Matches

WINDS = 25
"""Draws of the wind per plume."""


@dataclass(frozen=True)
class Pair:
    """A found plume and the one true plume it is: mass per metre with its error [kg/m], truth, flightline."""

    kg_per_m: float
    kg_per_m_error: float
    rate_kg_h: float
    wind_m_s: float
    flightline: int


def pairs(
    found: Sequence[Mapping[str, Any]],
    matches: Matches,
    rates_kg_h: np.ndarray,
    winds_m_s: np.ndarray,
    flightline: int,
) -> tuple[list[Pair], dict[str, int]]:
    """The pairs of one scene, and how many true plumes it gives none for, by reason.

    found: records of plumes.json (`kg_per_m`, `kg_per_m_error`), the k-th being object k + 1 of `matches`.
    rates_kg_h, winds_m_s: (P,) of the true plumes, NaN where unknown.
    """
    made: list[Pair] = []
    left_out = dict.fromkeys(("not_found", "merged_with_another", "rate_not_estimable", "truth_unknown"), 0)
    for plume, number in enumerate(matches.object_of):
        if number == 0:
            left_out["not_found"] += 1
        elif matches.plume_of[number - 1] != plume:
            left_out["merged_with_another"] += 1
        elif not (np.isfinite(rates_kg_h[plume]) and np.isfinite(winds_m_s[plume])):
            left_out["truth_unknown"] += 1
        elif not (found[number - 1]["kg_per_m"] or 0) > 0:
            left_out["rate_not_estimable"] += 1
        else:
            record = found[number - 1]
            made.append(
                Pair(
                    record["kg_per_m"], record["kg_per_m_error"], float(rates_kg_h[plume]),
                    float(winds_m_s[plume]), flightline,
                )
            )  # fmt: skip
    return made, left_out


def rate(pair: Pair, wind_m_s: float, wind_error: float, calibration: Calibration) -> Rate:
    """The rate that a pair's mass gives under one wind."""
    return rate_of(
        pair.kg_per_m, pair.kg_per_m_error, wind_m_s, wind_error, calibration, ime_kg=0.0, ime_error_kg=0.0,
        fetch_m=0.0,
    )  # fmt: skip


def judge_rates(
    judged: Sequence[Pair], calibration: Calibration, wind_error: float, drawn: np.ndarray, seed: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Median relative bias and coverage of the 68 % and 95 % intervals, with intervals over flightlines.

    drawn: (B, S). Returns the report (numbers None where there is no pair) and arrays for the figure: (N,)
    true rate, estimate and its intervals with the first wind drawn, and `coverage` (2,) over all of them.
    """
    names = ("rate_kg_h", "low_68", "high_68", "low_95", "high_95")
    drawn_rates = _with_drawn_winds(judged, calibration, wind_error, seed)
    shown = [rates[0] for rates in drawn_rates]
    arrays = {"true_kg_h": np.array([p.rate_kg_h for p in judged], np.float64)}
    arrays |= {name: np.array([getattr(r, name) for r in shown], np.float64) for name in names}
    arrays["wind_m_s"] = np.array([p.wind_m_s for p in judged], np.float64)

    group = np.array([p.flightline for p in judged], np.int64)
    error, inside_68, inside_95 = _against_truth(judged, drawn_rates)
    arrays["coverage"] = np.array([inside_68.mean(), inside_95.mean()]) if judged else np.empty(0)
    exact = [rate(p, p.wind_m_s, 0.0, calibration) for p in judged]
    columns = [
        inside_68.mean(axis=1), inside_95.mean(axis=1),
        [r.low_68 <= p.rate_kg_h <= r.high_68 for r, p in zip(exact, judged, strict=True)],
        np.ones(len(judged)),
    ]  # fmt: skip
    counts = np.stack([np.bincount(group, np.asarray(c, float), drawn.shape[1]) for c in columns], axis=1)
    report: dict[str, Any] = {
        "plumes": len(judged), "wind_error": wind_error, "scale": calibration.scale,
        "model_error": calibration.model_error,
    }  # fmt: skip
    for k, name in enumerate(("coverage_68", "coverage_95", "coverage_68_true_wind")):
        report |= bootstrap.of_sums(name, lambda c, k=k: scores.ratio(c[..., k], c[..., 3]), counts, drawn)
    bias = [_weighted_median(error, weights[group]) for weights in (np.ones(drawn.shape[1]), *drawn)]
    low, high = bootstrap.interval(np.array(bias[1:]))
    report |= {"bias": bootstrap.number(bias[0]), "bias_low": bootstrap.number(low)}
    spread = float(np.median(np.abs(error))) if len(judged) else None
    return report | {"bias_high": bootstrap.number(high), "median_absolute_error": spread}, arrays


def _with_drawn_winds(
    judged: Sequence[Pair], calibration: Calibration, wind_error: float, seed: int
) -> list[list[Rate]]:
    """Of every pair, the rates under WINDS winds drawn around the true one."""
    spread = np.sqrt(np.log1p(wind_error**2))
    return [
        [
            rate(pair, pair.wind_m_s * factor, wind_error, calibration)
            for factor in np.exp(spread * philox(seed, "plume-wind", number).standard_normal(WINDS))
        ]
        for number, pair in enumerate(judged)
    ]


def _against_truth(
    judged: Sequence[Pair], drawn_rates: Sequence[Sequence[Rate]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Relative error, and whether the 68 % and 95 % intervals hold, (N, WINDS) each."""
    rows = [
        [
            (r.rate_kg_h / pair.rate_kg_h - 1, r.low_68 <= pair.rate_kg_h <= r.high_68,
             r.low_95 <= pair.rate_kg_h <= r.high_95)
            for r in rates
        ]
        for pair, rates in zip(judged, drawn_rates, strict=True)
    ]  # fmt: skip
    found = np.array(rows, np.float64).reshape(len(judged), WINDS, 3)
    return found[..., 0], found[..., 1], found[..., 2]


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """Median of values (N, M) where row n counts weights[n] times; NaN where nothing counts."""
    flat, weight = values.ravel(), np.repeat(weights, values.shape[1])
    if weight.sum() == 0:
        return float("nan")
    order = np.argsort(flat)
    passed = np.cumsum(weight[order])
    return float(flat[order][np.searchsorted(passed, 0.5 * passed[-1])])
