"""Evaluation: every network beside what it has to beat, on stations and events that nobody has seen.

Reconstructions beside zero, means and linear codes of the same size, and above the floor of speckle;
detection beside the classical trigger; anomalies, denoising. All choices were made on the training and
validation splits (`judging.fitted`), every interval comes from resampling the held-out stations.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from earthsignals.bootstrap import Groups
from earthsignals.compute.device import choose_device
from earthsignals.seismic.judging import sections
from earthsignals.seismic.judging.fitted import Fitted, Models, fit
from earthsignals.seismic.judging.floor import surrogate_floor, twin_floor
from earthsignals.seismic.judging.latents import latents_of
from earthsignals.seismic.judging.population import Population
from earthsignals.seismic.judging.sections import Floor, Scene
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.simulation.record import specs
from earthsignals.seismic.store.packed import Store, evenly
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError

if TYPE_CHECKING:
    from earthsignals.seismic.checkpoint import SpectrogramModel

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found: nested metrics for JSON, and arrays by name for the figures."""

    metrics: dict[str, Any]
    arrays: Arrays


def evaluate(
    store: Store, bottleneck: SpectrogramModel, denoiser: SpectrogramModel, seed: SpectrogramModel,
    params: SeismicParams, *, settings: Settings,
) -> Evaluation:  # fmt: skip
    """Judge the three networks on the test split of the store.

    Raises EarthSignalsError where it holds no earthquake, or the training split too few; or where a network
    was trained on other windows than the store holds.
    """
    models = Models(bottleneck, denoiser, seed)
    check_windows(store, models)
    with on_device(models, settings):
        return judge(store, store.rows("test"), models, fit(store, models, params), params)


def judge(
    store: Store, rows: np.ndarray, models: Models, fitted: Fitted, params: SeismicParams, *,
    twins: bool = True,
) -> Evaluation:  # fmt: skip
    """Judge on these rows, of any store. twins: look for the simulated records' twins for the floor."""
    population = Population.of(store, rows)
    if not population.is_event.any():
        raise EarthSignalsError(
            f"{store.folder}: there is no earthquake among the {len(rows)} records to judge: pack more "
            "records (`dvc repro seismic-pack`) or check their categories in records.csv"
        )
    resamples, seed = params.evaluate.bootstrap, params.evaluate.seed
    stations = Groups.of(population.station, resamples, seed, "seismic-bootstrap")
    scene = Scene(store, population, models, fitted, params, stations)
    preprocessing = models.bottleneck.preprocessing
    estimates = surrogate_floor(store, rows, preprocessing, seed)
    floor, arrays = _floor(scene, estimates, twins)
    arrays |= population.arrays()
    arrays |= {
        "image/frequencies_hz": preprocessing.frequencies_hz, "image/times_s": preprocessing.times_s,
        "image/p_sample": np.array(params.window.p_sample),
    }  # fmt: skip
    if preprocessing.scaling.normalisation == "joint":
        arrays["image/range_db"] = np.array(preprocessing.scaling.range_db)
    metrics: dict[str, Any] = {
        "records": len(rows), "earthquakes": len(scene.events), "noise_records": len(scene.noise),
        "stations": len(stations.names), "skipped_corrupt": len(store.skipped),
        "bottleneck_md5": models.bottleneck.md5, "denoiser_md5": models.denoiser.md5,
        "seed_md5": models.seed.md5,
    }  # fmt: skip
    latents = latents_of(models.bottleneck.network, preprocessing, store, rows)
    found = [sections.reconstruct(scene, floor, estimates.mean(1))]
    error = found[0][1]["errors/model"][-1].mean(1).astype(np.float64)
    found += [
        sections.reconstruct_plain(scene), sections.detect(scene, latents, error),
        sections.find_anomalies(scene, latents, error), sections.denoising(scene),
    ]  # fmt: skip
    for more_metrics, more_arrays in found:
        metrics |= more_metrics
        arrays |= more_arrays
    arrays |= sections.examples(scene, error)
    arrays["embedding/latent"] = latents
    arrays["embedding/clusters"] = np.array(params.evaluate.clusters)
    arrays["embedding/weight"] = models.bottleneck.network.scale[: latents.shape[1]].cpu().numpy()
    return Evaluation(metrics, arrays)


def check_windows(store: Store, models: Models) -> None:
    """Raises EarthSignalsError where a network sees other windows than the store holds."""
    for model in (models.bottleneck, models.denoiser, models.seed):
        window = model.preprocessing.window
        if (window.samples, window.sampling_rate_hz) != (store.samples, store.sampling_rate_hz):
            raise EarthSignalsError(
                f"{model.path or model.name} was trained on windows of {window.samples} samples at "
                f"{window.sampling_rate_hz:g} Hz, and {store.folder} holds {store.samples} at "
                f"{store.sampling_rate_hz:g} Hz: train again with `dvc repro seismic-evaluate`"
            )


@contextmanager
def on_device(models: Models, settings: Settings) -> Iterator[None]:
    """The networks on the device that the settings name; back on the CPU afterwards."""
    device = choose_device(settings.device)
    networks = [model.network for model in (models.bottleneck, models.denoiser, models.seed)]
    try:
        for network in networks:
            network.to(device)
        yield
    finally:
        for network in networks:
            network.to("cpu")


def _floor(scene: Scene, estimates: np.ndarray, twins: bool) -> tuple[Floor, Arrays]:
    """From twins of the test earthquakes where they were simulated, else from every record's surrogates."""
    population, params = scene.population, scene.params
    if twins and params.source == "synthetic":
        known = {
            (event, station): None
            for event, station in zip(
                population.event[scene.events], population.station[scene.events], strict=True
            )
        }
        matching = [
            spec
            for spec in specs(params)
            if spec.category == "earthquake" and (spec.event, f"{spec.network}.{spec.station}") in known
        ]
        if matching:
            chosen = [matching[at] for at in evenly(np.arange(len(matching)), params.evaluate.floor_pairs)]
            measured, estimated = twin_floor(
                chosen, params, scene.models.bottleneck.preprocessing, params.evaluate.seed
            )
            station = np.array([f"{spec.network}.{spec.station}" for spec in chosen])
            row_of = dict(zip(zip(population.event, population.station, strict=True),
                              population.snr_db, strict=True))  # fmt: skip
            snr = [row_of[spec.event, name] for spec, name in zip(chosen, station, strict=True)]
            return Floor(measured, station, "twins"), {
                "floor/pair_mse": measured.mean(1), "floor/pair_surrogate": estimated.mean(1),
                "floor/pair_snr_db": np.array(snr, np.float64),
            }  # fmt: skip
    events = scene.events
    return Floor(estimates[events], population.station[events], "surrogates"), {}
