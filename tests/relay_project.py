"""A project in which real stages' names, outputs and runs travel without their minutes of computing.

Three stages as in every pipeline: a dataset of a few shards, a training with a run and its record, an
evaluation with metrics that git tracks.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

PREPARED, TRAINED, JUDGED = ["tdlas-dataset"], ["tdlas-train"], ["tdlas-evaluate"]
SHARDS = 4

_STAGE = '''\
import json, sys
from pathlib import Path
import numpy as np
from ruamel.yaml import YAML
from earthsignals import tracking
from earthsignals.settings import Settings

params = YAML(typ="safe").load(Path("params.yaml").read_text())["tdlas"]
data, reports = Path("data/tdlas"), Path("reports/tdlas")
if sys.argv[1] == "dataset":
    (data / "dataset").mkdir(parents=True, exist_ok=True)
    for shard in range(params["dataset"]["shards"]):
        random = np.random.Generator(np.random.Philox(key=shard))
        (data / "dataset" / f"{shard}.bin").write_bytes(random.bytes(params["dataset"]["shard_mb"] << 20))
elif sys.argv[1] == "train":
    with tracking.run("tdlas", "train", params["train"], Settings(), kind="training") as run:
        means = [float(np.fromfile(path, "u1").mean()) for path in sorted((data / "dataset").iterdir())]
        for epoch in range(params["train"]["epochs"]):
            run.log_metrics({"train/loss": 1 / (epoch + 1), "val/loss": 2 / (epoch + 1)}, step=epoch)
        (data / "best_model.txt").write_text(json.dumps(means))
else:
    with tracking.run("tdlas", "evaluate", {}, Settings(), kind="evaluation") as run:
        means = json.loads((data / "best_model.txt").read_text())
        metrics = {"mean": sum(means) / params["dataset"]["shards"]}
        run.log_metrics(metrics)
        (reports / "metrics.json").write_text(json.dumps(metrics))
'''

_STAGES = """\
stages:
  tdlas-dataset:
    cmd: python stage.py dataset
    params: [tdlas.dataset]
    outs:
      - data/tdlas/dataset
  tdlas-train:
    cmd: python stage.py train
    params: [tdlas.train]
    deps:
      - data/tdlas/dataset
    outs:
      - data/tdlas/best_model.txt
      - reports/tdlas/runs/train.json
  tdlas-evaluate:
    cmd: python stage.py evaluate
    params: [tdlas.dataset.shards]
    deps:
      - data/tdlas/best_model.txt
    outs:
      - reports/tdlas/runs/evaluate.json
    metrics:
      - reports/tdlas/metrics.json:
          cache: false
"""


def make(folder: Path, shard_mb: int) -> Path:
    """The project, committed, not yet run; its dataset will have SHARDS files of `shard_mb` MiB."""
    folder.mkdir(parents=True)
    (folder / "stage.py").write_text(_STAGE)
    (folder / "dvc.yaml").write_text(_STAGES)
    (folder / "params.yaml").write_text(
        f"tdlas:\n  dataset: {{shards: {SHARDS}, shard_mb: {shard_mb}}}\n  train: {{epochs: 3}}\n"
    )
    (folder / ".gitignore").write_text("/data/\n/mlflow.db*\n/mlruns/\nreports/*/runs/*.json\n__pycache__/\n")
    # What `dvc init` writes, without starting DVC for it.
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (folder / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    for words in (["init", "-q"], ["config", "user.name", "t"], ["config", "user.email", "t@localhost"]):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    return folder
