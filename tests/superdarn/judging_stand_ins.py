"""Small grids with known flows, and forecasters that know or do not know them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from earthsignals.superdarn.grid import GridFile, grid_of
from earthsignals.superdarn.params import GridParams, SuperdarnParams
from earthsignals.superdarn.records.vectors import Vectors

MIDNIGHT_S = 1_425_168_000  # 2015-03-01
CADENCE_S = 120
GRID = GridParams(latitude_min=60.0, latitude_step=2.0, columns=24)
PARAMS = SuperdarnParams.model_validate({
    "grid": GRID.model_dump(), "state": {"history_minutes": 20, "memories_minutes": (0.0,)},
    "network": {"levels": 5}, "train": {"time_step": 2},
    "evaluate": {"leads_minutes": (2, 10, 20), "bootstrap": 40, "stride": 3, "block_hours": 0.25},
})  # fmt: skip

Flow = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Frames, mlat, mlon to drift north and east in m/s."""


def seen(
    flow: Flow, frames: np.ndarray, radars: int = 4, cells: int = 12, *, kvect: np.ndarray | None = None,
    south: bool = False, start_s: int = MIDNIGHT_S,
) -> Vectors:  # fmt: skip
    """`radars` that each see `cells` cells of a ring every frame, along azimuths that differ by radar."""
    radar, cell = (part.ravel() for part in np.meshgrid(np.arange(radars), np.arange(cells), indexing="ij"))
    frame = np.repeat(np.asarray(frames), len(radar))
    radar, cell = np.tile(radar, len(frames)), np.tile(cell, len(frames))
    mlat, mlon = 61.0 + 2.0 * (cell % 10), (15.0 * cell + 7.5) % 360
    azimuth = 37.0 * radar + 11.0 * cell if kvect is None else np.broadcast_to(kvect, frame.shape)
    north, east = flow(frame, mlat, mlon)
    along = north * np.cos(np.deg2rad(azimuth)) + east * np.sin(np.deg2rad(azimuth))
    # As in files: the speed is positive, the azimuth turns with the flow.
    azimuth = np.where(along < 0, azimuth + 180.0, azimuth)
    start = start_s + CADENCE_S * frame.astype(np.float64)
    ones, sign = np.ones(len(frame)), -1 if south else 1
    return Vectors(
        start_s=start, end_s=start + CADENCE_S, stid=radar + 1, channel=0 * radar, mlat=sign * mlat,
        mlon=mlon, kvect=(azimuth + 180.0) % 360.0 - 180.0, velocity=np.abs(along), velocity_sd=10 * ones,
        power=20 * ones, width=100 * ones, index=sign * (1000 * np.floor(mlat) + cell),
    )  # fmt: skip


def thirds(times_s: np.ndarray) -> np.ndarray:
    """Split of frames: the first half trains, then a quarter each."""
    share = (times_s - times_s[0]) / (times_s[-1] - times_s[0] + CADENCE_S)
    return np.digitize(share, (0.5, 0.75)).astype(np.uint8)


def a_grid(flow: Flow, frames: int = 240, params: GridParams = GRID, **options: object) -> GridFile:
    return grid_of(seen(flow, np.arange(frames), **options), params, thirds)


def waves(frame: np.ndarray, mlat: np.ndarray, mlon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A smooth flow that drifts past: never the same, never zero for long."""
    phase = np.deg2rad(2.0 * mlon + 20.0 * mlat) + frame / 9.0
    strength = 300.0 + 200.0 * np.sin(frame / 70.0)
    return strength * np.cos(phase), strength * np.sin(1.3 * phase)


def steady(frame: np.ndarray, mlat: np.ndarray, mlon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same drift always and everywhere."""
    return np.full(len(frame), 120.0), np.full(len(frame), -250.0)


class Oracle:
    """A stand-in for the model that knows the flow; its start knows `start` of it."""

    def __init__(self, flow: Flow, leads: int = 10, params: GridParams = GRID, start: float = 0.5) -> None:
        self.flow, self.leads, self.grid, self.start = flow, leads, params, start
        self.state, self.network, self.steps = PARAMS.state, PARAMS.network, PARAMS.train.time_step
        self.md5, self.path, self.name = "md5 of the oracle", Path("oracle.pt"), "oracle"
        self.beyond = 0.0

    @property
    def leads_minutes(self) -> list[int]:
        return [2 * (number + 1) for number in range(self.leads)]

    def to(self, device: str) -> Oracle:
        return self

    def check_grid(self, grid: GridParams) -> None:
        assert grid.model_dump(exclude={"hemisphere"}) == self.grid.model_dump(exclude={"hemisphere"})

    def carried(self, grid: GridFile, issue: int) -> np.ndarray:
        here = grid.span(issue + 1, min(issue + self.leads, len(grid) - 1))
        return np.full(here.stop - here.start, self.beyond, np.float32)

    def forecast(self, grid: GridFile, issue: int, *, network: bool = True) -> np.ndarray:
        mlat, mlon = grid.layout.centres()
        shape, first = mlat.shape, int(grid.times_s[0] - MIDNIGHT_S) // CADENCE_S
        out = np.empty((self.leads, 2, *shape), np.float32)
        for ahead in range(1, self.leads + 1):
            frame = np.full(mlat.size, first + issue + ahead)
            out[ahead - 1] = np.reshape(self.flow(frame, np.abs(mlat).ravel(), mlon.ravel()), (2, *shape))
        return out if network else self.start * out
