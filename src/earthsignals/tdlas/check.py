"""A quick look at everything a run needs: data, model, forward and backward pass, one batch."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from earthsignals.compute.device import choose_device, deterministic
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError
from earthsignals.tdlas.dataset import ScanFile, generate, open_scans
from earthsignals.tdlas.hitran import collect_lines
from earthsignals.tdlas.ingest import ingest
from earthsignals.tdlas.lines import LineList
from earthsignals.tdlas.params import TdlasParams
from earthsignals.tdlas.train import (
    ScanBatches,
    filter_loss,
    initial_model,
    make_filters,
    read_labelled,
)

SCANS = 1536  # enough for one batch and for the closed-form tables to be solvable


def check(params: TdlasParams, settings: Settings, data: Path | None) -> Iterator[str]:
    """Yield one line per step that went well; raises EarthSignalsError at the first that did not.

    data: scans to look at (a dataset or a file of the user's own); None simulates a few.
    """
    started = time.monotonic()
    deterministic(params.train.seed, settings.threads)
    device = choose_device(settings.device)
    lines = collect_lines(params.lines)
    yield f"lines: {len(lines)} of {lines.edition}"
    with _scan_file(params, lines, data) as file:
        yield (
            f"data: {len(file):,} scans of {file.samples} samples, {file.window[0]:g} .. "
            f"{file.window[1]:g} cm-1, path {file.path_cm:g} cm, "
            f"{len(file.rows('train')):,} to train on"
        )
        training = read_labelled(file, "train", SCANS)
        validation = read_labelled(file, "validation", SCANS)
        if training.skipped:
            yield f"data: {training.skipped} training scans are unusable (saturated, dark, NaN)"
        bank = make_filters(file, lines, params, training)
        model = initial_model(training, validation, bank, params.train).to(device)
        unit = bank.stabiliser.unit_ppm
        yield f"model: {len(bank.filters)} filters, a standard error of about {unit:.2g} ppm"
        u = bank.stabiliser.u(training.conditions.mole_fraction * 1e6)
        rows = np.arange(min(params.train.batch_size, len(training)))
        batch = [v.to(device) for v in ScanBatches(training, u).batch(rows, 0)]
        loss = filter_loss(model.train(), batch)["loss"]
        loss.backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        if not torch.isfinite(loss) or not all(torch.isfinite(g).all() for g in gradients):
            raise EarthSignalsError(
                f"the loss of one batch is {loss.item():g} or its gradient is not finite; look for "
                "extreme signals, T or P in the data"
            )
        yield f"one batch of {len(rows)} on {device}: loss {loss.item():.3f}, gradients finite"
    yield f"all well after {time.monotonic() - started:.0f} s; next: dvc repro tdlas-train"


@contextmanager
def _scan_file(params: TdlasParams, lines: LineList, data: Path | None) -> Iterator[ScanFile]:
    with tempfile.TemporaryDirectory(prefix="check-") as folder:
        path = Path(folder) / "scans.h5"
        if data is None:
            few = params.dataset.model_copy(update={"scans": 2 * SCANS, "source": "simulated"})
            generate(lines, params.model_copy(update={"dataset": few}), path,
                     resume_root=Path(folder) / "resume", workers=1)  # fmt: skip
        else:
            ingest(data, params, lines, path)
        with open_scans(path) as file:
            yield file
