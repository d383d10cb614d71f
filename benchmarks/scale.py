"""What each item of the big workloads costs in time, memory and disk: measured slopes, then their products.

    python benchmarks/scale.py [--quick] [--report reports/benchmarks/scale.json]

Every workload runs at two sizes, each in a process of its own, on one core. Processor seconds, peak memory
and disk of the two give a slope and a fixed part; slope times the number of items that people ask for gives
the table (also between the markers of docs/scale.md, by --docs). Last line: one JSON object.

Radar data have no room here yet: what is measured is how fast the files at hand are read, and how large a
radar's day is.
"""

from __future__ import annotations

import argparse
import bz2
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from earthsignals.compute.memory import peak_memory_gb
from earthsignals.publication.sections.scale import scale_table
from earthsignals.settings import cpu_count, load_settings
from earthsignals.storage import atomic_path, write_json

ROOT = Path(__file__).resolve().parents[1]
DROPLET_USD = 1.99  # an hour, where the setting price_per_hour_usd is 0
TRAINED = ROOT / "data" / "plume" / "best_model.pt"

# name, unit, items that people ask for, sizes measured with --quick, and without
WORKLOADS: dict[str, tuple[str, str, int, tuple[int, int], tuple[int, int]]] = {
    "scans": ("TDLAS: simulate and store", "scans", 100_000_000, (8_192, 32_768), (32_768, 131_072)),
    "scan_training": ("TDLAS: train, 12 epochs", "scans", 100_000_000, (2_048, 6_144), (16_384, 49_152)),
    "flightlines": ("plumes: map 669 × 2801, find plumes", "flightlines", 10_000, (1, 3), (4, 12)),
    "packing": ("seismic: pack miniSEED", "files", 132_169, (256, 768), (640, 2_560)),
    "epoch": ("seismic: one epoch, plain autoencoder", "files", 132_169, (256, 768), (640, 2_560)),
    "radar_grids": ("radar: read daily grid files", "radar days", 80_000, (4, 22), (4, 22)),
    "radar_fits": ("radar: unpack 2-hour fit files", "radar files", 1_000_000, (1, 4), (1, 4)),
    "dask": ("Dask: one item through the scheduler", "items", 1_000_000, (200, 800), (1_000, 5_000)),
}  # fmt: skip
QUARTER = 700  # lines of the flightlines that are measured, of 2801
SHARE = {"flightlines": QUARTER / 2801}
HELD = {"scan_training"}  # keep every item in memory; of others, growth below a tenth is warming up


def cpu_seconds() -> float:
    """Processor seconds of this process and of its finished children."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)


def size_of(*paths: Path) -> int:
    """Bytes on disk of files and folders."""
    files = (f for path in paths for f in (path.rglob("*") if path.is_dir() else [path]))
    return sum(file.stat().st_size for file in files if file.is_file())


# Each returns the work to be timed, after preparing for it; the work returns what it left on the disk.
Work = Callable[[], tuple[Path, ...]]


def scans(items: int, folder: Path) -> Work:
    from earthsignals.tdlas.dataset import generate
    from earthsignals.tdlas.lines import embedded_lines
    from earthsignals.tdlas.params import CourseParams, TdlasParams, TrainParams

    dataset = {"scans": items, "chunk_scans": 2048}
    params = TdlasParams(train=TrainParams(), course=CourseParams(), dataset=dataset)

    def work() -> tuple[Path, ...]:
        generate(embedded_lines(), params, folder / "d.h5", resume_root=folder / "resume", workers=1)
        return (folder / "d.h5",)

    return work


def scan_training(items: int, folder: Path) -> Work:
    from earthsignals.params import load_section
    from earthsignals.settings import Settings
    from earthsignals.tdlas.dataset import open_scans
    from earthsignals.tdlas.lines import embedded_lines
    from earthsignals.tdlas.params import TdlasParams
    from earthsignals.tdlas.train import train

    params = load_section("tdlas", TdlasParams)
    params = params.model_copy(update={"dataset": params.dataset.model_copy(update={"scans": items})})
    settings = Settings(progress=False, device="cpu", threads=1)
    # In a process of its own: its memory is not that of the training.
    subprocess.run([sys.executable, __file__, "--one", "scans", str(items), str(folder)], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip

    def work() -> tuple[Path, ...]:
        with open_scans(folder / "d.h5") as file:
            train(file, embedded_lines(), params, settings, folder / "m.pt", resume_root=folder / "r")
        return (folder / "m.pt",)

    return work


def flightlines(items: int, folder: Path) -> Work:
    import torch

    from earthsignals.params import load_section
    from earthsignals.plume.checkpoint import load_model, save_model
    from earthsignals.plume.imagery.index import SceneIndex
    from earthsignals.plume.judging.maps import map_scenes
    from earthsignals.plume.model import build
    from earthsignals.plume.params import PlumeParams
    from earthsignals.plume.preprocess import Preprocessing
    from earthsignals.plume.simulation.scenes import make_scenes

    torch.set_num_threads(1)
    params = load_section("plume", PlumeParams)
    size = {"days": max(items, 3), "flightlines_per_day": 1, "lines": QUARTER, "samples": 669}
    params = params.model_copy(update={"scenes": params.scenes.model_copy(update=size)})
    index = make_scenes(params, folder / "scenes", workers=1, resume_root=folder / "resume")
    index = SceneIndex(index.source, tuple(replace(s, split="test") for s in index.scenes[:items]))
    path = TRAINED
    if not path.is_file():  # a fresh clone: as many operations, though other plumes
        path = folder / "model.pt"
        save_model(path, build("plumenet", 64), Preprocessing())
    model = load_model(path)

    def work() -> tuple[Path, ...]:
        map_scenes(index, model, params, folder / "maps", folder / "resume", devices=(-1,))
        return folder / "maps", *(scene.path for scene in index.scenes)

    return work


def packing(items: int, folder: Path) -> Work:
    from earthsignals.seismic.dataset import pack
    from earthsignals.seismic.params import SeismicParams
    from earthsignals.seismic.simulation.write import write_waveforms

    quiet = items // 5
    params = SeismicParams.model_validate({"synthetic": {"records": items - quiet, "noise_records": quiet}})
    write_waveforms(params, folder / "waveforms", workers=1)

    def work() -> tuple[Path, ...]:
        pack(folder / "waveforms", params, folder / "packed", folder / "refused.csv",
             resume_root=folder / "resume", workers=1)  # fmt: skip
        return folder / "packed", folder / "waveforms"

    return work


def epoch(items: int, folder: Path) -> Work:
    subprocess.run([sys.executable, __file__, "--one", "packing", str(items), str(folder)], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    import numpy as np
    import torch

    from earthsignals.seismic.networks.seed import SeedAutoencoder
    from earthsignals.seismic.params import SeismicParams
    from earthsignals.seismic.seed_recipe import ReconstructionLoss
    from earthsignals.seismic.spectrogram.batches import SpectrogramBatches
    from earthsignals.seismic.spectrogram.image import Preprocessing
    from earthsignals.seismic.store.packed import open_store
    from earthsignals.training.data import Batches, BatchPlan

    torch.set_num_threads(1)
    store, network, loss = open_store(folder / "packed"), SeedAutoencoder(), ReconstructionLoss()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    preprocessing = Preprocessing.from_params(SeismicParams(), normalisation="component")
    rows = np.arange(len(store))
    source = SpectrogramBatches(store, rows, preprocessing, device=torch.device("cpu"))

    def work() -> tuple[Path, ...]:
        for batch in Batches(source, BatchPlan(len(rows), 32, shuffle=True, seed=0)):
            optimizer.zero_grad()
            loss(network, batch)["loss"].backward()
            optimizer.step()
        return ()

    return work


def radar_grids(items: int, folder: Path) -> Work:
    import h5py

    files = sorted((radar_data() / "secs_nc_north").glob("*.nc"))[:items]

    def read(name: str, entry: Any) -> None:
        if isinstance(entry, h5py.Dataset):
            entry[()]

    def work() -> tuple[Path, ...]:
        for path in files:
            with h5py.File(path, "r") as file:
                file.visititems(read)
        return tuple(files)

    return work


def radar_fits(items: int, folder: Path) -> Work:
    files = sorted((radar_data() / "wal_20110509").glob("*.bz2"))[:items]

    def work() -> tuple[Path, ...]:
        for path in files:
            bz2.decompress(path.read_bytes())
        return tuple(files)

    return work


def dask(items: int, folder: Path) -> Work:
    """Nothing to do but to travel; on one worker, started and connected before."""
    from distributed import LocalCluster

    from earthsignals.compute.cluster import connect
    from earthsignals.compute.progress import Progress
    from earthsignals.settings import Settings

    local = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, processes=True)
    cluster = connect(Settings(cluster=local.scheduler_address))
    cluster.client.wait_for_workers(1)

    def work() -> tuple[Path, ...]:
        bar = Progress("items", None, "items")
        assert sum(1 for _ in cluster.map(abs, range(items), bar)) == items
        return ()

    return work


def radar_data() -> Path:
    return ROOT / load_settings().real_data / "superdarn"


def one(name: str, items: int, folder: Path) -> dict[str, float]:
    """Measure a workload at one size, in this process."""
    work = globals()[name](items, folder)
    before = peak_memory_gb()
    cpu, wall = cpu_seconds(), time.perf_counter()
    left = work()
    figures = {
        "items": items * SHARE.get(name, 1), "seconds": cpu_seconds() - cpu,
        "wall_s": time.perf_counter() - wall, "peak_bytes": peak_memory_gb() * 2**30,
        "before_bytes": before * 2**30,
    }  # fmt: skip
    return figures | {"disk_bytes": size_of(*left)}


def slope(name: str, sizes: tuple[int, int]) -> dict[str, Any]:
    """Both sizes of a workload, each in a process of its own, and the line through them."""
    measured = []
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix=f"scale-{name}-") as folder:
            command = [sys.executable, __file__, "--one", name, str(size), folder]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        measured.append(json.loads(done.stdout.splitlines()[-1]))
    return line(name, measured)


def line(name: str, measured: list[dict[str, float]]) -> dict[str, Any]:
    """What a workload costs per item and at least, by its two measurements."""
    label, unit, items, _, _ = WORKLOADS[name]
    few, many = measured
    step = many["items"] - few["items"]
    per_item = {k: max(0.0, (many[k] - few[k]) / step) for k in ("seconds", "peak_bytes", "disk_bytes")}
    if name not in HELD and many["peak_bytes"] < 1.1 * few["peak_bytes"]:
        per_item["peak_bytes"] = 0.0
    print(f"{label:<40} {1e3 * per_item['seconds']:12.3f} ms {per_item['peak_bytes']:12,.0f} B memory "
          f"{per_item['disk_bytes']:12,.0f} B disk per item", flush=True)  # fmt: skip
    return {
        "name": label, "key": name, "unit": unit, "items": items, "measured": measured,
        "seconds_per_item": per_item["seconds"],
        "seconds_fixed": max(0.0, few["seconds"] - per_item["seconds"] * few["items"]),
        "memory_bytes_per_item": per_item["peak_bytes"],
        "memory_bytes_fixed": max(0.0, few["peak_bytes"] - per_item["peak_bytes"] * few["items"]),
        "disk_bytes_per_item": per_item["disk_bytes"],
    }  # fmt: skip


def measure(quick: bool) -> dict[str, Any]:
    """The slopes of all workloads; those without their data are left out, and named."""
    from earthsignals.tracking import describe_machine

    rows, left_out = [], []
    for name, (label, *_, small, large) in WORKLOADS.items():
        if name.startswith("radar") and not radar_data().is_dir():
            left_out.append(label)
            continue
        rows.append(slope(name, small if quick else large))
    settings = load_settings()
    return {
        "rows": rows, "left_out": left_out, "quick": quick, "cores": cpu_count(),
        "price_per_hour_usd": settings.price_per_hour_usd or DROPLET_USD, "machine": describe_machine(),
    }  # fmt: skip


def write_docs(path: Path, figures: dict[str, Any]) -> None:
    """Put the table between the markers of a Markdown file."""
    text = re.sub(
        r"(<!-- scale:table -->).*?(<!-- /scale:table -->)",
        lambda found: f"{found[1]}\n\n{scale_table(figures)}\n\n{found[2]}",
        path.read_text(encoding="utf-8"), flags=re.DOTALL,
    )  # fmt: skip
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller sizes")
    parser.add_argument("--report", type=Path, help="also write the figures to this JSON file")
    parser.add_argument("--docs", type=Path, help="also write the table into this Markdown file")
    parser.add_argument("--one", nargs=3, metavar=("NAME", "ITEMS", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, items, folder = arguments.one
        print(json.dumps(one(name, int(items), Path(folder))), flush=True)
        return
    figures = measure(arguments.quick)
    print(scale_table(figures))
    if arguments.report:
        write_json(arguments.report, figures)
    if arguments.docs:
        write_docs(arguments.docs, figures)
    print(json.dumps(figures, sort_keys=True))


if __name__ == "__main__":
    main()
