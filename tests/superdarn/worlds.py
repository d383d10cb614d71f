"""Small worlds of drift that tests look at through lines of sight."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from earthsignals.superdarn.cells import cell_centre, cells_above
from earthsignals.superdarn.grid import GridFile, grid_of
from earthsignals.superdarn.mlt import mlt_of_zero
from earthsignals.superdarn.params import GridParams
from earthsignals.superdarn.records.vectors import Vectors

START = 1_425_168_000  # 2015-03-01
SMALL = GridParams(latitude_min=75.0, columns=96)
Drift = Callable[[np.ndarray, np.ndarray, np.ndarray, float], np.ndarray]
"""drift(mlat, mlon, mlt, minutes) -> (2, n) m/s, north and east."""


def world(
    drift: Drift, frames: int = 60, *, radars: int = 1, share: float = 1.0, noise: float = 0.0,
    params: GridParams = SMALL, splits: Callable[[np.ndarray], np.ndarray] | None = None, seed: int = 0,
) -> GridFile:  # fmt: skip
    """A grid of `frames` frames in which each radar sees a fixed `share` of the cells, always along the same
    azimuth, with white `noise` in m/s."""
    draw = np.random.default_rng(seed)
    index = cells_above(params.latitude_min)
    mlat, mlon = cell_centre(index)
    seen = [draw.random(len(index)) < share for _ in range(radars)]
    azimuths = [draw.uniform(-180, 180, len(index)) for _ in range(radars)]
    columns: dict[str, list[np.ndarray]] = {name: [] for name in Vectors.__dataclass_fields__}
    for frame in range(frames):
        begin = START + 120 * frame
        mlt = (mlon / 15 + mlt_of_zero(np.array([begin + 60.0]))[0]) % 24
        north, east = drift(mlat, mlon, mlt, 2.0 * frame)
        for radar in range(radars):
            here, k = seen[radar], np.deg2rad(azimuths[radar])
            along = (north * np.cos(k) + east * np.sin(k))[here] + noise * draw.standard_normal(here.sum())
            kvect = np.where(along >= 0, azimuths[radar][here], azimuths[radar][here] + 180)
            count = int(here.sum())
            values = {
                "start_s": np.full(count, begin), "end_s": np.full(count, begin + 120),
                "stid": np.full(count, 5 + radar), "channel": np.zeros(count), "mlat": mlat[here],
                "mlon": mlon[here], "kvect": (kvect + 180) % 360 - 180, "velocity": np.abs(along),
                "velocity_sd": np.full(count, 50.0), "power": np.full(count, 20.0),
                "width": np.full(count, 100.0), "index": index[here],
            }  # fmt: skip
            for name, value in values.items():
                columns[name].append(value)
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    return grid_of(Vectors(**joined), params, splits)


def thirds(times_s: np.ndarray) -> np.ndarray:
    """The first half to train on, a quarter to validate, a quarter to test."""
    place = np.arange(len(times_s)) / len(times_s)
    return np.where(place < 0.5, 0, np.where(place < 0.75, 1, 2))
