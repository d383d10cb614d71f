"""Statistics, spectra and principal components against patterns with known answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from earthsignals.clouds.features.brightness import coarse, grey, standardised
from earthsignals.clouds.features.pca import pca_of_spectra, pca_of_tiles
from earthsignals.clouds.features.spectrum import _rings, power_spectrum, spectrum
from earthsignals.clouds.features.statistics import NAMES, statistics

EDGE = 64


def as_tiles(fields: np.ndarray) -> np.ndarray:
    """Brightness (N, P, P) in [0, 1] as grey tiles (N, 3, P, P) uint8."""
    return np.repeat(np.rint(fields * 255).astype(np.uint8)[:, None], 3, axis=1)


def clouds(count: int, smooth: float = 2.0, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((count, EDGE, EDGE))
    fields = gaussian_filter(noise, (0, smooth, smooth), mode="wrap")
    return np.clip(0.4 + 0.15 * fields / fields.std((1, 2), keepdims=True), 0, 1)


def stripes(cycles: float, degrees: float = 0.0) -> np.ndarray:
    y, x = np.mgrid[:EDGE, :EDGE] / EDGE
    angle = np.radians(degrees)
    along = x * np.cos(angle) + y * np.sin(angle)
    return 0.5 + 0.4 * np.sin(2 * np.pi * cycles * along)


# --------------------------------------------------------------------------------------- statistics
def test_statistics_of_a_tile_of_two_levels() -> None:
    field = np.full((EDGE, EDGE), 51 / 255)
    field[: EDGE // 4] = 204 / 255
    found = dict(zip(NAMES, statistics(as_tiles(field[None]))[0], strict=True))
    assert found["mean"] == pytest.approx(0.2 + 0.25 * 0.6)
    assert found["deviation"] == pytest.approx(0.6 * np.sqrt(0.25 * 0.75))
    assert found["skewness"] == pytest.approx((1 - 2 * 0.25) / np.sqrt(0.25 * 0.75), rel=1e-5)
    assert found["kurtosis"] == pytest.approx(3 + (1 - 6 * 0.25 * 0.75) / (0.25 * 0.75), rel=1e-5)
    assert found["cloud_fraction_otsu"] == found["cloud_fraction_0.5"] == 0.25
    assert (found["quantile_0.5"], found["quantile_0.95"]) == pytest.approx((0.2, 0.8))


def test_statistics_know_nothing_of_arrangement() -> None:
    tiles = as_tiles(clouds(3))
    shuffled = tiles.reshape(3, 3, -1)[:, :, np.random.default_rng(0).permutation(EDGE**2)]
    assert statistics(shuffled.reshape(tiles.shape)) == pytest.approx(statistics(tiles), rel=1e-5)
    assert np.isfinite(statistics(np.full((1, 3, EDGE, EDGE), 9, np.uint8))).all()


def test_standardised_tiles_and_constant_ones() -> None:
    tiles = grey(as_tiles(np.concatenate([clouds(2), np.full((1, EDGE, EDGE), 0.3)])))
    scaled = standardised(tiles)
    assert scaled[:2].mean((1, 2)) == pytest.approx(np.zeros(2), abs=1e-5)
    assert scaled[:2].std((1, 2)) == pytest.approx(np.ones(2), abs=1e-5)
    assert (scaled[2] == 0).all()


def test_coarse_tiles_are_means_of_blocks() -> None:
    tiles = np.arange(2 * 10 * 10, dtype=np.float64).reshape(2, 10, 10)
    found = coarse(tiles, 4)  # blocks of three; the tenth row and column fill none
    assert found.shape == (2, 3, 3)
    assert found[1, 2, 1] == tiles[1, 6:9, 3:6].mean()
    assert (coarse(tiles, 64) == tiles).all()


# ----------------------------------------------------------------------------------------- spectrum
def test_power_lies_in_the_ring_of_its_wavenumber() -> None:
    rings = _rings(EDGE, 24)
    down, across = np.meshgrid(np.fft.fftfreq(EDGE, 1 / EDGE), np.arange(EDGE // 2 + 1), indexing="ij")
    radius = np.hypot(down, across).ravel()
    for cycles in (2, 4, 8, 16):
        found = spectrum(as_tiles(stripes(cycles)[None]))[0, : len(rings)]
        ring = rings[int(found.argmax())]
        assert radius[ring].min() <= cycles <= radius[ring].max() + 0.5
    # No wavenumber lies in two rings, and none up to P/2 but the mean in no ring.
    every = np.concatenate(rings)
    assert len(every) == len(set(every.tolist())) == ((radius >= 0.5) & (radius < EDGE / 2 + 0.5)).sum()


def test_spectrum_forgets_place_brightness_and_contrast() -> None:
    fields = clouds(1, smooth=3.0)
    plain = spectrum(as_tiles(fields))
    brighter = spectrum(as_tiles(0.2 + 0.6 * fields))
    noise = 0.05  # of eight bits, in the smallest scales
    large = slice(0, 10)
    assert brighter[:, large] == pytest.approx(plain[:, large], abs=noise)
    assert power_spectrum(as_tiles(np.full((1, EDGE, EDGE), 0.5))).max() == 0
    assert np.isfinite(spectrum(as_tiles(np.full((1, EDGE, EDGE), 0.5)))).all()


def test_anisotropy_is_one_for_stripes_of_any_direction_and_small_for_isotropic_fields() -> None:
    bands = len(_rings(EDGE, 6))
    for degrees in (0.0, 30.0, 45.0, 90.0):
        found = spectrum(as_tiles(stripes(8, degrees)[None]))[0]
        assert found[-bands:].max() > 0.9
    # Of n independent waves chance leaves about 1/√n: few are in the ring of long ones, hundreds in the last.
    white = spectrum(as_tiles(clouds(20, smooth=0.0)))[:, -bands:].mean(0)
    assert white[-1] < 0.05 < white[0]


def test_turning_a_tile_by_quarters_leaves_its_spectrum() -> None:
    tiles = as_tiles(clouds(2))
    turned = np.rot90(tiles, axes=(2, 3))
    assert spectrum(turned) == pytest.approx(spectrum(tiles), abs=1e-3)


# ----------------------------------------------------------------------------------------------- PCA
def test_components_find_the_plane_that_tiles_lie_in() -> None:
    """Tiles mixed of three patterns with unit variance: three components hold all there is."""
    generator = np.random.default_rng(5)
    weights = generator.standard_normal((60, 3))
    patterns = np.stack([stripes(1), stripes(2, 90), stripes(3, 45)]) - 0.5
    fields = np.einsum("nk,kyx->nyx", weights, patterns)
    fields = 0.5 + 0.45 * fields / np.abs(fields).max((1, 2), keepdims=True)
    fit, codes = pca_of_tiles(as_tiles(fields[:40]), as_tiles(fields[40:]), 6, seed=1)
    assert fit.shape == (40, 6)
    assert codes.shape == (20, 6)
    spread = fit.var(0)
    assert spread[:3].sum() / spread.sum() > 0.99
    # The code is a function of the tile: twins get the same.
    again = pca_of_tiles(as_tiles(fields[:40]), as_tiles(fields[:40]), 6, seed=1)
    assert again[1] == pytest.approx(again[0], abs=1e-3)
    assert np.array_equal(again[0], fit)


def test_components_are_never_more_than_the_tiles_allow() -> None:
    tiles = as_tiles(clouds(5))
    assert pca_of_tiles(tiles, tiles, 32, seed=0)[1].shape == (5, 4)
    assert pca_of_spectra(tiles, tiles, 2, seed=0)[1].shape == (5, 2)


def test_spectral_components_do_not_know_where_a_cloud_lies() -> None:
    y, x = np.mgrid[:EDGE, :EDGE] - EDGE / 2
    inside = np.exp(-(x**2 + y**2) / (2 * 6.0**2))  # well within the window
    fields = 0.5 + inside * (clouds(12, smooth=2.0) - 0.4)
    moved = np.roll(fields, (6, 5), axis=(1, 2))
    kinds = {"tiles": pca_of_tiles, "spectra": pca_of_spectra}
    apart = {}
    for name, codes_of in kinds.items():
        fit, codes = codes_of(as_tiles(fields), as_tiles(moved), 6, seed=0)
        apart[name] = np.linalg.norm(codes - fit) / np.linalg.norm(fit - fit.mean(0))
    assert apart["spectra"] < 0.5 * apart["tiles"]
