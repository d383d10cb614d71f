"""`earthsignals doctor`: is this machine ready, and what to do where it is not."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import typer

from earthsignals.cli.pipelines import PIPELINES
from earthsignals.dvcfiles import LOCK, read_stages
from earthsignals.settings import load_settings
from earthsignals.storage import EarthSignalsError, find_project_root, md5_path, sha256_file

_MARKS = {"ok": "[green]✓[/green]", "bad": "[red]✗[/red]", "optional": "[yellow]·[/yellow]"}
_GIB = 2**30
_HASHED_BYTES = 500 * 2**20  # larger outputs are compared by size alone


@dataclass(frozen=True)
class Finding:
    """One line: `status` is ok, bad, or optional (fine as it is, worth knowing)."""

    name: str
    status: str
    detail: str
    remedy: str = ""


def doctor(
    as_json: bool = typer.Option(False, "--json", help="One JSON object, for scripts."),
) -> None:
    """Check Python, packages, device, data, DVC, MLflow, disk and git; say what to do.

    ✓ is ready, ✗ needs its remedy, · is optional. Exit code 1 if there is any ✗.

    Examples:

    \b
      earthsignals doctor
      earthsignals doctor --json | python -m json.tool
    """
    root = find_project_root()
    findings = [_guarded(name, check, root) for name, check in CHECKS]
    ready = all(finding.status != "bad" for finding in findings)
    if as_json:
        print(json.dumps({"ok": ready, "checks": [asdict(finding) for finding in findings]}))
    else:
        _show(findings)
    if not ready:
        raise typer.Exit(1)


def _show(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False, soft_wrap=True)
    for finding in findings:
        console.print(f"{_MARKS[finding.status]} {finding.name:<13} {escape(finding.detail)}")
        if finding.remedy:
            console.print(f"  {'':<13} → {escape(finding.remedy)}")


def _guarded(name: str, check: Callable[[Path], tuple[str, ...]], root: Path) -> Finding:
    """Run one check; whatever it stumbles over is a finding, the others still run."""
    try:
        return Finding(name, *check(root))
    except EarthSignalsError as error:
        return Finding(name, "bad", str(error))
    except Exception as error:  # a doctor that dies of a symptom is of no use
        return Finding(name, "bad", f"{type(error).__name__}: {error}", "make setup")


def _python(root: Path) -> tuple[str, ...]:
    version = ".".join(map(str, sys.version_info[:3]))
    own = Path(sys.prefix).resolve() == (root / ".venv").resolve()
    detail = f"{version}, {'the project’s .venv' if own else 'not the project’s .venv'}"
    if sys.version_info[:2] != (3, 11):
        return "optional", detail, "requirements.lock was resolved and tested for 3.11"
    return "ok", detail, "" if own else "source .venv/bin/activate (after make setup)"


def _packages(root: Path) -> tuple[str, ...]:
    from packaging.requirements import Requirement

    lock = (root / "requirements.lock").read_text(encoding="utf-8").splitlines()
    required = [Requirement(line) for line in lock if line and line[0] != "#"]
    pinned = [
        (each.name, str(each.specifier).removeprefix("=="))
        for each in required
        if each.marker is None or each.marker.evaluate()  # for this system
    ]
    wrong = []
    for name, version in pinned:
        try:
            # A local part names the build (2.13.0+cpu, +cu130, +rocm7): any build will do.
            found = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:
            found = "missing"
        if found != version:
            wrong.append(f"{name} {found} (pinned {version})")
    if not wrong:
        return "ok", f"{len(pinned)} as requirements.lock has them"
    return "bad", _some(wrong), "make setup"


def _settings(root: Path) -> tuple[str, ...]:
    settings = load_settings()
    source = "settings.yaml" if (root / "settings.yaml").exists() else "defaults"
    price = f"{settings.price_per_hour_usd:g} USD/h"
    detail = f"{source}: {settings.workers} workers, device {settings.device}, {price}"
    return "ok", detail


def _device(root: Path) -> tuple[str, ...]:
    from earthsignals.compute.device import check_device, choose_device, describe_device

    device = choose_device(load_settings().device)
    about, result = describe_device(device), check_device(device)
    detail = (
        f"{about['backend'].upper()}: {about['name']}, {about['memory_gb']} GiB, torch "
        f"{about['torch']}; forward and backward {result['seconds'] * 1e3:.0f} ms, "
        f"{result['max_abs_difference']:.0e} from the CPU"
    )
    if not result["ok"]:
        return "bad", detail, "this device computes wrongly: check its driver and the torch build"
    return "ok", detail


def _memory(root: Path) -> tuple[str, ...]:
    import psutil

    memory = psutil.virtual_memory()
    detail = f"{memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB available"
    if memory.available < 2 * _GIB:
        return "bad", detail, "close other programs, or set fewer workers in settings.yaml"
    return "ok", detail


def _embedded_lines(root: Path) -> tuple[str, ...]:
    lists = [
        entry
        for entry in resources.files("earthsignals.tdlas").iterdir()
        if entry.name.endswith(".csv")
    ]
    if not lists:
        return "bad", "the package holds no line list", "git checkout -- src && make setup"
    shown = [f"{entry.name}, sha256 {sha256_file(Path(str(entry)))[:16]}…" for entry in lists]
    return "ok", "embedded: " + "; ".join(sorted(shown))


def _outputs(pipeline: str) -> Callable[[Path], tuple[str, ...]]:
    """A check that the outputs of a pipeline's stages are there and what dvc.lock says they are."""

    def check(root: Path) -> tuple[str, ...]:
        remedy = f"make repro PIPELINE={pipeline}"
        own = [stage for name, stage in read_stages(root, LOCK).items() if name.startswith(f"{pipeline}-")]
        outs = [out for stage in own for out in stage.get("outs", []) if out.get("hash") == "md5"]
        if not outs:
            return "optional", "no stage has run yet", remedy
        absent = [out["path"] for out in outs if not (root / out["path"]).exists()]
        if absent:
            detail = f"not here yet: {_some(absent)}"
            return "optional", detail, f"dvc pull, or {remedy}"
        other = [out["path"] for out in outs if not _as_locked(root / out["path"], out)]
        if other:
            detail = f"not what dvc.lock says: {_some(other)}"
            return "bad", detail, f"dvc checkout, or {remedy}"
        return "ok", f"{len(outs)} outputs of {len(own)} stages as dvc.lock has them"

    return check


def _some(names: list[str], shown: int = 4) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _as_locked(path: Path, out: dict[str, Any]) -> bool:
    if out.get("size", 0) <= _HASHED_BYTES:
        return md5_path(path) == out["md5"]
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(file.stat().st_size for file in files) == out["size"]


def _dvc_remote(root: Path) -> tuple[str, ...]:
    from earthsignals.remotes.config import NO_REMOTE, check_remote, find_remote

    try:
        remote = find_remote(root)
    except EarthSignalsError as error:
        if str(error) == NO_REMOTE:
            return "optional", "none yet; all stays on this machine", "make remote (URL=… for another place)"
        return "bad", str(error)
    try:
        check_remote(root)
    except EarthSignalsError as error:
        # A tunnel that does not stand just now is no fault of this machine.
        if remote.kind != "folder":
            return "optional", str(error)
        return "bad", str(error), "make remote, or mount it"
    if remote.kind == "folder":
        return "ok", f"{remote.name}: a local folder"
    return "ok", f"{remote.name}: {remote.shown.partition('://')[2]} (not contacted)"


def _mlflow_store(root: Path) -> tuple[str, ...]:
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    parts = urlsplit(uri)
    if parts.scheme == "sqlite":
        path = root / uri.removeprefix("sqlite:///")
        if not path.exists():
            return "optional", f"{uri}: made by the first run", "make repro"
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            count = database.execute("select count(*) from runs").fetchone()[0]
        return "ok", f"{uri}: {count} runs"
    if parts.scheme in ("http", "https"):
        from urllib.request import urlopen

        server = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"
        try:
            with urlopen(f"{uri.rstrip('/')}/health", timeout=5) as answer:
                return "ok", f"{server}: {answer.read(20).decode(errors='replace')}"
        except OSError as error:
            remedy = "start the server, or unset MLFLOW_TRACKING_URI for the embedded store"
            return "bad", f"{server} does not answer ({error})", remedy
    return "optional", f"a {parts.scheme} store (MLFLOW_TRACKING_URI), not contacted"


def _disk(root: Path) -> tuple[str, ...]:
    free = shutil.disk_usage(root).free / _GIB
    remedy = "dvc gc -w clears versions that the workspace does not use"
    if free < 2:
        return "bad", f"{free:.1f} GiB free", remedy
    if free < 10:
        return "optional", f"{free:.1f} GiB free, little for paper scale", remedy
    return "ok", f"{free:.0f} GiB free"


def _git(root: Path) -> tuple[str, ...]:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "--short", "HEAD")
    except FileNotFoundError:
        return "bad", "git is not installed", "install git"
    except subprocess.CalledProcessError:
        return "bad", "no commit here: runs could not say what made them", "git init, git commit"
    try:
        git("config", "user.email")
    except subprocess.CalledProcessError:
        remedy = "git config --global user.name NAME, and user.email ADDRESS"
        return "optional", f"{commit}; git does not know who you are: no commits, no dvc exp", remedy
    changed = len(git("status", "--porcelain").splitlines())
    if changed:
        return "optional", f"{commit}, {changed} files differ from it", "runs will be tagged dirty"
    return "ok", commit


CHECKS: list[tuple[str, Callable[[Path], tuple[str, ...]]]] = [
    ("python", _python),
    ("packages", _packages),
    ("settings", _settings),
    ("device", _device),
    ("memory", _memory),
    ("line list", _embedded_lines),
    *((f"{pipeline} data", _outputs(pipeline)) for pipeline in PIPELINES),
    ("dvc remote", _dvc_remote),
    ("mlflow store", _mlflow_store),
    ("disk", _disk),
    ("git", _git),
]
