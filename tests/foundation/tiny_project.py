"""A project of two stages that only track a run: what DVC and MLflow do to each other, in seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ..project import ROOT

STAGE = '''\
"""One run of three epochs; with MEET set it first waits until that many stages have started."""
import os, sys, time
from pathlib import Path
from ruamel.yaml import YAML
from earthsignals import tracking
from earthsignals.settings import Settings

pipeline = sys.argv[1]
rate = YAML(typ="safe").load(Path("params.yaml").read_text())[pipeline]["rate"]
with tracking.run(pipeline, "train", {"rate": rate}, Settings(), kind="training") as run:
    if meeting := os.environ.get("MEET_FOLDER"):
        (Path(meeting) / f"{pipeline}-{rate}").touch()
        deadline = time.monotonic() + 60
        while len(os.listdir(meeting)) < int(os.environ["MEET"]):
            assert time.monotonic() < deadline, "the other stage never started"
            time.sleep(0.02)
    for epoch in range(3):
        run.log_metrics({"train/loss": rate / (epoch + 1), "val/loss": rate / (epoch + 2)}, step=epoch)
    Path(f"data/{pipeline}").mkdir(parents=True, exist_ok=True)
    Path(f"data/{pipeline}/model.txt").write_text(f"model of rate {rate}\\n")
'''
PIPELINES = ("tdlas", "plume")
_STAGES = "stages:\n" + "".join(
    f"""\
  {name}-train:
    cmd: python stage.py {name}
    deps: [stage.py]
    params: [{name}.rate]
    outs:
      - data/{name}/model.txt
      - reports/{name}/runs/train.json
"""
    for name in PIPELINES
)


def make(folder: Path) -> Path:
    """A committed project that has not run yet."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stage.py").write_text(STAGE)
    (folder / "dvc.yaml").write_text(_STAGES)
    (folder / "params.yaml").write_text("".join(f"{name}: {{rate: 1.0}}\n" for name in PIPELINES))
    ignored = "/data\n/mlflow.db*\n/mlruns/\nreports/*/runs/*.json\n__pycache__/\n"
    (folder / ".gitignore").write_text(ignored)
    # What `dvc init` writes, without starting DVC for it.
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (folder / ".dvc" / "config").write_text("[core]\n    analytics = false\n    autostage = true\n")
    for command in (
        ["init", "-q", "-b", "main"], ["add", "-A"],
        ["config", "user.name", "t"], ["config", "user.email", "t@localhost"], ["commit", "-qm", "start"],
    ):  # fmt: skip
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)
    return folder


def environment(**more: str) -> dict[str, str]:
    """This environment's programs and sources, without settings of its own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DVC_", "EARTHSIGNALS_"))}
    bin_folder = str(Path(sys.executable).parent)
    return kept | {
        "PATH": f"{bin_folder}{os.pathsep}{kept['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "DVC_NO_ANALYTICS": "1",
        **more,
    }


def start(folder: Path, *command: str, **more: str) -> subprocess.Popen[str]:
    """A command in the project, not waited for."""
    return subprocess.Popen(
        command, cwd=folder, env=environment(**more), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def end(process: subprocess.Popen[str]) -> str:
    """Wait for the command, which must succeed; returns what it printed."""
    out, errors = process.communicate(timeout=180)
    assert process.returncode == 0, f"{process.args}\n{out}\n{errors}"
    return out + errors
