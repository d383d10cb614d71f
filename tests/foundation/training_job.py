"""A small training that tests run here, in killed subprocesses and on two ranks.

As a script: ``training_job.py RESUME_ROOT KILL [OPTION=VALUE ...]``, where KILL is ``step:N`` (the
process kills itself in the N-th call of the loss) or ``save:N`` (between the two files of the N-th
resume point).
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from earthsignals.compute.seeds import philox
from earthsignals.settings import Settings
from earthsignals.training import FitResult, TrainingOptions, fit

OPTIONS = TrainingOptions(
    epochs=4, batch_size=16, learning_rate=5e-3, weight_decay=0.01, warmup_fraction=0.2, seed=3
)


def data() -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(133, 6, generator=generator)
    y = torch.sin(x).sum(1, keepdim=True) + 0.1 * torch.randn(133, 1, generator=generator)
    return (x[:100], y[:100]), (x[100:], y[100:])


def network(dropout: float = 0.3) -> nn.Module:
    """With dropout and batch norm: random numbers and buffers must survive a kill too."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(6, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(dropout), nn.Linear(32, 1)
    )


def plain_network() -> nn.Module:
    """Without batch norm or dropout: two ranks must do the same sums as one."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 1))


def squared_error(model: nn.Module, batch: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
    error = model(batch[0]) - batch[1]
    return {"loss": error.square().mean(), "mae": error.abs().mean()}


def not_a_number(model: nn.Module, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
    return model(batch[0]).mean() * float("nan")


class Stopping:
    """The loss, which in its `call`-th call asks for the training's end: by a file, or by a signal."""

    def __init__(self, call: int, file: Path | None = None) -> None:
        self.call, self.file, self.calls = call, file, 0

    def __call__(self, model: nn.Module, batch: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
        self.calls += 1
        if self.calls == self.call:
            self.file.touch() if self.file else os.kill(os.getpid(), signal.SIGUSR1)
        return squared_error(model, batch)


class Source:
    """Batches made ahead, with noise keyed by epoch and index as augmentation is."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, indices, epoch: int) -> tuple[torch.Tensor, ...]:
        noise = [philox(7, "noise", 1000 * epoch + int(i)).standard_normal(6) for i in indices]
        return self.x[indices] + 0.01 * torch.tensor(np.array(noise)).float(), self.y[indices]


def settings(**changes: object) -> Settings:
    return Settings(**({"device": "cpu", "threads": 1, "progress": False} | changes))


def train(
    root: Path, loss=squared_error, options=OPTIONS, model=None, kind=None, **changes
) -> tuple[nn.Module, FitResult]:
    """`kind` turns the tuples of tensors into another kind of data."""
    model = network() if model is None else model
    rest = {"settings": settings(), "key": "job"} | changes
    both = data() if kind is None else [kind(*tensors) for tensors in data()]
    return model, fit(model, loss, *both, options, resume_root=root, **rest)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    moment, number = sys.argv[2].split(":")
    calls = 0

    def mortal_loss(model, batch):
        global calls
        calls += 1
        if moment == "step" and calls == int(number):
            _die()
        return squared_error(model, batch)

    if moment == "save":
        from earthsignals.training import resume

        write, saves = resume.write_tensors, 0

        def mortal_write(path, content):
            global saves
            saves += path.name == "last.pt"
            if path.name == "last.pt" and saves == int(number):
                _die()
            write(path, content)

        resume.write_tensors = mortal_write
    choices = dict(choice.split("=") for choice in sys.argv[3:])
    numbers = {name: value if name == "optimizer" else float(value) for name, value in choices.items()}
    train(Path(sys.argv[1]), mortal_loss, TrainingOptions(**(OPTIONS.model_dump() | numbers)))
