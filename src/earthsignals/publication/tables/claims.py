"""Tables of claims: how many hold in each pipeline, and those of others one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from earthsignals.publication.claims import VERDICTS
from earthsignals.publication.numbers import Results, formatted
from earthsignals.publication.tables.model import DASH, Cell, Table

FILE = "reports/claims.json"
_SMALL = 1e-4
NAMES = {
    "tdlas": "laser scans", "plume": "plumes", "seismic": "earthquakes", "clouds": "clouds",
    "superdarn": "drift", "machines": "machines",
}  # fmt: skip


def verdicts(results: Results) -> Table:
    """How many claims of others and of this project have which verdict."""
    rows = results.value(FILE, "claims")
    pipelines = list(dict.fromkeys(row["pipeline"] for row in rows))
    table = [
        [Cell(NAMES.get(name, name)), *_counts([row for row in rows if row["pipeline"] == name])]
        for name in pipelines
    ]
    total = [Cell("all", bold=True), *_counts(rows)]
    return Table(
        head=["", *VERDICTS, *VERDICTS],
        rows=[*table, total],
        rules=(len(table),),
        groups=(("", 1), ("claims of the sources", len(VERDICTS)), ("claims of this project", len(VERDICTS))),
    )


def sources(results: Results) -> Table:
    """Each claim of the sources: what was promised, what was measured, the verdict."""
    rows = [row for row in results.value(FILE, "claims") if not row["ours"]]
    named = [row["pipeline"] for row in rows]
    first = [place for place in range(1, len(rows)) if named[place] != named[place - 1]]
    return Table(
        head=["claim", "expected", "measured", "unit", "verdict"],
        rows=[
            [Cell(row["claim"]), Cell(_range(row["expected"])), Cell(_measured(row)), Cell(row["unit"] or ""),
             Cell(row["verdict"], bold=row["verdict"] == "not reproduced")]
            for row in rows
        ],
        align="prrll",
        rules=first,
    )  # fmt: skip


def _counts(rows: Sequence[Mapping[str, Any]]) -> list[Cell]:
    cells = []
    for ours in (False, True):
        for verdict in VERDICTS:
            count = sum(row["ours"] == ours and row["verdict"] == verdict for row in rows)
            cells.append(Cell(formatted(count, "integer") if count else DASH))
    return cells


def _range(text: str) -> str:
    """`2 .. 4` as `2–4`, `24600000` with its commas."""
    try:
        return _plain(float(text))
    except ValueError:
        return text.replace(" .. ", "–").replace("<=", "≤").replace(">=", "≥")


def _measured(row: Mapping[str, Any]) -> str:
    """Several numbers with commas between; a dash where nothing was measured."""
    value = row["measured"]
    if value is None:
        return DASH
    return ", ".join(_plain(each) for each in (value if isinstance(value, list) else [value]))


def _plain(value: float) -> str:
    """Whole numbers whole, others to three digits without idle zeros."""
    if float(value).is_integer():
        return formatted(value, "integer")
    if abs(value) < _SMALL:
        return formatted(value, "power")
    text = formatted(value, "digits 3")
    return text.rstrip("0").rstrip(".") if "." in text else text
