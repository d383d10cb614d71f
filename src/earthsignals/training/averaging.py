"""Exponential moving average of a network's weights and buffers: steadier than the weights it follows.

After t steps the average is sum_i d^(t-i) (1-d) w_i / (1 - d^t): every step's weights with a share that
decays by d per step, normalised like Adam's moments (Kingma & Ba 2015, section 3), so that the random
start has no share and early epochs can be judged too.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """Follows `model` from its first step on; `weights` are the averaged ones, on the model's device.

    Buffers that are not floating point (counters) are taken as they are.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.steps = 0
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the model's weights after a step."""
        self.steps += 1
        share = (1 - self.decay) / (1 - self.decay**self.steps)
        for name, value in self.model.state_dict().items():
            average = self.weights[name]
            if average.is_floating_point():
                average.lerp_(value, share)
            else:
                average.copy_(value)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the model's weights with the average in place; a second call undoes it exactly."""
        for name, value in self.model.state_dict().items():
            own = value.clone()
            value.copy_(self.weights[name])
            self.weights[name].copy_(own)

    def state_dict(self) -> dict[str, Any]:
        """What a resume point needs."""
        weights: dict[str, Tensor] = {n: v.detach().cpu().clone() for n, v in self.weights.items()}
        return {"steps": self.steps, "weights": weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.steps = state["steps"]
        for name, value in self.weights.items():
            value.copy_(state["weights"][name])
