"""Reconstructions by the ordered latent beside linear codes of the same size and above the floor."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from earthsignals.bootstrap import Groups, named, with_interval
from earthsignals.seismic.judging import groups, reconstruction
from earthsignals.seismic.judging.reconstruction import Errors
from earthsignals.seismic.judging.sections.scene import Arrays, Floor, Metrics, Scene

CODES = ("model", "pca", "patch_pca")
CONSTANTS = ("zero", "mean", "means")


def reconstruct(scene: Scene, floor: Floor, record_floor: np.ndarray) -> tuple[Metrics, Arrays]:
    """Errors of the ordered latent beside its baselines, and what exceeds the floor.

    record_floor: (N,) the surrogates' estimate for every record.
    """
    models, baselines = scene.models, scene.fitted.baselines
    sizes = models.sizes
    curve = sorted({*scene.params.evaluate.curve_sizes, *sizes})
    found = reconstruction.judge(
        scene.store, scene.population.rows, models.bottleneck.preprocessing,
        {
            "model": reconstruction.of_autoencoder(models.bottleneck.network, sizes),
            "pca": reconstruction.of_pca(baselines, curve),
            "patch_pca": reconstruction.of_patches(baselines, sorted(baselines.patches)),
            **reconstruction.of_constants(baselines),
        },
    )  # fmt: skip
    events = scene.stations.subset(scene.events)
    floors = events.elsewhere(floor.station)
    floor_mean = floors.resampled_mean(floor.mse.mean(1))

    def of_events(errors: Errors, kind: str = "mse") -> np.ndarray:
        return getattr(errors, kind)[scene.events].mean(1)

    metrics: Metrics = named("mse_floor", floors.mean(floor.mse.mean(1)))
    metrics |= {"floor_source": floor.source, "floor_records": len(floor.mse)}
    metrics |= {"mean_numbers": baselines.mean_numbers, "mse": {}, "mae": {}}
    for name in CONSTANTS:
        (errors,) = found[name].values()
        value, resampled = events.resampled_mean(of_events(errors))
        metrics |= named(f"mse_{name}", with_interval(value, resampled))
        above = with_interval(value - floor_mean[0], resampled - floor_mean[1])
        metrics |= named(f"mse_{name}_excess", above)
        # In this scaling; `mae_zero` and `mae_mean` stand beside the plain autoencoder, in its own.
        metrics |= named(f"mae_joint_{name}", events.mean(of_events(errors, "mae")))
    for size in sizes:
        metrics["mse"][str(size)] = told = {}
        metrics["mae"][str(size)] = {}
        for name in CODES:
            errors = found[name].get(size)
            if errors is None:
                told[name] = None
                continue
            value, resampled = events.resampled_mean(of_events(errors))
            told |= named(name, with_interval(value, resampled))
            told |= named(f"{name}_excess", with_interval(value - floor_mean[0], resampled - floor_mean[1]))
            metrics["mae"][str(size)] |= named(name, events.mean(of_events(errors, "mae")))
            if name != "model":
                gain = of_events(found["model"][size]) - of_events(errors)
                told |= named(f"model_minus_{name}", events.mean(gain))
    arrays = _error_arrays(scene, found, record_floor)
    arrays |= curves("curve", {name: found[name] for name in CODES}, scene.events, events)
    arrays["curve/floor"] = floors.mean(floor.mse.mean(1))
    arrays["groups/component/floor"] = floors.mean(floor.mse)
    for name in CONSTANTS:
        (errors,) = found[name].values()
        arrays[f"curve/{name}"] = events.mean(of_events(errors))
    grouped, more = _grouped(scene, found, record_floor)
    patches = {str(size): f"{fit.grid[0]}×{fit.grid[1]}" for size, fit in baselines.patches.items()}
    return metrics | {"groups": grouped, "patch_grids": patches}, arrays | more


def _error_arrays(
    scene: Scene, found: Mapping[str, Mapping[int, Errors]], record_floor: np.ndarray
) -> Arrays:
    sizes = scene.models.sizes
    nothing = np.full((len(scene.population), 3), np.nan)
    arrays: Arrays = {"errors/sizes": np.array(sizes), "errors/floor_record": record_floor}
    arrays["errors/mean_numbers"] = np.array(scene.fitted.baselines.mean_numbers)
    for name in CODES:
        of_sizes = [found[name][size].mse if size in found[name] else nothing for size in sizes]
        arrays[f"errors/{name}"] = np.stack(of_sizes).astype(np.float32)
    for name in CONSTANTS:
        (errors,) = found[name].values()
        arrays[f"errors/{name}"] = errors.mse.astype(np.float32)
    return arrays


def curves(
    prefix: str, found: Mapping[str, Mapping[int, Errors]], chosen: np.ndarray, stations: Groups
) -> Arrays:
    """Sizes (k,) and means with intervals (k, 3) of the chosen records, for each method."""
    arrays: Arrays = {}
    for name, by_size in found.items():
        sizes = sorted(by_size)
        if not sizes:
            continue
        arrays[f"{prefix}/{name}/sizes"] = np.array(sizes)
        arrays[f"{prefix}/{name}/mse"] = np.stack(
            [stations.mean(by_size[size].mse[chosen].mean(1)) for size in sizes]
        )
    return arrays


def _grouped(
    scene: Scene, found: Mapping[str, Mapping[int, Errors]], record_floor: np.ndarray
) -> tuple[Metrics, Arrays]:
    """Means by kind, signal-to-noise ratio, magnitude and distance of the earthquakes, and by component."""
    population, events, sizes = scene.population, scene.events, scene.models.sizes
    stations = scene.stations.subset(events)
    groupings = {
        "kind": groups.by_name(population.kind[events]),
        "snr": groups.by_bins("snr", population.snr_db[events]),
        "magnitude": groups.by_bins("magnitude", population.magnitude[events]),
        "distance": groups.by_bins("distance", population.distance_km[events]),
    }
    constants = {
        name: next(iter(found[name].values())).mse[events].mean(1) for name in CONSTANTS
    } | {"floor": record_floor[events]}
    metrics: Metrics = {}
    arrays: Arrays = {}
    for name, grouping in groupings.items():
        if not grouping.names:
            continue
        means = {key: groups.means(grouping, values, stations) for key, values in constants.items()}
        metrics[name] = {}
        of_sizes: dict[str, list[np.ndarray]] = {code: [] for code in CODES}
        for size in sizes:
            codes = {
                code: groups.means(grouping, found[code][size].mse[events].mean(1), stations)
                for code in CODES
                if size in found[code]
            }
            for code in CODES:
                of_sizes[code].append(codes.get(code, np.full((len(grouping.names), 3), np.nan)))
            metrics[name][str(size)] = groups.table(grouping, codes | means)
        arrays |= {f"groups/{name}/{code}": np.stack(values) for code, values in of_sizes.items()}
        arrays |= {f"groups/{name}/{key}": values for key, values in means.items()}
        arrays[f"groups/{name}/count"] = grouping.counts
        if grouping.edges is None:
            arrays[f"groups/{name}/names"] = np.array(grouping.names, dtype=bytes)
        else:
            unit = f"groups/{name}/edges" + ("_db" if name == "snr" else "")
            arrays[unit] = grouping.edges
    metrics["component"] = {}
    for code in CODES:
        by_size = [
            stations.mean(found[code][size].mse[events]) if size in found[code] else np.full((3, 3), np.nan)
            for size in sizes
        ]
        arrays[f"groups/component/{code}"] = np.stack(by_size)
        for size, means in zip(sizes, by_size, strict=True):
            of_size = metrics["component"].setdefault(str(size), {letter: {} for letter in "ENZ"})
            for letter, triple in zip("ENZ", means, strict=True):
                of_size[letter] |= named(code, triple)
    return metrics, arrays
