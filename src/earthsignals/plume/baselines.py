"""What one would do without a network: thresholds on the matched filter, frozen on validation data.

Two of them. *Threshold and area*: 3 x 3 median filter, threshold, and only blobs of some area count (as in
Thompson et al. 2015, "Real-time remote detection and measurement for airborne imaging spectroscopy", and
many since). *z-score*: the enhancement, smoothed, over the local noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from earthsignals.plume.detection.detect import EIGHT, smooth
from earthsignals.plume.judging.scores import best_f1_threshold, f1, tally_pixels

THRESHOLDS_PPM_M = tuple(float(v) for v in np.round(np.geomspace(150, 2500, 14), -1))
SIGMAS_PX = (0.0, 1.0, 2.0, 3.0, 4.0)
AREAS_PX = np.unique(np.round(np.geomspace(1, 3000, 60)).astype(int))
NOISE_BLOCK = 256
"""Side of the squares [px] whose noise is estimated together; a tile is one."""
Z_EDGES = np.r_[np.linspace(-2.0, 10.0, 1201), np.linspace(10.0, 50.0, 401)[1:]]


@dataclass(frozen=True)
class ThresholdArea:
    """Blobs (8-connected) of the median-filtered enhancement >= threshold that have >= area pixels."""

    threshold_ppm_m: float
    area_px: int

    def tile_scores(self, tiles: np.ndarray) -> np.ndarray:
        """Area of the largest blob [px] (N,) int64 of tiles (N, H, W) [ppm m]; plume where >= area_px."""
        return largest_blobs(median_filtered(tiles) >= self.threshold_ppm_m)

    def blobs(self, ch4: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All blobs of a scene (L, S) [ppm m]: labels (L, S) int32 from 1, and areas (n,) [px]."""
        labels, count = ndimage.label(median_filtered(ch4) >= self.threshold_ppm_m, EIGHT)
        return labels, np.bincount(labels.ravel(), minlength=count + 1)[1:]

    def mask(self, ch4: np.ndarray) -> np.ndarray:
        """The pixels (L, S) bool of blobs that pass."""
        labels, areas = self.blobs(ch4)
        return np.r_[False, areas >= self.area_px][labels]


@dataclass(frozen=True)
class ZScore:
    """The enhancement smoothed by a Gaussian [px], over the noise of single pixels around it."""

    sigma_px: float
    threshold: float

    def tile_scores(self, tiles: np.ndarray) -> np.ndarray:
        """Largest z (N,) of tiles (N, H, W) [ppm m]; -inf where a tile has no valid pixel."""
        return _peaks(tiles, (self.sigma_px,))[0]

    def z(self, ch4: np.ndarray, noise: np.ndarray | None = None) -> np.ndarray:
        """z (L, S) float32 of a scene [ppm m], NaN where it is invalid; noise: see `z_score`."""
        return z_score(ch4, self.sigma_px, noise)

    def mask(self, ch4: np.ndarray) -> np.ndarray:
        """The pixels (L, S) bool at or above the threshold."""
        return np.nan_to_num(self.z(ch4), nan=-np.inf) >= self.threshold


def median_filtered(ch4: np.ndarray) -> np.ndarray:
    """3 x 3 median over the last two axes; invalid pixels are taken as 0 ppm m and stay -inf."""
    valid = np.isfinite(ch4)
    size = (1,) * (ch4.ndim - 2) + (3, 3)
    filtered = ndimage.median_filter(np.where(valid, ch4, np.float32(0)), size=size, mode="nearest")
    return np.where(valid, filtered, np.float32(-np.inf))


def largest_blobs(above: np.ndarray) -> np.ndarray:
    """Area [px] (N,) int64 of the largest 8-connected blob of each mask (N, H, W); 0 where empty."""
    structure = np.zeros((3, 3, 3), bool)
    structure[1] = True  # connected within a tile, never from one tile to the next
    labels, count = ndimage.label(above, structure)
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    tile, row, column = np.nonzero(labels)
    of_label = np.zeros(count, np.int64)
    of_label[labels[tile, row, column] - 1] = tile
    largest = np.zeros(len(above), np.int64)
    np.maximum.at(largest, of_label, areas)
    return largest


def z_score(ch4: np.ndarray, sigma_px: float, noise: np.ndarray | float | None = None) -> np.ndarray:
    """Smoothed enhancement over local noise, (L, S) float32, NaN where invalid.

    noise: of `local_noise`, where several smoothings share it. A matched filter has mean zero where there is
    no methane, so nothing is subtracted.
    """
    noise = local_noise(ch4) if noise is None else noise
    return (smooth(ch4, sigma_px) / noise).astype(np.float32)


def local_noise(ch4: np.ndarray, block: int = NOISE_BLOCK) -> np.ndarray:
    """Noise of single pixels [ppm m] (L, S) float32, estimated in squares of `block` pixels.

    From differences of neighbours, over sqrt(2): plumes and slow background are wider than a pixel and leave
    it alone. Squares with few neighbours, or without any noise, take the scene's; a scene without any has 1.
    """
    lines, samples = ch4.shape
    rows, columns = -(-lines // block), -(-samples // block)
    noise = np.zeros((rows, columns))
    for r in range(rows):
        for c in range(columns):
            noise[r, c] = _of_differences(
                ch4[r * block : (r + 1) * block, c * block : (c + 1) * block], fewest=block
            )
    if not noise.all():
        noise[noise == 0] = _of_differences(ch4, fewest=1) or 1.0
    full = noise.astype(np.float32).repeat(block, 0).repeat(block, 1)
    return full[:lines, :samples]


def _of_differences(square: np.ndarray, fewest: int) -> float:
    """Clipped deviation of neighbours' differences over sqrt(2); 0 for fewer than `fewest` of them.

    Clipped at 3 deviations in five rounds, but at least 95 % stay: in a sparse retrieval, where most pixels
    are zero, a median deviation would be zero and clipping without end would leave the zeros alone.
    """
    distance = np.concatenate([np.abs(np.diff(square, axis=axis)).ravel() for axis in (0, 1)])
    distance = distance[np.isfinite(distance)]
    if len(distance) < fewest:
        return 0.0
    most = float(np.quantile(distance, 0.95))
    deviation = float(np.sqrt(np.mean(np.square(distance), dtype=np.float64)))
    for _ in range(5):
        inside = distance[distance <= max(3 * deviation, most)]
        deviation = float(np.sqrt(np.mean(np.square(inside), dtype=np.float64)))
    return deviation / np.sqrt(2)


def _peaks(tiles: np.ndarray, sigmas_px: Sequence[float]) -> np.ndarray:
    """Largest z (len(sigmas), N) of tiles (N, H, W)."""
    peaks = np.empty((len(sigmas_px), len(tiles)))
    for number, tile in enumerate(tiles):
        noise = local_noise(tile, max(tile.shape))
        for row, sigma in zip(peaks, sigmas_px, strict=True):
            row[number] = np.nan_to_num(z_score(tile, sigma, noise), nan=-np.inf).max()
    return peaks


def choose_for_tiles(
    chunks: Iterable[np.ndarray], label: np.ndarray
) -> tuple[tuple[ThresholdArea, float], tuple[ZScore, float]]:
    """Both baselines' settings of the highest F1 over tiles, and that F1.

    chunks: tiles (n, H, W) [ppm m], as many in all as labels (N,); read once, one at a time.
    """
    areas, peaks = [], []
    for tiles in chunks:
        filtered = median_filtered(tiles)
        areas.append([largest_blobs(filtered >= threshold) for threshold in THRESHOLDS_PPM_M])
        peaks.append(_peaks(tiles, SIGMAS_PX))
    area = (ThresholdArea(THRESHOLDS_PPM_M[-1], 1), 0.0)
    for threshold, score in zip(THRESHOLDS_PPM_M, np.concatenate(areas, axis=1), strict=True):
        pixels, found = best_f1_threshold(score, label)
        if found > area[1]:
            area = (ThresholdArea(threshold, max(1, int(pixels))), found)
    z = (ZScore(SIGMAS_PX[0], float(Z_EDGES[-2])), 0.0)
    for sigma, score in zip(SIGMAS_PX, np.concatenate(peaks, axis=1), strict=True):
        threshold, found = best_f1_threshold(score, label)
        if found > z[1]:
            z = (ZScore(sigma, threshold), found)
    return area, z


def choose_for_pixels(
    scenes: Iterable[tuple[np.ndarray, np.ndarray]],
) -> tuple[tuple[ThresholdArea, float], tuple[ZScore, float]]:
    """Both baselines' settings of the highest pixel F1, pixels pooled over scenes, and that F1.

    scenes: enhancement (L, S) [ppm m] with NaN, and true plume pixels (L, S) bool; read once, one at a time.
    """
    blobs: list[list[np.ndarray]] = [[] for _ in THRESHOLDS_PPM_M]
    tallies = np.zeros((len(SIGMAS_PX), 2, len(Z_EDGES) - 1))
    positives = 0
    for ch4, truth in scenes:
        valid = np.isfinite(ch4)
        positives += int((truth & valid).sum())
        filtered = median_filtered(ch4)
        for pieces, threshold in zip(blobs, THRESHOLDS_PPM_M, strict=True):
            labels, count = ndimage.label(filtered >= threshold, EIGHT)
            areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
            pieces.append(np.stack([areas, np.bincount(labels[truth], minlength=count + 1)[1:]]))
        noise = local_noise(ch4)
        for row, sigma in zip(tallies, SIGMAS_PX, strict=True):
            row += tally_pixels(z_score(ch4, sigma, noise)[valid], truth[valid], Z_EDGES)
    return _best_area(blobs, positives), _best_z(tallies)


def _best_area(blobs: list[list[np.ndarray]], positives: int) -> tuple[ThresholdArea, float]:
    best = (ThresholdArea(THRESHOLDS_PPM_M[-1], 1), 0.0)
    for threshold, pieces in zip(THRESHOLDS_PPM_M, blobs, strict=True):
        area, hits = np.concatenate(pieces, axis=1) if pieces else np.zeros((2, 0), np.int64)
        order = np.argsort(-area, kind="stable")
        # How many blobs have at least each area, and so the sums over them.
        passing = len(area) - np.searchsorted(np.sort(area), AREAS_PX, side="left")
        called = np.append(0, np.cumsum(area[order]))[passing]
        right = np.append(0, np.cumsum(hits[order]))[passing]
        found = np.nan_to_num(f1(right, called - right, positives - right))
        k = int(found.argmax())
        if found[k] > best[1]:
            best = (ThresholdArea(threshold, int(AREAS_PX[k])), float(found[k]))
    return best


def _best_z(tallies: np.ndarray) -> tuple[ZScore, float]:
    best = (ZScore(SIGMAS_PX[0], float(Z_EDGES[-2])), 0.0)
    for sigma, (positives, negatives) in zip(SIGMAS_PX, tallies, strict=True):
        hits, called = np.cumsum(positives), np.cumsum(positives + negatives)
        found = np.nan_to_num(f1(hits, called - hits, positives.sum() - hits))
        k = int(found.argmax())
        if found[k] > best[1]:
            best = (ZScore(sigma, float(Z_EDGES[::-1][k + 1])), float(found[k]))
    return best
