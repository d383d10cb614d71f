"""What a radar will see again that others would not.

Where several radars look into a cell they disagree: they see other heights and other parts of it. One drift
per cell cannot follow all of them, but a radar's own view persists: a forecast for its line of sight is the
cell's drift along it, plus a share of what the radar last saw, and one of what it saw beyond the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from earthsignals.superdarn.state import LAST_RIDGE, solve, sums

if TYPE_CHECKING:
    from earthsignals.superdarn.grid import GridFile


OWN = 2
"""What is carried on: a radar's last velocity in the cell, and what of it was beyond the cell's drift."""


def own_views(grid: GridFile, issue: int) -> np.ndarray:
    """(2, n) float32 in m/s: every velocity of the frame `issue`, and the same less its cell's drift."""
    drift = solve(torch.from_numpy(sums(grid, issue, issue)), LAST_RIDGE)[0].numpy()
    seen = grid.vectors(issue)
    azimuth = np.deg2rad(seen.kvect)
    north, east = drift[:, seen.row, seen.column]
    return np.stack([seen.velocity, seen.velocity - north * np.cos(azimuth) - east * np.sin(azimuth)])


def seen_again(grid: GridFile, issue: int, leads: int) -> np.ndarray:
    """The own views of the frame `issue` along every vector of the `leads` frames after it.

    Returns (2, K) float32 in m/s, in the order of the grid's vectors; 0 where the radar had not seen it.
    """
    span, first = grid.span(issue + 1, issue + leads), int(grid.offsets[issue])
    views = own_views(grid, issue)
    again = np.zeros((OWN, span.stop - span.start), np.float32)
    for lead in range(1, leads + 1):
        then, now = grid.persistence_pairs(issue, lead)
        turned = np.cos(np.deg2rad(grid.kvect[then] - grid.kvect[now]))
        again[:, then - span.start] = views[:, now - first] * turned
    return again
