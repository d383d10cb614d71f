"""The Lightning side of the loop. Imports torch and Lightning: only ``fit`` imports this module.

Exact resume rests on three facts: the order of items, the learning rate and every random number
are functions of (seed, epoch, step); nothing else changes during an epoch but weights, buffers, their
average and optimiser state; and those are stored whole at the end of an epoch. Asked to stop in the middle
of one, the loop stores besides them what each rank has drawn and tallied so far.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor, nn

from earthsignals.compute.device import deterministic
from earthsignals.storage import EarthSignalsError
from earthsignals.training.averaging import WeightAverage
from earthsignals.training.data import Batches
from earthsignals.training.interruption import StopRequest
from earthsignals.training.optimizers import make_optimizer
from earthsignals.training.options import TrainingOptions, learning_rate
from earthsignals.training.quiet import hush
from earthsignals.training.resume import Clock, Progress, on_cpu, save
from earthsignals.training.sharpness import RandomState, climbed, share_gradients
from earthsignals.training.tally import Tally, shared_out

hush()  # for spawned ranks, which import this module anew


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
        stop: StopRequest,
        fused: bool,
        progress: Progress,
        clock: Clock,
        restored: dict[str, Any] | None,
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.options = options
        self.batches = {"train": train, "validation": validation}
        self.folder, self.fingerprint = folder, fingerprint
        self.threads, self.fused = threads, fused
        self.progress_state, self.clock = progress, clock
        self.restored = restored
        self.stop = stop
        self.interrupted = False
        self.on_step: Callable[[], None] | None = None
        self.on_row: Callable[[dict[str, float]], None] | None = None
        self._best_weights: dict[str, Tensor] | None = None
        self._tallies: dict[str, Tally] = {}
        self._optimizer: torch.optim.Optimizer | None = None
        self._average: WeightAverage | None = None
        self._first_pass: tuple[tuple[Tensor, ...], RandomState] | None = None
        self._random: RandomState | None = None

    @property
    def epoch(self) -> int:
        """The epoch under way, counted from the very first start."""
        return self.progress_state.next_epoch

    @property
    def validates_first(self) -> bool:
        """Whether the interruption left nothing of its epoch but the validation."""
        return self.progress_state.step == self.batches["train"].plan.whole

    def configure_optimizers(self) -> torch.optim.Optimizer:
        self._optimizer = make_optimizer(self.model, self.options, self.fused)
        return self._optimizer

    def on_fit_start(self) -> None:
        deterministic(self.options.seed, self.threads)
        for batches in self.batches.values():
            batches.plan.rank, batches.plan.world = self.global_rank, self.trainer.world_size
            batches.to(self.device)
        self._begin_epoch()
        if self.options.ema_decay:
            self._average = WeightAverage(self.model, self.options.ema_decay)
        if self.trainer.world_size > 1:
            self.stop.listen()
        if self.restored is not None:
            self._go_on(self.restored)
            self.restored = None

    def _begin_epoch(self) -> None:
        for name, batches in self.batches.items():
            batches.plan.epoch, batches.plan.first = self.epoch, 0
            self._tallies[name] = Tally(batches.plan.weights)

    def _go_on(self, restored: dict[str, Any]) -> None:
        """Take over all that a resume point holds besides the weights."""
        if self._average is not None:
            self._average.load_state_dict(restored["average"])
        # A copy of its own: spawned ranks get the tensors in shared memory, and the optimiser works on those
        # that it is given, so that two ranks would take each step twice.
        self._optimizer.load_state_dict(copy.deepcopy(restored["optimizer"]))
        self.trainer.precision_plugin.load_state_dict(restored["precision"])
        state, ranks = self.progress_state, restored.get("ranks", [])
        done = {"train": state.step, "validation": state.validated}
        for name in [name for name, batches in done.items() if batches]:
            own = shared_out([rank[name] for rank in ranks], self.global_rank, self.trainer.world_size)
            plan = self.batches[name].plan
            self._tallies[name] = Tally.go_on(own, plan.weights[done[name] :])
            plan.first = done[name] % plan.whole
        if len(ranks) == self.trainer.world_size:
            self._random = RandomState(self.device)
            self._random.load_state_dict(ranks[self.global_rank]["random"])

    def on_train_epoch_start(self) -> None:
        # Every epoch starts from its own seed, so dropout needs no stored generator state.
        text = f"{self.options.seed}/training/{self.epoch}/{self.global_rank}"
        torch.manual_seed(int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "little"))
        self._restore_random()

    def _restore_random(self) -> None:
        """Draw from where the interruption fell; once."""
        if self._random is not None:
            self._random.restore()
            self._random = None

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        rate = self._rate_of(self.batches["train"].plan.first + batch_idx)
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def _rate_of(self, step: int) -> float:
        """Learning rate of a step of the epoch under way."""
        steps = self.batches["train"].plan.whole
        return learning_rate(self.options, self.epoch * steps + step, self.options.epochs * steps)

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
        self._restore_random()
        if self._average is not None:
            self._average.swap()

    def on_validation_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        plan = self.batches["validation"].plan
        done = plan.first + batch_idx + 1
        # After the last batch the epoch's end is about to ask.
        if done < plan.whole and self._must_stop():
            self.batches["validation"].cut = True
            self.progress_state.validated = done
            self._random = RandomState(self.device)

    def on_validation_end(self) -> None:
        if self._average is not None:
            self._average.swap()
        if self.batches["validation"].cut:
            self._interrupt(self.batches["train"].plan.whole, self._random)
        elif self.trainer.sanity_checking:  # the validation that an interruption left outstanding
            self._close_epoch()

    def validation_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        self._step("validation", batch)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self._average is not None:
            self._average.update()
        if self.on_step is not None:
            self.on_step()
        plan = self.batches["train"].plan
        done = plan.first + batch_idx + 1
        # After the last step the validation is about to ask.
        if done < plan.whole and self._must_stop():
            self._interrupt(done, RandomState(self.device))

    def on_train_epoch_end(self) -> None:
        if self.interrupted:
            self.trainer.should_stop = True
        else:
            self._close_epoch()

    def _close_epoch(self) -> None:
        """Means, best weights, early stopping, resume point, report; then the next epoch begins."""
        state = self.progress_state
        row = {"epoch": self.epoch, "learning_rate": self._rate_of(self.batches["train"].plan.whole - 1)}
        for name in ("train", "validation"):
            row |= self._means(name)
        state.history.append(row)
        if row["validation_loss"] < state.best_loss:
            state.best_epoch, state.best_loss = self.epoch, row["validation_loss"]
            judged = self.model.state_dict() if self._average is None else self._average.weights
            self._best_weights = on_cpu(judged)
        waited = self.epoch - state.best_epoch
        impatient = 0 < self.options.patience <= waited
        state.next_epoch, state.step, state.validated = self.epoch + 1, 0, 0
        state.finished = impatient or state.next_epoch == self.options.epochs
        self.interrupted = not state.finished and self._must_stop()
        if impatient or self.interrupted:
            self.trainer.should_stop = True
        if state.finished or self.interrupted or state.next_epoch % self.options.checkpoint_every == 0:
            self._save()
        self._begin_epoch()
        if self.on_row is not None and self.global_rank == 0:
            self.on_row(row)

    def _step(self, name: str, batch: tuple[Tensor, ...]) -> Tensor:
        result = self.loss(self.model, batch)
        values = result if isinstance(result, dict) else {"loss": result}
        self._tallies[name].add(values)
        return values["loss"]

    def _means(self, name: str) -> dict[str, float]:
        means = self._tallies[name].means(self.trainer.world_size, self.device)
        self._check_finite(name, means["loss"])
        return {f"{name}_{key}": value for key, value in means.items()}

    def _check_finite(self, name: str, loss: float) -> None:
        """Raise EarthSignalsError where the loss is not finite."""
        if not math.isfinite(loss):
            raise EarthSignalsError(
                f"the {name} loss became {loss} in epoch {self.epoch}: lower learning_rate, set "
                "gradient_clip, or look for values in the data that are not finite"
            )

    def _must_stop(self) -> bool:
        """Whether any rank was asked to: all of them stop at the same step."""
        return self.trainer.strategy.reduce_boolean_decision(self.stop.asked(), all=False)

    def _interrupt(self, step: int, random: RandomState) -> None:
        """Store the epoch under way after `step` steps, and let both loops run out of batches."""
        tallies = {name: tally.state() for name, tally in self._tallies.items() if tally}
        ranks: list[Any] = [{"random": random.state_dict(), **tallies}]
        if self.trainer.world_size > 1:
            ranks *= self.trainer.world_size
            torch.distributed.all_gather_object(ranks, ranks[self.global_rank])
        # Ruined weights are no resume point; every rank sees all losses, so all of them refuse.
        self._check_finite("train", sum(rank["train"]["columns"]["loss"].sum().item() for rank in ranks))
        self.progress_state.step = step
        self._save(ranks)
        self.interrupted = True
        for batches in self.batches.values():
            batches.cut = True
        if self.trainer.sanity_checking:
            self.trainer.should_stop = True

    def _save(self, ranks: list[Any] | None = None) -> None:
        """Write a resume point; `ranks` is what each has drawn and tallied, in the middle of an epoch."""
        if self.global_rank != 0:
            return
        self.clock.stamp(self.progress_state)
        content = {
            "fingerprint": self.fingerprint,
            "progress": dict(vars(self.progress_state)),
            "model": on_cpu(self.model.state_dict()),
            "optimizer": self._optimizer.state_dict(),
            "precision": self.trainer.precision_plugin.state_dict(),
        }
        if ranks is not None:
            content["ranks"] = ranks
        if self._average is not None:
            content["average"] = self._average.state_dict()
        save(self.folder, content, self._best_weights)
        self._best_weights = None
