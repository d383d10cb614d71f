"""Where a run came from: its DVC stage, its commit, its inputs and outputs, its machine."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from earthsignals.compute.device import cpu_name
from earthsignals.dvcfiles import declared, declared_outs, read_stages
from earthsignals.storage import md5_path

# Files that every run rewrites; they say nothing about whether the code differs from the commit.
_WRITTEN_BY_RUNS = ("dvc.lock", "mlflow.db", "mlruns", "reports/*/runs/*")


@dataclass(frozen=True)
class StagePaths:
    """Declared paths of one stage, relative to the project root, in ``dvc.yaml``'s order."""

    deps: tuple[str, ...]
    outs: tuple[str, ...]


def stage_paths(root: Path, stage: str) -> StagePaths | None:
    """Read the deps and outs (metrics and plots included) of ``stage``; None when undeclared.

    Raises:
        EarthSignalsError: ``dvc.yaml`` is not valid YAML.
    """
    body = read_stages(root).get(stage)
    if not isinstance(body, dict):
        return None
    return StagePaths(deps=tuple(declared(body.get("deps"))), outs=tuple(declared_outs(body)))


def lineage_tags(root: Path, stage: str, exclude: Path) -> dict[str, str]:
    """Return ``dep.<path>`` and ``out.<path>`` tags with the md5 that DVC writes to dvc.lock.

    ``outs`` holds the md5s of all outs in one tag, so that a run is found by any of them.
    ``exclude`` is the run record, which cannot hold its own hash. A declared path that does not
    exist is tagged ``missing``.
    """
    paths = stage_paths(root, stage)
    if paths is None:
        return {"lineage_note": f"dvc.yaml declares no stage {stage}: deps and outs are unknown"}
    outs = [path for path in paths.outs if (root / path).resolve() != exclude.resolve()]
    tags = {f"dep.{path}": _md5_or_missing(root / path) for path in paths.deps}
    hashes = {f"out.{path}": _md5_or_missing(root / path) for path in outs}
    tags.update(hashes)
    tags["outs"] = " ".join(value for value in hashes.values() if value != "missing")
    return tags


def git_tags(root: Path) -> dict[str, str]:
    """Return ``git_commit`` and ``git_dirty``: does any file but the stages' outs differ from it?

    DVC removes a stage's outs before it starts, so outs tracked by git would always be dirty.
    """
    commit = ask_git(root, "rev-parse", "HEAD")
    if commit is None:
        return {"git_commit": "none", "git_dirty": "unknown"}
    outs = [path for body in read_stages(root).values() for path in declared_outs(body)]
    excluded = [f":(exclude,top){path}" for path in (*_WRITTEN_BY_RUNS, *outs)]
    status = ask_git(root, "status", "--porcelain", "--untracked-files=all", "--", ".", *excluded)
    dirty = "unknown" if status is None else str(bool(status)).lower()
    return {"git_commit": commit, "git_dirty": dirty}


def describe_machine() -> dict[str, str]:
    """Return ``machine.*`` tags: CPU model, cores, memory and system; no host or user name."""
    import psutil

    return {
        "machine.cpu": cpu_name(),
        "machine.cores": str(psutil.cpu_count(logical=True) or 1),
        "machine.memory_gb": f"{psutil.virtual_memory().total / 2**30:.1f}",
        "machine.os": f"{platform.system()} {platform.machine()}",
        "machine.python": platform.python_version(),
    }


def ask_git(root: Path, *arguments: str) -> str | None:
    """Return what git prints, names as they are; None when there is no git, no repository or no commit."""
    words = ["git", "-C", str(root), "-c", "core.quotePath=false", *arguments]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _md5_or_missing(path: Path) -> str:
    return md5_path(path) if path.exists() else "missing"
