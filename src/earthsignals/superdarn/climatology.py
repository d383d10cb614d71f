"""What the drift is like on other days, by latitude and local time, and how strong that pattern is now.

Radars leave most cells unseen. There the best guess is the mean drift of other days at the same local time,
at the strength that the vectors of the last minutes give it. The mean is learnt on training blocks; while the
linear start is fitted, each block is shown the mean of the others, for one's own days are too good a guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from earthsignals.superdarn.state import SUMS, gaussian, solve, terms, transfer

if TYPE_CHECKING:
    from earthsignals.superdarn.grid import GridFile

WIDTH_CELLS = 1.5
"""Standard deviation of the smoothing of the mean, in cells."""
RIDGE = 20.0
"""Weight of "no drift" against what a cell and its neighbours have seen, in vectors."""
STRENGTH_VARIANCE = 90_000.0
"""Weight of strength 1, m²/s²: a vector's error of 150 m/s against a strength that varies by a half."""


def block_sums(grid: GridFile, frames: np.ndarray) -> dict[int, np.ndarray]:
    """Normal equations in local time of the `frames` of each block: block → (5, R, C) float64.

    Columns begin at magnetic midnight. Layouts that are not cyclic cannot be turned and give none.
    """
    if not grid.layout.cyclic:
        return {}
    rows, columns = grid.layout.shape
    roll = np.asarray(grid.layout.roll_of(grid.mlt_zero))
    chosen = np.zeros(len(grid), bool)
    chosen[frames] = True
    out = {}
    for block in np.unique(grid.block[chosen]):
        here = (chosen & (grid.block == block))[grid.frame]
        column = (grid.column[here] + roll[grid.frame[here]]) % columns
        cell = grid.row[here].astype(np.int64) * columns + column
        found = terms(grid.kvect[here], grid.velocity[here])
        sums = [np.bincount(cell, term, rows * columns).reshape(rows, columns) for term in found]
        out[int(block)] = np.stack(sums)
    return out


def mean_drift(grid: GridFile, equations: list[np.ndarray]) -> Tensor:
    """Smoothed mean drift (2, R, C) float32 in m/s of `block_sums`, by latitude and local time; 0 of none."""
    total = np.sum(equations, axis=0) if equations else np.zeros((SUMS, *grid.layout.shape))
    along = gaussian(grid.layout.shape[0], WIDTH_CELLS).double()
    smooth = torch.einsum("rq,sqc->src", along, torch.from_numpy(total))
    if grid.layout.cyclic:
        spectrum = torch.fft.rfft(smooth) * transfer(grid.layout, WIDTH_CELLS)
        smooth = torch.fft.irfft(spectrum, n=smooth.shape[-1])
    return solve(smooth, RIDGE).float()


def standing(climatology: Tensor, remembered: Tensor, roll: Tensor) -> Tensor:
    """The mean drift over the radars, and the same at the present strength.

    Args:
        climatology: (2, R, C) m/s, columns by local time.
        remembered: (B, M, 5, R, C), the past's normal equations at M memories, columns by magnetic longitude.
        roll: (B,) int64, `Layout.roll_of` at the time of issue.

    Returns:
        (B, 1 + M, 2, R, C) m/s, columns by magnetic longitude.
    """
    columns = climatology.shape[-1]
    index = (torch.arange(columns, device=climatology.device) + roll[:, None]) % columns
    mean = climatology[:, :, index].movedim(2, 0)[:, None]
    north, east = mean.unbind(2)
    v_north, v_east, nn_, ne, ee = remembered.unbind(2)
    seen = (v_north * north + v_east * east).sum((-2, -1))
    expected = (nn_ * north**2 + 2 * ne * north * east + ee * east**2).sum((-2, -1))
    strength = (seen + STRENGTH_VARIANCE) / (expected + STRENGTH_VARIANCE)
    return torch.cat([mean, strength[:, :, None, None, None] * mean], 1)
