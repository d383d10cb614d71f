"""``fit``: from a model, a loss and data to the best weights, resumable at any moment."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earthsignals.compute.device import choose_device, deterministic
from earthsignals.compute.mapping import progress
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError
from earthsignals.training.checkpoint import read_tensors
from earthsignals.training.data import Batches, BatchPlan, checked
from earthsignals.training.options import TrainingOptions
from earthsignals.training.reporting import (
    Row,
    also_on_bar,
    announce,
    metrics,
    reporter,
    rows_of_ranks,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from earthsignals.tracking import Run


@dataclass(frozen=True)
class FitResult:
    """What a training leaves besides the weights in the model.

    history: one row per epoch: ``epoch``, ``learning_rate`` (at its last step), ``train_loss``,
    ``validation_loss`` and ``train_<name>``, ``validation_<name>`` for each further metric.
    resumed_epoch: first epoch computed by this call (0: from the start). seconds: wall time of
    this call alone.
    """

    best_epoch: int
    best_loss: float
    history: list[Row]
    resumed_epoch: int
    seconds: float
    folder: Path = field(repr=False)

    def clear(self) -> None:
        """Remove the resume folder; call it once the final checkpoint lies under its name."""
        shutil.rmtree(self.folder, ignore_errors=True)


def resume_key(*parts: Any) -> str:
    """Name a resume folder by what determines the result: params, md5s of the deps and so on.

    Returns 16 hexadecimal digits of the SHA-256 of the parts as JSON.
    """
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fit(
    model: nn.Module,
    loss: Callable[[nn.Module, tuple[Tensor, ...]], Tensor | dict[str, Tensor]],
    train: Any,
    validation: Any,
    options: TrainingOptions,
    settings: Settings,
    *,
    resume_root: Path,
    key: str,
    run: Run | None = None,
    on_epoch: Callable[[Row], None] | None = None,
    loader_workers: int = 0,
    description: str = "training",
) -> FitResult:
    """Train ``model`` in place; afterwards it holds the best weights, on the CPU, in eval mode.

    A training that was killed goes on from its last resume point when called again with the same
    arguments; its weights are bit-identical to those of an unbroken one on the same machine with
    the same number of threads.

    Args:
        model: its ``state_dict`` is the whole state.
        loss: ``loss(model, batch)`` returns the mean loss over the batch, or a dictionary of such
            means with the key ``loss``. Serves training and validation (``model.training`` tells
            which). With ``settings.devices > 1`` it must be picklable: a function of a module, or
            an instance of a class of one.
        train: a tuple of tensors (N, ...), a ``BatchSource``, or a map-style torch ``Dataset``.
        validation: likewise; early stopping and the best weights go by its loss.
        options: see :class:`TrainingOptions`.
        settings: device, devices (DDP ranks), precision, threads.
        resume_root: folder outside git and DVC; ``resume_root/key`` holds the resume points.
        key: see :func:`resume_key`. A resume point of other weights, options or data size than
            these is not used.
        run: gets every epoch's row as metrics, and the device.
        on_epoch: called with every new row, in this process.
        loader_workers: processes for a map-style ``Dataset``.
        description: the name at the progress bar.

    Raises:
        EarthSignalsError: a device that is not there, unusable data, a loss that is not finite,
            or a batch size that the devices cannot share.
    """
    started = time.monotonic()
    device = choose_device(settings.device)
    deterministic(options.seed, settings.threads)
    batches = _batches(train, validation, options, settings.devices, loader_workers)
    folder = resume_root / key
    folder.mkdir(parents=True, exist_ok=True)
    fingerprint = _fingerprint(model, options, batches)
    restored = _restore(folder, fingerprint)
    precision = _precision(settings.precision, device.type)
    if run is not None:
        announce(run, device, precision, settings)

    from earthsignals.training._module import Progress, TrainingModule, best_path, last_path

    state = Progress(**restored["progress"]) if restored else Progress()
    first_epoch = state.next_epoch
    if restored:
        model.load_state_dict(restored["model"])
        if run is not None:
            run.log_history([metrics(row) for row in state.history], range(len(state.history)))
    if not state.finished:
        module = TrainingModule(
            model, loss, options, *batches, folder=folder, fingerprint=fingerprint,
            threads=settings.threads, progress=state, restored=restored,
            fused=device.type in ("cpu", "cuda") and precision != "16-mixed",
        )
        report = reporter(run, on_epoch)
        with progress(
            description, (options.epochs - first_epoch) * len(batches[0]), "steps",
            enabled=settings.progress,
        ) as bar:
            _train(module, device, settings.devices, precision, bar, report)
    final = read_tensors(last_path(folder))["progress"]
    model.load_state_dict(read_tensors(best_path(folder, final["best_epoch"]))["weights"])
    model.to("cpu").eval()
    seconds = time.monotonic() - started
    if run is not None:
        run.add_device_seconds(seconds * settings.devices)
    return FitResult(
        best_epoch=final["best_epoch"], best_loss=final["best_loss"], history=final["history"],
        resumed_epoch=first_epoch, seconds=seconds, folder=folder,
    )


def _batches(
    train: Any, validation: Any, options: TrainingOptions, world: int, workers: int
) -> tuple[Batches, Batches]:
    train, train_length = checked(train, "training")
    validation, validation_length = checked(validation, "validation")
    if options.batch_size % world:
        raise EarthSignalsError(
            f"batch_size is {options.batch_size}, which {world} devices cannot share equally: set "
            f"it to a multiple of {world}, or the setting devices to 1"
        )
    # Fewer items than one batch make one batch, still shared equally.
    size = min(options.batch_size, train_length // world * world)
    if size == 0:
        raise EarthSignalsError(
            f"{train_length} training items cannot be shared by {world} devices: set devices to 1"
        )
    first = BatchPlan(train_length, size, shuffle=True, seed=options.seed)
    second = BatchPlan(validation_length, options.batch_size, shuffle=False, seed=options.seed)
    return Batches(train, first, workers), Batches(validation, second, workers)


def _fingerprint(model: nn.Module, options: TrainingOptions, batches: tuple[Batches, ...]) -> str:
    """Hash what a resume point must agree with: initial weights, options, numbers of items."""
    digest = hashlib.sha256(options.model_dump_json().encode())
    digest.update(repr([b.plan.length for b in batches]).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().double().numpy().tobytes())
    return digest.hexdigest()


def _restore(folder: Path, fingerprint: str) -> dict[str, Any] | None:
    """Return the resume point, or None for a fresh start (said aloud unless there was none)."""
    path = folder / "last.pt"
    if not path.exists():
        return None
    try:
        content = read_tensors(path)
        if content["fingerprint"] == fingerprint:
            read_tensors(folder / f"best-{content['progress']['best_epoch']:06d}.pt")
            return content
        reason = "belongs to other options, data or initial weights"
    except EarthSignalsError as error:
        reason = f"cannot be used ({error})"
    print(f"warning: the resume point {path} {reason}; training starts anew", file=sys.stderr)
    shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return None


def _train(
    module: Any, device: Any, devices: int, precision: str, bar: Any, report: Callable[[Row], None]
) -> None:
    import lightning

    from earthsignals.training._module import hush

    accelerator = {"cuda": "gpu", "mps": "mps"}.get(device.type, "cpu")
    alone = devices == 1
    trainer = lightning.Trainer(
        accelerator=accelerator,
        devices=[device.index or 0] if alone and accelerator == "gpu" else devices,
        # Spawned ranks start from this process's data, not by running the stage script again.
        strategy="auto" if alone else "ddp_spawn",
        precision=precision,
        max_epochs=module.options.epochs - module.first_epoch,
        gradient_clip_val=module.options.gradient_clip or None,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(module.folder),
    )
    loaders = module.batches["train"], module.batches["validation"]
    with warnings.catch_warnings():
        hush()
        if alone:
            module.on_step, module.on_row = bar.advance, also_on_bar(report, bar)
            trainer.fit(module, *loaders)
        else:
            def per_epoch(row: Row) -> None:
                bar.advance(len(loaders[0]))
                also_on_bar(report, bar)(row)

            with rows_of_ranks(per_epoch) as module.on_row:
                _fit_spawned(trainer, module, loaders)


def _fit_spawned(trainer: Any, module: Any, loaders: tuple[Batches, Batches]) -> None:
    from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

    try:
        trainer.fit(module, *loaders)
    except (ProcessRaisedException, ProcessExitedException) as error:
        told = [line for line in str(error).splitlines() if "EarthSignalsError: " in line]
        if not told:
            raise
        message = told[-1].split("EarthSignalsError: ", 1)[1]
    else:
        return
    raise EarthSignalsError(message)


def _precision(asked: str, device_type: str) -> str:
    if asked != "auto":
        return asked
    if device_type != "cuda":
        return "32-true"
    import torch

    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
