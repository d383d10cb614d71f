"""A temporary project made from the working tree, in which whole pipelines are reproduced."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
PRICE = 1.99  # USD an hour, in the clone's environment


def run(folder: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A command in the clone, with this environment's programs and the clone's sources."""
    finished = subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, text=True
    )
    if check and finished.returncode:
        raise AssertionError(f"{' '.join(command)}\n{finished.stdout}\n{finished.stderr}")
    return finished


def environment(folder: Path) -> dict[str, str]:
    """This environment without its own settings, turned towards the clone."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DVC_", "EARTHSIGNALS_"))}
    bin_folder = str(Path(sys.executable).parent)
    return kept | {
        "PATH": f"{bin_folder}{os.pathsep}{kept['PATH']}",
        "PYTHONPATH": str(folder / "src"),
        "EARTHSIGNALS_PRICE_PER_HOUR_USD": str(PRICE),
        "EARTHSIGNALS_PROGRESS": "false",
        "DVC_NO_ANALYTICS": "1",
    }


def make_clone(folder: Path) -> Path:
    """The working tree, without what runs made, as a committed project at smoke scale."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True,
        check=True,
    ).stdout.split("\n")  # fmt: skip
    made = ("reports/tdlas", "reports/plume", "reports/seismic", "reports/clouds", "reports/superdarn",
            "dvc.lock")  # fmt: skip
    for name in filter(None, listed):
        if (ROOT / name).is_file() and not name.startswith(made):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for command in (
        ["git", "init", "-q"], ["git", "add", "-A"],
        # An identity of the clone's own: `dvc exp run` commits, and a fresh machine has none.
        ["git", "config", "user.name", "t"], ["git", "config", "user.email", "t@localhost"],
        ["git", "commit", "-qm", "start"],
        ["earthsignals", "scale", "smoke"],
    ):  # fmt: skip
        run(folder, *command)
    return folder


def lock(folder: Path) -> dict[str, Any]:
    """The stages of the clone's dvc.lock."""
    return YAML(typ="safe").load((folder / "dvc.lock").read_text())["stages"]


def tracked_runs(folder: Path, experiment: str) -> list[dict[str, Any]]:
    """The clone's MLflow runs of a pipeline: id, status, tags, params, metrics, points of train/loss."""
    script = (
        "import json, mlflow; mlflow.set_tracking_uri('sqlite:///mlflow.db')\n"
        f"c = mlflow.MlflowClient(); e = c.get_experiment_by_name('{experiment}')\n"
        "print(json.dumps([{'tags': r.data.tags, 'params': r.data.params, 'metrics': r.data.metrics,"
        " 'curve': len(c.get_metric_history(r.info.run_id, 'train/loss')), 'id': r.info.run_id,"
        " 'status': r.info.status} for r in c.search_runs([e.experiment_id])"
        " if r.data.tags.get('kind') != 'sweep']))"  # the parent of `dvc exp` runs is no stage's
    )
    return json.loads(run(folder, sys.executable, "-c", script).stdout.splitlines()[-1])


def wait_for(condition: Callable[[], Any], process: subprocess.Popen, seconds: float = 180) -> None:
    """Wait until `condition()`; fails when the process ends first."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the process ended before it could be interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill_and_resume(clone: Path, pipeline: str) -> None:
    """Train a pipeline's model anew with a SIGKILL after the first resume point, and compare.

    Started again, the training must end with the very weights of the unbroken one that the clone holds.
    """
    import torch

    from earthsignals.training import load_checkpoint

    path = clone / f"data/{pipeline}/best_model.pt"
    unbroken = load_checkpoint(path, pipeline)["state_dict"]
    path.unlink()
    train = [sys.executable, f"stages/{pipeline}/train.py"]
    first = subprocess.Popen(
        train, cwd=clone, env=environment(clone), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(lambda: list((clone / f".resume/{pipeline}-train").glob("*/last.pt")), first)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert not path.is_file()
    run(clone, *train)
    resumed = load_checkpoint(path, pipeline)["state_dict"]
    assert unbroken.keys() == resumed.keys()
    assert all(torch.equal(unbroken[name], resumed[name]) for name in unbroken)
