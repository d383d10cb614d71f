"""Every mapped workload on workers that a real SLURM runs: the same bytes as in one process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import pytest
import torch

from earthsignals.compute import cluster as clusters
from earthsignals.compute.mapping import ordered_map
from earthsignals.plume.checkpoint import load_model, save_model
from earthsignals.plume.dataset import make_tiles
from earthsignals.plume.judging import maps
from earthsignals.plume.model import build
from earthsignals.plume.preprocess import Preprocessing
from earthsignals.plume.simulation.scenes import make_scenes
from earthsignals.seismic.dataset import pack
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.records.inspect import inspect
from earthsignals.seismic.simulation.write import write_waveforms
from earthsignals.storage import md5_path
from earthsignals.tdlas.dataset import generate

from ..plume.scene_job import parameters as plume_parameters
from ..tdlas.generation_job import lines_for
from ..tdlas.generation_job import parameters as tdlas_parameters

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers have no tests

SETTINGS = """\
cluster: slurm
cluster_options: {cores: 1, memory: 1GB, queue: cpu, walltime: "0:10:00", jobs: 2, wait_seconds: 120}
progress: false
"""


@pytest.fixture
def project(slurm: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project folder whose work is done by jobs of SLURM; they are gone at the end."""
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    (tmp_path / "params.yaml").write_text("{}\n")
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    monkeypatch.setenv("SLURM_CONF", slurm["SLURM_CONF"])
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    clusters._close_all()
    deadline = time.monotonic() + 30
    while jobs() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not jobs(), "the connection's end leaves no job behind"


def jobs() -> list[str]:
    """Numbers of the jobs that wait or run."""
    listed = ["squeue", "--noheader", "--format", "%i", "--states", "PENDING,RUNNING"]
    return subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()


def all_workloads(folder: Path) -> dict[str, str]:
    """Every room's mapped work at a small scale; md5 of each result by its name."""
    folder.mkdir()
    scans = tdlas_parameters(dataset={"scans": 1024, "chunk_scans": 128})
    generate(lines_for(scans), scans, folder / "scans.h5", resume_root=folder / "resume")

    plume = plume_parameters(
        scenes={"lines": 240, "samples": 200},
        emission={"plumes_per_flightline": 6.0}, tiles={"window": 64, "minimum_plume_pixels": 1},
    )  # fmt: skip
    index = make_scenes(plume, folder / "scenes", resume_root=folder / "resume")
    make_tiles(index, plume, folder / "tiles.h5")
    torch.manual_seed(1)
    save_model(folder / "model.pt", build("plumenet", 64), Preprocessing(), threshold=0.4)
    model = load_model(folder / "model.pt")
    content = maps.map_scenes(index, model, plume, folder / "maps", folder / "resume", devices=(-1,))

    seismic = SeismicParams.model_validate(
        {"synthetic": {"networks": 3, "stations_per_network": 4, "records": 210, "noise_records": 50}}
    )
    write_waveforms(seismic, folder / "waveforms")
    pack(folder / "waveforms", seismic, folder / "packed", folder / "refused.csv", resume_root=folder / "r")
    seen = inspect(folder / "waveforms", seismic).to_dict() | {"folder": ""}

    made = ("scans.h5", "scenes", "tiles.h5", "waveforms", "packed", "refused.csv")
    maps_made = {path.name: md5_path(path) for path in sorted((folder / "maps").glob("*.img"))}
    assert len(maps_made) == len(index.of("validation")) + len(index.of("test")) > 0
    return {name: md5_path(folder / name) for name in made} | maps_made | {
        "plumes": repr(content), "inspected": repr(seen),
    }  # fmt: skip


def test_every_workload_gives_the_same_bytes_on_slurms_nodes(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maps, "SELF_CHECK", 3)
    there = all_workloads(Path("there"))
    assert len(clusters._open) == 1  # one connection, one pair of jobs served them all
    clusters._close_all()
    (project / "settings.yaml").write_text("workers: 1\nprogress: false\n")
    assert there == all_workloads(Path("here"))


def test_a_cancelled_job_is_submitted_again_and_nothing_is_lost(project: Path) -> None:
    def work(index: int) -> tuple[int, str]:
        time.sleep(0.2)
        return index * index, os.environ["SLURM_JOB_ID"]

    results = ordered_map(work, range(60), description="squares")
    found = [next(results) for _ in range(20)]
    subprocess.run(["scancel", found[-1][1]], check=True)
    found += results
    assert [value for value, _ in found] == [n * n for n in range(60)]
    assert len({job for _, job in found}) >= 2
    deadline = time.monotonic() + 30
    while len(jobs()) < 2 and time.monotonic() < deadline:  # its place is taken by a new one
        time.sleep(0.2)
    assert len(jobs()) == 2 and found[19][1] not in jobs()
    keys = list((project / ".dvc/tmp/dask").glob("keys-*/*key.pem"))
    assert keys and all(path.stat().st_mode & 0o077 == 0 for path in keys)
