"""Tile-level judgement: every method on the same test tiles, at thresholds frozen on validation.

How many tiles of each kind there are is the experiment's choice, so precision is that of this mixture; the
false positive rates of `neg` (false enhancements) and `bg` (plain ground) hold for any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from earthsignals import bootstrap
from earthsignals.plume.judging import scores
from earthsignals.plume.tiles.tilefile import KINDS, TileGroup

RECALLS = np.linspace(0.01, 1.0, 100)
FALSE_POSITIVE_RATES = np.r_[0.0, np.geomspace(1e-3, 1.0, 91)]
EXAMPLES = 5


@dataclass(frozen=True)
class TileSet:
    """The tiles of one split, read when asked for: `rows` (N,) of `group`; `kind`, `label` (N,).

    `flightline` (N,): numbers in [0, flightlines).
    """

    group: TileGroup
    rows: np.ndarray
    kind: np.ndarray
    label: np.ndarray
    flightline: np.ndarray
    flightlines: int

    def __len__(self) -> int:
        return len(self.rows)

    def chunks(self) -> Iterator[np.ndarray]:
        """All tiles in order, about 8 MB (n, W, W) [ppm m] at a time."""
        size = max(1, (1 << 21) // self.group.window**2)
        for start in range(0, len(self), size):
            yield self.group.tiles[self.rows[start : start + size]]

    def counts(self) -> dict[str, int]:
        """Tiles of each kind, and flightlines."""
        kinds = {name: int((self.kind == code).sum()) for name, code in KINDS.items()}
        return kinds | {"tiles": len(self), "flightlines": self.flightlines}


@dataclass(frozen=True)
class Method:
    """A method's scores (N,) of the test tiles, and the frozen threshold (a plume at score >= it)."""

    score: np.ndarray
    threshold: float


def tile_set(group: TileGroup, split: str) -> TileSet:
    """All tiles of a split."""
    rows = group.rows(split)
    known, flightline = np.unique(group.scene[rows], return_inverse=True)
    return TileSet(group, rows, group.kind[rows], group.label[rows].astype(bool), flightline, len(known))


def scored(score: Callable[[np.ndarray], np.ndarray], tiles: TileSet) -> np.ndarray:
    """Scores (N,) float64 of all tiles by a function of some of them (n, W, W)."""
    return np.concatenate([np.zeros(0), *(score(chunk) for chunk in tiles.chunks())])


def judge(method: Method, tiles: TileSet, drawn: np.ndarray) -> dict[str, float | None]:
    """Scores of a method with 95 % intervals over flightlines; drawn (B, S) from `bootstrap.draws`."""
    called = method.score >= method.threshold
    columns = [
        called & tiles.label, called & ~tiles.label, ~called & tiles.label,
        *(part for kind in ("neg", "bg") for part in _of_kind(called, tiles.kind == KINDS[kind])),
    ]  # fmt: skip
    counts = np.stack([np.bincount(tiles.flightline, c, tiles.flightlines) for c in columns], axis=1)
    statistics = {
        "f1": lambda c: scores.f1(c[..., 0], c[..., 1], c[..., 2]),
        "precision": lambda c: scores.precision(c[..., 0], c[..., 1]),
        "recall": lambda c: scores.recall(c[..., 0], c[..., 2]),
        "false_positive_rate_neg": lambda c: scores.ratio(c[..., 3], c[..., 4]),
        "false_positive_rate_bg": lambda c: scores.ratio(c[..., 5], c[..., 6]),
    }
    found: dict[str, float | None] = {"threshold": bootstrap.number(method.threshold)}
    for name, statistic in statistics.items():
        found |= bootstrap.of_sums(name, statistic, counts, drawn)
    tally = scores.tally(method.score, tiles.label, tiles.flightline, tiles.flightlines)
    low, high = bootstrap.interval(scores.average_precision(drawn @ tally.positives, drawn @ tally.negatives))
    area = {"auprc": scores.average_precision(*tally.total()), "auprc_low": low, "auprc_high": high}
    return found | {name: bootstrap.number(value) for name, value in area.items()}


def curves(method: Method, tiles: TileSet, drawn: np.ndarray) -> dict[str, np.ndarray]:
    """Points (3, K) value, low, high of `precision` over RECALLS and `true_positive_rate` over
    FALSE_POSITIVE_RATES; `chosen` (3,): recall, precision, false positive rate at the threshold."""
    tally = scores.tally(method.score, tiles.label, tiles.flightline, tiles.flightlines)
    resampled = drawn @ tally.positives, drawn @ tally.negatives
    made = {}
    for name, curve, grid in (
        ("precision", scores.precision_at, RECALLS),
        ("true_positive_rate", scores.true_positive_rate_at, FALSE_POSITIVE_RATES),
    ):
        bands = bootstrap.interval(curve(*resampled, grid))
        made[name] = np.stack([curve(*tally.total(), grid), *bands])
    called = method.score >= method.threshold
    hits, false = (called & tiles.label).sum(), (called & ~tiles.label).sum()
    chosen = [
        scores.recall(hits, tiles.label.sum() - hits),
        scores.precision(hits, false),
        scores.ratio(false, (~tiles.label).sum()),
    ]
    return made | {"chosen": np.array(chosen, np.float64)}


def examples(probability: np.ndarray, tiles: TileSet, threshold: float) -> dict[str, np.ndarray]:
    """EXAMPLES tiles each of four rows: plumes missed most, plumes found, worst `neg`, worst `bg`.

    "Found" are spread over the range of scores; the others are the most wrong ones first, whether or not
    they cross the threshold. Fewer tiles of a kind leave the end of a row empty: `row` says whose each is.
    """
    positive = np.flatnonzero(tiles.label)
    found = positive[probability[positive] >= threshold]
    found = found[np.argsort(-probability[found], kind="stable")]
    spread = np.unique(np.linspace(0, len(found) - 1, min(EXAMPLES, len(found))).astype(int))
    rows = [found[spread], _worst(positive, probability)]
    for kind in ("neg", "bg"):
        rows.append(_worst(np.flatnonzero(tiles.kind == KINDS[kind]), -probability))
    chosen = np.concatenate(rows)
    return {
        "tile": tiles.group.tiles[tiles.rows[chosen]], "plume": tiles.group.mask[tiles.rows[chosen]] == 1,
        "probability": probability[chosen].astype(np.float64),
        "row": np.repeat(np.arange(4), [len(r) for r in rows]),
        "threshold": np.array(threshold, np.float64),
    }  # fmt: skip


def calibration_report(
    probability: np.ndarray, label: np.ndarray
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Expected calibration error, and the reliability curve for the figure."""
    found = scores.reliability(probability, label)
    arrays = {"predicted": found.predicted, "observed": found.observed, "count": found.count}
    return {"expected_calibration_error": found.expected_calibration_error}, arrays


def best_of(judged: Mapping[str, Mapping[str, float | None]], names: Iterable[str]) -> str | None:
    """The name of the highest F1 among `names`; None where none has any."""
    known = {name: judged[name]["f1"] for name in names if judged.get(name, {}).get("f1") is not None}
    return max(known, key=known.get) if known else None


def _of_kind(called: np.ndarray, of_kind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return called & of_kind, of_kind


def _worst(rows: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The EXAMPLES rows whose value is lowest."""
    return rows[np.argsort(right[rows], kind="stable")][:EXAMPLES]
