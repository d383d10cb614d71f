"""`earthsignals claims`: what the seeds and we ourselves claimed, beside what was measured."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from earthsignals.storage import EarthSignalsError, find_project_root

if TYPE_CHECKING:
    from earthsignals.publication.claims import Judged

_STYLES = {"better": "green", "reproduced": "green", "not reproduced": "red", "not measured": "yellow"}


def claims(
    pipeline: str = typer.Argument(None, metavar="PIPELINE", help="One pipeline; default: all."),
    check: bool = typer.Option(False, "--check", help="Exit 1 where a verdict is worse than promised."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object, for scripts."),
    typed: bool = typer.Option(
        False, "--typed", help="Instead: numbers in texts that no file accounts for; exit 1 if there are."
    ),
) -> None:
    """Show each claim beside what was measured: better, reproduced, not reproduced, not measured.

    Claims stand in reports/claims.yaml, headline figures in reports/expected.yaml; what is measured, in
    files that runs wrote. What is promised at another scale than params.yaml is at counts as not measured.

    Examples:

    \b
      earthsignals claims plume
      earthsignals claims --check
      earthsignals claims --json
      earthsignals claims --typed          numbers typed by hand in README, paper and report
    """
    root = find_project_root()
    if typed:
        _show_typed(root)
        return
    from earthsignals.publication.claims import VERDICTS, judge_all

    judged = judge_all(root)
    known = list(dict.fromkeys(row.pipeline for row in judged))
    if pipeline is not None:
        judged = [row for row in judged if row.pipeline == pipeline]
        if not judged:
            raise EarthSignalsError(f"reports/claims.yaml has no `{pipeline}` (known: {', '.join(known)})")
    if as_json:
        print(json.dumps([asdict(row) for row in judged], ensure_ascii=False))
    else:
        for name in dict.fromkeys(row.pipeline for row in judged):
            _show(name, [row for row in judged if row.pipeline == name])
        count = {verdict: sum(row.verdict == verdict for row in judged) for verdict in VERDICTS}
        typer.echo(", ".join(f"{number} {verdict}" for verdict, number in count.items()))
    worse = [row for row in judged if row.regression]
    if worse and check:
        told = "; ".join(f"{r.id} is {r.verdict} ({_value(r)}), promised {r.promised}" for r in worse)
        raise EarthSignalsError(
            f"reports/claims.yaml: {len(worse)} claims are worse than promised: {told}; find what changed "
            "(`dvc metrics diff`), or change the promise and say why"
        )


def _show(pipeline: str, judged: list[Judged]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("claim", "expected", "measured", "verdict", title=pipeline)
    table.columns[2].justify = "right"
    for row in judged:
        verdict = f"[{_STYLES[row.verdict]}]{row.verdict}[/]"
        if row.regression:
            verdict += f" [bold red](promised: {row.promised})[/]"
        claim = f"{escape(row.claim)}\n[dim]{escape(row.id)} · {escape(row.source)}[/dim]"
        table.add_row(claim, escape(f"{row.expected} {row.unit}".strip()), _value(row), verdict)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=140)
    console.print(table)


def _value(row: Judged) -> str:
    if row.measured is None:
        return "–" if row.beside is None else f"– (beside: {_number(row.beside)})"
    around = f" ({_number(row.low)} to {_number(row.high)})" if row.low is not None else ""
    return _number(row.measured) + around


def _number(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(_number(part) for part in value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _show_typed(root: Any) -> None:
    from earthsignals.publication.typed import typed_in_project

    found = typed_in_project(root)
    for place in found:
        typer.echo(f"{place.file}:{place.line}: {place.number}   {place.context}")
    if found:
        raise EarthSignalsError(
            f"{found[0].file}: {len(found)} numbers in texts stand in no file that a run wrote; take them "
            "from a marked section or numbers.json, add them to reports/paper/facts.yaml, or leave them out"
        )
    typer.echo("no number is typed by hand")
