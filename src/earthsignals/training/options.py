"""What a pipeline's ``train`` section says about optimisation, and its learning-rate curve."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from earthsignals.params import Section


class TrainingOptions(Section):
    """Knobs of the loop. Batch size is global: DDP ranks share it, so results barely depend on
    their number.

    Options that joined later are left out of dumps at their defaults: a checkpoint holds its
    options, and those written before must come out with the same bytes.
    """

    epochs: int = Field(20, ge=1, le=100_000)
    batch_size: int = Field(256, ge=1, le=1_000_000)
    learning_rate: float = Field(1e-3, gt=0, le=10)
    """Peak of the schedule."""
    weight_decay: float = Field(0.0, ge=0, le=1)
    """AdamW: decoupled; Adam, SGD: L2. Matrices and kernels only, never biases or norms."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    momentum: float = Field(0.9, ge=0, lt=1, exclude_if=lambda value: value == 0.9)
    """Of SGD alone."""
    sam_rho: float = Field(0.0, ge=0, le=10, exclude_if=lambda value: value == 0)
    """Sharpness-aware minimisation (Foret et al. 2021): the gradient is taken this far up the hill;
    twice the work. 0 takes it where the weights are."""
    ema_decay: float = Field(0.0, ge=0, lt=1, exclude_if=lambda value: value == 0)
    """Exponential moving average of weights and buffers over the steps, which is validated and kept
    instead of the last ones; 0 does not average."""
    schedule: Literal["onecycle", "cosine", "constant"] = "onecycle"
    warmup_fraction: float = Field(0.1, ge=0, lt=1)
    """Share of all steps during which the learning rate rises."""
    patience: int = Field(0, ge=0, le=100_000)
    """Epochs without a better validation loss before stopping; 0 never stops early."""
    gradient_clip: float = Field(0.0, ge=0, le=1e6)
    """Largest norm of the gradient; 0 does not clip."""
    checkpoint_every: int = Field(1, ge=1, le=100_000)
    """Epochs between resume points: how much a kill can cost."""
    seed: int = Field(0, ge=0, le=2**31 - 1)


def learning_rate(options: TrainingOptions, step: int, total_steps: int) -> float:
    """Return the learning rate of ``step`` (0-based) out of ``total_steps``.

    A pure function of the step, so that a resumed run needs no scheduler state.

    - ``onecycle``: cosine from 1/25 of the peak up to it, then down to 1/250,000 (Smith & Topin
      2019, with the constants of ``torch.optim.lr_scheduler.OneCycleLR``);
    - ``cosine``: linear warm-up, then half a cosine down to 0 (Loshchilov & Hutter 2017);
    - ``constant``: linear warm-up, then the peak.
    """
    peak = options.learning_rate
    warmup = round(options.warmup_fraction * total_steps)
    fall = min(1.0, (step - warmup) / max(1, total_steps - 1 - warmup))
    if options.schedule == "onecycle":
        low, final = peak / 25, peak / 250_000
        if step < warmup:
            return _cosine(low, peak, step / warmup)
        return _cosine(peak, final, fall)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return peak if options.schedule == "constant" else _cosine(peak, 0.0, fall)


def _cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2
