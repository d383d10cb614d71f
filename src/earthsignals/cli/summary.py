"""`earthsignals summary`: the headline figures beside what they should be.

`reports/expected.yaml` lists per pipeline: `name`, `metric` (dotted path into
`reports/<pipeline>/metrics.json`), `expected` (`<= 2`, `0.9 .. 1.3`, or `< other.metric`) and the
`scale` at which that is promised.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from earthsignals.params import (
    ParamsError,
    Section,
    read_yaml,
    scale_changes,
    scale_names,
    validate,
)
from earthsignals.storage import EarthSignalsError, find_project_root, read_json

_COMPARE = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt}
_MARKS = {True: "[green]✓[/green]", False: "[red]✗[/red]", None: "[yellow]·[/yellow]"}


class Expectation(Section):
    """One line of the table."""

    name: str
    metric: str
    expected: str
    scale: str = "laptop"


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


def load_expectations(path: Path) -> dict[str, list[Expectation]]:
    """The expectations by pipeline; raises ParamsError naming the entry that is wrong."""
    return {
        name: [
            validate(Expectation, entry, source="reports/expected.yaml", prefix=f"{name}.{number}")
            for number, entry in enumerate(entries or [])
        ]
        for name, entries in read_yaml(path).items()
    }


def current_scale(root: Path, pipeline: str) -> str | None:
    """The scale whose values for `pipeline` are those of params.yaml; None between scales."""
    params, scales = root / "params.yaml", root / "scales.yaml"
    for name in scale_names(scales):
        changes = scale_changes(name, params, scales)
        if not any(change.key.startswith(f"{pipeline}.") for change in changes):
            return name
    return None


def lookup(metrics: Mapping[str, Any], path: str) -> float | None:
    """The number at a dotted path, or None."""
    value: Any = metrics
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def judge(value: float | None, expected: str, metrics: Mapping[str, Any]) -> bool | None:
    """Does `value` meet `expected`? None where a value is missing.

    `expected` is `LOW .. HIGH` (both included) or one of <=, <, >=, > with a number or the dotted
    path of another metric. Raises ParamsError for anything else.
    """
    between = re.fullmatch(r"\s*(\S+)\s*\.\.\s*(\S+)\s*", expected)
    against = re.fullmatch(r"\s*(<=|>=|<|>)\s*(\S+)\s*", expected)
    if between:
        low, high = (_operand(text, metrics) for text in between.groups())
        return None if None in (value, low, high) else low <= value <= high
    if against:
        limit = _operand(against[2], metrics)
        return None if None in (value, limit) else _COMPARE[against[1]](value, limit)
    raise ParamsError(
        f"reports/expected.yaml: `{expected}` is not understood, expected `<= 2` or `0.9 .. 1.3`"
    )


def _operand(text: str, metrics: Mapping[str, Any]) -> float | None:
    try:
        return float(text)
    except ValueError:
        return lookup(metrics, text)


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
