"""The folder that the paper reads: its numbers as JSON and LaTeX commands, its tables for Typst and LaTeX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from earthsignals.publication.facts import load_facts
from earthsignals.publication.numbers import Results, collect, load_registry, numbers_tex
from earthsignals.publication.tables import TABLES, to_latex, to_typst
from earthsignals.storage import atomic_directory, write_json

REGISTRY = Path("reports/paper/numbers.yaml")
FACTS = Path("reports/paper/facts.yaml")


def write_fragments(root: str | Path, out: str | Path) -> None:
    """Write `numbers.json`, `numbers.tex` and `tables/*.{typ,tex}` into the folder `out`, as a whole.

    `root` is the project: registry, facts and results are read there. The same results give the same bytes.
    Raises EarthSignalsError naming file and key where a number is missing.
    """
    root, results = Path(root), Results(root)
    numbers: dict[str, Any] = collect(results, load_registry(root / REGISTRY))
    numbers["facts"] = _facts(root / FACTS)
    tables = {name: build(results) for name, build in TABLES.items()}
    with atomic_directory(out) as folder:
        write_json(folder / "numbers.json", numbers)
        (folder / "numbers.tex").write_text(numbers_tex(numbers), encoding="utf-8")
        (folder / "tables").mkdir()
        for name, table in tables.items():
            (folder / "tables" / f"{name}.typ").write_text(to_typst(table), encoding="utf-8")
            (folder / "tables" / f"{name}.tex").write_text(to_latex(table), encoding="utf-8")


def _facts(path: Path) -> dict[str, dict[str, str]]:
    """What no run writes: constants of nature, of instruments, of the literature."""
    return {
        name: {"value": str(fact.value), "unit": fact.unit or "", "source": fact.source}
        for name, fact in sorted(load_facts(path).items())
    }
