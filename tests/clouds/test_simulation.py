"""Synthetic scenes: what is said to be known of them is so, and the same everywhere."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from earthsignals.clouds.imagery.index import read_index
from earthsignals.clouds.imagery.scene import read_scene
from earthsignals.clouds.params import REGIMES, CloudsParams
from earthsignals.clouds.simulation.deformation import Deformation, spacing
from earthsignals.clouds.simulation.fields import PatternField, powerlaw
from earthsignals.clouds.simulation.points import draw
from earthsignals.clouds.simulation.regimes import KINDS
from earthsignals.clouds.simulation.scene import block_means, list_weather, simulate
from earthsignals.clouds.simulation.scenes import write_scenes
from earthsignals.compute.seeds import philox

SMALL = CloudsParams.model_validate_json(
    '{"grid": {"tile_px": 64}, "scenes": {"days": 6, "scenes_per_day": 1, "size_px": 96, "series_hours": 3},'
    ' "network": {"architecture": "resnet18", "padding": "zero", "scattering": false}}'
)
STILL = np.array([[1e-3, 0.0, 0.0, 0.0]])  # one wave, of no slope


def test_without_distortion_the_scale_is_the_one_asked_for() -> None:
    plain = Deformation(40.0, 0j, 0.7, 1.0, STILL, np.zeros(2))
    y, x = np.mgrid[-100:100:5.0, -100:100:5.0]
    scale, anisotropy = spacing(*plain(x, y), 5.0)
    np.testing.assert_allclose(scale, 40.0, rtol=1e-9)
    np.testing.assert_allclose(anisotropy, 1.0, atol=1e-5)


def test_a_stretch_keeps_the_scale_and_gives_its_ratio() -> None:
    stretched = Deformation(40.0, 0j, 0.7, 1.8, STILL, np.zeros(2))
    y, x = np.mgrid[-100:100:5.0, -100:100:5.0]
    scale, anisotropy = spacing(*stretched(x, y), 5.0)
    np.testing.assert_allclose(scale, 40.0, rtol=1e-9)
    np.testing.assert_allclose(anisotropy, 1.8, rtol=1e-6)


@pytest.mark.parametrize("angle", [0.0, 0.9])
def test_growth_is_the_gradient_of_the_logarithm_of_the_scale(angle: float) -> None:
    """And by itself it stretches nothing: the map is conformal."""
    growing = Deformation(40.0, 2e-3 - 1e-3j, angle, 1.0, STILL, np.zeros(2))
    y, x = np.mgrid[-50:50:1.0, -50:50:1.0]
    scale, anisotropy = spacing(*growing(x, y), 1.0)
    inner = (slice(2, -2),) * 2  # differences are one-sided at the edge
    expected = np.log(40.0) + 2e-3 * x - 1e-3 * y
    np.testing.assert_allclose(np.log(scale)[inner], expected[inner], atol=2e-5)
    np.testing.assert_allclose(anisotropy[inner], 1.0, atol=1e-3)


def test_points_have_unit_density_and_the_clustering_asked_for() -> None:
    """Quadrat counts: a lattice has less variance than mean, a Thomas process more (its ratio tends to
    1 + the mean number of siblings)."""
    ratios = []
    for share in (0.0, 0.5, 1.0):
        points = draw(
            philox(1, "points"), np.zeros(2), np.full(2, 60.0), lambda u, v, s=share: np.full_like(u, s)
        )
        counts, *_ = np.histogram2d(*points.places.T, bins=[np.arange(0, 61, 2.0)] * 2)
        assert counts.mean() == pytest.approx(4.0, rel=0.12)
        ratios.append(counts.var() / counts.mean())
    assert ratios[0] < 0.4 < ratios[1] < 2.0 < ratios[2] < 6.0


def test_fields_have_zero_mean_unit_variance_and_the_wave_length_asked_for() -> None:
    field = PatternField(philox(1, "field"))
    u = np.linspace(0, 60, 6001)
    line = np.stack([field(u, np.full_like(u, v)) for v in np.arange(0, 60, 3.0)])
    assert abs(line.mean()) < 0.1 and line.std() == pytest.approx(1.0, abs=0.15)
    power = (np.abs(np.fft.rfft(line)) ** 2).mean(0)
    numbers = np.fft.rfftfreq(len(u), 0.01)
    assert 0.5 < (power * numbers).sum() / power.sum() < 1.2  # of a ring of unit radius, seen along a line
    small = powerlaw(philox(1, "field"), (200, 200), 1.0, 20, 4)
    spectrum = np.abs(np.fft.fft2(small - small.mean())) ** 2
    length = 1 / np.maximum(np.hypot(*np.meshgrid(*[np.fft.fftfreq(200)] * 2)), 1e-9)
    assert spectrum[(length < 3.5) | (length > 30)].sum() < 0.1 * spectrum.sum()


@pytest.mark.parametrize("day", range(6), ids=REGIMES)
def test_truth_lies_within_the_regimes_ranges_and_fits_the_clouds(day: int) -> None:
    weather = list_weather(SMALL)[day]
    scene = simulate(SMALL, weather)
    kind = KINDS[scene.regime]
    assert scene.regime == REGIMES[day] and kind.scale_km[0] <= weather.scale_km <= kind.scale_km[1]
    scale = scene.truth["scale_km"]
    assert weather.scale_km / 2.5 < scale.min() <= scale.max() < 2.5 * weather.scale_km
    assert (scene.truth["anisotropy"] >= 1).all()
    for name in ("clustering", "cloud_fraction"):
        assert (scene.truth[name] >= 0).all() and (scene.truth[name] <= 1).all()
    assert scene.truth["cloud_fraction"].mean() == pytest.approx(weather.cloud_fraction, abs=0.08)
    assert scene.valid.all() and scene.values.std() > 3


def test_cloud_fraction_and_scale_vary_inside_a_scene() -> None:
    params = SMALL.model_copy(update={"scenes": SMALL.scenes.model_copy(update={"size_px": 384})})
    spread = [
        np.ptp(np.log(simulate(params, weather).truth["scale_km"])) for weather in list_weather(params)[:6]
    ]
    assert 0.15 < np.mean(spread) < 1.2


def test_another_sun_and_sensor_leave_the_clouds_alone() -> None:
    weather = list_weather(SMALL)[0]
    one, other = simulate(SMALL, weather), simulate(SMALL, replace(weather, optics=weather.optics + 1))
    assert not np.array_equal(one.values, other.values)
    for name in one.truth:
        np.testing.assert_array_equal(one.truth[name], other.truth[name])


def test_the_series_goes_from_sugar_to_flowers_and_grows() -> None:
    series = [weather for weather in list_weather(SMALL) if weather.series]
    assert [weather.turned for weather in series] == [0.0, 0.5, 1.0]
    assert simulate(SMALL, series[0]).regime == "sugar" and simulate(SMALL, series[-1]).regime == "flowers"
    scales = [weather.scale_km for weather in series]
    assert scales == sorted(scales) and scales[-1] > 2 * scales[0]


def test_block_means_of_an_odd_size() -> None:
    values = np.arange(17.0 * 9).reshape(17, 9)
    means = block_means(values)
    assert means.shape == (3, 2)
    assert means[0, 0] == values[:8, :8].mean() and means[2, 1] == values[16, 8]


def test_the_folder_is_the_same_for_any_number_of_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = []
    for workers in ("1", "2"):
        monkeypatch.setenv("EARTHSIGNALS_WORKERS", workers)
        out = tmp_path / workers
        index = write_scenes(SMALL, out, resume_root=tmp_path / "resume")
        assert len(index.entries) == 9 and not index.refused
        digests.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.iterdir()})
    assert digests[0] == digests[1]
    assert not list((tmp_path / "resume").iterdir())
    index = read_index(tmp_path / "1")
    assert {entry.split for entry in index.entries if entry.series} == {"study"}
    assert [len(index.of(split)) for split in ("train", "validation", "study")] == [3, 1, 2]
    entry = index.entries[0]
    again = simulate(SMALL, list_weather(SMALL)[0])
    np.testing.assert_array_equal(read_scene(tmp_path / "1" / entry.file).values, again.values)
