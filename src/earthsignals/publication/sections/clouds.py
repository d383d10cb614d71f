"""README sections of the clouds pipeline."""

from __future__ import annotations

from earthsignals.publication.sections.words import Numbers, measured_on, table, three_digits

ROWS = {
    "model": "**embedding**", "peer_contrastive": "contrastive loss", "peer_vicreg": "VICReg loss",
    "peer_triplet": "triplet loss", "peer_triplet-squared": "squared triplet loss",
    "scattering": "scattering transform", "classical": "statistics + spectrum + organisation",
    "organisation": "organisation metrics",
    "spectrum": "power spectrum", "statistics": "mean, deviation, cloud fraction",
    "pca_spectrum": "PCA of spectra", "pca": "PCA of pixels", "random_network": "random network",
}  # fmt: skip
MEASURES = {
    "probe": "regime", "map": "mAP", "purity": "purity", "nmi": "NMI", "triplet_accuracy": "triplets",
    "same_class_triplet_accuracy": "same regime",
}  # fmt: skip
TARGETS = {
    "r2_log_scale": "scale", "r2_log_anisotropy": "anisotropy", "r2_clustering": "clustering",
    "r2_cloud_fraction": "cloud fraction",
}  # fmt: skip


def results(metrics: Numbers) -> str:
    """Every row on the study scenes: regime, retrieval, clusters, triplets; R² of the truth."""
    rows = [(label, metrics["rows"][name]) for name, label in ROWS.items() if name in metrics["rows"]]
    return "\n".join([
        f"{metrics['tiles']:,} tiles of {metrics['scenes']} scenes on days that training never saw; probes "
        "are fitted on training scenes, retrieval looks in other scenes only. 95 % intervals over scenes:",
        "",
        *table(
            ["", *MEASURES.values()],
            [[label, *(_around(row, key) for key in MEASURES)] for label, row in rows],
        ),
        "",
        "What a linear rule reads off, as R² (scale and anisotropy as logarithms):",
        "",
        *table(
            ["", *TARGETS.values()],
            [[label, *(_around(row, key) for key in TARGETS)] for label, row in rows],
        ),
        "",
        f"{_compared(metrics)} Its effective rank is {_around(metrics, 'effective_rank', 1)} of "
        f"{metrics['rows']['model']['features']} numbers.",
    ])  # fmt: skip


def _compared(metrics: Numbers) -> str:
    """Where the embedding is above the best other row, where below, and where that cannot be told."""
    groups: dict[str, list[str]] = {"above": [], "below": [], "neither": []}
    for key, label in (MEASURES | TARGETS).items():
        name = f"{key}_minus_best_baseline"
        low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
        if low is not None and high is not None:
            kind = "above" if low > 0 else "below" if high < 0 else "neither"
            groups[kind].append(f"{label} ({_around(metrics, name)})")
    told = [
        f"{words} {', '.join(groups[kind])}"
        for kind, words in (
            ("above", "above it in"), ("below", "below it in"), ("neither", "not to be told from it in")
        )
        if groups[kind]
    ]  # fmt: skip
    return f"Against the best other row, paired over scenes, the embedding is {'; '.join(told)}."


def real(found: Numbers) -> str:
    """MODIS scenes with human labels: every row, leave one scene out."""
    rows = [
        [label, _around(found["rows"][name], "probe"), _around(found["rows"][name], "map")]
        for name, label in ROWS.items()
        if name in found["rows"]
    ]
    rows.append(["always the commonest class", f"{found['probe_majority']:.2f}", ""])
    alone = ", ".join(found["classes_in_one_scene"]) or "none"
    return "\n".join([
        f"{found['scenes']} MODIS scenes, {found['boxes']} labelled rectangles "
        f"({', '.join(found['classes'])}; in one scene alone and so not judged: {alone}), {found['tiles']} "
        "tiles. The probe learns on the other scenes; the embedding has only ever seen simulated ones:",
        "",
        *table(["", "probe", "mAP"], rows),
        "",
        f"{found['says'][0].upper()}{found['says'][1:]}. Labels dealt at random do as well as the "
        f"embedding's probe in {found['probe_p']:.0%} of {found['relabellings']} dealings.",
    ])  # fmt: skip


def embed(found: Numbers) -> str:
    """How fast a whole scene is embedded, and how exactly."""
    return (
        f"A scene of 2,100 × 1,400 pixels, every 256-pixel window at a step of 16: "
        f"{three_digits(found['speedup'])} × as fast as cutting out and running each window "
        f"({three_digits(found['images_per_s'])} windows/s; with ResNet-18 "
        f"{three_digits(found['speedup_full_width'])} ×, at half width "
        f"{three_digits(found['speedup_half_width'])} ×), at most {found['max_abs_diff']:.1g} apart."
        f"{measured_on(found)}"
    )


def _around(numbers: Numbers, key: str, digits: int = 2) -> str:
    value = numbers.get(key)
    if value is None:
        return "–"
    low, high = numbers.get(f"{key}_low"), numbers.get(f"{key}_high")
    text = f"{value:.{digits}f}"
    return text if low is None or high is None else f"{text} ({low:.{digits}f}–{high:.{digits}f})"


SECTIONS = {
    "clouds:results": ("reports/clouds/metrics.json", results),
    "clouds:real": ("reports/clouds/real.json", real),
    "clouds:embed": ("reports/benchmarks/clouds_embed.json", embed),
}
