"""Augmentation is a function of seed, epoch and index, of every knob, and of each tile by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from earthsignals.clouds.augment import CHUNK, Augment, gaussian_blurred
from earthsignals.clouds.params import AugmentationParams

OFF = AugmentationParams(
    flips=False, quarter_turns=False, rotation_degrees=0, zoom=1, warp=0, grey=0, brightness=0, contrast=0,
    gamma=0, colour=0, noise=0, blur_px=0,
)  # fmt: skip
ON = {
    "flips": True, "quarter_turns": True, "rotation_degrees": 20.0, "zoom": 1.3, "warp": 0.2, "grey": 0.7,
    "brightness": 0.1, "contrast": 0.3, "gamma": 0.3, "colour": 0.1, "noise": 0.05, "blur_px": 1.5,
}  # fmt: skip


def with_only(**knobs) -> AugmentationParams:
    return OFF.model_copy(update=knobs)


def triplets(number: int = 3, size: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (number, 3, 3, size, size), dtype=np.uint8)


def ramp(size: int = 64) -> np.ndarray:
    """One triplet of smooth tiles between 64 and 190, brighter to the right and, less, downwards."""
    row, column = np.mgrid[:size, :size] / size
    return np.broadcast_to(64 + 90 * column + 36 * row, (1, 3, 3, size, size)).round().astype(np.uint8)


def shown(params: AugmentationParams, tiles: np.ndarray, epoch: int = 0, seed: int = 7) -> np.ndarray:
    return Augment(params, seed)(tiles, epoch, np.arange(len(tiles))).numpy()


def test_it_is_a_function_of_seed_epoch_and_index():
    params, tiles = AugmentationParams(**ON), triplets(2 * CHUNK)
    indices = np.arange(100, 100 + len(tiles))
    whole = Augment(params, 7)(tiles, 3, indices)
    assert whole.shape == tiles.shape and whole.dtype == torch.float32
    assert float(whole.min()) >= 0 and float(whole.max()) <= 1
    again = Augment(params, 7)
    chosen = [5, 0, 2 * CHUNK - 1]  # in another order, another company, by an instance that has worked before
    again(tiles[:4], 1, indices[:4])
    assert torch.allclose(again(tiles[chosen], 3, indices[chosen]), whole[chosen], atol=1e-6)
    assert torch.equal(again(tiles, 3, indices), whole)
    for seed, epoch, index in ((8, 3, indices), (7, 4, indices), (7, 3, indices + 1)):
        assert (Augment(params, seed)(tiles, epoch, index) - whole).abs().mean() > 0.05


def test_tiles_are_given_back_as_they_are_where_all_is_off():
    tiles = triplets()
    assert np.array_equal(shown(OFF, tiles), (tiles / np.float32(255)).astype(np.float32))


@pytest.mark.parametrize("knob", sorted(AugmentationParams.model_fields))
def test_every_knob_changes_something(knob):
    assert set(ON) == set(AugmentationParams.model_fields)
    tiles = triplets()
    alone, all_others = shown(with_only(**{knob: ON[knob]}), tiles), {**ON, knob: getattr(OFF, knob)}
    assert np.abs(alone - shown(OFF, tiles)).mean() > 0.005
    complete = shown(AugmentationParams(**ON), tiles)
    assert np.abs(complete - shown(AugmentationParams(**all_others), tiles)).mean() > 0.005


@pytest.mark.parametrize("knob", sorted(AugmentationParams.model_fields))
def test_tiles_of_a_triplet_are_independent(knob):
    """Three times the same tile: by no knob do anchor, neighbour and distant tile come out alike for long."""
    tiles = np.repeat(triplets(40)[:, :1], 3, 1)
    out = shown(with_only(**{knob: ON[knob]}), tiles)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        alike = (np.abs(out[:, one] - out[:, other]).max((1, 2, 3)) < 1e-4).mean()
        assert alike < 0.5  # one in four by chance of the flips and quarter turns


def test_flips_and_quarter_turns_are_the_eight_symmetries_of_the_square():
    tile = triplets(1)[0, 0]
    eight = [np.rot90(mirrored, k, axes=(1, 2)) for mirrored in (tile, tile[:, ::-1]) for k in range(4)]
    eight = [np.float32(one / np.float32(255)) for one in eight]
    found = set()
    many = np.broadcast_to(tile, (100, 3, *tile.shape))
    for out in shown(with_only(flips=True, quarter_turns=True), many).reshape(-1, *tile.shape):
        which = [number for number, one in enumerate(eight) if np.array_equal(one, out)]
        assert len(which) == 1
        found |= set(which)
    assert found == set(range(8))


def slopes(tile: np.ndarray) -> tuple[float, float]:
    """Of the middle of a tile, per pixel: (along columns, along rows), of the first band."""
    down, across = np.gradient(tile[0, 24:40, 24:40] * 255)
    return float(across.mean()), float(down.mean())


def test_rotation_turns_the_gradient_by_at_most_its_angle():
    tiles = np.broadcast_to(ramp(), (40, 3, 3, 64, 64))
    own = np.degrees(np.arctan2(*slopes(ramp()[0, 0] / 255)[::-1]))
    turned = [np.degrees(np.arctan2(*slopes(tile)[::-1])) - own
              for tile in shown(with_only(rotation_degrees=30.0), tiles).reshape(-1, 3, 64, 64)]  # fmt: skip
    assert 25 < max(turned) < 31 and -31 < min(turned) < -25
    assert np.std(turned) == pytest.approx(60 / np.sqrt(12), rel=0.2)  # uniform


def test_zoom_magnifies_both_ways():
    tiles = np.broadcast_to(ramp(), (40, 3, 3, 64, 64))
    own = slopes(ramp()[0, 0] / 255)[0]
    factors = [own / slopes(tile)[0] for tile in shown(with_only(zoom=1.5), tiles).reshape(-1, 3, 64, 64)]
    assert 1.4 < max(factors) < 1.52 and 1 / 1.52 < min(factors) < 1 / 1.4
    assert np.mean(np.log(factors)) == pytest.approx(0, abs=0.1)


def test_what_lies_beyond_a_tile_is_its_mirror_image_never_black():
    tiles = np.full((20, 3, 3, 32, 32), 200, np.uint8)
    out = shown(with_only(rotation_degrees=45.0, zoom=1.5, warp=0.5), tiles)
    assert np.abs(out - 200 / 255).max() < 1e-5


def test_warp_bends_straight_gradients():
    out = shown(with_only(warp=0.2), np.broadcast_to(ramp(), (20, 3, 3, 64, 64))).reshape(-1, 3, 64, 64)
    across = np.diff(out[:, 0, 32, 8:56] * 255, axis=1)
    change = across[:, -16:].mean(1) / across[:, :16].mean(1)
    assert change.max() > 1.2 and change.min() < 0.8
    assert np.isfinite(out).all()


def test_gamma_contrast_and_brightness_follow_their_formulae():
    x = ramp() / np.float32(255)
    for tile in shown(with_only(gamma=0.5), ramp())[0]:
        exponent = np.log(tile[0, 5, 9]) / np.log(x[0, 0, 0, 5, 9])
        assert abs(np.log(exponent)) <= 0.5 and np.allclose(tile, x[0, 0] ** exponent, atol=1e-5)
    mean = x[0, 0].mean()
    for tile in shown(with_only(contrast=0.4), ramp())[0]:
        factor = (tile[0, 0, -1] - tile[0, 0, 0]) / (x[0, 0, 0, 0, -1] - x[0, 0, 0, 0, 0])
        assert abs(np.log(factor)) <= 0.4 and np.allclose(tile, mean + factor * (x[0, 0] - mean), atol=1e-5)
    for tile in shown(with_only(brightness=0.2), ramp())[0]:
        assert np.ptp(tile - x[0, 0]) < 1e-5 and 0 < abs((tile - x[0, 0]).mean()) <= 0.2


def test_black_stays_black_under_gamma():
    assert shown(with_only(gamma=1.0), np.zeros((1, 3, 3, 32, 32), np.uint8)).max() == 0


def test_colour_moves_bands_apart_and_not_their_mean():
    shift = (shown(with_only(colour=0.1), ramp()) - ramp() / np.float32(255)).mean((3, 4))
    assert np.abs(shift.mean(2)).max() < 1e-6 and np.abs(shift).min(2).max() > 1e-3
    assert np.abs(shift).max() <= 0.2


def test_noise_is_white_of_at_most_its_deviation():
    tiles = np.full((60, 3, 3, 32, 32), 128, np.uint8)
    noise = (shown(with_only(noise=0.05), tiles) - np.float32(128 / 255))[:, :, 0].reshape(-1, 32, 32)
    deviation = noise.std((1, 2))
    assert deviation.max() < 0.055 and deviation.mean() == pytest.approx(0.025, rel=0.2)
    neighbours = (noise[:, 1:] * noise[:, :-1]).mean((1, 2)) / deviation**2
    assert abs(neighbours.mean()) < 0.02
    first, second = noise[:2].reshape(2, -1)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.15
    bands = shown(with_only(noise=0.05), tiles)[0, 0].reshape(3, -1)  # another in each: no colour of its own
    assert np.abs(np.corrcoef(bands) - np.eye(3)).max() < 0.15


def test_grey_tiles_are_one_mixture_of_their_bands():
    tiles = triplets(60)
    out = shown(with_only(grey=0.3), tiles).reshape(-1, 3, 32 * 32)
    plain = (tiles / np.float32(255)).reshape(-1, 3, 32 * 32)
    grey = (out == out[:, :1]).all((1, 2))
    assert grey.mean() == pytest.approx(0.3, abs=0.1)
    assert np.array_equal(out[~grey], plain[~grey])
    pairs = zip(plain[grey], out[grey], strict=True)
    weights = [np.linalg.lstsq(own.T, mixed[0], rcond=None)[0] for own, mixed in pairs]
    assert np.sum(weights, 1) == pytest.approx(np.ones(len(weights)), abs=1e-4)
    assert np.min(weights) > 0 and np.std(weights, 0).min() > 0.1


def test_blur_is_a_gaussian():
    x = torch.zeros(2, 1, 41, 41)
    x[:, 0, 20, 20] = 1
    out = gaussian_blurred(x, torch.tensor([1.5, 0.0], dtype=torch.float64), 2.0).numpy()[:, 0]
    offset = np.arange(41) - 20
    assert out[0].sum() == pytest.approx(1, abs=1e-5)
    assert (out[0].sum(0) * offset**2).sum() == pytest.approx(1.5**2, rel=0.03)  # cut at three deviations
    assert np.array_equal(out[1], x[1, 0].numpy())


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"expected \(B, 3, 3, P, P\)"):
        Augment(OFF, 0)(triplets()[:, 0], 0, np.arange(3))
    with pytest.raises(ValueError, match="2 triplets"):
        Augment(OFF, 0)(triplets(), 0, np.arange(2))
