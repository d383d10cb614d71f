"""What made a figure: the stage and function that drew it, the bytes they read, the runs behind those.

    figure_lineage(Lineage(Path(".")), "tdlas", "error_vs_bound", files)

The answer is plain values for JSON, the sidecar that stands beside each figure of the bundle. It is put
together from what `dvc.lock` and the run records say, so that it names bytes and not merely names.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from earthsignals.storage import EarthSignalsError, md5_path
from earthsignals.tracking import Record
from earthsignals.tracking.record import read_record
from earthsignals.tracking.trace.lock import Lock, LockedStage, read_lock

SOURCES = PurePosixPath("src/earthsignals")
_MODELS = (".onnx", ".pt", ".safetensors")


class Lineage:
    """What a project knows of its own making, read once and only when asked."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._records: dict[str, Record] = {}

    @cached_property
    def lock(self) -> Lock:
        """The working tree's `dvc.lock`."""
        return read_lock(self.root)

    def stage(self, pipeline: str) -> LockedStage:
        """The stage that draws the figures of a pipeline, as locked.

        Raises EarthSignalsError when `dvc.lock` does not know it.
        """
        name = f"{pipeline}-figures"
        if name not in self.lock.stages:
            raise EarthSignalsError(
                f"{self.root / 'dvc.lock'}: no stage `{name}`, but figures of {pipeline} are here; draw them "
                f"by `dvc repro {name}`, so that it is known what they were drawn from"
            )
        return self.lock.stages[name]

    def runs(self, stage: LockedStage) -> list[dict[str, Any]]:
        """The runs that a stage rests upon, the nearest first: see `run_summary`."""
        found = []
        for upstream in self.lock.upstream(stage):
            record = upstream.record
            if record is None or not (self.root / record).is_file():
                continue
            if record not in self._records:
                self._records[record] = read_record(self.root / record)
            found.append(run_summary(upstream.name, record, self._records[record]))
        return found


def figure_lineage(known: Lineage, pipeline: str, name: str, files: Iterable[str]) -> dict[str, Any]:
    """What made a figure.

    Args:
        files: the figure's own files, relative to the project's root.

    Returns:
        figure, pipeline; stage and command; drawn_by: {file, function}; files and deps: path → md5 (DVC's,
        `….dir` of a folder); params: {keys, sha256} of the stage, None where it reads none; runs: those of
        `Lineage.runs`.
    """
    stage = known.stage(pipeline)
    return {
        "figure": name,
        "pipeline": pipeline,
        "stage": stage.name,
        "command": stage.command,
        "drawn_by": drawn_by(known.root, pipeline, name),
        "files": {path: md5_path(known.root / path) for path in sorted(files)},
        "deps": dict(sorted(stage.deps.items())),
        "params": {"keys": sorted(stage.params), "sha256": digest(stage.params)} if stage.params else None,
        "runs": known.runs(stage),
    }


def run_summary(stage: str, path: str, record: Record) -> dict[str, Any]:
    """What a figure's reader wants to know of a run.

    Returns:
        stage; record: its file; run_id; commit and dirty, text as the run noted it; params_sha256; data and
        models: path → md5 of what the run read or wrote below `data/`.
    """
    touched = {
        key.split(".", 1)[1]: value
        for key, value in sorted(record.tags.items())
        if key.startswith(("dep.data/", "out.data/"))
    }
    models = {path: md5 for path, md5 in touched.items() if PurePosixPath(path).suffix in _MODELS}
    return {
        "stage": stage,
        "record": path,
        "run_id": record.run_id,
        "commit": record.tags.get("git_commit", "unknown"),
        "dirty": record.tags.get("git_dirty", "unknown"),
        "params_sha256": digest(record.params),
        "data": {path: md5 for path, md5 in touched.items() if path not in models},
        "models": models,
    }


def digest(values: Mapping[str, Any]) -> str:
    """SHA-256 of values as JSON with sorted keys: the same for equal parameters, in whatever order."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def drawn_by(root: Path, pipeline: str, name: str) -> dict[str, str]:
    """The file and function that draw a figure: {file, function}.

    A figure is called like its function, one that returns a `Figure` somewhere below `<pipeline>/figures`;
    training curves are drawn by the house. Found in the source, without running it.
    """
    own, house = SOURCES / pipeline / "figures", SOURCES / "figures"
    shared = "training_curves" if name.split("_")[0] == "training" else name
    for folder, function in ((own, name), (house, shared)):
        if file := _defining(root, folder, function):
            return {"file": file, "function": function}
    return {"file": str(own / "__init__.py"), "function": "draw_all"}


def _defining(root: Path, folder: PurePosixPath, function: str) -> str | None:
    for path in sorted((root / folder).rglob("*.py")):
        try:
            body = ast.parse(path.read_text(encoding="utf-8")).body
        except (SyntaxError, ValueError) as error:
            raise EarthSignalsError(f"{path}: no Python ({error}), expected a module; mend it") from None
        for node in body:
            if isinstance(node, ast.FunctionDef) and node.name == function and _draws(node):
                return path.relative_to(root).as_posix()
    return None


def _draws(node: ast.FunctionDef) -> bool:
    return node.returns is not None and ast.unparse(node.returns) == "Figure"
