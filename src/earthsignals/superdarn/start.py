"""The linear start: a forecast for every lead by regression on the fields of `state`.

It begins at damped persistence of the last frame and adds what the other fields tell, each with one
coefficient per lead, fitted in closed form on the training block. Smooth fields come twice: as they lie over
the radars, and turned back by the Earth's rotation during the lead, for convection that stands still in
local time. Cells seen in the last frame have coefficients of their own, and so has what a radar will see
again there along its own line of sight (`own_views`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from earthsignals.compute.progress import progress
from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.own_views import OWN, seen_again
from earthsignals.superdarn.state import Analysis, sums

if TYPE_CHECKING:
    from earthsignals.superdarn.grid import GridFile

OWN_SHRINKAGE = (3.0, 1.0)
"""How much more a radar's own views are shrunk: where one radar alone looks into a cell, its velocity and the
cell's drift are the same number, and belong into the drift."""
KINDS = 2
"""Cells not seen in the last frame, and those seen."""
MINUTES_A_TURN = 1440.0


class LinearStart(nn.Module):
    """Coefficients over fields, per lead and kind of cell.

    damping (leads, 2), fixed (leads, 2, F) and turned (leads, 2, G): dimensionless; the G turning fields are
    named by `Analysis.turning`. carry (leads, 2): the shares of a radar's own views that it sees again.
    """

    def __init__(self, analysis: Analysis, leads: int, columns: int, cadence_minutes: int) -> None:
        super().__init__()
        self.leads, self.turning = leads, analysis.turning
        self.register_buffer("damping", torch.zeros(leads, KINDS))
        self.register_buffer("fixed", torch.zeros(leads, KINDS, analysis.fields))
        self.register_buffer("turned", torch.zeros(leads, KINDS, len(self.turning)))
        self.register_buffer("carry", torch.zeros(leads, OWN))
        per_frame = columns * cadence_minutes / MINUTES_A_TURN if analysis.cyclic else 0.0
        self.shifts = [round(per_frame * (lead + 1)) for lead in range(leads)]

    def forward(self, fields: Tensor, seen: Tensor, first: int = 0, last: int | None = None) -> Tensor:
        """Drift (B, leads, 2, R, C) in m/s for the leads `first` … `last` − 1.

        fields (B, F, 2, R, C) in m/s as `Analysis` returns them; seen (B, R, C) bool, vectors in the last
        frame.
        """
        here = slice(first, self.leads if last is None else last)
        smooth = fields[:, self.turning]
        both = []
        for kind in range(KINDS):
            fixed = self.fixed[here, kind].clone()
            fixed[:, 0] += self.damping[here, kind]
            part = torch.einsum("lf,bfdrc->bldrc", fixed, fields)
            turned = torch.einsum("lg,bgdrc->bldrc", self.turned[here, kind], smooth)
            ahead = [turned[:, n].roll(-shift, -1) for n, shift in enumerate(self.shifts[here])]
            both.append(part + torch.stack(ahead, 1))
        return torch.where(seen[:, None, None], both[1], both[0])


def fit_start(
    start: LinearStart, analysis: Analysis, grid: GridFile, issues: Iterable[int], shrinkage: float
) -> np.ndarray:
    """Fit the coefficients on all vectors observed at each lead after the frames `issues`.

    Returns the mean square error in m²/s² of damped persistence alone, (leads,) float64, on these vectors.

    First the damping, by regression through zero on the last frame (of the same radar where it has seen the
    cell: true persistence); then the rest on what that leaves, each field over its own standard deviation and
    shrunk towards zero by `shrinkage` (relative to its variance).

    Raises EarthSignalsError when no vectors follow any issue.
    """
    issues = list(issues)
    size = analysis.fields + len(start.turning) + OWN
    gram = np.zeros((start.leads, KINDS, size, size))
    right = np.zeros((start.leads, KINDS, size))
    count = np.zeros((start.leads, KINDS))
    energy = np.zeros((start.leads, KINDS))
    with progress("fitting the linear start", len(issues), "issues") as bar:
        for issue in issues:
            _accumulate(start, analysis, grid, issue, gram, right, energy, count)
            bar.advance()
    if not count.any():
        raise EarthSignalsError(
            "no vectors follow any time of issue in the training block: give more records, or set "
            "superdarn.split.block_hours or superdarn.train.stride smaller"
        )
    for lead in range(start.leads):
        for kind in range(KINDS):
            damping, rest = _solve(gram[lead, kind], right[lead, kind], count[lead, kind], shrinkage)
            start.damping[lead, kind] = damping
            start.fixed[lead, kind] = torch.from_numpy(rest[: analysis.fields])
            start.turned[lead, kind] = torch.from_numpy(rest[analysis.fields : -OWN])
        # The first column was a radar's own velocity wherever it had one, not the cell's.
        start.carry[lead] = torch.from_numpy(rest[-OWN:]) + torch.tensor([0.0, damping + rest[0]])
    damping = start.damping.double().numpy()
    left = energy - 2 * damping * right[..., 0] + damping**2 * gram[..., 0, 0]
    return left.sum(1) / np.maximum(count.sum(1), 1)


@torch.no_grad()
def _accumulate(
    start: LinearStart, analysis: Analysis, grid: GridFile, issue: int,
    gram: np.ndarray, right: np.ndarray, energy: np.ndarray, count: np.ndarray,
) -> None:  # fmt: skip
    history = torch.from_numpy(sums(grid, issue + 1 - analysis.history, issue))
    fields, density = analysis(history[None])
    fields, seen = fields[0].numpy(), density[0, 0].numpy() > 0
    columns = fields.shape[-1]
    again = seen_again(grid, issue, start.leads)
    begin = int(grid.offsets[issue + 1])
    for lead in range(start.leads):
        here = slice(int(grid.offsets[issue + lead + 1]), int(grid.offsets[issue + lead + 2]))
        row, column = grid.row[here].astype(np.intp), grid.column[here].astype(np.intp)
        azimuth = np.deg2rad(grid.kvect[here])
        north, east = np.cos(azimuth), np.sin(azimuth)
        fixed = fields[:, :, row, column]
        turned = fields[start.turning][:, :, row, (column + start.shifts[lead]) % columns]
        both = np.concatenate([fixed, turned])
        own = again[:, here.start - begin : here.stop - begin]
        design = np.vstack([both[:, 0] * north + both[:, 1] * east, own]).astype(np.float64)
        design[0] += own[1]
        velocity = grid.velocity[here].astype(np.float64)
        for kind in range(KINDS):
            mine = seen[row, column] == bool(kind)
            gram[lead, kind] += design[:, mine] @ design[:, mine].T
            right[lead, kind] += design[:, mine] @ velocity[mine]
            energy[lead, kind] += velocity[mine] @ velocity[mine]
            count[lead, kind] += mine.sum()


def _solve(gram: np.ndarray, right: np.ndarray, count: float, shrinkage: float) -> tuple[float, np.ndarray]:
    variance = np.diag(gram) / max(count, 1)
    damping = right[0] / gram[0, 0] if gram[0, 0] > 0 else 0.0
    left = right - damping * gram[:, 0]
    used = variance > 1e-6 * max(variance.max(), 1e-12)  # a field that is nothing but zero tells nothing
    deviation = np.sqrt(variance[used])
    scaled = gram[np.ix_(used, used)] / np.outer(deviation, deviation)
    rest = np.zeros(len(right))
    if used.any():
        penalty = np.ones(len(right))
        penalty[-OWN:] = OWN_SHRINKAGE
        scaled[np.diag_indices_from(scaled)] += shrinkage * max(count, 1) * penalty[used]
        rest[used] = np.linalg.solve(scaled, left[used] / deviation) / deviation
    return float(damping), rest
