"""Tracing: which stage, commit, parameters, data and run made a file, and whether it is still that file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from hashlib import md5
from pathlib import Path

import pytest
from typer.testing import CliRunner

from earthsignals.storage import EarthSignalsError, md5_path
from earthsignals.tracking.trace import trace

DVC_YAML = """\
stages:
  demo-dataset:
    cmd: python write.py data/demo/raw 3
    deps: [write.py]
    params: [demo.scans]
    outs: [data/demo/raw]
  demo-train:
    cmd: python train.py
    deps: [train.py, data/demo/raw]
    params: [demo.train]
    outs:
      - data/demo/best_model.pt
      - reports/demo/runs/train.json
  demo-figures:
    cmd: python write.py reports/demo/figures 2
    deps: [write.py, data/demo/best_model.pt]
    outs:
      - reports/demo/figures: {cache: false}
"""
PARAMS = "demo:\n  scans: 3\n  train:\n    epochs: 2\n    rates: [0.1, 0.2]\n"
WRITE = """\
import pathlib, sys
folder = pathlib.Path(sys.argv[1]); folder.mkdir(parents=True)
for number in range(int(sys.argv[2])):
    (folder / f"{number}.txt").write_text(f"{sys.argv[1]} {number}")
"""
# Stands for tracking.run: the same record, without MLflow's seconds.
TRAIN = """\
import hashlib, json, pathlib, subprocess
text = pathlib.Path("params.yaml").read_text()
model = pathlib.Path("data/demo/best_model.pt"); model.write_text("weights of " + text)
head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
md5 = lambda data: hashlib.md5(data).hexdigest()
files = sorted(pathlib.Path("data/demo/raw").iterdir())
raw = [{"md5": md5(file.read_bytes()), "relpath": file.name} for file in files]
out = md5(model.read_bytes())
record = pathlib.Path("reports/demo/runs/train.json"); record.parent.mkdir(parents=True, exist_ok=True)
record.write_text(json.dumps({
    "format_version": 1, "run_id": md5(text.encode()), "experiment": "demo", "name": "demo-train",
    "status": "FINISHED", "start_ms": 1_700_000_000_000, "end_ms": 1_700_000_060_000, "params": {},
    "metrics": {}, "tags": {"dvc_stage": "demo-train", "git_commit": head, "git_dirty": "false",
    "dep.train.py": md5(pathlib.Path("train.py").read_bytes()), "outs": out,
    "dep.data/demo/raw": md5(json.dumps(raw, sort_keys=True).encode()) + ".dir",
    "out.data/demo/best_model.pt": out}}))
"""


def command(root: Path, *words: str) -> str:
    done = subprocess.run(words, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout.strip()


def commit(root: Path, message: str) -> str:
    command(root, "git", "add", "-A")
    command(root, "git", "-c", "user.name=n", "-c", "user.email=e@x", "commit", "-qm", message)
    return command(root, "git", "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A project that DVC reproduced at two values of a parameter, with its commits by name."""
    root = tmp_path_factory.mktemp("project")
    for name, text in {
        "dvc.yaml": DVC_YAML, "params.yaml": PARAMS, "write.py": WRITE, "train.py": TRAIN, "notes.txt": "n",
        ".gitignore": "/data\n/reports/demo/runs\n/mlflow.db\n/mlruns\n",
    }.items():  # fmt: skip
        (root / name).write_text(text)
    command(root, "git", "init", "-q")
    dvc = str(Path(sys.executable).with_name("dvc"))
    command(root, dvc, "init", "-q")
    commits = {"code": commit(root, "code")}
    command(root, dvc, "repro", "-q")
    commits["first"] = commit(root, "first results")
    (root / "first.pt").write_bytes((root / "data/demo/best_model.pt").read_bytes())
    (root / "params.yaml").write_text(PARAMS.replace("epochs: 2", "epochs: 5"))
    commits["change"] = commit(root, "more epochs")
    command(root, dvc, "repro", "-q")
    commits["second"] = commit(root, "second results")
    return root, commits


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    """A copy of that project to spoil, as the working folder."""
    root = tmp_path / "project"
    command(tmp_path, "cp", "-a", str(made[0]), str(root))
    monkeypatch.chdir(root)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return root


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("{cmd: x, deps: 7}", "`deps` is no list"),
        ("{cmd: x, outs: [5]}", "has no path"),
        ("{cmd: x, params: 5}", "`params` is no mapping"),
        ("{cmd: x, params: {params.yaml: 5}}", "`params` is no mapping"),
        ("{cmd: x, outs: [{path: a, md5: b}]}", "the md5 of a is none"),
        ("{cmd: x, outs: [{path: a, size: b}]}", "the size of a is no number"),
        ("3", "is no mapping"),
    ],
)
def test_a_lock_that_dvc_never_wrote_is_a_sentence(project, stage, words):
    (project / "dvc.lock").write_text(f"schema: '2.0'\nstages:\n  demo-train: {stage}\n")
    with pytest.raises(EarthSignalsError, match=words):
        trace("data/demo/best_model.pt")


def test_what_is_no_file_of_ours_is_told_at_once(project, tmp_path, monkeypatch):
    """Neither is a disk walked through, nor a device read to its end."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "many").mkdir()
    for subject, words in {
        "": "no file or run is named", "/": "holds what|folder outside the project",
        str(tmp_path / "many"): "folder outside the project", str(tmp_path): "folder outside the project",
        "/dev/zero": "is no regular file", str(tmp_path / "pipe"): "is no regular file",
        "a" * 300: "cannot be looked at", "~no-such-user/x": "is neither a file here",
    }.items():  # fmt: skip
        with pytest.raises(EarthSignalsError, match=words):
            trace(subject)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EarthSignalsError, match="git is not installed"):
        trace("data/demo/best_model.pt")


def test_a_checkpoint_leads_to_its_stage_run_commit_params_and_data(project, made):
    found = trace("data/demo/best_model.pt")
    assert (found.state, found.notes, found.lock_commit) == ("same", (), None)
    stage = found.stage
    assert (stage.name, stage.command) == ("demo-train", "python train.py")
    # The run's own commit: the one in force when it started, not the one that holds its results.
    assert (stage.commit, stage.commit_of, stage.dirty) == (made[1]["change"], "run", "false")
    assert stage.params == {"demo.train": {"epochs": 5, "rates": [0.1, 0.2]}}
    deps = {dep.path: dep for dep in stage.deps}
    assert deps["data/demo/raw"].md5 == md5_path(project / "data/demo/raw")
    assert deps["data/demo/raw"].made_by == ("demo-dataset",) and deps["train.py"].made_by == ()
    assert [run.stage for run in found.runs] == ["demo-train"]
    assert [each.name for each in found.upstream] == ["demo-dataset"]
    # The dataset did not change with the epochs: its entry is of the first results' commit.
    assert (found.upstream[0].commit, found.upstream[0].commit_of) == (made[1]["first"], "dvc.lock")
    assert [(use.stage, use.outs, use.same_bytes) for use in found.downstream] == [
        ("demo-figures", ("reports/demo/figures",), True)
    ]


def test_a_figure_has_the_runs_of_what_it_was_drawn_from(project, made):
    found = trace("reports/demo/figures/1.txt")
    assert (found.out, found.state, found.stage.name) == ("reports/demo/figures", "same", "demo-figures")
    assert found.stage.run is None and [run.stage for run in found.runs] == ["demo-train"]
    # The new model was drawn anew: the entry is of the second results.
    assert found.stage.commit == made[1]["second"]
    assert [each.name for each in found.upstream] == ["demo-train", "demo-dataset"]
    assert json.dumps(asdict(found))  # plain enough for JSON


def test_a_file_in_a_tracked_folder_is_judged_by_itself(project):
    (project / "data/demo/raw/1.txt").unlink()
    (project / "data/demo/raw/1.txt").write_text("edited")
    spoiled, whole = trace("data/demo/raw/1.txt"), trace("data/demo/raw/0.txt")
    assert spoiled.state == "other" and "not what dvc.lock says of data/demo/raw" in spoiled.notes[0]
    assert whole.state == "same"
    # Without DVC's list of the folder's files nobody can tell which of them differs.
    for listing in project.glob(".dvc/cache/files/md5/*/*.dir"):
        listing.unlink()
    assert "no list of its files" in trace("data/demo/raw/0.txt").notes[0]


def test_bytes_of_earlier_results_are_traced_where_git_knows_them(project, made):
    model = project / "data/demo/best_model.pt"
    model.unlink()
    model.write_bytes((project / "first.pt").read_bytes())
    found = trace("data/demo/best_model.pt")
    assert found.state == "other" and found.lock_commit == made[1]["first"]
    assert "is not what dvc.lock says" in found.notes[0]
    # Parameters and run are those of these bytes, not of the present lock; the record is in the cache.
    assert found.stage.params["demo.train"]["epochs"] == 2
    assert found.runs[0].commit == made[1]["code"]
    # A copy under any name, outside of the project too, leads there as well.
    outside = project.parent / "figure-in-a-paper.pt"
    outside.write_bytes(model.read_bytes())
    assert trace(str(outside)).stage.params == found.stage.params


def test_a_copied_figure_leads_to_its_run_now_and_from_earlier_commits(project, made):
    paper = project.parent / "figure 3.txt"
    figure = project / "reports/demo/figures/1.txt"
    paper.write_bytes(figure.read_bytes())
    found = trace(str(paper))
    assert (found.stage.name, found.state, found.lock_commit) == ("demo-figures", "same", None)
    assert "reports/demo/figures/1.txt" in found.notes[0]
    # Git keeps the figures (cache: false), so it knows those of other commits.
    figure.unlink()
    figure.write_text("drawn later")
    command(project, str(Path(sys.executable).with_name("dvc")), "commit", "-q", "-f", "demo-figures")
    later = commit(project, "drawn later")
    found = trace(str(paper))
    assert found.lock_commit == made[1]["first"] and found.stage.params == {}
    assert [run.commit for run in found.runs] == [made[1]["code"]]
    paper.write_text("drawn later")
    assert trace(str(paper)).lock_commit is None and trace(str(paper)).stage.commit == later


def test_data_of_dvc_add_is_the_beginning_of_a_chain(project):
    (project / "own.csv").write_text("1,2")
    dvc = str(Path(sys.executable).with_name("dvc"))
    command(project, dvc, "add", "-q", "own.csv")
    (project / "write.py").write_text(WRITE)
    added = commit(project, "own data")
    found = trace("own.csv")
    assert (found.stage.name, found.stage.command, found.stage.commit) == ("own.csv.dvc", "dvc add", added)
    assert found.state == "same" and found.notes == ()


def test_data_with_letters_beyond_ascii_is_traced(project):
    (project / "Größe.csv").write_text("1,2")
    command(project, str(Path(sys.executable).with_name("dvc")), "add", "-q", "Größe.csv")
    added = commit(project, "own data")
    found = trace("Größe.csv")
    assert (found.stage.name, found.stage.commit, found.state) == ("Größe.csv.dvc", added, "same")
    # Also where git alone knows the bytes.
    (project / "Länge.txt").write_text("a length")
    commit(project, "a note")
    copy = project.parent / "copy.txt"
    copy.write_text("a length")
    assert any("these bytes are Länge.txt of commit" in note for note in trace(str(copy)).notes)


def test_a_configuration_that_dvc_refuses_ends_in_a_sentence(project):
    (project / ".dvc/config").write_text("[cache\n")
    with pytest.raises(EarthSignalsError, match="config is not readable"):
        trace("data/demo/raw/0.txt")


def test_a_run_whose_record_came_by_the_run_cache_is_known(project, made):
    """Such as another machine's, or an earlier version's: the workspace has the newest records alone."""
    first = md5(PARAMS.encode()).hexdigest()
    found = trace(first[:8])
    assert (found.subject, found.stage.run.source) == (first, "DVC's run-cache")
    assert found.lock_commit == made[1]["first"] and found.stage.run.commit == made[1]["code"]
    now = json.loads((project / "reports/demo/runs/train.json").read_text())["run_id"]
    assert trace(now).stage.run.source == "reports/demo/runs/train.json"


def test_unknown_bytes_under_a_tracked_name(project):
    model = project / "data/demo/best_model.pt"
    model.unlink()
    model.write_text("from nowhere")
    found = trace("data/demo/best_model.pt")
    assert found.state == "other" and found.md5 == md5_path(model)
    assert "nobody knows where these bytes come from" in found.notes[1]
    assert not found.downstream[0].same_bytes  # the figures were not drawn from these


def test_an_absent_file_is_traced_as_locked(project):
    (project / "data/demo/best_model.pt").unlink()
    found = trace("data/demo/best_model.pt")
    assert found.state == "absent" and "dvc pull" in found.notes[0] and found.stage.name == "demo-train"


def test_what_makes_the_lock_out_of_date_is_named(project):
    (project / "params.yaml").write_text(PARAMS.replace("epochs: 2", "epochs: 7"))
    (project / "write.py").write_text(WRITE + "# changed\n")
    (project / "dvc.yaml").write_text(DVC_YAML.replace("python train.py", "python -u train.py"))
    found = trace("reports/demo/figures/0.txt")
    stale = {stage.name: stage.stale for stage in (found.stage, *found.upstream)}
    assert stale["demo-train"] == ("demo.train.epochs is 7, was 5", "dvc.yaml now runs `python -u train.py`")
    assert stale["demo-dataset"] == ("write.py has changed since",) == stale["demo-figures"]
    assert any("out of date for demo-train" in note for note in found.notes)


def test_a_lock_written_without_a_run_is_told(project):
    (project / "train.py").write_text(TRAIN + "# a comment\n")
    command(project, str(Path(sys.executable).with_name("dvc")), "commit", "-q", "-f", "demo-train")
    found = trace("data/demo/best_model.pt")
    assert found.stage.stale == ()
    assert any("saw other versions of train.py" in note and "dvc commit" in note for note in found.notes)


def test_a_record_that_names_other_outs_is_told(project):
    record = project / "reports/demo/runs/train.json"
    wrong = json.loads(record.read_text())
    wrong["tags"]["out.data/demo/best_model.pt"] = "0" * 32
    record.unlink()
    record.write_text(json.dumps(wrong))
    # Another record than the locked one: the locked one is asked, from the cache.
    found = trace("data/demo/best_model.pt")
    assert any("not the one that dvc.lock names" in note for note in found.notes)
    assert found.stage.run.outs["data/demo/best_model.pt"] == md5_path(project / "data/demo/best_model.pt")
    # Locked as it is, its word differs from the lock's.
    command(project, str(Path(sys.executable).with_name("dvc")), "commit", "-q", "-f", "demo-train")
    notes = trace("data/demo/best_model.pt").notes
    assert any(f"made data/demo/best_model.pt as md5 {'0' * 32}, but dvc.lock has" in note for note in notes)


def test_a_run_leads_to_its_outs_and_back(project, made):
    run_id = json.loads((project / "reports/demo/runs/train.json").read_text())["run_id"]
    found = trace(run_id[:6])
    assert (found.subject, found.state, found.stage.name) == (run_id, "same", "demo-train")
    assert [use.stage for use in found.downstream] == ["demo-figures"]
    model = project / "data/demo/best_model.pt"
    model.unlink()
    model.write_text("another")
    found = trace(run_id)
    assert found.state == "other" and "is no longer what run" in found.notes[0]


def test_a_source_leads_forward(project, made):
    found = trace("write.py")
    assert found.stage is None and found.source_commit == made[1]["code"]
    assert {use.stage for use in found.downstream} == {"demo-dataset", "demo-figures", "demo-train"}
    assert "git alone has its history" in trace("notes.txt").notes[0]
    # A stranger's copy of such a file: git alone knows it, too.
    copy = project.parent / "copy.txt"
    copy.write_text("n")
    assert trace(str(copy)).source_commit == made[1]["code"]


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("nowhere.txt", "neither a file here nor one that dvc.lock knows"),
        ("abcdef123", "no run record or MLflow run has such an id"),
        ("stray.bin", "stray.bin is not tracked"),
        ("reports/late.csv", "run `dvc repro demo-late`"),
        ("data", "data holds what several stages made; name one of data/demo/raw"),
        (".", "holds what several stages made"),
    ],
)
def test_what_nobody_knows_ends_in_a_sentence(project, subject, words):
    (project / "stray.bin").write_text("stray")
    late = "  demo-late:\n    cmd: python late.py\n    outs: [reports/late.csv]\n"
    (project / "dvc.yaml").write_text(DVC_YAML + late)
    with pytest.raises(EarthSignalsError, match=words):
        trace(subject)


def test_no_lock_and_a_damaged_lock_end_in_a_sentence(project):
    (project / "dvc.lock").write_text("schema: '2.0'\n")
    with pytest.raises(EarthSignalsError, match="has no `stages`"):
        trace("data/demo/best_model.pt")
    (project / "dvc.lock").unlink()
    with pytest.raises(EarthSignalsError, match="dvc.lock does not exist"):
        trace("data/demo/best_model.pt")


def test_runs_are_found_in_mlflow_under_both_their_ids(project):
    from mlflow import MlflowClient

    original = json.loads((project / "reports/demo/runs/train.json").read_text())
    assert trace("data/demo/best_model.pt").runs[0].id_here is None
    assert not (project / "mlflow.db").exists()  # asking does not make a store
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    tags = original["tags"] | {"restored_from": original["run_id"]}
    here = client.create_run(client.create_experiment("demo"), tags=tags).info.run_id
    client.set_terminated(here)
    assert trace("data/demo/best_model.pt").runs[0].id_here == here
    assert trace(here[:8]).subject == original["run_id"]
    # Without the record (not pulled, and not in the cache) MLflow still knows who made the model.
    (project / "reports/demo/runs/train.json").unlink()
    command(project, "rm", "-rf", ".dvc/cache")
    assert trace("data/demo/best_model.pt").runs[0].source == "MLflow"


def test_the_command_draws_a_tree_and_writes_json(project):
    from earthsignals.cli.main import app

    shown = CliRunner().invoke(app, ["trace", "data/demo/best_model.pt"])
    assert shown.exit_code == 0, shown.output
    for words in ("as dvc.lock says", "python train.py", "demo.train.epochs = 5", "demo-figures", "run "):
        assert words in shown.output
    plain = json.loads(CliRunner().invoke(app, ["trace", "data/demo/best_model.pt", "--json"]).output)
    assert plain["stage"]["run"]["stage"] == "demo-train" and plain["upstream"][0]["name"] == "demo-dataset"
    refused = CliRunner().invoke(app, ["trace", "nowhere"])
    assert refused.exit_code == 1
