"""A small untrained model and small records for the tests of forecasts and of the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from earthsignals.superdarn.cells import cell_centre, cells_above
from earthsignals.superdarn.checkpoint import ForecastModel, load_model, save_model
from earthsignals.superdarn.params import GridParams, NetworkParams, StateParams
from earthsignals.superdarn.records.gridfile import write_grid
from earthsignals.superdarn.records.vectors import Vectors

START_S = 1425168000  # 2015-03-01T00:00:00Z
STATE = StateParams(history_minutes=20, memories_minutes=(0.0, 10.0), widths_cells=(0.0, 1.0))
NETWORK = NetworkParams(
    levels=2, patch_size=(1, 2, 3), embed_dim=8, num_heads=(1, 2, 2, 1), depths=(1, 1, 1, 1),
    window_size=(1, 2, 2),
)  # fmt: skip


def small_model(folder: Path, steps: int = 3, **grid: object) -> ForecastModel:
    """Forecasts every 2 minutes up to 4·steps, on 10 × 60 cells unless `grid` says otherwise."""
    import torch

    from earthsignals.superdarn.model import Forecaster

    torch.manual_seed(0)
    params = GridParams(**({"latitude_step": 4.0, "columns": 60} | grid))
    path = folder / "best_model.pt"
    save_model(path, Forecaster(params, STATE, NETWORK, steps), params, STATE, NETWORK)
    return load_model(path)


def small_vectors(
    minutes: int = 30, stids: tuple[int, ...] = (33, 66), count: int = 40, from_minute: int = 0
) -> Vectors:
    """`count` vectors per radar every 2 minutes: an eastward drift of 400 m/s, seen along lines of sight."""
    start = START_S + 60 * from_minute
    cells = cells_above(60.0)
    parts = []
    for number, stid in enumerate(stids):
        index = cells[100 * number : 100 * number + count]
        mlat, mlon = cell_centre(index)
        azimuth = np.linspace(20.0, 160.0, count)  # always with the flow: the speed is not negative
        for minute in range(0, minutes, 2):
            same = np.ones(count)
            parts.append(Vectors(
                start_s=same * (start + 60 * minute), end_s=same * (start + 60 * minute + 120),
                stid=same * stid, channel=same * 0, mlat=mlat, mlon=mlon, kvect=azimuth,
                velocity=400.0 * np.sin(np.radians(azimuth)), velocity_sd=same * 50, power=same * 20,
                width=same * 150, index=index,
            ))  # fmt: skip
    return Vectors.concatenate(parts)


def small_file(folder: Path, name: str = "20150301.north.grid.bz2", **options: object) -> Path:
    """A grid file of `small_vectors`, by pydarnio."""
    folder.mkdir(parents=True, exist_ok=True)
    write_grid(folder / name, small_vectors(**options))
    return folder / name
