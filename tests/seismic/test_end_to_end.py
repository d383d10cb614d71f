"""The whole pipeline by `dvc repro` at smoke scale, in a temporary project: outputs, splits, lineage, no-op,
a killed training, files of one's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import obspy
import pandas as pd
import pytest

from ..project import kill_and_resume, lock, make_clone, run, tracked_runs

STAGES = ["waveforms", "pack", "train", "denoiser", "seed", "evaluate", "figures"]
SIZES = {"8", "16", "32"}  # of scales.yaml's smoke
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh project at smoke scale, reproduced once."""
    folder = make_clone(tmp_path_factory.mktemp("clone") / "project")
    run(folder, "dvc", "repro", "--glob", "seismic-*")
    return folder


def test_every_stage_ran_and_left_its_outputs(clone: Path) -> None:
    assert sorted(lock(clone)) == sorted(f"seismic-{verb}" for verb in STAGES)
    for out in ("packed/waveforms.hdf5", "best_model.pt", "denoiser.pt", "seed.pt", "evaluation.h5"):
        assert (clone / "data/seismic" / out).is_file()
    assert {path.suffix for path in (clone / "reports/seismic/figures").iterdir()} == {".png", ".pdf"}
    assert not list((clone / ".resume").rglob("*.pt"))  # nothing unfinished is left


def test_standard_tools_open_the_synthetic_archive(clone: Path) -> None:
    archive = clone / "data/seismic/waveforms"
    path = sorted(archive.glob("HH/*_HH.mseed"))[0]
    stream = obspy.read(str(path))
    assert [len(stream), *{trace.stats.sampling_rate for trace in stream}] == [3, 100.0]
    assert {trace.stats.npts for trace in stream} == {7000}
    inventory = obspy.read_inventory(str(archive / "stations.xml"))
    assert inventory.select(station=stream[0].stats.station)
    assert len(obspy.read_events(str(archive / "events.xml"))) > 10


def test_waveforms_are_not_pushed(clone: Path) -> None:
    """What travels is the packed store: the archive is made again from its seed."""
    (out,) = (o for o in lock(clone)["seismic-waveforms"]["outs"] if o["path"] == "data/seismic/waveforms")
    text = (clone / "dvc.yaml").read_text().split("seismic-waveforms:")[1].split("seismic-pack:")[0]
    assert "push: false" in text and out["nfiles"] > 300


def test_metrics_hold_the_promised_keys_with_sound_values(clone: Path) -> None:
    metrics = json.loads((clone / "reports/seismic/metrics.json").read_text())
    assert set(metrics["mse"]) == SIZES
    for errors in metrics["mse"].values():
        assert all(0 < errors[name] < metrics["mse_mean"] < metrics["mse_zero"] for name in ("model", "pca"))
        assert errors["patch_pca"] > 0
    for name in ("mse_floor", "mse_seed", "mae_seed", "mae_zero", "mae_mean"):
        assert 0 < metrics[name] < 1
    for name in ("auc_latent", "auc_sta_lta", "denoise_correlation_at_0"):
        assert 0 <= metrics[name] <= 1
    assert isinstance(metrics["denoise_gain_db_at_0"], float)
    text = json.dumps(metrics).lower()
    assert "seconds" not in text and "latency" not in text  # timings live elsewhere


def test_no_station_and_no_event_is_on_two_sides(clone: Path) -> None:
    table = pd.read_csv(clone / "data/seismic/packed/metadata.csv", dtype=str, keep_default_na=False)
    assert set(table["split"]) == {"train", "dev", "test"}
    table["station"] = table["station_network_code"] + "." + table["station_code"]
    quakes = table[table["trace_category"] == "earthquake"]
    assert table.groupby("station")["split"].nunique().max() == 1
    assert quakes.groupby("source_id")["split"].nunique().max() == 1


def test_a_second_repro_does_nothing(clone: Path) -> None:
    before = (clone / "dvc.lock").read_bytes()
    finished = run(clone, "dvc", "repro", "--glob", "seismic-*")
    assert "up to date" in finished.stdout and "Running stage" not in finished.stdout
    assert (clone / "dvc.lock").read_bytes() == before


def test_runs_are_linked_from_the_model_to_its_scores(clone: Path) -> None:
    runs = tracked_runs(clone, "seismic")
    by_stage = {r["tags"]["dvc_stage"]: r for r in runs}
    assert {"seismic-train", "seismic-denoiser", "seismic-seed", "seismic-evaluate"} <= set(by_stage)
    assert all(r["status"] == "FINISHED" for r in runs)
    train = by_stage["seismic-train"]
    assert train["curve"] == int(train["params"]["train.epochs"]) == 2
    locked = {o["path"]: o["md5"] for o in lock(clone)["seismic-train"]["outs"]}
    assert train["tags"]["out.data/seismic/best_model.pt"] == locked["data/seismic/best_model.pt"]
    assert by_stage["seismic-evaluate"]["tags"]["training_run"] == train["id"]


def test_a_killed_training_goes_on_to_the_same_model(clone: Path) -> None:
    kill_and_resume(clone, "seismic")


def test_files_of_ones_own_are_packed_and_the_bad_ones_told(clone: Path, tmp_path: Path) -> None:
    """`seismic.source` as a folder: a good file of each split's stations, and two that cannot be used."""
    mine = tmp_path / "my files"
    for path in sorted((clone / "data/seismic/waveforms").glob("HH/*.mseed")):
        (mine / "HH").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, mine / "HH")
    (mine / "HH/20200101000000_AAA_HH.mseed").write_bytes(b"")
    (mine / "HH/20200101000000_BBB_HH.mseed").write_bytes(path.read_bytes()[:5000])
    project = make_clone(tmp_path / "project")
    text = (project / "params.yaml").read_text()
    head, seismic = text.split("\nseismic:\n")
    changed = seismic.replace("source: synthetic  ", f"source: '{mine}'  ", 1)
    assert changed != seismic
    (project / "params.yaml").write_text(f"{head}\nseismic:\n{changed}")
    run(project, "dvc", "repro", "seismic-pack")
    refused = pd.read_csv(project / "reports/seismic/refused.csv")
    assert set(refused["file"].str.slice(-12)) == {"AAA_HH.mseed", "BBB_HH.mseed"}
    counts = json.loads((project / "reports/seismic/records.json").read_text())
    assert counts["records"] == len(list(mine.rglob("*.mseed"))) - 2
    assert sum(counts["refused"].values()) == 2
