"""`earthsignals runs …`: the experiment history that travels with `dvc push` and `dvc pull`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from earthsignals.tracking import Record

app = typer.Typer(
    help="""The experiment history that travels with dvc push and pull.

Examples:

\b
  make pull                             fetches artifacts and records, then imports
  earthsignals runs import              every run that reached this machine, into MLflow
  earthsignals runs list                which runs are here, and of which machine
  earthsignals runs list --pipeline tdlas --json
  make ui                               imports first, then shows them
""",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_Pipeline = Annotated[str | None, typer.Option(metavar="NAME", help="One pipeline; default: all.")]


@app.command("import")
def import_(pipeline: _Pipeline = None) -> None:
    """Bring MLflow up to the run records that are here, pulled ones too.

    Runs that are missing are added, and those whose server died are completed; what is there already
    is left alone, so this can be repeated. Records that are damaged, of a newer version or in conflict
    with MLflow are named and skipped. Exit status 1 when no record could be used.

    Examples:

    \b
      earthsignals runs import
      earthsignals runs import --pipeline seismic
    """
    from earthsignals.storage import find_project_root
    from earthsignals.tracking import import_runs

    _check(pipeline)
    done = import_runs(find_project_root(), pipeline)
    for sentence in done.skipped:
        typer.echo(f"warning: skipped: {sentence}", err=True)
    typer.echo(_told(done))
    if done.absent:
        typer.echo(
            f"{_count(done.absent, 'record')} named by the run-cache not on this machine: make pull"
        )
    if done.failed:
        raise typer.Exit(1)


@app.command("list")
def list_(
    pipeline: _Pipeline = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the runs whose records are here: stage, date, machine, headline, and whether MLflow has them.

    Exit status 1 when there are records and none can be used.

    Examples:

    \b
      earthsignals runs list
      earthsignals runs list --pipeline tdlas --json
    """
    from earthsignals.storage import find_project_root
    from earthsignals.tracking import read_records, runs_in_store

    _check(pipeline)
    root = find_project_root()
    records = read_records(root, pipeline)
    for sentence in records.bad:
        typer.echo(f"warning: {sentence}", err=True)
    ordered = sorted(records.good.values(), key=lambda record: record.start_ms, reverse=True)
    stored = runs_in_store(root, {record.experiment for record in ordered}) if ordered else {}
    headlines = _headlines(root)
    rows = [_row(record, stored, headlines.get(record.experiment, ())) for record in ordered]
    if json:
        from json import dumps

        typer.echo(dumps(rows, indent=2, ensure_ascii=False))
    elif rows:
        _print(rows)
    elif not records.bad:
        typer.echo("no run records here yet: `make repro` makes them, `make pull` fetches them")
    if records.bad and not rows:
        raise typer.Exit(1)


def _check(pipeline: str | None) -> None:
    from earthsignals.cli.pipelines import PIPELINES
    from earthsignals.storage import EarthSignalsError

    if pipeline is not None and pipeline not in PIPELINES:
        raise EarthSignalsError(f"there is no pipeline {pipeline}: expected {', '.join(PIPELINES)}")


def _told(done: Any) -> str:
    total = done.added + done.completed + done.present + done.deleted
    if not total and not done.skipped:
        return "no run records here yet: `make repro` makes them, `make pull` fetches them"
    parts = [f"{done.added} added", f"{done.completed} completed", f"{done.present} already there"]
    if done.deleted:
        parts.append(f"{done.deleted} deleted there before and left so")
    if done.skipped:
        parts.append(f"{len(done.skipped)} skipped")
    return f"MLflow: {_count(total + len(done.skipped), 'record')}, {', '.join(parts)}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _headlines(root: Path) -> dict[str, list[str]]:
    """Names of each pipeline's headline metrics, in the order of reports/expected.yaml."""
    from earthsignals.params import read_yaml

    path = root / "reports" / "expected.yaml"
    expected = read_yaml(path) if path.is_file() else {}
    return {name: [str(line.get("metric")) for line in lines] for name, lines in expected.items()}


def _row(record: Record, stored: Mapping[str, Any], headlines: Sequence[str]) -> dict[str, Any]:
    from datetime import UTC, datetime

    from earthsignals.tracking.plain import seconds

    tags = record.tags
    here = stored.get(record.run_id)
    return {
        "stage": record.name,
        "started": datetime.fromtimestamp(record.start_ms / 1000, UTC).isoformat(timespec="seconds"),
        "seconds": seconds(tags.get("wall_seconds")),
        "machine": f"{tags.get('machine.cpu', 'unknown')}, {tags.get('machine.cores', '?')} cores",
        "device": _device(tags),
        "headline": _headline(record, headlines),
        "commit": tags.get("git_commit", "none"),
        "run_id": record.run_id,
        "mlflow_run_id": here.info.run_id if here else None,
        "in_mlflow": "no" if here is None else here.info.status.lower(),
    }


def _device(tags: Mapping[str, str]) -> str:
    device = tags.get("device", "cpu")
    return device if device == "cpu" else f"{device} {tags.get('device.name', '')}".strip()


def _headline(record: Record, names: Sequence[str]) -> str:
    """The pipeline's first headline figure that the run logged, else its best validation loss."""
    metrics = record.renamed_metrics()
    for name in names:
        for logged in (f"test/{name}", name):
            if rows := metrics.get(logged):
                return f"{name} {rows[-1][2]:.4g}"
    if rows := metrics.get("val/loss"):
        return f"val/loss {min(value for _, _, value in rows):.4g}"
    return ""


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from earthsignals.tracking.plain import one_line

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("stage", "started (UTC)", "wall s", "device", "headline", "run", "in MLflow"):
        table.add_column(title, no_wrap=True, justify="right" if title == "wall s" else "left")
    table.add_column("machine", no_wrap=True, overflow="ellipsis")
    for row in rows:
        took = "–" if row["seconds"] is None else f"{row['seconds']:.0f}"
        cells = (
            row["stage"], row["started"][:16].replace("T", " "), took, row["device"],
            row["headline"], row["run_id"][:8], row["in_mlflow"], row["machine"],
        )  # fmt: skip
        # What a record says is no markup of ours, and no word to the terminal.
        table.add_row(*(escape(one_line(cell)) for cell in cells))
    console = Console(highlight=False)
    # A pipe has no width, and a line that runs on is better than a column that is not shown.
    console.width = max(console.width, 120) if console.is_terminal else 160
    console.print(table)
