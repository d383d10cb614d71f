"""Organisation metrics against patterns whose organisation is known, and against cloudmetrics itself."""

from __future__ import annotations

import sys

import cloudmetrics
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.measure import label, regionprops

from earthsignals.clouds.features.brightness import brightest_mask, otsu_mask
from earthsignals.clouds.features.cloudmetrics_calls import METRICS, Objects, mended
from earthsignals.clouds.features.imputation import Imputer
from earthsignals.clouds.features.open_sky import open_sky
from earthsignals.clouds.features.organisation import METRICS_OF_MASK, NAMES, of_mask, organisation

EDGE = 96


def blobs(centres: np.ndarray, radius: float = 2.0) -> np.ndarray:
    """Mask with a disc at each centre (n, 2)."""
    y, x = np.mgrid[:EDGE, :EDGE]
    apart = np.hypot(y[..., None] - centres[:, 0], x[..., None] - centres[:, 1])
    return (apart <= radius).any(-1)


def random_mask(smooth: float, seed: int = 0) -> np.ndarray:
    field = gaussian_filter(np.random.default_rng(seed).standard_normal((EDGE, EDGE)), smooth)
    return field > 0.5 * field.std()


def metrics(mask: np.ndarray) -> dict[str, float]:
    return dict(zip(METRICS_OF_MASK, of_mask(mask), strict=True))


REGULAR = blobs(np.stack(np.meshgrid(np.arange(8, 96, 16), np.arange(8, 96, 16)), -1).reshape(-1, 2))
CLUSTERED = blobs(np.array([[y + 6 * a, x + 6 * b] for y, x in ((10, 10), (15, 70), (70, 40))
                            for a in range(3) for b in range(4)]))  # fmt: skip


# ---------------------------------------------------------------------------- cloudmetrics, mended
def test_numpy_has_lost_trapz_and_cloudmetrics_needs_it() -> None:
    """The reason for the mending: once cloudmetrics does without, it can go."""
    assert not hasattr(np, "trapz")
    with pytest.raises(AttributeError, match="trapz"):
        METRICS.iorg(label(REGULAR, connectivity=1))


def test_mending_lasts_as_long_as_its_block() -> None:
    module = sys.modules["cloudmetrics.objects.metrics.iorg"]
    before = module._get_objects_property
    with mended():
        x = np.linspace(0, 1, 101)
        assert np.trapz(x**2, x) == pytest.approx(1 / 3, abs=1e-4)
        assert np.trapz is np.trapezoid
        assert module._get_objects_property is not before
    assert not hasattr(np, "trapz")
    assert module._get_objects_property is before
    with pytest.raises(KeyError), mended():
        raise KeyError
    assert not hasattr(np, "trapz")  # after a failure too


def test_mended_metrics_are_those_of_cloudmetrics_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing but trapz put back, its own slow properties give the same numbers."""
    for smooth in (1.0, 2.0, 4.0):
        labels = label(random_mask(smooth), connectivity=1)
        with mended():
            quick = [METRICS.iorg(labels), METRICS.scai(labels), METRICS.cop(labels)]
        with monkeypatch.context() as patch:
            patch.setattr(np, "trapz", np.trapezoid, raising=False)
            slow = [METRICS.iorg(labels), METRICS.scai(labels), METRICS.cop(labels)]
        assert quick == pytest.approx(slow, rel=1e-12)


def test_objects_are_those_of_scikit_image() -> None:
    labels = label(random_mask(1.5, seed=3), connectivity=1)
    objects, expected = Objects.of(labels), regionprops(labels)
    assert len(expected) > 30
    assert objects.area.tolist() == [one.area for one in expected]
    assert objects.centroid == pytest.approx(np.array([one.centroid for one in expected]))
    assert objects.eccentricity == pytest.approx(np.array([one.eccentricity for one in expected]), abs=1e-6)
    assert len(Objects.of(np.zeros((4, 4), int)).area) == 0


@pytest.mark.parametrize("smooth", [0.7, 2.0, 5.0])
def test_open_sky_is_that_of_cloudmetrics(smooth: float) -> None:
    mask = random_mask(smooth)[:40, :50]
    # As Python, without waiting for the compiler.
    assert open_sky(mask) == pytest.approx(cloudmetrics.mask.open_sky.py_func(mask.astype(int)))


def test_open_sky_of_known_masks() -> None:
    mask = np.zeros((10, 10), bool)
    assert open_sky(mask) == 1.0
    assert open_sky(~mask) == 0.0
    mask[:, 4] = True  # a wall: the larger side is columns 5 to 9, reckoned from the wall to the edge
    assert open_sky(mask) == pytest.approx(6 * 10 / 100)


# ------------------------------------------------------------------------------- known organisation
def test_iorg_tells_regular_from_random_from_clustered() -> None:
    generator = np.random.default_rng(1)
    poisson = np.mean([
        metrics(blobs(generator.uniform(0, EDGE, (40, 2)), 1.2))["iorg"] for _ in range(12)
    ])  # fmt: skip
    regular, clustered = metrics(REGULAR)["iorg"], metrics(CLUSTERED)["iorg"]
    assert regular < 0.2 < 0.5 < clustered
    assert regular < poisson < clustered
    assert poisson == pytest.approx(0.5, abs=0.1)  # discs that touch are one object: a little less random


def test_few_large_objects_have_low_scai_and_high_cop() -> None:
    many, few = metrics(REGULAR), metrics(blobs(np.array([[30.0, 30.0], [30.0, 66.0], [66.0, 48.0]]), 14.0))
    assert few["log_scai"] < many["log_scai"]
    assert few["log_cop"] > many["log_cop"]
    assert few["log_mean_length"] == pytest.approx(np.log(np.sqrt(np.pi) * 14), abs=0.02)
    assert np.exp(many["log_objects"]) == pytest.approx(36)


def test_dimension_of_an_edge_and_of_dust() -> None:
    y, x = np.mgrid[:128, :128]
    with_line = (x + 0.37 * y) < 80  # the edge of a half plane is a line
    assert metrics(with_line)["fractal_dimension"] == pytest.approx(1.0, abs=0.1)
    dust = np.random.default_rng(0).random((128, 128)) < 0.5
    assert metrics(dust)["fractal_dimension"] > 1.8


def test_stripes_are_eccentric_and_discs_are_not() -> None:
    y, x = np.mgrid[:EDGE, :EDGE]
    assert metrics((y % 12) < 4)["eccentricity"] > 0.99
    assert metrics(REGULAR)["eccentricity"] < 0.1


# ------------------------------------------------------------------------------------ masks and tiles
def test_masks_do_not_see_brightness_and_contrast() -> None:
    tile = gaussian_filter(np.random.default_rng(2).random((64, 64)), 2).astype(np.float32)
    tile = (tile - tile.min()) / np.ptp(tile)
    darker = 0.2 + 0.5 * tile
    assert (otsu_mask(tile) != otsu_mask(darker)).mean() < 0.02  # the threshold falls between bins
    assert (brightest_mask(tile, 0.25) == brightest_mask(darker, 0.25)).all()
    assert brightest_mask(tile, 0.25).mean() == pytest.approx(0.25, abs=0.01)
    two_levels = np.where(REGULAR, 0.8, 0.1).astype(np.float32)
    assert (otsu_mask(two_levels) == REGULAR).all()
    assert not otsu_mask(np.full((8, 8), 0.4)).any()


def test_small_specks_are_noise() -> None:
    specks = REGULAR.copy()
    specks[0, ::6] = True  # single pixels
    assert of_mask(specks) == pytest.approx(of_mask(REGULAR))


def test_undefined_metrics_are_nan_and_counted_when_imputed() -> None:
    tiles = np.zeros((4, 3, 64, 64), np.uint8)
    tiles[0] = tiles[2] = np.where(REGULAR[:64, :64], 200, 10)
    tiles[1] = 77  # nothing to see
    tiles[3, :, 20:40, 20:40] = 255  # one object: no distances
    found = organisation(tiles)
    assert found.shape == (4, len(NAMES))
    assert np.isfinite(found[0]).all()
    named = dict(zip(NAMES, found.T, strict=True))
    assert np.isnan(named["otsu_iorg"]).tolist() == [False, True, False, True]
    assert named["otsu_cloud_fraction"][1] == 0.0
    imputer = Imputer.fit(found)
    filled, count = imputer.fill(found)
    assert np.isfinite(filled).all()
    assert count == np.isnan(found).sum() > 0
    own = NAMES.index("otsu_iorg")
    assert filled[1, own] == np.median(found[[0, 2], own])
    marks = filled[:, len(NAMES):]
    assert marks.shape[1] == np.isnan(found).any(0).sum()
    assert set(marks[0]) == {0.0}
    assert marks[1].all()


def test_a_feature_that_is_never_defined_becomes_zero() -> None:
    filled, count = Imputer.fit(np.array([[np.nan, 1.0], [np.nan, 3.0]])).fill(np.array([[np.nan, np.nan]]))
    assert filled.tolist() == [[0.0, 2.0]]
    assert count == 2


def test_tiles_give_the_same_metrics_alone_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(4)
    fields = gaussian_filter(generator.standard_normal((70, 48, 48)), (0, 2, 2))
    tiles = np.repeat(np.clip(128 + 400 * fields, 0, 255).astype(np.uint8)[:, None], 3, axis=1)
    together = organisation(tiles)
    alone = np.concatenate([organisation(tiles[row : row + 1]) for row in (0, 63, 64, 69)])
    assert np.array_equal(together[[0, 63, 64, 69]], alone, equal_nan=True)
    assert len(organisation(tiles[:0])) == 0
