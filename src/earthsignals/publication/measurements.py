"""Where a claim's number comes from: one line of text that names a file and a place in it.

    reports/plume/metrics.json: tile_f1
    reports/benchmarks/plume_dense.json: table[model=googlenet-256, mode=sliding, batch=32].seconds / 3600
    params: clouds.triplets.train
    scales: paper.tdlas.dataset.scans
    derived: epoch_hours(91429)

A path descends by dots; brackets choose the one entry of a list whose keys have these values; `/` or `*` with
a number changes the unit. `derived` calls a function of `derived.py` by name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from earthsignals.params import read_yaml
from earthsignals.storage import EarthSignalsError, read_json

Value = float | tuple[float, ...]
_UNIT = re.compile(r"^(?P<path>.*?)\s+(?P<sign>[/*])\s+(?P<factor>[\d.eE+-]+)$")
_STEP = re.compile(r"(?P<key>[^.\[\]]+)(?:\[(?P<where>[^\]]*)\])?(?:\.|$)")


@dataclass(frozen=True)
class Measured:
    """A number, or several, with the 95 % interval that stands beside it where one does."""

    value: Value | None
    low: float | None = None
    high: float | None = None


@dataclass
class Files:
    """The project's files as plain values, each read once; a missing one is None."""

    root: Path
    _read: dict[str, Any] = field(default_factory=dict)

    def __call__(self, name: str) -> Any:
        if name not in self._read:
            path = self.root / name
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise EarthSignalsError(
                    f"`{name}` lies outside of the project, expected a path from its root; name such a file"
                )
            read = read_yaml if path.suffix in (".yaml", ".yml") else read_json
            self._read[name] = read(path) if path.is_file() else None
        return self._read[name]


def measure(text: str, files: Files, source: str = "reports/claims.yaml") -> Measured:
    """What `text` names; value None where the file or the place in it does not exist.

    Raises EarthSignalsError for a text that is not understood, naming `source`.
    """
    place, colon, rest = text.partition(": ")
    if not colon:
        raise EarthSignalsError(
            f"{source}: `{text}` is not understood, expected `FILE: path`, `params: path`, `scales: path` or "
            "`derived: function(…)`; see src/earthsignals/publication/measurements.py"
        )
    if place == "derived":
        from earthsignals.publication.derived import derive

        return Measured(derive(rest, files, source))
    document = files({"params": "params.yaml", "scales": "scales.yaml"}.get(place, place))
    scaled = _UNIT.match(rest)
    path, factor = (scaled["path"], _factor(scaled, text, source)) if scaled else (rest, 1.0)
    found = Measured(*(_times(value, factor) for value in _with_interval(document, path, source)))
    for value in (found.value, found.low, found.high):
        if not _finite(value):
            raise EarthSignalsError(
                f"{place}: the number at `{path}` is not finite, expected one that can be compared; run the "
                "stage that writes it again, or find out why it wrote that"
            )
    return found


def _factor(scaled: re.Match[str], text: str, source: str) -> float:
    try:
        factor = float(scaled["factor"]) ** (1 if scaled["sign"] == "*" else -1)
    except (ValueError, ZeroDivisionError, OverflowError):
        factor = math.nan
    if not math.isfinite(factor) or factor == 0:
        raise EarthSignalsError(
            f"{source}: `{text}` changes the unit by `{scaled['factor']}`, expected a number other than 0"
        )
    return factor


def _finite(value: Value | None) -> bool:
    values = value if isinstance(value, tuple) else () if value is None else (value,)
    return all(math.isfinite(each) for each in values)


def _with_interval(document: Any, path: str, source: str) -> tuple[Value | None, ...]:
    """The number at `path` and its interval: `<key>_low` and `<key>_high` at any step of the path."""
    steps = _steps(path, source)
    value = _number(_descend(document, steps))
    for number in range(len(steps) - 1, -1, -1):
        ends = []
        for end in ("_low", "_high"):
            key, where = steps[number]
            found = _descend(document, [*steps[:number], (key + end, where), *steps[number + 1 :]])
            ends.append(_number(found))
        if all(isinstance(end, (int, float)) for end in ends):
            return value, *ends
    return value, None, None


def _steps(path: str, source: str) -> list[tuple[str, dict[str, str]]]:
    found = list(_STEP.finditer(path))
    if not found or "".join(step[0] for step in found) != path:
        raise EarthSignalsError(
            f"{source}: `{path}` is no path, expected keys with dots between, as a.b[key=value].c"
        )
    return [(step["key"].strip(), _conditions(step["where"], source)) for step in found]


def _conditions(text: str | None, source: str) -> dict[str, str]:
    wanted = {}
    for part in (text or "").split(","):
        key, equals, value = part.partition("=")
        if equals:
            wanted[key.strip()] = value.strip()
        elif part.strip():
            raise EarthSignalsError(f"{source}: `[{text}]` chooses nothing, expected [key=value, …]")
    return wanted


def _descend(value: Any, steps: list[tuple[str, dict[str, str]]]) -> Any:
    for key, wanted in steps:
        value = value.get(key) if isinstance(value, Mapping) else None
        if wanted:
            entries = value if isinstance(value, list) else []
            chosen = [e for e in entries if all(_text(e.get(k)) == v for k, v in wanted.items())]
            value = chosen[0] if len(chosen) == 1 else None
    return value


def _text(value: Any) -> str:
    return "none" if value is None else str(value)


def _number(value: Any) -> Value | None:
    if _is_number(value):
        return value
    if isinstance(value, list) and value and all(_is_number(v) for v in value):
        return tuple(value)
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _times(value: Value | None, factor: float) -> Value | None:
    if value is None or factor == 1.0:
        return value
    return tuple(v * factor for v in value) if isinstance(value, tuple) else value * factor
