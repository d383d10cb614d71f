"""README sections of the tdlas pipeline."""

from __future__ import annotations

from earthsignals.publication.sections.words import (
    Numbers,
    measured_on,
    percent,
    seconds,
    table,
    three_digits,
)

METHODS = {
    "model": "**network**", "least_squares": "least squares", "ridge": "ridge", "pls": "PLS",
    "course": "course CNN",
}  # fmt: skip
# What a row of the table of limits gathers: the worse of these stress tests is shown.
LIMITS = {
    "as trained": ("nominal",),
    "noise × 5": ("noise x5",),
    "T wrong by 1 K": ("T +1 K", "T -1 K"),
    "T wrong by 5 K": ("T +5 K", "T -5 K"),
    "P wrong by 1 %": ("P +1 %", "P -1 %"),
    "P wrong by 5 %": ("P +5 %", "P -5 %"),
    "etalons of other periods": ("unseen etalons",),
    "T up to 10 K outside the trained range": ("T 0-10 K outside",),
    "P up to 8 % outside": ("P 0-8 % outside",),
    "mole fraction up to 50 % above": ("x above range",),
}
STRESSED = ("model", "ridge", "pls")


def results(metrics: Numbers) -> str:
    """RMSE in bounds of every method per decade with intervals, and what the network reaches in ppm."""
    scored = metrics["scores"]
    decades = list(scored["model"])
    rows = [
        [label, *(ratio(scored[method].get(decade)) for decade in decades)]
        for method, label in METHODS.items()
        if method in scored
    ]
    own = scored["model"]
    absolute = [
        ["RMSE (ppm)", *(three_digits(own[d]["rmse_ppm"]) for d in decades)],
        ["mean error of reading", *(percent(own[d]["relative_error"]) for d in decades)],
        ["95 % interval holds", *(percent(metrics["coverage_95_by_decade"][d]) for d in decades)],
    ]
    head = [range_of(decade) for decade in decades]
    lines = [
        f"RMSE divided by the Cramér–Rao bound, {metrics['test_scans']:,} test scans by mole fraction in "
        "ppm, with 95 % bootstrap intervals (1 is the physical limit):",
        "", *table(["", *head], rows), "", "The network in absolute terms:", "",
        *table(["", *head], absolute), "",
    ]  # fmt: skip
    if "limit_of_detection_ppm" in metrics:
        lines.append(
            f"Limit of detection of one scan (3σ without methane): {metrics['limit_of_detection_ppm']:.1f} "
            f"ppm; ridge {metrics['limit_of_detection_ridge_ppm']:.1f} ppm, bound "
            f"{metrics['limit_of_detection_bound_ppm']:.1f} ppm."
        )
    if metrics.get("onnx_max_rel_diff") is not None:
        lines.append(
            f"ONNX differs from torch by at most {metrics['onnx_max_rel_diff']:.0e} relative."
        )
    return "\n".join(lines).rstrip()


def limits(metrics: Numbers) -> str:
    """RMSE in bounds under stress: the worse direction of each kind."""
    stress = metrics.get("stress")
    if not stress:
        return "No stress tests: the last evaluation was made on measured scans."
    rows = []
    for label, cases in LIMITS.items():
        known = [stress[case] for case in cases if case in stress]
        if known:
            worst = {m: max(case[m]["all"]["rmse_over_crlb"] for case in known) for m in STRESSED}
            rows.append([label, *(f"{worst[m]:.1f}" for m in STRESSED)])
    return "\n".join(
        table(["RMSE / bound of the undisturbed scan", "network", "ridge", "PLS"], rows)
    )


def generate(found: Numbers) -> str:
    """Speed of the simulator beside HAPI's."""
    return (
        f"One million noisy scans take {seconds(found['seconds_per_million'])} "
        f"({found['scans_per_s']:,.0f} scans/s, {found['peak_gb']:.2f} GB of memory at most): per CPU-second "
        f"{found['speedup_vs_hapi_full']:,.0f} times as many as HAPI's Voigt function on the full line list "
        f"makes noise-free spectra, and {found['speedup_vs_hapi_embedded']:,.0f} times on the embedded list. "
        f"The emulator behind it differs from the direct Voigt sum by at most "
        f"{found['max_rel_error']:.1e} of the peak.{measured_on(found)}"
    )


def predict(found: Numbers) -> str:
    """Latency of each method."""
    rows = [[name, f"{value:.3g}"] for name, value in found["latency_ms"].items()]
    text = (
        f"The network takes scans in batches {found['speedup_vs_least_squares']:,.0f} times as fast as our "
        f"least squares fits them (one thread each).{measured_on(found)}"
    )
    return "\n".join([text, "", *table(["method", "ms per scan"], rows)])


def ratio(score: Numbers | None) -> str:
    """RMSE over the bound with its interval; a dash where a method saw no such scan."""
    if score is None:
        return "–"
    values = (score[f"rmse_over_crlb{end}"] for end in ("", "_low", "_high"))
    value, low, high = (f"{v:.2f}" if v < 10 else f"{v:.0f}" for v in values)
    return f"{value} ({low}–{high})"


def range_of(name: str) -> str:
    """`1e2-1e3` as `100–1,000`."""
    low, high = (float(part) for part in name.split("-"))
    return f"{low:,.0f}–{high:,.0f}"


SECTIONS = {
    "tdlas:results": ("reports/tdlas/metrics.json", results),
    "tdlas:limits": ("reports/tdlas/metrics.json", limits),
    "tdlas:generate": ("reports/benchmarks/tdlas_generate.json", generate),
    "tdlas:predict": ("reports/benchmarks/tdlas_predict.json", predict),
}
