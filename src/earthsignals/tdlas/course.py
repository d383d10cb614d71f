"""The course's CNN, trained by the course's recipe: the neural network to beat."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from earthsignals.settings import Settings
from earthsignals.storage import md5_file
from earthsignals.tdlas.bound import Stabiliser
from earthsignals.tdlas.dataset import ScanFile
from earthsignals.tdlas.model import CourseNet
from earthsignals.tdlas.params import CourseParams
from earthsignals.tdlas.simulate import PPM, Conditions, Simulator
from earthsignals.tdlas.train import Labelled
from earthsignals.training import fit, load_checkpoint, resume_key, save_checkpoint

if TYPE_CHECKING:
    from earthsignals.tracking import Run

KIND = "tdlas-course"


@dataclass(frozen=True)
class Course:
    """The trained network with what it is fed: "trace" or "clean-absorbance", and its target."""

    net: CourseNet
    input: str
    target: str
    stabiliser: Stabiliser

    @torch.no_grad()
    def predict(self, inputs: np.ndarray, conditions: Conditions) -> np.ndarray:
        """Mole fractions (B,) [ppm] from inputs (B, M) as made by `course_inputs`."""
        state = [torch.from_numpy(v.astype(np.float32))
                 for v in (conditions.temperature_k, conditions.pressure_atm)]  # fmt: skip
        out = self.net(torch.from_numpy(inputs), *state).numpy().astype(float)
        return self.stabiliser.ppm(out) if self.target == "stabilised" else out


def course_inputs(
    kind: str, signal: np.ndarray, conditions: Conditions, simulator: Simulator
) -> np.ndarray:
    """What the course's network is fed, (B, M) float32.

    "trace" is the noisy signal; "clean-absorbance" is the noise-free absorbance that the course uses,
    which no instrument can deliver: it is computed from the true mole fraction.
    """
    if kind == "trace":
        return signal
    c, grid = conditions, simulator.grid
    absorbance = np.empty_like(signal)
    for start in range(0, len(c), 1024):
        rows = slice(start, start + 1024)
        state = (c.temperature_k[rows], c.pressure_atm[rows], c.mole_fraction[rows])
        half = simulator.emulator.absorbance(*state, np.zeros(len(state[0])))
        absorbance[rows] = grid.fold(half)
    return absorbance


class _Batches:
    def __init__(self, inputs: np.ndarray, conditions: Conditions, target: np.ndarray) -> None:
        state = (conditions.temperature_k, conditions.pressure_atm, target)
        self.tensors = (torch.from_numpy(inputs), *(torch.from_numpy(v.astype(np.float32)) for v in state))

    def __len__(self) -> int:
        return len(self.tensors[0])

    def batch(self, indices: np.ndarray, epoch: int) -> tuple[Tensor, ...]:
        where = torch.from_numpy(indices)
        return tuple(tensor[where] for tensor in self.tensors)


def squared_error(model: CourseNet, batch: tuple[Tensor, ...]) -> Tensor:
    """Plain mean squared error of the target (the course: ppm)."""
    *inputs, target = batch
    return torch.nn.functional.mse_loss(model(*inputs), target)


def train_course(
    file: ScanFile, training: Labelled, validation: Labelled, simulator: Simulator,
    stabiliser: Stabiliser, options: CourseParams, settings: Settings, out: Path, *,
    resume_root: Path, run: Run | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train the course's network on the first `options.scans` scans and write `out`."""
    torch.manual_seed(options.seed)
    batches = []
    for split in (training, validation):
        rows = slice(0, options.scans)
        c = split.conditions[rows]
        inputs = course_inputs(options.input, split.signal(rows), c, simulator)
        ppm = c.mole_fraction / PPM
        target = stabiliser.u(ppm) if options.target == "stabilised" else ppm
        batches.append(_Batches(inputs, c, target))
    inputs, t, p, _ = batches[0].tensors
    net = CourseNet(inputs.shape[1], options.dropout)
    for channel, values in enumerate((inputs, t, p)):
        net.channel_centre[channel] = values.mean()
        net.channel_scale[channel] = values.std().clamp(min=1e-12)
    result = fit(
        net, squared_error, *batches, options, settings, resume_root=resume_root,
        key=resume_key("course", options.model_dump(mode="json"), md5_file(file.path)), run=run,
        description="training the course's network",
    )  # fmt: skip
    payload = {
        "samples": inputs.shape[1], "dropout": options.dropout, "input": options.input,
        "target": options.target, "unit_ppm": stabiliser.unit_ppm, "knee_ppm": stabiliser.knee_ppm,
    }  # fmt: skip
    save_checkpoint(out, KIND, net.state_dict(), payload)
    result.clear()
    return {
        "course_best_epoch": result.best_epoch,
        "course_parameters": sum(p.numel() for p in net.parameters()),
        "course_train_scans": len(batches[0]),
    }


def load_course(path: Path) -> Course:
    """Read the course's network. Raises EarthSignalsError for any other file."""
    content = load_checkpoint(Path(path), KIND)
    net = CourseNet(content["samples"], content["dropout"])
    net.load_state_dict(content["state_dict"])
    stabiliser = Stabiliser(content["unit_ppm"], content["knee_ppm"])
    return Course(net.eval(), content["input"], content["target"], stabiliser)
