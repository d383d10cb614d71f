"""From a saliency map to plumes: where the network and the enhancement agree, pixel by pixel.

Saliency says "the window around this pixel holds a plume", so salient regions are wider than plumes by
half a window. Inside them the plume itself is what stands out of the local background. Both are cut with
hysteresis: a plume spreads over weak pixels but needs a strong one of each kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from earthsignals.plume.detection.source import locate_source
from earthsignals.plume.params import DetectionParams
from earthsignals.storage import EarthSignalsError

EIGHT = np.ones((3, 3), dtype=bool)
# Fewer background pixels than this give no deviation worth the name; the whole scene is asked then.
ENOUGH = 400
# Half-width of the frame around a salient region in which its background is sought.
FRAME_M = 200.0
# Of a Gaussian, 97.725 % lies under two deviations above the middle.
TWO_DEVIATIONS = 0.97725


@dataclass(frozen=True, eq=False)
class Plume:
    """One plume: its pixels and what can be read from them without knowing the wind.

    `rows`, `cols` are the bounding box and `mask` (bool, of its shape) the pixels inside it. Positions
    are in pixels with pixel centres at whole numbers; angles are degrees clockwise from the image's
    up (towards line 0), not from north: `publish` turns them where the map is rotated.
    """

    id: int
    rows: slice
    cols: slice
    mask: NDArray[np.bool_]
    score: float
    """Highest saliency in the mask."""
    mean_score: float
    area_m2: float
    peak_ppm_m: float
    """Highest single pixel."""
    peak_smoothed_ppm_m: float
    """Highest smoothed enhancement over the background."""
    background_ppm_m: float
    deviation_ppm_m: float
    """Of the smoothed background."""
    source_row: float
    source_col: float
    orientation_deg: float
    """Where the plume points, away from its source."""
    length_m: float
    """From the source along the axis to the farthest pixel of the mask."""
    flags: tuple[str, ...] = ()

    @property
    def pixels(self) -> int:
        return int(self.mask.sum())


@dataclass(frozen=True, eq=False)
class Detections:
    """The plumes of a scene, in the order of their first line, then sample; a sequence of `Plume`.

    `salient` (bool, the scene's shape) are the salient regions; `rejected` counts what was seen and
    not kept, by reason.
    """

    plumes: tuple[Plume, ...]
    salient: NDArray[np.bool_]
    rejected: dict[str, int]

    def __iter__(self) -> Iterator[Plume]:
        return iter(self.plumes)

    def __len__(self) -> int:
        return len(self.plumes)

    def __getitem__(self, index: int) -> Plume:
        return self.plumes[index]


def find_plumes(
    ch4: NDArray[np.float32],
    saliency: NDArray[np.float32],
    threshold: float,
    params: DetectionParams,
    pixel_m: float,
    *,
    wind_direction_deg: float | None = None,
) -> Detections:
    """Find the plumes of one scene.

    Args:
        ch4: enhancement (lines, samples) in ppm·m, NaN where invalid; signed or sparse retrievals.
        saliency: probability of the same shape, NaN where invalid.
        threshold: the model's upper threshold in (0, 1].
        params: smoothing, cuts, minimum area.
        pixel_m: ground size of a pixel.
        wind_direction_deg: where the wind blows to, degrees clockwise from the image's up; without it
            the narrow, dense end of a plume is taken as its source.

    Raises:
        EarthSignalsError: the two maps differ in shape; no threshold; no pixel size.
    """
    ch4, saliency = np.asarray(ch4), np.asarray(saliency)
    _check(ch4, saliency, threshold, pixel_m)
    valid = np.isfinite(ch4)
    salient, dim = hysteresis(
        np.where(valid, saliency, np.nan), low=params.low_share * threshold, high=threshold
    )
    smoothed = smooth(ch4, params.smoothing_m / pixel_m)
    background, deviation, regions = _backgrounds(smoothed, salient, valid, round(FRAME_M / pixel_m))
    over = smoothed - background
    mask = salient & (over > params.cut_sigma * deviation)
    strong = mask & (over > params.peak_sigma * deviation) & (saliency >= threshold)

    pieces, count = ndimage.label(bridge(mask, params.bridge_m / 2 / pixel_m), EIGHT)
    pieces[~mask] = 0
    rejected = {
        "regions_below_threshold": dim,
        "regions_without_enhancement": regions - _touched(salient, mask),
        "pieces_without_peak": 0,
        "pieces_too_small": 0,
    }
    found = []
    boxes = ndimage.find_objects(pieces, count)
    for number, box in enumerate(boxes, start=1):
        local = pieces[box] == number
        if not strong[box][local].any():
            rejected["pieces_without_peak"] += 1
        elif local.sum() * pixel_m**2 < params.minimum_area_m2:
            rejected["pieces_too_small"] += 1
        else:
            found.append((box, local))
    found.sort(key=lambda item: (item[0][0].start, item[0][1].start))
    plumes = tuple(
        _measure(
            number, box, local, ch4, saliency, over, background, deviation, pixel_m, params,
            wind_direction_deg,
        )
        for number, (box, local) in enumerate(found, start=1)
    )  # fmt: skip
    return Detections(plumes, salient, rejected)


def plume_mask(plumes: Iterable[Plume], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """All plumes' pixels as one map of `shape`."""
    mask = np.zeros(shape, dtype=bool)
    for plume in plumes:
        mask[plume.rows, plume.cols] |= plume.mask
    return mask


def hysteresis(field: NDArray, *, low: float, high: float) -> tuple[NDArray[np.bool_], int]:
    """Regions (8-connected) over `low` that reach `high`, and the number of those that do not.

    NaN is below everything.
    """
    labels, count = ndimage.label(field >= low, EIGHT)
    reaches = np.zeros(count + 1, dtype=bool)
    reaches[labels[field >= high]] = True
    reaches[0] = False
    return reaches[labels], count - int(reaches.sum())


def smooth(field: NDArray, sigma_px: float) -> NDArray[np.float32]:
    """Gaussian mean over the valid neighbours; NaN stays NaN, and lends nothing to its neighbours."""
    valid = np.isfinite(field)
    filled = np.where(valid, field, 0).astype(np.float32)
    if sigma_px > 0:
        weight = ndimage.gaussian_filter(valid.astype(np.float32), sigma_px, mode="constant", truncate=3)
        filled = ndimage.gaussian_filter(filled, sigma_px, mode="constant", truncate=3)
        filled = np.divide(filled, weight, out=np.zeros_like(filled), where=valid)
    filled[~valid] = np.nan
    return filled


def bridge(mask: NDArray[np.bool_], radius_px: float) -> NDArray[np.bool_]:
    """The mask grown by a disk, so that pieces less than two radii apart touch."""
    reach = int(radius_px)
    if reach < 1:
        return mask
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return ndimage.binary_dilation(mask, x**2 + y**2 <= radius_px**2)


def middle_and_deviation(values: NDArray) -> tuple[float, float]:
    """Median and robust standard deviation of a background.

    The deviation is the larger of two that agree for a Gaussian: 1.4826 times the median absolute
    deviation, and half the distance from the median to the 97.725 % quantile. The second still counts
    where a sparse retrieval leaves most pixels at zero and the first is zero; should both be, the rms.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.size == 0:
        return 0.0, 0.0
    middle = float(np.median(values))
    mad = 1.4826 * float(np.median(np.abs(values - middle)))
    upper = (float(np.quantile(values, TWO_DEVIATIONS)) - middle) / 2
    deviation = max(mad, upper)
    return middle, deviation if deviation > 0 else float(np.sqrt(np.mean((values - middle) ** 2)))


def _check(ch4: NDArray, saliency: NDArray, threshold: float, pixel_m: float) -> None:
    if ch4.ndim != 2 or ch4.shape != saliency.shape:
        raise EarthSignalsError(
            f"the saliency map is {_size(saliency)} but the flightline {_size(ch4)}: "
            "expected the map of the same flightline; compute it anew (`earthsignals plume saliency`)"
        )
    if not 0 < threshold <= 1:
        raise EarthSignalsError(
            f"the saliency threshold is {threshold}, expected a probability over 0 and up to 1"
        )
    if not (np.isfinite(pixel_m) and pixel_m > 0):
        raise EarthSignalsError(f"the pixel size is {pixel_m} m, expected a number over 0")


def _size(array: NDArray) -> str:
    return "×".join(str(n) for n in array.shape)


def _backgrounds(
    smoothed: NDArray[np.float32], salient: NDArray[np.bool_], valid: NDArray[np.bool_], frame: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], int]:
    """Local background and deviation over each salient region (NaN elsewhere), and their number."""
    labels, count = ndimage.label(salient, EIGHT)
    background = np.full(smoothed.shape, np.nan, dtype=np.float32)
    deviation = background.copy()
    quiet = valid & ~salient
    scene: tuple[float, float] | None = None
    for number, (rows, cols) in enumerate(ndimage.find_objects(labels, count), start=1):
        around = (
            slice(max(rows.start - frame, 0), rows.stop + frame),
            slice(max(cols.start - frame, 0), cols.stop + frame),
        )
        sample = smoothed[around][quiet[around]]
        if sample.size >= ENOUGH:
            middle, spread = middle_and_deviation(sample)
        else:
            if scene is None:
                everywhere = quiet if quiet.sum() >= ENOUGH else valid
                scene = middle_and_deviation(smoothed[everywhere])
            middle, spread = scene
        here = labels[rows, cols] == number
        background[rows, cols][here] = middle
        deviation[rows, cols][here] = spread
    return background, deviation, count


def _touched(salient: NDArray[np.bool_], mask: NDArray[np.bool_]) -> int:
    """In how many salient regions there is a pixel of the mask."""
    labels, _ = ndimage.label(salient, EIGHT)
    return int(np.unique(labels[mask]).size)


def _measure(
    number: int, box: tuple[slice, slice], local: NDArray[np.bool_], ch4: NDArray, saliency: NDArray,
    over: NDArray, background: NDArray, deviation: NDArray, pixel_m: float, params: DetectionParams,
    wind_direction_deg: float | None,
) -> Plume:  # fmt: skip
    rows, cols = box
    end = locate_source(
        np.where(local, over[box], 0.0), local, params.smoothing_m / pixel_m, wind_direction_deg
    )
    inside = saliency[box][local]
    flags = tuple(end.flags) + (("touches-edge",) if _touches_edge(box, local, ch4) else ())
    return Plume(
        id=number, rows=rows, cols=cols, mask=local,
        score=float(np.max(inside)), mean_score=float(np.mean(inside, dtype=np.float64)),
        area_m2=float(local.sum()) * pixel_m**2,
        peak_ppm_m=float(np.max(ch4[box][local])),
        peak_smoothed_ppm_m=float(np.max(over[box][local])),
        background_ppm_m=float(np.median(background[box][local])),
        deviation_ppm_m=float(np.median(deviation[box][local])),
        source_row=rows.start + end.row, source_col=cols.start + end.col,
        orientation_deg=end.orientation_deg, length_m=end.length_px * pixel_m,
        flags=flags,
    )  # fmt: skip


def _touches_edge(box: tuple[slice, slice], local: NDArray[np.bool_], ch4: NDArray) -> bool:
    """Does the plume border the end of the data, so that part of it may be missing?"""
    rows, cols = box
    frame = np.full((local.shape[0] + 2, local.shape[1] + 2), True)  # outside the scene: no data
    top, left = max(rows.start - 1, 0), max(cols.start - 1, 0)
    seen = ch4[top : rows.stop + 1, left : cols.stop + 1]
    r, c = top - (rows.start - 1), left - (cols.start - 1)
    frame[r : r + seen.shape[0], c : c + seen.shape[1]] = ~np.isfinite(seen)
    return bool((ndimage.binary_dilation(np.pad(local, 1), EIGHT) & frame).any())
