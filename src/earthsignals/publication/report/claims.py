"""Claims as the overview shows them: what was said, what was measured, and the verdict, as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from earthsignals.publication.claims import VERDICTS
from earthsignals.storage import EarthSignalsError, read_json

CLAIMS = Path("reports/claims.json")
_TEXTS = {"pipeline", "claim", "source", "expected", "unit", "verdict", "how"}

Row = Mapping[str, Any]


def read_claims(root: Path) -> list[Row]:
    """The rows of `reports/claims.json`; empty where claims were not judged yet."""
    path = Path(root) / CLAIMS
    if not path.is_file():
        return []
    content = read_json(path)
    rows = content.get("claims") if isinstance(content, Mapping) else None
    if not isinstance(rows, list) or not all(_is_row(row) for row in rows):
        raise EarthSignalsError(
            f"{path}: holds no judged claims, expected what `dvc repro paper-claims` writes; write it anew"
        )
    return rows


def _is_row(row: Any) -> bool:
    if not isinstance(row, Mapping) or not _TEXTS | {"measured", "ours"} <= set(row):
        return False
    numbers = [row.get(key) for key in ("measured", "low", "high", "beside")]
    numbers = [each for value in numbers for each in (value if isinstance(value, list) else [value])]
    texts = [row[key] for key in _TEXTS] + [row.get("because") or ""]
    return (
        all(isinstance(text, str) for text in texts)
        and row["verdict"] in VERDICTS
        and all(value is None or isinstance(value, (int, float)) for value in numbers)
    )


def counted(claims: Sequence[Row]) -> dict[str, int]:
    """How many claims have each verdict, the best first; verdicts that nobody has are left out."""
    counts = Counter(claim["verdict"] for claim in claims)
    return {verdict: counts[verdict] for verdict in VERDICTS if counts[verdict]}


def grouped(claims: Sequence[Row], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Groups for the overview: others' claims and then our own, by pipeline.

    Args:
        names: what a pipeline's group is called; others are called as they are.

    Returns:
        name, counts (as `counted`) and rows of each group; a row's cells are text.
    """
    groups: dict[tuple[bool, str], list[Row]] = {}
    for claim in claims:
        groups.setdefault((claim["ours"], claim["pipeline"]), []).append(claim)
    return [
        {
            "name": f"{'Our own' if ours else 'Earlier works'}: {names.get(pipeline, pipeline)}",
            "counts": counted(rows),
            "rows": [cells(row) for row in rows],
        }
        for (ours, pipeline), rows in sorted(groups.items(), key=lambda group: group[0][0])
    ]


def cells(row: Row) -> dict[str, str]:
    """A row's cells as text."""
    unit = f" {row['unit']}" if row["unit"] else ""
    measured = said(row["measured"])
    if row.get("low") is not None and row.get("high") is not None:
        measured += f" ({said(row['low'])} to {said(row['high'])})"
    if row["measured"] is None and row.get("beside") is not None:
        measured = f"beside it: {said(row['beside'])}"
    how = row["how"]
    if row.get("because") and row["verdict"] in ("not reproduced", "not measured"):
        how = f"{how.rstrip('.')}. {row['because'][:1].upper()}{row['because'][1:]}"
    return {
        "claim": row["claim"], "source": row["source"], "expected": f"{row['expected']}{unit}",
        "measured": measured, "verdict": row["verdict"], "how": how,
    }  # fmt: skip


def said(value: float | Sequence[float] | None) -> str:
    """`0.893`, `132,169`, `3, 129, 110`; a dash for nothing."""
    if value is None:
        return "–"
    if isinstance(value, (list, tuple)):
        return ", ".join(said(part) for part in value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}".replace("-", "−")
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return text.replace("-", "−", 1) if text.startswith("-") else text
