"""docs/reference/stages.md: every stage of dvc.yaml, what it reads and what it writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from earthsignals.cli.reference.markdown import block, cell, code, notice, page, table
from earthsignals.dvcfiles import read_stages

_SOURCES = ("src/", "stages/")


def stages_page(root: Path) -> str:
    """The text of the page: per pipeline a graph, a table, and the code that each stage depends on."""
    stages = read_stages(root)
    pipelines = dict.fromkeys(name.partition("-")[0] for name in stages)
    lines = [
        "# Stages", "", notice("dvc.yaml"), "",
        "`dvc repro STAGE` brings a stage and all before it up to date, `dvc repro --glob 'tdlas-*'` a "
        "pipeline. Outputs marked *git* are small and tracked by git; all others by DVC. A stage runs again "
        "when its command, a parameter, a file that it reads or its code has changed.", "",
        "Pipelines: " + " · ".join(f"[{name}](#{name})" for name in pipelines),
    ]  # fmt: skip
    for pipeline in pipelines:
        own = {name: stage for name, stage in stages.items() if name.partition("-")[0] == pipeline}
        lines += ["", f"## {pipeline}", "", *block(_graph(own, stages), "mermaid"), ""]
        header = ("stage", "what it does", "parameters", "reads", "writes")
        lines += [*table(header, (_row(name, stage) for name, stage in own.items())), ""]
        lines += ["<details><summary>The code that each stage depends on</summary>", ""]
        lines += [f"- {code(name)}: {', '.join(map(code, _code_of(stage)))}" for name, stage in own.items()]
        lines += ["", "</details>"]
    return page(lines)


def outputs(stage: Mapping[str, Any]) -> dict[str, bool]:
    """Paths that a stage of dvc.yaml writes, and whether git keeps them (DVC does not cache them)."""
    found = {}
    for entry in [each for kind in ("outs", "metrics", "plots") for each in stage.get(kind, [])]:
        for path, options in entry.items() if isinstance(entry, Mapping) else [(entry, None)]:
            found[path] = (options or {}).get("cache") is False
    return found


def feeds(stages: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Pairs (first, second) of stages: the second reads what the first writes; in dvc.yaml's order."""
    writer = {path: name for name, stage in stages.items() for path in outputs(stage)}
    for name, stage in stages.items():
        yield from dict.fromkeys((writer[path], name) for path in stage.get("deps", []) if path in writer)


def _graph(own: Mapping[str, Any], stages: Mapping[str, Any]) -> Iterator[str]:
    yield "graph LR"
    for first, second in feeds(stages):
        if second in own:
            yield f"  {first} --> {second}"


def _row(name: str, stage: Mapping[str, Any]) -> tuple[str, ...]:
    reads = [path for path in stage.get("deps", []) if not path.startswith(_SOURCES)]
    writes = [f"{code(path)}{' *git*' if git else ''}" for path, git in outputs(stage).items()]
    sections = [str(each) for each in stage.get("params", [])]
    return (
        code(name), cell(stage.get("desc", "")), "<br>".join(map(code, sections)),
        "<br>".join(map(code, reads)), "<br>".join(writes),
    )  # fmt: skip


def _code_of(stage: Mapping[str, Any]) -> list[str]:
    return [path for path in stage.get("deps", []) if path.startswith(_SOURCES)]
