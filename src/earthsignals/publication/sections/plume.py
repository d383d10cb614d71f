"""README sections of the plume pipeline."""

from __future__ import annotations

from math import ceil

from earthsignals.publication.sections.words import Numbers, measured_on, percent, table

LINES = 2801  # of the flightline in the benchmark
METHODS = {
    "model": "**network**", "threshold_area": "threshold + median + area", "zscore": "matched-filter z-score",
    "unet-64": "U-Net", "unet-256": "U-Net 256",
}  # fmt: skip


def results(metrics: Numbers) -> str:
    """Tiles, pixels, plumes and rates of every method, with 95 % intervals over flightlines."""
    tiles = metrics["tiles"]
    test = tiles["test"]
    lines = [
        f"{test['tiles']:,} tiles ({test['pos']:,} with a plume, {test['neg']:,} with false enhancement, "
        f"{test['bg']:,} without either) of {test['flightlines']} flightlines on days that neither training "
        "nor validation saw; every threshold was frozen on validation days. 95 % intervals by bootstrap "
        "over flightlines:",
        "", *_tile_table(tiles["methods"]),
    ]  # fmt: skip
    if metrics.get("pixels"):
        lines += ["", "Whole flightlines, by pixel and by plume:", "", *_scene_table(metrics)]
    if metrics.get("rate_bias") is not None:
        lines += ["", _rate_sentence(metrics)]
    return "\n".join(lines)


def _tile_table(methods: Numbers) -> list[str]:
    head = ["tiles", "F1", "average precision", "precision", "recall", "false alarms on `neg`"]
    keys = ("f1", "auprc", "precision", "recall", "false_positive_rate_neg")
    return table(head, [
        [label, *(_interval(methods[name], key) for key in keys)]
        for name, label in _known(methods).items()
    ])  # fmt: skip


def _scene_table(metrics: Numbers) -> list[str]:
    head = [
        "flightlines", "pixel IoU", "pixel F1", "plumes found", "false alarms per km²",
        "found half of the time",
    ]  # fmt: skip
    rows = []
    for name, label in _known(metrics["pixels"]).items():
        pixels, plumes = metrics["pixels"][name], metrics["plumes"].get(name, {})
        rows.append([
            label, _interval(pixels, "iou"), _interval(pixels, "f1"), _interval(plumes, "detected_share"),
            _interval(plumes, "false_alarms_per_km2"), _half_rate(plumes),
        ])  # fmt: skip
    return table(head, rows)


def _rate_sentence(metrics: Numbers) -> str:
    rates = metrics["rates"]
    merged = rates["without_rate"]["merged_with_another"]
    return (
        f"Emission rates of {rates['plumes']} found test plumes, with winds known to "
        f"{percent(rates['wind_error'])}: median bias {_signed(metrics, 'rate_bias')}, median error "
        f"{percent(rates['median_absolute_error'])}; the 68 % interval holds "
        f"{_share(metrics, 'rate_coverage_68')} of the true rates, the 95 % interval "
        f"{_share(metrics, 'rate_coverage_95')}. Another {merged} true plumes touch a neighbour and got one "
        "outline together: they count as found, but have no rate of their own."
    )


def _known(methods: Numbers) -> dict[str, str]:
    """Labels of the methods that were judged, ours first; one without a label keeps its name."""
    known = {name: label for name, label in METHODS.items() if name in methods}
    return known | {name: name for name in methods if name not in known}


def _half_rate(plumes: Numbers) -> str:
    """Emission rate at which every second plume is found, in the middle of the winds listed."""
    rates = plumes.get("rates") or []
    if not rates or rates[len(rates) // 2]["kg_h_50"] is None:
        return "–"
    middle = rates[len(rates) // 2]
    return f"{middle['kg_h_50']:.0f} kg/h at {middle['wind_m_s']:g} m/s"


def _interval(score: Numbers, key: str) -> str:
    if score.get(key) is None:
        return "–"
    low, high = score.get(f"{key}_low"), score.get(f"{key}_high")
    around = f" ({low:.2f}–{high:.2f})" if low is not None and high is not None else ""
    return f"{score[key]:.2f}{around}"


def _share(score: Numbers, key: str) -> str:
    return f"{percent(score[key])} ({percent(score[f'{key}_low'])}–{percent(score[f'{key}_high'])})"


def _signed(score: Numbers, key: str) -> str:
    value, low, high = (100 * score[f"{key}{end}"] for end in ("", "_low", "_high"))
    return f"{value:+.0f} % ({low:+.0f} to {high:+.0f})"


def real(found: Numbers) -> str:
    """What frozen thresholds give on real chips."""
    scores = ", ".join(
        f"{label.strip('*')} {found['pixels'][name]['f1']:.2f} (average precision "
        f"{found['pixels'][name]['auprc']:.2f})"
        for name, label in _known(found["pixels"]).items()
    )
    own, oracle = found["pixels"]["model"], found.get("oracle_threshold")
    text = (
        f"{len(found['chips'])} real AVIRIS-NG chips, {found['chips_with_plume']} with a labelled plume, "
        f"never trained on, thresholds frozen on synthetic validation days: pixel F1 of the {scores}. The "
        f"network's outline holds {percent(own['recall'])} of the labelled pixels, and they are "
        f"{percent(own['precision'])} of the outline. One plume proves little."
    )
    if oracle:
        text += f" The best single threshold, chosen by the label itself, scores {oracle['f1']:.2f}."
    return text + (
        " On the whole public STARCOP test set a U-Net reaches F1 0.477 (IoU 0.314), the best reported "
        "network 0.608 (0.437), both trained on real plumes."
    )


def dense(found: Numbers) -> str:
    """The dense map beside the sliding window: equality, speed, memory."""
    rows = [
        [f"window {window}", f"{found[f'speedup_w{window}']:,.0f} ×", f"{found[f'seconds_w{window}']:.1f} s"]
        for window in (64, 256)
    ]
    differs = f"{found['max_abs_dp']:.0e} in probability, {found['max_abs_dlogit']:.0e} in logit"
    text = (
        "A flightline of 669 × 2801 pixels, every pixel judged. At 500 random pixels, all corners and every "
        f"seam the dense map differs from the sliding window by at most {differs}. Memory stays below "
        f"{ceil(100 * found['peak_gb']) / 100:.2f} GB, also for ten times as many lines.{measured_on(found)}"
    )
    head = ["plumenet", "per CPU-second against batched sliding", "whole map"]
    return "\n".join([text, "", *table(head, rows)])


def modes(found: Numbers) -> str:
    """Runtime and memory by mode, device and batch; scaled-up entries are marked."""
    rows = [
        [
            row["model"], row["mode"], "CPU" if row["device"] == "-1" else row["device"],
            str(row["batch"] or "–"), _runtime(row),
            "–" if row["peak_gb"] is None else f"{row['peak_gb']:.2f}",
        ]
        for row in found.get("table", [])
    ]  # fmt: skip
    if not rows:
        return "The last run of `benchmarks/plume_dense.py` was `--quick` and measured no table."
    head = ["network", "mode", "device", "batch", "669 × 2801", "GB"]
    return "\n".join([*table(head, rows), "", "\\* measured on some lines of the flightline and scaled up."])


def _runtime(row: Numbers) -> str:
    value = row["seconds"]
    if value is None:
        return "failed"
    mark = " *" if row["measured_lines"] < LINES else ""
    if value >= 5400:
        return f"{value / 3600:.1f} h{mark}"
    return (f"{value / 60:.1f} min" if value >= 90 else f"{value:.1f} s") + mark


SECTIONS = {
    "plume:results": ("reports/plume/metrics.json", results),
    "plume:real": ("reports/plume/real.json", real),
    "plume:dense": ("reports/benchmarks/plume_dense.json", dense),
    "plume:modes": ("reports/benchmarks/plume_dense.json", modes),
}
