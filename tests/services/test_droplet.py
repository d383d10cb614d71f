"""`earthsignals droplet setup` on a real sshd: sources, environment, doctor; twice, and when it cannot."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from ..project import make_clone, run


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clone(tmp_path_factory.mktemp("laptop"))


@pytest.fixture
def no_keys(tmp_path, monkeypatch):
    """A home without ssh keys, known hosts and git's own configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))


def set_up(laptop: Path, sshd: dict[str, str], folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = ["droplet", "setup", "droplet", "-F", sshd["CONFIG"], "--folder", str(folder), "--torch", "cpu"]
    # The environment of these tests stands for the one that `make setup` takes minutes to make.
    words += ["--environment", sys.prefix, *more]
    return run(laptop, "earthsignals", *words, check=False)


def commit(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    run(folder, "git", "add", name)
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", name)
    return head(folder)


def head(folder: Path) -> str:
    return run(folder, "git", "rev-parse", "HEAD").stdout.strip()


def test_a_machine_is_made_ready_twice_and_follows_the_laptop(laptop, sshd, tmp_path, no_keys):
    folder = tmp_path / "there" / "earthsignals"
    first = set_up(laptop, sshd, folder, "--price", "1.99")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "sending it from here" in first.stdout and "torch: cpu build" in first.stdout
    assert head(folder) == head(laptop) and (folder / "stages/tdlas/train.py").is_file()
    assert (folder / "settings.yaml").read_text() == "price_per_hour_usd: 1.99\n"
    assert "line list" in first.stdout  # `earthsignals doctor` spoke, over there

    (folder / "settings.yaml").write_text("price_per_hour_usd: 3.0\n")
    newer = commit(laptop, "note.txt", "from the laptop")
    again = set_up(laptop, sshd, folder, "--price", "1.99")
    assert again.returncode == 0, again.stdout + again.stderr
    assert head(folder) == newer  # it follows
    assert "3.0" in (folder / "settings.yaml").read_text()  # and keeps what was set there
    assert "--price 1.99 is not written" in again.stdout and "price_per_hour_usd: 3.0" in again.stdout

    # Commits of its own that went another way are named, and stay.
    there = commit(folder, "results.txt", "from the droplet")
    commit(laptop, "other.txt", "meanwhile")
    apart = set_up(laptop, sshd, folder)
    assert apart.returncode == 1 and "commits or changes of its own" in apart.stderr
    assert head(folder) == there


def test_no_way_in_and_no_room_end_in_a_sentence(laptop, sshd, tmp_path, no_keys):
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "thesis.tex").write_text("x")
    taken = set_up(laptop, sshd, occupied)
    assert taken.returncode == 1 and "no git clone" in taken.stderr
    assert [each.name for each in occupied.iterdir()] == ["thesis.tex"]

    config = tmp_path / "config"
    unknown = Path(sshd["CONFIG"]).read_text().replace(sshd["KNOWN_HOSTS"], str(tmp_path / "empty"))
    config.write_text(unknown)
    refused = set_up(laptop, {**sshd, "CONFIG": str(config)}, tmp_path / "x")
    assert refused.returncode == 1 and "host key that is not known here" in refused.stderr
    assert not (tmp_path / "x").exists() and "Traceback" not in refused.stderr


def test_the_wrong_torch_is_named(laptop, sshd, tmp_path, no_keys):
    if "+cpu" not in version("torch"):
        pytest.skip("this environment's torch is not the CPU build")
    done = run(
        laptop, "earthsignals", "droplet", "setup", "droplet", "-F", sshd["CONFIG"], "--folder",
        str(tmp_path / "y"), "--torch", "rocm", "--environment", sys.prefix, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "torch here is its cpu build, but this machine needs rocm" in done.stderr
