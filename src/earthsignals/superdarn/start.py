"""The linear start: a forecast for every lead by regression on the fields of `state`.

It begins at damped persistence of the last frame and adds what the other fields tell, each with one
coefficient per lead, fitted in closed form on the training block. Smooth fields come twice: as they lie over
the radars, and turned back by the Earth's rotation during the lead, for convection that stands still in
local time, as the climatology does (`climatology`). Cells seen in the last frame have coefficients of their
own, and so has what a radar will see again there along its own line of sight (`own_views`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from earthsignals.compute.progress import progress
from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.climatology import block_sums, mean_drift, standing
from earthsignals.superdarn.own_views import OWN, seen_again
from earthsignals.superdarn.samples import clock
from earthsignals.superdarn.state import Analysis, Known, sums

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
    those of `Analysis.turning`, then `climatology.standing`. carry (leads, 2): the shares of a radar's own
    views that it sees again. climatology (2, R, C): m/s, columns by local time.
    """

    def __init__(self, analysis: Analysis, leads: int, shape: tuple[int, int], cadence_minutes: int) -> None:
        super().__init__()
        self.leads, self.turning = leads, analysis.turning
        self.register_buffer("damping", torch.zeros(leads, KINDS))
        self.register_buffer("fixed", torch.zeros(leads, KINDS, analysis.fields))
        self.register_buffer("turned", torch.zeros(leads, KINDS, self.turned_fields(analysis)))
        self.register_buffer("carry", torch.zeros(leads, OWN))
        self.register_buffer("climatology", torch.zeros(2, *shape))
        per_frame = shape[1] * cadence_minutes / MINUTES_A_TURN if analysis.cyclic else 0.0
        self.shifts = [round(per_frame * (lead + 1)) for lead in range(leads)]

    @staticmethod
    def turned_fields(analysis: Analysis) -> int:
        """How many fields are turned back with the Earth."""
        return len(analysis.turning) + 1 + len(analysis.lasting)

    def turning_fields(self, known: Known, roll: Tensor, climatology: Tensor | None = None) -> Tensor:
        """Fields (B, G, 2, R, C) in m/s that stand still in local time, as they lie at the time of issue."""
        mean = self.climatology if climatology is None else climatology
        return torch.cat([known.fields[:, self.turning], standing(mean, known.remembered, roll)], 1)

    def forward(self, known: Known, roll: Tensor) -> Tensor:
        """Drift (B, leads, 2, R, C) in m/s of what is known at the time of issue.

        roll: (B,) int64, `Layout.roll_of` at that time.
        """
        fields, seen = known.fields, known.count[:, 0] > 0
        smooth = self.turning_fields(known, roll)
        both = []
        for kind in range(KINDS):
            fixed = self.fixed[:, kind].clone()
            fixed[:, 0] += self.damping[:, kind]
            part = torch.einsum("lf,bfdrc->bldrc", fixed, fields)
            turned = torch.einsum("lg,bgdrc->bldrc", self.turned[:, kind], smooth)
            ahead = [turned[:, n].roll(-shift, -1) for n, shift in enumerate(self.shifts)]
            both.append(part + torch.stack(ahead, 1))
        return torch.where(seen[:, None, None], both[1], both[0])


class NormalEquations:
    """What the coefficients are solved from; issues can be added later.

    First the damping, by regression through zero on the last frame (of the same radar where it has seen the
    cell: true persistence); then the rest on what that leaves, each field over its own standard deviation and
    shrunk towards zero by `shrinkage` (relative to its variance).
    """

    def __init__(self, start: LinearStart, analysis: Analysis, prior: Tensor | None = None) -> None:
        """prior: climatology (2, R, C) for a block that has no others beside it; none: zero."""
        self.start, self.analysis, self.prior = start, analysis, prior
        size = analysis.fields + start.turned.shape[-1] + OWN
        self.gram = np.zeros((start.leads, KINDS, size, size))
        self.right = np.zeros((start.leads, KINDS, size))
        self.count, self.energy = np.zeros((2, start.leads, KINDS))
        self.blocks: dict[int, np.ndarray] = {}

    def add(self, grid: GridFile, issues: np.ndarray) -> None:
        """Take in all vectors observed at each lead after the frames `issues`.

        What their blocks hold of their splits joins the climatology; each issue is shown that of the blocks
        that neither it nor its last lead lies in.
        """
        splits = np.unique(grid.split[issues])
        learnt = np.isin(grid.block, np.unique(grid.block[issues])) & np.isin(grid.split, splits)
        for block, found in block_sums(grid, np.flatnonzero(learnt)).items():
            self.blocks[block] = self.blocks.get(block, 0.0) + found
        means: dict[frozenset[int], Tensor] = {}
        with progress("fitting the linear start", len(issues), "issues") as bar:
            for issue in issues.tolist():
                own = frozenset(grid.block[[issue, issue + self.start.leads]].tolist())
                if own not in means:
                    means[own] = self._climatology(grid, own)
                self._add_issue(grid, issue, means[own])
                bar.advance()

    def solve(self, grid: GridFile, shrinkage: float) -> np.ndarray:
        """Set the coefficients and the climatology of the start.

        Returns the mean square error in m²/s² of damped persistence alone, (leads,) float64.

        Raises EarthSignalsError when no vectors followed any issue.
        """
        if not self.count.any():
            raise EarthSignalsError(
                "no vectors follow any time of issue in the training block: give more records, or set "
                "superdarn.split.block_hours or superdarn.state.stride smaller"
            )
        start, fields = self.start, self.analysis.fields
        start.climatology.copy_(self._climatology(grid))
        for lead in range(start.leads):
            for kind in range(KINDS):
                damping, rest = _solve(
                    self.gram[lead, kind], self.right[lead, kind], self.count[lead, kind], shrinkage
                )
                start.damping[lead, kind] = damping
                start.fixed[lead, kind] = torch.from_numpy(rest[:fields])
                start.turned[lead, kind] = torch.from_numpy(rest[fields:-OWN])
            # The first column was a radar's own velocity wherever it had one, not the cell's.
            start.carry[lead] = torch.from_numpy(rest[-OWN:]) + torch.tensor([0.0, damping + rest[0]])
        damping = start.damping.double().numpy()
        left = self.energy - 2 * damping * self.right[..., 0] + damping**2 * self.gram[..., 0, 0]
        return left.sum(1) / np.maximum(self.count.sum(1), 1)

    def _climatology(self, grid: GridFile, without: frozenset[int] = frozenset()) -> Tensor:
        """Mean drift of all blocks but those; the prior, or zero, where a single block is all there is."""
        others = [sums for block, sums in self.blocks.items() if block not in without]
        if len(self.blocks) > 1 and others:
            return mean_drift(grid, others)
        return mean_drift(grid, []) if self.prior is None else self.prior

    @torch.no_grad()
    def _add_issue(self, grid: GridFile, issue: int, climatology: Tensor) -> None:
        start, analysis = self.start, self.analysis
        known = analysis(torch.from_numpy(sums(grid, issue + 1 - analysis.history, issue))[None])
        _, roll = clock(grid, np.array([issue]))
        smooth = start.turning_fields(known, roll, climatology)[0].numpy()
        fields, seen = known.fields[0].numpy(), known.count[0, 0].numpy() > 0
        columns = fields.shape[-1]
        again = seen_again(grid, issue, start.leads)
        begin = int(grid.offsets[issue + 1])
        for lead in range(start.leads):
            here = grid.span(issue + lead + 1)
            row, column = grid.row[here].astype(np.intp), grid.column[here].astype(np.intp)
            azimuth = np.deg2rad(grid.kvect[here])
            north, east = np.cos(azimuth), np.sin(azimuth)
            turned = smooth[:, :, row, (column + start.shifts[lead]) % columns]
            both = np.concatenate([fields[:, :, row, column], turned])
            own = again[:, here.start - begin : here.stop - begin]
            design = np.vstack([both[:, 0] * north + both[:, 1] * east, own]).astype(np.float64)
            design[0] += own[1]
            velocity = grid.velocity[here].astype(np.float64)
            for kind in range(KINDS):
                mine = seen[row, column] == bool(kind)
                self.gram[lead, kind] += design[:, mine] @ design[:, mine].T
                self.right[lead, kind] += design[:, mine] @ velocity[mine]
                self.energy[lead, kind] += velocity[mine] @ velocity[mine]
                self.count[lead, kind] += mine.sum()


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
