"""Tracking: what a run holds, how it is found again, and what never leaks into it."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import pytest

from earthsignals import tracking
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError, Stopped, md5_path, read_json, write_json
from earthsignals.tracking.lineage import stage_paths
from earthsignals.tracking.store import open_client

DVC_YAML = """\
stages:
  demo-prepare:
    cmd: python prepare.py
    outs: [data/demo/table.csv]
  demo-train:
    cmd: python train.py
    deps: [data/demo/table.csv, src]
    params: [demo.train]
    outs:
      - data/demo/best_model.pt
      - reports/demo/runs/train.json: {cache: false}
    metrics:
      - reports/demo/metrics.json: {cache: false}
    plots:
      - reports/demo/figures
"""
MD5_OF_HELLO = "5d41402abc4b2a76b9719d911017c592"  # RFC 1321's algorithm on b"hello"
SETTINGS = Settings(price_per_hour_usd=1.99, device="cpu", progress=False)
PARAMS = {"train": {"learning_rate": 1e-3, "sizes": [1, 2]}, "name": "demo"}


@pytest.fixture(scope="module")
def project(tmp_path_factory, empty_store):
    """A git project whose stage demo-train has all its deps and outs."""
    root = tmp_path_factory.mktemp("project")
    shutil.copy(empty_store, root / "mlflow.db")
    (root / "dvc.yaml").write_text(DVC_YAML)
    (root / ".gitignore").write_text("/data\n/mlflow.db\n/mlruns\n")
    for name, text in {
        "data/demo/table.csv": "a,b\n", "src/a.py": "a = 1\n", "data/demo/best_model.pt": "hello",
        "reports/demo/figures/loss.png": "png", "reports/demo/metrics.json": "{}",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "-c", "user.name=n", "-c", "user.email=e@x", "commit", "-qm", "first")
    return root


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "DVC_STAGE", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)


def git(root, *arguments):
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def client_of(root):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracking.tracking_uri(root))


def demo_run(root, kind="stage", verb="train", pipeline="demo"):
    return tracking.run(pipeline, verb, PARAMS, SETTINGS, kind=kind, root=root)


@pytest.fixture(scope="module")
def finished(project):
    """One training run with everything in it, and its MLflow entity."""
    with demo_run(project, kind="training") as run:
        run.set_tags({"note": f"{project}/data/demo is {Path.home()}/x"})
        for epoch in range(3):
            run.log_metrics({"loss": 1 / (epoch + 1), "rmse": {"1e2-1e3": epoch}}, step=epoch)
        run.log_metrics({"undefined": math.nan, "absent": None})
        run.log_signature({"scan": np.zeros((4, 8), np.float32)}, np.zeros((4, 2)))
        run.log_figure(project / "reports/demo/figures/loss.png")
        run.log_dataset(project / "data/demo/table.csv")
        run.add_device_seconds(2.5)
        time.sleep(0.6)
    return run, client_of(project).get_run(run.id)


# --- what a run holds


def test_params_metrics_and_status(project, finished):
    run, stored = finished
    assert stored.info.status == "FINISHED"
    assert stored.data.params == {
        "train.learning_rate": "0.001", "train.sizes": "[1, 2]", "name": "demo"
    }
    history = client_of(project).get_metric_history(run.id, "loss")
    assert [(m.step, m.value) for m in history] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert stored.data.metrics["rmse.1e2-1e3"] == 2
    assert math.isnan(stored.data.metrics["undefined"])
    assert "absent" not in stored.data.metrics


def test_lineage_holds_the_md5s_of_deps_and_outs(project, finished):
    tags = finished[1].data.tags
    assert tags["dvc_stage"] == "demo-train"
    assert tags["out.data/demo/best_model.pt"] == MD5_OF_HELLO
    assert tags["dep.src"] == md5_path(project / "src")
    assert tags["dep.src"].endswith(".dir")
    assert tags["out.reports/demo/figures"].endswith(".dir")
    assert tags["out.reports/demo/metrics.json"] == "99914b932bd37a50b983c5e7c90ae93b"  # of "{}"
    assert "out.reports/demo/runs/train.json" not in tags  # cannot hold its own hash
    assert set(tags["outs"].split()) == {v for k, v in tags.items() if k.startswith("out.")}


def test_lineage_equals_what_dvc_writes(tmp_path):
    """The same stage run by DVC itself: its lock and our tags must name the same md5s."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.txt").write_text("a")
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  demo-copy:\n    cmd: cp -r src out\n    deps: [src]\n    outs: [out]\n"
    )
    for command in (["init", "--no-scm", "-q"], ["repro", "-q"]):
        subprocess.run(
            [sys.executable, "-m", "dvc", *command], cwd=tmp_path, check=True, timeout=120
        )
    from earthsignals.params import read_yaml

    lock = read_yaml(tmp_path / "dvc.lock")["stages"]["demo-copy"]
    tags = tracking.lineage.lineage_tags(tmp_path, "demo-copy", exclude=tmp_path / "record")
    assert tags["dep.src"] == lock["deps"][0]["md5"]
    assert tags["out.out"] == lock["outs"][0]["md5"] == tags["outs"]


def test_time_device_and_cost(finished):
    tags = finished[1].data.tags
    wall = float(tags["wall_seconds"])
    assert 0.6 <= wall < 60
    assert float(tags["device_seconds"]) == 2.5
    assert float(tags["cost_usd"]) == pytest.approx(wall / 3600 * 1.99, abs=1e-6)


def test_training_has_system_metrics_and_other_stages_do_not(project, finished):
    metrics = finished[1].data.metrics
    assert metrics["system/process_memory_megabytes"] > 10
    assert 0 <= metrics["system/system_memory_usage_percentage"] <= 100
    assert len(finished[0].metrics["system/cpu_utilization_percentage"]) >= 2
    with demo_run(project, verb="prepare") as run:
        pass
    assert not run.metrics


def test_signature_example_and_figures_are_artifacts(project, finished):
    run, _ = finished
    client = client_of(project)
    folders = ("model", "figures")
    paths = {entry.path for folder in folders for entry in client.list_artifacts(run.id, folder)}
    assert paths == {"model/signature.json", "model/input_example.json", "figures/loss.png"}
    folder = project / "mlruns" / "demo" / run.id / "artifacts" / "model"
    example = json.loads((folder / "input_example.json").read_text())
    assert example == {"scan": [[0.0] * 8]}
    signature = json.loads((folder / "signature.json").read_text())
    assert signature["inputs"][0]["tensor-spec"] == {"dtype": "float32", "shape": [-1, 8]}


def test_dataset_is_named_with_its_md5(project, finished):
    _, stored = finished
    (entry,) = stored.inputs.dataset_inputs
    assert entry.dataset.name == "data/demo/table.csv"
    assert entry.dataset.digest == md5_path(project / "data/demo/table.csv")


# --- git


def test_dirty_means_code_and_not_outputs(project):
    from earthsignals.tracking.lineage import git_tags

    commit = git(project, "rev-parse", "HEAD")
    assert git_tags(project) == {"git_commit": commit, "git_dirty": "false"}
    metrics = project / "reports/demo/metrics.json"
    metrics.unlink()  # DVC removes outs before it runs a stage
    (project / "dvc.lock").write_text("schema: '2.0'\n")
    assert git_tags(project)["git_dirty"] == "false"
    (project / "src/new.py").write_text("b = 2\n")
    assert git_tags(project)["git_dirty"] == "true"
    (project / "src/new.py").unlink()
    metrics.write_text("{}")


def test_a_folder_without_git_is_told(tmp_path):
    from earthsignals.tracking.lineage import git_tags

    assert git_tags(tmp_path) == {"git_commit": "none", "git_dirty": "unknown"}


def test_stage_paths_are_read_in_both_spellings(project):
    paths = stage_paths(project, "demo-train")
    assert paths.deps == ("data/demo/table.csv", "src")
    assert paths.outs == (
        "data/demo/best_model.pt", "reports/demo/runs/train.json", "reports/demo/metrics.json",
        "reports/demo/figures",
    )
    assert stage_paths(project, "demo-unknown") is None


# --- the record


def test_record_rebuilds_the_run_in_another_store(project, finished, tmp_path, empty_store):
    run, stored = finished
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    restored_id = tracking.restore_run(run.record_path, root=tmp_path)
    restored = client_of(tmp_path).get_run(restored_id)
    assert restored.data.params == stored.data.params
    assert restored.info.start_time == stored.info.start_time
    assert restored.info.end_time == stored.info.end_time
    assert restored.data.tags["out.data/demo/best_model.pt"] == MD5_OF_HELLO
    for key in run.metrics:
        ours, theirs = (
            [(m.step, m.timestamp, repr(m.value)) for m in c.get_metric_history(i, key)]
            for c, i in ((client_of(tmp_path), restored_id), (client_of(project), run.id))
        )
        assert sorted(ours) == sorted(theirs), key
    # Restoring twice, or where the original is, adds nothing; and evaluation finds the copy.
    assert tracking.restore_run(run.record_path, root=tmp_path) == restored_id
    assert tracking.restore_run(run.record_path, root=project) == run.id
    assert tracking.find_run_by_output(MD5_OF_HELLO, "demo", root=tmp_path) == restored_id


def test_nothing_private_is_in_record_or_tags(project, finished):
    run, stored = finished
    record = run.record_path.read_text()
    for text in (record, json.dumps(stored.data.tags)):
        assert str(project) not in text
        assert str(Path.home()) + "/" not in text
        assert os.uname().nodename not in text
    assert read_json(run.record_path)["tags"]["note"] == "data/demo is ~/x"
    assert stored.data.tags["mlflow.user"] == "earthsignals"
    assert stored.data.tags["mlflow.source.name"] == "stages/demo/train.py"


@pytest.mark.parametrize("content, told", [({"a": 1}, "no run_id"), ([], "no run_id"), (
    {"run_id": "x", "format_version": 9}, "format 9.*update")])
def test_foreign_records_are_refused(tmp_path, content, told):
    write_json(tmp_path / "r.json", content)
    with pytest.raises(EarthSignalsError, match=told):
        tracking.restore_run(tmp_path / "r.json", root=tmp_path)


# --- finding runs


def test_the_newest_finished_run_with_the_output_is_found(project, finished):
    assert tracking.find_run_by_output(MD5_OF_HELLO, "demo", root=project) == finished[0].id
    with demo_run(project) as newer:
        pass
    assert tracking.find_run_by_output(MD5_OF_HELLO, "demo", root=project) == newer.id
    with pytest.raises(ZeroDivisionError), demo_run(project):
        1 / 0  # noqa: B018 - a failed run has no trustworthy outs
    assert tracking.find_run_by_output(MD5_OF_HELLO, "demo", root=project) == newer.id
    assert tracking.find_run_by_output("0" * 32, "demo", root=project) is None
    assert tracking.find_run_by_output(MD5_OF_HELLO, "other", root=project) is None
    folder = newer.tags["dep.src"]
    assert tracking.find_run_by_output(folder, "demo", root=project) is None  # a dep, not an out
    figures = newer.tags["out.reports/demo/figures"]
    assert tracking.find_run_by_output(figures, "demo", root=project) == newer.id
    assert tracking.find_run_by_output(figures[:32], "demo", root=project) is None
    with pytest.raises(EarthSignalsError, match="is not an md5"):
        tracking.find_run_by_output("' or 1", "demo", root=project)


# --- failures


def test_a_failing_stage_is_marked_and_leaves_no_record(project):
    with pytest.raises(ValueError, match="secret"), demo_run(project, verb="prepare2") as run:
        raise ValueError("secret")
    stored = client_of(project).get_run(run.id)
    assert stored.info.status == "FAILED"
    assert stored.data.tags["error"] == "ValueError"
    assert not run.record_path.exists()
    with pytest.raises(KeyboardInterrupt), demo_run(project) as run:
        raise KeyboardInterrupt
    assert client_of(project).get_run(run.id).info.status == "KILLED"


def test_work_that_was_asked_to_stop_has_not_failed_and_is_paid_for_in_the_end(project):
    """Each start is a run; the last one, which alone leaves a record, counts the seconds of all."""
    with pytest.raises(Stopped), demo_run(project, verb="train2") as first:
        raise Stopped("saved; run again")
    stored = client_of(project).get_run(first.id)
    assert stored.info.status == "KILLED" and stored.data.tags["interrupted"] == "Stopped"
    assert "error" not in stored.data.tags and "earlier_seconds" not in stored.data.tags
    with demo_run(project, verb="train2") as second:
        second.add_earlier(3600.0, 7200.0)
        second.add_device_seconds(1.0)
    tags = read_json(second.record_path)["tags"]
    wall = float(tags["wall_seconds"])
    assert 3600 <= wall < 3660 and tags["earlier_seconds"] == "3600.000"
    assert tags["device_seconds"] == "7201.000"
    assert float(tags["cost_usd"]) == pytest.approx(wall / 3600 * 1.99, abs=1e-5)


def test_runs_of_dead_processes_are_closed(project):
    """SIGKILL leaves a run RUNNING for ever; the next run of that stage tells it is gone."""
    client = client_of(project)
    with demo_run(project, verb="long") as living:
        experiment = client.get_run(living.id).info.experiment_id
        tags = {"dvc_stage": "demo-long", "process.pid": str(os.getpid()), "process.started": "1"}
        dead = client.create_run(experiment, tags=tags).info.run_id
        with demo_run(project, verb="long"):
            assert client.get_run(dead).info.status == "KILLED"
            assert client.get_run(living.id).info.status == "RUNNING"


def test_an_unreachable_server_is_a_sentence_within_seconds(project, monkeypatch, caplog, capfd):
    """Port 9 (discard) of this machine: nothing listens there."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:hunter2@127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(EarthSignalsError) as refusal, demo_run(project):
        pass
    assert time.monotonic() - started < 15
    message = str(refusal.value)
    assert "***@127.0.0.1:9" in message
    assert "unset MLFLOW_TRACKING_URI" in message
    printed = "".join(traceback.format_exception(refusal.value))
    seen = message + printed + caplog.text + "".join(capfd.readouterr())
    assert "hunter2" not in seen


def test_a_server_lost_midway_does_not_kill_the_work(project, capsys):
    with demo_run(project, verb="midway") as run:
        run.log_metrics({"a": 1.0}, step=0)
        healthy, run._client = run._client, None  # every request fails from here on
        run.log_metrics({"a": 2.0}, step=1)
        run.log_metrics({"a": 3.0}, step=2)
    told = capsys.readouterr().err
    assert told.count("warning: ") == 1
    assert "reports/demo/runs/midway.json" in told
    record = read_json(run.record_path)
    assert [row[2] for row in record["metrics"]["a"]] == [1.0, 2.0, 3.0]
    healthy.set_terminated(run.id)


def test_the_file_store_is_refused_in_a_sentence(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(project / "mlruns"))
    told = "MLflow store .* cannot be used"
    with pytest.raises(EarthSignalsError, match=told), demo_run(project):
        pass


def test_secrets_are_redacted(monkeypatch):
    assert tracking.redact("at https://me:pw@host/x and s3://k@b") == (
        "at https://***@host/x and s3://***@b"
    )
    assert tracking.redact("//h/d?sslmode=x&password=pw&a=b") == "//h/d?sslmode=x&password=***&a=b"
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    assert tracking.redact("Bearer t0ken") == "Bearer ***"


def test_postgresql_gets_the_driver_that_is_installed(project, monkeypatch):
    """And one that is down is told at once, without its password."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:pw@127.0.0.1:1/d")
    assert tracking.tracking_uri(project) == "postgresql+psycopg2://me:pw@127.0.0.1:1/d"
    with pytest.raises(EarthSignalsError, match="Connection refused") as caught:
        open_client(project)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("kind", ["folder", "text"])
def test_what_is_no_database_is_told_at_once(tmp_path, kind):
    """MLflow would try it for a minute."""
    file = tmp_path / "mlflow.db"
    file.mkdir() if kind == "folder" else file.write_text("words")
    with pytest.raises(EarthSignalsError, match="cannot be used as MLflow's database"):
        open_client(tmp_path)


# --- several processes, and cost of importing


def test_processes_that_race_to_create_the_store(tmp_path):
    """Without the lock all three crash ('table already exists', 'duplicate column')."""
    (tmp_path / "params.yaml").write_text("")
    code = (
        "import sys, pathlib; from earthsignals import tracking; "
        "from earthsignals.settings import Settings\n"
        "with tracking.run('demo', sys.argv[2], {}, Settings(), root=pathlib.Path(sys.argv[1]))"
        " as r: r.log_metrics({'a': 1.0})"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    running = [
        subprocess.Popen([*command, verb], stderr=subprocess.PIPE, text=True) for verb in "abc"
    ]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    client = client_of(tmp_path)
    experiment = client.get_experiment_by_name("demo")
    runs = client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 3


def test_importing_does_not_import_mlflow():
    code = "import sys, earthsignals.tracking; print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
