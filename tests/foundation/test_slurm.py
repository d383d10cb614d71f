"""SLURM jobs and notebooks without a SLURM: the scripts, the supervisor inside a job, the refusals."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from earthsignals.cli.notebook import notebook
from earthsignals.cli.slurm import app
from earthsignals.compute import slurm
from earthsignals.compute.jupyter import SCHEDULERS, remote_script
from earthsignals.storage import EarthSignalsError

STAGES = """\
stages:
  sea-dataset: {cmd: 'true', outs: [data.bin]}
  sea-train: {cmd: python train.py, deps: [train.py, data.bin: {persist: true}], outs: [weights.bin]}
"""
# Trains ten steps, one file a step; asked to stop it writes a resume point and leaves with status 1.
TRAINING = """\
import os, sys, time
from pathlib import Path
stop, point = Path(os.environ["EARTHSIGNALS_STOP_FILE"]), Path(".resume/sea-train/key/last.pt")
point.parent.mkdir(parents=True, exist_ok=True)
first = int(point.read_text()) if point.exists() else 0
for step in range(first, 10):
    Path("going").touch()
    while {waits}: time.sleep(0.01)
    if stop.exists():
        {on_stop}
        sys.exit(1)
sys.exit({status})
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two stages, and a folder of programs in front of PATH."""
    for name in list(os.environ):
        if name.startswith(("SLURM_", "EARTHSIGNALS_", "SBATCH_")):
            monkeypatch.delenv(name)
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "params.yaml").write_text("sea: {}\n")
    (tmp_path / "dvc.yaml").write_text(STAGES)
    (tmp_path / "train.py").write_text("")
    (tmp_path / "data.bin").write_text("")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def program(project: Path, name: str, body: str) -> None:
    path = project / "bin" / name
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


def refused(project: Path, job: slurm.Job) -> str:
    with pytest.raises(EarthSignalsError) as caught:
        slurm.submit(job, project)
    return str(caught.value)


def test_the_script_asks_for_what_was_asked_and_runs_the_stage_once(project: Path) -> None:
    job = slurm.Job(
        "sea-train", time="2:00:00", partition="gpu", nodes=2, ntasks_per_node=4, gres="gpu:4", mem="32G",
        account="group", qos="long", cpus_per_task=3, signal_seconds=60, extra=("--constraint=a100",),
        setup=("module load cuda",),
    )  # fmt: skip
    lines = slurm.script(job, project).splitlines()
    asked = {line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH ")}
    assert {
        "--time=2:00:00", "--partition=gpu", "--nodes=2", "--ntasks-per-node=4", "--gres=gpu:4", "--mem=32G",
        "--account=group", "--qos=long", "--cpus-per-task=3", "--signal=B:USR1@60", "--requeue",
        "--open-mode=append", "--constraint=a100", "--job-name=sea-train",
    } <= asked  # fmt: skip
    # sbatch reads directives up to the first command only.
    assert max(i for i, line in enumerate(lines) if line.startswith("#SBATCH")) < lines.index(
        "set -euo pipefail"
    )
    assert "export EARTHSIGNALS_NODES=2 EARTHSIGNALS_DEVICES=4" in lines
    assert "export EARTHSIGNALS_LAUNCHER=srun" in lines
    assert lines.index("module load cuda") < len(lines) - 1
    # By exec: a shell in between would get the signal and die of it.
    assert lines[-1] == "exec earthsignals slurm run sea-train"
    subprocess.run(["bash", "-n"], input="\n".join(lines), text=True, check=True)


def test_one_rank_needs_no_srun_whatever_the_settings_file_says(project: Path) -> None:
    written = slurm.script(slurm.Job("sea-train"), project)
    assert "EARTHSIGNALS_NODES=1 EARTHSIGNALS_DEVICES=1" in written
    assert "EARTHSIGNALS_LAUNCHER=spawn" in written
    assert "--partition" not in written  # the cluster's default


def test_print_shows_the_script_and_needs_no_slurm(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(project / "bin"))
    shown = CliRunner().invoke(app, ["submit", "sea-train", "--print", "--extra", "constraint=a100"])
    assert shown.exit_code == 0
    assert "#SBATCH --constraint=a100" in shown.stdout
    assert not (project / slurm.FOLDER).exists()


def test_what_cannot_work_is_refused_before_it_waits_in_a_queue(project: Path) -> None:
    assert "did you mean sea-train?" in refused(project, slurm.Job("sea-trian"))
    assert "fewer GPUs than its 2 ranks" in refused(
        project, slurm.Job("sea-train", gres="gpu:a100:1", ntasks_per_node=2)
    )
    assert "control character" in refused(project, slurm.Job("sea-train", extra=("--x\nrm -rf /",)))
    (project / "data.bin").unlink()
    assert "needs data.bin, which is not here" in refused(project, slurm.Job("sea-train"))


def test_submitting_tells_job_and_log_and_never_doubles_a_job(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(project, "squeue", "cat queue 2>/dev/null; true")
    program(project, "sbatch", 'cp "${@: -1}" submitted; echo "17;north"')
    number, log = slurm.submit(slurm.Job("sea-train"), project)
    assert (number, log) == (17, project / ".dvc/tmp/slurm/sea-train-17.log")
    assert (project / "submitted").read_text() == slurm.script(slurm.Job("sea-train"), project)
    (project / "queue").write_text("16 /somewhere/else\n")  # another clone's job is no hindrance
    slurm.submit(slurm.Job("sea-train"), project)
    (project / "queue").write_text(f"17 {project}\n")
    assert "job 17 already runs or waits for sea-train" in refused(project, slurm.Job("sea-train"))
    (project / "queue").unlink()
    program(project, "sbatch", 'echo "sbatch: error: invalid partition specified: gpuu" >&2; exit 1')
    assert refused(project, slurm.Job("sea-train")) == "sbatch refused: invalid partition specified: gpuu"
    monkeypatch.setenv("PATH", "/nowhere")
    assert "sbatch is not on this machine" in refused(project, slurm.Job("sea-train"))


def start(project: Path, *, waits: str = "False", on_stop: str = "pass", status: int = 0, restart: int = 0):
    """`slurm run` as the batch script would start it, with a stand-in for dvc and for scontrol."""
    (project / "train.py").write_text(TRAINING.format(waits=waits, on_stop=on_stop, status=status))
    (project / "going").unlink(missing_ok=True)
    program(project, "scontrol", 'echo "$@" >> scontrol.log')
    program(project, "dvc", f'[ "$*" = "repro -s sea-train" ] && exec {sys.executable} train.py')
    inside = {
        "SLURM_JOB_ID": "17", "SLURM_RESTART_COUNT": str(restart),
        "EARTHSIGNALS_STOP_FILE": str(project / ".dvc/tmp/slurm/sea-train-17.stop"),
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", "from earthsignals.cli.slurm import app; app(['run', 'sea-train'])"],
        env=os.environ | inside, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def interrupted(project: Path, **training) -> tuple[int, str]:
    """Exit status and log of a start that gets USR1 while it trains."""
    process = start(project, waits="not stop.exists()", **training)
    while not (project / "going").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGUSR1)
    _, log = process.communicate(timeout=20)
    return process.returncode, log


def requeued(project: Path) -> list[str]:
    log = project / "scontrol.log"
    return log.read_text().splitlines() if log.exists() else []


def test_a_start_that_ends_by_itself_keeps_its_status(project: Path) -> None:
    for status in (0, 3):
        process = start(project, status=status)
        _, log = process.communicate(timeout=20)
        assert process.returncode == status
        assert ("done" if status == 0 else "failed with status 3") in log
    assert requeued(project) == []


def test_a_warned_start_that_saved_itself_is_requeued_and_goes_on(project: Path) -> None:
    status, log = interrupted(project, on_stop="point.write_text(str(step + 1))")
    assert status == 0, log
    assert requeued(project) == ["requeue 17"]
    assert "saved in .resume/sea-train/key/last.pt; back into the queue" in log
    # The next start finds no stop file of the last one.
    process = start(project, restart=1)
    _, log = process.communicate(timeout=20)
    assert process.returncode == 0 and "start 2" in log
    assert list((project / slurm.FOLDER).iterdir()) == []


def test_a_warned_start_that_saved_nothing_fails_as_the_stage_did(project: Path) -> None:
    point = project / ".resume/sea-train/key/last.pt"
    point.parent.mkdir(parents=True)
    point.write_text("3")  # of an earlier day: no proof that this start saved anything
    status, log = interrupted(project)
    assert status == 1 and "saved nothing since it was asked to" in log
    assert requeued(project) == []


def test_starts_that_get_no_further_are_not_repeated_for_ever(project: Path) -> None:
    status, _ = interrupted(project, on_stop="point.write_text('0')")
    assert status == 0
    status, log = interrupted(project, on_stop="point.write_text('0')", restart=1)
    assert status == 1 and "no step further" in log
    assert requeued(project) == ["requeue 17"]


def test_outside_a_job_the_remedy_is_told(project: Path) -> None:
    result = CliRunner().invoke(app, ["run", "sea-train"])
    assert "earthsignals slurm submit sea-train" in str(result.exception)


JUPYTER = """\
printf '{"port": 8888, "token": "%s", "base_url": "/"}' secret > "$JUPYTER_RUNTIME_DIR/jpserver-1.json"
echo "$@" > jupyter.args
trap 'touch jupyter.ended' EXIT; trap 'exit' TERM HUP
while true; do sleep 0.05; done
"""


def far_side(project: Path, monkeypatch: pytest.MonkeyPatch, scheduler: str | None, words: str = ""):
    """The remote script in a local shell; its batch system runs the job at once, in the background."""
    there = project / "there"
    (there / ".venv" / "bin").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(project))
    program(project, "jupyter-lab", JUPYTER)
    (project / "bin" / "jupyter-lab").rename(there / ".venv" / "bin" / "jupyter-lab")
    submits = 'printf "%s\\n" "$@" > submit.args; bash >/dev/null 2>&1 & echo $! | tee job'
    for name in ("sbatch", "qsub"):
        # A background command's input is /dev/null unless it is named.
        program(project, name, submits.replace("bash >", "exec 4<&0; bash <&4 >"))
    for name in ("scancel", "qdel"):
        program(project, name, 'kill "$1"')
    for name in ("squeue", "qstat"):
        program(project, name, 'kill -0 "${@: -1}" 2>/dev/null && echo RUNNING')
    return subprocess.Popen(
        ["bash", "-s"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=project
    ), remote_script("there", scheduler, words)


@pytest.mark.parametrize("scheduler", [None, *SCHEDULERS])
def test_jupyter_lives_as_long_as_the_connection(
    project: Path, monkeypatch: pytest.MonkeyPatch, scheduler: str | None
) -> None:
    words = "" if scheduler is None else "--partition gpu --comment 'a; touch pwned'"
    process, script = far_side(project, monkeypatch, scheduler, words)
    process.stdin.write(script)
    process.stdin.flush()
    reports = {}
    while "server" not in reports:
        word, _, text = process.stdout.readline().strip().partition(" ")
        assert word != "error" and process.poll() is None, text
        reports[word] = text
    assert json.loads(reports["server"])["token"] == "secret"
    assert reports["node"] == reports["host"]
    assert ("job" in reports) == (scheduler is not None)
    there = project / "there"
    arguments = (there / "jupyter.args").read_text()
    assert "--ServerApp.ip=127.0.0.1" in arguments and "secret" not in arguments
    if scheduler:
        asked = (there / "submit.args").read_text().splitlines()
        assert asked[-4:] == ["--partition", "gpu", "--comment", "a; touch pwned"]
    state = next(project.glob(".earthsignals-notebook.*"))
    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / "jpserver-1.json").stat().st_mode & 0o777 == 0o600
    process.stdin.close()  # what a broken connection looks like there
    assert process.wait(10) != 0
    assert (there / "jupyter.ended").exists()
    assert not state.exists() and not list(project.rglob("pwned"))
    process.stdout.close()


def test_a_host_without_the_project_or_the_batch_system_is_told(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(script: str) -> str:
        return subprocess.run(
            ["bash", "-s"], input=script, capture_output=True, text=True, cwd=project
        ).stdout.strip()

    assert said(remote_script("~/elsewhere", None, "")) == (
        "error has no folder elsewhere; clone the project there, or name it by --folder"
    )
    (project / "there").mkdir()
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert "has no jupyter-lab in" in said(remote_script("there", None, ""))
    with pytest.raises(EarthSignalsError, match="`moab2` is not known here; expected one of slurm, sge, pbs"):
        remote_script("there", "moab2", "")
    with pytest.raises(EarthSignalsError, match="cannot be read"):
        remote_script("there", "slurm", "--comment 'open")


def test_notebook_prints_what_would_run_with_no_secret_in_it(project: Path) -> None:
    import typer

    single = typer.Typer()
    single.command()(notebook)
    options = ["--host", "login", "--slurm", "--partition gpu", "--print"]
    shown = CliRunner().invoke(single, options)
    assert shown.exit_code == 0
    assert "submit() { sbatch --parsable" in shown.stdout and "--partition gpu" in shown.stdout
    assert "token" not in shown.stdout
    assert f"folder={shlex.quote(project.name)}" in shown.stdout  # the same name there as here
