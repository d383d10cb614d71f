"""Training: closed-form filters and tables first, then Lightning for the CNN and the error head."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from earthsignals.settings import Settings
from earthsignals.storage import md5_file
from earthsignals.tdlas.bound import bound_table, forward_model
from earthsignals.tdlas.checkpoint import describe_scans, load_filter_net, save_filter_net
from earthsignals.tdlas.dataset import ScanFile, ScansError, scan_flags
from earthsignals.tdlas.filters import (
    FilterBank,
    Scaling,
    data_filters,
    exponents,
    physics_filters,
    scaling_of,
)
from earthsignals.tdlas.lines import LineList
from earthsignals.tdlas.measured import simulator_for
from earthsignals.tdlas.model import FLOOR, Z68, Z95, FilterNet
from earthsignals.tdlas.params import TdlasParams, TrainParams
from earthsignals.tdlas.polish import Regression, solve_table
from earthsignals.tdlas.simulate import PPM, Conditions
from earthsignals.training import FitResult, fit, resume_key

if TYPE_CHECKING:
    from earthsignals.tracking import Run

CLOSED_FORM_SCANS = 120_000  # more scans change the closed-form tables by less than their error
START_UNIT = 0.01  # the start is trained to hundredths of u's half range


@dataclass(frozen=True)
class Labelled:
    """A split's usable scans in memory, raw as stored: (N, M) counts or signal, and their labels."""

    trace: np.ndarray
    scale: float
    conditions: Conditions
    skipped: int

    def __len__(self) -> int:
        return len(self.trace)

    def signal(self, rows: np.ndarray | slice) -> np.ndarray:
        """Signals (B, M) float32 of some rows [mid-scan power]."""
        return self.trace[rows].astype(np.float32) * np.float32(self.scale)

    def log_trace(self, rows: np.ndarray | slice) -> np.ndarray:
        """ln of the signals (B, M) float32, cut at FLOOR."""
        return np.log(np.maximum(self.signal(rows), np.float32(FLOOR)))


def read_labelled(file: ScanFile, split: str, limit: int | None = None) -> Labelled:
    """Scans of a split with a known mole fraction, without saturated, dark or NaN ones (counted).

    Raises ScansError where none is left.
    """
    rows = file.rows(split)[:limit]
    h = file.handle
    low, high = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
    trace = h["I_t"][low:high]
    columns = [h[name][low:high] for name in ("T", "P", "xi")]
    if len(rows) != high - low:
        trace, columns = trace[rows - low], [c[rows - low] for c in columns]
    usable = scan_flags(trace, file.full_scale_counts) == 0
    usable &= np.isfinite(np.stack(columns)).all(axis=0)
    if not usable.any():
        raise ScansError(
            f"{file.path}: no usable scan in the {split} split ({len(rows)} there; saturated, dark, "
            "non-finite or unlabelled ones cannot serve). Check the file or its split column."
        )
    if not usable.all():
        trace, columns = trace[usable], [c[usable] for c in columns]
    return Labelled(trace, file.scale, Conditions(*columns), len(rows) - int(usable.sum()))


class ScanBatches:
    """Batches (signal, T, P, u) made from raw counts, so that a million scans fit into memory."""

    def __init__(self, scans: Labelled, u: np.ndarray) -> None:
        self.scans, self.u = scans, u

    def __len__(self) -> int:
        return len(self.scans)

    def batch(self, indices: np.ndarray, epoch: int) -> tuple[Tensor, ...]:
        """Tensors of the scans `indices`, the same in every epoch."""
        c = self.scans.conditions[indices]
        signal = torch.from_numpy(self.scans.signal(indices))
        labels = (c.temperature_k, c.pressure_atm, self.u[indices])
        return signal, *(torch.from_numpy(v.astype(np.float32)) for v in labels)


def filter_loss(model: FilterNet, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """Huber loss of the start plus the Gaussian likelihood of the polished estimate.

    In u an error of 1 is one Cramer-Rao bound everywhere, so all decades weigh alike. Squared errors
    are capped at 50 while the start is still too far off to be polished.
    """
    signal, t, p, u = batch
    start, estimate, log_error = model.stabilised(signal, t, p)
    unit = START_UNIT * model.state_half[2].to(start.dtype)
    coarse = torch.nn.functional.huber_loss(start / unit, u.to(start.dtype) / unit)
    deviation = torch.clamp(((estimate - u) * torch.exp(-log_error)) ** 2, max=50.0)
    likelihood = (0.5 * deviation + log_error).mean()
    error = (estimate.detach() - u).square().mean().sqrt()
    return {
        "loss": coarse + likelihood, "start": coarse.detach(), "likelihood": likelihood.detach(),
        "rmse_in_bounds": error,
    }  # fmt: skip


def train(
    file: ScanFile,
    lines: LineList,
    params: TdlasParams,
    settings: Settings,
    out: Path,
    *,
    resume_root: Path,
    run: Run | None = None,
) -> list[dict[str, float]]:
    """Train the default network on `file` and write `out`. Returns one row of losses per epoch.

    A killed training resumes exactly when called again with the same arguments.
    """
    options = params.train
    # On one thread throughout: the network is so small that a second one mostly waits, and sums then do
    # not depend on the number of cores.
    settings = settings.model_copy(update={"threads": 1})
    training, validation = read_labelled(file, "train"), read_labelled(file, "validation")
    with threadpool_limits(1):
        if options.initial_checkpoint:
            model = _fine_tuned(Path(options.initial_checkpoint), file, training, validation, options)
        else:
            bank = make_filters(file, lines, params, training)
            model = initial_model(training, validation, bank, options)
    u = [model.to_u(torch.from_numpy(s.conditions.mole_fraction / PPM)).numpy()
         for s in (training, validation)]  # fmt: skip
    result = fit(
        model, filter_loss, ScanBatches(training, u[0]), ScanBatches(validation, u[1]), options,
        settings, resume_root=resume_root,
        key=resume_key(params.model_dump(mode="json"), md5_file(file.path)), run=run,
        description="training the network",
    )  # fmt: skip
    calibrate(model, ScanBatches(validation, u[1]))
    save_filter_net(out, model, params, describe_scans(file))
    if run is not None:
        run.log_metrics(_training_metrics(result, model, training, validation))
        example = ScanBatches(validation, u[1]).batch(np.arange(min(4, len(validation))), 0)[:3]
        with torch.no_grad():
            outputs = model(*example)
        names = ("signal", "temperature_k", "pressure_atm")
        run.log_signature(
            {name: value.numpy() for name, value in zip(names, example, strict=True)},
            {"mole_fraction_ppm": outputs[0].numpy(), "standard_error_ppm": outputs[1].numpy()},
        )
    result.clear()
    return result.history


def make_filters(
    file: ScanFile, lines: LineList, params: TdlasParams, training: Labelled
) -> FilterBank:
    """Filters by `train.filters`; "auto" takes the declared instrument for simulated scans only."""
    options = params.train
    kind = options.filters
    if kind == "auto":
        kind = "physics" if file.simulated else "data"
    if kind == "data":
        rows = np.arange(min(len(training), CLOSED_FORM_SCANS))
        return data_filters(
            training.log_trace(rows), training.conditions[rows], options.filter_count
        )
    model = forward_model(simulator_for(file, lines, params))
    return physics_filters(model, bound_table(model).stabiliser, options.filter_count)


def initial_model(
    training: Labelled, validation: Labelled, bank: FilterBank, options: TrainParams
) -> FilterNet:
    """A FilterNet whose linear parts are solved and whose CNN adds nothing yet."""
    torch.manual_seed(options.seed)
    rows = np.arange(min(len(training), CLOSED_FORM_SCANS))
    conditions = training.conditions[rows]
    u = bank.stabiliser.u(conditions.mole_fraction / PPM)
    scaling = scaling_of(conditions, u)
    # The log-trace in pieces: it is the largest array here.
    pieces = np.array_split(rows, max(1, len(rows) // 8192))
    mean = sum(training.log_trace(r).sum(axis=0, dtype=np.float64) for r in pieces) / len(rows)
    spread = np.sqrt(np.mean([np.var(training.log_trace(r) - mean) for r in pieces]))
    scores = _scores(training, rows, mean, bank.filters)
    scale = scores.std(axis=0) + 1e-12

    splits = []
    for labelled, own_rows in ((training, rows), (validation, np.arange(len(validation)))):
        z = _scores(labelled, own_rows, mean, bank.filters) / scale
        c = labelled.conditions[own_rows]
        splits.append(
            Regression(
                np.concatenate([np.ones((len(z), 1)), z], axis=1), c.temperature_k, c.pressure_atm,
                bank.stabiliser.u(c.mole_fraction / PPM),
            )
        )  # fmt: skip
    start = solve_table(*splits, scaling, [exponents(scaling, 0)], spread=0.0, seed=options.seed)
    lower = sorted({max(options.polish_degree - d, 1) for d in (0, 2, 4)}, reverse=True)
    candidates = [exponents(scaling, degree) for degree in lower]
    polish = solve_table(
        *splits, scaling, candidates, spread=options.polish_spread, seed=options.seed
    )
    model = FilterNet(
        mean.shape[0], len(bank.filters), polish.degrees.tolist(), start.degrees.tolist(),
        channels=options.channels, hidden=options.hidden, dropout=options.dropout,
        polish_steps=options.polish_steps,
    )  # fmt: skip
    _fill(model, mean, spread, bank, scale, scaling, start.coefficients, polish.coefficients)
    # The tables already know how well they do: start the error head there.
    with torch.no_grad():
        model.log_error.bias.fill_(float(np.log(max(polish.error, 1e-3))))
    return model


def _scores(data: Labelled, rows: np.ndarray, mean: np.ndarray, filters: np.ndarray) -> np.ndarray:
    pieces = np.array_split(rows, max(1, len(rows) // 8192))
    return np.concatenate([(data.log_trace(r) - mean) @ filters.T for r in pieces])


def _fill(
    model: FilterNet, mean: np.ndarray, spread: float, bank: FilterBank, scale: np.ndarray,
    scaling: Scaling, start: np.ndarray, polish: np.ndarray,
) -> None:  # fmt: skip
    values = {
        "mean_log": mean, "log_scale": spread, "filters": bank.filters, "score_scale": scale,
        "state_centre": scaling.centre, "state_half": scaling.half, "knee": bank.stabiliser.knee_ppm,
        "unit": bank.stabiliser.unit_ppm, "start": start, "polish": polish,
    }  # fmt: skip
    for name, value in values.items():
        getattr(model, name).copy_(torch.as_tensor(np.asarray(value), dtype=torch.float64))


def _fine_tuned(
    path: Path, file: ScanFile, training: Labelled, validation: Labelled, options: TrainParams
) -> FilterNet:
    """A trained network with its polish table drawn towards new scans; its CNN trains on."""
    loaded = load_filter_net(path)
    loaded.check(file)
    model = loaded.model
    degrees = model.exponents.numpy()
    mean, filters = model.mean_log.numpy(), model.filters.numpy()
    scaling = Scaling(tuple(model.state_centre.tolist()), tuple(model.state_half.tolist()))
    splits = []
    for labelled in (training, validation):
        rows = np.arange(min(len(labelled), CLOSED_FORM_SCANS))
        z = _scores(labelled, rows, mean, filters) / model.score_scale.numpy()
        c = labelled.conditions[rows]
        u = model.to_u(torch.from_numpy(c.mole_fraction / PPM)).numpy()
        z = np.concatenate([np.ones((len(z), 1)), z], axis=1)
        splits.append(Regression(z, c.temperature_k, c.pressure_atm, u))
    table = solve_table(
        *splits, scaling, [degrees], spread=options.polish_spread, seed=options.seed,
        prior=model.polish.numpy(),
    )  # fmt: skip
    model.polish.copy_(torch.from_numpy(table.coefficients))
    # The new scans may be noisier: start the stated error at what the new table leaves.
    u = model.to_u(torch.from_numpy(validation.conditions.mole_fraction / PPM)).numpy()
    deviations = _deviations(model, ScanBatches(validation, u))
    with torch.no_grad():
        model.log_error.bias += float(np.log(np.sqrt(np.mean(deviations**2))))
    return model.train()


def calibrate(model: FilterNet, validation: ScanBatches) -> None:
    """Scale the 68 % and 95 % intervals so that they cover so much of the validation scans."""
    found = np.quantile(_deviations(model, validation), [0.682689492, 0.95])
    # The quantiles are those of a normal law, Z68 and Z95, where the stated error is right.
    model.interval.copy_(torch.from_numpy(np.clip(found, [0.2 * Z68, 0.2 * Z95], None)))


@torch.no_grad()
def _deviations(model: FilterNet, scans: ScanBatches) -> np.ndarray:
    """|error| of u over the stated standard error, (N,)."""
    deviations = []
    for start in range(0, len(scans), 4096):
        signal, t, p, u = scans.batch(np.arange(start, min(start + 4096, len(scans))), 0)
        _, estimate, log_error = model.stabilised(signal, t, p)
        deviations.append(((estimate - u).abs() * torch.exp(-log_error)).numpy())
    return np.concatenate(deviations)


def _training_metrics(
    result: FitResult, model: FilterNet, training: Labelled, validation: Labelled
) -> dict[str, Any]:
    return {
        "best_epoch": result.best_epoch,
        "best_validation_loss": result.best_loss,
        "parameters": sum(p.numel() for p in model.parameters()),
        "table_coefficients": model.polish.numel() + model.start.numel(),
        "train_scans": len(training),
        "validation_scans": len(validation),
        "skipped_scans": training.skipped + validation.skipped,
    }
