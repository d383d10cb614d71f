"""The plain autoencoder, held against its own claims.

Its scaling (minimum and maximum of each component) makes errors that cannot be compared with those of the
joint one, so it has baselines of its own, fitted to as many records as it was trained on.
"""

from __future__ import annotations

import numpy as np

from earthsignals.bootstrap import named
from earthsignals.seismic.judging import reconstruction
from earthsignals.seismic.judging.sections.reconstruction import curves
from earthsignals.seismic.judging.sections.scene import Arrays, Metrics, Scene


def reconstruct_plain(scene: Scene) -> tuple[Metrics, Arrays]:
    """The plain autoencoder in its own scaling, with baselines in the same."""
    models, baselines = scene.models, scene.fitted.seed_baselines
    rows = scene.population.rows[scene.events]
    numbers = models.seed_numbers
    constants = reconstruction.of_constants(baselines)
    found = reconstruction.judge(
        scene.store, rows, models.seed.preprocessing,
        {
            "seed": reconstruction.of_plain(models.seed.network, numbers),
            "pca": reconstruction.of_pca(baselines, sorted({*scene.params.evaluate.curve_sizes})),
            "patch_pca": reconstruction.of_patches(baselines, sorted(baselines.patches)),
            "zero": constants["zero"], "mean": constants["mean"],
        },
        description="judging the plain autoencoder",
    )  # fmt: skip
    stations = scene.stations.subset(scene.events)
    metrics: Metrics = {"seed": {"numbers": numbers, "normalisation": "component"}}
    for name, code in (("seed", numbers), ("zero", 0), ("mean", 0), ("patch_pca", numbers)):
        errors = found[name].get(code)
        if errors is None:
            continue
        mse, mae = stations.mean(errors.mse.mean(1)), stations.mean(errors.mae.mean(1))
        metrics["seed"] |= named(f"mse_{name}", mse) | named(f"mae_{name}", mae)
        if name == "seed":
            metrics |= named("mse_seed", mse)
        if name != "patch_pca":
            metrics |= named(f"mae_{name}", mae)
    everything = np.arange(len(rows))
    codes = {name: found[name] for name in ("pca", "patch_pca")}
    arrays = curves("curve_component", codes, everything, stations)
    arrays |= {
        f"curve_component/{name}": stations.mean(next(iter(found[name].values())).mse.mean(1))
        for name in ("seed", "zero", "mean")
    }
    return metrics, arrays | {"curve_component/seed_numbers": np.array(numbers)}
