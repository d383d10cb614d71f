"""The scattering transform: filters, invariances, known patterns; moments are scipy's; windows share maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.ndimage import gaussian_filter

from earthsignals.clouds.features.scattering import scattering
from earthsignals.clouds.model import build
from earthsignals.clouds.networks.resnet import TRUNK_STRIDE
from earthsignals.clouds.networks.scattering import (
    COUNT,
    FLOOR,
    FREQUENCY,
    LEAST_PX,
    MOMENTS,
    OCTAVES,
    ORIENTATIONS,
    PAIRS,
    Scattering,
    morlets,
)
from earthsignals.clouds.params import NetworkParams
from earthsignals.storage import EarthSignalsError

EDGE = 128
TRANSFORM = Scattering()
EACH = 4  # features of an octave: strength, lean, sparsity, balance
STRENGTHS = [MOMENTS + EACH * octave for octave in range(OCTAVES)]
SECOND = MOMENTS + EACH * OCTAVES
WAVE_LENGTHS = 2 * np.pi / FREQUENCY * 2.0 ** np.arange(OCTAVES)


def described(*fields: np.ndarray) -> np.ndarray:
    """Features of fields (P, P) in [0, 1], shown grey."""
    tiles = torch.from_numpy(np.stack(fields)).float()[:, None].expand(-1, 3, -1, -1)
    return TRANSFORM(tiles).numpy()


def wave(length: float, degrees: float, edge: int = EDGE, amplitude: float = 0.2) -> np.ndarray:
    y, x = np.mgrid[:edge, :edge]
    angle = np.radians(degrees)
    return 0.5 + amplitude * np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / length + 0.3)


def clouds(seed: int = 0, slope: float = 1.5, edge: int = EDGE) -> np.ndarray:
    """A random field in [0.2, 0.8] whose amplitude falls with wavenumber by this power."""
    wavenumber = np.hypot(np.fft.fftfreq(edge)[:, None], np.fft.fftfreq(edge))
    wavenumber[0, 0] = np.inf
    white = np.fft.fft2(np.random.default_rng(seed).standard_normal((edge, edge)))
    field = np.fft.ifft2(white * wavenumber**-slope).real
    return 0.5 + 0.3 * field / np.abs(field).max()


def test_wavelets_have_no_mean_and_unit_energy():
    wavelets = morlets()
    assert wavelets.shape == (2 * ORIENTATIONS, 1, 7, 7)
    assert wavelets.sum((1, 2, 3)).abs().max() < 1e-6
    even, odd = wavelets[:ORIENTATIONS], wavelets[ORIENTATIONS:]
    energy = (even.square() + odd.square()).sum((1, 2, 3))
    assert torch.allclose(energy, torch.ones(ORIENTATIONS))
    assert torch.allclose(even.flip(2, 3), even, atol=1e-7)
    assert torch.allclose(odd.flip(2, 3), -odd, atol=1e-7)


@pytest.mark.parametrize("octave", range(OCTAVES))
def test_a_wave_is_answered_by_its_octave_and_orientation(octave):
    for number in range(ORIENTATIONS):
        field = torch.from_numpy(wave(WAVE_LENGTHS[octave], 45 * number, 192)).float().expand(1, 3, -1, -1)
        means = [each.mean((2, 3))[0, :ORIENTATIONS] for each in TRANSFORM.maps(field)[1 : 1 + OCTAVES]]
        # Of equal energy, coarser wavelets answer their own wave by as much.
        assert int(torch.stack(means).amax(1).argmax()) == octave
        assert int(means[octave].argmax()) == number


def test_a_shift_of_brightness_leaves_all_but_the_mean():
    field = clouds()
    plain, brighter = described(field, field + 0.15)
    assert brighter[0] - plain[0] == pytest.approx(0.15, abs=1e-6)
    assert brighter[1:] == pytest.approx(plain[1:], abs=2e-3)


def test_contrast_moves_logarithms_alike_and_no_ratios():
    field = clouds(slope=1.0)
    plain, stronger = described(0.5 + 0.5 * (field - 0.5), field).astype(float)
    change = stronger - plain
    assert change[1] == pytest.approx(np.log(2), abs=1e-4)  # the deviation
    assert change[2:4] == pytest.approx([0, 0], abs=1e-3)  # skewness and kurtosis
    moved = [*STRENGTHS, *range(SECOND, COUNT)]
    moduli = np.exp(stronger[moved]) - FLOOR, np.exp(plain[moved]) - FLOOR
    assert moduli[0] / moduli[1] == pytest.approx(np.full(len(moved), 2), rel=0.02)
    # What a floor takes from logarithms is little where moduli are ten times as large.
    ratios = [first + which for first in STRENGTHS[1:] for which in (1, 2, 3)]
    assert change[ratios] == pytest.approx(np.zeros(len(ratios)), abs=0.1)


def test_moments_are_scipy_s():
    field = np.random.default_rng(1).gamma(2.0, 0.1, (EDGE, EDGE)).clip(0, 1).astype(np.float32)
    flat = field.ravel().astype(float)
    expected = [flat.mean(), np.log(flat.std()), stats.skew(flat), np.log(stats.kurtosis(flat, fisher=False))]
    assert described(field)[0, :MOMENTS] == pytest.approx(expected, rel=1e-4)


def test_moments_of_bright_even_tiles_do_not_drown_in_rounding():
    field = (0.9 + 0.01 * (np.random.default_rng(2).gamma(2.0, 1.0, (EDGE, EDGE)) - 2)).astype(np.float32)
    flat = field.ravel().astype(float)
    assert described(field)[0, 2] == pytest.approx(stats.skew(flat), abs=0.02)
    assert described(field)[0, 3] == pytest.approx(np.log(stats.kurtosis(flat, fisher=False)), abs=0.02)


def test_turns_and_flips_leave_the_description():
    """Up to where its positions fall: a tile turned is sampled elsewhere."""
    tiles = [clouds(seed) for seed in range(24)]
    plain = described(*tiles)
    spread = np.std([*plain, *described(*[clouds(seed, 1.0) for seed in range(24)])], 0)
    for turned in (np.rot90, np.flipud, np.fliplr, np.transpose):
        away = np.abs(described(*(turned(tile) for tile in tiles)) - plain)
        assert away[:, :MOMENTS].max() < 1e-4
        assert np.median(away[:, 1:] / spread[1:]) < 0.1
        assert away.mean() < 0.05


@pytest.mark.parametrize("size", [128, 131])
def test_maps_of_a_window_are_crops_of_the_scene_s(size):
    scene = torch.rand(1, 3, 200, 190, generator=torch.Generator().manual_seed(0))
    whole = TRANSFORM.maps(scene)
    assert all(TRUNK_STRIDE % stride == 0 for stride in TRANSFORM.strides())
    for row, column in ((0, 0), (8, 32), (64, 56)):
        own = TRANSFORM.maps(scene[..., row : row + size, column : column + size])
        for one, other, stride in zip(own, whole, TRANSFORM.strides(), strict=True):
            i, j, (height, width) = row // stride, column // stride, one.shape[2:]
            assert torch.allclose(one, other[..., i : i + height, j : j + width], atol=1e-6)


def ring_pattern(edge: int = EDGE) -> np.ndarray:
    """Fine ripples that live on the rims of rings of 40 pixels alone."""
    y, x = np.mgrid[:edge, :edge]
    radius = np.hypot((x + 4) % 42 - 21, (y + 11) % 42 - 21)
    grain = np.random.default_rng(3).standard_normal((edge, edge))
    return 0.5 + 0.12 * grain * np.exp(-((radius - 14) ** 2) / 8)


def test_the_second_order_tells_rings_from_noise_of_their_spectrum():
    """Surrogates keep the amplitude of every wave and draw its phase, which spectra do not see."""
    rings = ring_pattern()
    amplitude, surrogates = np.abs(np.fft.fft2(rings)), []
    for seed in range(12):
        phases = np.angle(np.fft.fft2(np.random.default_rng(seed).standard_normal(rings.shape)))
        surrogates.append(np.fft.ifft2(amplitude * np.exp(1j * phases)).real)
    pattern, noise = described(rings)[0], described(*surrogates)
    # What the coarse wavelets see of the moduli of fine ones, relative to how strong these are.
    for pair, (fine, coarse) in enumerate(PAIRS):
        if fine > 0 or coarse < 2:
            continue
        second = slice(SECOND + ORIENTATIONS * pair, SECOND + ORIENTATIONS * (pair + 1))
        own = pattern[second].mean() - pattern[STRENGTHS[fine]]
        others = noise[:, second].mean(1) - noise[:, STRENGTHS[fine]]
        assert own > others.mean() + 5 * others.std()
    spectral = noise[:, STRENGTHS[1]]
    assert abs(spectral.mean() - pattern[STRENGTHS[1]]) < 0.5  # of strength there is no such gap


def test_lean_is_of_stripes_balance_changes_sign_and_sparsity_is_of_what_is_rare():
    stripes, isotropic = described(wave(WAVE_LENGTHS[2], 45), clouds())
    lean = STRENGTHS[2] + 1
    assert stripes[lean] > 0.5 > 0.2 > isotropic[lean]
    spots = np.zeros((EDGE, EDGE))
    spots[4::16, 4::16] = 1
    smooth = gaussian_filter(spots, 1.5, mode="wrap")
    bright = 0.3 + 0.5 * smooth / smooth.max()
    one, other = described(bright, 1 - bright)
    balances = [first + 3 for first in STRENGTHS]
    assert one[balances] == pytest.approx(-other[balances], abs=1e-3)
    sparsity = STRENGTHS[0] + 2
    noise, rims = described(clouds(slope=0.0), ring_pattern())
    assert noise[sparsity] < 0.5 * rims[sparsity]


def test_parameters_know_the_least_tile():
    options = NetworkParams(architecture="scattering", padding="zero")
    assert options.least_tile_px == LEAST_PX
    network = build(options).eval()
    assert network(torch.rand(1, 3, LEAST_PX, LEAST_PX)).shape == (1, 32)


def test_constant_and_least_tiles_are_finite_and_smaller_ones_refused():
    assert np.isfinite(described(np.zeros((EDGE, EDGE)), np.ones((EDGE, EDGE)))).all()
    assert described(clouds(edge=LEAST_PX)).shape == (1, COUNT)
    with pytest.raises(EarthSignalsError, match=f"of 110 pixels: set clouds.grid.tile_px to {LEAST_PX}"):
        described(clouds(edge=LEAST_PX - 1))


def test_batches_do_not_show_and_half_precision_does_not_reach_it():
    tiles = torch.rand(40, 3, EDGE, EDGE, generator=torch.Generator().manual_seed(4))
    whole = TRANSFORM(tiles)
    assert whole.shape == (40, COUNT) and whole.dtype == torch.float32
    assert torch.allclose(TRANSFORM(tiles[35:36]), whole[35:36], atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(TRANSFORM(tiles), whole)


def test_the_rival_s_row_is_the_transform_and_magnifies_small_tiles():
    tiles = np.random.default_rng(5).integers(0, 256, (3, 3, 48, 48), dtype=np.uint8)
    large = tiles.repeat(3, 2).repeat(3, 3)
    found = scattering(tiles)
    assert found.shape == (3, COUNT) and found.dtype == np.float64
    assert np.array_equal(found, scattering(large))
    assert found == pytest.approx(TRANSFORM(torch.from_numpy(large).float() / 255).numpy(), abs=1e-5)
