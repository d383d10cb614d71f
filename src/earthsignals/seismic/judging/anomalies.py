"""How unlike the training earthquakes a latent is, and whether that finds faulty records.

Two distances to the training latents: Mahalanobis', in units of their covariance (shrunk as Ledoit & Wolf
2004 find best), and the mean Euclidean one to the nearest of them. Reconstruction error stands beside them as
the score that autoencoders are usually given. Faults are put into held-out earthquakes, which without them
are the negatives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from earthsignals.compute.seeds import philox

NEIGHBOURS = 5
KEPT_LATENTS = 4096
FOLDS = 8
QUANTILE = 0.99  # of training earthquakes that pass for usual
_CHUNK = 512


def fit_reference(latents: np.ndarray, held_back: np.ndarray | None = None) -> dict[str, Tensor]:
    """What anomalies are measured against, from latents (M, L) of training earthquakes.

    mean (L,), precision (L, L), latents (≤ KEPT_LATENTS, L, evenly chosen) float32; threshold_mahalanobis and
    threshold_knn (): what QUANTILE of the earthquakes `held_back` stay below. A network has seen its training
    records, whose latents lie farther out than those of new ones, so theirs would be too high. Without
    `held_back`, each of FOLDS parts of the training earthquakes is held against the others.
    """
    latents = np.asarray(latents, np.float64)
    step = np.linspace(0, len(latents) - 1, min(len(latents), KEPT_LATENTS)).round().astype(np.int64)
    kept = latents[step].astype(np.float32)
    moments = _moments(latents)
    if held_back is not None and len(held_back):
        distances = mahalanobis(held_back, moments), _nearest(held_back, kept, NEIGHBOURS)
    else:
        distances = _across_folds(latents), _nearest(kept, kept, NEIGHBOURS, own=True)
    thresholds = zip(("threshold_mahalanobis", "threshold_knn"), distances, strict=True)
    return {**moments, "latents": torch.from_numpy(kept)} | {
        name: torch.tensor(float(np.quantile(values, QUANTILE))) for name, values in thresholds
    }


def _moments(latents: np.ndarray) -> dict[str, Tensor]:
    """Mean and precision of latents (M, L) float64."""
    mean, deviation = latents.mean(0), latents.std(0)
    deviation[deviation < 1e-6 * max(deviation.max(), 1e-30)] = max(deviation.max(), 1e-30)
    # Shrunk towards equal variances, the small numbers of an ordered latent would count for nothing, so
    # they are brought to equal variances first. A number that no record uses does not weigh infinitely.
    covariance, _ = ledoit_wolf((latents - mean) / deviation, assume_centered=True)
    precision = np.linalg.inv(covariance + 1e-6 * np.eye(len(covariance))) / np.outer(deviation, deviation)
    return {
        "mean": torch.from_numpy(mean.astype(np.float32)),
        "precision": torch.from_numpy(((precision + precision.T) / 2).astype(np.float32)),
    }


def _across_folds(latents: np.ndarray) -> np.ndarray:
    """Distances of each of FOLDS parts of the latents to the moments of the others.

    To moments that they are part of themselves, hundreds of numbers of a few thousand records are too near:
    a threshold from such distances would be passed by far too many new records.
    """
    if len(latents) < 2 * FOLDS:
        return mahalanobis(latents, _moments(latents))
    fold = np.arange(len(latents)) % FOLDS
    return np.concatenate([
        mahalanobis(latents[fold == one], _moments(latents[fold != one])) for one in range(FOLDS)
    ])  # fmt: skip


def mahalanobis(latents: np.ndarray, reference: Mapping[str, Tensor]) -> np.ndarray:
    """sqrt((z − m)ᵀ P (z − m)) of latents (N, L): (N,) float64."""
    centred = latents.astype(np.float64) - reference["mean"].numpy()
    squares = np.einsum("nl,nl->n", centred @ reference["precision"].numpy().astype(np.float64), centred)
    return np.sqrt(np.maximum(squares, 0))


def knn(latents: np.ndarray, reference: Mapping[str, Tensor], neighbours: int = NEIGHBOURS) -> np.ndarray:
    """Mean distance of latents (N, L) to their nearest among the reference's: (N,) float64."""
    return _nearest(latents, reference["latents"].numpy(), neighbours)


def _nearest(latents: np.ndarray, among: np.ndarray, neighbours: int, own: bool = False) -> np.ndarray:
    """Mean distance to the nearest; `own`: the first one is the latent itself."""
    neighbours = max(1, min(neighbours, len(among) - int(own)))
    among = among.astype(np.float64)
    squares = (among**2).sum(1)
    found = np.empty(len(latents))
    for start in range(0, len(latents), _CHUNK):
        part = latents[start : start + _CHUNK].astype(np.float64)
        distance = np.maximum((part**2).sum(1)[:, None] - 2 * part @ among.T + squares, 0)
        if own:
            distance[np.arange(len(part)), np.arange(start, start + len(part))] = np.inf
        nearest = np.partition(distance, neighbours - 1, axis=1)[:, :neighbours]
        found[start : start + _CHUNK] = np.sqrt(nearest).mean(1)
    return found


# --------------------------------------------------------------------------------------------------- faults
Fault = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def clipped(record: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A digitiser that ends at 5 to 25 % of the record's largest sample."""
    limit = np.abs(record).max() * rng.uniform(0.05, 0.25)
    return np.clip(record, -limit, limit)


def spikes(record: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ten single samples of one component at one to three times its largest."""
    out, component = record.copy(), rng.integers(3)
    where = rng.integers(0, record.shape[1], 10)
    out[component, where] = np.abs(record).max() * rng.uniform(1, 3, 10) * rng.choice((-1, 1), 10)
    return out


def dropout(record: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All components hold zero for 5 to 15 % of the record, at a random time."""
    out, samples = record.copy(), record.shape[1]
    length = int(samples * rng.uniform(0.05, 0.15))
    start = int(rng.integers(0, samples - length))
    out[:, start : start + length] = 0
    return out


def dead_component(record: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One component records nothing."""
    out = record.copy()
    out[rng.integers(3)] = 0
    return out


def wrong_gain(record: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One component is ten times too strong or too weak."""
    out = record.copy()
    out[rng.integers(3)] *= rng.choice((0.1, 10.0))
    return out


def swapped_components(record: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The vertical component has changed its cable with a horizontal one."""
    order = [2, 1, 0] if rng.random() < 0.5 else [0, 2, 1]
    return record[order]


def calibration_pulse(record: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A step, answered with a time constant of 1 to 5 s, on all components, as strong as the record."""
    samples = record.shape[1]
    start = int(rng.integers(samples // 10, samples * 8 // 10))
    decay = rng.uniform(0.002, 0.01)
    time = np.arange(samples - start)
    out = record.copy()
    peak = np.abs(record).max() * rng.uniform(0.5, 2)
    out[:, start:] += peak * np.exp(-decay * time) * np.cos(decay * time)
    return out


def reversed_time(record: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Played backwards: the spectrum is right, the coda comes first."""
    return np.ascontiguousarray(record[:, ::-1])


FAULTS: dict[str, Fault] = {
    "clipped": clipped,
    "spikes": spikes,
    "dropout": dropout,
    "dead_component": dead_component,
    "wrong_gain": wrong_gain,
    "swapped_components": swapped_components,
    "calibration_pulse": calibration_pulse,
    "reversed_time": reversed_time,
}
"""Reversed polarity is not among them: the amplitude of a spectrum does not know it."""


def inject(fault: str, waveforms: np.ndarray, numbers: np.ndarray, seed: int) -> np.ndarray:
    """Waveforms (B, 3, S) with this fault, each by its own number (B,): the same in any batch."""
    apply = FAULTS[fault]
    faulty = [
        apply(record.astype(np.float64), philox(seed, f"seismic-fault-{fault}", int(number)))
        for record, number in zip(waveforms, numbers, strict=True)
    ]
    return np.stack(faulty).astype(np.float32)
