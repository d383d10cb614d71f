"""`earthsignals summary`: the headline figures beside what they should be, by reports/expected.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from earthsignals.params import ParamsError
from earthsignals.publication.expectations import current_scale, judge, load_expectations, lookup
from earthsignals.storage import EarthSignalsError, find_project_root, read_json

_MARKS = {True: "[green]✓[/green]", False: "[red]✗[/red]", None: "[yellow]·[/yellow]"}


def summary(
    pipeline: str = typer.Argument(None, metavar="PIPELINE", help="One pipeline; default: all."),
    strict: bool = typer.Option(False, "--strict", help="Exit 1 when a figure misses its value."),
) -> None:
    """Show each headline figure beside its expected value, and where to look next.

    ✓ is met, ✗ is missed, · is not judged: no value yet, or the value is promised at another scale
    than params.yaml is at.

    Examples:

    \b
      earthsignals summary
      earthsignals summary tdlas --strict
    """
    from rich.console import Console
    from rich.table import Table

    root = find_project_root()
    expectations = load_expectations(root / "reports" / "expected.yaml")
    if pipeline is not None and pipeline not in expectations:
        known = ", ".join(expectations) or "none"
        raise ParamsError(f"reports/expected.yaml has no pipeline `{pipeline}` (known: {known})")
    console = Console(highlight=False)
    missed = 0
    for name in [pipeline] if pipeline else expectations:
        scale = current_scale(root, name)
        metrics = _metrics(root, name)
        table = Table("", "figure", "value", "expected", title=f"{name}, scale {scale or 'custom'}")
        table.columns[2].justify = "right"
        for line in expectations[name]:
            value = lookup(metrics, line.metric)
            verdict = None if line.scale != scale else judge(value, line.expected, metrics)
            missed += verdict is False
            note = "" if line.scale == scale else f" (at {line.scale})"
            table.add_row(_MARKS[verdict], line.name, _shown(value), line.expected + note)
        console.print(table)
        if not metrics:
            console.print(f"no metrics of {name} yet: make repro PIPELINE={name}")
        console.print(f"look next: make ui (runs and curves), reports/{name}/figures")
    if missed and strict:
        raise typer.Exit(1)


def _metrics(root: Path, pipeline: str) -> Mapping[str, Any]:
    path = root / "reports" / pipeline / "metrics.json"
    if not path.exists():
        return {}
    metrics = read_json(path)
    if not isinstance(metrics, Mapping):
        raise EarthSignalsError(f"{path} holds no object of metrics; run `dvc repro` to write it")
    return metrics


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
