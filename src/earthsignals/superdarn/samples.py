"""Samples: the past of a time of issue, and every vector observed until the last lead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from earthsignals.superdarn.own_views import OWN, seen_again
from earthsignals.superdarn.state import sums

if TYPE_CHECKING:
    from earthsignals.superdarn.grid import GridFile


class Samples:
    """Batches of samples for the training loop: a BatchSource, a pure function of the grid."""

    def __init__(self, grid: GridFile, issues: np.ndarray, history: int, leads: int) -> None:
        self.grid, self.issues, self.history, self.leads = grid, np.asarray(issues, np.int64), history, leads

    def __len__(self) -> int:
        return len(self.issues)

    def batch(self, indices: np.ndarray, epoch: int) -> tuple[Tensor, ...]:
        """history (B, H, 5, R, C), mlt_zero (B,), roll (B,), and (B, K) each: lead, cell, north, east,
        velocity in m/s, present (1, or 0 for padding); and own (B, 2, K), `own_views.seen_again`."""
        issues = self.issues[indices]
        past = np.stack([sums(self.grid, t + 1 - self.history, t) for t in issues])
        return torch.from_numpy(past), *clock(self.grid, issues), *self._targets(issues)

    def _targets(self, issues: np.ndarray) -> list[Tensor]:
        grid, columns = self.grid, self.grid.layout.shape[1]
        spans = [grid.span(t + 1, t + self.leads) for t in issues]
        longest = max(1, *(span.stop - span.start for span in spans))
        lead, cell = np.zeros((2, len(issues), longest), np.int64)
        north, east, velocity, present = np.zeros((4, len(issues), longest), np.float32)
        own = np.zeros((len(issues), OWN, longest), np.float32)
        for item, (issue, span) in enumerate(zip(issues, spans, strict=True)):
            filled = slice(0, span.stop - span.start)
            azimuth = np.deg2rad(grid.kvect[span])
            lead[item, filled] = grid.frame[span] - issue - 1
            cell[item, filled] = grid.row[span].astype(np.int64) * columns + grid.column[span]
            north[item, filled], east[item, filled] = np.cos(azimuth), np.sin(azimuth)
            own[item, :, filled] = seen_again(grid, issue, self.leads)
            velocity[item, filled], present[item, filled] = grid.velocity[span], 1
        return [torch.from_numpy(array) for array in (lead, cell, north, east, velocity, present, own)]


def clock(grid: GridFile, issues: np.ndarray) -> tuple[Tensor, Tensor]:
    """mlt_zero (B,) float32 in hours and roll (B,) int64 in columns at the frames `issues`."""
    hours = grid.mlt_zero[issues]
    return torch.tensor(hours, dtype=torch.float32), torch.from_numpy(grid.layout.roll_of(hours))
