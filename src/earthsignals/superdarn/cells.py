"""The cells of SuperDARN grid files: bands of 1° of magnetic latitude cut into cells of nearly equal area.

A band from L to L+1 degrees has `n = floor(360·cos(L + 0.5°) + 0.5)` cells, so that each is about 111 km
wide; cell `i` reaches from `i·360/n` to `(i+1)·360/n` degrees of magnetic longitude, and its index is
`1000·L + i`, negated in the south (make_grid of the Radar Software Toolkit, gtable.c). Older files count L
from 50° instead of from the equator (`29058` where others have `79058`), so readers compute the index from
the position and never take the file's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from earthsignals.storage import EarthSignalsError

HIGHEST_BAND = 89


def band_cells(latitude: ArrayLike) -> np.ndarray:
    """Number of cells of the band that begins `latitude` whole degrees from the equator: int64, as shaped.

    149 at 65°, 3 at 89°. The sign does not matter.
    """
    lower = np.abs(np.asarray(latitude, np.int64))
    return np.floor(360.0 * np.cos(np.radians(lower + 0.5)) + 0.5).astype(np.int64)


def cell_index(mlat: ArrayLike, mlon: ArrayLike) -> np.ndarray:
    """Index of the cell that holds a position: int32, broadcast over `mlat` and `mlon` (degrees).

    mlat: -90…90, negative in the south; the equator itself counts as south, as in make_grid. mlon: any turn.

    Raises EarthSignalsError for latitudes beyond a pole and for values that are not finite.
    """
    mlat, mlon = np.asarray(mlat, np.float64), np.asarray(mlon, np.float64)
    if not (np.all(np.abs(mlat) <= 90) and np.all(np.isfinite(mlon))):  # NaN fails the comparison
        raise EarthSignalsError(
            "cell_index: positions beyond ±90° of magnetic latitude or without a finite longitude have no "
            "cell; leave them out first"
        )
    band = np.minimum(np.abs(mlat).astype(np.int64), HIGHEST_BAND)
    count = band_cells(band)
    # The last cell takes what rounding pushes to a full turn.
    column = np.minimum((mlon % 360.0 * (count / 360.0)).astype(np.int64), count - 1)
    return (np.where(mlat > 0, 1, -1) * (1000 * band + column)).astype(np.int32)


def cell_centre(index: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Centre of cells: (mlat, mlon), float64 degrees, mlon in [0, 360).

    Raises EarthSignalsError for an index that no cell has. Index 0 is read as the northern one.
    """
    index = np.asarray(index, np.int64)
    band, column = np.divmod(np.abs(index), 1000)
    count = band_cells(np.minimum(band, HIGHEST_BAND))
    wrong = (band > HIGHEST_BAND) | (column >= count)
    if np.any(wrong):
        raise EarthSignalsError(
            f"cell_centre: no cell has the index {int(index[wrong].flat[0])}; expected 1000·band + cell, "
            "with bands of 0…89 degrees and fewer cells towards the pole"
        )
    return np.where(index < 0, -1, 1) * (band + 0.5), (column + 0.5) * 360.0 / count


def cells_above(latitude_min: float, hemisphere: str = "north") -> np.ndarray:
    """Indices of all cells of the bands that lie wholly poleward of `latitude_min` degrees: int32, rising
    from band to band and eastward within one (4,825 poleward of 50°); negative in the south.
    """
    bands = range(int(np.ceil(abs(latitude_min))), HIGHEST_BAND + 1)
    indices = np.concatenate([1000 * band + np.arange(band_cells(band)) for band in bands] or [np.zeros(0)])
    return (indices if hemisphere == "north" else -indices).astype(np.int32)
