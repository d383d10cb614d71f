"""The whole pipeline by `dvc repro` at smoke scale, in a temporary clone: outputs, lineage, no-op,
kills, locks and overrides."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ..project import PRICE, environment, lock, make_clone, run, tracked_runs, wait_for

STAGES = ["lines", "dataset", "train", "baselines", "export", "evaluate", "figures"]
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh project at smoke scale, reproduced once."""
    folder = make_clone(tmp_path_factory.mktemp("clone") / "project")
    run(folder, "dvc", "repro", "--glob", "tdlas-*")
    return folder


def test_every_stage_ran_and_left_its_outputs(clone: Path) -> None:
    assert sorted(lock(clone)) == sorted(f"tdlas-{verb}" for verb in STAGES)
    for out in ("lines.csv", "dataset.h5", "best_model.pt", "model.onnx", "evaluation.h5"):
        assert (clone / "data/tdlas" / out).is_file()
    figures = {p.suffix for p in (clone / "reports/tdlas/figures").iterdir()}
    assert figures == {".png", ".pdf"}


def test_metrics_hold_the_promised_keys_with_sound_values(clone: Path) -> None:
    metrics = json.loads((clone / "reports/tdlas/metrics.json").read_text())
    decades = {"1e2-1e3", "1e3-1e4", "1e4-5e4"}
    for method in ("", "_ridge", "_course", "_least_squares"):
        assert decades <= set(metrics[f"rmse_over_crlb{method}"])
    # Even 6,000 scans bring the network within twice the bound, and nothing far below it.
    assert all(0.8 < metrics["rmse_over_crlb"][d] < 2.0 for d in decades)
    assert all(metrics["rmse_over_crlb"][d] < metrics["rmse_over_crlb_ridge"][d] for d in decades)
    assert 0.9 < metrics["coverage_95"] <= 1.0
    assert 5 < metrics["limit_of_detection_ppm"] < 30
    assert metrics["onnx_max_rel_diff"] < 1e-4
    text = json.dumps(metrics).lower()
    assert "second" not in text and "latency" not in text  # timings live elsewhere


def test_a_second_repro_does_nothing(clone: Path) -> None:
    before = (clone / "dvc.lock").read_bytes()
    finished = run(clone, "dvc", "repro", "--glob", "tdlas-*")
    assert "up to date" in finished.stdout
    assert "Running stage" not in finished.stdout
    assert (clone / "dvc.lock").read_bytes() == before


def test_mlflow_runs_carry_curves_and_lineage(clone: Path) -> None:
    runs = tracked_runs(clone, "tdlas")
    by_stage = {r["tags"]["dvc_stage"]: r for r in runs}
    assert {"tdlas-train", "tdlas-baselines", "tdlas-evaluate"} <= set(by_stage)
    assert all(r["status"] == "FINISHED" for r in runs)
    train, evaluation = by_stage["tdlas-train"], by_stage["tdlas-evaluate"]
    assert train["curve"] == int(train["params"]["train.epochs"]) == 3
    locked = {o["path"]: o["md5"] for o in lock(clone)["tdlas-train"]["outs"]}
    assert train["tags"]["out.data/tdlas/best_model.pt"] == locked["data/tdlas/best_model.pt"]
    dataset = {o["path"]: o["md5"] for o in lock(clone)["tdlas-dataset"]["outs"]}
    assert train["tags"]["dep.data/tdlas/dataset.h5"] == dataset["data/tdlas/dataset.h5"]
    assert evaluation["tags"]["training_run"] == train["id"]
    # The cost is the price times the wall time that the run says it took.
    wall, cost = float(train["tags"]["wall_seconds"]), float(train["tags"]["cost_usd"])
    assert cost == pytest.approx(wall / 3600 * PRICE, rel=0.02, abs=1e-4)
    drawn = {p.name for p in (clone / "mlruns").rglob("figures/*.png")}
    assert {"training.png", "error_vs_bound.png"} <= drawn
    head = run(clone, "git", "rev-parse", "HEAD").stdout.strip()
    assert train["tags"]["git_commit"] == head
    assert train["tags"]["git_dirty"].lower() == "true"  # the scale was written into params.yaml


def test_dvc_shows_metrics_and_plots(clone: Path) -> None:
    shown = json.loads(run(clone, "dvc", "metrics", "show", "--json").stdout)
    assert "reports/tdlas/metrics.json" in shown[""]["data"]
    run(clone, "dvc", "metrics", "diff")
    run(clone, "dvc", "plots", "show", "-o", "plots")
    assert "train_loss" in (clone / "plots/index.html").read_text()


def test_an_experiment_overrides_one_parameter(clone: Path) -> None:
    """`dvc exp run -S` retrains and leaves the dataset alone."""
    finished = run(
        clone, "dvc", "exp", "run", "-S", "tdlas.train.learning_rate=0.001", "-S",
        "tdlas.train.epochs=1", "tdlas-train",
    )  # fmt: skip
    ran = [line for line in finished.stdout.splitlines() if "Running stage" in line]
    assert len(ran) == 1 and "tdlas-train" in ran[0]


def test_impossible_values_stop_a_stage_with_the_full_path(clone: Path) -> None:
    saved = (clone / "params.yaml").read_text()
    try:
        changed = saved.replace("white: 2.5e-3", "white: -2.5e-3").replace("scans: 6000", "scan: 6000", 1)
        (clone / "params.yaml").write_text(changed)
        finished = run(clone, sys.executable, "stages/tdlas/dataset.py", check=False)
    finally:
        (clone / "params.yaml").write_text(saved)
    assert finished.returncode == 1
    assert "tdlas.instrument.white" in finished.stderr and "0" in finished.stderr
    assert "tdlas.dataset.scan" in finished.stderr and "scans" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_two_repros_at_once_and_a_killed_training(clone: Path) -> None:
    """The second `dvc repro` is answered by DVC's lock; after SIGKILL another one finishes the work."""
    saved = (clone / "params.yaml").read_text()
    text = saved.replace("learning_rate: 0.001", "learning_rate: 3.0e-3").replace("epochs: 1 ", "epochs: 3 ")
    (clone / "params.yaml").write_text(text.replace("hidden: 64", "hidden: 60"))
    first = subprocess.Popen(
        ["dvc", "repro", "tdlas-train"], cwd=clone, env=environment(clone), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    resume = clone / ".resume/tdlas-train"
    wait_for(lambda: list(resume.glob("*/last.pt")), first)
    second = run(clone, "dvc", "repro", "tdlas-train", check=False)
    assert second.returncode != 0 and "lock" in (second.stdout + second.stderr).lower()
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    run(clone, "dvc", "repro", "tdlas-train")
    assert (clone / "data/tdlas/best_model.pt").is_file()
    assert not list(resume.glob("*"))
    (clone / "params.yaml").write_text(saved)


def test_the_full_line_list_is_one_parameter_away(clone: Path, real_data: Path) -> None:
    """Another list makes another dataset; going back fetches the old one from the run-cache."""
    full = real_data / "tdlas" / "CH4_4383_4386.data"
    saved, before = (clone / "params.yaml").read_text(), lock(clone)["tdlas-dataset"]["outs"]
    text = saved.replace("source: embedded", f"source: {full}").replace("scans: 6000", "scans: 256")
    (clone / "params.yaml").write_text(text)
    run(clone, "dvc", "repro", "tdlas-dataset")
    facts = json.loads((clone / "data/tdlas/lines.json").read_text())
    assert facts["lines"] == 406 and facts["edition"] == "CH4_4383_4386.data"
    assert lock(clone)["tdlas-dataset"]["outs"] != before
    (clone / "params.yaml").write_text(saved)
    run(clone, "dvc", "repro", "tdlas-dataset")
    assert lock(clone)["tdlas-dataset"]["outs"] == before
