"""Generate on a laptop, train on a droplet, evaluate on the laptop: two clones and a folder as remote."""

from __future__ import annotations

from pathlib import Path

import pytest

from .. import relay_project
from ..project import tracked_runs
from ..two_machines import UP_TO_DATE, Machine, assert_one_history, clones_of, generate_train_evaluate

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> tuple[Machine, Machine]:
    """Laptop and droplet after the whole story."""
    folder = tmp_path_factory.mktemp("machines")
    laptop, droplet = clones_of(relay_project.make(folder / "first", shard_mb=1), folder)
    # Without a name the remote is a folder beside the clone, which the two would not share.
    for machine in (laptop, droplet):
        machine.run("earthsignals", "remote", "add", str(folder / "remote"), "--local")
    generate_train_evaluate(laptop, droplet, relay_project.PREPARED, relay_project.JUDGED)
    return laptop, droplet


def test_nothing_is_computed_twice_and_both_ends_agree(machines: tuple[Machine, Machine]) -> None:
    assert_one_history(*machines)


def test_each_machine_shows_the_runs_of_the_other(machines: tuple[Machine, Machine]) -> None:
    seen = [{run["tags"]["dvc_stage"]: run for run in tracked_runs(m.folder, "tdlas")} for m in machines]
    for runs in seen:
        assert sorted(runs) == ["tdlas-evaluate", "tdlas-train"]
        assert all(run["status"] == "FINISHED" for run in runs.values())
    on_laptop, on_droplet = (runs["tdlas-train"] for runs in seen)
    assert on_laptop["curve"] == on_droplet["curve"] == 3  # the epochs that it was trained for
    assert on_laptop["metrics"] == on_droplet["metrics"]


def test_the_remote_holds_what_the_lock_names(machines: tuple[Machine, Machine]) -> None:
    laptop, _ = machines
    assert "all good" in laptop.run("earthsignals", "remote", "verify", "--all-commits").stdout


def test_a_lost_clone_comes_back_from_git_and_the_remote(
    machines: tuple[Machine, Machine], tmp_path: Path
) -> None:
    laptop, _ = machines
    laptop.run("git", "clone", "-q", str(laptop.folder.parent / "origin.git"), str(tmp_path / "again"))
    again = Machine(tmp_path / "again", laptop.home)
    again.run("earthsignals", "remote", "add", str(laptop.folder.parent / "remote"), "--local")
    again.run("dvc", "pull", "--run-cache")
    assert again.status("tdlas-evaluate") == UP_TO_DATE
    assert (again.folder / "reports/tdlas/runs/train.json").is_file()
