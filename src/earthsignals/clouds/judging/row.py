"""A row of the table: everything that is measured of one description of tiles, the same for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earthsignals.bootstrap import Groups
from earthsignals.clouds.judging.clusters import LARGEST, purity_and_nmi, ward
from earthsignals.clouds.judging.invariance import relative_distances, summaries
from earthsignals.clouds.judging.measured import Measured
from earthsignals.clouds.judging.perturbed import Perturbed
from earthsignals.clouds.judging.probe import fit_probe
from earthsignals.clouds.judging.rank import resampled_rank
from earthsignals.clouds.judging.regression import fit_ridge, r2
from earthsignals.clouds.judging.retrieval import retrieve
from earthsignals.clouds.judging.space import Scaling
from earthsignals.clouds.judging.tiles import TARGETS, Study
from earthsignals.clouds.judging.triplets import same_class_triplet_accuracy, triplet_accuracy

Arrays = dict[str, np.ndarray]
COMPARED = (
    "probe", "map", "purity", "nmi", "triplet_accuracy", "same_class_triplet_accuracy",
    *(f"r2_{target}" for target in TARGETS),
)  # fmt: skip
"""What a model is held against the best baseline in; larger is better."""


@dataclass(frozen=True)
class Judged:
    """measures by name, resampled by the same scenes as those of all other rows; arrays for figures."""

    measures: dict[str, Measured]
    arrays: Arrays
    features: int

    def metrics(self) -> dict[str, float | None]:
        """Every measure with its interval, for JSON."""
        found: dict[str, float | None] = {}
        for name, measure in self.measures.items():
            found |= measure.named(name)
        return found


@dataclass(frozen=True)
class Judge:
    """What all rows are judged on."""

    study: Study
    perturbed: Perturbed
    clusters: int

    def row(
        self, fit: np.ndarray, judged: np.ndarray, perturbed: np.ndarray, *, one_unit: bool = True
    ) -> Judged:
        """fit (M, F), judged (N, F), perturbed (n + Σ K·n, F): features of the training anchors, of the
        study's tiles, and of `perturbed.stacked()`.

        one_unit: features are of one kind, so that their singular values can be compared.
        """
        study = self.study
        scaling = Scaling.fit(fit)
        directions = scaling.directions(judged)
        arrays: Arrays = {}
        measures = {
            "triplet_accuracy": triplet_accuracy(study, directions),
            "same_class_triplet_accuracy": same_class_triplet_accuracy(study, directions),
            "effective_rank": resampled_rank(study.groups, judged) if one_unit
            else Measured.unknown(study.groups),
        }  # fmt: skip
        for part in (
            self._regimes(fit, judged, directions), self._targets(fit, judged),
            self._invariances(scaling.directions(perturbed)),
        ):  # fmt: skip
            measures |= part[0]
            arrays |= part[1]
        return Judged(measures, arrays, judged.shape[1])

    def _regimes(
        self, fit: np.ndarray, judged: np.ndarray, directions: np.ndarray
    ) -> tuple[dict[str, Measured], Arrays]:
        """Probe, retrieval and clusters; unknown where there are fewer than two regimes."""
        study, unknown = self.study, Measured.unknown(self.study.groups)
        regimes = study.tiles.regimes
        known = np.flatnonzero(study.tiles.regime != "")
        told = study.fit.regime != ""
        if len(regimes) < 2:
            return dict.fromkeys(("probe", "map", "purity", "nmi"), unknown), {}
        groups, regime = study.groups.subset(known), study.tiles.regime[known]
        measures, arrays = {"probe": unknown}, {}
        probe = fit_probe(fit[told], study.fit.regime[told], study.fit.scene[told])
        if probe is not None:
            predicted = probe.predict(judged[known])
            measures["probe"] = Measured.mean(groups, (predicted == regime).astype(np.float64))
            arrays["confusion"] = confusion(regime, predicted, regimes)
        found = retrieve(study, directions)
        measures["map"] = found.mean_average_precision
        arrays["retrieval/precision_at_k"] = found.precision_at_k.triple
        some = np.unique(np.linspace(0, len(known) - 1, min(LARGEST, len(known))).round().astype(int))
        label = np.array([regimes.index(name) for name in regime[some]])
        cluster = ward(directions[known[some]], self.clusters)
        measures["purity"], measures["nmi"] = purity_and_nmi(groups.subset(some), cluster, label)
        return measures, arrays

    def _targets(self, fit: np.ndarray, judged: np.ndarray) -> tuple[dict[str, Measured], Arrays]:
        """R² of each of TARGETS; unknown where too few tiles tell theirs."""
        study = self.study
        measures, arrays = {}, {}
        for name in TARGETS:
            true = study.tiles.targets[name]
            ridge = fit_ridge(fit, study.fit.targets[name], study.fit.scene)
            measures[f"r2_{name}"] = Measured.unknown(study.groups)
            if ridge is not None:
                predicted = ridge.predict(judged)
                known = np.isfinite(true)
                measures[f"r2_{name}"] = r2(study.groups, true, predicted)
                arrays[f"regression/{name}/true"] = true[known]
                arrays[f"regression/{name}/predicted"] = predicted[known]
        return measures, arrays

    def _invariances(self, directions: np.ndarray) -> tuple[dict[str, Measured], Arrays]:
        relative = relative_distances(self.study.groups, self.perturbed, directions)
        return summaries(relative), {f"{name}/distance": found.triple for name, found in relative.items()}


def confusion(true: np.ndarray, predicted: np.ndarray, names: list[str]) -> np.ndarray:
    """Tiles (C, C) int64 of true class (rows) and predicted class (columns), in the order of `names`."""
    order = {name: number for number, name in enumerate(names)}
    table = np.zeros((len(names), len(names)), np.int64)
    for one, other in zip(true, predicted, strict=True):
        if other in order:  # a class of the training scenes alone counts as wrong, in no column
            table[order[one], order[other]] += 1
    return table


def best(rows: dict[str, Judged], name: str) -> str | None:
    """The row that is best in a measure, the first of equals; None where no row knows it."""
    known = {row: judged.measures[name].value for row, judged in rows.items()}
    known = {row: float(value) for row, value in known.items() if np.isfinite(value)}
    return max(known, key=known.__getitem__) if known else None


def compared(model: Judged, baselines: dict[str, Judged], groups: Groups) -> dict[str, object]:
    """For JSON: of each of COMPARED the best baseline, its value, and what the model has more, paired."""
    found: dict[str, object] = {}
    winners: dict[str, str | None] = {}
    for name in COMPARED:
        winners[name] = row = best(baselines, name)
        rival = baselines[row].measures[name] if row else Measured.unknown(groups)
        found |= rival.named(f"{name}_best_baseline")
        found |= model.measures[name].minus(rival).named(f"{name}_minus_best_baseline")
    return found | {"best_baseline": winners}
