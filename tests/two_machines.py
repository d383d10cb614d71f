"""Two clones of one project, 'laptop' and 'droplet', that share a bare git repository and a DVC remote."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML

from .project import ROOT, environment, lock, make_clone

# Below smoke scale: these tests are about what travels, not about what is learned.
_SMALLEST = {
    "dataset": {"scans": 2000},
    "train": {"epochs": 1},
    "course": {"epochs": 1, "scans": 256},
    "baselines": {"scans": 1200, "pls_scans": 600, "ridge_alphas": [0.1], "pls_components": [4]},
    "evaluate": {"least_squares_scans": 30, "stress_scans": 128, "allan_scans": 1024},
}
UP_TO_DATE = "Data and pipelines are up to date."


@dataclass
class Machine:
    """A clone with a home folder of its own, what it printed, and the stages it really ran."""

    folder: Path
    home: Path
    printed: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        sources = self.folder / "src" if (self.folder / "src").is_dir() else ROOT / "src"
        return environment(self.folder) | {
            "HOME": str(self.home), "PYTHONPATH": str(sources), "EARTHSIGNALS_THREADS": "1",
        }  # fmt: skip

    def run(self, *command: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        finished = subprocess.run(
            command, cwd=self.folder, env=self.environment() | variables, capture_output=True, text=True,
            timeout=500,
        )  # fmt: skip
        self.printed += [finished.stdout, finished.stderr]
        assert not check or finished.returncode == 0, f"{command}\n{finished.stdout}\n{finished.stderr}"
        return finished

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """A command that will be killed: in a process group of its own, its output thrown away."""
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment(), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def repro(self, *stages: str, **variables: str) -> list[str]:
        """`dvc repro`; returns the stages whose commands it ran (not those it found unchanged)."""
        printed = self.run("dvc", "repro", *stages, **variables).stdout
        began = re.findall(r"Running stage '([^']+)'", printed)
        self.ran += began
        return began

    def push(self) -> None:
        """`make push`, and the commit that makes dvc.lock known to others."""
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", "results")
        self.run("git", "push", "-q")
        self.run("dvc", "push", "--run-cache")

    def pull(self) -> str:
        """`git pull` and `make pull`; returns what the import of run records said."""
        self.run("git", "pull", "-q")
        self.run("earthsignals", "remote", "check")
        self.run("dvc", "pull", "--run-cache", "--allow-missing")
        return self.run("earthsignals", "runs", "import").stdout

    def status(self, *stages: str) -> str:
        return self.run("dvc", "status", *stages).stdout.strip()


def two_machines(folder: Path) -> tuple[Machine, Machine]:
    """(laptop, droplet): two clones of the working tree below `folder`, both at the smallest scale."""
    first = make_clone(folder / "first")
    _write_smallest(first / "params.yaml")
    return clones_of(first, folder)


def clones_of(project: Path, folder: Path) -> tuple[Machine, Machine]:
    """(laptop, droplet) as clones of a bare repository of `project`, whose changes are committed."""
    bare = folder / "origin.git"
    _git(project, "add", "-A")
    _git(project, "commit", "-qm", "as these tests need it")
    _git(folder, "clone", "-q", "--bare", str(project), str(bare))
    made = []
    for name in ("laptop", "droplet"):
        home = folder / f"home-{name}"
        home.mkdir()
        (home / ".gitconfig").write_text(f"[user]\n\tname = {name}\n\temail = {name}@localhost\n")
        _git(folder, "clone", "-q", str(bare), name)
        made.append(Machine(folder / name, home))
    return made[0], made[1]


def generate_train_evaluate(
    laptop: Machine, droplet: Machine, prepared: list[str], judged: list[str], **variables: str
) -> None:
    """The story: generate on the laptop, train on the droplet, evaluate on the laptop.

    Both have their remote. `prepared` and `judged` are the stages that the first and the last step
    run; asserts at each step that no other ran. `variables` are in the stages' environment.
    """
    assert laptop.repro("tdlas-dataset", **variables) == prepared
    laptop.push()

    droplet.pull()
    assert droplet.status("tdlas-dataset") == UP_TO_DATE
    assert droplet.repro("tdlas-train", **variables) == ["tdlas-train"]
    droplet.push()

    assert "1 added" in laptop.pull()
    # In which order DVC runs stages that do not rest on each other varies with Python's hash seed.
    assert sorted(laptop.repro("tdlas-evaluate", **variables)) == sorted(judged)
    laptop.push()
    droplet.pull()


def assert_one_history(laptop: Machine, droplet: Machine) -> None:
    """Both ends are up to date with the same hashes, and every stage ran once, on one of them."""
    for machine in (laptop, droplet):
        assert machine.status("tdlas-evaluate") == UP_TO_DATE
    assert lock(laptop.folder) == lock(droplet.folder)
    counts = Counter(laptop.ran + droplet.ran)
    assert counts == Counter(list(lock(laptop.folder))), counts  # once each, and no other


def find_secrets(machine: Machine, secrets: Iterable[str]) -> list[str]:
    """Where a secret stands although it must not: files of the clone and its home, git's history, prints.

    `.dvc/config.local`, made for secrets, is left out.
    """
    wanted = [secret.encode() for secret in secrets]
    found = []
    for top in (machine.folder, machine.home):
        for path in sorted(top.rglob("*")):
            # git's objects are compressed; its history is read below.
            inside = path.relative_to(top).parts
            if not path.is_file() or inside[:2] == (".dvc", "config.local") or inside[0] == ".git":
                continue
            if any(secret in path.read_bytes() for secret in wanted):
                found.append(str(path.relative_to(top)))
    history = subprocess.run(
        ["git", "log", "--all", "-p", "--binary"], cwd=machine.folder, capture_output=True, check=True
    ).stdout
    found += ["git history"] * any(secret in history for secret in wanted)
    found += ["printed"] * any(secret in "".join(machine.printed).encode() for secret in wanted)
    return found


def _write_smallest(path: Path) -> None:
    yaml = YAML()
    params = yaml.load(path.read_text())
    for section, values in _SMALLEST.items():
        params["tdlas"][section].update(values)
    with path.open("w") as file:
        yaml.dump(params, file)


def _git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, env=_plain_git())


def _plain_git() -> dict[str, str]:
    """This environment without git's variables: a hook that runs the tests sets them for its own."""
    return {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
