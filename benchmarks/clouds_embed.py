"""The dense embedding of a scene beside cutting and running each window, measured in one run.

    python benchmarks/clouds_embed.py [--quick] [--report reports/benchmarks/clouds_embed.json]

A scene of 2100 x 1400 pixels is made here, smooth and rough noise, with windows of 256 pixels at a step of
16: 8,352 of them. The networks are the default one (fixed filters and a head), and ResNet-18 at half width
(32) and at full width (64), which get the fixed filters as well; weights and statistics at random: neither
cost nor rounding depends on training. For each:

- ours: `embed_scene`, from the scene in memory to the array of embeddings;
- theirs: windows cut out and run by the network in the fastest of some batch sizes; and with its batch
  normalisations folded into the convolutions, which ours also does (`speedup_vs_folded`).

In CPU seconds per window on one thread, in turns; `speedup` is the ratio of medians over the rounds, of the
default network, `speedup_half_width` and `speedup_full_width` those of the others. Ours always embeds all
windows of the scene (with --quick at full width those of its first 480 rows). Theirs are run on a random
sample of the windows, since each costs the same, and scaled up; without --quick, every window is run by the
default network. `images_per_s` are its windows by the clock of a process on all cores that writes the map to
a file, `peak_gb` that process' memory.

`max_abs_diff` is the largest difference of ours from theirs on the windows run, over all networks,
`max_rel_diff` relative to the largest value. A trunk that pads as published (`zero`) can be shared only
inexactly: how far off that is, is told as `zero_padding_rel_diff`, and by default it is not done. Without
--quick also `peak_gb_tall`, the memory for four times the rows. Last line: one JSON object.
"""

from __future__ import annotations

import argparse
import copy
import datetime as dt
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from earthsignals.clouds.checkpoint import EmbeddingModel
from earthsignals.clouds.dense.fields import embed_to_file
from earthsignals.clouds.dense.shared import embed_scene
from earthsignals.clouds.dense.sliding import cut_windows
from earthsignals.clouds.dense.windows import Windows
from earthsignals.clouds.embedding import embed_tiles
from earthsignals.clouds.imagery.plane import Plane
from earthsignals.clouds.imagery.scene import Scene
from earthsignals.clouds.model import SCATTERING, build
from earthsignals.clouds.networks.resnet import BasicBlock
from earthsignals.clouds.params import GridParams
from earthsignals.compute.memory import peak_memory_gb
from earthsignals.compute.seeds import philox
from earthsignals.settings import cpu_count
from earthsignals.storage import write_json
from earthsignals.tracking import describe_machine

ROWS, COLUMNS, SIZE, STEP, KM = 1400, 2100, 256, 16, 200.0
NETWORKS: dict[str, dict[str, Any]] = {
    "default": {"architecture": "scattering", "embedding": 32, "hidden": 512},
    "half": {"architecture": "resnet18", "width": 32, "embedding": 32, "hidden": 512},
    "full": {"architecture": "resnet18", "width": 64, "embedding": 100, "hidden": 512},
}
LABELS = {"default": "fixed filters and a head", "half": "ResNet-18, half width", "full": "ResNet-18"}
TILES_AT_ONCE = (8, 16, 32)
TOLERANCE = 1e-5
"""Of the largest value: rounding of float32 sums through a score of layers."""
# Ranges of the batch normalisations: nothing is left at a value that would make a fault invisible.
STATISTICS = {"running_mean": (-0.3, 0.3), "running_var": (0.5, 2), "weight": (0.7, 1.4), "bias": (-0.3, 0.3)}


def make_scene(rows: int = ROWS) -> Scene:
    """Noise with scales from a pixel to a tile."""
    white = philox(0, "benchmark-clouds-embed").standard_normal((3, rows, COLUMNS), dtype=np.float32)
    values = sum(each / each.std() for each in (gaussian_filter(white, (0, s, s)) for s in (1, 6, 40)))
    return Scene(
        f"noise-{rows}", dt.datetime(2020, 1, 1, 15, tzinfo=dt.UTC),
        Plane.around(15.0, -50.0, KM / SIZE, (rows, COLUMNS)),
        np.clip(128 + 40 * values, 0, 255).astype(np.uint8), np.ones((rows, COLUMNS), bool),
        ("red", "green", "blue"), "visible",
    )  # fmt: skip


def make_model(name: str, padding: str = "none-in-trunk") -> EmbeddingModel:
    """A network with every weight and statistic at random."""
    torch.manual_seed(0)
    options = NETWORKS[name] | ({} if name == "default" else {"padding": padding})
    network = build(options).eval().requires_grad_(False)
    draw = philox(1, "benchmark-clouds-embed", list(NETWORKS).index(name))
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm1d)):
            for key, (low, high) in STATISTICS.items():
                getattr(module, key).copy_(torch.from_numpy(draw.uniform(low, high, module.num_features)))
    return EmbeddingModel(network, GridParams(tile_km=KM, tile_px=SIZE), name=name)


def folded(model: EmbeddingModel) -> EmbeddingModel:
    """The same network with its batch normalisations folded into its convolutions."""
    network = copy.deepcopy(model.network)
    if network.architecture == SCATTERING:
        return model
    network.conv1, network.bn1 = fuse_conv_bn_eval(network.conv1, network.bn1), nn.Identity()
    for block in network.modules():
        if isinstance(block, BasicBlock):
            for number in "12":
                convolution, norm = getattr(block, f"conv{number}"), getattr(block, f"bn{number}")
                setattr(block, f"conv{number}", fuse_conv_bn_eval(convolution, norm))
                setattr(block, f"bn{number}", nn.Identity())
            if block.downsample is not None:
                block.downsample = nn.Sequential(fuse_conv_bn_eval(*block.downsample))
    return EmbeddingModel(network, model.grid, name=model.name)


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """CPU seconds, wall seconds, and what came out."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    return time.process_time() - cpu, time.perf_counter() - wall, result


def run_each(model: EmbeddingModel, scene: Scene, corners: np.ndarray, at_once: int) -> np.ndarray:
    """Cut and run windows, so many at a time."""
    # `embed_tiles` counts its batch in tiles of 128 pixels.
    batch = at_once * SIZE**2 // 128**2
    parts = [
        embed_tiles(model, cut_windows(scene, corners[start : start + at_once], SIZE), batch)
        for start in range(0, len(corners), at_once)
    ]
    return np.concatenate(parts)


@dataclass
class Race:
    """Ours and theirs on one thread, in turns."""

    model: EmbeddingModel
    scene: Scene

    def __post_init__(self) -> None:
        self.windows = Windows.of(self.scene.plane.shape, SIZE, STEP)
        self.count = int(np.prod(self.windows.shape))
        self.folded = folded(self.model)

    def places(self, count: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of windows, without repetition."""
        draw = philox(2, "benchmark-clouds-embed-places", number)
        return np.unravel_index(draw.permutation(self.count)[:count], self.windows.shape)

    def corners(self, where: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return np.stack([self.windows.row[where[0]], self.windows.column[where[1]]], 1)

    def fastest(self) -> int:
        """Tiles at a time that cost theirs least."""
        corners = self.corners(self.places(max(TILES_AT_ONCE), 99))
        run_each(self.model, self.scene, corners[:8], 8)  # warms up
        return min(
            TILES_AT_ONCE, key=lambda n: timed(lambda: run_each(self.model, self.scene, corners, n))[0]
        )

    def run(self, rounds: int, tiles: int) -> dict[str, Any]:
        """`tiles` of theirs a round; 0: every window, once."""
        at_once = self.fastest()
        spent: dict[str, list[float]] = {"ours": [], "theirs": [], "theirs, folded": []}
        difference = largest = 0.0
        for number in range(rounds):
            where = self.places(tiles or self.count, number)
            corners = self.corners(where)
            # Half of theirs before ours and half after, as a machine may be busier at one time.
            before, after = np.array_split(corners, 2)
            first, one = self._theirs(self.model, before, at_once)
            seconds, _, dense = timed(
                lambda: embed_scene(self.model, self.scene, STEP, mode="exact", quiet=True)
            )
            second, two = self._theirs(self.model, after, at_once)
            few = after[: max(32, tiles // 2)]
            spent["ours"].append(seconds / self.count)
            spent["theirs"].append((first + second) / len(corners))
            spent["theirs, folded"].append(self._theirs(self.folded, few, at_once)[0] / len(few))
            found = np.concatenate([one, two])
            difference = max(difference, float(np.abs(dense.values[where] - found).max()))
            largest = max(largest, float(np.abs(found).max()))
        typical = {name: 1000 * statistics.median(values) for name, values in spent.items()}
        return {
            "windows": self.count, "windows_run": rounds * (tiles or self.count), "tiles_at_once": at_once,
            "cpu_ms_per_window": typical, "speedup": typical["theirs"] / typical["ours"],
            "speedup_vs_folded": typical["theirs, folded"] / typical["ours"],
            "max_abs_diff": difference, "max_rel_diff": difference / largest,
        }  # fmt: skip

    def _theirs(self, model: EmbeddingModel, corners: np.ndarray, at_once: int) -> tuple[float, np.ndarray]:
        seconds, _, found = timed(lambda: run_each(model, self.scene, corners, at_once))
        return seconds, found


def whole(rows: int) -> dict[str, float]:
    """Wall `seconds` and `peak_gb` of a process on all cores that embeds so many rows to a file."""
    # Sleeping idle threads, as the command has them; the variable counts before torch is imported.
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(cpu_count())}
    command = [sys.executable, __file__, "--whole", str(rows)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def whole_here(rows: int) -> dict[str, float]:
    """The same, in the child."""
    model, scene = make_model("default"), make_scene(rows)
    with tempfile.TemporaryDirectory(prefix="clouds-embed-") as folder:
        path = Path(folder) / "map.nc"
        _, seconds, _ = timed(lambda: embed_to_file(model, scene, path, STEP, quiet=True))
    return {"seconds": seconds, "peak_gb": peak_memory_gb()}


def zero_padding(rows: int) -> float:
    """How far inexact sharing of a padded trunk is off, relative to the largest value."""
    found = embed_scene(make_model("half", "zero"), make_scene(rows), 64, mode="shared", quiet=True)
    return float(found.difference)


def measure(quick: bool) -> dict[str, Any]:
    """Everything; prints the table and returns the figures."""
    scene, out = make_scene(), {}
    plans = {
        "default": (scene, 1, 256), "half": (scene, 1, 96), "full": (make_scene(480), 1, 32),
    } if quick else {"default": (scene, 1, 0), "half": (scene, 3, 512), "full": (scene, 3, 128)}  # fmt: skip
    print(f"{'one thread, CPU milliseconds per window':<42}{'ours':>8}{'theirs':>9}{'folded':>9}{'gain':>10}")
    for name, (seen, rounds, tiles) in plans.items():
        model = make_model(name)
        found = out[name] = Race(model, seen).run(rounds, tiles)
        if found["max_rel_diff"] > TOLERANCE:
            raise SystemExit(
                f"error: embeddings differ by {found['max_rel_diff']:.1e}, more than {TOLERANCE:.0e}"
            )
        cpu = found["cpu_ms_per_window"]
        text = f"{LABELS[name]}, {found['windows']:,} windows"
        print(
            f"{text:<42}{cpu['ours']:8.2f}{cpu['theirs']:9.2f}{cpu['theirs, folded']:9.2f}"
            f"{found['speedup']:9.1f} x", flush=True,
        )  # fmt: skip
    default, usual = out["default"], whole(ROWS)
    figures = {
        "speedup": default["speedup"],
        **{f"speedup_{name}_width": out[name]["speedup"] for name in ("half", "full")},
        **{key: max(found[key] for found in out.values()) for key in ("max_abs_diff", "max_rel_diff")},
        "images_per_s": default["windows"] / usual["seconds"], "scene_seconds": usual["seconds"],
        "peak_gb": usual["peak_gb"],
        "zero_padding_rel_diff": zero_padding(512),
        "networks": out, "extrapolated": default["windows_run"] < default["windows"],
        "threads": cpu_count(), "machine": describe_machine(),
    }  # fmt: skip
    if not quick:
        figures["peak_gb_tall"] = whole(4 * ROWS)["peak_gb"]
    _print(figures)
    return figures


def _print(figures: Mapping[str, Any]) -> None:
    default = figures["networks"]["default"]
    run = f"{default['windows_run']:,} windows run one by one" + (
        ", scaled up" if figures["extrapolated"] else ""
    )
    peaks = f"peak {figures['peak_gb']:.2f} GB"
    if "peak_gb_tall" in figures:
        peaks += f", and {figures['peak_gb_tall']:.2f} GB for four times the rows"
    print(f"default: {run}, {default['tiles_at_once']} at a time; the largest difference of all is "
          f"{figures['max_abs_diff']:.1e}, {figures['max_rel_diff']:.1e} of the largest value")  # fmt: skip
    print(f"the whole scene takes {figures['scene_seconds']:.1f} s on {figures['threads']} threads, "
          f"{figures['images_per_s']:.0f} windows a second; {peaks}")  # fmt: skip
    print(f"sharing a trunk padded with zeros would be off by {figures['zero_padding_rel_diff']:.0%} of the "
          "largest value, and is not done")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="fewer windows one by one: under a minute on 2 cores"
    )
    parser.add_argument("--report", type=Path, help="also write the figures to this JSON file")
    parser.add_argument("--whole", type=int, metavar="ROWS", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.whole:
        print(json.dumps(whole_here(arguments.whole)))
        return
    # One thread in this process: CPU seconds are then those of work, on both sides.
    torch.set_num_threads(1)
    figures = measure(arguments.quick)
    if arguments.report:
        write_json(arguments.report, figures)
    print(json.dumps(figures, sort_keys=True))


if __name__ == "__main__":
    main()
