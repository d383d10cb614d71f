"""From maps to plumes: cuts, background, pieces, sources, and that nothing is dropped silently."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from earthsignals.compute.seeds import philox
from earthsignals.plume.detection.detect import (
    bridge,
    find_plumes,
    hysteresis,
    middle_and_deviation,
    plume_mask,
    smooth,
)
from earthsignals.plume.params import DetectionParams
from earthsignals.plume.simulation.dispersion import gaussian_plume, puff_plume
from earthsignals.storage import EarthSignalsError

PIXEL_M = 5.0
SHAPE = (160, 160)
PARAMS = DetectionParams()


def noise(seed: int = 0, deviation: float = 60.0, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return deviation * philox(seed, "test-detect").standard_normal(shape)


def salient_around(truth: np.ndarray, reach: int = 20) -> np.ndarray:
    """What a good classifier gives: high wherever its window would meet the plume."""
    return np.where(ndimage.distance_transform_edt(truth < 100) < reach, 0.9, 0.05).astype(np.float32)


def scene(direction: float = 90.0, source: tuple[float, float] = (80.0, 40.0), rate: float = 800.0):
    truth = gaussian_plume(SHAPE, PIXEL_M, source, rate, 4.0, direction, 0.12)
    return (truth + noise()).astype(np.float32), salient_around(truth), truth


def test_hysteresis_keeps_weak_pixels_only_with_a_strong_one() -> None:
    field = np.array([[0.3, 0.6, 0.3, 0.0, 0.3, 0.3], [0.0, 0.0, 0.0, np.nan, 0.0, 0.0]])
    kept, dim = hysteresis(field, low=0.3, high=0.5)
    assert kept[0].tolist() == [True, True, True, False, False, False]
    assert not kept[1].any()
    assert dim == 1


def test_smoothing_ignores_invalid_pixels_and_keeps_a_constant() -> None:
    field = np.full((30, 30), 7.0)
    field[10:14, 5:20] = np.nan
    smoothed = smooth(field, 2.0)
    assert np.isnan(smoothed[10:14, 5:20]).all()
    assert np.allclose(smoothed[np.isfinite(field)], 7.0, rtol=1e-5)
    assert np.array_equal(smooth(field, 0.0), field.astype(np.float32), equal_nan=True)


def test_deviation_of_gaussian_and_of_sparse_backgrounds() -> None:
    values = philox(1, "test-detect").standard_normal(200_000)
    middle, deviation = middle_and_deviation(3 + 2 * values)
    assert middle == pytest.approx(3, abs=0.02)
    assert deviation == pytest.approx(2, rel=0.02)
    # 90 % zeros: the median absolute deviation is zero, the background is not silent.
    sparse = np.where(values > 1.2816, values, 0.0)
    assert middle_and_deviation(sparse)[0] == 0.0
    assert middle_and_deviation(sparse)[1] == pytest.approx(1.0, rel=0.02)
    rare = np.zeros(1000)
    rare[0] = 10.0
    assert middle_and_deviation(rare)[1] == pytest.approx(np.sqrt(0.1))


def test_one_plume_is_found_whole_with_its_measures() -> None:
    ch4, saliency, truth = scene()
    found = find_plumes(ch4, saliency, 0.6, PARAMS, PIXEL_M)
    assert len(found) == 1
    plume = found[0]
    mask = plume_mask(found, SHAPE)
    # The cut is at 1.5 deviations of the smoothed noise, 60 / (2 sqrt(pi) 1.6) ppm·m: about 16.
    assert mask[truth > 30].mean() > 0.97
    assert (truth[mask] > 5).mean() > 0.9
    assert plume.area_m2 == mask.sum() * PIXEL_M**2 == plume.pixels * PIXEL_M**2
    assert plume.peak_ppm_m == ch4[mask].max()
    assert plume.score == plume.mean_score == pytest.approx(0.9)
    assert np.hypot(plume.source_row - 80, plume.source_col - 40) < 3
    assert abs(plume.orientation_deg - 90) < 5


@pytest.mark.parametrize("direction", [0.0, 45.0, 90.0, 200.0, 300.0])
def test_orientation_is_clockwise_from_the_images_up(direction: float) -> None:
    ch4, saliency, _ = scene(direction, source=(80.0, 80.0), rate=1500.0)
    for wind in (None, direction):
        plume = find_plumes(ch4, saliency, 0.6, PARAMS, PIXEL_M, wind_direction_deg=wind)[0]
        assert abs((plume.orientation_deg - direction + 180) % 360 - 180) < 6
        assert np.hypot(plume.source_row - 80, plume.source_col - 80) * PIXEL_M < 20
        # At least to the edge of the scene, 80 pixels from its middle along an axis; a corner is farther.
        reach = 80 / max(abs(np.sin(np.radians(direction))), abs(np.cos(np.radians(direction))))
        assert 0.9 * reach * PIXEL_M < plume.length_m < 1.25 * reach * PIXEL_M
        assert "touches-edge" in plume.flags


def test_wind_decides_which_end_is_the_source() -> None:
    ch4, saliency, _ = scene()
    plume = find_plumes(ch4, saliency, 0.6, PARAMS, PIXEL_M, wind_direction_deg=270.0)[0]
    assert abs(plume.orientation_deg - 270) < 5
    assert plume.source_col > 100


def test_nothing_is_found_where_saliency_or_enhancement_is_missing() -> None:
    ch4, saliency, _ = scene()
    dark = find_plumes(ch4, np.minimum(saliency, 0.55), 0.6, PARAMS, PIXEL_M)
    assert len(dark) == 0
    assert dark.rejected["regions_below_threshold"] == 1
    flat = find_plumes(np.zeros(SHAPE, np.float32), saliency, 0.6, PARAMS, PIXEL_M)
    assert len(flat) == 0
    assert flat.rejected["regions_without_enhancement"] == 1


def test_small_and_peakless_pieces_are_counted() -> None:
    ch4 = np.zeros((60, 120), np.float32)
    ch4[29:32, 29:32] = 3000  # 9 pixels, 225 m²
    ch4[20:40, 80:100] = 800  # 400 pixels
    ch4 += noise(2, 50.0, (60, 120)).astype(np.float32)
    saliency = np.full(ch4.shape, 0.1, np.float32)
    saliency[15:45, 15:45] = saliency[15:45, 75:105] = 0.9
    sharp = {"smoothing_m": 0, "cut_sigma": 5, "peak_sigma": 6, "bridge_m": 0}
    both = find_plumes(ch4, saliency, 0.6, DetectionParams(**sharp, minimum_area_m2=200), PIXEL_M)
    assert [plume.pixels for plume in both] == [400, 9]  # by first line
    large = find_plumes(ch4, saliency, 0.6, DetectionParams(**sharp, minimum_area_m2=400), PIXEL_M)
    assert [plume.pixels for plume in large] == [400]
    assert large.rejected["pieces_too_small"] == 1
    tall = sharp | {"peak_sigma": 30}
    peaks = find_plumes(ch4, saliency, 0.6, DetectionParams(**tall, minimum_area_m2=200), PIXEL_M)
    assert [plume.pixels for plume in peaks] == [9]
    assert peaks.rejected["pieces_without_peak"] == 1


def test_gaps_are_bridged_and_holes_kept() -> None:
    mask = np.zeros((20, 40), bool)
    mask[8:12, 5:12] = mask[8:12, 15:22] = True
    assert ndimage.label(bridge(mask, 1.0))[1] == 2
    assert ndimage.label(bridge(mask, 2.0))[1] == 1
    ch4 = np.where(mask, 1000, 0).astype(np.float32)
    ch4[9:11, 8:10] = 0
    ch4 += noise(3, 10.0, ch4.shape).astype(np.float32)
    saliency = np.where(ndimage.binary_dilation(mask, iterations=2), 0.9, 0.1).astype(np.float32)
    sharp = {"smoothing_m": 0, "cut_sigma": 6, "minimum_area_m2": 100}
    apart = find_plumes(ch4, saliency, 0.5, DetectionParams(**sharp, bridge_m=0), PIXEL_M)
    joined = find_plumes(ch4, saliency, 0.5, DetectionParams(**sharp, bridge_m=20), PIXEL_M)
    assert (len(apart), len(joined)) == (2, 1)
    assert joined[0].pixels == 2 * 28 - 4
    assert not plume_mask(joined, ch4.shape)[9:11, 8:10].any()
    assert not plume_mask(joined, ch4.shape)[8:12, 12:15].any()


def test_sparse_retrieval_gives_the_same_plume() -> None:
    ch4, saliency, truth = scene()
    sparse = np.where(ch4 > 120, ch4, 0).astype(np.float32)  # over 95 % zeros in the background
    assert (sparse[truth < 1] == 0).mean() > 0.9
    found = find_plumes(sparse, saliency, 0.6, PARAMS, PIXEL_M)
    assert len(found) == 1
    mask, visible = plume_mask(found, SHAPE), truth > 150
    assert (mask & visible).sum() / (mask | visible).sum() > 0.5
    assert np.hypot(found[0].source_row - 80, found[0].source_col - 40) < 3


def test_invalid_pixels_are_never_plume() -> None:
    ch4, saliency, _ = scene()
    ch4[:, 60:70] = np.nan
    found = find_plumes(ch4, saliency, 0.6, PARAMS, PIXEL_M)
    assert not plume_mask(found, SHAPE)[:, 60:70].any()
    assert "touches-edge" in found[0].flags
    everything = find_plumes(np.full(SHAPE, np.nan, np.float32), saliency, 0.6, PARAMS, PIXEL_M)
    assert len(everything) == 0


def test_a_wholly_salient_scene_takes_its_own_background() -> None:
    ch4, _, truth = scene()
    found = find_plumes(ch4, np.full(SHAPE, 0.9, np.float32), 0.6, PARAMS, PIXEL_M)
    largest = max(found, key=lambda plume: plume.pixels)
    assert np.hypot(largest.source_row - 80, largest.source_col - 40) < 4


def test_noise_inside_a_salient_region_is_rarely_a_plume() -> None:
    empty = [
        len(find_plumes(noise(k).astype(np.float32), salient_around(scene()[2]), 0.6, PARAMS, PIXEL_M))
        for k in range(12)
    ]
    assert sum(empty) <= 1


def test_order_is_by_first_line_and_repeats() -> None:
    truth = sum(gaussian_plume(SHAPE, PIXEL_M, at, 900, 4, 90, 0.1) for at in ((120, 30), (30, 90)))
    ch4, saliency = (truth + noise()).astype(np.float32), salient_around(truth, 10)
    first, again = (find_plumes(ch4, saliency, 0.6, PARAMS, PIXEL_M) for _ in range(2))
    assert [plume.id for plume in first] == [1, 2]
    assert first[0].rows.start < first[1].rows.start
    assert [vars(p).keys() for p in first] == [vars(p).keys() for p in again]
    assert [(p.source_row, p.score, p.length_m) for p in first] == [
        (p.source_row, p.score, p.length_m) for p in again
    ]


def test_sources_of_turbulent_plumes_are_near_the_truth() -> None:
    away = []
    for k in range(12):
        rng = philox(k, "test-detect-puffs")
        direction = float(rng.uniform(0, 360))
        truth = puff_plume((200, 200), PIXEL_M, (100, 100), 1500, 3, direction, 0.35, rng, puffs=1500)
        ch4 = (truth + noise(k, 150, (200, 200))).astype(np.float32)
        found = find_plumes(ch4, salient_around(truth), 0.6, PARAMS, PIXEL_M, wind_direction_deg=direction)
        largest = max(found, key=lambda plume: plume.pixels)
        away.append(np.hypot(largest.source_row - 100, largest.source_col - 100) * PIXEL_M)
    # Three pixels in the median; the mean of the farther ends would be hundreds of metres.
    assert np.median(away) < 15


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"saliency": np.zeros((3, 4))}, "3×4 but the flightline 160×160"),
        ({"threshold": 0.0}, "threshold is 0.0"),
        ({"pixel_m": 0.0}, "pixel size is 0.0"),
    ],
)
def test_faults_are_named(change: dict, message: str) -> None:
    ch4, saliency, _ = scene()
    given = {"ch4": ch4, "saliency": saliency, "threshold": 0.6, "params": PARAMS, "pixel_m": 5.0} | change
    with pytest.raises(EarthSignalsError, match=message):
        find_plumes(**given)


@pytest.mark.parametrize(
    "change",
    [
        {"low_share": 1.0}, {"smoothing_m": 15.0}, {"cut_sigma": 3.0}, {"minimum_area_m2": 1e6},
        {"peak_sigma": 90.0}, {"bridge_m": 0.0},
    ],
)  # fmt: skip
def test_every_parameter_changes_the_mask(change: dict) -> None:
    truth = puff_plume(SHAPE, PIXEL_M, (80, 30), 250, 3, 90, 0.35, philox(4, "p"), puffs=800)
    near = ndimage.distance_transform_edt(truth < 100)
    saliency = np.clip(0.9 - near / 25, 0, 1).astype(np.float32)
    ch4 = (truth + noise(1, 150)).astype(np.float32)
    usual = find_plumes(ch4, saliency, 0.6, PARAMS, PIXEL_M)
    changed = find_plumes(ch4, saliency, 0.6, PARAMS.model_copy(update=change), PIXEL_M)
    same = len(usual) == len(changed) and np.array_equal(plume_mask(usual, SHAPE), plume_mask(changed, SHAPE))
    assert not same
