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
from earthsignals.compute.jobscript import FOLDER, Job, check, script
from earthsignals.compute.jupyter import SCHEDULERS, remote_script
from earthsignals.compute.notebook import opened
from earthsignals.remotes.openssh import Host
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


def refused(project: Path, job: Job) -> str:
    with pytest.raises(EarthSignalsError) as caught:
        slurm.submit(job, project)
    return str(caught.value)


def test_the_script_asks_for_what_was_asked_and_runs_the_stage_once(project: Path) -> None:
    job = Job(
        "sea-train", time="2:00:00", partition="gpu", nodes=2, ntasks_per_node=4, gres="gpu:4", mem="32G",
        account="group", qos="long", cpus_per_task=3, signal_seconds=60, extra=("--constraint=a100",),
        setup=("module load cuda",),
    )  # fmt: skip
    lines = script(job, project).splitlines()
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
    written = script(Job("sea-train"), project)
    assert "EARTHSIGNALS_NODES=1 EARTHSIGNALS_DEVICES=1" in written
    assert "EARTHSIGNALS_LAUNCHER=spawn" in written
    assert "--partition" not in written  # the cluster's default


def test_print_shows_the_script_and_needs_no_slurm(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(project / "bin"))
    shown = CliRunner().invoke(app, ["submit", "sea-train", "--print", "--extra", "constraint=a100"])
    assert shown.exit_code == 0
    assert "#SBATCH --constraint=a100" in shown.stdout
    assert not (project / FOLDER).exists()


def test_what_cannot_work_is_refused_before_it_waits_in_a_queue(project: Path) -> None:
    assert "did you mean sea-train?" in refused(project, Job("sea-trian"))
    assert "fewer GPUs than its 2 ranks" in refused(
        project, Job("sea-train", gres="gpu:a100:1", ntasks_per_node=2)
    )
    # Parts of --gres add up; a shard is no GPU, and a slice's name may begin with a number.
    assert "fewer GPUs than its 4 ranks" in refused(
        project, Job("sea-train", gres="gpu:a100:1,shard:3", ntasks_per_node=4)
    )
    assert "fewer GPUs than its 2 ranks" in refused(
        project, Job("sea-train", gres="gpu:1g.5gb", ntasks_per_node=2)
    )
    check(Job("sea-train", gres="gpu:a100:1,gpu:v100:1,license:9", ntasks_per_node=2), project)
    check(Job("sea-train", gres="shard:4", ntasks_per_node=4), project)  # no GPU is counted, none refused
    # Line breaks for some programs, though not below 32; and what is no text in UTF-8.
    for broken in ("\n", "\u2028", "\x85", "\x7f", "\udcff"):
        assert "control character" in refused(project, Job("sea-train", extra=(f"--x{broken}rm -rf /",)))
        assert "control character" in refused(project, Job("sea-train", setup=(f"true{broken}",)))
    for nothing in ("", "  ", "--"):
        assert "is no option of sbatch" in refused(project, Job("sea-train", extra=(nothing,)))
    assert "--partition is empty" in refused(project, Job("sea-train", partition=""))
    (project / "data.bin").unlink()
    assert "needs data.bin, which is not here" in refused(project, Job("sea-train"))


def test_an_empty_extra_option_stays_empty_on_its_way_from_the_command_line(project: Path) -> None:
    for nothing in ("", "#SBATCH "):
        result = CliRunner().invoke(app, ["submit", "sea-train", "--print", "--extra", nothing])
        assert "--extra '' is no option of sbatch" in str(result.exception)


@pytest.mark.parametrize("stage", ["a b$(touch q)", "../../../tmp/evil", "a;q", "-x", "a\u2028b", ""])
def test_a_stage_whose_name_a_shell_or_a_folder_would_misread_is_no_job(project: Path, stage: str) -> None:
    (project / "dvc.yaml").write_text(json.dumps({"stages": {stage: {"cmd": "true"}}}))
    assert "is no name for a job" in refused(project, Job(stage))
    assert not (project / FOLDER).exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stages: 5", "no mapping"),
        ("stages: {sea-train: 5}", "the stage `sea-train` of"),
        ("stages: {sea-train: }", "the stage `sea-train` of"),
        ("stages: {sea-train: {cmd: x, deps: 5}}", "are lists, but one is `5`"),
        ("stages: {5: {cmd: x}}", "no stage `sea-train`; stages that train: there are none"),
        ("", "no stage `sea-train`"),
    ],
)
def test_a_damaged_dvc_yaml_is_told(project: Path, text: str, said: str) -> None:
    (project / "dvc.yaml").write_text(text)
    assert said in refused(project, Job("sea-train"))


def test_odd_values_and_folders_reach_slurm_as_they_are(tmp_path: Path) -> None:
    root = tmp_path / "50% o'clock"
    lines = script(Job("sea-train", account="a #b"), root).splitlines()
    # A directive is split as a shell would; unquoted, `#` would begin a comment.
    words = [shlex.split(line.removeprefix("#SBATCH ")) for line in lines if line.startswith("#SBATCH ")]
    assert ["--account=a #b"] in words
    # SLURM puts values for %j; a path's own per cent sign stands twice.
    assert [f"--output={tmp_path}/50%% o'clock/{FOLDER}/sea-train-%j.log"] in words
    assert f"cd {shlex.quote(str(root))}" in lines


def test_submitting_tells_job_and_log_and_never_doubles_a_job(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(project, "squeue", "cat queue 2>/dev/null; true")
    program(project, "sbatch", 'echo "$@" > asked; cp "${@: -1}" submitted; echo "17;north"')
    number, log = slurm.submit(Job("sea-train"), project)
    assert (number, log) == (17, project / ".dvc/tmp/slurm/sea-train-17.log")
    assert (project / "submitted").read_text() == script(Job("sea-train"), project)
    # So that a job sent off from a folder below is known again: squeue tells folders.
    assert f"--chdir={project} " in (project / "asked").read_text()
    (project / "queue").write_text("16 /somewhere/else\n")  # another clone's job is no hindrance
    slurm.submit(Job("sea-train"), project)
    (project / "queue").write_text(f"17 {project}\n")
    assert "job 17 already runs or waits for sea-train" in refused(project, Job("sea-train"))
    (project / "queue").unlink()
    program(project, "sbatch", 'echo "sbatch: error: invalid partition specified: gpuu" >&2; exit 1')
    assert refused(project, Job("sea-train")) == "sbatch refused: invalid partition specified: gpuu"
    # A warning before the number does not hide it; without a number, the job may be there all the same.
    program(project, "sbatch", "echo 'warning: café is full' | iconv -t latin1; echo 18")
    assert slurm.submit(Job("sea-train"), project)[0] == 18
    program(project, "sbatch", "echo 'warning: café is full' | iconv -t latin1")
    assert "answered `warning: caf\ufffd is full`, not the job's number" in refused(project, Job("sea-train"))
    program(project, "sbatch", "true")
    told = refused(project, Job("sea-train"))
    assert "answered nothing" in told and "`squeue --me --name sea-train` lists it" in told
    (project / "bin" / "sbatch").write_bytes(b"\x7fELF no program")
    monkeypatch.setenv("PATH", str(project / "bin"))
    (project / "bin" / "squeue").write_text("#!/bin/sh\n")
    assert "sbatch cannot be started: Exec format error" in refused(project, Job("sea-train"))
    monkeypatch.setenv("PATH", "/nowhere")
    assert "sbatch is not on this machine" in refused(project, Job("sea-train"))


def test_a_folder_that_takes_no_script_is_told(project: Path) -> None:
    program(project, "squeue", "true")
    program(project, "sbatch", "touch asked; echo 17")
    (project / FOLDER).touch()
    assert "the batch script cannot be written to" in refused(project, Job("sea-train"))
    assert not (project / "asked").exists()


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("JobState=COMPLETED", 0),
        ("JobState=FAILED ExitCode=3:0 Restarts=(null)", 3),
        ("JobState=TIMEOUT ExitCode=0:15 Restarts=2", 1),
        ("JobState=FAILED ExitCode=odd", 1),
        ("JobState=FAILED ExitCode=256:0", 255),  # 256 would leave as 0
    ],
)
def test_waiting_ends_with_the_jobs_status(project: Path, answer: str, status: int) -> None:
    program(project, "scontrol", f"echo 'JobId=17 {answer}'")
    told: list[str] = []
    assert slurm.wait(17, told.append) == status
    assert len(told) == 1 and ("(start 3)" in told[0]) == ("Restarts=2" in answer)


@pytest.mark.parametrize("body", ["true", "echo no such thing", r"printf '\xff'"])
def test_waiting_for_a_job_that_slurm_tells_nothing_of_ends_with_a_sentence(project: Path, body: str) -> None:
    program(project, "scontrol", body)
    with pytest.raises(EarthSignalsError, match="not the state of job 17: the job goes on without"):
        slurm.wait(17, print)


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
    assert list((project / FOLDER).iterdir()) == []


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


def test_what_keeps_a_start_from_beginning_is_one_sentence(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said() -> str:
        result = CliRunner().invoke(app, ["run", "sea-train"])
        assert isinstance(result.exception, EarthSignalsError), result.exception
        return str(result.exception)

    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("EARTHSIGNALS_STOP_FILE", str(project / FOLDER / "sea-train-17.stop"))
    monkeypatch.setenv("SLURM_RESTART_COUNT", "abc")
    assert "SLURM_RESTART_COUNT is 'abc', no number" in said()
    monkeypatch.delenv("SLURM_RESTART_COUNT")
    (project / FOLDER).touch()  # a file where scripts and stop files shall lie
    assert "could not run sea-train" in said()
    (project / FOLDER).unlink()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)}
    monkeypatch.setenv("PATH", "/nowhere")
    assert "could not run sea-train" in said() and "dvc" in said()
    for number, handler in handlers.items():
        signal.signal(number, handler)


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


def test_a_scheduler_without_a_job_is_no_silent_wish(project: Path) -> None:
    import typer

    single = typer.Typer()
    single.command()(notebook)
    for name in ("foo", "pbs"):
        result = CliRunner().invoke(single, ["--host", "login", "--scheduler", name, "--print"])
        assert f"--scheduler {name} says where a job goes, but no job is asked for" in str(result.exception)
    shown = CliRunner().invoke(single, ["--host", "login", "--scheduler", "pbs", "--job", "", "--print"])
    assert "qsub -N notebook" in shown.stdout


@pytest.mark.parametrize(
    ("ssh", "said"),
    [
        (None, "`ssh` is not installed"),
        ("echo node a; echo host a; echo server is up; cat >/dev/null", "no Jupyter that can be understood"),
        (r"printf 'caf\xe9\n'; echo 'error has no folder there'", "has no folder there"),
    ],
)
def test_what_fails_before_a_notebook_answers_leaves_no_folder_behind(
    project: Path, monkeypatch: pytest.MonkeyPatch, ssh: str | None, said: str
) -> None:
    if ssh is None:
        monkeypatch.setenv("PATH", "/nowhere")
    else:
        program(project, "ssh", ssh)
    (project / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(project / "temporary"))
    with pytest.raises(EarthSignalsError, match=said), opened(Host("login"), "true\n"):
        pass
    assert list((project / "temporary").iterdir()) == []
    monkeypatch.setattr("tempfile.tempdir", str(project / "nowhere"))
    with pytest.raises(EarthSignalsError, match="no temporary folder can be made"), opened(Host("a"), ""):
        pass
