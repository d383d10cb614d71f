"""What a forecast has to beat: persistence, damped persistence, climatology, the damped anomaly, and zero.

Each predicts the velocity along the line of sight of a vector that a radar will see, in m/s, and learns on
training and validation frames, never on those that are judged. Persistence is the last velocity of the same
radar, channel and cell. Damped persistence is ρ times that, ρ for each lead by regression through zero, which
is the best linear forecast from that one number (Lorenz 1963's "damped" or autoregressive reference; Murphy
1992, Weather and Forecasting 7). The climatology is the mean drift by magnetic latitude and local time; the
damped anomaly adds to it ρ' times what persistence departs from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from earthsignals.superdarn.judging.pairing import Series
from earthsignals.superdarn.mlt import mlt

if TYPE_CHECKING:
    from earthsignals.superdarn.grid import GridFile

NAMES = ("persistence", "damped", "damped_anomaly", "climatology", "zero")
TRAIN, VALIDATION, TEST = 0, 1, 2
BAND_DEGREES = 2.0
SECTORS = 24
RIDGE = 20.0
"""Weight of "no drift" in a cell of the climatology, in observations: some radars' worth of one frame."""


@dataclass(frozen=True)
class Climatology:
    """Mean drift by magnetic latitude and local time.

    mlat_edges: (bands + 1,) degrees, of |mlat|. drift: (2, bands, SECTORS) float64 m/s, (north, east).
    """

    mlat_edges: np.ndarray
    drift: np.ndarray

    @classmethod
    def fit(cls, mlat: np.ndarray, hours: np.ndarray, kvect: np.ndarray, velocity: np.ndarray,
            latitude_min: float) -> Climatology:  # fmt: skip
        """Ridge least squares of the drift vector in each cell from velocities (n,) along azimuths (n,).

        Per cell (Σ k̂k̂ᵀ + RIDGE/2 · 1) u = Σ v k̂. RIDGE/2 each way, since an observation tells one of two
        components: observations spread over all azimuths put n/2 into each.
        """
        edges = bands(latitude_min)
        empty = cls(edges, np.zeros((2, len(edges) - 1, SECTORS)))
        cell, (north, east) = empty.cell(mlat, hours), directions(kvect)
        count = (len(edges) - 1) * SECTORS

        def total(values: np.ndarray) -> np.ndarray:
            return np.bincount(cell, values, count)

        nn, ne, ee = (total(a * b) for a, b in ((north, north), (north, east), (east, east)))
        vn, ve = total(velocity * north), total(velocity * east)
        nn, ee = nn + RIDGE / 2, ee + RIDGE / 2
        determinant = nn * ee - ne**2
        drift = np.stack([ee * vn - ne * ve, nn * ve - ne * vn]) / determinant
        return cls(edges, drift.reshape(empty.drift.shape))

    def cell(self, mlat: np.ndarray, hours: np.ndarray) -> np.ndarray:
        """Number (n,) int64 of the cell of magnetic latitudes and local times (hours)."""
        band = np.digitize(np.abs(mlat), self.mlat_edges[1:-1])
        return band * SECTORS + np.floor(hours * SECTORS / 24).astype(np.int64) % SECTORS

    def along(self, mlat: np.ndarray, hours: np.ndarray, kvect: np.ndarray) -> np.ndarray:
        """Velocity (n,) float64 m/s along azimuths (n,) in degrees."""
        north, east = self.drift.reshape(2, -1)[:, self.cell(mlat, hours)]
        return north * directions(kvect)[0] + east * directions(kvect)[1]


@dataclass(frozen=True)
class Baselines:
    """Fitted baselines. leads_minutes, frames: (L,) int; damping, anomaly_damping: (L,) float64."""

    leads_minutes: tuple[int, ...]
    frames: tuple[int, ...]
    damping: np.ndarray
    anomaly_damping: np.ndarray
    climatology: Climatology

    def predict(self, series: Series, vector: np.ndarray, lead: np.ndarray) -> dict[str, np.ndarray]:
        """Predictions by name, each (n,) float32 m/s along the vector's own line of sight.

        vector: (n,) indices of vectors; lead: (n,) which of `leads_minutes` before they were predicted.
        NaN, for the three that need it, where the radar did not see the cell at the time of issue.
        """
        found = {name: np.zeros(len(vector), np.float32) for name in NAMES}
        for number, frames in enumerate(self.frames):
            rows = np.flatnonzero(lead == number)
            one = vector[rows]
            then = series.earlier(one, frames)
            persisted = series.persisted(one, then)
            mean = climate_along(self.climatology, series.grid, one)
            departure = persisted - climate_along_now(self.climatology, series.grid, one, then)
            found["persistence"][rows] = persisted
            found["damped"][rows] = self.damping[number] * persisted
            found["climatology"][rows] = mean
            found["damped_anomaly"][rows] = mean + self.anomaly_damping[number] * departure
        return found


def fit(series: Series, leads_minutes: Sequence[int], splits: Sequence[int] = (TRAIN,)) -> Baselines:
    """Learn ρ, ρ' and the climatology from the frames of these splits alone.

    A pair counts where both of its frames lie in them. Without any pair ρ is 0: nothing is known to persist.
    """
    grid = series.grid
    allowed = np.isin(grid.split, list(splits))
    vector = np.flatnonzero(allowed[grid.frame])
    climatology = Climatology.fit(
        grid.mlat[vector], local_time(grid, vector), grid.kvect[vector],
        grid.velocity[vector].astype(np.float64), grid.params.latitude_min,
    )  # fmt: skip
    mean = climate_along(climatology, grid, vector)
    frames = tuple(int(lead) // grid.params.cadence_minutes for lead in leads_minutes)
    damping, anomaly = np.zeros(len(frames)), np.zeros(len(frames))
    for number, count in enumerate(frames):
        then = series.earlier(vector, count)
        kept = (then >= 0) & allowed[grid.frame[then]]
        now, then = vector[kept], then[kept]
        persisted = series.persisted(now, then)
        departure = persisted - climate_along_now(climatology, grid, now, then)
        damping[number] = through_zero(persisted, grid.velocity[now])
        anomaly[number] = through_zero(departure, grid.velocity[now] - mean[kept])
    return Baselines(tuple(int(lead) for lead in leads_minutes), frames, damping, anomaly, climatology)


def bands(latitude_min: float) -> np.ndarray:
    """Edges of bands of magnetic latitude from `latitude_min` to the pole, in degrees."""
    edges = np.arange(np.floor(latitude_min), 90 + BAND_DEGREES / 2, BAND_DEGREES)
    edges[-1] = 90.0
    return edges


def through_zero(x: np.ndarray, y: np.ndarray) -> float:
    """Slope of the regression of y on x through zero, Σxy/Σx²; 0 where x tells nothing."""
    x = np.asarray(x, np.float64)
    power = float(x @ x)
    return float(x @ np.asarray(y, np.float64)) / power if power > 0 else 0.0


def directions(kvect: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """North and east components (n,) float64 of unit vectors along azimuths in degrees."""
    azimuth = np.deg2rad(np.asarray(kvect, np.float64))
    return np.cos(azimuth), np.sin(azimuth)


def local_time(grid: GridFile, vector: np.ndarray) -> np.ndarray:
    """Magnetic local time (n,) in hours of vectors at their own frames."""
    return mlt(grid.mlon[vector].astype(np.float64), grid.mlt_zero[grid.frame[vector]])


def climate_along(climatology: Climatology, grid: GridFile, vector: np.ndarray) -> np.ndarray:
    """The climatology (n,) m/s along the vectors' lines of sight, at their frames' local time."""
    return climatology.along(grid.mlat[vector], local_time(grid, vector), grid.kvect[vector])


def climate_along_now(
    climatology: Climatology, grid: GridFile, now: np.ndarray, then: np.ndarray
) -> np.ndarray:
    """The climatology (n,) m/s at the time and place of `then` along the lines of sight of `now`.

    (`then` may be −1, where the value means nothing.)
    """
    return climatology.along(grid.mlat[then], local_time(grid, then), grid.kvect[now])
