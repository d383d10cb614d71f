"""The optimiser that a pipeline's ``train`` section asks for. Imports torch."""

from __future__ import annotations

import torch
from torch import nn

from earthsignals.training.options import TrainingOptions

_KINDS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


def make_optimizer(model: nn.Module, options: TrainingOptions, fused: bool) -> torch.optim.Optimizer:
    """Adam, AdamW or SGD over what is trained; biases and norms (fewer than two axes) do not decay.

    fused: all parameters in one kernel per step, where the device has one.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2]},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    own = {"momentum": options.momentum} if options.optimizer == "sgd" else {}
    return _KINDS[options.optimizer](
        [group for group in groups if group["params"]],
        lr=options.learning_rate,
        weight_decay=options.weight_decay,
        fused=fused,
        **own,
    )
