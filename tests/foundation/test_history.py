"""One history: records of other machines become runs here, once, whole, and under today's names."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from earthsignals import tracking
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError, main_project, md5_file, read_json, write_json
from earthsignals.tracking import rebuild as rebuilding
from earthsignals.tracking.record import read_record
from earthsignals.tracking.store import open_client
from earthsignals.training.reporting import metrics as shown_metrics

SETTINGS = Settings(progress=False)
PARAMS = {"train": {"learning_rate": 1e-3}}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "DVC_STAGE", "DVC_ROOT", "DVC_EXP_BASELINE_REV", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def droplet(tmp_path_factory, empty_store):
    """The project on the machine that trained and evaluated."""
    root = project(tmp_path_factory.mktemp("droplet"), empty_store)
    figure = root / "reports/tdlas/figures/loss.png"
    write_text(figure, "a picture")
    with tracking.run("tdlas", "train", PARAMS, SETTINGS, root=root) as run:
        for epoch in range(3):
            run.log_metrics(shown_metrics(epoch_row(epoch)), step=epoch)
        run.log_metrics({"undefined": math.nan, "endless": math.inf})
        run.log_figure(figure)
        run.log_dataset(figure)
        run.log_dict({"inputs": [1, 2]}, "model/signature.json")
        run.log_dict({"scan": list(range(9000))}, "model/input_example.json")
    write_json(root / "reports/tdlas/metrics.json", {"rmse": 1.5})
    with tracking.run("tdlas", "evaluate", {}, SETTINGS, kind="evaluation", root=root) as run:
        run.log_metrics({"rmse": {"1e2-1e3": 1.5}})
        run.log_artifact(root / "reports/tdlas/metrics.json")
    return root


@pytest.fixture
def laptop(tmp_path, empty_store, droplet):
    """A clone that has pulled: the droplet's records and reports, and a store of its own."""
    root = project(tmp_path / "laptop", empty_store)
    shutil.copytree(droplet / "reports", root / "reports")
    return root


def project(root, empty_store):
    (root / ".dvc").mkdir(parents=True)
    (root / "params.yaml").write_text("")
    shutil.copy(empty_store, root / "mlflow.db")
    return root


def write_text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def epoch_row(epoch):
    return {
        "epoch": epoch, "learning_rate": 1e-3, "train_loss": 1 / (epoch + 1), "train_mae": epoch,
        "validation_loss": 2 / (epoch + 1),
    }  # fmt: skip


def record_of(root, verb="train"):
    return root / f"reports/tdlas/runs/{verb}.json"


def runs_of(root, experiment="tdlas"):
    client = open_client(root)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return client, {}
    return client, {run.info.run_name: run for run in client.search_runs([found.experiment_id])}


def history(client, run, key):
    rows = client.get_metric_history(run.info.run_id, key)
    return sorted((m.step, m.timestamp, repr(m.value)) for m in rows)


def named(run):
    """The datasets that a run used, as MLflow's page shows them."""
    return [(d.dataset.name, d.dataset.digest, d.tags[0].value) for d in run.inputs.dataset_inputs]


def as_text(runs):
    return {name: json.dumps(run.to_dictionary(), sort_keys=True) for name, run in runs.items()}


def counts(done):
    return done.added, done.completed, done.present, len(done.skipped)


# --- names


def test_epochs_and_evaluations_are_named_alike_in_all_pipelines(droplet):
    """MLflow groups by what stands before the slash; the history file keeps its columns."""
    assert shown_metrics(epoch_row(1)) == {
        "learning_rate": 1e-3, "train/loss": 0.5, "train/mae": 1, "val/loss": 1.0
    }
    _, runs = runs_of(droplet)
    assert {"train/loss", "train/mae", "val/loss"} <= set(runs["tdlas-train"].data.metrics)
    assert set(runs["tdlas-evaluate"].data.metrics) == {"test/rmse.1e2-1e3"}
    assert runs["tdlas-evaluate"].data.tags["kind"] == "evaluation"


def test_records_of_the_first_format_get_todays_names(laptop):
    """Only what has the steps of the loss is an epoch's metric: `train_scans` is a number of scans."""
    old = read_json(record_of(laptop)) | {"format_version": 1}
    for key in ("artifacts", "datasets", "documents"):
        del old[key]
    rows = [[0, 5, 1.0], [1, 6, 0.5]]
    old["metrics"] = {
        "train_loss": rows, "validation_loss": rows, "validation_mae": rows, "train_scans": [[0, 9, 4000.0]],
        "learning_rate": rows,
    }  # fmt: skip
    write_json(record_of(laptop), old)
    evaluation = read_json(record_of(laptop, "evaluate")) | {"format_version": 1}
    evaluation["metrics"] = {"rmse": [[0, 7, 1.5]]}
    write_json(record_of(laptop, "evaluate"), evaluation)
    assert counts(tracking.import_runs(laptop)) == (2, 0, 0, 0)
    _, runs = runs_of(laptop)
    assert set(runs["tdlas-train"].data.metrics) == {
        "train/loss", "val/loss", "val/mae", "train_scans", "learning_rate"
    }
    assert runs["tdlas-evaluate"].data.metrics == {"test/rmse": 1.5}


# --- import


def test_a_pulled_history_is_imported_once_and_whole(laptop, droplet):
    assert counts(tracking.import_runs(laptop)) == (2, 0, 0, 0)
    here, imported = runs_of(laptop)
    there, original = runs_of(droplet)
    assert set(imported) == {"tdlas-train", "tdlas-evaluate"}
    for name, run in imported.items():
        assert run.data.params == original[name].data.params
        assert run.info.status == "FINISHED"
        assert (run.info.start_time, run.info.end_time) == (
            original[name].info.start_time, original[name].info.end_time
        )
        assert run.data.tags["restored_from"] == original[name].info.run_id
        assert set(run.data.metrics) == set(original[name].data.metrics)
        for key in run.data.metrics:
            assert history(here, run, key) == history(there, original[name], key), key
    assert [named(run) for run in imported.values()] == [named(original[name]) for name in imported]
    before = as_text(imported)
    assert counts(tracking.import_runs(laptop)) == (0, 0, 2, 0)
    assert as_text(runs_of(laptop)[1]) == before
    # Where the runs were made there is nothing to import either.
    assert counts(tracking.import_runs(droplet)) == (0, 0, 2, 0)


def test_artifacts_come_from_files_of_the_same_md5(laptop):
    """Small JSON lies in the record; figures and tables are outs, found wherever they are."""
    cached = laptop / ".dvc/cache/files/md5"
    table = laptop / "reports/tdlas/metrics.json"
    md5 = md5_file(table)
    write_text(cached / md5[:2] / md5[2:], table.read_text())
    table.write_text("a later evaluation's")
    tracking.import_runs(laptop)
    client, runs = runs_of(laptop)
    train, evaluate = runs["tdlas-train"].info, runs["tdlas-evaluate"].info
    assert [f.path for f in client.list_artifacts(train.run_id, "figures")] == ["figures/loss.png"]
    # The example is too long for a record, which still says that there was one.
    assert [f.path for f in client.list_artifacts(train.run_id, "model")] == ["model/signature.json"]
    assert "model/input_example.json" in read_record(record_of(laptop)).artifacts
    folder = laptop / "mlruns/tdlas"
    assert read_json(folder / train.run_id / "artifacts/model/signature.json") == {"inputs": [1, 2]}
    assert (folder / train.run_id / "artifacts/figures/loss.png").read_text() == "a picture"
    assert read_json(folder / evaluate.run_id / "artifacts/metrics.json") == {"rmse": 1.5}


@pytest.mark.parametrize("status", ["RUNNING", "KILLED"])
def test_a_run_whose_server_died_is_completed_from_its_record(tmp_path, empty_store, status):
    root = project(tmp_path / "p", empty_store)
    with tracking.run("tdlas", "train", PARAMS, SETTINGS, root=root) as run:
        run.log_metrics({"train/loss": 1.0}, step=0)
        client, run._client = run._client, None  # the server is gone from here on
        run.log_metrics({"train/loss": 0.5, "val/loss": 0.6}, step=1)
        run.log_params({"late": 1})
    if status == "KILLED":
        client.set_terminated(run.id, status="KILLED")
    assert client.get_run(run.id).info.status == status
    assert counts(tracking.import_runs(root)) == (0, 1, 0, 0)
    stored = client.get_run(run.id)
    record = read_record(run.record_path)
    assert stored.info.status == "FINISHED" and stored.info.end_time == record.end_ms
    assert stored.data.params == {"train.learning_rate": "0.001", "late": "1"}
    assert [m.value for m in client.get_metric_history(run.id, "train/loss")] == [1.0, 0.5]
    assert stored.data.metrics["val/loss"] == 0.6
    assert stored.data.tags["wall_seconds"] == record.tags["wall_seconds"]
    assert counts(tracking.import_runs(root)) == (0, 0, 1, 0)


def test_an_import_that_was_killed_is_finished_by_the_next(laptop, monkeypatch):
    """Killed between its metrics and its end, the run stays RUNNING: no second one is made."""
    client = open_client(laptop)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(type(client), "set_terminated", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tracking.import_runs(laptop)
    _, runs = runs_of(laptop)
    assert [run.info.status for run in runs.values()] == ["RUNNING"]
    assert counts(tracking.import_runs(laptop)) == (1, 1, 0, 0)
    client, runs = runs_of(laptop)
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    curve = history(client, runs["tdlas-train"], "train/loss")
    assert [step for step, _, _ in curve] == [0, 1, 2]


@pytest.mark.parametrize("moment", ["_give_way", "_log", "_fill"])
@pytest.mark.parametrize("ours, theirs", [("0" * 32, "f" * 32), ("f" * 32, "0" * 32)])
def test_two_machines_that_import_a_record_at_once_leave_one_run(laptop, monkeypatch, moment, ours, theirs):
    """A server has no lock. Both found nothing; the other's whole import falls into a moment of ours: after
    our run is made, after we looked for theirs, after all is logged. Ids are random, and decide."""
    client = open_client(laptop)
    experiment = client.create_experiment("tdlas", (laptop / "mlruns/tdlas").as_uri())
    record = read_record(record_of(laptop))

    def import_it():
        return rebuilding.rebuild(client, laptop, experiment, record, None, lambda md5: None)

    step, others = getattr(rebuilding, moment), []

    def overtaken(*arguments, **named):
        if not others:
            others.append(None)
            others[0] = import_it()
        return step(*arguments, **named)

    create, ids = type(client._tracking_client.store).create_run, iter((ours, theirs))

    def create_named(self, *arguments, **named):
        chosen = SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=next(ids)))
        with monkeypatch.context() as naming:
            naming.setattr("mlflow.store.tracking.sqlalchemy_store.uuid", chosen)
            return create(self, *arguments, **named)

    with monkeypatch.context() as racing:
        racing.setattr(rebuilding, "uses_sqlite", lambda uri: False)
        racing.setattr(rebuilding, moment, overtaken)
        racing.setattr(type(client._tracking_client.store), "create_run", create_named)
        outcome, kept = import_it()
    assert sorted([outcome, others[0][0]]) == ["added", "present"]
    assert others[0][1] == kept and kept in (ours, theirs)
    (run,) = client.search_runs([experiment])
    assert (run.info.run_id, run.info.status) == (kept, "FINISHED")
    curve = history(client, run, "train/loss")
    assert [step for step, _, _ in curve] == [0, 1, 2]
    # The run that gave way is no run that somebody deleted: if the other goes too, that one counts.
    assert counts(tracking.import_runs(laptop)) == (1, 0, 1, 0)  # the evaluation's record is new
    client.delete_run(kept)
    assert tracking.import_runs(laptop).deleted == 1


def test_what_was_deleted_in_mlflow_stays_deleted(laptop):
    tracking.import_runs(laptop)
    client, runs = runs_of(laptop)
    client.delete_run(runs["tdlas-train"].info.run_id)
    done = tracking.import_runs(laptop)
    assert (done.added, done.deleted, done.present) == (0, 1, 1)
    assert set(runs_of(laptop)[1]) == {"tdlas-evaluate"}


# --- what cannot be imported


def test_bad_records_are_named_and_do_not_stop_the_others(laptop):
    good = read_json(record_of(laptop))
    truncated = record_of(laptop, "truncated")
    truncated.write_text(record_of(laptop).read_text()[:300])
    write_json(record_of(laptop, "newer"), good | {"format_version": 9, "run_id": "1" * 32})
    write_json(record_of(laptop, "foreign"), {"note": "mine"})
    write_json(record_of(laptop, "hostile"), good | {"run_id": "' or 1=1"})
    write_json(record_of(laptop, "outside"), good | {"run_id": "3" * 32, "experiment": "../../etc"})
    for name, path in (("above", "a/../../params.yaml"), ("absolute", "/etc/passwd"), ("slash", "a\\b")):
        bad = {"run_id": md5_file(record_of(laptop)), "artifacts": {path: "0" * 32}, "documents": {}}
        write_json(record_of(laptop, name), good | bad)
        write_json(record_of(laptop, f"{name}-json"), good | bad | {"artifacts": {}, "documents": {path: 1}})
    write_json(record_of(laptop, "wrong"), good | {"run_id": "2" * 32, "metrics": {"a": [[0, "x", 1.0]]}})
    record_of(laptop, "binary").write_bytes(b"\xff\xfe\x00")
    done = tracking.import_runs(laptop)
    assert counts(done) == (2, 0, 0, 13) and not done.failed
    leading_out = [f"{name}{kind}" for name in ("above", "absolute", "slash") for kind in ("", "-json")]
    names = ("truncated", "newer", "foreign", "hostile", "outside", "wrong", "binary", *leading_out)
    told = {name: next(s for s in done.skipped if f"/{name}.json" in s) for name in names}
    assert "format 9" in told["newer"] and "update earthsignals" in told["newer"]
    assert "no run_id" in told["foreign"]
    assert "`run_id`" in told["hostile"] and "`experiment`" in told["outside"]
    assert "`metrics.a.0.1`" in told["wrong"]
    assert all("relative paths without `..`" in told[name] for name in leading_out)
    assert all("is damaged" in told[name] for name in ("truncated", "binary", "wrong"))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"metrics": {"bad!": [[0, 1, 1.0]]}}, "metrics.bad!"),
        ({"metrics": {"loss": [[0, -5, 1.0]]}}, "metrics.loss"),
        ({"artifacts": {"../../x": "0" * 32}}, "artifacts"),
        ({"artifacts": {"a//b": "0" * 32}}, "artifacts"),
        ({"tags": {"k" * 300: "v"}}, "tags.k"),
        ({"params": {"a": "\0"}}, "params.a"),
        ({"start_ms": 10**18}, "start_ms"),
        ({"name": "n" * 251}, "name"),
    ],
)
def test_what_a_store_would_refuse_is_refused_before(laptop, changed, told):
    """The record is to blame, not the store; and no half a run is left."""
    path = laptop / "reports/tdlas/runs/train.json"
    write_json(path, read_json(path) | changed)
    with pytest.raises(EarthSignalsError, match=f"train.json is damaged: `{told}"):
        tracking.restore_run(path, root=laptop)
    assert tracking.runs_in_store(laptop, {"tdlas"}) == {}


def test_deep_nesting_is_damage(tmp_path):
    path = tmp_path / "train.json"
    write_text(path, "[" * 100_000)
    with pytest.raises(EarthSignalsError, match="is damaged"):
        read_record(path)


def test_a_record_cannot_speak_to_the_terminal(laptop, monkeypatch):
    """Markup is text, control characters are blanks, durations that are none are unknown."""
    path = laptop / "reports/tdlas/runs/train.json"
    record = read_json(path)
    for written in ("abc", "nan", "-1e400"):
        tags = record["tags"] | {"wall_seconds": written, "machine.cpu": "[/x]"}
        write_json(path, record | {"name": "[red]x[/nope]\x1b[31m\nboo", "tags": tags})
        status, shown, _ = command(laptop, monkeypatch, "list")
        assert status == 0 and "[red]x[/nope] [31m boo" in shown and "\x1b" not in shown
        listed = json.loads(command(laptop, monkeypatch, "list", "--json")[1])
        assert [row["seconds"] for row in listed if "boo" in row["stage"]] == [None]


def test_a_conflict_is_told_and_the_store_left_as_it_is(laptop, droplet):
    tracking.import_runs(laptop)
    changed = read_json(record_of(laptop))
    changed["metrics"]["val/loss"][-1][2] = 99.0
    write_json(record_of(laptop), changed)
    done = tracking.import_runs(laptop)
    assert counts(done) == (0, 0, 1, 1)
    assert changed["run_id"] in done.skipped[0] and "another content" in done.skipped[0]
    assert runs_of(laptop)[1]["tdlas-train"].data.metrics["val/loss"] == 2 / 3


def test_an_untagged_original_is_compared_by_what_it_holds(laptop, droplet, tmp_path, empty_store):
    """Runs made before records were tagged: equal ones are accepted, others are a conflict."""
    root = tmp_path / "copy"
    shutil.copytree(droplet, root)
    client, runs = runs_of(root)
    run_id = runs["tdlas-train"].info.run_id
    client.delete_tag(run_id, "record")
    changed = read_json(record_of(root))
    for key, section, told in (
        ("train.learning_rate", "params", "param train.learning_rate is 0.001 there and 0.1"),
        ("val/loss", "metrics", "metric val/loss is 0.666667 there and 7"),
    ):
        value = "0.1" if section == "params" else [[2, 5, 7.0]]
        write_json(record_of(root), changed | {section: changed[section] | {key: value}})
        (sentence,) = tracking.import_runs(root).skipped
        assert told in sentence
    write_json(record_of(root), changed)
    assert counts(tracking.import_runs(root)) == (0, 0, 2, 0)
    assert client.get_run(run_id).data.tags["record"] == md5_file(record_of(root))


def test_without_records_no_store_is_made(tmp_path):
    (tmp_path / ".dvc").mkdir()
    assert counts(tracking.import_runs(tmp_path)) == (0, 0, 0, 0)
    assert not (tmp_path / "mlflow.db").exists()
    assert tracking.runs_in_store(tmp_path, {"tdlas"}) == {}
    assert not (tmp_path / "mlflow.db").exists()


def test_a_deleted_experiment_is_told_with_the_remedy(laptop):
    tracking.import_runs(laptop)
    client, runs = runs_of(laptop)
    experiment = runs["tdlas-train"].info.experiment_id
    client.delete_experiment(experiment)
    with pytest.raises(EarthSignalsError, match=f"mlflow experiments restore -x {experiment}"):
        tracking.import_runs(laptop)


# --- the run-cache: all runs that there ever were


def test_the_run_cache_brings_the_runs_of_other_commits(laptop):
    """`dvc push --run-cache` carries every run of a stage, not only the one that dvc.lock names."""
    earlier = read_json(record_of(laptop)) | {"run_id": "a" * 32}
    lost = read_json(record_of(laptop)) | {"run_id": "b" * 32}
    damaged = read_json(record_of(laptop)) | {"run_id": "c" * 32}
    cached(laptop, earlier)
    write_json(record_of(laptop, "same"), read_json(record_of(laptop)))  # the workspace's own is there too
    path = cached(laptop, damaged)
    path.write_text(path.read_text().replace("tdlas", "tdlbs"))
    cached(laptop, lost).unlink()
    done = tracking.import_runs(laptop)
    assert (done.added, done.absent) == (3, 1)
    assert path.name in done.skipped[0] and "is damaged: its md5 is" in done.skipped[0]
    assert len(done.skipped) == 1
    assert tracking.import_runs(laptop, "plume").added == 0
    # A second clone may keep its cache anywhere; DVC's configuration says where.
    shutil.move(laptop / ".dvc/cache", laptop / "elsewhere")
    (laptop / ".dvc/config.local").write_text("[cache]\n    dir = ../elsewhere\n")
    assert set(tracking.read_records(laptop).good) >= {"a" * 32}


def cached(root, content):
    """Put a record and the run-cache entry that leads to it where DVC would."""
    text = json.dumps(content)
    md5 = hashlib.md5(text.encode()).hexdigest()
    path = root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    write_text(path, text)
    entry = (
        "cmd: python stage.py\nouts:\n- path: data/tdlas/best_model.pt\n  hash: md5\n"
        f"  md5: {'d' * 32}\n  size: 3\n- path: reports/tdlas/runs/train.json\n  hash: md5\n"
        f"  md5: {md5}\n  size: {len(text)}\n"
    )
    write_text(root / ".dvc/cache/runs" / "ab" / ("ab" * 32) / (md5 * 2), entry)
    return path


# --- sweeps


def test_runs_of_a_sweep_lie_below_one_parent_in_every_store(tmp_path, empty_store, monkeypatch):
    baseline = "0123456789abcdef0123456789abcdef01234567"
    root = project(tmp_path / "p", empty_store)
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", baseline)
    for name in ("brash-newt", "calm-heron"):
        monkeypatch.setenv("DVC_EXP_NAME", name)
        with tracking.run("tdlas", "train", PARAMS, SETTINGS, root=root) as run:
            pass
        shutil.copy(run.record_path, run.record_path.with_name(f"{name}.json"))
        assert "mlflow.parentRunId" not in read_record(run.record_path).tags
    monkeypatch.delenv("DVC_EXP_BASELINE_REV")
    other = project(tmp_path / "other", empty_store)
    shutil.copytree(root / "reports", other / "reports")
    assert tracking.import_runs(other).added == 2
    parents = []
    for each in (root, other):
        _, runs = runs_of(each)
        parent = runs.pop("sweep from 0123456")
        assert set(runs) == {"tdlas-train brash-newt", "tdlas-train calm-heron"}
        assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}
        assert {run.data.tags["sweep"] for run in runs.values()} == {baseline}
        parents.append(parent.info.run_id)
    assert parents[0] != parents[1]


def test_a_temporary_copy_logs_into_the_projects_store(tmp_path, monkeypatch):
    copy = tmp_path / ".dvc/tmp/exps/standalone/tmp1"
    assert main_project(copy) == tmp_path
    assert tracking.tracking_uri(copy) == f"sqlite:///{tmp_path}/mlflow.db"
    assert main_project(tmp_path) == tmp_path
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    assert tracking.tracking_uri(copy) == f"sqlite:///{tmp_path}/other.db"
    for absolute in ("sqlite:////srv/other.db", "http://127.0.0.1:5000", "sqlite:///:memory:"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", absolute)
        assert tracking.tracking_uri(copy) == absolute


# --- the commands


def command(root, monkeypatch, *arguments):
    from earthsignals.cli.runs import app

    monkeypatch.chdir(root)
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


def test_commands_import_and_list(laptop, monkeypatch):
    write_text(laptop / "reports/expected.yaml", "tdlas: [{name: x, metric: rmse.1e2-1e3}]\n")
    code, out, _ = command(laptop, monkeypatch, "list", "--json")
    assert code == 0
    evaluate, train = json.loads(out)  # newest first
    assert (evaluate["stage"], evaluate["headline"]) == ("tdlas-evaluate", "rmse.1e2-1e3 1.5")
    assert (train["stage"], train["headline"], train["in_mlflow"]) == ("tdlas-train", "val/loss 0.6667", "no")
    code, out, errors = command(laptop, monkeypatch, "import")
    assert (code, errors) == (0, "")
    assert out == "MLflow: 2 records, 2 added, 0 completed, 0 already there\n"
    code, out, _ = command(laptop, monkeypatch, "list")
    assert code == 0 and train["run_id"][:8] in out and "finished" in out and "Traceback" not in out
    record_of(laptop, "bad").write_text("{")
    code, out, errors = command(laptop, monkeypatch, "import")
    assert code == 0 and "2 already there, 1 skipped" in out
    assert errors.startswith("warning: skipped: ") and "bad.json" in errors and errors.count("\n") == 1


def test_the_exit_status_is_one_when_no_record_could_be_used(tmp_path, monkeypatch):
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "params.yaml").write_text("")
    assert command(tmp_path, monkeypatch, "import")[:2] == (
        0, "no run records here yet: `make repro` makes them, `make pull` fetches them\n"
    )  # fmt: skip
    write_text(record_of(tmp_path), "{")
    code, out, errors = command(tmp_path, monkeypatch, "import")
    assert code == 1 and "1 skipped" in out and "train.json" in errors
    with pytest.raises(EarthSignalsError, match="no pipeline rdar"):
        command(tmp_path, monkeypatch, "import", "--pipeline", "rdar")
