"""`earthsignals readme`: the measured numbers of README.md, written from the files that runs wrote.

README.md marks each such section with `<!-- NAME -->` and `<!-- /NAME -->`; what stands between is
replaced by the section's text. Nothing else of the file is touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from earthsignals.storage import EarthSignalsError, atomic_path, find_project_root, read_json

Numbers = Mapping[str, Any]

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


def readme(
    check: bool = typer.Option(
        False, "--check", help="Change nothing; exit 1 if README.md is stale."
    ),
) -> None:
    """Write the measured numbers of README.md anew from reports/.

    Sections whose file does not exist yet stay as they are, and are named.

    Examples:

    \b
      earthsignals readme            after make repro or a benchmark
      earthsignals readme --check    do README.md and reports/ agree?
    """
    root = find_project_root()
    path = root / "README.md"
    if not path.is_file():
        raise EarthSignalsError(f"{path} does not exist; restore it with `git checkout README.md`")
    old = path.read_text(encoding="utf-8")

    def source(name: str) -> Numbers | None:
        file = root / name
        return read_json(file) if file.is_file() else None

    new, absent = render(old, source)
    for section, name in absent.items():
        typer.echo(f"{section}: left as it is, {name} does not exist yet")
    if new == old:
        typer.echo("README.md agrees with reports/")
    elif check:
        raise EarthSignalsError(
            f"README.md is stale in {', '.join(changed_sections(old, new))}: it does not hold the "
            "numbers in reports/; run `earthsignals readme` and commit the result"
        )
    else:
        _write(path, new)
        typer.echo(f"README.md: wrote {', '.join(changed_sections(old, new))}")


def render(text: str, source: Callable[[str], Numbers | None]) -> tuple[str, dict[str, str]]:
    """README text with every marked section written anew, and the sections left alone for want of a file.

    `source` gives the content of a JSON file by its path from the project's root, or None.

    Raises EarthSignalsError for a marker that is missing, doubled or unknown.
    """
    names = re.findall(r"<!-- ([\w-]+:[\w-]+) -->", text)
    if sorted(names) != sorted(SECTIONS):
        raise EarthSignalsError(
            f"README.md marks the sections {', '.join(names) or 'none'}; expected each of "
            f"{', '.join(SECTIONS)} once, as `<!-- NAME -->` ... `<!-- /NAME -->`"
        )
    absent = {}
    for name, (file, write) in SECTIONS.items():
        numbers = source(file)
        if numbers is None:
            absent[name] = file
            continue
        pattern = _section(name)
        if not pattern.search(text):
            raise EarthSignalsError(
                f"README.md: `<!-- {name} -->` has no `<!-- /{name} -->` after it"
            )
        body = write(numbers)
        text = pattern.sub(lambda found, body=body: f"{found[1]}\n\n{body}\n\n{found[3]}", text)
    return text, absent


def changed_sections(old: str, new: str) -> list[str]:
    """Names of the sections whose text differs."""
    return [name for name in SECTIONS if _body(old, name) != _body(new, name)]


def _section(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name} -->)(.*?)(<!-- /{name} -->)", re.DOTALL)


def _body(text: str, name: str) -> str | None:
    found = _section(name).search(text)
    return found[2] if found else None


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


# ---------------------------------------------------------------------------------- sections
def tdlas_results(metrics: Numbers) -> str:
    """RMSE in bounds of every method per decade with intervals, and what the network reaches in ppm."""
    scored = metrics["scores"]
    decades = list(scored["model"])
    rows = [
        [label, *(_ratio(scored[method].get(decade)) for decade in decades)]
        for method, label in METHODS.items()
        if method in scored
    ]
    own = scored["model"]
    absolute = [
        ["RMSE (ppm)", *(_three_digits(own[d]["rmse_ppm"]) for d in decades)],
        ["mean error of reading", *(_percent(own[d]["relative_error"]) for d in decades)],
        ["95 % interval holds", *(_percent(metrics["coverage_95_by_decade"][d]) for d in decades)],
    ]
    head = [_decade(decade) for decade in decades]
    lines = [
        f"RMSE divided by the Cramér–Rao bound, {metrics['test_scans']:,} test scans by mole fraction in "
        "ppm, with 95 % bootstrap intervals (1 is the physical limit):",
        "", *_table(["", *head], rows), "", "The network in absolute terms:", "",
        *_table(["", *head], absolute), "",
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


def tdlas_limits(metrics: Numbers) -> str:
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
        _table(["RMSE / bound of the undisturbed scan", "network", "ridge", "PLS"], rows)
    )


def tdlas_generate(found: Numbers) -> str:
    """Speed of the simulator beside HAPI's."""
    return (
        f"One million noisy scans take {_seconds(found['seconds_per_million'])} "
        f"({found['scans_per_s']:,.0f} scans/s, {found['peak_gb']:.2f} GB of memory at most): per CPU-second "
        f"{found['speedup_vs_hapi_full']:,.0f} times as many as HAPI's Voigt function on the full line list "
        f"makes noise-free spectra, and {found['speedup_vs_hapi_embedded']:,.0f} times on the embedded list. "
        f"The emulator behind it differs from the direct Voigt sum by at most "
        f"{found['max_rel_error']:.1e} of the peak.{_measured_on(found)}"
    )


def tdlas_predict(found: Numbers) -> str:
    """Latency of each method."""
    rows = [[name, f"{value:.3g}"] for name, value in found["latency_ms"].items()]
    text = (
        f"The network takes scans in batches {found['speedup_vs_least_squares']:,.0f} times as fast as our "
        f"least squares fits them (one thread each).{_measured_on(found)}"
    )
    return "\n".join([text, "", *_table(["method", "ms per scan"], rows)])


SECTIONS: dict[str, tuple[str, Callable[[Numbers], str]]] = {
    "tdlas:results": ("reports/tdlas/metrics.json", tdlas_results),
    "tdlas:limits": ("reports/tdlas/metrics.json", tdlas_limits),
    "tdlas:generate": ("reports/benchmarks/tdlas_generate.json", tdlas_generate),
    "tdlas:predict": ("reports/benchmarks/tdlas_predict.json", tdlas_predict),
}


# ---------------------------------------------------------------------------------- words
def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table; all columns but the first stand to the right."""
    ruler = ["---", *(["--:"] * (len(head) - 1))]
    return [f"| {' | '.join(cells)} |" for cells in (head, ruler, *rows)]


def _ratio(score: Numbers | None) -> str:
    if score is None:
        return "–"
    values = (score[f"rmse_over_crlb{end}"] for end in ("", "_low", "_high"))
    value, low, high = (f"{v:.2f}" if v < 10 else f"{v:.0f}" for v in values)
    return f"{value} ({low}–{high})"


def _three_digits(value: float) -> str:
    return f"{value:#.3g}" if value < 100 else f"{value:,.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _decade(name: str) -> str:
    low, high = (float(part) for part in name.split("-"))
    return f"{low:,.0f}–{high:,.0f}"


def _seconds(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"


def _measured_on(found: Numbers) -> str:
    """The sentence that names the machine, from the keys that the benchmark wrote."""
    machine = {
        key.removeprefix("machine."): value for key, value in found.get("machine", {}).items()
    }
    parts = [machine.get("cpu"), f"{machine['cores']} cores" if "cores" in machine else None]
    parts += [f"{machine['memory_gb']} GB" if "memory_gb" in machine else None, machine.get("os")]
    named = ", ".join(str(part) for part in parts if part)
    return f" Measured on: {named}." if named else ""
