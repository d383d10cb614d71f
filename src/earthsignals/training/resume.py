"""Resume points: what they are called, when one may be used, and what it holds.

`last.pt` is everything at the end of an epoch or, where a training was interrupted, in the middle of one;
`best-<epoch>.pt` are the weights with the lowest validation loss so far, which it names.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earthsignals.storage import EarthSignalsError
from earthsignals.training.checkpoint import read_tensors

if TYPE_CHECKING:
    from torch import nn

    from earthsignals.training.data import Batches
    from earthsignals.training.options import TrainingOptions


@dataclass
class Progress:
    """How far the training is; stored in every resume point.

    step, validated: steps of the epoch `next_epoch` and batches of its validation that are done already.
    """

    next_epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    best_loss: float = math.inf
    finished: bool = False
    step: int = 0
    validated: int = 0


def resume_key(*parts: Any) -> str:
    """Name a resume folder by what determines the result: params, md5s of the deps and so on.

    Returns 16 hexadecimal digits of the SHA-256 of the parts as JSON.
    """
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def last_path(folder: Path) -> Path:
    """The resume point."""
    return folder / "last.pt"


def best_path(folder: Path, epoch: int) -> Path:
    """The weights with the lowest validation loss so far."""
    return folder / f"best-{epoch:06d}.pt"


def fingerprint(model: nn.Module, options: TrainingOptions, batches: tuple[Batches, ...]) -> str:
    """Hash what a resume point must agree with: initial weights, options, numbers of items."""
    digest = hashlib.sha256(options.model_dump_json().encode())
    digest.update(repr([b.plan.length for b in batches]).encode())
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().double().numpy().tobytes())
    return digest.hexdigest()


def restore(folder: Path, expected: str) -> dict[str, Any] | None:
    """Return the resume point, or None for a fresh start (said aloud unless there was none)."""
    path = last_path(folder)
    if not path.exists():
        return None
    try:
        content = read_tensors(path)
        if content["fingerprint"] == expected:
            if (best := content["progress"]["best_epoch"]) >= 0:
                read_tensors(best_path(folder, best))
            return content
        reason = "belongs to other options, data or initial weights"
    except EarthSignalsError as error:
        reason = f"cannot be used ({error})"
    print(f"warning: the resume point {path} {reason}; training starts anew", file=sys.stderr)
    shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return None
