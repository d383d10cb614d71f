"""README sections of the seismic pipeline."""

from __future__ import annotations

from earthsignals.publication.sections.words import Numbers, measured_on, table, three_digits

METHODS = {"model": "**network**", "pca": "PCA", "patch_pca": "patch-PCA"}
NOISE = {"recorded": "recorded noise windows", "surrogates": "surrogates of the noise before P"}
DENOISERS = {
    "model": "**network**", "wiener": "Wiener filter that knows P", "best_bandpass": "best fixed band-pass",
    "bandpass": "band-pass 1–20 Hz", "oracle": "mask that knows the answer (no method beats it)",
}  # fmt: skip


def results(metrics: Numbers) -> str:
    """Reconstruction at equal latent size, denoising, detection, anomalies on held-out stations."""
    lines = [
        f"{metrics['earthquakes']:,} earthquakes and {metrics['noise_records']:,} noise records at "
        f"{metrics['stations']} stations; neither they nor the events were seen in training. Mean squared "
        "error × 1,000 of the scaled spectrogram, with 95 % intervals over stations:",
        "", *_sizes(metrics), "",
        f"For comparison: zero {_around(metrics, 'mse_zero', 1000)}, the mean spectrogram "
        f"{_around(metrics, 'mse_mean', 1000)}; speckle, the random scatter that no short code can hold, "
        f"{_around(metrics, 'mse_floor', 1000)} (pairs of simulated records that differ in nothing else). "
        "What falls below has stored a part of the record's own speckle.",
    ]  # fmt: skip
    if metrics.get("denoise"):
        lines += ["", *_denoising(metrics["denoise"])]
    return "\n".join([*lines, "", _detection(metrics), "", _plain(metrics)])


def _sizes(metrics: Numbers) -> list[str]:
    sizes = sorted(metrics["mse"], key=int)
    rows = [
        [label, *(_around(metrics["mse"][size], name, 1000) for size in sizes)]
        for name, label in METHODS.items()
    ]
    gains = [_around(metrics["mse"][size], "model_minus_pca", 1000) for size in sizes]
    excess = [_around(metrics["mse"][size], "model_excess", 1000) for size in sizes]
    rows += [["network − PCA", *gains], ["network − floor", *excess]]
    return table(["numbers per record", *sizes], rows)


def _denoising(denoise: Numbers) -> list[str]:
    rows = [
        [label, _around(denoise[name], "gain_db_at_0", digits=1), _around(denoise[name], "correlation_at_0")]
        for name, label in DENOISERS.items()
        if name in denoise
    ]
    return [
        f"Noise mixed in at 0 dB, {denoise['records']} records:",
        "", *table(["denoising", "gain in dB", "correlation with the clean record"], rows),
    ]  # fmt: skip


def _detection(metrics: Numbers) -> str:
    return (
        f"Earthquake or noise: AUC {_around(metrics, 'auc_latent', digits=3)} from the latent, "
        f"{_around(metrics, 'auc_sta_lta', digits=3)} from the best STA/LTA (difference "
        f"{_around(metrics.get('detection', {}), 'auc_latent_minus_sta_lta', digits=4)}), "
        f"{_around(metrics, 'auc_reconstruction_error', digits=2)} from the reconstruction error. Faults put "
        f"into records (clipping, spikes, dropouts and others): mean AUC "
        f"{metrics['auc_anomaly_mahalanobis']:.2f} by Mahalanobis distance in the latent, "
        f"{metrics['anomaly']['mean_reconstruction_error']:.2f} by reconstruction error."
    )


def _plain(metrics: Numbers) -> str:
    plain = metrics["seed"]
    return (
        f"The plain convolutional autoencoder (latent of {plain['numbers']:,} numbers, each component scaled "
        f"from its minimum to its maximum) reaches MSE {_around(plain, 'mse_seed', 1000)} and MAE "
        f"{_around(plain, 'mae_seed', 1000)} (both × 1,000) in that scaling, where zero scores "
        f"{_around(plain, 'mse_zero', 1000)} and {_around(plain, 'mae_zero', 1000)}, the mean "
        f"{_around(plain, 'mse_mean', 1000)} and {_around(plain, 'mae_mean', 1000)}, and patch-PCA of as "
        f"many numbers {_around(plain, 'mse_patch_pca', 1000)} and {_around(plain, 'mae_patch_pca', 1000)}."
    )


def real(found: Numbers) -> str:
    """The same on real records."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in found["kinds"].items())
    refused = sum(found["refused"].values())
    lines = [
        f"{found['earthquakes']} real records ({kinds}; {refused} refused as faulty), never trained on, by "
        "networks that only know simulated ones. Mean squared error × 1,000:",
        "", *_sizes(found), "",
        f"Zero {_around(found, 'mse_zero', 1000)}, the simulated mean {_around(found, 'mse_mean', 1000)}, "
        f"speckle (by surrogates) {_around(found, 'mse_floor', 1000)}.",
    ]  # fmt: skip
    if found.get("denoise"):
        lines += ["", *_denoising(found["denoise"])]
    return "\n".join([*lines, "", _real_detection(found)])


def _real_detection(found: Numbers) -> str:
    told = [
        f"{by['noise_records']} {NOISE[name]}: {_around(by, 'auc_latent', digits=3)} from the latent, "
        f"{_around(by, 'auc_sta_lta', digits=3)} from STA/LTA"
        for name, by in found["auc_by_noise"].items()
    ]
    return f"Earthquake or noise, AUC against {'; against '.join(told)}."


def feed(found: Numbers) -> str:
    """How fast records become spectrograms, and how fast files become a store."""
    rows = [
        ["waveform → STFT", f"{found['speedup_vs_seed']:.0f} ×"],
        ["… → logarithm → scaled", f"{found['speedup_vs_seed_normalised']:.1f} ×"],
    ]
    return "\n".join([
        *table(["per core and record, beside obspy.read + scipy.signal.stft", "faster"], rows), "",
        f"The plain autoencoder trains at {found['train_batches_per_s']:.1f} batches of 32 per second; "
        f"packing takes {three_digits(found['pack_files_per_s'])} miniSEED files per second."
        f"{measured_on(found)}",
    ])  # fmt: skip


def _around(numbers: Numbers, key: str, factor: float = 1.0, digits: int = 2) -> str:
    value = numbers.get(key)
    if value is None:
        return "–"
    low, high = numbers.get(f"{key}_low"), numbers.get(f"{key}_high")
    text = f"{factor * value:.{digits}f}"
    if low is None or high is None:
        return text
    return f"{text} ({factor * low:.{digits}f} to {factor * high:.{digits}f})"


SECTIONS = {
    "seismic:results": ("reports/seismic/metrics.json", results),
    "seismic:real": ("reports/seismic/real.json", real),
    "seismic:feed": ("reports/benchmarks/seismic_feed.json", feed),
}
