"""The Lightning side of the loop. Imports torch and Lightning: only ``fit`` imports this module.

Exact resume rests on three facts: the order of items, the learning rate and every random number
are functions of (seed, epoch, step); nothing else changes during an epoch but weights, buffers, their
average and optimiser state; and those are stored whole at the end of an epoch.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from earthsignals.compute.device import deterministic
from earthsignals.storage import EarthSignalsError
from earthsignals.training.averaging import WeightAverage
from earthsignals.training.checkpoint import write_tensors
from earthsignals.training.data import Batches
from earthsignals.training.options import TrainingOptions, learning_rate
from earthsignals.training.sharpness import RandomState, climbed, share_gradients

# Lightning announces devices and products at every start; errors and warnings still come through.
for _name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(_name).setLevel(logging.WARNING)


def hush() -> None:
    """Ignore two warnings that no user can act upon: Lightning's use of an old torch name, and its
    advice to use more loader workers, wrong for data that lies in memory."""
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")


hush()  # for spawned ranks, which import this module anew


@dataclass
class Progress:
    """How far the training is; stored in every resume point."""

    next_epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    best_loss: float = math.inf
    finished: bool = False


class TrainingModule(lightning.LightningModule):
    """Runs the pipeline's loss on its model; keeps history, best weights and resume points."""

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[nn.Module, tuple[Tensor, ...]], Any],
        options: TrainingOptions,
        train: Batches,
        validation: Batches,
        *,
        folder: Path,
        fingerprint: str,
        threads: int,
        fused: bool,
        progress: Progress,
        restored: dict[str, Any] | None,
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.options = options
        self.batches = {"train": train, "validation": validation}
        self.folder, self.fingerprint = folder, fingerprint
        self.threads, self.fused = threads, fused
        self.progress_state = progress
        self.first_epoch = progress.next_epoch
        self.restored = restored
        self.on_step: Callable[[], None] | None = None
        self.on_row: Callable[[dict[str, float]], None] | None = None
        self._best_weights: dict[str, Tensor] | None = None
        self._seen: dict[str, list[dict[str, Any]]] = {"train": [], "validation": []}
        self._optimizer: torch.optim.Optimizer | None = None
        self._average: WeightAverage | None = None
        self._first_pass: tuple[tuple[Tensor, ...], RandomState] | None = None

    @property
    def epoch(self) -> int:
        """Epoch since the very first start, across resumes."""
        return self.first_epoch + self.current_epoch

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam, AdamW or SGD; biases and norms (fewer than two axes) do not decay."""
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim >= 2]},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
        own = {"momentum": self.options.momentum} if self.options.optimizer == "sgd" else {}
        self._optimizer = kinds[self.options.optimizer](
            [group for group in groups if group["params"]],
            lr=self.options.learning_rate,
            weight_decay=self.options.weight_decay,
            fused=self.fused,
            **own,
        )
        return self._optimizer

    def on_fit_start(self) -> None:
        deterministic(self.options.seed, self.threads)
        for batches in self.batches.values():
            plan = batches.plan
            plan.rank, plan.world = self.global_rank, self.trainer.world_size
            plan.epoch = self.first_epoch
            batches.to(self.device)
        self._weights = {name: batches.plan.weights for name, batches in self.batches.items()}
        if self.options.ema_decay:
            self._average = WeightAverage(self.model, self.options.ema_decay)
        if self.restored is not None:
            if self._average is not None:
                self._average.load_state_dict(self.restored["average"])
            self._optimizer.load_state_dict(self.restored["optimizer"])
            self.trainer.precision_plugin.load_state_dict(self.restored["precision"])
            self.restored = None
        self._total_steps = self.options.epochs * len(self.batches["train"])

    def on_train_epoch_start(self) -> None:
        # Every epoch starts from its own seed, so dropout needs no stored generator state.
        text = f"{self.options.seed}/training/{self.epoch}/{self.global_rank}"
        torch.manual_seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "little"))
        self._first_step = self.epoch * len(self.batches["train"])

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        step = self._first_step + batch_idx
        self._rate = learning_rate(self.options, step, self._total_steps)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        if self.options.sam_rho:
            self._first_pass = batch, RandomState(self.device)
        return self._step("train", batch)

    def backward(self, loss: Tensor, *_: Any, **__: Any) -> None:
        """Gradient of the (scaled) loss; with SAM the one at the weights a step uphill."""
        loss.backward()
        if self._first_pass is None:
            return
        (batch, random), self._first_pass = self._first_pass, None
        precision = self.trainer.precision_plugin
        with climbed(self.model, self.options.sam_rho) as climbing:
            if climbing:
                random.restore()  # the same dropout as in the first pass
                with precision.forward_context():
                    result = self.loss(self.model, batch)
                    uphill = result["loss"] if isinstance(result, dict) else result
                precision.pre_backward(uphill, self).backward()
                share_gradients(self.model, self.trainer.world_size)

    def on_validation_start(self) -> None:
        if self._average is not None:
            self._average.swap()

    def on_validation_end(self) -> None:
        if self._average is not None:
            self._average.swap()

    def validation_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        self._step("validation", batch)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self._average is not None:
            self._average.update()
        if self.on_step is not None:
            self.on_step()

    def on_train_epoch_end(self) -> None:
        """Close the epoch: means, best weights, early stopping, resume point, report."""
        row = {"epoch": self.epoch, "learning_rate": self._rate}
        for name in ("train", "validation"):
            row |= self._means(name)
        state = self.progress_state
        state.history.append(row)
        if row["validation_loss"] < state.best_loss:
            state.best_epoch, state.best_loss = self.epoch, row["validation_loss"]
            judged = self.model.state_dict() if self._average is None else self._average.weights
            self._best_weights = _on_cpu(judged)
        state.next_epoch = self.epoch + 1
        waited = self.epoch - state.best_epoch
        impatient = 0 < self.options.patience <= waited
        state.finished = impatient or state.next_epoch == self.options.epochs
        if impatient:
            self.trainer.should_stop = True
        if state.finished or state.next_epoch % self.options.checkpoint_every == 0:
            self._save()
        for batches in self.batches.values():
            batches.plan.epoch = state.next_epoch
        if self.on_row is not None and self.global_rank == 0:
            self.on_row(row)

    def _step(self, name: str, batch: tuple[Tensor, ...]) -> Tensor:
        result = self.loss(self.model, batch)
        values = result if isinstance(result, dict) else {"loss": result}
        # Kept on the device: reading a number now would wait for it at every step.
        self._seen[name].append(
            {k: v.detach() if isinstance(v, Tensor) else v for k, v in values.items()}
        )
        return values["loss"]

    def _means(self, name: str) -> dict[str, float]:
        """Mean of each metric over all items of all ranks; empties the epoch's list.

        Raises:
            EarthSignalsError: the loss is not finite.
        """
        seen, self._seen[name] = self._seen[name], []
        weights = torch.tensor(self._weights[name][: len(seen)], dtype=torch.float64)
        keys = sorted(seen[0])
        columns = [torch.stack([torch.as_tensor(v[k]).float() for v in seen]).cpu() for k in keys]
        # A batch that counts for nothing must not spoil the sum with a NaN of its own.
        sums = [(c.double() * weights)[weights > 0].sum() for c in columns]
        total = torch.stack([*sums, weights.sum()])
        if self.trainer.world_size > 1:
            total = total.to(self.device)
            torch.distributed.all_reduce(total)
            total = total.cpu()
        means = (total[:-1] / total[-1]).tolist()
        result = {f"{name}_{key}": value for key, value in zip(keys, means, strict=True)}
        if not math.isfinite(result[f"{name}_loss"]):
            raise EarthSignalsError(
                f"the {name} loss became {result[f'{name}_loss']} in epoch {self.epoch}: lower "
                "learning_rate, set gradient_clip, or look for values in the data that are not "
                "finite"
            )
        return result

    def _save(self) -> None:
        """Write the best weights first, then the resume point that names them, then tidy up."""
        if self.global_rank != 0:
            return
        state = self.progress_state
        best = best_path(self.folder, state.best_epoch)
        if self._best_weights is not None:
            write_tensors(best, {"weights": self._best_weights})
            self._best_weights = None
        content = {
            "fingerprint": self.fingerprint,
            "progress": vars(copy.copy(state)),
            "model": _on_cpu(self.model.state_dict()),
            "optimizer": self._optimizer.state_dict(),
            "precision": self.trainer.precision_plugin.state_dict(),
        }
        if self._average is not None:
            content["average"] = self._average.state_dict()
        write_tensors(last_path(self.folder), content)
        for old in self.folder.glob("best-*.pt"):
            if old != best:
                old.unlink()


def last_path(folder: Path) -> Path:
    """The resume point: everything after the last stored epoch."""
    return folder / "last.pt"


def best_path(folder: Path, epoch: int) -> Path:
    """The weights with the lowest validation loss so far."""
    return folder / f"best-{epoch:06d}.pt"


def _on_cpu(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in state.items()}
