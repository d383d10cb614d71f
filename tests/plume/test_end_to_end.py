"""The whole pipeline by `dvc repro` at smoke scale, in a temporary project: outputs, peers, lineage,
no-op, kills and other sources."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from ..project import kill_and_resume, lock, make_clone, run, tracked_runs

STAGES = ["scenes", "tiles", "train", "saliency", "evaluate", "figures"]
PEERS = {"plumenet-256", "googlenet-valid-256", "unet-64"}
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh project at smoke scale, reproduced once."""
    folder = make_clone(tmp_path_factory.mktemp("clone") / "project")
    run(folder, "dvc", "repro", "--glob", "plume-*")
    return folder


def without_peers(folder: Path) -> None:
    """Edit the clone's params.yaml so that the default network alone is trained."""
    text = (folder / "params.yaml").read_text()
    few = re.sub(r"models: \[[^]]*\]", "models: []", text, count=1)
    assert few != text
    (folder / "params.yaml").write_text(few)


def test_every_stage_ran_and_left_its_outputs(clone: Path) -> None:
    assert sorted(lock(clone)) == sorted(f"plume-{verb}" for verb in STAGES)
    for out in ("scenes/scenes.json", "tiles.h5", "best_model.pt", "saliency/plumes.json", "evaluation.h5"):
        assert (clone / "data/plume" / out).is_file()
    assert {path.suffix for path in (clone / "reports/plume/figures").iterdir()} == {".png", ".pdf"}
    assert not list((clone / ".resume").rglob("*.pt"))  # nothing unfinished is left


def test_metrics_hold_the_promised_keys_with_sound_values(clone: Path) -> None:
    metrics = json.loads((clone / "reports/plume/metrics.json").read_text())
    keys = ("tile_f1", "tile_f1_best_baseline", "pixel_iou", "rate_bias", "rate_coverage_68")
    assert set(keys) <= set(metrics)
    assert all(0 <= metrics[key] <= 1 for key in keys[:3])
    # A few steps of each peer: every path ran, nothing is claimed of its quality.
    assert {"model", "threshold_area", "zscore"} | PEERS == set(metrics["tiles"]["methods"])
    assert "unet-64" in metrics["pixels"]
    text = json.dumps(metrics).lower()
    assert "seconds" not in text and "latency" not in text  # timings live elsewhere


def test_no_day_is_in_two_splits(clone: Path) -> None:
    scenes = json.loads((clone / "data/plume/scenes/scenes.json").read_text())["scenes"]
    splits = ("train", "validation", "test")
    days = {split: {s["day"] for s in scenes if s["split"] == split} for split in splits}
    assert all(days.values()) and sum(map(len, days.values())) == len(set.union(*days.values())) == 6


def test_maps_lie_on_their_flightlines(clone: Path) -> None:
    maps = sorted((clone / "data/plume/saliency").glob("*_saliency.img"))
    assert len(maps) == 6  # two days of validation, one of test, two flightlines each
    for path in maps:
        stem = path.stem.removesuffix("_saliency")
        with rasterio.open(path) as found, rasterio.open(clone / f"data/plume/scenes/{stem}.img") as source:
            assert found.transform.almost_equals(source.transform) and found.crs == source.crs
            saliency, ch4 = found.read(1), source.read(source.count)
        np.testing.assert_array_equal(saliency == -9999, ch4 == -9999)
        inside = saliency[saliency != -9999]
        assert inside.min() >= 0 and inside.max() <= 1


def test_a_second_repro_does_nothing(clone: Path) -> None:
    before = (clone / "dvc.lock").read_bytes()
    finished = run(clone, "dvc", "repro", "--glob", "plume-*")
    assert "up to date" in finished.stdout and "Running stage" not in finished.stdout
    assert (clone / "dvc.lock").read_bytes() == before


def test_runs_are_linked_from_the_model_to_its_scores(clone: Path) -> None:
    runs = tracked_runs(clone, "plume")
    by_stage = {r["tags"]["dvc_stage"]: r for r in runs}
    assert {"plume-train", "plume-saliency", "plume-evaluate"} <= set(by_stage)
    assert all(r["status"] == "FINISHED" for r in runs)
    train = by_stage["plume-train"]
    assert train["curve"] == int(train["params"]["train.epochs"]) == 3
    locked = {o["path"]: o["md5"] for o in lock(clone)["plume-train"]["outs"]}
    assert train["tags"]["out.data/plume/best_model.pt"] == locked["data/plume/best_model.pt"]
    assert by_stage["plume-evaluate"]["tags"]["training_run"] == train["id"]


def test_a_killed_training_goes_on_to_the_same_model(clone: Path) -> None:
    saved = (clone / "params.yaml").read_text()
    try:
        without_peers(clone)
        kill_and_resume(clone, "plume")
    finally:
        (clone / "params.yaml").write_text(saved)


def test_impossible_values_stop_a_stage_with_the_full_path(clone: Path) -> None:
    saved = (clone / "params.yaml").read_text()
    try:
        (clone / "params.yaml").write_text(saved.replace("turbulence: 0.22", "turbulence: -0.22"))
        finished = run(clone, sys.executable, "stages/plume/scenes.py", check=False)
    finally:
        (clone / "params.yaml").write_text(saved)
    assert finished.returncode == 1 and "Traceback" not in finished.stderr
    assert "plume.emission.turbulence" in finished.stderr and "> 0" in finished.stderr


def test_flightlines_of_the_users_own_go_the_same_way(clone: Path, tmp_path: Path) -> None:
    """A folder of flightlines with masks, without wind or rates: judged by tiles, pixels and detections."""
    folder = tmp_path / "campaign"
    folder.mkdir()
    for path in (clone / "data/plume/scenes").iterdir():
        if path.suffix in (".img", ".hdr"):
            shutil.copy(path, folder / path.name)
    saved = (clone / "params.yaml").read_text()
    without_peers(clone)
    # The first of its kind in the file is plume's.
    text = (clone / "params.yaml").read_text().replace("source: synthetic ", f"source: {folder} ", 1)
    assert text.count(str(folder)) == 1
    (clone / "params.yaml").write_text(text)
    run(clone, "dvc", "repro", "--glob", "plume-*")
    metrics = json.loads((clone / "reports/plume/metrics.json").read_text())
    assert metrics["tile_f1"] is not None and metrics["pixel_iou"] is not None
    assert metrics["rate_bias"] is None and metrics["rate_coverage_68"] is None
    (clone / "params.yaml").write_text(saved)
