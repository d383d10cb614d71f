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
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earthsignals.storage import EarthSignalsError
from earthsignals.training.checkpoint import read_tensors, write_tensors

if TYPE_CHECKING:
    from torch import Tensor, nn

    from earthsignals.training.data import Batches
    from earthsignals.training.options import TrainingOptions


@dataclass
class Progress:
    """How far the training is; stored in every resume point.

    step, validated: steps of the epoch `next_epoch` and batches of its validation that are done already.
    wall_seconds, device_seconds: what all starts took until then; device seconds are wall time × ranks.
    Resume points of earlier versions lack them.
    """

    next_epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    best_loss: float = math.inf
    finished: bool = False
    step: int = 0
    validated: int = 0
    wall_seconds: float = 0.0
    device_seconds: float = 0.0


class Clock:
    """Seconds of a training over all its starts.

    It goes by the time of day: ranks on other machines read it too, where monotonic clocks differ.
    """

    def __init__(self, progress: Progress, ranks: int) -> None:
        self._began, self._ranks = time.time(), ranks
        self._earlier = progress.wall_seconds, progress.device_seconds

    def stamp(self, progress: Progress) -> None:
        """Write into `progress` what the training has taken up to now."""
        wall, device = self._earlier
        own = max(0.0, time.time() - self._began)
        progress.wall_seconds, progress.device_seconds = wall + own, device + own * self._ranks


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


def on_cpu(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A copy of a network's state that later steps do not touch."""
    return {name: value.detach().cpu().clone() for name, value in state.items()}


def save(folder: Path, content: dict[str, Any], best_weights: dict[str, Tensor] | None) -> None:
    """Write new best weights first, then the resume point that names them, then tidy up."""
    best = best_path(folder, content["progress"]["best_epoch"])
    if best_weights is not None:
        write_tensors(best, {"weights": best_weights})
    write_tensors(last_path(folder), content)
    for old in folder.glob("best-*.pt"):
        if old != best:
            old.unlink()


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
