"""The classical baselines: blobs, noise, and thresholds chosen on validation data alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from earthsignals.plume import baselines
from earthsignals.plume.baselines import ThresholdArea, ZScore


def noisy_tiles(count: int, seed: int = 0, noise: float = 200.0) -> tuple[np.ndarray, np.ndarray]:
    """Tiles (N, 32, 32): white noise, and a 6 x 6 plume of 900 ppm m in every second one."""
    rng = np.random.default_rng(seed)
    tiles = rng.normal(0, noise, (count, 32, 32)).astype(np.float32)
    label = np.arange(count) % 2 == 0
    for number in np.flatnonzero(label):
        row, column = rng.integers(2, 24, 2)
        tiles[number, row : row + 6, column : column + 6] += 900
    return tiles, label


def test_largest_blobs_are_those_of_each_mask_alone() -> None:
    rng = np.random.default_rng(4)
    masks = rng.random((20, 24, 24)) < 0.35
    masks[3] = False
    found = baselines.largest_blobs(masks)
    for mask, area in zip(masks, found, strict=True):
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        assert area == (np.bincount(labels.ravel())[1:].max() if count else 0)


def test_a_median_removes_single_pixels_and_invalid_ones_never_count() -> None:
    ch4 = np.zeros((12, 12), np.float32)
    ch4[2, 2] = 5000.0
    ch4[5:9, 5:9] = 1000.0
    ch4[6, 6] = np.nan
    filtered = baselines.median_filtered(ch4)
    assert filtered[2, 2] == 0 and filtered[7, 7] == 1000 and filtered[6, 6] == -np.inf
    # The corners of a square fall to the median of their surroundings, its hole stays a hole.
    assert ThresholdArea(500.0, 1).mask(ch4).sum() == 16 - 4 - 1
    assert not ThresholdArea(500.0, 12).mask(ch4).any()


def test_noise_is_that_of_pixels_whatever_lies_over_it() -> None:
    rng = np.random.default_rng(2)
    ch4 = rng.normal(0, 150, (256, 256)).astype(np.float32)
    row, column = np.mgrid[:256, :256]
    plume = 3000 * np.exp(-((row - 128) ** 2 + (column - 128) ** 2) / (2 * 40.0**2))
    assert baselines.local_noise(ch4)[0, 0] == pytest.approx(150, rel=0.03)
    assert baselines.local_noise(ch4 + plume.astype(np.float32))[0, 0] == pytest.approx(150, rel=0.05)


def test_noise_of_a_sparse_retrieval_of_an_empty_scene_and_of_one_without_pixels() -> None:
    rng = np.random.default_rng(2)
    sparse = np.where(rng.random((128, 128)) < 0.05, rng.exponential(300, (128, 128)), 0).astype(np.float32)
    assert 10 < baselines.local_noise(sparse)[0, 0] < 300
    for constant in (np.zeros((40, 40), np.float32), np.full((40, 40), np.nan, np.float32)):
        assert (baselines.local_noise(constant) == 1).all()
    z = baselines.z_score(np.zeros((40, 40), np.float32), 2.0)
    assert (z == 0).all()


def test_noise_follows_the_ground() -> None:
    rng = np.random.default_rng(2)
    ch4 = rng.normal(0, 1, (64, 128)).astype(np.float32) * np.where(np.arange(128) < 64, 100, 300)
    noise = baselines.local_noise(ch4.astype(np.float32), block=64)
    assert noise[0, 0] == pytest.approx(100, rel=0.06) and noise[0, -1] == pytest.approx(300, rel=0.06)


def test_smoothed_white_noise_has_the_deviation_of_its_kernel() -> None:
    """A Gaussian of sigma pixels leaves 1 / (2 sqrt(pi) sigma) of white noise."""
    ch4 = np.random.default_rng(8).normal(0, 200, (400, 400)).astype(np.float32)
    for sigma in (1.5, 3.0):
        inner = ZScore(sigma, 0.0).z(ch4)[20:-20, 20:-20]
        assert inner.std() == pytest.approx(1 / (2 * np.sqrt(np.pi) * sigma), rel=0.08)


def test_tile_scores_of_a_tile_without_pixels_are_the_lowest() -> None:
    tiles, _ = noisy_tiles(2)
    tiles[1] = np.nan
    assert ZScore(1.0, 3.0).tile_scores(tiles)[1] == -np.inf
    assert ThresholdArea(100.0, 1).tile_scores(tiles)[1] == 0


def test_thresholds_chosen_on_tiles_work_on_others() -> None:
    tiles, label = noisy_tiles(120, noise=400.0)
    (area, area_f1), (z, z_f1) = baselines.choose_for_tiles([tiles[:50], tiles[50:]], label)
    assert area_f1 > 0.95 and z_f1 > 0.95 and z.sigma_px > 0
    others, truth = noisy_tiles(120, seed=1, noise=400.0)
    for score, threshold in (
        (area.tile_scores(others), area.area_px), (z.tile_scores(others), z.threshold),
    ):  # fmt: skip
        assert np.mean((score >= threshold) == truth) > 0.9


def test_no_plume_among_the_tiles_calls_nothing_a_plume() -> None:
    tiles, _ = noisy_tiles(6)
    (area, area_f1), (z, z_f1) = baselines.choose_for_tiles([tiles], np.zeros(6, bool))
    assert area_f1 == z_f1 == 0
    assert np.isfinite(z.threshold) and not (z.tile_scores(tiles) >= z.threshold).any()
    assert not (area.tile_scores(tiles) >= area.area_px).any()


def test_pixel_thresholds_are_the_best_of_those_tried() -> None:
    """Against a search by hand over the masks themselves."""
    rng = np.random.default_rng(6)
    scenes = []
    for seed in range(2):
        ch4 = rng.normal(0, 150, (80, 90)).astype(np.float32)
        truth = np.zeros(ch4.shape, bool)
        truth[20 + seed : 36, 30:60] = True
        ch4[truth] += 600
        ch4[:, :4] = np.nan
        scenes.append((ch4, truth))
    (area, area_f1), (z, z_f1) = baselines.choose_for_pixels(iter(scenes))

    def pooled(method: ThresholdArea | ZScore) -> float:
        hits = sum((method.mask(c) & t).sum() for c, t in scenes)
        wrong = sum((method.mask(c) ^ t).sum() for c, t in scenes)
        return 2 * hits / (2 * hits + wrong)

    assert pooled(area) == pytest.approx(area_f1, abs=1e-12)
    assert pooled(z) == pytest.approx(z_f1, abs=0.01)  # counted in bins of 0.01
    tried = [ThresholdArea(t, int(a)) for t in baselines.THRESHOLDS_PPM_M for a in (1, 10, 50, 200)]
    assert area_f1 >= max(pooled(method) for method in tried) - 1e-12
    tried = [ZScore(s, float(t)) for s in baselines.SIGMAS_PX for t in (0.5, 1, 1.5, 2, 3)]
    assert z_f1 >= max(pooled(method) for method in tried) - 0.01


def test_no_scenes_give_settings_that_find_nothing() -> None:
    (area, area_f1), (z, z_f1) = baselines.choose_for_pixels([])
    assert area_f1 == z_f1 == 0
    quiet = np.random.default_rng(0).normal(0, 100, (40, 40)).astype(np.float32)
    assert not area.mask(quiet).any() and not z.mask(quiet).any()
