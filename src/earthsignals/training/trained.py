"""What a recipe hands to its stage when the model file is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from earthsignals.training.loop import FitResult


@dataclass(frozen=True)
class Trained:
    """A finished training: its result, and further facts for the log (numbers of parameters, records, …)."""

    result: FitResult
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def history(self) -> list[dict[str, float]]:
        """One row of losses and metrics per epoch."""
        return self.result.history

    def metrics(self) -> dict[str, Any]:
        """Final numbers for a log."""
        best = {"best_epoch": self.result.best_epoch, "best_validation_loss": self.result.best_loss}
        return best | dict(self.facts)

    def clear(self) -> None:
        """Remove the resume points; call it once everything that the stage writes is there."""
        self.result.clear()
