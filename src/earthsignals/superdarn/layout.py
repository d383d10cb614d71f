"""How positions become a raster of rows and columns, and the raster turns with local time.

    layout = layout_of(params.grid)
    row, column = layout.place(vectors.mlat, vectors.mlon)      # -1 where the raster does not reach
    seen_from_the_sun = np.roll(field, layout.roll_of(mlt_zero), axis=-1)

Columns of the cyclic layouts are magnetic longitudes and turn with the Earth: a radar sees the same raster
cell again, and what persists stays where it is. Rows run from `latitude_min` towards the pole, on both
hemispheres; the raster's own latitudes carry the hemisphere's sign.

| representation | rows × columns | cyclic |
|---|---|---|
| polar | latitude in `latitude_step` × longitude in 360°/`columns` | yes |
| equal-area | the bands of the cells of grid files × `columns`, each cell in one column | yes |
| square | `size` × `size`, azimuthal equidistant about the pole | no |
| flat | 1 × the cells of grid files poleward of `latitude_min`, by index | no |
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.cells import HIGHEST_BAND, band_cells
from earthsignals.superdarn.params import GridParams


@dataclass(frozen=True)
class Layout:
    """What all layouts share. `shape`: (R, C). `sign`: 1 in the north, -1 in the south."""

    name: str
    shape: tuple[int, int]
    cyclic: bool
    latitude_min: float
    sign: int

    @property
    def columns_per_hour(self) -> float:
        """Columns of an hour of magnetic local time; 0 for layouts that are not cyclic."""
        return self.shape[1] / 24.0 if self.cyclic else 0.0

    def roll_of(self, mlt_zero: ArrayLike) -> int | np.ndarray:
        """By how many columns `np.roll(field, roll, axis=-1)` brings magnetic midnight to column 0.

        mlt_zero: magnetic local time of magnetic longitude 0, hours; an array gives an array (int64). Column
        0 then begins at MLT 0 to within half a column. Always 0 for layouts that are not cyclic.
        """
        columns = self.columns_per_hour * np.asarray(mlt_zero, np.float64)
        rolls = np.floor(columns + 0.5).astype(np.int64) % self.shape[1]
        return int(rolls) if rolls.ndim == 0 else rolls

    def place(self, mlat: ArrayLike, mlon: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of positions (int32, broadcast); both -1 where the raster does not reach.

        mlat, mlon: degrees, AACGM; any turn of longitude. What lies on the other hemisphere, equatorward of
        `latitude_min`, or is not finite has no place.
        """
        mlat, mlon = np.broadcast_arrays(np.asarray(mlat, np.float64), np.asarray(mlon, np.float64))
        latitude = self.sign * mlat
        inside = (latitude >= self.latitude_min) & (latitude <= 90) & np.isfinite(mlon)  # False for NaN
        row, column = self._locate(np.where(inside, latitude, 90.0), np.where(inside, mlon, 0.0) % 360.0)
        inside = inside & (row >= 0)
        return np.where(inside, row, -1).astype(np.int32), np.where(inside, column, -1).astype(np.int32)

    def centres(self) -> tuple[np.ndarray, np.ndarray]:
        """(mlat, mlon) of every raster cell's centre: each (R, C) float64, degrees, mlon in [0, 360).

        mlat carries the hemisphere's sign. Both are NaN where the raster has a cell that nothing is put in.
        """
        latitude, longitude = self._centres
        return self.sign * latitude, longitude.copy()

    def _locate(self, latitude: np.ndarray, longitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of positions inside; latitude in [latitude_min, 90], longitude in [0, 360]."""
        raise NotImplementedError

    @property
    def _centres(self) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError


@dataclass(frozen=True)
class Polar(Layout):
    """Latitude × longitude. The last row is narrower where the step does not divide the span."""

    step: float

    def _locate(self, latitude: np.ndarray, longitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        row = np.floor((latitude - self.latitude_min) / self.step)
        return np.minimum(row, self.shape[0] - 1), _column(longitude, self.shape[1])

    @cached_property
    def _centres(self) -> tuple[np.ndarray, np.ndarray]:
        lower = self.latitude_min + self.step * np.arange(self.shape[0])
        latitude = (lower + np.minimum(lower + self.step, 90.0)) / 2
        longitude = (np.arange(self.shape[1]) + 0.5) * (360.0 / self.shape[1])
        return tuple(np.meshgrid(latitude, longitude, indexing="ij"))


@dataclass(frozen=True)
class EqualArea(Layout):
    """The cells of grid files, a band a row: cell j of n lies in column ⌊(j + 1/2)/n · C⌋.

    Towards the pole ever more columns between the cells stay empty.
    """

    first_band: int

    def _locate(self, latitude: np.ndarray, longitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        band = np.minimum(np.floor(latitude), HIGHEST_BAND)
        count = band_cells(band)
        return band - self.first_band, self._column_of(_column(longitude, count), count)

    def _column_of(self, cell: np.ndarray, count: np.ndarray | int) -> np.ndarray:
        # In whole numbers: (2j + 1)·C / 2n is often a whole number, which rounding must not miss.
        return (2 * cell.astype(np.int64) + 1) * self.shape[1] // (2 * count)

    @cached_property
    def _centres(self) -> tuple[np.ndarray, np.ndarray]:
        latitude, longitude = np.full((2, *self.shape), np.nan)
        for row in range(self.shape[0]):
            count = int(band_cells(self.first_band + row))
            cells = np.arange(count)
            column = self._column_of(cells, count)
            latitude[row, column] = self.first_band + row + 0.5
            longitude[row, column] = (cells + 0.5) * (360.0 / count)
        return latitude, longitude


@dataclass(frozen=True)
class Square(Layout):
    """Colatitude and longitude as polar coordinates, seen from above the northern pole, or through the Earth
    in the south: longitude 0 points to the last row, 90° to the last column. Corners hold nothing.
    """

    @property
    def _reach(self) -> float:
        return 90.0 - self.latitude_min

    def _locate(self, latitude: np.ndarray, longitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        size, angle, distance = self.shape[0], np.radians(longitude), 90.0 - latitude
        scale = size / (2 * self._reach)
        # Rounded: trigonometry differs in its last digits from machine to machine, cells must not.
        row = np.floor(np.round((self._reach + distance * np.cos(angle)) * scale, 9))
        column = np.floor(np.round((self._reach + distance * np.sin(angle)) * scale, 9))
        return np.clip(row, 0, size - 1), np.clip(column, 0, size - 1)

    @cached_property
    def _centres(self) -> tuple[np.ndarray, np.ndarray]:
        size = self.shape[0]
        width = 2 * self._reach / size
        axis = (np.arange(size) + 0.5) * width - self._reach
        down, right = np.meshgrid(axis, axis, indexing="ij")
        nearest = np.hypot(*(np.maximum(np.abs(side) - width / 2, 0) for side in (down, right)))
        # A cell that the outer circle cuts can hold vectors, even where its centre lies outside.
        latitude = np.where(nearest < self._reach, 90.0 - np.hypot(down, right), np.nan)
        longitude = np.where(np.isnan(latitude), np.nan, np.degrees(np.arctan2(right, down)) % 360.0)
        return latitude, longitude


@dataclass(frozen=True)
class Flat(Layout):
    """The cells of grid files in the order of their index: no neighbourhood, as a plain list."""

    first_band: int

    @cached_property
    def _before(self) -> np.ndarray:
        """Cells before each band, and of all bands at the end."""
        counts = band_cells(np.arange(self.first_band, HIGHEST_BAND + 1))
        return np.concatenate([[0], np.cumsum(counts)])

    def _locate(self, latitude: np.ndarray, longitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        band = np.minimum(np.floor(latitude), HIGHEST_BAND).astype(np.int64)
        inside = band >= self.first_band
        row = np.where(inside, 0, -1)
        before = self._before[np.where(inside, band - self.first_band, 0)]
        return row, before + _column(longitude, band_cells(band))

    @cached_property
    def _centres(self) -> tuple[np.ndarray, np.ndarray]:
        latitude, longitude = np.empty((2, 1, self.shape[1]))
        for number, (start, stop) in enumerate(zip(self._before[:-1], self._before[1:], strict=True)):
            latitude[0, start:stop] = self.first_band + number + 0.5
            longitude[0, start:stop] = (np.arange(stop - start) + 0.5) * (360.0 / (stop - start))
        return latitude, longitude


def layout_of(params: GridParams) -> Layout:
    """The layout that `grid` of the parameters describes.

    Raises EarthSignalsError where `equal-area` has fewer columns than the widest band has cells, since two
    cells would then fall into one.
    """
    sign = 1 if params.hemisphere == "north" else -1
    common = params.latitude_min, sign
    first_band = int(np.ceil(params.latitude_min))
    if params.representation == "polar":
        # A tiny bit less, so that 40/0.1 has 400 rows and not 401.
        rows = int(np.ceil((90.0 - params.latitude_min) / params.latitude_step - 1e-9))
        return Polar("polar", (rows, params.columns), True, *common, params.latitude_step)
    if params.representation == "equal-area":
        widest = int(band_cells(first_band))
        if params.columns < widest:
            raise EarthSignalsError(
                f"superdarn.grid.columns is {params.columns}, but the band at {first_band}° has {widest} "
                f"cells, and equal-area needs a column for each; set it to {widest} or more"
            )
        shape = (HIGHEST_BAND + 1 - first_band, params.columns)
        return EqualArea("equal-area", shape, True, *common, first_band)
    if params.representation == "square":
        return Square("square", (params.size, params.size), False, *common)
    cells = int(band_cells(np.arange(first_band, HIGHEST_BAND + 1)).sum())
    return Flat("flat", (1, cells), False, *common, first_band)


def _column(longitude: np.ndarray, count: np.ndarray | int) -> np.ndarray:
    """Which of `count` equal parts of the circle holds a longitude in [0, 360]: int64."""
    # The last takes what rounding pushes to a full turn.
    return np.minimum((longitude * (count / 360.0)).astype(np.int64), count - 1)
