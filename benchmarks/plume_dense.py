"""The dense saliency map beside the sliding window, measured in one run: equal, and how much faster.

    python benchmarks/plume_dense.py [--quick] [--devices -1 0] [--batch 8 32 512]
                                     [--report reports/benchmarks/plume_dense.json]

A flightline of 669 samples x 2801 lines is made here: correlated noise with plumes in it. So are the
networks, with every weight and statistic at random and logits of about N(0, 1) on that flightline: neither
cost nor rounding depends on training, and saturated logits would hide differences. Windows of 64 and 256:

- equality: the map that `earthsignals plume saliency` wrote against single windows, at 500 random pixels,
  all corners, and either side of every seam between its blocks;
- CPU seconds per pixel on one thread, of the dense map (cutting into blocks, padding and all, the flightline
  in memory) and of the sliding window in its fastest batch size, in turns, so that a busy machine slows both;
- wall seconds from the flightline on disk to the finished map on disk, on all cores, the start of Python
  aside, and the peak memory of that process; also on ten times the lines.

Without --quick also a table of mode x device x batch. There a sliding window is run on some lines of the
flightline, and shift-and-stitch of googlenet on 256, and scaled up to all, start-up included; the table marks
these by *. A run that fails (for want of memory, say) is named in its row, and the others go on.
Devices: -1 is the CPU, 0 and up are GPUs; those not there are named and skipped. Last line: one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from earthsignals.compute.device import choose_device, describe_device
from earthsignals.compute.memory import peak_memory_gb
from earthsignals.compute.seeds import philox
from earthsignals.plume.checkpoint import SaliencyModel, load_model, save_model
from earthsignals.plume.imagery.envi import write_envi
from earthsignals.plume.imagery.flightline import open_flightline
from earthsignals.plume.model import build
from earthsignals.plume.networks.dense import margins
from earthsignals.plume.networks.sliding import sliding_logits, window_logits
from earthsignals.plume.params import PreprocessingParams
from earthsignals.plume.predict import saliency
from earthsignals.plume.preprocess import Preprocessing
from earthsignals.plume.saliency.modes import block_logits, halo_of, plan
from earthsignals.plume.saliency.strips import ArrayScene, Block, read_padded
from earthsignals.settings import cpu_count
from earthsignals.storage import EarthSignalsError, write_json
from earthsignals.tracking import describe_machine

SAMPLES, LINES, LONG = 669, 2801, 28010
WINDOWS = (64, 256)
# Window -> batch sizes that compete for the sliding window's time, and pixels a round of each maps.
SLIDING = {64: ((8, 32, 128), 2048), 256: ((2, 8, 32), 128)}
# Architecture and window -> mode -> lines of the flightline that the table's figure is measured on.
TABLE = {
    ("plumenet", 64): {"dense": LINES, "shift-stitch": LINES, "sliding": 8},
    ("plumenet", 256): {"dense": LINES, "shift-stitch": LINES, "sliding": 1},
    ("googlenet-valid", 256): {"dense": LINES, "sliding": 1},
    ("googlenet", 256): {"shift-stitch": 256, "sliding": 1},
}
# Ranges of the batch normalisations: nothing is left at a value that would make a fault invisible.
STATISTICS = {"running_mean": (-0.5, 0.5), "running_var": (0.5, 2), "weight": (0.7, 1.4), "bias": (-0.4, 0.4)}
CPU = torch.device("cpu")


def flightline(lines: int) -> np.ndarray:
    """Enhancement [ppm·m] float32 (lines, SAMPLES): noise of 250, a third of it smooth, stripes, plumes."""
    parts = [_part(number) for number in range(-(-lines // LINES))]
    return np.concatenate(parts)[:lines]


def _part(number: int) -> np.ndarray:
    draw = philox(0, "benchmark-plume-dense", number)
    white = draw.standard_normal((2, LINES, SAMPLES), dtype=np.float32)
    smooth = gaussian_filter(white[1], 3.0)
    out = 200 * white[0] + 150 * smooth / smooth.std()
    out += 15 * draw.standard_normal(SAMPLES, dtype=np.float32)
    along, across = np.mgrid[-60:61, -60:61].astype(np.float32)
    for _ in range(60):
        line, sample = draw.integers(60, LINES - 61), draw.integers(60, SAMPLES - 61)
        turn, length, width, peak = draw.uniform((0, 8, 2, 300), (np.pi, 25, 8, 1500))
        u, v = along * np.cos(turn) + across * np.sin(turn), across * np.cos(turn) - along * np.sin(turn)
        plume = peak * np.exp(-((u / length) ** 2) - (v / width) ** 2)
        out[line - 60 : line + 61, sample - 60 : sample + 61] += plume
    out[1200:1230, 300:340] = np.nan  # not measured
    return out


@torch.no_grad()
def make_model(architecture: str, window: int, scene: np.ndarray, folder: Path) -> Path:
    """Save a network with random weights and statistics whose logits on `scene` are about N(0, 1)."""
    draw = philox(1, f"benchmark-plume-dense-{architecture}", window)
    torch.manual_seed(0)
    network = build(architecture, window).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for name, (low, high) in STATISTICS.items():
                getattr(module, name).copy_(torch.from_numpy(draw.uniform(low, high, module.num_features)))
    preprocessing = Preprocessing.from_params(PreprocessingParams())
    # Plumes are rare and their logits far out, so a few pixels would not tell the spread.
    pixels = draw.integers(scene.shape, size=(256 if architecture == "plumenet" else 32, 2)).T
    logits = window_logits(network, padded(scene, window, preprocessing), *torch.from_numpy(pixels), 4)
    last = network.linear if architecture == "plumenet" else network.fc
    offset = network.readout()[1].clone()
    last.weight.div_(logits.std())
    last.bias[-1] += (offset - logits.mean()) / logits.std() - offset
    path = folder / f"{architecture}-{window}.pt"
    save_model(path, network, preprocessing)
    return path


def padded(scene: np.ndarray, window: int, preprocessing: Preprocessing) -> Tensor:
    """The whole scene, normalised, with the margins of a window around it."""
    whole = Block(0, scene.shape[0], 0, scene.shape[1])
    return torch.from_numpy(read_padded(ArrayScene(scene), whole, margins(window), preprocessing)[0])


def dense_logits(scene: np.ndarray, model: SaliencyModel) -> np.ndarray:
    """The dense map by the very blocks of the command, kept as logits."""
    logits, halo = block_logits(model, "dense", 1, CPU), halo_of(model, "dense")
    out = np.empty(scene.shape, np.float32)
    for block in plan(model, "dense", scene.shape):
        image, _ = read_padded(ArrayScene(scene), block, halo, model.preprocessing)
        out[block.top : block.bottom, block.left : block.right] = logits(image)
    return out


def checked_pixels(scene: np.ndarray, model: SaliencyModel) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns: 500 random ones, corners, and eight pairs across every seam; measured ones only."""
    draw = philox(2, "benchmark-plume-dense-pixels", model.window)
    lines, samples = scene.shape
    picked = [(0, 0), (0, samples - 1), (lines - 1, 0), (lines - 1, samples - 1)]
    blocks = plan(model, "dense", scene.shape)
    for row in sorted({block.top for block in blocks} - {0}):
        picked += [(r, int(c)) for c in draw.integers(samples, size=8) for r in (row - 1, row)]
    for column in sorted({block.left for block in blocks} - {0}):
        picked += [(int(r), c) for r in draw.integers(lines, size=8) for c in (column - 1, column)]
    picked += map(tuple, draw.integers(scene.shape, size=(500, 2)).tolist())
    rows, columns = np.array(picked).T
    measured = np.isfinite(scene[rows, columns])
    return rows[measured], columns[measured]


def equality(scene: np.ndarray, model: SaliencyModel, logits: np.ndarray, written: Path) -> dict[str, Any]:
    """Largest differences from single windows: of the written map, and of its logits."""
    rows, columns = checked_pixels(scene, model)
    image = padded(scene, model.window, model.preprocessing)
    found = window_logits(model.network, image, torch.from_numpy(rows), torch.from_numpy(columns), 8).numpy()
    with open_flightline(written) as file:
        probability = file.read()[rows, columns]
    return {
        "pixels": len(rows),
        "max_abs_dp": float(np.abs(probability - model.probability(found)).max()),
        "max_abs_dlogit": float(np.abs(logits[rows, columns] - found).max()),
        "logit_std": float(found.std()),
        "logit_max": float(np.abs(found).max()),
    }


def cpu_time(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def race(scene: np.ndarray, model: SaliencyModel, rounds: int) -> tuple[dict[str, Any], np.ndarray]:
    """CPU seconds per pixel of both ways on one thread, in turns; and the dense logits."""
    batches, pixels = SLIDING[model.window]
    lines = -(-pixels // SAMPLES)
    few = padded(scene[1000 : 1000 + lines], model.window, model.preprocessing)
    few = few[:, : model.window - 1 + pixels // lines]
    count = lines * (pixels // lines)
    sliding = dict.fromkeys(batches, 0.0)
    dense = 0.0
    for _ in range(rounds):
        seconds, logits = cpu_time(lambda: dense_logits(scene, model))
        dense += seconds / scene.size / rounds
        for batch in batches:
            seconds, _ = cpu_time(lambda batch=batch: sliding_logits(model.network, few, batch))
            sliding[batch] += seconds / count / rounds
    best = min(sliding, key=sliding.get)
    figures = {
        "dense_us_per_pixel": 1e6 * dense,
        "sliding_us_per_pixel": {batch: 1e6 * seconds for batch, seconds in sliding.items()},
        "sliding_batch": best,
        "speedup": sliding[best] / dense,
    }
    return figures, logits


@dataclass
class Job:
    """One run of the command in a process of its own, whose memory is then nobody else's."""

    flightline: str
    model: str
    out: str
    mode: str = "dense"
    devices: tuple[int, ...] = (-1,)
    batch: int = 32

    def run(self) -> dict[str, Any]:
        """Wall `seconds`, `peak_gb` of the process and `gpu_gb`; raises with the child's own words."""
        # Sleeping idle threads, as the command has them; the variable counts before torch is imported.
        environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(cpu_count())}
        command = [sys.executable, __file__, "--job", json.dumps(self.__dict__)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{self} failed: {done.stderr[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    def here(self) -> dict[str, Any]:
        """The job itself, in the child."""
        model = load_model(self.model)
        started = time.perf_counter()
        path = saliency(
            self.flightline, model, self.out,
            devices=self.devices, batch=self.batch, mode=self.mode, overwrite=True, log=False,
        )  # fmt: skip
        seconds = time.perf_counter() - started
        cuda = [number for number in self.devices if number >= 0]
        gpu = sum(torch.cuda.max_memory_allocated(number) for number in cuda)
        return {"seconds": seconds, "peak_gb": peak_memory_gb(), "gpu_gb": gpu / 2**30, "path": str(path)}


def measure(quick: bool, devices: list[int], batches: list[int], folder: Path) -> dict[str, Any]:
    """All figures; `folder` takes flightlines, models and maps."""
    scene = flightline(LINES)
    short, long = folder / "short_img", folder / "long_img"
    write_envi(short, scene, band_names=["CH4"])
    write_envi(long, flightline(LONG), band_names=["CH4"])
    out: dict[str, Any] = {"windows": {}}
    for window in WINDOWS:
        path = make_model("plumenet", window, scene, folder)
        model = load_model(path)
        jobs = {"": short, "_long": long}
        maps = {name: Job(str(file), str(path), str(folder)).run() for name, file in jobs.items()}
        figures, logits = race(scene, model, rounds=2 if quick else 4)
        figures |= equality(scene, model, logits, Path(maps[""]["path"]))
        for name, found in maps.items():
            figures |= {f"{key}{name}": found[key] for key in ("seconds", "peak_gb")}
        out["windows"][str(window)] = figures
        print(summary(window, figures), flush=True)
    both = out["windows"].values()
    out |= {key: max(figures[key] for figures in both) for key in ("max_abs_dp", "max_abs_dlogit")}
    out["peak_gb"] = max(figures[key] for figures in both for key in ("peak_gb", "peak_gb_long"))
    for window, figures in out["windows"].items():
        out |= {f"{key}_w{window}": figures[key] for key in ("speedup", "seconds")}
    if not quick:
        out["table"] = table(scene, devices, batches, folder)
        wanted = ("googlenet-valid-256", "dense", "-1")
        seconds = [r["seconds"] for r in out["table"] if (r["model"], r["mode"], r["device"]) == wanted]
        out["seconds_googlenet_valid"] = seconds[0] if seconds else None
    return out | {"threads": cpu_count(), "machine": describe_machine()}


def summary(window: int, figures: dict[str, Any]) -> str:
    """A window's figures in words."""
    sliding = min(figures["sliding_us_per_pixel"].values())
    maps = [
        f"{figures['seconds' + name]:.1f} s for {SAMPLES} x {lines} ({figures['peak_gb' + name]:.2f} GB)"
        for name, lines in (("", LINES), ("_long", LONG))
    ]
    return (
        f"plumenet {window}: {', '.join(maps)}\n"
        f"  per pixel and thread: {figures['dense_us_per_pixel']:.2f} us dense, {sliding:.0f} us sliding in "
        f"batches of {figures['sliding_batch']}: {figures['speedup']:.0f} x\n"
        f"  {figures['pixels']} pixels differ by {figures['max_abs_dlogit']:.1e} in the logit, "
        f"{figures['max_abs_dp']:.1e} in probability (logits within {figures['logit_max']:.1f} of 0, "
        f"standard deviation {figures['logit_std']:.2f})"
    )


def table(scene: np.ndarray, devices: list[int], batches: list[int], folder: Path) -> list[dict[str, Any]]:
    """Seconds and memory for the whole flightline of every model, mode, device and batch size."""
    rows, groups = [], together(present(devices))
    print(f"{'model':<20}{'mode':<14}{'device':>7}{'batch':>7}{'seconds':>12}{'RAM GB':>9}{'GPU GB':>9}")
    for (architecture, window), modes in TABLE.items():
        path = make_model(architecture, window, scene, folder)
        model = load_model(path)
        for mode, few in modes.items():
            for numbers in groups:
                lines = few if numbers == (-1,) else min(LINES, 32 * few)  # GPUs: long enough to time
                part = folder / f"first{lines}_img"
                write_envi(part, scene[:lines], band_names=["CH4"])
                scale = work(model, mode, LINES) / work(model, mode, lines)
                for batch in batches if mode == "sliding" else [1]:
                    try:
                        found = Job(str(part), str(path), str(folder), mode, numbers, batch).run()
                    except RuntimeError as error:
                        rows.append(failed(f"{architecture}-{window}", mode, numbers, batch, lines, error))
                        continue
                    row = {
                        "model": f"{architecture}-{window}", "mode": mode,
                        "device": " ".join(map(str, numbers)),
                        "batch": batch if mode == "sliding" else None,
                        "seconds": scale * found["seconds"],
                        "measured_lines": lines, "peak_gb": found["peak_gb"], "gpu_gb": found["gpu_gb"],
                    }  # fmt: skip
                    rows.append(row)
                    print(
                        f"{row['model']:<20}{mode:<14}{row['device']:>7}{row['batch'] or '-':>7}"
                        f"{row['seconds']:>11,.1f}{'*' if lines < LINES else ' '}{row['peak_gb']:>9.2f}"
                        f"{row['gpu_gb']:>9.2f}",
                        flush=True,
                    )  # fmt: skip
    print(f"* scaled up from a part of the flightline's {LINES} lines")
    return rows


def failed(
    model: str, mode: str, numbers: tuple[int, ...], batch: int, lines: int, error: Exception
) -> dict[str, Any]:
    """The row of a run that gave no figures, with the last line of what it said."""
    reason = str(error).strip().splitlines()[-1]
    print(f"{model:<20}{mode:<14}{' '.join(map(str, numbers)):>7}{batch:>7}  failed: {reason}", flush=True)
    return {
        "model": model, "mode": mode, "device": " ".join(map(str, numbers)),
        "batch": batch if mode == "sliding" else None, "seconds": None, "measured_lines": lines,
        "peak_gb": None, "gpu_gb": None, "failed": reason,
    }  # fmt: skip


def work(model: SaliencyModel, mode: str, lines: int) -> float:
    """What the run time grows with: pixels when sliding, else pixels of all blocks with their halos."""
    if mode == "sliding":
        return lines * SAMPLES
    halo = sum(halo_of(model, mode))
    blocks = plan(model, mode, (lines, SAMPLES))
    return sum((block.shape[0] + halo) * (block.shape[1] + halo) for block in blocks)


def present(devices: list[int]) -> list[int]:
    """Those of `devices` that are there; the others are named."""
    found = []
    for number in devices:
        try:
            device = choose_device("cpu" if number < 0 else f"cuda:{number}")
        except EarthSignalsError as error:
            print(f"device {number} skipped: {error}")
        else:
            print(f"device {number}: {describe_device(device)['name']}")
            found.append(number)
    return found


def together(devices: list[int]) -> list[tuple[int, ...]]:
    """Each device alone, and all GPUs at once where there are several."""
    gpus = tuple(number for number in devices if number >= 0)
    return [(number,) for number in devices] + ([gpus] if len(gpus) > 1 else [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="no table: under five minutes on 2 cores")
    parser.add_argument("--devices", type=int, nargs="+", default=[-1], help="-1: CPU; 0, 1 ..: GPUs")
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 32, 512], help="windows at a time")
    parser.add_argument("--report", type=Path, help="also write the figures to this JSON file")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        job = json.loads(arguments.job)
        print(json.dumps(Job(**job | {"devices": tuple(job["devices"])}).here()))
        return
    # One thread in this process: CPU seconds are then those of work, on both sides.
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="plume-dense-") as folder:
        figures = measure(arguments.quick, arguments.devices, arguments.batch, Path(folder))
    if arguments.report:
        write_json(arguments.report, figures)
    print(json.dumps(figures, sort_keys=True))


if __name__ == "__main__":
    main()
