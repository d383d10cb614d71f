"""``fit``: from a model, a loss and data to the best weights, resumable at any moment."""

from __future__ import annotations

import shutil
import time
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
from earthsignals.training.interruption import Interrupted, listening
from earthsignals.training.loaders import Loading
from earthsignals.training.options import TrainingOptions
from earthsignals.training.reporting import (
    Row,
    also_on_bar,
    announce,
    metrics,
    reporter,
    rows_of_ranks,
)
from earthsignals.training.resume import Clock, Progress, best_path, fingerprint, last_path, restore

if TYPE_CHECKING:
    from torch import Tensor, nn

    from earthsignals.tracking import Run


@dataclass(frozen=True)
class FitResult:
    """What a training leaves besides the weights in the model.

    history: one row per epoch: ``epoch``, ``learning_rate`` (at its last step), ``train_loss``,
    ``validation_loss`` and ``train_<name>``, ``validation_<name>`` for each further metric.
    resumed_epoch, resumed_step: where this call went on (0, 0: from the start), the step within that
    epoch. seconds: wall time of this call alone.
    """

    best_epoch: int
    best_loss: float
    history: list[Row]
    resumed_epoch: int
    resumed_step: int
    seconds: float
    folder: Path = field(repr=False)

    def clear(self) -> None:
        """Remove the resume folder; call it once the final checkpoint lies under its name."""
        shutil.rmtree(self.folder, ignore_errors=True)


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
    loader_workers: int | None = None,
    description: str = "training",
) -> FitResult:
    """Train ``model`` in place; afterwards it holds the best weights, on the CPU, in eval mode.

    A training that was killed goes on from its last resume point when called again with the same
    arguments; one that was asked to stop (SIGUSR1, or ``settings.stop_file`` appears) from the very
    step that it had reached. Its weights are bit-identical to those of an unbroken one on the same
    machine with the same numbers of threads and ranks (above two ranks up to the order in which
    their gradients are summed).

    Args:
        model: its ``state_dict`` is the whole state.
        loss: ``loss(model, batch)`` returns the mean loss over the batch, or a dictionary of such
            means with the key ``loss``. Serves training and validation (``model.training`` tells
            which). With several ranks it must be picklable: a function of a module, or an instance
            of a class of one.
        train: a tuple of tensors (N, ...), a ``BatchSource``, or a map-style torch ``Dataset``.
        validation: likewise; early stopping and the best weights go by its loss.
        options: see :class:`TrainingOptions`.
        settings: device, devices on each of nodes (DDP ranks), launcher, precision, threads,
            stop_file, loader_workers, pin_memory, prefetch_factor.
        resume_root: folder outside git and DVC; ``resume_root/key`` holds the resume points. With
            several nodes they must all see it.
        key: what :func:`~earthsignals.training.resume_key` gives. A resume point of other weights,
            options or data size than these is not used.
        run: gets every epoch's row as metrics, the device, and the seconds of all starts.
        on_epoch: called with every new row, in this process.
        loader_workers: processes that make the batches of a ``BatchSource`` or ``Dataset``; None: as many as
            the settings say. Results do not depend on their number.
        description: the name at the progress bar.

    Raises:
        Interrupted: it was asked to stop, and has saved itself; an EarthSignalsError.
        EarthSignalsError: a device that is not there, unusable data, a loss that is not finite,
            a batch size that the devices cannot share, or ranks that cannot be started.
    """
    started = time.monotonic()
    ranks = settings.devices * settings.nodes
    _check(settings)
    device = choose_device(settings.device)
    deterministic(options.seed, settings.threads)
    batches = _batches(train, validation, options, ranks, Loading.of(settings, loader_workers))
    folder = resume_root / key
    folder.mkdir(parents=True, exist_ok=True)
    mark = fingerprint(model, options, batches)
    restored = restore(folder, mark)
    precision = _precision(settings.precision, device.type)
    if run is not None:
        announce(run, device, precision, settings)
    state = Progress(**restored["progress"]) if restored else Progress()
    first = state.next_epoch, state.step
    steps, clock = batches[0].plan.whole, Clock(state, ranks)
    if restored:
        model.load_state_dict(restored["model"])
        if run is not None:
            run.log_history([metrics(row) for row in state.history], range(len(state.history)))
            run.add_earlier(state.wall_seconds, state.device_seconds)
    if not state.finished:
        from earthsignals.training._module import TrainingModule

        left = (options.epochs - first[0]) * steps - first[1]
        with (
            listening(folder, settings.stop_file) as stop,
            progress(description, left, "steps", enabled=settings.progress) as bar,
        ):
            module = TrainingModule(
                model, loss, options, *batches, folder=folder, fingerprint=mark,
                threads=settings.threads, stop=stop, progress=state, clock=clock, restored=restored,
                fused=device.type in ("cpu", "cuda") and precision != "16-mixed",
            )
            _train(module, device, precision, settings, bar, reporter(run, on_epoch))
    final = Progress(**read_tensors(last_path(folder))["progress"])
    seconds = time.monotonic() - started
    if run is not None:
        run.add_device_seconds(seconds * ranks)
    if not final.finished:
        raise Interrupted(folder, final.next_epoch, final.step, steps)
    model.load_state_dict(read_tensors(best_path(folder, final.best_epoch))["weights"])
    model.to("cpu").eval()
    return FitResult(
        best_epoch=final.best_epoch, best_loss=final.best_loss, history=final.history,
        resumed_epoch=first[0], resumed_step=first[1], seconds=seconds, folder=folder,
    )


def _batches(
    train: Any, validation: Any, options: TrainingOptions, world: int, loading: Loading
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
    return Batches(train, first, loading), Batches(validation, second, loading)


def _check(settings: Settings) -> None:
    if settings.nodes > 1 or settings.launcher != "spawn":
        from earthsignals.training.ranks import check_launcher

        check_launcher(settings)


def _train(
    module: Any, device: Any, precision: str, settings: Settings, bar: Any, report: Callable[[Row], None]
) -> None:
    from earthsignals.training.ranks import Placement, fit_by_srun, fit_here, fit_spawned

    placement = Placement(device.type, device.index or 0, settings.devices, settings.nodes, precision)
    shown = also_on_bar(report, bar)
    if placement.ranks == 1:
        module.on_step, module.on_row = bar.advance, shown
        fit_here(module, placement)
        return
    steps, done = module.batches["train"].plan.whole, module.progress_state.step

    def per_epoch(row: Row) -> None:
        nonlocal done
        bar.advance(steps - done)
        done = 0
        shown(row)

    if settings.launcher == "srun":
        fit_by_srun(module, placement, per_epoch)
    else:
        with rows_of_ranks(per_epoch) as module.on_row:
            fit_spawned(module, placement)


def _precision(asked: str, device_type: str) -> str:
    if asked != "auto":
        return asked
    if device_type != "cuda":
        return "32-true"
    import torch

    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
