"""Noise of held-out stations mixed into held-out earthquakes, and taken out again."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from earthsignals.bootstrap import Groups, named
from earthsignals.seismic.denoising.judge import judge_denoising, pairs
from earthsignals.seismic.denoising.mixing import mix
from earthsignals.seismic.denoising.waveform import denoise
from earthsignals.seismic.judging import groups
from earthsignals.seismic.judging.sections.scene import Arrays, Metrics, Scene
from earthsignals.seismic.store.packed import evenly

DENOISERS = {
    "model": "", "bandpass": "bandpass_", "best_bandpass": "best_bandpass_", "wiener": "wiener_",
    "oracle": "oracle_",
}  # fmt: skip
"""Prefix of each method in `judge_denoising`'s result."""
DENOISED_EXAMPLES = 4


def denoising(scene: Scene) -> tuple[Metrics, Arrays]:
    """Noise of held-out stations mixed into strong held-out earthquakes, and taken out again."""
    params, population, store = scene.params, scene.population, scene.store
    strong = population.snr_db[scene.events] >= params.denoiser.minimum_signal_db
    clean_at = evenly(scene.events[strong], params.evaluate.denoise_records)
    nothing = np.full(3, np.nan)
    empty = named("denoise_gain_db_at_0", nothing) | named("denoise_correlation_at_0", nothing)
    if not len(clean_at) or not len(scene.noise):
        return empty, {}
    levels = sorted({*params.evaluate.noise_snr_db, 0.0})
    seed, p_sample = params.evaluate.seed, params.window.p_sample
    partner = scene.noise[pairs(population.kind[clean_at], population.kind[scene.noise], seed)]
    clean, noise = store.read(population.rows[clean_at]), store.read(population.rows[partner])
    told = judge_denoising(
        scene.models.denoiser, clean, noise, levels, p_sample, seed=seed, band_hz=scene.fitted.band_hz
    )
    stations, zero = scene.stations.subset(clean_at), levels.index(0.0)
    metrics: Metrics = {
        "records": len(clean_at), "band_hz": list(scene.fitted.band_hz), "input_snr_db": levels,
    }  # fmt: skip
    arrays: Arrays = {"denoise/input_snr_db": np.array(levels)}
    for name, prefix in DENOISERS.items():
        gain, correlation = told[f"{prefix}gain_db"], told[f"{prefix}correlation"]
        arrays[f"denoise/{name}/gain_db"] = stations.mean(gain)
        arrays[f"denoise/{name}/correlation"] = stations.mean(correlation)
        arrays[f"denoise/{name}/output_db"] = told[f"{prefix}output_db"].T
        metrics[name] = named("gain_db_at_0", arrays[f"denoise/{name}/gain_db"][zero]) | named(
            "correlation_at_0", arrays[f"denoise/{name}/correlation"][zero]
        ) | {"gain_db": arrays[f"denoise/{name}/gain_db"][:, 0].tolist(),
             "correlation": arrays[f"denoise/{name}/correlation"][:, 0].tolist()}  # fmt: skip
    metrics["kind"] = _denoising_by_kind(population.kind[clean_at], stations, told, zero)
    arrays |= _denoised_examples(scene, clean_at, clean, noise)
    top = named("denoise_gain_db_at_0", arrays["denoise/model/gain_db"][zero]) | named(
        "denoise_correlation_at_0", arrays["denoise/model/correlation"][zero]
    )
    return top | {"denoise": metrics}, arrays


def _denoising_by_kind(
    kinds: np.ndarray, stations: Groups, told: Mapping[str, np.ndarray], zero: int
) -> Metrics:
    grouping = groups.by_name(kinds)
    return groups.table(grouping, {
        "gain_db_at_0": groups.means(grouping, told["gain_db"][:, zero], stations),
        "correlation_at_0": groups.means(grouping, told["correlation"][:, zero], stations),
    })  # fmt: skip


def _denoised_examples(scene: Scene, clean_at: np.ndarray, clean: np.ndarray, noise: np.ndarray) -> Arrays:
    """A few mixtures at 0 dB as waveforms, of all kinds if possible; the clean ones have a unit peak."""
    population = scene.population
    kinds = population.kind[clean_at]
    first = [np.flatnonzero(kinds == kind)[0] for kind in sorted(set(kinds.tolist()))]
    rest = [at for at in evenly(np.arange(len(kinds)), DENOISED_EXAMPLES) if at not in first]
    at = np.array((first + rest)[:DENOISED_EXAMPLES])
    noisy, _ = mix(clean[at], noise[at], 0.0, scene.params.window.p_sample)
    model = scene.models.denoiser
    denoised = denoise(model.network, model.preprocessing, noisy)
    peak = np.abs(clean[at]).max((1, 2), keepdims=True)
    text = {"kind": kinds[at], "station": population.station[clean_at[at]]}
    return {f"denoise/example_{name}": np.char.encode(values, "utf-8") for name, values in text.items()} | {
        "denoise/example_clean": (clean[at] / peak).astype(np.float32),
        "denoise/example_noisy": (noisy / peak).astype(np.float32),
        "denoise/example_denoised": (denoised / peak).astype(np.float32),
        "denoise/example_snr_db": np.zeros(len(at)),
    }  # fmt: skip

