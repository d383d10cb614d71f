"""Confidence intervals by resampling whole groups of items.

Records of one station share its site and its noise, tiles of one flightline its ground: they are no
independent samples, and resampling them one by one would promise too much. Whole groups are drawn with
replacement instead (cluster bootstrap; Davison & Hinkley 1997, section 3.8). A resample is a vector of how
often each group was drawn, and every statistic here is one of weighted items or of sums over groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from earthsignals.compute.seeds import philox

LEVEL = 0.95


def draws(groups: int, resamples: int, seed: int, stream: str) -> np.ndarray:
    """How often each of `groups` >= 1 groups was drawn: (resamples, groups) float64, rows sum to `groups`.

    stream: name of the random numbers; equal names, seeds and numbers of groups give equal resamples.
    """
    generator = philox(seed, stream, groups)
    return generator.multinomial(groups, np.full(groups, 1.0 / groups), size=resamples).astype(np.float64)


@dataclass(frozen=True)
class Groups:
    """Items (N,) by group (station, flightline, scene), and resamples of the groups.

    names: (G,) of the groups, ascending. group: (N,) int64 in [0, G). weights: (B, G) float64, how often
    each group was drawn; rows sum to G.
    """

    names: np.ndarray
    group: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, names: np.ndarray, resamples: int, seed: int, stream: str) -> Groups:
        """names: (N,) group of each item. stream: as for `draws`."""
        unique, group = np.unique(np.asarray(names), return_inverse=True)
        return cls(unique, group.astype(np.int64), draws(max(len(unique), 1), resamples, seed, stream))

    def subset(self, chosen: np.ndarray) -> Groups:
        """The same resamples for a selection of the items (mask or indices): paired with all others."""
        return Groups(self.names, self.group[chosen], self.weights)

    def elsewhere(self, names: np.ndarray) -> Groups:
        """The same resamples for other items of the same groups, given by the names of theirs (M,)."""
        return Groups(self.names, np.searchsorted(self.names, np.asarray(names)), self.weights)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Mean over items with its interval: values (N, ...) to (..., 3) value, low, high.

        Values that are NaN do not count; a mean of nothing is NaN.
        """
        value, resampled = self.resampled_mean(values)
        return with_interval(value, resampled)

    def resampled_mean(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean over items (...) of values (N, ...), and that of each resample (B, ...)."""
        values = np.asarray(values, np.float64)
        flat = values.reshape(len(values), math.prod(values.shape[1:]))
        known = np.isfinite(flat)
        groups = self.weights.shape[1]
        sums, counts = np.zeros((groups, flat.shape[1])), np.zeros((groups, flat.shape[1]))
        np.add.at(sums, self.group, np.where(known, flat, 0.0))
        np.add.at(counts, self.group, known.astype(np.float64))
        with np.errstate(invalid="ignore", divide="ignore"):
            value = sums.sum(0) / counts.sum(0)
            resampled = (self.weights @ sums) / (self.weights @ counts)
        shape = values.shape[1:]
        return value.reshape(shape), resampled.reshape(len(resampled), *shape)

    def auc(self, score: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Area under the ROC curve of scores (N,) for labels (N,) bool: (3,) value, low, high."""
        each = self.weights[:, self.group]
        resampled = [auc(score, label, part) for part in np.array_split(each, 8) if len(part)]
        return with_interval(auc(score, label), np.concatenate(resampled))


def interval(resampled: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """Central interval (2, ...) of resamples (B, ...): low and high.

    Resamples that are NaN (nothing drawn that the statistic is about) do not count; NaN where none is known.
    """
    resampled = np.asarray(resampled, np.float64)
    flat = resampled.reshape(len(resampled), -1)
    limits = np.full((2, flat.shape[1]), np.nan)
    tails = [0.5 - level / 2, 0.5 + level / 2]
    for column, values in enumerate(flat.T):
        known = values[np.isfinite(values)]
        if len(known):
            limits[:, column] = np.quantile(known, tails)
    return limits.reshape(2, *resampled.shape[1:])


def with_interval(value: np.ndarray, resampled: np.ndarray) -> np.ndarray:
    """Value (...) and the interval of its resamples (B, ...) together: (..., 3) value, low, high."""
    value = np.asarray(value, np.float64)
    return np.moveaxis(np.concatenate([value[None], interval(resampled)]), 0, -1)


def of_sums(
    name: str, statistic: Callable[[np.ndarray], np.ndarray], sums: np.ndarray, drawn: np.ndarray
) -> dict[str, float | None]:
    """`{name, name_low, name_high}` of a statistic of sums over groups.

    statistic: takes sums (..., C) and returns (...). sums: (G, C), of each group. drawn: (B, G), of `draws`.
    """
    return named(name, with_interval(statistic(sums.sum(axis=0)), statistic(drawn @ sums)))


def named(name: str, triple: np.ndarray) -> dict[str, float | None]:
    """`{name, name_low, name_high}` for JSON; None for what is not finite."""
    ends = zip(("", "_low", "_high"), np.asarray(triple), strict=True)
    return {f"{name}{end}": number(value) for end, value in ends}


def number(value: np.ndarray | float | None) -> float | None:
    """A finite float for JSON, None for anything else."""
    return float(value) if value is not None and np.isfinite(value) else None


def auc(score: np.ndarray, label: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Probability that a positive scores higher than a negative, ties half (Mann & Whitney 1947).

    score (N,), label (N,) bool, weights (N,) or (B, N): shape () or (B,). NaN without both kinds.
    """
    score, label = np.asarray(score, np.float64), np.asarray(label, bool)
    weights = np.ones(len(score)) if weights is None else np.asarray(weights, np.float64)
    order = np.argsort(score, kind="stable")
    weights, label, score = weights[..., order], label[order], score[order]
    positive, negative = np.where(label, weights, 0.0), np.where(label, 0.0, weights)
    below = np.cumsum(negative, axis=-1)
    # Of equal scores each positive beats half of the negatives: means over runs of equal scores.
    first = np.searchsorted(score, score, side="left")
    last = np.searchsorted(score, score, side="right") - 1
    before = np.where(first > 0, below[..., np.maximum(first - 1, 0)], 0.0)
    wins = (positive * (before + below[..., last]) / 2).sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return wins / (positive.sum(-1) * negative.sum(-1))


def roc(score: np.ndarray, label: np.ndarray, points: int = 201) -> np.ndarray:
    """The ROC curve (2, points): false-positive rates from 0 to 1 and true-positive rates at them."""
    rates = np.linspace(0, 1, points)
    positives, negatives = np.sort(score[label]), np.sort(score[~label])
    if not len(positives) or not len(negatives):
        return np.stack([rates, np.full(points, np.nan)])
    thresholds = np.unique(np.concatenate([positives, negatives]))[::-1]
    true = 1 - np.searchsorted(positives, thresholds, side="left") / len(positives)
    false = 1 - np.searchsorted(negatives, thresholds, side="left") / len(negatives)
    return np.stack([rates, np.interp(rates, np.r_[0.0, false], np.r_[0.0, true])])
