"""The one training loop, and the checkpoints that it leaves.

    from earthsignals.training import TrainingOptions, fit, save_checkpoint

    result = fit(model, loss, (x, y), (x_val, y_val), options, settings,
                 resume_root=root / ".resume", key=resume_key(params), run=run)
    save_checkpoint(out, "tdlas", model.state_dict(), {"params": params})
    result.clear()

Importing this package imports neither torch nor Lightning.
"""

from __future__ import annotations

from earthsignals.training.checkpoint import load_checkpoint, save_checkpoint
from earthsignals.training.data import BatchSource
from earthsignals.training.interruption import Interrupted
from earthsignals.training.loop import FitResult, fit
from earthsignals.training.options import TrainingOptions
from earthsignals.training.resume import resume_key
from earthsignals.training.trained import Trained

__all__ = [
    "BatchSource",
    "FitResult",
    "Interrupted",
    "Trained",
    "TrainingOptions",
    "fit",
    "load_checkpoint",
    "resume_key",
    "save_checkpoint",
]
