"""The whole pipeline by `dvc repro` at smoke scale, in a temporary project: outputs, splits, lineage, no-op,
a killed training, scenes of one's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import geopandas
import numpy as np
import pytest
import xarray

from earthsignals.clouds.imagery.index import read_index
from earthsignals.clouds.tiles.tilefile import open_triplets

from ..project import kill_and_resume, lock, make_clone, run, tracked_runs

STAGES = ["scenes", "triplets", "train", "embed", "evaluate", "figures"]
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh project at smoke scale, reproduced once."""
    folder = make_clone(tmp_path_factory.mktemp("clone") / "project")
    run(folder, "dvc", "repro", "--glob", "clouds-*")
    return folder


def test_every_stage_ran_and_left_its_outputs(clone: Path) -> None:
    assert sorted(lock(clone)) == sorted(f"clouds-{verb}" for verb in STAGES)
    data = clone / "data/clouds"
    for out in ("triplets.h5", "best_model.pt", "peers/triplet.pt", "embeddings.parquet", "evaluation.h5",
                "projector/projector_config.pbtxt", "pages/index.html"):  # fmt: skip
        assert (data / out).is_file(), out
    assert {path.suffix for path in (clone / "reports/clouds/figures").iterdir()} == {".png", ".pdf"}
    assert not list((clone / ".resume").rglob("*.pt"))  # nothing unfinished is left


def test_scenes_and_maps_open_as_cf_netcdf_and_embeddings_as_geoparquet(clone: Path) -> None:
    index = read_index(clone / "data/clouds/scenes")
    assert not index.refused
    with xarray.open_dataset(clone / "data/clouds/scenes" / index.entries[0].file) as scene:
        assert scene.attrs["Conventions"].startswith("CF")
        assert {"lat", "lon", "brightness"} <= set(scene.variables)
    maps = sorted((clone / "data/clouds/maps").glob("*.nc"))
    assert len(maps) == 2 + sum(entry.series for entry in index.entries)
    with xarray.open_dataset(maps[0]) as dense:
        assert np.isfinite(dense["embedding"].values).all()
    table = geopandas.read_parquet(clone / "data/clouds/embeddings.parquet")
    triplets = open_triplets(clone / "data/clouds/triplets.h5")
    assert table.crs.to_epsg() == 4326
    assert len(table) == sum(len(triplets.table(split)) for split in ("train", "validation", "study"))


def test_no_day_and_no_scene_is_on_two_sides(clone: Path) -> None:
    triplets = open_triplets(clone / "data/clouds/triplets.h5")
    seen = {split: triplets.table(split) for split in ("train", "validation", "study")}
    for column in ("day", "scene"):
        sides = [set(table[column]) for table in seen.values()]
        assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    assert not any(name.startswith("series") for table in seen.values() for name in table["scene"])


def test_metrics_hold_the_promised_keys_with_sound_values(clone: Path) -> None:
    metrics = json.loads((clone / "reports/clouds/metrics.json").read_text())
    for name in ("probe", "probe_best_baseline", "map", "map_best_baseline", "purity", "nmi",
                 "triplet_accuracy", "same_class_triplet_accuracy"):  # fmt: skip
        assert 0 <= metrics[name] <= 1, name
    assert 1 <= metrics["effective_rank"] <= 8 and metrics["r2_log_scale"] <= 1
    assert {"model", "peer_triplet", "statistics", "spectrum", "organisation", "scattering", "pca",
            "random_network"} <= set(metrics["rows"])  # fmt: skip
    best = max(row["probe"] for name, row in metrics["rows"].items() if row["kind"] == "baseline")
    assert metrics["probe_best_baseline"] == best
    assert metrics["probe_low"] <= metrics["probe"] <= metrics["probe_high"]
    text = json.dumps(metrics).lower()
    assert "seconds" not in text and "latency" not in text  # timings live elsewhere


def test_a_second_repro_does_nothing(clone: Path) -> None:
    before = (clone / "dvc.lock").read_bytes()
    finished = run(clone, "dvc", "repro", "--glob", "clouds-*")
    assert "up to date" in finished.stdout and "Running stage" not in finished.stdout
    assert (clone / "dvc.lock").read_bytes() == before


def test_runs_are_linked_from_the_model_to_its_scores(clone: Path) -> None:
    runs = tracked_runs(clone, "clouds")
    by_stage = {r["tags"]["dvc_stage"]: r for r in runs}
    assert {"clouds-train", "clouds-embed", "clouds-evaluate"} <= set(by_stage)
    assert all(r["status"] == "FINISHED" for r in runs)
    train = by_stage["clouds-train"]
    assert train["curve"] == int(train["params"]["train.epochs"]) == 2
    locked = {o["path"]: o["md5"] for o in lock(clone)["clouds-train"]["outs"]}
    assert train["tags"]["out.data/clouds/best_model.pt"] == locked["data/clouds/best_model.pt"]
    assert by_stage["clouds-evaluate"]["tags"]["training_run"] == train["id"]


def test_a_killed_training_goes_on_to_the_same_model(clone: Path) -> None:
    kill_and_resume(clone, "clouds")


def test_scenes_of_ones_own_and_the_bad_ones_told(clone: Path, tmp_path: Path) -> None:
    """`clouds.source` as a folder: scenes of the simulation as if they were one's own, and two bad files."""
    mine = tmp_path / "my scenes"
    mine.mkdir()
    index = read_index(clone / "data/clouds/scenes")
    for entry in index.entries:
        if not entry.series:
            shutil.copy(clone / "data/clouds/scenes" / entry.file, mine)
    whole = (mine / index.entries[0].file).read_bytes()
    (mine / "truncated.nc").write_bytes(whole[: len(whole) // 2])
    (mine / "empty.nc").write_bytes(b"")
    project = make_clone(tmp_path / "project")
    text = (project / "params.yaml").read_text()
    head, clouds = text.split("\nclouds:\n")
    changed = clouds.replace("source: synthetic  ", f"source: '{mine}'  ", 1)
    assert changed != clouds
    (project / "params.yaml").write_text(f"{head}\nclouds:\n{changed}")
    run(project, "dvc", "repro", "clouds-triplets")
    own = read_index(project / "data/clouds/scenes")
    assert len(own.entries) == sum(not entry.series for entry in index.entries)
    assert sum(own.refused.values()) == 2
    assert len(open_triplets(project / "data/clouds/triplets.h5").table("train")) > 0
