"""The whole pipeline by `dvc repro` at smoke scale, in a temporary project: outputs, splits, lineage, no-op,
a killed training, records of one's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pydarnio
import pytest

from earthsignals.superdarn.grid import open_grid

from ..project import kill_and_resume, lock, make_clone, run, tracked_runs

STAGES = ["records", "grid", "train", "evaluate", "figures"]
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh project at smoke scale, reproduced once."""
    folder = make_clone(tmp_path_factory.mktemp("clone") / "project")
    run(folder, "dvc", "repro", "--glob", "superdarn-*")
    return folder


def test_every_stage_ran_and_left_its_outputs(clone: Path) -> None:
    assert sorted(lock(clone)) == sorted(f"superdarn-{verb}" for verb in STAGES)
    for out in ("grid.h5", "best_model.pt", "evaluation.h5", "records/records.json"):
        assert (clone / "data/superdarn" / out).is_file(), out
    kinds = {path.suffix for path in (clone / "reports/superdarn/figures").iterdir()}
    assert kinds == {".png", ".pdf", ".gif"}
    assert not list((clone / ".resume").rglob("*.pt"))  # nothing unfinished is left


def test_synthetic_days_are_real_grid_files(clone: Path) -> None:
    """pydarnio reads every byte, and each record's counts agree with its vectors."""
    files = sorted((clone / "data/superdarn/records").glob("*.grid.bz2"))
    assert len(files) == 3
    records, bad_byte = pydarnio.read_grid(str(files[0]))
    assert bad_byte is None and len(records) >= 700
    for record in records[:50]:
        vectors = record.get("vector.vel.median", np.zeros(0))
        assert record["nvec"].sum() == len(vectors)
        assert (vectors >= 0).all()


def test_no_block_is_on_two_sides(clone: Path) -> None:
    grid = open_grid(clone / "data/superdarn/grid.h5")
    sides = [set(grid.block[grid.split == split]) for split in range(3)]
    assert all(sides)
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    assert max(sides[0]) < min(sides[1]) and max(sides[1]) < min(sides[2])


def test_metrics_hold_the_promised_keys_with_sound_values(clone: Path) -> None:
    metrics = json.loads((clone / "reports/superdarn/metrics.json").read_text())
    for key in ("skill_vs_damped", "skill_vs_persistence"):
        assert {"10", "30", "60"} <= set(metrics[key])
        assert all(-2 < value < 1 for value in metrics[key].values())
    rmse = metrics["rmse_m_s"]
    assert {"model", "start", "persistence", "damped", "climatology", "zero"} <= set(rmse)
    for lead in ("10", "30", "60"):
        assert 0 < rmse["damped"][lead] <= rmse["zero"][lead] * 1.02
        skill = 1 - (rmse["model"][lead] / rmse["damped"][lead]) ** 2
        assert metrics["skill_vs_damped"][lead] == pytest.approx(skill, abs=1e-3)
    text = json.dumps(metrics).lower()
    assert "seconds" not in text and "latency" not in text  # timings live elsewhere


def test_a_second_repro_does_nothing(clone: Path) -> None:
    before = (clone / "dvc.lock").read_bytes()
    finished = run(clone, "dvc", "repro", "--glob", "superdarn-*")
    assert "up to date" in finished.stdout and "Running stage" not in finished.stdout
    assert (clone / "dvc.lock").read_bytes() == before


def test_runs_are_linked_from_the_model_to_its_scores(clone: Path) -> None:
    runs = tracked_runs(clone, "superdarn")
    by_stage = {r["tags"]["dvc_stage"]: r for r in runs}
    assert {"superdarn-train", "superdarn-evaluate"} <= set(by_stage)
    assert all(r["status"] == "FINISHED" for r in runs)
    train = by_stage["superdarn-train"]
    assert train["curve"] == int(train["params"]["train.epochs"])
    locked = {o["path"]: o["md5"] for o in lock(clone)["superdarn-train"]["outs"]}
    model = "data/superdarn/best_model.pt"
    assert train["tags"][f"out.{model}"] == locked[model]
    assert by_stage["superdarn-evaluate"]["tags"]["training_run"] == train["id"]


def test_a_killed_training_goes_on_to_the_same_model(clone: Path) -> None:
    kill_and_resume(clone, "superdarn")


def test_records_of_ones_own_and_the_bad_ones_told(clone: Path, tmp_path: Path) -> None:
    """`superdarn.source` as a folder: the synthetic days as if they were one's own, and two bad files."""
    mine = tmp_path / "my records"
    mine.mkdir()
    days = sorted((clone / "data/superdarn/records").glob("*.grid.bz2"))
    for day in days:
        shutil.copy(day, mine)
    whole = days[0].read_bytes()
    (mine / "truncated.grid.bz2").write_bytes(whole[:3000])
    (mine / "empty.grid").write_bytes(b"")
    project = make_clone(tmp_path / "project")
    text = (project / "params.yaml").read_text()
    head, section = text.split("\nsuperdarn:\n")
    changed = section.replace("source: synthetic  ", f"source: '{mine}'  ", 1)
    assert changed != section
    (project / "params.yaml").write_text(f"{head}\nsuperdarn:\n{changed}")
    run(project, "dvc", "repro", "superdarn-grid")
    assert len(list(mine.iterdir())) == len(days) + 2  # nothing is deleted
    told = json.loads((project / "data/superdarn/records/records.json").read_text())
    assert {"truncated.grid.bz2", "empty.grid"} <= set(json.dumps(told["refused"]).replace('"', " ").split())
    own = open_grid(project / "data/superdarn/grid.h5")
    made = open_grid(clone / "data/superdarn/grid.h5")
    np.testing.assert_array_equal(own.velocity, made.velocity)
