"""A quick look at everything a run needs: some hours of records, their grid, one batch and the network."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from earthsignals.compute.device import choose_device, deterministic
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.grid import grid_of
from earthsignals.superdarn.gridded import GridFile
from earthsignals.superdarn.losses import SightLoss
from earthsignals.superdarn.model import Forecaster
from earthsignals.superdarn.params import SuperdarnParams
from earthsignals.superdarn.predict import read_files
from earthsignals.superdarn.records.vectors import Vectors
from earthsignals.superdarn.samples import Samples
from earthsignals.superdarn.start import NormalEquations

RADARS = 6
HOURS = 6
ISSUES = 12
"""Times of issue that the linear start is tried on."""
MADE = {
    "data/superdarn/records/records.json": "superdarn-records",
    "data/superdarn/grid.h5": "superdarn-grid",
    "data/superdarn/best_model.pt": "superdarn-train",
    "reports/superdarn/metrics.json": "superdarn-evaluate",
}
"""What the stages leave behind, in their order."""


def check(params: SuperdarnParams, settings: Settings, data: Path | None = None) -> Iterator[str]:
    """Yield one line per step that went well; raises EarthSignalsError at the first that did not.

    data: a file or folder of the user's own records; None simulates six hours of a few radars.
    """
    started = time.monotonic()
    deterministic(params.train.seed, settings.threads)
    device = choose_device(settings.device)
    if data is None:
        vectors = _simulated(params)
        radars = len(np.unique(vectors.stid))
        yield f"records: {len(vectors):,} vectors of {radars} radars in {HOURS} h, simulated"
    else:
        found = read_files(data, params)
        vectors = found.vectors
        yield (
            f"records: {len(vectors):,} vectors of {len(np.unique(vectors.stid))} radars in "
            f"{len(found.files)} files, {len(found.refused)} of them refused"
        )
    grid = grid_of(vectors, params.grid)
    rows, columns = grid.layout.shape
    left_out = ", ".join(f"{number:,} {reason}" for reason, number in grid.dropped.items()) or "none"
    yield (
        f"grid: {params.grid.representation}, {rows} x {columns} cells, {len(grid):,} frames with "
        f"{len(grid.velocity) / len(grid):.0f} vectors each, {_coverage(grid):.1%} of cells a frame; "
        f"left out: {left_out}"
    )
    forecaster = Forecaster(params.grid, params.state, params.network, params.train.time_step).to(device)
    count = sum(p.numel() for p in forecaster.parameters())
    yield (
        f"network: {count:,} parameters, {params.network.levels} frames a step, up to "
        f"{forecaster.leads * params.grid.cadence_minutes} minutes ahead"
    )
    issues = _issues(grid, forecaster.leads, params)
    equations = NormalEquations(forecaster.start, forecaster.analysis)
    equations.add(grid, issues)
    equations.solve(grid, params.state.shrinkage)
    yield f"linear start: fitted on {len(issues)} times of issue"
    size = min(len(issues), params.train.batch_size)
    samples = Samples(grid, issues, forecaster.analysis.history, forecaster.leads)
    loss = _one_batch(forecaster, samples, size, device)
    yield f"one batch of {size} on {device}: loss {loss:.4f}, gradients finite"
    yield _what_is_missing()
    yield f"all well after {time.monotonic() - started:.0f} s; next: dvc repro superdarn-figures" + (
        "" if data is None else f", with superdarn.source: {data if data.is_dir() else data.parent}"
    )


def _simulated(params: SuperdarnParams) -> Vectors:
    """The first hours of the first day, of a few radars."""
    from earthsignals.superdarn.simulation.days import simulate_day

    few = params.simulation.model_copy(update={"radars": min(RADARS, params.simulation.radars)})
    vectors, _, _ = simulate_day(params.model_copy(update={"simulation": few}), 0)
    midnight = dt.datetime.combine(few.first_day, dt.time(), dt.UTC).timestamp()
    return vectors.take(vectors.end_s <= midnight + 3600 * HOURS)


def _coverage(grid: GridFile) -> float:
    """Share of a frame's cells with a vector, on average."""
    cells = np.unique(
        grid.frame.astype(np.int64) * np.prod(grid.layout.shape)
        + grid.row.astype(np.int64) * grid.layout.shape[1] + grid.column
    )  # fmt: skip
    return len(cells) / (len(grid) * int(np.isfinite(grid.layout.centres()[0]).sum()))


def _issues(grid: GridFile, leads: int, params: SuperdarnParams) -> np.ndarray:
    issues = grid.issues("train", 1, leads, 1)
    if not len(issues):
        raise EarthSignalsError(
            f"the records hold no {leads * params.grid.cadence_minutes} minutes in one piece, which a "
            "forecast is trained on: give more of them, or set superdarn.train.time_step smaller"
        )
    return issues[np.unique(np.linspace(0, len(issues) - 1, ISSUES).astype(int))]


def _one_batch(forecaster: Forecaster, samples: Samples, size: int, device: torch.device) -> float:
    """Forward and backward; raises where loss or gradient is not finite."""
    forecaster.train().zero_grad()
    batch = tuple(part.to(device) for part in samples.batch(np.arange(size), 0))
    loss = SightLoss()(forecaster, batch)["loss"]
    loss.backward()
    gradients = [p.grad for p in forecaster.parameters() if p.grad is not None]
    if not bool(torch.isfinite(loss)) or not all(bool(torch.isfinite(g).all()) for g in gradients):
        raise EarthSignalsError(
            f"the loss of one batch is {loss.item():g} or its gradient is not finite: look for extreme "
            "velocities in the records"
        )
    return loss.item()


def _what_is_missing() -> str:
    missing = [stage for path, stage in MADE.items() if not Path(path).exists()]
    return f"not made yet: {', '.join(missing)}" if missing else "made already: all that the stages make"
