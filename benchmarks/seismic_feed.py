"""How fast waveforms reach a network, beside reading and transforming each file anew; in one run.

    python benchmarks/seismic_feed.py [--quick] [--report reports/benchmarks/seismic_feed.json]

Synthetic records are written as miniSEED and packed. Then, on one thread and in turns, so that a busy machine
slows all alike, in CPU seconds per record:

- the plain autoencoder's dataset: obspy.read and scipy.signal.stft of three components; with |Z|; and with
  ln(1 + |Z|) and minimum and maximum of each component;
- ours: a random batch of 32 from the packed store and its transforms; with |Z|; and with the same scaling,
  or with the default one (decibels, joint).

Their spectrograms are compared. `speedup_vs_seed` is the ratio for load and transform,
`speedup_vs_seed_normalised` that of whole items with the same scaling on both sides; each is a ratio of
medians over the rounds. Then, on all cores, by
the clock: packing (`pack_files_per_s`, a whole run from the first file to the finished store, its processes'
start included), and training steps of the plain autoencoder on batches of (32, 3, 129, 111) from the store
(`train_batches_per_s`: one over the median step) and its loss alone, as validation computes it
(`validation_batches_per_s`). On a GPU also `device_busy_share`: steps on a batch that lies on the device,
over steps that wait for the loader. Last line: one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import obspy
import scipy.signal
import torch

from earthsignals.compute.device import choose_device
from earthsignals.compute.seeds import philox
from earthsignals.seismic.networks.seed import SeedAutoencoder
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.seed_recipe import ReconstructionLoss
from earthsignals.seismic.spectrogram.batches import SpectrogramBatches
from earthsignals.seismic.spectrogram.image import Preprocessing, SpectrogramImage
from earthsignals.seismic.store.packed import Store, open_store
from earthsignals.settings import cpu_count
from earthsignals.storage import write_json
from earthsignals.tracking import describe_machine
from earthsignals.training.data import Batches, BatchPlan

BATCH = 32
THREADS = 2  # of a training step, as in the settings' default
SEED_STFT = {"fs": 100.0, "nperseg": 256, "noverlap": 192, "nfft": 256}
TOLERANCE = 1e-5  # of |Z|, relative to its largest value


def seed_transform(path: Path) -> list[np.ndarray]:
    """One item as the plain autoencoder's dataset reads it, up to Z: three of (F, T) complex64."""
    traces = [trace.data[:7000].astype(np.float32) for trace in obspy.read(path)]
    return [scipy.signal.stft(trace, **SEED_STFT)[2] for trace in traces]


def seed_amplitudes(path: Path) -> list[np.ndarray]:
    """Up to |Z|."""
    return [np.abs(z) for z in seed_transform(path)]


def seed_item(path: Path) -> torch.Tensor:
    """The whole item, (3, F, T) float32: ln(1 + |Z|), then minimum and maximum of each component."""
    logarithm = np.log1p(np.stack(seed_amplitudes(path)))
    low, high = (edge(logarithm, axis=(1, 2), keepdims=True) for edge in (np.min, np.max))
    return torch.from_numpy((logarithm - low) / (high - low + 1e-8))


class Race:
    """Ways to a batch of spectrograms, each timed in CPU seconds per record, in turns."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.paths = [folder / name for name in store.metadata["trace_name_original"]]
        self.joint = SpectrogramImage(Preprocessing())
        self.component = SpectrogramImage(
            Preprocessing.from_params(SeismicParams(), normalisation="component")
        )

    def ways(self, rows: np.ndarray) -> dict[str, tuple[Callable[[], Any], int]]:
        """Name -> what to time, and how many records that is."""
        waveforms = self.store.waveforms
        few = [self.paths[row] for row in rows[:8]]  # as the plain dataset is slow
        return {
            "seed: read, STFT": (lambda: [seed_transform(path) for path in few], len(few)),
            "seed: and |Z|": (lambda: [seed_amplitudes(path) for path in few], len(few)),
            "seed: and logarithm, min-max": (lambda: [seed_item(path) for path in few], len(few)),
            "ours: load": (lambda: self.store.read(rows), len(rows)),
            "ours: load, STFT": (lambda: self.transform(rows), len(rows)),
            "ours: and |Z|": (lambda: self.joint.amplitudes_of_rows(waveforms, rows), len(rows)),
            "ours: and logarithm, min-max": (
                lambda: self.component.images_of_rows(waveforms, rows), len(rows)
            ),
            "ours: and decibels, joint (default)": (
                lambda: self.joint.images_of_rows(waveforms, rows), len(rows)
            ),
        }  # fmt: skip

    def transform(self, rows: np.ndarray) -> None:
        """A few records at a time, as the images are made: their transforms never lie in memory at once."""
        for _ in self.joint.chunked.spectra(self.store.waveforms, rows):
            pass

    def run(self, rounds: int) -> dict[str, list[float]]:
        """Microseconds of CPU time per record: one figure a round."""
        spent: dict[str, list[float]] = {}
        for number in range(-1, rounds):  # the first round warms up
            rows = philox(0, "benchmark-seismic-feed", number + 1).integers(len(self.store), size=BATCH)
            for name, (work, records) in self.ways(rows).items():
                started = time.process_time()
                work()
                microseconds = 1e6 * (time.process_time() - started) / records
                if number >= 0:
                    spent.setdefault(name, []).append(microseconds)
        return spent

    def largest_difference(self, records: int = 16) -> float:
        """Between |Z| of both ways for the same waveform, relative to its largest value."""
        worst = 0.0
        for waveform in self.store.read(np.arange(min(records, len(self.store)))):
            expected = np.abs(scipy.signal.stft(waveform, **SEED_STFT)[2])
            found = self.joint.amplitudes_of_rows(waveform[None], np.arange(1))[0].numpy()
            worst = max(worst, float(np.abs(found - expected).max() / expected.max()))
        return worst


class Training:
    """Steps of the plain autoencoder as its recipe takes them, batches made ahead by a thread."""

    def __init__(self, store: Store) -> None:
        self.device = choose_device("auto")
        torch.manual_seed(0)
        self.network = SeedAutoencoder().to(self.device)
        self.loss = ReconstructionLoss()
        self.optimizer = torch.optim.Adam(self.network.parameters(), 1e-3, weight_decay=1e-5, fused=True)
        preprocessing = Preprocessing.from_params(SeismicParams(), normalisation="component")
        rows = np.resize(np.arange(len(store)), max(len(store), 64 * BATCH))
        source = SpectrogramBatches(store, rows, preprocessing, device=self.device)
        self.batches = Batches(source, BatchPlan(len(source), BATCH, shuffle=True, seed=0))

    def step(self, batch: tuple[torch.Tensor, ...]) -> None:
        loss = self.loss(self.network, batch)["loss"]
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    @torch.no_grad()
    def validate(self, batch: tuple[torch.Tensor, ...]) -> None:
        self.loss(self.network, batch)["loss"].item()

    def steps(
        self, batches: Any, seconds: float, least: int = 8, step: Callable[[Any], None] | None = None
    ) -> list[float]:
        """Seconds of each step, waiting for its batch included; on a GPU means, for steps overlap there."""
        step = step or self.step
        taken: list[float] = []
        started = last = time.perf_counter()
        for batch in batches:
            step(batch)
            now = time.perf_counter()
            taken.append(now - last)
            last = now
            if now - started > seconds and len(taken) >= least:
                break
        if self.device.type != "cuda":
            return taken
        torch.cuda.synchronize()
        return [(time.perf_counter() - started) / len(taken)]

    def _endless(self) -> Any:
        while True:
            yield from self.batches

    def measure(self, seconds: float) -> dict[str, float]:
        self.steps(self._endless(), 1.0, least=2)  # warms up
        step = statistics.median(self.steps(self._endless(), seconds))
        self.network.eval()
        validation = statistics.median(self.steps(self._endless(), seconds, step=self.validate))
        self.network.train()
        figures = {"train_batches_per_s": 1 / step, "validation_batches_per_s": 1 / validation}
        if self.device.type == "cuda":
            batch = next(iter(self.batches))
            alone = statistics.median(self.steps(iter(lambda: batch, None), seconds))
            figures["device_busy_share"] = min(1.0, alone / step)
        return figures


PREPARE = """
import json, sys, time
from pathlib import Path
from earthsignals.seismic.dataset import pack
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.simulation.write import write_waveforms

folder, records, workers = Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])
params = SeismicParams(synthetic=records)
clock = [time.perf_counter()]
write_waveforms(params, folder / "waveforms", workers=workers)
clock.append(time.perf_counter())
pack(folder / "waveforms", params, folder / "packed", folder / "refused.csv",
     resume_root=folder / "resume", workers=workers)
clock.append(time.perf_counter())
print(clock[1] - clock[0], clock[2] - clock[1])
"""


def prepare(folder: Path, records: Mapping[str, int], workers: int) -> tuple[float, float]:
    """Write and pack synthetic records in a process like a stage's, whose workers import no torch.

    Returns seconds of both.
    """
    done = subprocess.run(
        [sys.executable, "-c", PREPARE, str(folder), json.dumps(records), str(workers)],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    written, packed = map(float, done.stdout.split()[-2:])
    return written, packed


def measure(quick: bool, folder: Path) -> dict[str, Any]:
    """Everything; prints the table and returns the figures."""
    records = {"records": 1200, "noise_records": 300} if quick else {"records": 4800, "noise_records": 1200}
    workers, files = cpu_count(), sum(records.values())
    written, seconds = prepare(folder, records, workers)
    store = open_store(folder / "packed")
    torch.set_num_threads(1)
    race = Race(store, folder / "waveforms")
    difference = race.largest_difference()
    if difference > TOLERANCE:
        raise SystemExit(f"error: |Z| differs from scipy's by {difference:.1e}, more than {TOLERANCE:.0e}")
    spent = race.run(30 if quick else 120)
    torch.set_num_threads(THREADS)
    training = Training(store).measure(10 if quick else 40)
    typical = {name: statistics.median(values) for name, values in spent.items()}
    seed, seed_abs, seed_whole, _, ours, ours_abs, ours_whole, ours_default = typical.values()
    figures = {
        "speedup_vs_seed": seed / ours,
        "speedup_vs_seed_normalised": seed_whole / ours_whole,
        "speedup_vs_seed_absolute": seed_abs / ours_abs,
        "speedup_vs_seed_default": seed_whole / ours_default,
        **training,
        "pack_files_per_s": files / seconds,
        "write_files_per_s": files / written,
        "files": files,
        "workers": workers,
        "max_rel_difference": difference,
        "cpu_us_per_record": typical,
        "machine": describe_machine(),
    }
    _print(figures, spent)
    return figures


def _print(figures: Mapping[str, Any], spent: Mapping[str, list[float]]) -> None:
    print(f"{'CPU microseconds per record, one thread':<40} {'median':>8} {'least':>8} {'most':>8}")
    for name, values in spent.items():
        print(f"{name:<40} {statistics.median(values):8.0f} {min(values):8.0f} {max(values):8.0f}")
    print(f"\n|Z| agrees with scipy's within {figures['max_rel_difference']:.1e} of its largest value")
    rows = {
        "speed-up, load + STFT": f"{figures['speedup_vs_seed']:.1f} x",
        "speed-up, load + STFT + |Z|": f"{figures['speedup_vs_seed_absolute']:.1f} x",
        "speed-up, also logarithm and min-max": f"{figures['speedup_vs_seed_normalised']:.1f} x",
        "speed-up, the default scaling": f"{figures['speedup_vs_seed_default']:.1f} x",
        "training steps of (32, 3, 129, 111)": f"{figures['train_batches_per_s']:.1f} a second",
        "their loss alone (validation)": f"{figures['validation_batches_per_s']:.1f} a second",
        f"packing {figures['files']:,} files": f"{figures['pack_files_per_s']:.0f} files a second",
        "writing them": f"{figures['write_files_per_s']:.0f} files a second",
    }
    if "device_busy_share" in figures:
        rows["device busy"] = f"{100 * figures['device_busy_share']:.0f} %"
    for name, value in rows.items():
        print(f"{name:<40} {value}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer records: under a minute on 2 cores")
    parser.add_argument("--report", type=Path, help="also write the figures to this JSON file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="seismic-feed-") as folder:
        figures = measure(arguments.quick, Path(folder))
    if arguments.report:
        write_json(arguments.report, figures)
    print(json.dumps(figures, sort_keys=True))


if __name__ == "__main__":
    main()
