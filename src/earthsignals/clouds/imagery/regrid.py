"""From any raster or swath onto the plane: interpolated where it is coarse, averaged where it is fine.

A raster (`AreaDefinition`) is sampled bilinearly; where its pixels are half as wide as the plane's or less,
at a grid of points inside every pixel of the plane, whose mean is taken: point samples of a fine image would
turn detail that the plane cannot hold into false pattern. A swath (`SwathDefinition`, a latitude and a
longitude for each pixel) is averaged in the pixels of the plane where several of its own fall in one, and
interpolated by pyresample's bilinear scheme elsewhere. Unknown pixels (NaN) have no weight; a pixel of the
plane is known if at least half of its weight is.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pyproj
from pyresample.bilinear import NumpyBilinearResampler
from pyresample.geometry import AreaDefinition, SwathDefinition
from scipy.ndimage import map_coordinates

from earthsignals.clouds.imagery.plane import Plane

KNOWN = 0.5
"""Share of the weight that must be known."""
_STRIP_POINTS = 2_000_000  # of a raster that are sampled at a time
_STRIP_PIXELS = 150_000  # of the plane whose neighbours in a swath are sought at a time
_NEIGHBOURS = 16  # of a swath among which the four around a place are sought
_REACH = 3  # of the swath's spacing, as far as they are sought
_FEW = 4  # samples of a swath in a pixel that make a mean


def to_plane(
    values: np.ndarray, source: AreaDefinition | SwathDefinition, plane: Plane
) -> tuple[np.ndarray, np.ndarray]:
    """Bands (B, H, W) of numbers, NaN where unknown, on the plane: (B, h, w) float32 and (h, w) bool.

    A pixel is unknown where any of its bands is, beyond the source's edge and off the disk of a
    geostationary view; values there are 0.
    """
    values = np.asarray(values)
    known = np.isfinite(values).all(axis=0)
    if not known.any():
        return np.zeros((len(values), *plane.shape), np.float32), np.zeros(plane.shape, bool)
    if isinstance(source, SwathDefinition):
        return _swath_to_plane(values, known, source, plane)
    return _area_to_plane(values, known, source, plane)


def _area_to_plane(
    values: np.ndarray, known: np.ndarray, source: AreaDefinition, plane: Plane
) -> tuple[np.ndarray, np.ndarray]:
    values, known, source = _reduced(values, known, source, finer_than(source, plane))
    fine = finer_than(source, plane)
    samples = int(np.ceil(fine)) if fine >= 2 else 1
    weighted = [np.where(known, band, 0).astype(np.float32) for band in values]
    weight, wraps = known.astype(np.float32), _goes_round(source)
    if wraps:  # the first column follows the last
        weighted = [np.pad(band, ((0, 0), (1, 1)), mode="wrap") for band in weighted]
        weight = np.pad(weight, ((0, 0), (1, 1)), mode="wrap")
    out = np.zeros((len(values), *plane.shape), np.float32)
    total = np.zeros(plane.shape, np.float32)
    for start, stop in _strips(plane, samples):
        at = _source_indices(source, plane, start, stop, samples)
        if wraps:
            at[1] += 1
        inside = np.isfinite(at).all(axis=0)
        at = np.where(inside, at, 0)
        total[start:stop] = _sampled(weight, at, inside, samples)
        for band, target in zip(weighted, out, strict=True):
            target[start:stop] = _sampled(band, at, inside, samples)
    valid = total >= KNOWN
    out /= np.where(valid, total, 1)
    out[:, ~valid] = 0
    return out, valid


def finer_than(source: AreaDefinition, plane: Plane) -> float:
    """How many pixels of the source lie along an edge of one of the plane's, where they are densest."""
    rows, columns = (np.linspace(0, size - 1, 9) for size in plane.shape)
    row, column = (axis.ravel() for axis in np.meshgrid(rows, columns, indexing="ij"))
    here = np.array(_fractional_indices(source, *plane.geolocate(row, column)))
    steps = [
        np.abs(np.array(_fractional_indices(source, *plane.geolocate(row + down, column + across))) - here)
        for down, across in ((0.1, 0), (0, 0.1))
    ]
    steps = 10 * np.linalg.norm(np.array(steps), axis=0)  # of the source's rows and columns, at each point
    seen = steps[np.isfinite(steps) & (steps < 1e6)]
    return float(np.quantile(seen, 0.9)) if seen.size else 1.0


def _reduced(
    values: np.ndarray, known: np.ndarray, source: AreaDefinition, fine: float
) -> tuple[np.ndarray, np.ndarray, AreaDefinition]:
    """A source much finer than the plane, as means over blocks that are still finer than it."""
    block = int(min(fine / 2, *known.shape))
    if block < 2:
        return values, known, source
    rows, columns = (size // block for size in known.shape)
    height, width = rows * block, columns * block
    cut = known[:height, :width].reshape(rows, block, columns, block)
    count = cut.sum(axis=(1, 3))
    sums = [
        np.where(cut, band[:height, :width].reshape(cut.shape), 0).sum(axis=(1, 3), dtype=np.float64)
        for band in values
    ]
    left, bottom, right, top = source.area_extent
    right = left + (right - left) * width / source.width
    extent = (left, top - (top - bottom) * height / source.height, right, top)
    area = AreaDefinition("reduced", "reduced", "reduced", source.crs, columns, rows, extent)
    return np.array(sums) / np.maximum(count, 1), count >= KNOWN * block**2, area


def _strips(plane: Plane, samples: int) -> Iterator[tuple[int, int]]:
    """Rows from … to of the plane, few enough that memory stays bounded."""
    rows, columns = plane.shape
    step = max(1, _STRIP_POINTS // (columns * samples**2))
    for start in range(0, rows, step):
        yield start, min(start + step, rows)


def _source_indices(source: AreaDefinition, plane: Plane, start: int, stop: int, samples: int) -> np.ndarray:
    """Row and column in the source of the points inside the plane's pixels, (2, rows·n, columns·n).

    NaN outside of the source; within the outer half of its outermost pixels the index of their centre.
    """
    offsets = (np.arange(samples) + 0.5) / samples - 0.5
    rows = (np.arange(start, stop)[:, None] + offsets).ravel()
    columns = (np.arange(plane.shape[1])[:, None] + offsets).ravel()
    latitude, longitude = plane.geolocate(*np.meshgrid(rows, columns, indexing="ij"))
    at = np.array(_fractional_indices(source, latitude, longitude))
    last = np.array(source.shape)[:, None, None] - 1
    # The outer edge itself belongs to the source, whatever the last digits say.
    at[(at < -0.5 - 1e-6) | (at > last + 0.5 + 1e-6)] = np.nan
    if _goes_round(source):
        return np.array([np.clip(at[0], 0, last[0]), at[1]])
    return np.clip(at, 0, last)


def _fractional_indices(
    source: AreaDefinition, latitude: np.ndarray, longitude: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of places in a raster, whole at its pixels' centres; NaN where it has no such place."""
    left, bottom, right, top = source.area_extent
    if source.crs.is_geographic:
        middle = (left + right) / 2
        x, y = middle + (longitude - middle + 180) % 360 - 180, latitude
    else:
        x, y = pyproj.Proj(source.crs)(longitude, latitude)
        x, y = (np.where(np.isfinite(axis), axis, np.nan) for axis in (x, y))
    return (top - y) / (top - bottom) * source.height - 0.5, (x - left) / (right - left) * source.width - 0.5


def _goes_round(source: AreaDefinition) -> bool:
    """Does the raster hold all longitudes, so that its last column is the neighbour of its first?"""
    left, _, right, _ = source.area_extent
    return source.crs.is_geographic and abs(right - left - 360) < 1e-6


def _sampled(band: np.ndarray, at: np.ndarray, inside: np.ndarray, samples: int) -> np.ndarray:
    """Mean over each pixel's points of the band interpolated there; 0 at points outside of the source."""
    found = map_coordinates(band, at, order=1, mode="nearest", output=np.float64)
    found[~inside] = 0
    rows, columns = (size // samples for size in found.shape)
    return found.reshape(rows, samples, columns, samples).mean(axis=(1, 3))


def _swath_to_plane(
    values: np.ndarray, known: np.ndarray, source: SwathDefinition, plane: Plane
) -> tuple[np.ndarray, np.ndarray]:
    longitude, latitude = (
        np.ma.filled(np.ma.asarray(axis, np.float64), np.nan) for axis in source.get_lonlats()
    )
    row, column = plane.locate(latitude, longitude)
    rows, columns = plane.shape
    with np.errstate(invalid="ignore"):
        inside = (row >= -0.5) & (row < rows - 0.5) & (column >= -0.5) & (column < columns - 0.5)
    cell = np.rint(row[inside]).astype(int) * columns + np.rint(column[inside]).astype(int)

    def summed(numbers: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(cell, numbers, minlength=rows * columns).reshape(rows, columns)

    met, count = summed(), summed(known[inside])
    averaged = met >= _FEW
    out, valid = np.zeros((len(values), rows, columns)), np.zeros((rows, columns), bool)
    if not averaged.all():
        reach = _REACH * _spacing(row, column)
        layers = np.stack([known, *np.where(known, values, 0)], axis=-1).astype(np.float64)
        step = max(1, _STRIP_PIXELS // columns)
        for start in range(0, rows, step):
            stop = min(start + step, rows)
            near = (row > start - reach - 1) & (row < stop + reach) & (column > -reach - 1)
            part = _bounding(near & (column < columns + reach))
            strip = _interpolated(
                layers[part], longitude[part], latitude[part], plane.window(start, 0, stop - start, columns),
                1000 * plane.pixel_km * reach,
            )  # fmt: skip
            valid[start:stop] = strip[0] >= KNOWN
            out[:, start:stop] = strip[1:] / np.maximum(strip[0], KNOWN)
    valid = np.where(averaged, count >= KNOWN * met, valid)
    means = np.array([summed(np.where(known, band, 0)[inside]) for band in values]) / np.maximum(count, 1)
    return np.where(valid, np.where(averaged, means, out), 0).astype(np.float32), valid


def _interpolated(
    layers: np.ndarray, longitude: np.ndarray, latitude: np.ndarray, plane: Plane, reach_m: float
) -> np.ndarray:
    """Layers of a swath (H, W, L) bilinearly on the plane: (L, h, w), 0 where no four pixels are around."""
    shape = (*plane.shape, layers.shape[-1])
    if layers.shape[0] * layers.shape[1] < _NEIGHBOURS:
        return np.moveaxis(np.zeros(shape), -1, 0)
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        # pyresample passes the plane on as a PROJ text, which says all there is of this projection.
        warnings.filterwarnings("ignore", "You will likely lose important projection information")
        resampler = NumpyBilinearResampler(
            SwathDefinition(longitude, latitude), plane.area(), reach_m, neighbours=_NEIGHBOURS,
            reduce_data=False,
        )  # fmt: skip
        found = resampler.resample(layers, fill_value=0.0)
    return np.moveaxis(np.asarray(found).reshape(shape), -1, 0)


def _bounding(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest rectangle of an array that holds all that is True."""
    spans = []
    for axis in range(mask.ndim):
        hit = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        spans.append(slice(int(hit[0]), int(hit[-1]) + 1) if hit.size else slice(0, 0))
    return tuple(spans)


def _spacing(row: np.ndarray, column: np.ndarray) -> float:
    """Distance of neighbours in the swath, the wider of its two directions, in pixels of the plane."""
    widest = 0.0
    for axis in range(row.ndim):
        steps = np.hypot(np.diff(row, axis=axis), np.diff(column, axis=axis))
        steps = steps[np.isfinite(steps)]
        widest = max(widest, float(np.quantile(steps, 0.9)) if steps.size else 0.0)
    return widest or 1.0
