"""Few scenes, few labels: what features tell of a scene when everything was learnt on the others.

Items are tiles, each in a rectangle that somebody labelled. Every rectangle counts once, however many tiles
lie in it: in training its tiles share the weight of one observation, and the score is the mean over
rectangles of the share of its tiles that are right. Classes weigh the same in training: a scene that is left
out takes its classes with it, and a probe that goes by how often it met a class would do worse than chance.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from earthsignals.clouds.judging.space import Scaling, distances
from earthsignals.compute.seeds import philox

PENALTY = 1.0
"""C of scikit-learn; fixed, since a dozen rectangles leave nothing to choose it by."""


@dataclass(frozen=True)
class Examples:
    """Items (M,) in rectangles (B,) of regions (R,).

    tile: (M,) int64, number of the item's tile. box: (M,) int64 in [0, B). label, scene, region: (B,), of the
    rectangles; those of one region bear one label.
    """

    tile: np.ndarray
    box: np.ndarray
    label: np.ndarray
    scene: np.ndarray
    region: np.ndarray

    def of_boxes(self, chosen: np.ndarray) -> Examples:
        """Only the rectangles of a mask (B,) and the items in them."""
        number = np.cumsum(chosen) - 1
        items = chosen[self.box]
        return Examples(
            self.tile[items], number[self.box[items]],
            self.label[chosen], self.scene[chosen], self.region[chosen],
        )  # fmt: skip

    def by_box(self, values: np.ndarray) -> np.ndarray:
        """Means (B,) of values (M,) in each rectangle; NaN does not count."""
        known = np.isfinite(values)
        sums = np.bincount(self.box, np.where(known, values, 0.0), len(self.label))
        with np.errstate(invalid="ignore"):
            return sums / np.bincount(self.box, known, len(self.label))


def classes_of_several_scenes(label: np.ndarray, scene: np.ndarray) -> list[str]:
    """Classes whose rectangles (B,) lie in two scenes or more: only these can be learnt on other scenes."""
    return [str(name) for name in np.unique(label) if len(np.unique(scene[label == name])) > 1]


def probe(examples: Examples, features: np.ndarray, label: np.ndarray | None = None) -> np.ndarray:
    """Share (B,) of each rectangle's tiles whose class a linear probe tells that saw only the other scenes.

    features: (N, F) of the tiles. label: (B,) in place of the examples' own. Logistic regression on
    standardised features with a fixed penalty.
    """
    label = examples.label if label is None else label
    x = features[examples.tile]
    told, own = label[examples.box], examples.scene[examples.box]
    right = np.zeros(len(x))
    for scene in np.unique(own):
        judged, others = own == scene, own != scene
        weight = _weights(examples.box[others], told[others])
        right[judged] = _fit(x[others], told[others], weight)(x[judged]) == told[judged]
    return examples.by_box(right)


def _weights(box: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Of items (M,) in rectangles (M,): classes sum to the same, and so do rectangles of a class; all to the
    number of rectangles."""
    weight = 1 / np.bincount(box)[box]
    _, number = np.unique(label, return_inverse=True)
    of_class = np.bincount(number, weight)
    return weight * (of_class.sum() / len(of_class) / of_class)[number]


def _fit(x: np.ndarray, label: np.ndarray, weight: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A function from features to labels."""
    if len(np.unique(label)) == 1:
        return lambda unseen: np.full(len(unseen), label[0])
    scaling = Scaling.fit(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression = LogisticRegression(C=PENALTY, max_iter=500).fit(scaling.apply(x), label, weight)
    return lambda unseen: regression.predict(scaling.apply(unseen))


def majority(examples: Examples) -> float:
    """The probe's score for always answering the class with the most rectangles in the other scenes."""
    right = np.zeros(len(examples.label))
    for scene in np.unique(examples.scene):
        judged = examples.scene == scene
        names, counts = np.unique(examples.label[~judged], return_counts=True)
        right[judged] = examples.label[judged] == names[counts.argmax()]
    return float(right.mean())


def relabellings(examples: Examples, most: int, seed: int) -> np.ndarray:
    """Labels (n, B) dealt anew among the regions, each class still in several scenes; the true ones first.

    If features knew nothing of the labels, the true ones would be one such deal among equals. These are all
    deals, where there are at most `most` ways to hand the labels out; else as many random ones.
    """
    regions, first, place = np.unique(examples.region, return_index=True, return_inverse=True)
    names, true = np.unique(examples.label[first], return_inverse=True)
    counts = np.bincount(true)
    ways = math.factorial(len(regions)) // math.prod(math.factorial(int(count)) for count in counts)
    if ways <= most:
        deals: Iterable[np.ndarray] = map(np.array, _arrangements(counts.tolist()))
    else:
        streams = (philox(seed, "clouds-real-permutation", number) for number in range(most))
        deals = (stream.permutation(true) for stream in streams)
    dealt = {tuple(true[place].tolist()): None}
    for deal in deals:
        labels = deal[place]
        if len(classes_of_several_scenes(labels, examples.scene)) == len(names):
            dealt[tuple(labels.tolist())] = None
    return names[np.array(list(dealt))]


def _arrangements(counts: list[int]) -> Iterator[list[int]]:
    """All orders of items of which there are `counts` of each kind, by their kinds."""
    if not any(counts):
        yield []
    for kind, count in enumerate(counts):
        if count:
            counts[kind] -= 1
            yield from ([kind, *rest] for rest in _arrangements(counts))
            counts[kind] += 1


def retrieval(examples: Examples, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nothing learnt from labels: average precision (B,) of a tile's nearest among the tiles of other scenes.

    Relevant is who has the same class. Compared is the angle between standardised features (N, F), as in
    `judging.retrieval`. Also what a random order has on average (B,). Both are NaN where the class is in one
    scene only.
    """
    x = Scaling.fit(features).directions(features)[examples.tile]
    told, own = examples.label[examples.box], examples.scene[examples.box]
    first = np.zeros(len(x), bool)
    first[np.unique(examples.tile, return_index=True)[1]] = True  # a tile in two rectangles counts once
    found, chance = np.full(len(x), np.nan), np.full(len(x), np.nan)
    for item in range(len(x)):
        others = np.flatnonzero(first & (own != own[item]))
        relevant = told[others] == told[item]
        if not relevant.any():
            continue
        order = np.argsort(distances(x[item : item + 1], x[others])[0], kind="stable")
        found[item] = average_precision(relevant[order])
        chance[item] = expected_average_precision(len(others), int(relevant.sum()))
    return examples.by_box(found), examples.by_box(chance)


def average_precision(relevant: np.ndarray) -> float:
    """Mean of the precisions at the ranks of what is relevant, (N,) bool in order of rank with a True."""
    ranks = np.flatnonzero(relevant) + 1
    return float((np.arange(1, len(ranks) + 1) / ranks).mean())


def expected_average_precision(count: int, relevant: int) -> float:
    """Average precision of `relevant` among `count` in random order (Bestgen 2015, PBML 103)."""
    harmonic = float((1 / np.arange(1, count + 1)).sum()) / count
    return harmonic if count == 1 else (relevant - 1) / (count - 1) * (1 - harmonic) + harmonic
