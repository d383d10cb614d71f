"""The forecasts that an evaluation keeps, as files that anybody can open."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from earthsignals.storage import atomic_directory

if TYPE_CHECKING:
    from earthsignals.superdarn.checkpoint import ForecastModel
    from earthsignals.superdarn.grid import GridFile


def write_forecasts(
    folder: Path, grid: GridFile, model: ForecastModel, forecasts: Mapping[int, np.ndarray]
) -> list[str]:
    """Write forecasts (leads, 2, R, C) by frame of issue as `YYYYMMDDTHHMM.nc`; the folder is replaced.

    Returns the names of the files.
    """
    from earthsignals.superdarn.forecast_file import Forecast, write_forecast

    leads, names = np.asarray(model.leads_minutes), []
    with atomic_directory(folder) as out:
        for t, drift in sorted(forecasts.items()):
            moment = np.datetime_as_string(np.datetime64(int(grid.times_s[t]), "s"), unit="m")
            names.append(f"{moment.replace('-', '').replace(':', '')}.nc")
            about = {"model": model.name, "model_md5": model.md5}
            counts = seen_before(grid, t, model.state.history_minutes // grid.params.cadence_minutes)
            write_forecast(out / names[-1], Forecast(drift, leads, grid, t, counts, about))
    return names


def seen_before(grid: GridFile, t: int, frames: int) -> np.ndarray:
    """Vectors in each cell (R, C) int32 in the `frames` frames up to `t`, of its segment alone."""
    first = max(t + 1 - frames, int(np.searchsorted(grid.segment, grid.segment[t])))
    here = slice(int(grid.offsets[first]), int(grid.offsets[t + 1]))
    rows, columns = grid.layout.shape
    cell = grid.row[here].astype(np.int64) * columns + grid.column[here]
    return np.bincount(cell, minlength=rows * columns).reshape(rows, columns).astype(np.int32)
