"""Tables of the laser pipeline: errors in units of the bound, and what disturbed scans cost."""

from __future__ import annotations

from earthsignals.publication.numbers import Results, formatted
from earthsignals.publication.sections.tdlas import LIMITS, METHODS, STRESSED, range_of
from earthsignals.publication.tables.model import Cell, Table, label, number

FILE = "reports/tdlas/metrics.json"

OWN = (
    ("RMSE, ppm", "scores.model.{}.rmse_ppm", "digits 3"),
    ("95 % holds", "coverage_95_by_decade.{}", "percent 1"),
)
"""The network's own rows: label, key by decade, format."""


def methods(results: Results) -> Table:
    """RMSE over the Cramér–Rao bound of every method by mole fraction, then the network's own errors."""
    scores = results.value(FILE, "scores")
    decades = list(scores["model"])
    rows = [
        [label(text), *(_ratio(results, f"scores.{name}.{decade}", name == "model") for decade in decades)]
        for name, text in METHODS.items()
        if name in scores
    ]
    own = len(rows)
    rows += [
        [Cell(text), *(number(results, FILE, key.format(decade), style) for decade in decades)]
        for text, key, style in OWN
    ]
    return Table(head=["mole fraction, ppm", *(range_of(d) for d in decades)], rows=rows, rules=(own,))


def stress(results: Results) -> Table:
    """RMSE over the bound of the undisturbed scan: the worse direction of each disturbance."""
    tests = results.value(FILE, "stress")
    rows = []
    for text, cases in LIMITS.items():
        known = [tests[case] for case in cases if case in tests]
        if known:
            worst = [max(case[name]["all"]["rmse_over_crlb"] for case in known) for name in STRESSED]
            rows.append([Cell(text), *(Cell(formatted(value, "fixed 1")) for value in worst)])
    return Table(head=["disturbance", "network", "ridge", "PLS"], rows=rows)


def _ratio(results: Results, key: str, bold: bool) -> Cell:
    """Two digits after the point below ten, none above."""
    value = results.find(FILE, f"{key}.rmse_over_crlb")
    style = "fixed 2" if value is None or value < 10 else "fixed 0"
    return number(results, FILE, f"{key}.rmse_over_crlb", style, bold=bold)
