"""DVC and MLflow used by several processes at once: nothing is lost, and who must wait is told.

Each test's stages wait for one another inside their runs, so that they surely overlap.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time

import pytest

from earthsignals import tracking
from earthsignals.params import read_yaml
from earthsignals.storage import md5_file
from earthsignals.tracking.store import open_client

from .tiny_project import PIPELINES, end, make, start


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "DVC_STAGE", "DVC_ROOT", "DVC_EXP_BASELINE_REV", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def repros(tmp_path_factory):
    """Two pipelines' stages reproduced at once, in a project whose store nobody has made yet."""
    root = make(tmp_path_factory.mktemp("tiny") / "project")
    meeting = tmp_path_factory.mktemp("meeting")
    together = {"MEET": "2", "MEET_FOLDER": str(meeting)}
    running = [start(root, "dvc", "repro", "-s", f"{name}-train", **together) for name in PIPELINES]
    return root, [end(process) for process in running]


@pytest.fixture(scope="module")
def sweep(repros, tmp_path_factory):
    """Two experiments at once, in temporary copies that DVC deletes afterwards."""
    root, _ = repros
    for command in (["add", "-A"], ["commit", "-qm", "reproduced"]):
        subprocess.run(["git", *command], cwd=root, check=True, capture_output=True)
    together = {"MEET": "2", "MEET_FOLDER": str(tmp_path_factory.mktemp("meeting"))}
    running = [
        start(root, "dvc", "exp", "run", "--temp", "-S", f"tdlas.rate={rate}", "tdlas-train", **together)
        for rate in (2.0, 3.0)
    ]
    for process in running:
        end(process)
    return root


def stored(root, pipeline):
    client = open_client(root)
    experiment = client.get_experiment_by_name(pipeline)
    return client, client.search_runs([experiment.experiment_id])


def test_stages_of_two_pipelines_at_once(repros):
    """Both are in dvc.lock, and the store that they raced to create has both runs, whole."""
    root, _ = repros
    lock = read_yaml(root / "dvc.lock")["stages"]
    assert set(lock) == {"tdlas-train", "plume-train"}
    for name in PIPELINES:
        client, (run,) = stored(root, name)
        assert run.info.status == "FINISHED"
        curve = client.get_metric_history(run.info.run_id, "train/loss")
        assert [(m.step, m.value) for m in curve] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
        locked = {out["path"]: out["md5"] for out in lock[f"{name}-train"]["outs"]}
        record = root / f"reports/{name}/runs/train.json"
        assert locked[f"reports/{name}/runs/train.json"] == md5_file(record) == run.data.tags["record"]
        assert run.data.tags["outs"] == locked[f"data/{name}/model.txt"]


def test_two_temporary_experiments_at_once(sweep):
    """Both log into the project's store, below one parent; nothing is logged into the deleted copies."""
    root = sweep
    client, runs = stored(root, "tdlas")
    by_kind = {kind: [r for r in runs if r.data.tags["kind"] == kind] for kind in ("sweep", "training")}
    (parent,) = by_kind["sweep"]
    children = [r for r in by_kind["training"] if "mlflow.parentRunId" in r.data.tags]
    assert sorted(r.data.params["rate"] for r in children) == ["2.0", "3.0"]
    assert {r.data.tags["mlflow.parentRunId"] for r in children} == {parent.info.run_id}
    assert all(r.info.status == "FINISHED" and r.data.metrics["val/loss"] > 0 for r in children)
    assert all(len(client.get_metric_history(r.info.run_id, "train/loss")) == 3 for r in children)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=root, check=True, capture_output=True, text=True
    ).stdout.strip()
    assert parent.data.tags["sweep"] == parent.data.tags["git_commit"] == head
    # The workspace is as it was: its record is the first run's.
    assert read_yaml(root / "params.yaml")["tdlas"]["rate"] == 1.0
    record = json.loads((root / "reports/tdlas/runs/train.json").read_text())
    assert record["run_id"] not in {r.info.run_id for r in children}


def test_experiments_of_deleted_copies_reach_another_machine(sweep, tmp_path, empty_store):
    """Their records are nowhere in the workspace, but the run-cache has them, parent and all."""
    other = tmp_path / "other"
    subprocess.run(["git", "clone", "-q", str(sweep), str(other)], check=True)
    (other / ".dvc/config.local").write_text(f"[cache]\n    dir = {sweep / '.dvc/cache'}\n")
    shutil.copy(empty_store, other / "mlflow.db")
    done = tracking.import_runs(other)
    assert (done.added, done.skipped, done.absent) == (4, [], 0)
    _, runs = stored(other, "tdlas")
    parents = {r.data.tags["mlflow.parentRunId"] for r in runs if "dvc_experiment" in r.data.tags}
    (parent,) = [r.info.run_id for r in runs if r.data.tags["kind"] == "sweep"]
    assert parents == {parent}
    again = tracking.import_runs(sweep)
    assert (again.added, again.present) == (0, 4)


def test_a_second_dvc_is_told_who_is_at_work_and_nothing_is_lost(repros, tmp_path):
    """DVC's own message names the process that holds the stage; the first goes on undisturbed."""
    root, _ = repros
    (root / "params.yaml").write_text("tdlas: {rate: 7.0}\nplume: {rate: 1.0}\n")
    together = {"MEET": "2", "MEET_FOLDER": str(tmp_path)}  # waits until we say so
    first = start(root, "dvc", "repro", "-s", "tdlas-train", **together)
    deadline = time.monotonic() + 120
    while not os.listdir(tmp_path):
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    second = start(root, "dvc", "repro", "-s", "tdlas-train")
    _, told = second.communicate(timeout=120)
    assert second.returncode != 0
    assert "busy, it is being blocked by" in told and f"(PID {first.pid})" in told
    assert "Traceback" not in told
    (tmp_path / "go").touch()
    end(first)
    lock = read_yaml(root / "dvc.lock")["stages"]
    assert lock["tdlas-train"]["params"]["params.yaml"]["tdlas.rate"] == 7.0
    assert set(lock) == {"tdlas-train", "plume-train"}
    _, runs = stored(root, "tdlas")
    assert [r.info.status for r in runs if r.data.params.get("rate") == "7.0"] == ["FINISHED"]


def test_a_lock_that_nobody_gives_back_is_told(tmp_path, monkeypatch):
    """Two minutes in earnest; the sentence names the file and what to do."""
    from earthsignals.storage import EarthSignalsError
    from earthsignals.tracking import store

    monkeypatch.setattr(store, "_LOCK_SECONDS", 0.1)
    told = pytest.raises(EarthSignalsError, match=r"\.import\.lock .*wait until it ends")
    with store.locked(tmp_path, "import"):
        with told, store.locked(tmp_path, "import"):
            pass
        with store.locked(tmp_path, "creation"):
            pass  # another purpose does not wait
