"""Scores of detections: counts at a threshold, precision-recall and ROC curves, calibration.

Curves are computed from tallies: how many positives and negatives have each score, per flightline, from the
highest score down. A tally is small, so that a bootstrap over flightlines (`bootstrap.py`) is one matrix
product; a leading axis of resamples goes through every function here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST_SCORES = 2048
"""Distinct scores that a tally keeps apart; more are put into as many bins of equal content."""


def ratio(part: np.ndarray | float, whole: np.ndarray | float) -> np.ndarray:
    """part / whole as float64, NaN where `whole` is zero."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=whole != 0)


def precision(hits: np.ndarray, false_alarms: np.ndarray) -> np.ndarray:
    """Share of what was called a plume that is one; NaN where nothing was."""
    return ratio(hits, hits + false_alarms)


def recall(hits: np.ndarray, misses: np.ndarray) -> np.ndarray:
    """Share of plumes that were called so; NaN where there is none."""
    return ratio(hits, hits + misses)


def f1(hits: np.ndarray, false_alarms: np.ndarray, misses: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN); NaN where there is nothing."""
    return ratio(2 * hits, 2 * hits + false_alarms + misses)


def iou(hits: np.ndarray, false_alarms: np.ndarray, misses: np.ndarray) -> np.ndarray:
    """Intersection over union (Jaccard index), TP / (TP + FP + FN); NaN where there is nothing."""
    return ratio(hits, hits + false_alarms + misses)


def best_f1_threshold(score: np.ndarray, label: np.ndarray) -> tuple[float, float]:
    """The threshold (called a plume at score >= threshold) of the highest F1, and that F1.

    score, label: (N,). Between two equal F1 the higher threshold is taken: fewer false alarms. Only values
    that occur are tried, and the lowest of them is preferred to none: with no positive label the threshold
    is +inf and F1 is 0.
    """
    score, label = np.asarray(score, np.float64), np.asarray(label, bool)
    if not label.any():
        return float("inf"), 0.0
    levels, at = np.unique(-score, return_inverse=True)
    hits = np.cumsum(np.bincount(at, label, len(levels)))
    called = np.cumsum(np.bincount(at, minlength=len(levels)))
    found = ratio(2 * hits, called + label.sum())
    best = int(np.argmax(found))
    return float(-levels[best]), float(found[best])


@dataclass(frozen=True)
class Tally:
    """Positives and negatives (S, K) of S flightlines at K scores, highest first; `scores` (K,)."""

    scores: np.ndarray
    positives: np.ndarray
    negatives: np.ndarray

    def total(self) -> tuple[np.ndarray, np.ndarray]:
        """Positives and negatives (K,) of all flightlines together."""
        return self.positives.sum(axis=0), self.negatives.sum(axis=0)


def tally(score: np.ndarray, label: np.ndarray, group: np.ndarray, groups: int) -> Tally:
    """Tally of scores (N,) with labels (N,) and flightline numbers (N,) in [0, groups)."""
    score, label = np.asarray(score, np.float64), np.asarray(label, bool)
    scores, at = np.unique(-score, return_inverse=True)
    if len(scores) > MOST_SCORES:
        edges = np.quantile(-score, np.linspace(0, 1, MOST_SCORES + 1)[1:-1])
        at = np.searchsorted(np.unique(edges), -score, side="left")
        used, at = np.unique(at, return_inverse=True)
        lowest = np.full(len(used), -np.inf)
        np.maximum.at(lowest, at, -score)  # in -score: the lowest score of each bin
        scores = lowest
    counts = np.zeros((2, groups, len(scores)))
    np.add.at(counts, (label.astype(int), group, at), 1)
    return Tally(-scores, counts[1], counts[0])


def tally_pixels(score: np.ndarray, truth: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One flightline's row of a tally: positives and negatives (K,) between `edges` (K + 1,), highest first.

    Scores beyond the edges count in the first and last bin.
    """
    at = np.clip(np.searchsorted(edges, score, side="right") - 1, 0, len(edges) - 2)
    both = [np.bincount(at[chosen], minlength=len(edges) - 1)[::-1] for chosen in (truth, ~truth)]
    return both[0].astype(np.float64), both[1].astype(np.float64)


def average_precision(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Area under the precision-recall curve as average precision, sum of (R_k - R_{k-1}) P_k.

    positives, negatives: (..., K) at falling scores. Returns (...), NaN where there is no positive. Equal
    scores count as one step, so an uninformative score gets the share of positives.
    """
    hits, false_alarms = np.cumsum(positives, axis=-1), np.cumsum(negatives, axis=-1)
    at = np.nan_to_num(precision(hits, false_alarms))
    return ratio((positives * at).sum(axis=-1), hits[..., -1])


def precision_at(positives: np.ndarray, negatives: np.ndarray, recalls: np.ndarray) -> np.ndarray:
    """Precision (..., R) of the first score at which each recall (R,) is reached; NaN without positives."""
    hits, false_alarms = np.cumsum(positives, axis=-1), np.cumsum(negatives, axis=-1)
    reached = ratio(hits, hits[..., -1:])
    return _first_at(reached, precision(hits, false_alarms), recalls)


def true_positive_rate_at(positives: np.ndarray, negatives: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """ROC: the true positive rate (..., R) at false positive rates (R,), linear between scores."""
    true = ratio(np.cumsum(positives, axis=-1), positives.sum(axis=-1, keepdims=True))
    false = ratio(np.cumsum(negatives, axis=-1), negatives.sum(axis=-1, keepdims=True))
    shape = true.shape[:-1]
    flat_true, flat_false = true.reshape(-1, true.shape[-1]), false.reshape(-1, true.shape[-1])
    rows = [
        np.interp(rates, np.r_[0.0, f], np.r_[0.0, t])
        if np.isfinite(f[-1]) and np.isfinite(t[-1])
        else np.full(len(rates), np.nan)
        for t, f in zip(flat_true, flat_false, strict=True)
    ]
    return np.array(rows).reshape(*shape, len(rates))


def _first_at(reached: np.ndarray, values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    shape, width = reached.shape[:-1], reached.shape[-1]
    rows = []
    for r, v in zip(reached.reshape(-1, width), values.reshape(-1, width), strict=True):
        if np.isfinite(r[-1]):
            rows.append(v[np.minimum(np.searchsorted(r, levels - 1e-12), width - 1)])
        else:
            rows.append(np.full(len(levels), np.nan))
    return np.array(rows).reshape(*shape, len(levels))


@dataclass(frozen=True)
class Reliability:
    """Mean predicted probability, observed frequency and number of items (K,) per bin that has any."""

    predicted: np.ndarray
    observed: np.ndarray
    count: np.ndarray

    @property
    def expected_calibration_error(self) -> float:
        """Mean |observed - predicted| over bins, weighted by their numbers (Naeini et al. 2015)."""
        return float(np.average(np.abs(self.observed - self.predicted), weights=self.count))


def reliability(probability: np.ndarray, label: np.ndarray, bins: int = 10) -> Reliability:
    """Reliability of probabilities (N,), N >= 1, against labels (N,), in bins of equal width."""
    at = np.minimum((np.asarray(probability, np.float64) * bins).astype(int), bins - 1)
    count = np.bincount(at, minlength=bins)
    used = count > 0
    predicted = np.bincount(at, probability, bins)[used] / count[used]
    observed = np.bincount(at, np.asarray(label, np.float64), bins)[used] / count[used]
    return Reliability(predicted, observed, count[used])
