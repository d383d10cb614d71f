"""Earthquakes against noise records."""

from __future__ import annotations

import numpy as np

from earthsignals.bootstrap import Groups, auc, named, roc, with_interval
from earthsignals.seismic.judging.sections.scene import Arrays, Metrics, Scene


def detect(scene: Scene, latents: np.ndarray, error: np.ndarray) -> tuple[Metrics, Arrays]:
    """Earthquakes against noise records.

    latents: (N, L). error: (N,) reconstruction error at the largest size, a score beside the others.
    """
    label, fitted = scene.population.is_event, scene.fitted
    trigger = fitted.trigger
    names: Metrics = {"trigger": {
        "short_s": trigger.short_s, "long_s": trigger.long_s, "components": trigger.components,
        "band_hz": list(trigger.band_hz) if trigger.band_hz else None,
    }}  # fmt: skip
    if fitted.probe is None or label.all() or not label.any():
        nothing = np.full(3, np.nan)
        metrics = named("auc_latent", nothing) | named("auc_sta_lta", nothing)
        return metrics | {"detection": names}, {}
    rows = scene.population.rows
    rate = scene.store.sampling_rate_hz
    scores = {
        "latent": fitted.probe.score(latents),
        "sta_lta": np.concatenate([
            trigger.score(scene.store.read(part), scene.store.valid(part), rate)
            for part in np.array_split(rows, -(-len(rows) // 256))
        ]),
        "reconstruction_error": error,
    }  # fmt: skip
    metrics: Metrics = {"detection": names | {"events": int(label.sum()), "noise": int((~label).sum())}}
    arrays: Arrays = {"detection/label": label}
    for name, score in scores.items():
        found = scene.stations.auc(score, label)
        metrics |= named(f"auc_{name}", found)
        arrays |= {f"detection/{name}": score, f"detection/auc/{name}": found}
        arrays[f"detection/roc/{name}"] = roc(score, label)
    difference = _auc_difference(scene.stations, scores["latent"], scores["sta_lta"], label)
    metrics["detection"] |= named("auc_latent_minus_sta_lta", difference)
    kinds = scene.population.kind
    metrics["detection"]["kind"] = {
        kind: {f"auc_{name}": _auc_or_none(score[kinds == kind], label[kinds == kind])
               for name, score in scores.items()}
        for kind in sorted(set(kinds.tolist()))
    }  # fmt: skip
    return metrics, arrays


def _auc_or_none(score: np.ndarray, label: np.ndarray) -> float | None:
    return float(auc(score, label)) if label.any() and not label.all() else None


def _auc_difference(stations: Groups, one: np.ndarray, other: np.ndarray, label: np.ndarray) -> np.ndarray:
    """How much larger the first score's AUC is, with its paired interval: (3,)."""
    each = stations.weights[:, stations.group]
    value = auc(one, label) - auc(other, label)
    resampled = [
        auc(one, label, part) - auc(other, label, part) for part in np.array_split(each, 8) if len(part)
    ]
    return with_interval(value, np.concatenate(resampled))
