"""The command line: quick help, one sentence for an error, a doctor that knows the remedy."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from earthsignals.cli import doctor as doctor_module
from earthsignals.cli.main import PIPELINES, app
from earthsignals.cli.summary import judge, load_expectations
from earthsignals.params import ParamsError
from earthsignals.storage import md5_file, write_json

ROOT = Path(__file__).parents[2]
PARAMS = "tdlas:\n  scans: 20  # how many\n"
SCALES = "smoke:\n  tdlas: {scans: 20}\nlaptop:\n  tdlas: {scans: 9000}\n"
EXPECTED = """\
tdlas:
  - {name: error, metric: rmse.1e2-1e3, expected: "<= 2", scale: smoke}
  - {name: below ridge, metric: rmse.1e2-1e3, expected: "< ridge.1e2-1e3", scale: smoke}
  - {name: covers, metric: coverage_95, expected: "0.93 .. 0.97", scale: smoke}
  - {name: later, metric: coverage_95, expected: "> 0.99"}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project; the working directory is a subfolder of it."""
    shutil.copytree(ROOT / ".dvc", tmp_path / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache"))
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "scales.yaml").write_text(SCALES)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "expected.yaml").write_text(EXPECTED)
    git = ["git", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    # An identity of the project's own: a fresh machine has none.
    subprocess.run([*git, "config", "user.name", "a"], check=True)
    subprocess.run([*git, "config", "user.email", "a@example.org"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "start"], check=True)
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path / "docs")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def call(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_help_names_every_command_and_shows_examples() -> None:
    code, out, _ = call("--help")
    assert code == 0
    for word in ("doctor", "scale", "summary", "Examples", *PIPELINES):
        assert word in out
    for command in ("doctor", "scale", "summary"):
        code, out, _ = call(command, "--help")
        assert code == 0 and "Examples" in out and f"earthsignals {command}" in out


@pytest.mark.parametrize("arguments", [[], ["doctor"], ["summary"], *([p] for p in PIPELINES)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = f"""
import sys
from earthsignals.cli.main import app
try:
    app({[*arguments, "--help"]!r})
except SystemExit as end:
    assert not end.code
heavy = "torch mlflow lightning hapi matplotlib sklearn onnx pandas dvc".split()
print([name for name in heavy if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "[]"


def test_mistakes_of_usage_exit_2() -> None:
    code, _, err = call("nothing")
    assert code == 2 and "No such command" in err


def test_outside_a_project_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in ("doctor", "scale", "summary"):
        code, out, err = call(command)
        assert code == 1 and out == ""
        assert err.startswith("earthsignals: ") and err.count("\n") == 1
        assert "not inside an earthsignals project" in err


def test_the_installed_command_says_errors_likewise(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "earthsignals.cli.main", "scale"],
        cwd=tmp_path, capture_output=True, text=True,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("earthsignals: ")


def test_scale_shows_applies_and_refuses(project: Path) -> None:
    code, out, _ = call("scale")
    assert code == 0 and "params.yaml is at scale smoke" in out
    assert "tdlas.scans  20 → 9000" in out
    assert (project / "params.yaml").read_text() == PARAMS  # looking changes nothing
    code, out, _ = call("scale", "laptop")
    assert code == 0 and "next: dvc repro" in out
    assert (project / "params.yaml").read_text().split() == PARAMS.replace("20", "9000").split()
    assert "already" in call("scale", "laptop")[1]
    (project / "params.yaml").write_text(PARAMS.replace("20", "30"))
    assert "at none of them" in call("scale")[1]
    code, _, err = call("scale", "latpop")
    assert code == 1 and "did you mean `laptop`?" in err


def test_summary_judges_at_its_scale_only(project: Path) -> None:
    code, out, _ = call("summary")
    assert code == 0 and "no metrics of tdlas yet: make repro PIPELINE=tdlas" in out
    metrics = {"rmse": {"1e2-1e3": 1.9}, "ridge": {"1e2-1e3": 1.5}, "coverage_95": 0.95}
    write_json(project / "reports/tdlas/metrics.json", metrics)
    code, out, _ = call("summary", "tdlas")
    marks = {line.split("│")[2].strip(): line.split("│")[1].strip()
             for line in out.splitlines() if line.startswith("│")}
    assert code == 0
    assert marks == {"error": "✓", "below ridge": "✗", "covers": "✓", "later": "·"}
    assert "1.9" in out and "make ui" in out and "reports/tdlas/figures" in out
    assert call("summary", "--strict")[0] == 1
    code, _, err = call("summary", "plume")
    assert code == 1 and "no pipeline `plume` (known: tdlas)" in err


@pytest.mark.parametrize(
    ("value", "expected", "verdict"),
    [
        (2.0, "<= 2", True), (2.0, "< 2", False), (2.0, ">= 2", True), (2.0, "> 2", False),
        (0.9, "0.9 .. 1.3", True), (1.3, "0.9..1.3", True), (1.31, "0.9 .. 1.3", False),
        (None, "<= 2", None), (1.0, "< other", True), (1.0, "< absent", None),
        (-1e-9, "-1e-8 .. 1e-8", True),
    ],
)
def test_judgement(value: float | None, expected: str, verdict: bool | None) -> None:
    assert judge(value, expected, {"other": 1.5}) is verdict


def test_expectations_that_cannot_be_read(project: Path) -> None:
    with pytest.raises(ParamsError, match="`about 2` is not understood"):
        judge(2.0, "about 2", {})
    path = project / "reports" / "expected.yaml"
    path.write_text('tdlas: [{name: a, metirc: b, expected: "< 1"}]\n')
    with pytest.raises(ParamsError, match=r"`tdlas.0.metirc` is no known key"):
        load_expectations(path)


def test_the_projects_own_expectations_are_readable() -> None:
    expectations = load_expectations(ROOT / "reports" / "expected.yaml")
    assert set(expectations) == set(PIPELINES)
    for line in expectations["tdlas"]:
        judge(1.0, line.expected, {})  # raises if not understood


def findings(*arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
    code, out, _ = call("doctor", "--json", *arguments)
    report = json.loads(out)
    assert report["ok"] == (code == 0)
    return code, {each["name"]: each for each in report["checks"]}


def test_doctor_finds_a_fresh_project_ready(project: Path) -> None:
    code, found = findings()
    assert list(found) == [name for name, _ in doctor_module.CHECKS]
    assert code == 0, [each for each in found.values() if each["status"] == "bad"]
    assert "forward and backward" in found["device"]["detail"]
    assert "sha256" in found["line list"]["detail"]
    for name in ("tdlas data", "plume data", "dvc remote", "mlflow store"):  # not yet, and that is fine
        assert found[name]["status"] == "optional" and found[name]["remedy"]
    code, out, _ = call("doctor")
    assert code == 0 and "✓ python" in out and "· dvc remote" in out and "→ make remote" in out


def test_doctor_names_what_is_wrong_and_the_remedy(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "requirements.lock").write_text("# a comment == b\ntorch==1.0\nno-such-thing==2\n")
    (project / "settings.yaml").write_text("device: cuda:99\n")
    (project / "data").mkdir()
    (project / "data" / "dataset.h5").write_text("changed")
    (project / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  tdlas-dataset:\n    cmd: x\n    outs:\n"
        f"    - {{path: data/dataset.h5, hash: md5, md5: {'0' * 32}, size: 7}}\n"
    )
    remote = "[core]\n    remote = store\n['remote \"store\"']\n    url = ../../nowhere\n"
    (project / ".dvc" / "config.local").write_text(remote)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9/")
    code, found = findings()
    assert code == 1
    assert "torch 2.13.0 (pinned 1.0)" in found["packages"]["detail"]
    assert "no-such-thing missing" in found["packages"]["detail"]
    assert found["packages"]["remedy"] == "make setup"
    assert "`cuda:99` was asked for" in found["device"]["detail"]
    assert found["tdlas data"]["detail"] == "not what dvc.lock says: data/dataset.h5"
    assert "nowhere, which does not exist here" in found["dvc remote"]["detail"]
    assert "does not answer" in found["mlflow store"]["detail"]
    assert {name for name, each in found.items() if each["status"] == "bad"} == {
        "packages", "device", "tdlas data", "dvc remote", "mlflow store"
    }
    code, out, _ = call("doctor")
    assert code == 1 and "✗ packages" in out and "→ make setup" in out


def test_doctor_knows_a_project_that_has_run(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "data").mkdir()
    dataset = project / "data" / "dataset.h5"
    dataset.write_text("scans")
    (project / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  tdlas-dataset:\n    cmd: x\n    outs:\n"
        f"    - {{path: data/dataset.h5, hash: md5, md5: {md5_file(dataset)}, size: 5}}\n"
    )
    (project / "store").mkdir()
    (project / ".dvc" / "config.local").write_text(
        "[core]\n    remote = disk\n['remote \"disk\"']\n    url = ../store\n"
    )
    with closing(sqlite3.connect(project / "mlflow.db")) as database:
        database.execute("create table runs (id)")
        database.execute("insert into runs values (1)")
        database.commit()
    code, found = findings()
    assert code == 0
    for name in ("tdlas data", "dvc remote", "mlflow store"):
        assert found[name]["status"] == "ok"
    assert "1 runs" in found["mlflow store"]["detail"]
    assert found["git"]["status"] == "optional" and "differ" in found["git"]["detail"]
    dataset.unlink()
    assert "dvc pull" in findings()[1]["tdlas data"]["remedy"]


def test_doctor_says_that_git_does_not_know_its_user(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "-C", str(project), "config", "--unset", "user.email"], check=True)
    monkeypatch.setenv("HOME", str(project))  # where no .gitconfig is
    monkeypatch.setenv("XDG_CONFIG_HOME", str(project))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    found = findings()[1]["git"]
    assert found["status"] == "optional" and "user.email" in found["remedy"]


def test_doctor_survives_its_own_symptoms(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that cannot run is a finding; credentials in a URL are not shown."""
    (project / "requirements.lock").unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@host/db")
    code, out, _ = call("doctor")
    assert code == 1 and "FileNotFoundError" in out and "✓ disk" in out
    assert "secret" not in out
