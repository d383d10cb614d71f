"""Laptop and droplet over a real sshd and a real S3 server: the whole story, killed transfers, damage,
and where secrets end up."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from earthsignals.remotes import openssh
from earthsignals.remotes.config import Remote
from earthsignals.remotes.places import open_place
from earthsignals.storage import EarthSignalsError

from .. import relay_project
from ..project import lock, tracked_runs
from ..two_machines import (
    UP_TO_DATE,
    Machine,
    assert_one_history,
    clones_of,
    find_secrets,
    generate_train_evaluate,
)
from .service import free_port

pytestmark = pytest.mark.timeout(600)
SHARD_MB = 24  # of the dataset whose transfers are killed
Server = dict[str, str]


def _open_tunnel(machine: Machine, sshd: Server) -> str:
    """Start `earthsignals tunnel` to the ssh server; returns the port that leads to it."""
    remote_port, mlflow_port = str(free_port()), str(free_port())
    # What the tunnel leaves running must not hold this process's pipes.
    process = machine.start(
        "earthsignals", "tunnel", "droplet", "-F", sshd["CONFIG"], "--remote-port", remote_port,
        "--mlflow-port", mlflow_port, "--background",
    )  # fmt: skip
    assert process.wait(60) == 0
    return remote_port


def _add_ssh(machine: Machine, sshd: Server, port: str, folder: str) -> None:
    machine.run(
        "earthsignals", "remote", "add", f"ssh://localhost:{port}{folder}", "--user", sshd["USER"],
        "--key", sshd["KEY"],
    )  # fmt: skip


def _add_s3(machine: Machine, s3: Server, prefix: str) -> None:
    machine.run(
        "earthsignals", "remote", "add", f"s3://{s3['BUCKET']}/{prefix}", "--endpoint-url", s3["ENDPOINT"],
        "--access-key-id", s3["ACCESS_KEY_ID"], AWS_SECRET_ACCESS_KEY=s3["SECRET_ACCESS_KEY"],
    )  # fmt: skip


def test_the_story_over_ssh_through_a_tunnel(sshd: Server, tmp_path: Path) -> None:
    """The droplet is the machine of the ssh server, so its remote is a folder. (The real tdlas pipeline
    goes the same way in test_readme_story.)"""
    laptop, droplet = clones_of(relay_project.make(tmp_path / "first", shard_mb=1), tmp_path)
    folder = f"{sshd['ROOT']}/story"
    port = _open_tunnel(laptop, sshd)
    try:
        _add_ssh(laptop, sshd, port, folder)
        droplet.run("earthsignals", "remote", "add", folder, "--local")
        generate_train_evaluate(laptop, droplet, relay_project.PREPARED, relay_project.JUDGED)
        # The droplet's own address of the remote stays its own; git carries the laptop's.
        assert f"localhost:{port}" in (droplet.folder / ".dvc/config").read_text()
        assert "all good" in laptop.run("earthsignals", "remote", "verify", "-F", sshd["CONFIG"]).stdout
    finally:
        laptop.run("earthsignals", "tunnel", "--stop")
    assert_one_history(laptop, droplet)
    trained = {run["tags"]["dvc_stage"]: run for run in tracked_runs(laptop.folder, "tdlas")}["tdlas-train"]
    model = {out["path"]: out["md5"] for out in lock(droplet.folder)["tdlas-train"]["outs"]}
    assert trained["tags"]["out.data/tdlas/best_model.txt"] == model["data/tdlas/best_model.txt"]
    assert trained["status"] == "FINISHED"
    key = Path(sshd["KEY"]).read_text().splitlines()[2]  # a line of the key's own bytes
    assert find_secrets(laptop, [key]) == find_secrets(droplet, [key]) == []


def test_the_story_over_s3_leaves_no_secret_behind(s3: Server, tmp_path: Path) -> None:
    laptop, droplet = clones_of(relay_project.make(tmp_path / "first", shard_mb=1), tmp_path)
    for machine in (laptop, droplet):
        _add_s3(machine, s3, "story")
        # The droplet has the address by git; what is left to add are its keys.
        if machine is laptop:
            machine.run("git", "add", "-A")
            machine.run("git", "commit", "-qm", "the remote")
            machine.run("git", "push", "-q")
            droplet.run("git", "pull", "-q")
    secret = s3["SECRET_ACCESS_KEY"]
    # Also where a user has it in the environment of all that runs.
    generate_train_evaluate(
        laptop, droplet, relay_project.PREPARED, relay_project.JUDGED, AWS_SECRET_ACCESS_KEY=secret
    )
    assert "all good" in laptop.run("earthsignals", "remote", "verify", "--all-commits").stdout
    assert_one_history(laptop, droplet)
    for machine in (laptop, droplet):
        assert find_secrets(machine, [secret, s3["ACCESS_KEY_ID"]]) == []
        private = machine.folder / ".dvc/config.local"
        assert secret in private.read_text()
        assert private.stat().st_mode & 0o077 == 0
        assert machine.run("git", "check-ignore", ".dvc/config.local").stdout


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> tuple[Machine, Machine]:
    """Two clones of a project whose dataset takes seconds to send; the laptop has it."""
    folder = tmp_path_factory.mktemp("big")
    laptop, droplet = clones_of(relay_project.make(folder / "first", shard_mb=SHARD_MB), folder)
    laptop.repro("tdlas-dataset")
    laptop.run("git", "add", "-A")
    laptop.run("git", "commit", "-qm", "a dataset")
    laptop.run("git", "push", "-q")
    droplet.run("git", "pull", "-q")
    return laptop, droplet


@pytest.fixture(params=["ssh", "s3"])
def remote(request: pytest.FixtureRequest, big: tuple[Machine, Machine]) -> Iterator[Path]:
    """Both clones with an empty remote, and caches as after the dataset's making; yields its folder."""
    server: Server = request.getfixturevalue("sshd" if request.param == "ssh" else "s3")
    for machine in big:
        machine.run("git", "checkout", "-q", ".dvc/config")
        (machine.folder / ".dvc/config.local").unlink(missing_ok=True)
        if request.param == "ssh":
            _add_ssh(machine, server, server["PORT"], f"{server['ROOT']}/big")
        else:
            _add_s3(machine, server, "big")
    _remove(big[1].folder / ".dvc/cache", big[1].folder / "data")
    yield Path(server["ROOT"] if request.param == "ssh" else server["FOLDER"]) / "big"


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _size(folder: Path) -> int:
    """Bytes of the files below a folder that others are writing to."""
    total = 0
    for top, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.path.getsize(os.path.join(top, name))
            except FileNotFoundError:
                continue
    return total


def _kill_half_way(machine: Machine, command: list[str], folder: Path) -> None:
    """SIGKILL the command and all it started when a part of the dataset has reached `folder`."""
    whole = relay_project.SHARDS * SHARD_MB << 20
    process = machine.start(*command)
    deadline = time.monotonic() + 60
    while _size(folder) < whole / 4:
        assert process.poll() is None and time.monotonic() < deadline, "it was over before it was killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert _size(folder) < whole, "it was over before it was killed"


def test_transfers_killed_half_way_and_damage_on_the_remote(
    big: tuple[Machine, Machine], remote: Path
) -> None:
    laptop, droplet = big
    verify = ("earthsignals", "remote", "verify")
    if remote.parent.name == "root":  # the folder of services/sshd.sh
        verify += ("-F", str(remote.parents[1] / "ssh_config"))
    named = {out["path"]: out["md5"] for out in lock(laptop.folder)["tdlas-dataset"]["outs"]}
    head, rest = named["data/tdlas/dataset"][:2], named["data/tdlas/dataset"][2:]

    _kill_half_way(laptop, ["dvc", "push", "--run-cache"], remote)
    assert laptop.run(*verify, check=False).returncode == 1  # what is missing is named, not passed over
    laptop.run("dvc", "push", "--run-cache")
    assert "all good" in laptop.run(*verify, "--download").stdout

    _kill_half_way(droplet, ["dvc", "pull", "tdlas-dataset"], droplet.folder / ".dvc/cache")
    droplet.run("dvc", "pull", "tdlas-dataset")
    assert droplet.status("tdlas-dataset") == UP_TO_DATE
    for shard in range(relay_project.SHARDS):
        name = f"data/tdlas/dataset/{shard}.bin"
        assert (droplet.folder / name).read_bytes() == (laptop.folder / name).read_bytes()

    # What the killed push had begun lies there under a temporary name, and stays: nobody reads it.
    stored = [path for path in (remote / "files/md5").rglob("*") if path.is_file() and _is_object(path)]
    objects = sorted(path for path in stored if path.stat().st_size > 1 << 20)
    assert len(objects) == relay_project.SHARDS
    _flip_a_byte(objects[0])
    _truncate(objects[1])
    objects[2].unlink()
    found = laptop.run(*verify, check=False)
    assert found.returncode == 1
    for number, damage in enumerate(("corrupt", "truncated", "missing")):
        lines = [line for line in found.stdout.splitlines() if damage in line and line.startswith("✗")]
        assert any("tdlas-dataset" in line for line in lines), found.stdout
        assert objects[number].name[:6] in found.stdout or any(".bin" in line for line in lines)
    # A clone that trusts nobody: pulling a damaged object fails, and no wrong byte reaches the workspace.
    _remove(droplet.folder / ".dvc/cache", droplet.folder / "data")
    assert droplet.run("dvc", "pull", "tdlas-dataset", check=False).returncode != 0
    for path in (droplet.folder / "data").rglob("*.bin"):
        assert path.read_bytes() == (laptop.folder / path.relative_to(droplet.folder)).read_bytes()

    laptop.run(*verify, "--repair")
    assert "all good" in laptop.run(*verify, "--download").stdout
    droplet.run("dvc", "pull", "tdlas-dataset")
    assert droplet.status("tdlas-dataset") == UP_TO_DATE
    assert (remote / "files/md5" / head / rest).is_file()


def _is_object(path: Path) -> bool:
    """Whether DVC looks for a file of this name: 30 of an md5's 32 hexadecimal digits."""
    return re.fullmatch(r"[0-9a-f]{30}(\.dir)?", path.name) is not None


def _flip_a_byte(path: Path) -> None:
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(1000)
        file.write(bytes([byte[0] ^ 1]))


def _truncate(path: Path) -> None:
    path.chmod(0o600)
    os.truncate(path, path.stat().st_size - 1)


def test_a_repair_whose_connection_dies_leaves_no_half_object(sshd: Server, tmp_path: Path) -> None:
    """At the other end a lost connection looks like the object's end; its size tells them apart."""
    folder, name = Path(sshd["ROOT"]) / "torn", "files/md5/ab/" + "c" * 30
    folder.mkdir()
    source = tmp_path / "object"
    with source.open("wb") as file:
        file.truncate(2 << 30)  # sparse: nothing is written here, but all of it is sent
    remote = Remote("torn", f"ssh://{sshd['HOST']}:{sshd['PORT']}{folder}", {"user": sshd["USER"]})
    with open_place(tmp_path, remote, 1, Path(sshd["CONFIG"]), lambda md5: None) as place:
        check = openssh.command(place.host, "-S", str(place.socket), "-O", "check")
        said = subprocess.run(check, capture_output=True, text=True).stderr  # Master running (pid=123)
        connection = int(said.partition("pid=")[2].partition(")")[0])
        with ThreadPoolExecutor(1) as pool:
            sent = pool.submit(place.put, name, source)
            deadline = time.monotonic() + 60
            while _size(folder) < 1 << 20:
                assert not sent.done() and time.monotonic() < deadline, "it was over before it was killed"
            os.kill(connection, signal.SIGKILL)
            with pytest.raises(EarthSignalsError):
                sent.result()
    deadline = time.monotonic() + 30
    while any(path.is_file() for path in folder.rglob("*")):
        assert not (folder / name).exists(), "half of it has the object's name"
        assert time.monotonic() < deadline, "the part that arrived stays"
        time.sleep(0.1)


def test_the_servers_refuse_the_wrong_keys(
    big: tuple[Machine, Machine], sshd: Server, s3: Server, tmp_path: Path
) -> None:
    """That the stories pass says something only if the servers let nobody else in."""
    laptop, _ = big
    wrong = "0" * len(s3["SECRET_ACCESS_KEY"])
    laptop.run("git", "checkout", "-q", ".dvc/config")
    (laptop.folder / ".dvc/config.local").unlink(missing_ok=True)
    _add_s3(laptop, s3 | {"SECRET_ACCESS_KEY": wrong}, "refused")
    refused = laptop.run("dvc", "push", check=False)
    assert refused.returncode != 0
    assert wrong not in refused.stdout + refused.stderr
    stranger = tmp_path / "stranger"
    laptop.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(stranger))
    laptop.run("git", "checkout", "-q", ".dvc/config")
    (laptop.folder / ".dvc/config.local").unlink()
    _add_ssh(laptop, sshd | {"KEY": str(stranger)}, sshd["PORT"], f"{sshd['ROOT']}/refused")
    assert laptop.run("dvc", "push", check=False).returncode != 0
    assert not (Path(sshd["ROOT"]) / "refused").exists()
