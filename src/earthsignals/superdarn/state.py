"""What is known at the time of issue: fields of drift from the line-of-sight velocities of the past.

A velocity v along the azimuth k is one equation for the drift (n, e): n cos k + e sin k = v. Its normal
equations add up over vectors, frames and neighbouring cells, so five sums per cell and frame (`sums`) hold
all there is; fields of different memory and width are weighted sums of these, solved cell by cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from earthsignals.superdarn.params import StateParams

if TYPE_CHECKING:
    from earthsignals.superdarn.grid import GridFile
    from earthsignals.superdarn.layout import Layout

SUMS = 5
"""v cos k, v sin k, cos² k, cos k sin k, sin² k."""
LAST_RIDGE = 1e-3
"""Of the last frame's own field: enough to divide by, too little to damp."""


def sums(grid: GridFile, first: int, last: int) -> np.ndarray:
    """Normal equations of the frames `first` … `last`, both included.

    Returns (frames, 5, R, C) float32: v cos k, v sin k in m/s, cos² k, cos k sin k, sin² k, each summed over
    the vectors of a cell. Frames before the segment of `last` begins are empty.
    """
    rows, columns = grid.layout.shape
    segment = int(np.searchsorted(grid.segment, grid.segment[last]))
    begin, end = grid.offsets[max(first, segment)], grid.offsets[last + 1]
    here = slice(int(begin), int(end))
    cell = (grid.frame[here] - first).astype(np.int64) * (rows * columns)
    cell += grid.row[here].astype(np.int64) * columns + grid.column[here]
    frames = last + 1 - first
    out = np.empty((frames, SUMS, rows, columns), np.float32)
    for number, term in enumerate(terms(grid.kvect[here], grid.velocity[here])):
        out[:, number] = np.bincount(cell, term, frames * rows * columns).reshape(frames, rows, columns)
    return out


def terms(kvect: np.ndarray, velocity: np.ndarray) -> tuple[np.ndarray, ...]:
    """v cos k, v sin k, cos² k, cos k sin k, sin² k of vectors (N,): float64 each."""
    azimuth = np.deg2rad(np.asarray(kvect, np.float64))
    north, east = np.cos(azimuth), np.sin(azimuth)
    return velocity * north, velocity * east, north * north, north * east, east * east


def solve(equations: Tensor, ridge: float | Tensor) -> Tensor:
    """Drift (..., 2, R, C) in m/s, north and east, of summed equations (..., 5, R, C).

    `ridge` is the weight of "no drift": with one vector the answer is its velocity along its azimuth, times
    1 / (1 + ridge).
    """
    north, east, nn_, ne, ee = equations.unbind(-3)
    nn_, ee = nn_ + ridge, ee + ridge
    determinant = nn_ * ee - ne * ne
    return torch.stack([ee * north - ne * east, nn_ * east - ne * north], -3) / determinant.unsqueeze(-3)


def _seen_of(drift: Tensor, equations: Tensor) -> Tensor:
    """The part of a drift (..., 2, R, C) that lies along the lines of sight of `equations` (..., 5, R, C)."""
    _, _, nn_, ne, ee = equations.unbind(-3)
    north, east = drift.unbind(-3)
    along = torch.stack([nn_ * north + ne * east, ne * north + ee * east], -3)
    both = torch.cat([along, torch.stack(torch.broadcast_tensors(nn_, ne, ee), -3).expand(
        *along.shape[:-3], 3, *along.shape[-2:])], -3)  # fmt: skip
    return solve(both, LAST_RIDGE)


class Known(NamedTuple):
    """What `Analysis` makes of the past."""

    fields: Tensor
    """(B, F, 2, R, C) m/s."""
    count: Tensor
    """(B, 1 + pairs, R, C): weighted number of vectors behind the first fields."""
    remembered: Tensor
    """(B, memories above 0, 5, R, C): normal equations."""


class Analysis(nn.Module):
    """Fields of drift at the time of issue, by memory and width. Nothing in it is learnt.

    The first field is the last frame by itself, cell by cell. Then follow all pairs of
    `params.memories_minutes` and `params.widths_cells`, and last, of those with both, the component across
    what the last frame saw of a cell: along a line of sight the newest velocity knows best, across it only
    neighbours and the past know anything. Widths are standard deviations of a Gaussian in rows, and in as
    many kilometres along a row of a cyclic layout.
    """

    def __init__(self, params: StateParams, layout: Layout, cadence_minutes: int) -> None:
        super().__init__()
        self.history = params.history_minutes // cadence_minutes
        self.pairs = [(memory, width) for memory in params.memories_minutes for width in params.widths_cells]
        self.cyclic, self.ridge = layout.cyclic, params.ridge
        age = torch.arange(self.history - 1, -1, -1) * float(cadence_minutes)
        weights = [torch.exp(-age / m) if m else (age == 0).float() for m in params.memories_minutes]
        self.register_buffer("memories", torch.stack(weights), persistent=False)
        self.lasting = [n for n, memory in enumerate(params.memories_minutes) if memory]
        rows, columns = layout.shape
        along = [gaussian(rows, width) for width in params.widths_cells]
        self.register_buffer("rows", torch.stack(along), persistent=False)
        if self.cyclic:
            across = [transfer(layout, width) for width in params.widths_cells]
        else:
            across = [gaussian(columns, width) for width in params.widths_cells]
        self.register_buffer("columns", torch.stack(across), persistent=False)
        # A field of width w has seen 2 pi w² cells' worth of unit weight for each observation of its own.
        volumes = [1.0 if width == 0 else float(1 / (2 * np.pi * width * width)) for _, width in self.pairs]
        self.register_buffer("volumes", torch.tensor(volumes), persistent=False)

    @property
    def fields(self) -> int:
        """How many fields `forward` returns."""
        return 1 + len(self.pairs) + len(self.turning)

    @property
    def turning(self) -> list[int]:
        """Numbers of the fields that are smooth enough to be seen in local time, too."""
        return [1 + number for number, (memory, width) in enumerate(self.pairs) if memory and width]

    def forward(self, history: Tensor) -> Known:
        """What the sums (B, H, 5, R, C) of the past tell of the time of issue."""
        last = history[:, -1:]
        remembered = torch.einsum("mh,bhsrc->bmsrc", self.memories, history)
        spread = self._spread(remembered)  # (B, M, W, 5, R, C)
        spread = spread.flatten(1, 2)
        ridge = (self.ridge * self.volumes)[:, None, None]
        drift = torch.cat([solve(last, LAST_RIDGE), solve(spread, ridge)], 1)
        smooth = drift[:, self.turning]
        density = torch.cat([last, spread], 1)
        count = (density[:, :, 2] + density[:, :, 4]).clamp_min(0)  # rounding of the transform
        fields = torch.cat([drift, smooth - _seen_of(smooth, last)], 1)
        return Known(fields, count, remembered[:, self.lasting])

    def _spread(self, equations: Tensor) -> Tensor:
        """Smooth (B, M, 5, R, C) by every width: (B, M, W, 5, R, C)."""
        rows = torch.einsum("wrq,bmsqc->bmwsrc", self.rows, equations)
        if not self.cyclic:
            return torch.einsum("wcd,bmwsrd->bmwsrc", self.columns, rows)
        spectrum = torch.fft.rfft(rows) * self.columns[:, None]
        return torch.fft.irfft(spectrum, n=equations.shape[-1])


def gaussian(size: int, width: float) -> Tensor:
    """Weights (size, size) of a Gaussian of standard deviation `width`, each row normalised on the line."""
    if width == 0:
        return torch.eye(size)
    apart = torch.arange(size)[:, None] - torch.arange(size)
    return torch.exp(-0.5 * (apart / width) ** 2) / (width * float(np.sqrt(2 * np.pi)))


def transfer(layout: Layout, width: float) -> Tensor:
    """A Gaussian's transfer function (R, C // 2 + 1) along every row of a cyclic layout.

    `width` is in rows; on the sphere that is more columns the nearer the pole, but at most
    20° of longitude, for north and east themselves turn with it.
    Weights along a row add up to 1.
    """
    rows, columns = layout.shape
    latitude = np.nan_to_num(np.nanmean(layout.centres()[0], axis=1), nan=90.0)
    row_degrees = abs(float(np.diff(latitude).mean())) if rows > 1 else 1.0
    column_degrees = 360 / columns * np.cos(np.deg2rad(latitude))
    sigma = np.minimum(width * row_degrees / np.maximum(column_degrees, 1e-6), columns / 18)
    # The sampled kernel's own transform: a Gaussian of frequencies would ring where sigma is under a column.
    apart = np.arange(columns) + columns * np.arange(-2, 3)[:, None, None]
    kernel = np.exp(-0.5 * (apart / np.maximum(sigma, 1e-3)[:, None]) ** 2).sum(0)
    kernel /= np.maximum(kernel.sum(-1, keepdims=True), 1e-30)
    return torch.tensor(np.fft.rfft(kernel).real, dtype=torch.float32)
