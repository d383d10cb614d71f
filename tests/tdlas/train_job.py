"""A training in a process of its own, for tests that kill it: DATASET FOLDER NAME [slow]."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from earthsignals.compute.device import deterministic
from earthsignals.params import load_section
from earthsignals.settings import Settings
from earthsignals.tdlas import train as training
from earthsignals.tdlas.dataset import open_scans
from earthsignals.tdlas.hitran import collect_lines
from earthsignals.tdlas.params import TdlasParams

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    dataset, folder, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    params = load_section("tdlas", TdlasParams, ROOT / "params.yaml")
    params = params.model_copy(update={"train": params.train.model_copy(update={"epochs": 3})})
    settings = Settings(progress=False, threads=1, device="cpu")
    deterministic(params.train.seed, settings.threads)
    if len(sys.argv) > 4:  # leave time to be killed between epochs
        original = training.ScanBatches.batch

        def slow(self, indices, epoch):
            time.sleep(0.1 if epoch > 0 else 0)
            return original(self, indices, epoch)

        training.ScanBatches.batch = slow
    fit = training.fit

    def told(*args, **kwargs):
        result = fit(*args, **kwargs)
        (folder / f"{name}.txt").write_text(f"resumed at epoch {result.resumed_epoch}")
        return result

    training.fit = told
    with open_scans(dataset) as file:
        training.train(
            file, collect_lines(params.lines), params, settings, folder / name / "best_model.pt",
            resume_root=folder / f"resume-{name}",
        )  # fmt: skip


if __name__ == "__main__":
    main()
