"""A real SLURM: a training saved, requeued and finished as if unbroken; ranks by srun; a notebook."""

from __future__ import annotations

import json
import os
import pwd
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from earthsignals.compute.notebook import opened
from earthsignals.compute.slurm import job_state, wait
from earthsignals.remotes.openssh import parse_host
from earthsignals.storage import EarthSignalsError, md5_file

from ..project import ROOT, run

# A training of the house's own loop: small, but slow enough to be caught in the middle of an epoch.
TRAINING = """\
import json, torch
from pathlib import Path
from earthsignals.settings import load_settings
from earthsignals.stage import run_stage
from earthsignals.training import TrainingOptions, fit
from tiny import loss

def main():
    torch.manual_seed(0)
    x = torch.randn(320, 6)
    y = x @ torch.randn(6, 1)
    model = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    options = TrainingOptions(epochs=3, batch_size=16, learning_rate=0.01, seed=3)
    result = fit(model, loss, (x[:256], y[:256]), (x[256:], y[256:]), options, load_settings(),
                 resume_root=Path(".resume/tiny-train"), key="tiny")
    weights = {name: value.tolist() for name, value in model.state_dict().items()}
    curve = [[row["train_loss"], row["validation_loss"]] for row in result.history]
    Path("weights.json").write_text(json.dumps({"weights": weights, "curve": curve}))

if __name__ == "__main__":
    run_stage(main)
"""
# Steps are counted in a file, so that a test can act in the middle of an epoch.
LOSS = """\
import os, time
import torch

def loss(model, batch):
    if model.training:
        with open("steps", "a") as file:
            file.write(os.environ.get("SLURM_PROCID", "-") + "\\n")
        time.sleep(float(os.environ.get("TINY_SECONDS", "0")))
    return torch.nn.functional.mse_loss(model(batch[0]), batch[1])
"""
STAGES = "stages:\n  tiny-train: {cmd: python train.py, deps: [train.py, tiny.py], outs: [weights.json]}\n"
LIMIT = "--time=5"


@pytest.fixture
def cluster(slurm: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process and its jobs talk to the test's SLURM; nothing is left in its queue."""
    for name in list(os.environ):
        if name.startswith(("SLURM_", "SBATCH_", "EARTHSIGNALS_", "MLFLOW_", "DVC_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SLURM_CONF", slurm["SLURM_CONF"])
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    yield
    subprocess.run(["scancel", "--me"], check=True)


def make_project(folder: Path) -> Path:
    """A repository whose one stage is the training above."""
    folder.mkdir()
    for name, text in {
        "train.py": TRAINING, "tiny.py": LOSS, "dvc.yaml": STAGES, "params.yaml": "tiny: {}\n",
        "settings.yaml": "device: cpu\nthreads: 1\n", ".gitignore": "/.resume/\n/steps\n/settings.yaml\n",
    }.items():  # fmt: skip
        (folder / name).write_text(text)
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"], ["git", "add", "-A"]):
        run(folder, *command)
    return folder


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Weights and curve of the training in one go, without SLURM and without DVC."""
    folder = make_project(tmp_path_factory.mktemp("unbroken") / "project")
    run(folder, sys.executable, "train.py")
    return {"md5": md5_file(folder / "weights.json")} | json.loads((folder / "weights.json").read_text())


def submit(folder: Path, *options: str) -> tuple[int, Path]:
    """Through the real command line; returns job and log."""
    done = run_here(folder, "slurm", "submit", "tiny-train", *options)
    assert done.returncode == 0, done.stderr
    number = int(re.search(r"job (\d+)", done.stdout)[1])
    return number, folder / f".dvc/tmp/slurm/tiny-train-{number}.log"


def run_here(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "earthsignals.cli.main", *words], cwd=folder, capture_output=True, text=True
    )


def wait_until(condition: Callable[[], bool], seconds: float = 120, told: Path | None = None) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, told.read_text() if told and told.exists() else "too late"
        time.sleep(0.05)


def steps(folder: Path) -> list[str]:
    path = folder / "steps"
    return path.read_text().splitlines() if path.exists() else []


def finish(number: int, log: Path) -> list[str]:
    """Wait for the job's good end; returns the states it went through."""
    states: list[str] = []
    status = wait(number, states.append, seconds=0.2)
    assert status == 0, log.read_text()
    return states


def test_interrupted_and_requeued_it_ends_with_the_weights_of_an_unbroken_run(
    cluster: None, tmp_path: Path, unbroken: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_project(tmp_path / "project")
    monkeypatch.setenv("TINY_SECONDS", "0.1")
    number, log = submit(folder, LIMIT, "--partition", "gpu", "--gres", "gpu:1")
    again = run_here(folder, "slurm", "submit", "tiny-train")
    assert again.returncode == 1 and f"job {number} already runs" in again.stderr
    # 16 steps an epoch: the 20th lies in the middle of the second.
    wait_until(lambda: len(steps(folder)) >= 20, told=log)
    subprocess.run(["scancel", "--signal=USR1", "--batch", str(number)], check=True)
    finish(number, log)
    assert job_state(number)["Restarts"] == "1"
    told = log.read_text()
    for words in ("start 1 on", "the time limit is near", "back into the queue", "start 2 on", "done"):
        assert words in told, told
    assert md5_file(folder / "weights.json") == unbroken["md5"]
    # Each of the 48 steps was computed once: resumed at the very step, not at the epoch's start.
    assert len(steps(folder)) == 48
    # One process wrote dvc.lock, and it holds what is there.
    assert "up to date" in run(folder, "dvc", "status").stdout


def test_a_stage_that_fails_ends_its_job_with_its_status(cluster: None, tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project")
    (folder / "train.py").write_text("import sys; sys.exit('error: no data today')\n")
    done = run_here(folder, "slurm", "submit", "tiny-train", LIMIT, "--wait")
    assert done.returncode != 0
    log = next((folder / ".dvc/tmp/slurm").glob("*.log"))
    assert "error: no data today" in log.read_text()
    assert "not requeued" not in log.read_text() and "failed with status" in log.read_text()
    number = int(log.stem.rpartition("-")[2])
    assert job_state(number)["JobState"] == "FAILED"


def follows(folder: Path, unbroken: dict) -> None:
    """Two ranks did the steps, each half of every batch, and the losses are those of one process."""
    assert set(steps(folder)) == {"0", "1"}
    assert len(steps(folder)) == 2 * 48
    curve = json.loads((folder / "weights.json").read_text())["curve"]
    # Gradients are means over the same batch; only the order of float32 sums differs.
    for ours, one in zip(curve, unbroken["curve"], strict=True):
        assert ours == pytest.approx(one, rel=2e-4)


def test_two_ranks_on_two_nodes_follow_the_curve_of_one_process(
    cluster: None, tmp_path: Path, unbroken: dict
) -> None:
    folder = make_project(tmp_path / "project")
    number, log = submit(folder, LIMIT, "--nodes", "2", "--partition", "pair")
    finish(number, log)
    follows(folder, unbroken)


def test_two_ranks_on_one_node_follow_it_too_and_are_interrupted_and_resumed_alike(
    cluster: None, tmp_path: Path, unbroken: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = make_project(tmp_path / "whole"), make_project(tmp_path / "broken")
    number, log = submit(whole, LIMIT, "--ntasks-per-node", "2")
    finish(number, log)
    follows(whole, unbroken)
    monkeypatch.setenv("TINY_SECONDS", "0.1")
    number, log = submit(broken, LIMIT, "--ntasks-per-node", "2")
    wait_until(lambda: len(steps(broken)) >= 40, told=log)
    subprocess.run(["scancel", "--signal=USR1", "--batch", str(number)], check=True)
    finish(number, log)
    assert job_state(number)["Restarts"] == "1"
    assert len(steps(broken)) == 2 * 48
    assert md5_file(broken / "weights.json") == md5_file(whole / "weights.json")


@pytest.fixture
def far_project(slurm: dict[str, str], tmp_path: Path) -> Path:
    """The project as the login host has it; a login shell there would know its SLURM by itself."""
    programs = tmp_path / "far" / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "jupyter-lab").symlink_to(Path(sys.executable).parent / "jupyter-lab")
    for name in ("sbatch", "squeue", "scancel"):
        (programs / name).write_text(
            f'#!/bin/sh\nSLURM_CONF={slurm["SLURM_CONF"]} exec /usr/bin/{name} "$@"\n'
        )
        (programs / name).chmod(0o755)
    return tmp_path / "far"


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_a_notebook_on_a_node_answers_here_and_ends_with_us(
    cluster: None, sshd: dict[str, str], far_project: Path, tmp_path: Path, ending: signal.Signals
) -> None:
    folder = make_project(tmp_path / "here")
    words = ["--slurm", "--partition gpu --gres gpu:1 --time 5", "--folder", str(far_project)]
    process = subprocess.Popen(
        [sys.executable, "-m", "earthsignals.cli.main", "notebook", "-F", sshd["CONFIG"], "--host", "droplet",
         *words],
        cwd=folder, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    shown = ""
    while "token=" not in shown:
        line = process.stdout.readline()
        assert line, shown
        shown += line
    address, _, token = re.search(r"http\S+", shown)[0].partition("lab?token=")
    job = re.search(r"job (\d+)", shown)[1]
    with urlopen(f"{address}api/contents?token={token}") as answer:
        assert answer.status == 200
    with pytest.raises(HTTPError, match="403"):
        urlopen(f"{address}api/contents")
    listed = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout
    assert "jupyter-lab" in listed and token not in listed
    process.send_signal(ending)
    process.wait(30)
    process.stdout.close()
    wait_until(lambda: job_state(int(job))["JobState"] == "CANCELLED")
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)  # the login's, whatever HOME says here
    wait_until(lambda: not list(home.glob(".earthsignals-notebook.*")))


def test_a_notebook_refuses_a_host_it_does_not_know(
    sshd: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_project(tmp_path / "here")
    config = tmp_path / "config"
    known = tmp_path / "nobody"
    known.touch()
    config.write_text(Path(sshd["CONFIG"]).read_text().replace(sshd["KNOWN_HOSTS"], str(known)))
    done = run_here(folder, "notebook", "-F", str(config), "--host", "droplet")
    assert done.returncode == 1
    assert "host key" in done.stderr and "Traceback" not in done.stderr


class _Answering(BaseHTTPRequestHandler):
    """What Jupyter's version page is to us: some JSON."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"version": "2"}')

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.mark.parametrize("known", [True, False])
def test_a_node_behind_the_login_host_is_reached_only_by_a_known_key(
    sshd: dict[str, str], tmp_path: Path, known: bool
) -> None:
    key = next(line.split(maxsplit=1)[1] for line in Path(sshd["KNOWN_HOSTS"]).read_text().splitlines())
    keys = tmp_path / "keys"
    keys.write_text(f"inner {key}\n" if known else "")
    config = tmp_path / "config"
    # The node is the same server by another name, so only the key kept under that name counts.
    config.write_text(
        f"{Path(sshd['CONFIG']).read_text()}\nHost inner\n  HostName {sshd['HOST']}\n  Port {sshd['PORT']}\n"
        f"  User {sshd['USER']}\n  IdentityFile {sshd['KEY']}\n  HostKeyAlias inner\n"
        f"  GlobalKnownHostsFile {keys}\n"
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answering) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        told = json.dumps({"port": server.server_port, "base_url": "/", "token": "t"})
        lines = f"echo node inner; echo host login; echo 'server {told}'; cat <&3"
        script = f"main() {{\n{lines}\n}}\nmain 3<&0\n"
        if known:
            with opened(parse_host("droplet", config), script) as found:
                assert found.node == "inner" and found.url.endswith("/lab?token=t")
                with urlopen(found.url.partition("lab")[0]) as answer:
                    assert json.load(answer) == {"version": "2"}
        else:
            with pytest.raises(EarthSignalsError, match="inner, whose host key droplet does not know"):
                opened(parse_host("droplet", config), script).__enter__()
        server.shutdown()
