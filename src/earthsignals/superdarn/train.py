"""Training of the forecast: the linear start in closed form, then the network on the rollout.

The past of a sample may reach back over the border of its block: what was observed is known at the time of
issue. What it is judged by never leaves its block.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from earthsignals.compute.device import deterministic
from earthsignals.compute.progress import progress
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError, md5_file
from earthsignals.superdarn.checkpoint import load_model, save_model
from earthsignals.superdarn.losses import SightLoss
from earthsignals.superdarn.model import Forecaster, along_sight, carried
from earthsignals.superdarn.params import GridParams, SuperdarnParams
from earthsignals.superdarn.samples import Samples
from earthsignals.superdarn.start import NormalEquations
from earthsignals.training import Trained, fit, resume_key
from earthsignals.training.loggers import logging_to

if TYPE_CHECKING:
    from earthsignals.superdarn.grid import GridFile
    from earthsignals.tracking import Run

HOUR_S = 3600
FEWEST_HOURS = 4
LOGS = Path("data/superdarn/logs")
"""What a further logger (`train.logger`) writes."""


def train_forecast(
    grid: GridFile, params: SuperdarnParams, settings: Settings, out: Path, *, resume_root: Path,
    run: Run | None = None,
) -> Trained:  # fmt: skip
    """Train `params.train` on the training block of `grid` and write `out`.

    The weights kept are those of the epoch with the least error on the validation block; how much of the
    network's correction is kept at each lead is fitted there, too, so that where it has learnt nothing beyond
    doubt the linear start remains. At the end the start itself is fitted again, on both blocks. A killed
    training resumes exactly when called again with the same arguments, until `clear`.

    Raises EarthSignalsError for a block too short for the longest lead, or an initial checkpoint of another
    network.
    """
    options = params.train
    deterministic(options.seed, settings.threads)
    torch.manual_seed(options.seed)
    forecaster = Forecaster(params.grid, params.state, params.network, options.time_step)
    forecaster.noise = options.noise_factor
    training, validation = (_samples(grid, split, params, forecaster) for split in ("train", "validation"))
    prior = None
    if options.initial_checkpoint is not None:
        prior = _take_over(forecaster, options.initial_checkpoint, params.grid)
    # A logger that cannot be had is told before the work, not after.
    with logging_to(options.logger, "superdarn-train", LOGS, params.model_dump(mode="json")) as on_epoch:
        equations = NormalEquations(forecaster.start, forecaster.analysis, prior)
        equations.add(grid, grid.issues("train", 1, forecaster.leads, params.state.stride))
        error = equations.solve(grid, params.state.shrinkage)
        forecaster.lead_weight.copy_(torch.from_numpy(1 / np.maximum(error, 1.0)))
        velocity = grid.velocity[np.isin(grid.frame, np.flatnonzero(grid.split == 0))]
        forecaster.scale.fill_(max(1.0, float(np.sqrt(np.mean(velocity.astype(np.float64) ** 2)))))
        key = resume_key(
            params.model_dump(mode="json", include={"grid", "state", "network", "train"}),
            _digest(grid), _md5_of(options.initial_checkpoint),
        )  # fmt: skip
        result = fit(
            forecaster, SightLoss(), training, validation, options, settings, resume_root=resume_root,
            key=key, run=run, on_epoch=on_epoch, description="training the forecast",
        )  # fmt: skip
    forecaster.gain.copy_(fit_gain(forecaster, validation, options.batch_size))
    # All is chosen: the start may learn from the validation block, too.
    equations.add(grid, grid.issues("validation", 1, forecaster.leads, params.state.stride))
    equations.solve(grid, params.state.shrinkage)
    save_model(
        out, forecaster, params.grid, params.state, params.network, params=params.model_dump(mode="json")
    )
    facts = {
        "parameters": sum(p.numel() for p in forecaster.parameters()), "samples": len(training),
        "gain_first_lead": float(forecaster.gain[0]), "gain_last_lead": float(forecaster.gain[-1]),
    }  # fmt: skip
    trained = Trained(result, facts)
    if run is not None:
        run.log_metrics(trained.metrics())
    return trained


@torch.no_grad()
def fit_gain(forecaster: Forecaster, samples: Samples, batch_size: int) -> torch.Tensor:
    """How much of the network's correction is worth keeping at each lead, (leads,) in [0, 1].

    See `worth_keeping`; the leads of a step of the rollout share their evidence.
    """
    forecaster.eval()
    forecaster.gain.fill_(1.0)
    hours, hour = np.unique(samples.grid.times_s[samples.issues] // HOUR_S, return_inverse=True)
    steps, levels = forecaster.steps, forecaster.levels
    product, square = torch.zeros(2, len(hours) * steps, dtype=torch.float64)
    starts = range(0, len(samples), batch_size)
    with progress("weighing the correction", len(starts), "batches") as bar:
        for first in starts:
            indices = np.arange(first, min(first + batch_size, len(samples)))
            history, mlt, roll, lead, cell, north, east, velocity, present, own = samples.batch(indices, 0)
            forecast, start = forecaster(history, mlt, roll)
            before = along_sight(start, lead, cell, north, east) + carried(forecaster, lead, own)
            added = along_sight(forecast - start, lead, cell, north, east) * present
            where = (torch.from_numpy(hour[indices])[:, None] * steps + lead // levels).flatten()
            product.index_add_(0, where, ((velocity - before) * added).double().flatten())
            square.index_add_(0, where, added.square().double().flatten())
            bar.advance()
    gain = worth_keeping(product.reshape(-1, steps).numpy(), square.reshape(-1, steps).numpy())
    return torch.from_numpy(gain).float().repeat_interleave(levels)


def worth_keeping(product: np.ndarray, square: np.ndarray) -> np.ndarray:
    """The share of a correction that helps beyond doubt: (steps,) float64 in [0, 1].

    The least-squares factor Σ product / Σ square, less its standard error by leaving out one hour after the
    other: neighbouring times of issue see the same weather and are no evidence of their own. Nothing is kept
    on the evidence of fewer than `FEWEST_HOURS`.

    Args:
        product: (hours, steps) sums of (observed − start) · correction over vectors.
        square: (hours, steps) sums of correction².
    """
    hours = len(product)
    if hours < FEWEST_HOURS:
        return np.zeros(product.shape[1])
    total = square.sum(0).clip(1e-12)
    share = product.sum(0) / total
    without = (product.sum(0) - product) / (square.sum(0) - square).clip(1e-12)
    error = np.sqrt((hours - 1) / hours * ((without - without.mean(0)) ** 2).sum(0))
    return (share - error).clip(0, 1)


def _samples(grid: GridFile, split: str, params: SuperdarnParams, forecaster: Forecaster) -> Samples:
    issues = grid.issues(split, 1, forecaster.leads, params.train.stride)
    if len(issues) == 0:
        raise EarthSignalsError(
            f"the {split} block holds no {forecaster.leads * params.grid.cadence_minutes} minutes in one "
            "piece: give longer records, set superdarn.split.block_hours larger, or "
            "superdarn.train.time_step smaller"
        )
    return Samples(grid, issues, forecaster.analysis.history, forecaster.leads)


def _take_over(forecaster: Forecaster, path: str, grid: GridParams) -> torch.Tensor:
    """Weights of the network from another model; its linear start stays behind but for its climatology.

    Returns that, (2, R, C) in m/s.
    """
    model = load_model(path)
    model.check_grid(grid)
    try:
        forecaster.network.load_state_dict(model.forecaster.network.state_dict())
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()[:160]
        raise EarthSignalsError(
            f"{path} is another network than superdarn.network describes ({reason}): set these to the "
            "checkpoint's, or leave superdarn.train.initial_checkpoint empty"
        ) from None
    return model.forecaster.start.climatology


def _digest(grid: GridFile) -> str:
    """A name for what is trained on, wherever it lies."""
    digest = hashlib.sha256()
    for array in (
        grid.times_s, grid.split, grid.block, grid.mlt_zero, grid.offsets, grid.row, grid.column, grid.kvect,
        grid.velocity,
    ):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _md5_of(path: str | None) -> str:
    return "" if path is None else md5_file(path)
