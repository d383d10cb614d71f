"""The folder that the paper reads: its numbers as JSON and LaTeX commands, its tables for Typst and LaTeX."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from earthsignals.publication.facts import FACTS, load_facts
from earthsignals.publication.numbers import Results, collect, load_registry, numbers_tex
from earthsignals.publication.sections.absent import DASH
from earthsignals.publication.sections.claims import SEEDS
from earthsignals.publication.tables import TABLES, Cell, Table, to_latex, to_typst
from earthsignals.storage import EarthSignalsError, atomic_directory, write_json

REGISTRY = Path("reports/paper/numbers.yaml")


def write_fragments(root: str | Path, out: str | Path) -> list[str]:
    """Write `numbers.json`, `numbers.tex` and `tables/*.{typ,tex}` into the folder `out`, as a whole.

    `root` is the project: registry, facts and results are read there. The same results give the same bytes.

    Returns:
        The numbers, as `section.name`, that stand as dashes: a pipeline at a small scale may lack them.

    Raises:
        EarthSignalsError: naming file and key, where a number is missing and may not be.
    """
    root, results = Path(root), Results(root)
    numbers: dict[str, Any] = collect(results, load_registry(root / REGISTRY))
    numbers["facts"] = _facts(root / FACTS)
    tables = {name: _built(name, build, results) for name, build in TABLES.items()}
    absent = [
        f"{section}.{name}"
        for section, entries in numbers.items()
        for name, entry in entries.items()
        if entry.get("absent")
    ]
    with atomic_directory(out) as folder:
        write_json(folder / "numbers.json", numbers)
        (folder / "numbers.tex").write_text(numbers_tex(numbers), encoding="utf-8")
        (folder / "tables").mkdir()
        for name, table in tables.items():
            (folder / "tables" / f"{name}.typ").write_text(to_typst(table), encoding="utf-8")
            (folder / "tables" / f"{name}.tex").write_text(to_latex(table), encoding="utf-8")
    return absent


def _built(name: str, build: Callable[[Results], Table], results: Results) -> Table:
    """A table; of a pipeline at a small scale that lacks too much for it, a table of one dash."""
    try:
        return build(results)
    except Exception as error:
        if any(results.may_lack(f"reports/{pipeline}/metrics.json") for pipeline in _shown_in(build)):
            return Table(head=["not measured at this scale", ""], rows=[[Cell(name), Cell(DASH)]])
        if isinstance(error, EarthSignalsError):
            raise
        # Whatever a file does to a table that holds something else than it should.
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise EarthSignalsError(
            f"the table `{name}` of the paper cannot be made ({reason}), expected the keys that "
            f"{build.__module__} reads; write those files anew (`dvc repro`), or mend the table"
        ) from None


def _shown_in(build: Callable[[Results], Table]) -> tuple[str, ...]:
    """The pipelines of a table: the one that its module is called like, or all."""
    room = build.__module__.rpartition(".")[2]
    return (room,) if room in SEEDS else tuple(SEEDS)


def _facts(path: Path) -> dict[str, dict[str, str]]:
    """What no run writes: constants of nature, of instruments, of the literature."""
    return {
        name: {"value": str(fact.value), "unit": fact.unit or "", "source": fact.source}
        for name, fact in sorted(load_facts(path).items())
    }
