"""The two-machine story of README.md, line by line as it stands there, through a real sshd."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from ..project import ROOT
from ..two_machines import Machine, assert_one_history, two_machines
from .service import free_port, wait_until_healthy

pytestmark = pytest.mark.timeout(600)
LINE = re.compile(r"^ {4}(laptop|droplet)\$ +(.+)$", re.MULTILINE)


def story() -> list[tuple[str, str]]:
    """(machine, command) of each line, without the remarks behind `  #`."""
    found = LINE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    return [(machine, command.split("  #")[0].strip()) for machine, command in found]


@pytest.fixture
def machines(tmp_path: Path, sshd: dict[str, str]) -> Iterator[dict[str, Machine]]:
    laptop, droplet = two_machines(tmp_path)
    # DVC's ssh client takes the key that lies where ssh keys lie.
    keys = laptop.home / ".ssh"
    keys.mkdir(mode=0o700)
    shutil.copy(sshd["KEY"], keys / "id_ed25519")
    yield {"laptop": laptop, "droplet": droplet}
    laptop.run("earthsignals", "tunnel", "--stop")


def test_readme_can_be_typed_as_it_stands(
    machines: dict[str, Machine], sshd: dict[str, str], tmp_path: Path
) -> None:
    told = story()
    assert len(told) > 10 and told[-1] == ("laptop", "make ui"), "README.md tells another story"
    port, mlflow = free_port(), free_port()
    # What a reader fills in: the droplet's address, and here also ports and folders of our own.
    filled = {
        "HOST=root@DROPLET": f"HOST=droplet TUNNEL='-F {sshd['CONFIG']} --background --remote-port {port} "
        f"--mlflow-port {mlflow}'",
        "root@localhost:2222/srv/earthsignals": f"{sshd['USER']}@localhost:{port}{sshd['ROOT']}/earthsignals",
        " /srv/earthsignals": f" {sshd['ROOT']}/earthsignals",
    }
    used: set[str] = set()
    for name, command in told[:-1]:
        for words, own in filled.items():
            if words in command:
                command, used = command.replace(words, own), used | {words}
        printed = run(machines[name], command)
        if "git" not in command:
            machines[name].ran += re.findall(r"Running stage '([^']+)'", printed)
    assert used == set(filled), "README.md names other places"
    laptop, droplet = machines["laptop"], machines["droplet"]
    stages = runs_of_ui(laptop, free_port())
    assert {"tdlas-train", "tdlas-baselines", "tdlas-evaluate"} <= stages
    # The droplet is told of the evaluation like any other clone.
    run(laptop, "make push PIPELINE=tdlas && git add -A && git commit -qm Evaluated && git push -q")
    run(droplet, "git pull -q && make pull PIPELINE=tdlas")
    assert_one_history(laptop, droplet)
    assert droplet.ran == ["tdlas-train"]


def run(machine: Machine, command: str) -> str:
    """A line typed at a machine, with this environment in the place of the one `make` would install."""
    return machine.run("bash", "-c", command, MAKEFLAGS=_made_already()).stdout


def _made_already() -> str:
    return f" -- VENV={sys.prefix} STAMP={sys.prefix}"


def runs_of_ui(machine: Machine, port: int) -> set[str]:
    """The stages whose runs `make ui` serves."""
    server = subprocess.Popen(
        ["make", "ui", f"PORT={port}"], cwd=machine.folder, start_new_session=True,
        env=machine.environment() | {"MAKEFLAGS": _made_already()},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until_healthy(server, port)
        experiment = _ask(port, "experiments/get-by-name?experiment_name=tdlas")["experiment"]
        runs = _ask(port, "runs/search", {"experiment_ids": [experiment["experiment_id"]]})["runs"]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
    return {tag["value"] for run in runs for tag in run["data"]["tags"] if tag["key"] == "dvc_stage"}


def _ask(port: int, path: str, content: dict | None = None) -> dict:
    data = None if content is None else json.dumps(content).encode()
    request = Request(
        f"http://127.0.0.1:{port}/api/2.0/mlflow/{path}", data, {"Content-Type": "application/json"}
    )
    with urlopen(request, timeout=30) as answer:
        return json.load(answer)
