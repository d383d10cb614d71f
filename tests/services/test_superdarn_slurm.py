"""The forecast's training as a job of a real SLURM, submitted from Python, on two ranks."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from earthsignals.params import read_yaml
from earthsignals.superdarn.cells import cell_centre, cells_above
from earthsignals.superdarn.checkpoint import load_model
from earthsignals.superdarn.configuration import understood
from earthsignals.superdarn.grid import grid_of, write_grid
from earthsignals.superdarn.launch import SlurmRun
from earthsignals.superdarn.params import SuperdarnParams
from earthsignals.superdarn.records.vectors import Vectors

from ..project import ROOT, run
from .test_slurm import cluster, finish  # noqa: F401 - a fixture

TINY = {
    "split.block_hours": 1, "grid.columns": 24, "grid.latitude_step": 8.0, "levels": 5,
    "patch_size": (1, 5, 4), "embed_dim": 4, "num_heads": (1, 1, 1, 1), "depths": (1, 1, 1, 1),
    "window_size": (2, 1, 3), "time_step": 1, "windowMinutes": 20, "state.memories_minutes": [0.0],
    "state.widths_cells": [0.0], "max_epochs": 1, "batch_size": 4, "train.stride": 6,
}  # fmt: skip
STAGE = {
    "cmd": "python stages/superdarn/train.py", "params": ["superdarn.train"],
    "deps": ["stages/superdarn/train.py", "data/superdarn/grid.h5"],
    "outs": ["data/superdarn/best_model.pt", "reports/superdarn/runs/train.json"],
    "metrics": [{"reports/superdarn/training.json": {"cache": False}}],
}  # fmt: skip


def make_project(folder: Path) -> Path:
    """A repository of the one stage, with small parameters and six hours of a steady drift."""
    params = understood(TINY, SuperdarnParams()).params
    (folder / "stages/superdarn").mkdir(parents=True)
    (folder / "data/superdarn").mkdir(parents=True)
    shutil.copy(ROOT / "stages/superdarn/train.py", folder / "stages/superdarn")
    for name, content in {
        "params.yaml": {"superdarn": params.model_dump(mode="json")},
        "dvc.yaml": {"stages": {"superdarn-train": STAGE}},
    }.items():
        with open(folder / name, "w") as file:
            YAML().dump(content, file)
    ignored = ("/.resume/", "/data/", "/reports/", "/mlflow.db*", "/mlruns/", "/settings.yaml")
    (folder / ".gitignore").write_text("\n".join(ignored) + "\n")
    (folder / "settings.yaml").write_text("device: cpu\nthreads: 1\nprogress: false\n")
    cells = cells_above(60.0)[::20][:40]
    index = np.tile(cells, 180)
    mlat, mlon = cell_centre(index)
    start = 1_425_168_000.0 + 120 * np.repeat(np.arange(180), len(cells))
    one = np.ones(len(index))
    velocity = 300 + 50 * np.random.Generator(np.random.Philox(5)).standard_normal(len(index))
    vectors = Vectors(
        start, start + 120, 5 * one, 0 * one, mlat, mlon, 30 * one, velocity, 20 * one, one, one, index
    )
    write_grid(folder / "data/superdarn/grid.h5", grid_of(vectors, params.grid, params.split))
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"], ["git", "add", "-A"]):
        run(folder, *command)
    return folder


def test_a_configuration_becomes_a_job_of_two_ranks(
    cluster: None,  # noqa: F811
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Submitted, run by srun on two tasks, and finished: the model of the configuration's two epochs."""
    folder = make_project(tmp_path / "project")
    monkeypatch.chdir(folder)
    number = SlurmRun({"max_epochs": 2, "precision": 32}, time="5", ntasks_per_node=2)
    log = folder / f".dvc/tmp/slurm/superdarn-train-{number}.log"
    finish(number, log)
    assert read_yaml("params.yaml")["superdarn"]["train"]["epochs"] == 2
    history = json.loads(Path("reports/superdarn/training.json").read_text())
    assert [row["epoch"] for row in history] == [0, 1]
    assert all(np.isfinite(row["validation_loss"]) for row in history)
    assert load_model("data/superdarn/best_model.pt").forecaster.network.parameter_count > 0
    record = json.loads(Path("reports/superdarn/runs/train.json").read_text())
    assert record["tags"]["device.count"] == "2"  # the ranks that srun started
    assert "up to date" in run(folder, "dvc", "status").stdout
    assert os.listdir(".resume/superdarn-train") == []
