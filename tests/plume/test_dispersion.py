"""Dispersion: mass, rate and spread of simulated plumes against what theory says of them."""

from __future__ import annotations

import numpy as np
import pytest

from earthsignals.compute.seeds import philox
from earthsignals.plume.simulation.dispersion import (
    GROWTH,
    MEANDER,
    PATCHES,
    POINT_SPREAD,
    PPM_M_TO_KG_M2,
    briggs_sigma,
    draw_puffs,
    gaussian_plume,
    langevin_displacement,
    meander_displacement,
    ppm_m_to_kg_m2,
    puff_plume,
    taylor_sigma,
)

PIXEL = 5.0


def mass_kg(column: np.ndarray, pixel_m: float = PIXEL) -> float:
    return float(column.sum()) * pixel_m**2 * PPM_M_TO_KG_M2


def distances(shape: tuple[int, int], source: tuple[float, float]) -> np.ndarray:
    rows, cols = np.indices(shape)
    return np.hypot(rows - source[0], cols - source[1]) * PIXEL


# ------------------------------------------------------------------------------ units
def test_a_ppm_metre_is_a_millionth_of_a_metre_of_pure_gas() -> None:
    """At 0 °C and 1 atm a mole fills 22.414 L, so a metre of methane weighs 16.0425/22.414 kg/m²."""
    assert ppm_m_to_kg_m2(273.15, 101_325.0) == pytest.approx(16.0425 / 22.41397 * 1e-6, rel=1e-6)
    assert ppm_m_to_kg_m2() == PPM_M_TO_KG_M2 and abs(PPM_M_TO_KG_M2 - 6.67e-7) < 1e-9
    assert ppm_m_to_kg_m2(293.15, 50_000.0) == pytest.approx(PPM_M_TO_KG_M2 * 50_000 / 101_325)
    assert ppm_m_to_kg_m2(2 * 293.15) == pytest.approx(PPM_M_TO_KG_M2 / 2)


# ------------------------------------------------------------------------------ the steady plume
@pytest.mark.parametrize("direction", [90.0, 0.0, 37.0, 215.0])
def test_ime_grows_as_rate_over_wind(direction: float) -> None:
    """IME(r) = Q·r/U (Frankenberg et al. 2016) for a plume so thin that a circle cuts it straight."""
    shape, source = (401, 401), (200.0, 200.0)
    column = gaussian_plume(shape, PIXEL, source, 500.0, 4.0, direction, 0.04)
    for radius in (300.0, 600.0, 900.0):
        within = mass_kg(np.where(distances(shape, source) <= radius, column, 0))
        assert within == pytest.approx(500.0 / 3600 * radius / 4.0, rel=0.012)


def test_it_blows_where_the_wind_goes() -> None:
    """Direction clockwise from up: 0 is towards row 0, 90 to the right, 180 down, 270 to the left."""
    centres = {}
    for direction in (0, 90, 180, 270):
        column = gaussian_plume((101, 101), PIXEL, (50.0, 50.0), 100.0, 3.0, direction, 0.1)
        rows, cols = np.indices(column.shape) - 50
        total = column.sum()
        centres[direction] = (float((rows * column).sum() / total), float((cols * column).sum() / total))
    assert centres[0][0] < -20 and abs(centres[0][1]) < 1e-6
    assert centres[90][1] > 20 and abs(centres[90][0]) < 1e-6
    assert centres[180][0] > 20
    assert centres[270][1] < -20


def test_cross_section_is_a_gaussian_of_briggs_width() -> None:
    """900 m downwind: sigma by Briggs and the point spread, peak Q/(sqrt(2 pi)·s·U)."""
    column = gaussian_plume((201, 301), PIXEL, (100.0, 20.0), 500.0, 4.0, 90.0, 0.11)
    section, across = column[:, 200], (np.arange(201) - 100) * PIXEL
    variance = float((section * across**2).sum() / section.sum())
    expected = float(briggs_sigma(np.array(900.0), 0.11)) ** 2 + (POINT_SPREAD * PIXEL) ** 2
    assert variance == pytest.approx(expected, rel=1e-3)
    peak = 500.0 / 3600 / 4.0 / np.sqrt(2 * np.pi * expected) / PPM_M_TO_KG_M2
    assert section.max() == pytest.approx(peak, rel=1e-9)


def test_rate_wind_and_turbulence_matter() -> None:
    """Columns grow with the rate, fall with the wind, and spread with the turbulence."""

    def plume(rate: float = 100.0, wind: float = 4.0, turbulence: float = 0.1) -> np.ndarray:
        return gaussian_plume((81, 81), PIXEL, (40.0, 10.0), rate, wind, 90.0, turbulence)

    np.testing.assert_allclose(plume(rate=300.0), 3 * plume(), atol=1e-12)
    np.testing.assert_allclose(plume(wind=2.0), 2 * plume(), atol=1e-12)
    assert plume(turbulence=0.2)[40, 60] < 0.6 * plume()[40, 60]


# ------------------------------------------------------------------------------ Taylor's limits
def test_spread_in_taylors_limits() -> None:
    """sigma_v·t for ages far below the time scale, sqrt(2·sigma_v²·T·t) far above it."""
    sigma_v = 1.3
    shares = MEANDER.share + PATCHES.share + GROWTH.share
    assert shares == pytest.approx(1.0)  # the parts make up the whole turbulence
    assert taylor_sigma(np.array(0.2), sigma_v) == pytest.approx(sigma_v * 0.2, rel=5e-3)
    late = 1e5
    weighted = sum(part.share * part.time_s for part in (MEANDER, PATCHES, GROWTH))
    assert taylor_sigma(np.array(late), sigma_v) == pytest.approx(
        np.sqrt(2 * sigma_v**2 * weighted * late), rel=2e-3
    )


@pytest.mark.parametrize("ages", [2.0, 40.0, 1600.0])
def test_langevin_walk_spreads_as_taylor_says(ages: float) -> None:
    """20,000 independent walkers; the variance of a sample is known to sqrt(2/N) = 1 %."""
    walk = langevin_displacement(philox(1, "walk"), np.full(20_000, ages), 0.8, 40.0)
    ratio = ages / 40.0
    expected = 2 * (0.8 * 40.0) ** 2 * (ratio - 1 + np.exp(-ratio))
    assert walk.var(axis=1) == pytest.approx([expected, expected], rel=0.05)
    assert abs(np.corrcoef(walk)[0, 1]) < 0.03


def test_neighbours_in_release_share_their_eddies() -> None:
    """The correlation of neighbours is the memory that was asked for, at any age."""
    walk = langevin_displacement(philox(2, "walk"), np.full(20_000, 30.0), 0.8, 40.0, memory=0.9)
    for lag in (1, 5):
        measured = np.corrcoef(walk[0, :-lag], walk[0, lag:])[0, 1]
        assert measured == pytest.approx(0.9**lag, abs=0.05)


def test_meander_spreads_as_taylor_says_and_moves_all_alike() -> None:
    """Over 3000 instants the spread at an age is Taylor's; neighbours in age stay together."""
    ages = np.array([4.0, 5.0, 600.0])
    walks = np.stack([meander_displacement(philox(3, "meander", n), ages, 0.5, 150.0) for n in range(3000)])
    for k in (1, 2):
        ratio = ages[k] / 150.0
        expected = 2 * (0.5 * 150.0) ** 2 * (ratio - 1 + np.exp(-ratio))
        assert walks[:, :, k].var() == pytest.approx(expected, rel=0.07)
    assert np.corrcoef(walks[:, 0, 0], walks[:, 0, 1])[0, 1] > 0.99


# ------------------------------------------------------------------------------ puffs
def test_drawn_puffs_keep_mass_centre_and_spread() -> None:
    """At fractions of a pixel, for narrow and wide puffs; shares of 0.3 and 0.7 add 0.21 px² of spread."""
    for size in (0.6, 1.7, 6.0):
        image = draw_puffs((101, 121), np.array([50.3]), np.array([60.8]), np.array([size]))
        rows, cols = np.indices(image.shape)
        assert image.sum() == pytest.approx(1.0, abs=1e-9)
        assert (image * rows).sum() == pytest.approx(50.3, abs=1e-3)
        assert (image * cols).sum() == pytest.approx(60.8, abs=1e-3)
        assert (image * (rows - 50.3) ** 2).sum() == pytest.approx(size**2 + 0.3 * 0.7, rel=0.03)
        assert image.min() >= 0


def test_puffs_beyond_the_image_leave_only_what_reaches_in() -> None:
    inside = draw_puffs((60, 60), np.array([30.0, 500.0]), np.array([30.0, -400.0]), np.array([2.0, 9.0]))
    np.testing.assert_allclose(
        inside, draw_puffs((60, 60), np.array([30.0]), np.array([30.0]), np.array([2.0])), atol=1e-3
    )
    assert not draw_puffs((60, 60), np.array([900.0]), np.array([30.0]), np.array([2.0])).any()
    cut = draw_puffs((60, 60), np.array([-0.5]), np.array([30.0]), np.array([3.0]))
    assert cut.sum() == pytest.approx(0.5, abs=1e-3)  # half of a puff on the border


@pytest.mark.parametrize(("turbulence", "duration"), [(0.1, 300.0), (0.35, 120.0)])
def test_puff_plume_holds_what_was_emitted(turbulence: float, duration: float) -> None:
    """rate · duration, for an image that holds all of it."""
    column = puff_plume(
        (500, 500), PIXEL, (250.0, 120.0), 720.0, 3.0, 90.0, turbulence, philox(4, "p"), duration
    )
    assert mass_kg(column) == pytest.approx(720.0 / 3600 * duration, rel=1e-6)


def test_mean_of_many_puff_plumes_is_the_steady_plume() -> None:
    """150 instants in weak turbulence; the steady plume with Taylor's spread, compared by sections.

    Instants meander on their own, so the mean of 150 is known to 1/sqrt(150) of the spread between them;
    the mass per metre is Q/U at every distance.
    """
    shape, source, rate, wind, turbulence = (121, 181), (60.0, 15.0), 400.0, 4.0, 0.12
    mean = np.zeros(shape)
    for n in range(150):
        stream = philox(5, "p", n)
        mean += puff_plume(shape, PIXEL, source, rate, wind, 90.0, turbulence, stream, puffs=1500) / 150
    steady = gaussian_plume(
        shape, PIXEL, source, rate, wind, 90.0, turbulence,
        sigma=lambda x: taylor_sigma(x / wind, turbulence * wind),
    )  # fmt: skip
    across = (np.arange(shape[0]) - source[0])[:, None] * PIXEL
    for band in (slice(40, 60), slice(90, 110), slice(140, 160)):
        whole, expected = mean[:, band].sum(), steady[:, band].sum()
        assert whole == pytest.approx(expected, rel=0.08)
        width = np.sqrt((mean[:, band] * across**2).sum() / whole)
        assert width == pytest.approx(np.sqrt((steady[:, band] * across**2).sum() / expected), rel=0.2)
    far = (slice(None), slice(90, 160))
    assert np.corrcoef(mean[far].ravel(), steady[far].ravel())[0, 1] > 0.97


def test_a_single_instant_is_patchy_and_bent() -> None:
    """What the steady plume is not: its ridge leaves the axis, and its crest rises and falls."""
    column = puff_plume((161, 221), PIXEL, (80.0, 10.0), 800.0, 4.0, 90.0, 0.35, philox(6, "p"))
    section = column[:, 40:180]
    ridge = (section * np.arange(161)[:, None]).sum(axis=0) / section.sum(axis=0)
    crest = section.max(axis=0)
    assert ridge.std() > 2.0
    assert (np.diff(np.sign(np.diff(crest))) < 0).sum() >= 3


def test_another_stream_is_another_instant() -> None:
    one, two, again = (
        puff_plume((80, 80), PIXEL, (40.0, 10.0), 100.0, 3.0, 90.0, 0.3, philox(7, "p", n)) for n in (0, 1, 0)
    )
    assert np.array_equal(one, again)
    assert np.abs(one - two).max() > 10.0
