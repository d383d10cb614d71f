"""What headline figures are held against: `reports/expected.yaml`, and the judging of one line of it.

The file lists per pipeline: `name`, `metric` (dotted path into `reports/<pipeline>/metrics.json`),
`expected` (`<= 2`, `0.9 .. 1.3`, or `< other.metric`) and the `scale` at which that is promised.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from earthsignals.params import ParamsError, Section, read_yaml, scale_changes, scale_names, validate

_COMPARE = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt}


class Expectation(Section):
    """One line of the table."""

    name: str
    metric: str
    expected: str
    scale: str = "laptop"


def load_expectations(path: Path) -> dict[str, list[Expectation]]:
    """The expectations by pipeline; raises ParamsError naming the entry that is wrong."""
    found = {}
    for name, entries in read_yaml(path).items():
        if not isinstance(entries, list | None):
            raise ParamsError(f"reports/expected.yaml: `{name}` is no list, expected one of lines; mend it")
        found[name] = [
            validate(Expectation, entry, source="reports/expected.yaml", prefix=f"{name}.{number}")
            for number, entry in enumerate(entries or [])
        ]
    return found


def current_scale(root: Path, pipeline: str) -> str | None:
    """The scale whose values for `pipeline` are those of params.yaml; None between scales."""
    return current_scales(root, [pipeline])[pipeline]


def current_scales(root: Path, pipelines: Iterable[str]) -> dict[str, str | None]:
    """`current_scale` of several pipelines, each file read once per scale."""
    params, scales = root / "params.yaml", root / "scales.yaml"
    found: dict[str, str | None] = dict.fromkeys(pipelines)
    for name in scale_names(scales):
        changed = {change.key.split(".")[0] for change in scale_changes(name, params, scales)}
        for pipeline in found:
            if found[pipeline] is None and pipeline not in changed:
                found[pipeline] = name
    return found


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
