"""Anomaly scores against injected faults, and against noise."""

from __future__ import annotations

import numpy as np
import torch

from earthsignals.bootstrap import named
from earthsignals.compute.mapping import progress
from earthsignals.seismic.judging import reconstruction
from earthsignals.seismic.judging.anomalies import FAULTS, inject, knn, mahalanobis
from earthsignals.seismic.judging.latents import encode
from earthsignals.seismic.judging.sections.scene import Arrays, Metrics, Scene
from earthsignals.seismic.spectrogram.image import SpectrogramImage
from earthsignals.seismic.store.packed import evenly

ANOMALY_RECORDS = 150


@torch.inference_mode()
def find_anomalies(scene: Scene, latents: np.ndarray, error: np.ndarray) -> tuple[Metrics, Arrays]:
    """Injected faults against the same records without them, and noise records against earthquakes."""
    reference, store = scene.fitted.reference, scene.store
    model = scene.models.bottleneck
    chosen = evenly(scene.events, ANOMALY_RECORDS)
    rows = scene.population.rows[chosen]
    usual = {
        "mahalanobis": mahalanobis(latents, reference), "knn": knn(latents, reference),
        "reconstruction_error": error,
    }  # fmt: skip
    largest = max(scene.models.sizes)
    stations = scene.stations.subset(np.concatenate([chosen, chosen]))
    label = np.repeat([True, False], len(chosen))
    method = reconstruction.of_autoencoder(model.network, [largest])
    image = SpectrogramImage(model.preprocessing)
    mask = image.frame_mask(torch.from_numpy(store.valid(rows)), store.samples)
    metrics: Metrics = {"faults": {}}
    found: dict[str, list[np.ndarray]] = {name: [] for name in usual}
    with progress("scoring faults", len(FAULTS) * len(rows), "records") as bar:
        for fault in FAULTS:
            faulty = inject(fault, store.read(rows), rows, scene.params.evaluate.seed)
            z = encode(model.network, model.preprocessing, faulty, store.valid(rows))
            errors = []
            for start in range(0, len(rows), 64):
                part = slice(start, start + 64)
                x = image.images(torch.from_numpy(faulty[part])).x
                output = method(x, mask[part])[largest]
                errors.append(reconstruction.component_errors(x, output, mask[part])[0].mean(1))
            scores = {
                "mahalanobis": mahalanobis(z, reference), "knn": knn(z, reference),
                "reconstruction_error": np.concatenate(errors),
            }  # fmt: skip
            metrics["faults"][fault] = {}
            for name, score in scores.items():
                both = np.concatenate([score, usual[name][chosen]])
                found[name].append(stations.auc(both, label))
                metrics["faults"][fault] |= named(name, found[name][-1])
            bar.advance(len(rows))
    arrays: Arrays = {f"anomaly/{name}": np.stack(values) for name, values in found.items()}
    arrays["anomaly/faults"] = np.array(list(FAULTS), dtype=bytes)
    means = {name: np.mean([triple[0] for triple in values]) for name, values in found.items()}
    metrics |= {f"mean_{name}": float(value) for name, value in means.items()}
    if len(scene.noise):
        metrics["noise"] = {}
        for name, score in usual.items():
            against = scene.stations.auc(score, ~scene.population.is_event)
            arrays[f"anomaly/noise_{name}"] = against
            metrics["noise"] |= named(name, against)
    for name in ("mahalanobis", "knn"):
        limit = float(reference[f"threshold_{name}"])
        metrics[f"flagged_events_{name}"] = float((usual[name][scene.events] > limit).mean())
    return {
        "anomaly": metrics, "auc_anomaly_mahalanobis": metrics["mean_mahalanobis"],
        "auc_anomaly_knn": metrics["mean_knn"],
    }, arrays  # fmt: skip
