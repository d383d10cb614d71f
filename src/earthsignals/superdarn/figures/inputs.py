"""What figures are drawn from: arrays of the evaluation, a few forecasts with what was seen, histories."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from earthsignals import results
from earthsignals.figures import COLOURS
from earthsignals.results import MissingData

METHODS = {
    "model": "network", "start": "linear start", "damped": "damped persistence",
    "damped_anomaly": "damped anomaly", "persistence": "persistence", "climatology": "climatology",
    "zero": "zero",
}  # fmt: skip
"""Names of the rows of `rmse`, in the order of legends."""
METHOD_COLOURS = {
    "model": COLOURS["blue"], "start": COLOURS["sky"], "damped": COLOURS["vermillion"],
    "damped_anomaly": COLOURS["orange"], "persistence": COLOURS["black"], "climatology": COLOURS["green"],
    "zero": COLOURS["purple"],
}  # fmt: skip
MAP_LEAD = 30
"""Minutes ahead, of maps and regions."""

take = partial(results.take, needs="`dvc repro superdarn-evaluate` writes it where the test blocks allow")


@dataclass(frozen=True)
class Seen:
    """Line-of-sight vectors of one frame, all (n,): degrees, degrees, degrees east of north, m/s."""

    mlat: np.ndarray
    mlon: np.ndarray
    kvect: np.ndarray
    velocity: np.ndarray

    def __len__(self) -> int:
        return len(self.mlat)


@dataclass(frozen=True)
class Example:
    """One forecast.

    time_s: when the frame of issue begins, seconds since 1970 UTC. mlt_zero: hours of local time at magnetic
    longitude 0 then. leads: (A,) minutes. forecast: (A, 2, R, C) m/s northwards and eastwards. mlat, mlon:
    (R, C) degrees of cells that keep their magnetic longitude. regular: rows are latitudes and columns go
    once around the pole. seen: vectors of the frame of issue (0) and of each lead, by minutes. truth: of
    simulated days, (2, R, C) by minutes, NaN where unknown.
    """

    time_s: int
    mlt_zero: float
    leads: np.ndarray
    forecast: np.ndarray
    mlat: np.ndarray
    mlon: np.ndarray
    regular: bool
    seen: Mapping[int, Seen]
    truth: Mapping[int, np.ndarray] = field(default_factory=dict)

    def at(self, lead: int) -> int:
        """Position of a lead in minutes; raises MissingData where the forecast has none."""
        found = np.flatnonzero(self.leads == lead)
        if not len(found):
            raise MissingData(f"the example forecasts hold no lead of {lead} minutes")
        return int(found[0])

    def nearest(self, lead: int, among: Iterable[int] | None = None) -> int:
        """The lead (or one of `among`) that is nearest to `lead` minutes."""
        known = [ahead for ahead in (self.seen if among is None else among) if ahead > 0]
        if not known:
            raise MissingData("the example forecasts hold no vectors to compare with")
        return min(known, key=lambda ahead: (abs(ahead - lead), ahead))

    def mlt(self, mlon: np.ndarray, lead: int = 0) -> np.ndarray:
        """Hours of magnetic local time in [0, 24), `lead` minutes after the issue."""
        return np.mod(np.asarray(mlon, float) / 15 + self.mlt_zero + lead / 60, 24)

    def moment(self, lead: int = 0) -> str:
        """Day and time to the minute, UTC."""
        when = dt.datetime.fromtimestamp(self.time_s + 60 * lead, dt.UTC)
        return f"{when:%Y-%m-%d %H:%M} UT"

    def predicted(self, lead: int) -> np.ndarray:
        """Forecast (n,), m/s along the line of sight of each vector seen at a lead, from its nearest cell.

        The drift alone: what a radar's own last view adds for that radar is no part of a map.
        """
        seen = self.seen[lead]
        north, east = self.forecast[self.at(lead)].reshape(2, -1)[:, self._cells(seen)]
        azimuth = np.deg2rad(seen.kvect)
        return north * np.cos(azimuth) + east * np.sin(azimuth)

    def _cells(self, seen: Seen) -> np.ndarray:
        """Nearest cell of each vector, as positions in the flattened raster."""
        from scipy.spatial import cKDTree

        known = np.flatnonzero(np.isfinite(self.mlat).ravel())
        centres = on_sphere(self.mlat.ravel()[known], self.mlon.ravel()[known])
        return known[cKDTree(centres).query(on_sphere(seen.mlat, seen.mlon))[1]]


def on_sphere(mlat: np.ndarray, mlon: np.ndarray) -> np.ndarray:
    """Points (n, 3) of the unit sphere at n latitudes and longitudes in degrees."""
    latitude, longitude = np.deg2rad(np.asarray(mlat, float)), np.deg2rad(np.asarray(mlon, float))
    return np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], 1
    )


@dataclass(frozen=True)
class Weights:
    """Coefficients of the linear start, dimensionless.

    leads: (L,) minutes. last: (L, 2) of the last frame by itself, in cells not seen in it and cells seen.
    spread: (L, 2, memories, widths) of all other fields, where they lie and turned back together. across:
    the same of their components across what the last frame saw, NaN where there is no such field. carry:
    (L, 2) shares of what a radar itself last saw of a cell, and of what it saw beyond the cell's drift.
    climatology: (L, 2) of the climatology at any strength together.
    """

    leads: np.ndarray
    last: np.ndarray
    spread: np.ndarray
    across: np.ndarray
    carry: np.ndarray
    climatology: np.ndarray
    memories_minutes: tuple[float, ...]
    widths_cells: tuple[float, ...]


@dataclass(frozen=True)
class Inputs:
    """Everything that is drawn.

    arrays: `evaluation.h5`. examples: a few forecasts, in the order of the file. metrics: `metrics.json`.
    history: of the training, one row per epoch. weights: of the linear start. codes: of radars by station id.
    """

    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[Mapping[str, float]] = ()
    weights: Weights | None = None
    codes: Mapping[int, str] = field(default_factory=dict)

    @property
    def leads(self) -> np.ndarray:
        """Judged leads (L,) in minutes."""
        return take(self.arrays, "leads")[0]

    def lead(self, wanted: int = MAP_LEAD) -> int:
        """Position of the judged lead nearest to `wanted` minutes."""
        return int(np.abs(self.leads - wanted).argmin())

    def example(self) -> Example:
        """The one in the middle of the examples, which lie in order of activity; or MissingData."""
        if not self.examples:
            raise MissingData("the evaluation kept no forecasts to draw: too few times of issue were judged")
        return self.examples[len(self.examples) // 2]
