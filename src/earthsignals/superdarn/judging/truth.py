"""Forecasts beside the drift that a simulation really had, wherever radars looked or not.

truth.h5 of synthetic records holds the drift every ten minutes in every cell of grid files: `drift`
(T, 2, n) m/s north and east, `times_s` (T,), `index` (n,).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.baselines import Climatology
from earthsignals.superdarn.cells import cell_centre
from earthsignals.superdarn.mlt import mlt

if TYPE_CHECKING:
    from earthsignals.superdarn.grid import GridFile


@dataclass
class Truth:
    """Squared errors of drift vectors, gathered forecast by forecast.

    drift: (T, 2, n) of the cells placed in the grid's raster at rows, columns (n,); mlat, mlon: (n,) of
    their centres; at: (frames of the grid,) which of T lies in each frame, −1 for none.
    frames: (L,) leads in frames.
    """

    grid: GridFile
    drift: np.ndarray
    at: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    mlat: np.ndarray
    mlon: np.ndarray
    frames: np.ndarray
    _error: dict[str, np.ndarray] = field(default_factory=dict)
    _count: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, grid: GridFile, issues: np.ndarray, frames: tuple[int, ...]) -> Truth:
        """The truth of all forecasts issued at frames (I,) for leads (L,) in frames.

        Raises EarthSignalsError where the file is no such truth.
        """
        import h5py

        try:
            with h5py.File(path, "r") as file:
                times, index = file["times_s"][()], file["index"][()]
                at = frame_of(grid, times)
                judged = at[issues.min() : issues.max() + max(frames) + 1]
                known = judged[judged >= 0]
                first, end = (known[0], known[-1] + 1) if len(known) else (0, 0)
                drift = file["drift"][first:end]
                at = np.where((at >= first) & (at < end), at - first, -1)
        except (OSError, KeyError) as error:
            raise EarthSignalsError(
                f"{path} cannot be read as the truth of synthetic records ({error}); make it again with "
                "`dvc repro superdarn-records`"
            ) from None
        mlat, mlon = cell_centre(index)
        rows, columns = grid.layout.place(mlat, mlon)
        inside = rows >= 0
        return cls(
            grid, drift[:, :, inside], at, rows[inside], columns[inside], mlat[inside],
            mlon[inside], np.array(frames, np.int64),
        )  # fmt: skip

    def watch(self, t: int, name: str, forecast: np.ndarray) -> None:
        """Take a forecast (frames ahead, 2, R, C) made at frame `t` into account."""
        for number, ahead in enumerate(self.frames):
            if self.at[t + ahead] >= 0:
                self._take(number, t + ahead, name, forecast[ahead - 1][:, self.rows, self.columns])

    def watch_references(self, t: int, climatology: Climatology) -> None:
        """The climatology, and no drift at all, at the frames after `t`."""
        for number, ahead in enumerate(self.frames):
            if self.at[t + ahead] >= 0:
                cell = climatology.cell(self.mlat, mlt(self.mlon, self.grid.mlt_zero[t + ahead]))
                said = climatology.drift.reshape(2, -1)[:, cell]
                self._take(number, t + ahead, "climatology", said)
                self._take(number, t + ahead, "zero", np.zeros_like(said))

    def _take(self, number: int, frame: int, name: str, said: np.ndarray) -> None:
        """said: (2, n) m/s at the cells of the truth."""
        error = self._error.setdefault(name, np.zeros(len(self.frames)))
        count = self._count.setdefault(name, np.zeros(len(self.frames), np.int64))
        error[number] += np.square(said.astype(np.float64) - self.drift[self.at[frame]]).sum()
        count[number] += said.shape[1]

    def rmse(self) -> dict[str, np.ndarray]:
        """Root mean square of the length of the vector error, by method: (L,) m/s, NaN where none."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return {name: np.sqrt(self._error[name] / self._count[name]) for name in self._error}

    def raster(self, frame: int) -> np.ndarray:
        """The truth (2, R, C) m/s float32 in a frame, NaN where or when it is not known."""
        out = np.full((2, *self.grid.layout.shape), np.nan, np.float32)
        if frame < len(self.at) and self.at[frame] >= 0:
            out[:, self.rows, self.columns] = self.drift[self.at[frame]]
        return out


def frame_of(grid: GridFile, times_s: np.ndarray) -> np.ndarray:
    """Which of the times lies in each frame: (T,) int64, −1 for none."""
    cadence = grid.params.cadence_minutes * 60
    frame = np.searchsorted(grid.times_s, np.asarray(times_s, np.float64), side="right") - 1
    inside = (frame >= 0) & (times_s - grid.times_s[np.maximum(frame, 0)] < cadence)
    at = np.full(len(grid.times_s), -1, np.int64)
    at[frame[inside]] = np.flatnonzero(inside)
    return at
