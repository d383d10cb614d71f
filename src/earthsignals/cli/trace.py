"""`earthsignals trace`: from any file or run to what made it, and back."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.tree import Tree

    from earthsignals.tracking.trace import KnownRun, Trace, TracedFile, TracedStage

_PARAMS_SHOWN = 12
_MARKS = {
    "same": "[green]✓[/green]",
    "other": "[red]✗ other bytes on disk[/red]",
    "absent": "[yellow]· not here[/yellow]",
    "unchecked": "[yellow]· size only[/yellow]",
}
_VERDICTS = {
    "same": "[green]✓ as dvc.lock says[/green]",
    "other": "[red]✗ not what dvc.lock says now[/red]",
    "absent": "[yellow]· not on this disk[/yellow]",
    "unchecked": "",
}


def trace(
    subject: Annotated[
        str, typer.Argument(metavar="PATH|RUN_ID", help="A file, or the id of a run (6 digits or more).")
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object with everything, for scripts.")
    ] = False,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Hash inputs over 500 MB too; else their sizes are compared.")
    ] = False,
) -> None:
    """From any file or run to the stage, commit, parameters, data and MLflow run that made it, and back.

    PATH is anything a stage made (a figure, table, metric, checkpoint, ONNX file, dataset, or a file in a
    tracked folder), a source file, or a copy of any of them. Says what is not as dvc.lock has it.

    Examples:

    \b
      earthsignals trace reports/tdlas/figures/allan.png
      earthsignals trace data/plume/best_model.pt --json | python -m json.tool
      earthsignals trace 8b5419e7                          what did this run make? is it still so?
      earthsignals trace ~/paper/figures/fig3.png          which run drew the figure in my paper?
    """
    from rich.console import Console

    from earthsignals.settings import load_settings
    from earthsignals.tracking.trace import trace as find

    waiting = Console(stderr=True)
    if load_settings().progress and sys.stderr.isatty():
        with waiting.status("hashing files and asking git and MLflow …"):
            found = find(subject, thorough=thorough)
    else:
        found = find(subject, thorough=thorough)
    if as_json:
        print(json.dumps(asdict(found)))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=160)
    _show(found, console)


def _show(found: Trace, console: Console) -> None:
    from rich.markup import escape
    from rich.tree import Tree

    tree = Tree(_title(found), guide_style="dim")
    stages = {stage.name: stage for stage in (found.stage, *found.upstream) if stage}
    if found.stage:
        _grow(tree, found.stage, stages, set(), full=True)
    if found.source_commit:
        tree.add(f"no stage makes it; committed to git by {found.source_commit[:12]}")
    if found.runs and found.stage and not found.stage.run:
        line = tree.add("runs that its inputs came from")
        for run in found.runs:
            line.add(_run_line(run))
    console.print(tree)
    if found.downstream:
        forward = Tree("[bold]made from it[/bold]", guide_style="dim")
        for use in found.downstream:
            mark = "" if use.same_bytes else " [red]✗ from another version[/red]"
            branch = forward.add(f"[bold]{escape(use.stage)}[/bold] through {escape(use.through)}{mark}")
            for out in use.outs:
                branch.add(escape(out))
        console.print(forward)
    for note in found.notes:
        console.print(f"[yellow]![/yellow] {escape(note)}")


def _title(found: Trace) -> str:
    from rich.markup import escape

    parts = [f"[bold]{escape(found.subject)}[/bold]"]
    if found.md5:
        parts.append(f"md5 {found.md5}")
    if found.out and found.out != found.subject:
        parts.append(f"{'tracked as' if found.state == 'other' else 'in'} {escape(found.out)}")
    if _VERDICTS[found.state] and found.out:
        parts.append(_VERDICTS[found.state])
    if found.lock_commit:
        parts.append(f"traced in dvc.lock of commit {found.lock_commit[:12]}")
    return " · ".join(parts)


def _grow(
    tree: Tree, stage: TracedStage, stages: dict[str, TracedStage], seen: set[str], *, full: bool = False
) -> None:
    """Add `stage` with what it used, and below each dep the stage that made it; each stage once in full."""
    from rich.markup import escape

    seen.add(stage.name)
    branch = tree.add(f"[bold]{escape(stage.name)}[/bold]  {escape(stage.command)}")
    branch.add(_commit_line(stage))
    if stage.run:
        branch.add(_run_line(stage.run))
    if stage.params:
        _add_params(branch, stage.params, _PARAMS_SHOWN if full else 0)
    sources = [dep for dep in stage.deps if not dep.made_by]
    changed = [dep for dep in sources if dep.state != "same"]
    if sources:
        mark = "" if changed else f" {_MARKS['same']}"
        line = branch.add(f"sources: {len(sources)} files and folders{mark}")
        for dep in changed:
            line.add(_file_line(dep))
    for dep in stage.deps:
        if not dep.made_by:
            continue
        line = branch.add(_file_line(dep))
        for name in dep.made_by:
            if name in seen or name not in stages:
                line.add(f"[dim]{escape(name)}, see there[/dim]")
            else:
                _grow(line, stages[name], stages, seen)
    if full and stage.outs:
        made = branch.add("made")
        for out in stage.outs:
            made.add(_file_line(out))


def _file_line(file: TracedFile) -> str:
    from rich.markup import escape

    return f"{escape(file.path)} [dim]{file.md5[:12]}[/dim] {_MARKS[file.state]}"


def _commit_line(stage: TracedStage) -> str:
    if stage.commit is None:
        return "[yellow]code not committed: dvc.lock's entry is in no commit yet[/yellow]"
    if stage.commit_of != "run":
        return f"commit {stage.commit[:12]} (wrote its entry in {stage.commit_of})"
    words = {"true": ", [yellow]with uncommitted changes[/yellow]", "false": ", clean"}
    return f"commit {stage.commit[:12]} (its run's{words.get(stage.dirty or '', '')})"


def _run_line(run: KnownRun) -> str:
    import time

    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.start_ms / 1000)) if run.start_ms else ""
    where = "not in MLflow here (`earthsignals runs import`)"
    if run.id_here:
        where = "in MLflow" if run.id_here == run.id else f"in MLflow as {run.id_here}"
    machine = run.tags.get("device.name") or run.tags.get("machine.cpu", "")
    return " · ".join(filter(None, (f"run {run.id} of {run.stage}", run.status.lower(), day, machine, where)))


def _add_params(branch: Tree, params: dict[str, Any], shown: int) -> None:
    from rich.markup import escape

    flat = list(_flat(params))
    # A run's own parameters are flat already: its sections are the beginnings of their keys.
    sections = list(params) if len(params) < 20 else dict.fromkeys(key.split(".")[0] for key in params)
    line = branch.add(f"{len(flat)} parameters: {escape(', '.join(sections))}")
    for key, value in flat[:shown]:
        line.add(escape(f"{key} = {value}"))
    if shown and len(flat) > shown:
        line.add(f"[dim]{len(flat) - shown} more: --json[/dim]")


def _flat(values: dict[str, Any], prefix: str = ""):
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
