"""The forecast: a linear start, and what a 3-D attention network adds to it, rolled out step by step.

A step takes as many frames as the network has levels to as many later ones; the next step goes on from what
it forecast. Everything is in cells of magnetic longitude. Only inside a step the columns are turned so that
the first begins at magnetic midnight at the time of issue, which is how the network meets local time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from earthsignals.superdarn.layout import layout_of
from earthsignals.superdarn.networks.pangu import Pangu3D
from earthsignals.superdarn.start import MINUTES_A_TURN, LinearStart
from earthsignals.superdarn.state import LAST_RIDGE, Analysis, solve

if TYPE_CHECKING:
    from earthsignals.superdarn.params import GridParams, NetworkParams, StateParams

INPUTS = 13
"""Channels of a level: drift (2) and whether it was observed, the start (2), two smooth fields (4), how much
the first has seen, cosine and sine of the local time, latitude."""
GATED = 3
"""Fields that the network may weigh cell by cell: the start and the two smooth ones."""


class Forecaster(nn.Module):
    """From sums of the past to the drift of every later frame."""

    def __init__(
        self, grid: GridParams, state: StateParams, network: NetworkParams, steps: int
    ) -> None:
        super().__init__()
        layout = layout_of(grid)
        self.levels, self.steps, self.leads = network.levels, steps, steps * network.levels
        self.cadence = grid.cadence_minutes
        self.noise = 0.0
        self.analysis = Analysis(state, layout, grid.cadence_minutes)
        self.start = LinearStart(self.analysis, self.leads, layout.shape, grid.cadence_minutes)
        turning = self.analysis.turning or [self.analysis.fields - 1]
        self.smooth = [turning[len(turning) // 2], turning[-1]]
        self.network = Pangu3D(
            INPUTS, 2 + GATED, network.levels, layout.shape, network, cyclic=layout.cyclic
        )
        mlat, mlon = (np.nan_to_num(axis) for axis in layout.centres())
        self.register_buffer("turn", torch.tensor(mlon / 360, dtype=torch.float32), persistent=False)
        latitude = torch.tensor((mlat - 70) / 20, dtype=torch.float32)
        self.register_buffer("latitude", latitude, persistent=False)
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("lead_weight", torch.ones(self.leads))
        self.register_buffer("gain", torch.ones(self.leads))

    def forward(
        self, history: Tensor, mlt_zero: Tensor, roll: Tensor, *, network: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Forecast and linear start, (B, leads, 2, R, C) in m/s each, north and east.

        Args:
            history: sums (B, H, 5, R, C) of the frames up to the time of issue.
            mlt_zero: (B,) hours, magnetic local time of magnetic longitude 0 at the time of issue.
            roll: (B,) int64 columns, `Layout.roll_of(mlt_zero)`.
            network: False leaves the start as it is.
        """
        # Sums of squares and transforms need all their digits, whatever the network's precision.
        with torch.autocast(history.device.type, enabled=False):
            known = self.analysis(history)
            start = self.start(known, roll)
            equations = history[:, -self.levels :]
            drift = solve(equations, LAST_RIDGE) / self.scale
        if not network:
            return start, start
        observed = ((equations[:, :, 2] + equations[:, :, 4]) > 0).to(drift.dtype)[:, :, None]
        if self.training and self.noise:
            drift = drift + self.noise * torch.randn_like(drift) * observed
        smooth = known.fields[:, self.smooth].flatten(1, 2) / self.scale
        trust = torch.log1p(known.count[:, self.smooth[0]] / self.analysis.volumes[self.smooth[0] - 1])
        still = torch.cat([smooth, trust[:, None]], 1)
        corrections = []
        for step in range(self.steps):
            here = slice(step * self.levels, (step + 1) * self.levels)
            prior = start[:, here] / self.scale
            correction = self._step(drift, observed, prior, still, mlt_zero, roll, here)
            corrections.append(correction)
            drift, observed = prior + correction, torch.zeros_like(observed)
        correction = torch.cat(corrections, 1) * self.scale
        if not self.training:
            correction = correction * self.gain[:, None, None, None]
        return start + correction, start

    def _step(
        self, drift: Tensor, observed: Tensor, prior: Tensor, still: Tensor, mlt_zero: Tensor, roll: Tensor,
        here: slice,
    ) -> Tensor:  # fmt: skip
        """What the network adds to `prior` (B, L, 2, R, C), in units of the scale, for the leads `here`."""
        minutes = torch.arange(here.start + 1, here.stop + 1, device=drift.device) * float(self.cadence)
        turns = mlt_zero[:, None] / 24 + minutes / MINUTES_A_TURN
        angle = 2 * torch.pi * (self.turn + turns[:, :, None, None])
        place = torch.stack([angle.cos(), angle.sin(), self.latitude.expand_as(angle)], 2)
        still = still[:, None].expand(-1, self.levels, -1, -1, -1)
        levels = torch.cat([drift, observed, prior, still, place.to(drift.dtype)], 2)
        given = self._turned(levels, roll).transpose(1, 2)
        answer = self._turned(self.network(given).transpose(1, 2), -roll)
        gates = answer[:, :, 2:]
        correction = answer[:, :, :2] + gates[:, :, :1] * prior
        return correction + gates[:, :, 1:2] * still[:, :, :2] + gates[:, :, 2:3] * still[:, :, 2:4]

    def _turned(self, values: Tensor, roll: Tensor) -> Tensor:
        """`values` (B, …, C), the columns of each item moved on by its own `roll`."""
        if not self.analysis.cyclic:
            return values
        # One by one: the gradient of a gather is slow where it must be deterministic.
        return torch.stack([one.roll(int(shift), -1) for one, shift in zip(values, roll, strict=True)])


def along_sight(drift: Tensor, lead: Tensor, cell: Tensor, north: Tensor, east: Tensor) -> Tensor:
    """Line-of-sight velocity (B, K) in m/s of the drift (B, leads, 2, R, C) at K vectors of each item.

    lead, cell: (B, K) int64, number of the lead and row * C + column; north, east: the azimuth's cosine and
    sine.
    """
    items = len(drift)
    flat = drift.transpose(2, 1).reshape(items, 2, -1)
    where = (lead * (drift.shape[-2] * drift.shape[-1]) + cell)[:, None].expand(-1, 2, -1)
    both = flat.gather(2, where)
    return both[:, 0] * north + both[:, 1] * east


def carried(forecaster: Forecaster, lead: Tensor, own: Tensor) -> Tensor:
    """What radars see beyond the drift (B, K) in m/s, of their own views (B, 2, K) at the leads (B, K)."""
    return (forecaster.start.carry[lead].transpose(1, 2) * own).sum(1)
