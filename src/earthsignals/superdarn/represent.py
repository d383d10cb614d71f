"""A frame as one raster of numbers: the inputs of older practice, for export to other programs.

    represent(grid.vectors(t), grid.params, "grid", size=300)       # (5, 300, 300) float32

Nothing here trains on it: a mean of lines of sight is no drift, which takes two directions to be known. What
older practice also put in, azimuths and the numbers of stations and channels, cannot be averaged at all (the
mean of 359° and 1° is not 180°); the azimuth stands in the two components instead.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from earthsignals.superdarn.gridded import Seen
from earthsignals.superdarn.layout import layout_of
from earthsignals.superdarn.params import GridParams
from earthsignals.superdarn.records.vectors import Vectors

CHANNELS = ("north", "east", "velocity_sd", "count", "mask")


def represent(
    seen: Seen | Vectors, params: GridParams, method: Literal["flat", "grid"] = "grid", size: int = 300
) -> np.ndarray:
    """Means over the vectors of each raster cell, float32: (5, N) if flat, (5, size, size) if grid.

    Channels: v·cos kvect and v·sin kvect in m/s, their standard deviation in m/s (of the vectors that tell
    it; else 0), how many vectors, and 1 where there are any; all 0 elsewhere. flat: cells of grid files in
    the order of their index; grid: azimuthal equidistant about the pole (see `layout.py`).
    """
    kind = {"flat": "flat", "grid": "square"}[method]
    layout = layout_of(params.model_copy(update={"representation": kind, "size": size}))
    row, column = layout.place(seen.mlat, seen.mlon)
    cell = row.astype(np.int64) * layout.shape[1] + column
    inside = row >= 0
    azimuth, velocity = np.radians(seen.kvect.astype(np.float64)), seen.velocity.astype(np.float64)
    known = inside & np.isfinite(seen.velocity_sd)

    def total(values: np.ndarray | None, which: np.ndarray) -> np.ndarray:
        weights = None if values is None else values[which]
        return np.bincount(cell[which], weights, int(np.prod(layout.shape)))

    count, told = total(None, inside), total(None, known)
    means = (
        total(velocity * np.cos(azimuth), inside) / np.maximum(count, 1),
        total(velocity * np.sin(azimuth), inside) / np.maximum(count, 1),
        total(seen.velocity_sd.astype(np.float64), known) / np.maximum(told, 1),
    )
    channels = np.stack([*means, count, count > 0]).astype(np.float32)
    return channels.reshape(5, -1) if method == "flat" else channels.reshape(5, *layout.shape)
