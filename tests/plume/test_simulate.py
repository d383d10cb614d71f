"""Synthetic flightlines: the same bytes everywhere, parameters that matter, statistics of real images."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.compute.seeds import philox
from earthsignals.plume.figures.background import background
from earthsignals.plume.imagery.flightline import open_flightline
from earthsignals.plume.imagery.index import day_of, read_index
from earthsignals.plume.params import BackgroundParams, SurfaceParams
from earthsignals.plume.simulation import scenes, simulate
from earthsignals.plume.simulation.background import filter_noise, sparse_penalty, sparse_retrieval
from earthsignals.plume.simulation.reference import (
    CAMPAIGNS,
    COLUMN_LINES,
    measure_reference,
    radial_spectrum,
    read_reference,
    summarise,
)
from earthsignals.plume.simulation.scenes import make_scenes, rebuild_key
from earthsignals.plume.simulation.simulate import make_days, scene_stem, simulate_scene
from earthsignals.plume.simulation.surface import Surface, add_confusers, landscape, power_law_field
from earthsignals.storage import EarthSignalsError

JOB = Path(__file__).with_name("scene_job.py")
spec = importlib.util.spec_from_file_location("scene_job", JOB)
job = importlib.util.module_from_spec(spec)
spec.loader.exec_module(job)

MANY = {"plumes_per_flightline": 6.0, "empty_share": 0.0}


def run(
    folder: Path, *, name: str = "scenes", check: bool = True, environment: dict[str, str] | None = None,
    **options: Any,
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(JOB), str(folder / name), str(folder / "resume"), json.dumps(options)],
        capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {}),
        timeout=300,
    )  # fmt: skip
    if check:
        assert done.returncode == 0, done.stderr
    return done


def report(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six small flightlines with their index."""
    root = tmp_path_factory.mktemp("plume")
    make_scenes(job.parameters(), root / "scenes", 1, resume_root=root / "resume")
    assert not list((root / "resume").iterdir())  # nothing is kept of a finished run
    return root / "scenes"


# ------------------------------------------------------------------------------ the same bytes
def test_two_workers_write_what_one_writes(tmp_path: Path, folder: Path) -> None:
    make_scenes(job.parameters(), tmp_path / "two", 2, resume_root=tmp_path / "resume")
    assert job.hashes(tmp_path / "two") == job.hashes(folder)


def test_a_flightline_does_not_depend_on_those_before_it(folder: Path) -> None:
    """The last one made first, by itself, is what the file holds."""
    scene = simulate_scene(job.parameters(), 2, 1)
    with open_flightline(folder / f"{scene.stem}.img") as flightline:
        for band in range(1, 5):
            assert np.array_equal(flightline.read(band=band), scene.bands[band - 1], equal_nan=True)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names of x86 processors")
def test_other_processors_write_the_same_files(tmp_path: Path, folder: Path) -> None:
    """numpy without AVX512 and AVX2/FMA3, with a glibc to match, stands for another machine."""
    other = {
        "NPY_DISABLE_CPU_FEATURES": "AVX512_ICL AVX512_SPR X86_V4 X86_V3",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F",
        "PYTHONWARNINGS": "ignore",  # numpy warns of features that this processor lacks
    }
    assert report(run(tmp_path, environment=other))["files"] == job.hashes(folder)


def test_a_killed_simulation_goes_on_where_it_was(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the fifth of six; of the four that waited, one has a wrong bit and one lost its image."""
    killed = run(tmp_path, kill_at=5, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "scenes").exists()
    images = sorted((tmp_path / "resume").rglob("*synthetic.img"))
    assert len(images) == 4
    damaged = bytearray(images[0].read_bytes())
    damaged[1000] ^= 1  # one bit
    images[0].write_bytes(damaged)
    images[1].unlink()
    made = []
    monkeypatch.setattr(scenes, "simulate_scene", lambda *w: made.append(w[1:]) or simulate_scene(*w))
    make_scenes(job.parameters(), tmp_path / "scenes", 1, resume_root=tmp_path / "resume")
    assert made == [(0, 0), (0, 1), (2, 0), (2, 1)]  # two are spoilt, two were never made
    assert job.hashes(tmp_path / "scenes") == job.hashes(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["resume", "scenes"]


def test_other_parameters_wait_in_another_folder() -> None:
    """All that shapes a flightline changes the key; what comes after it does not."""
    key = rebuild_key(job.parameters())
    for sections in (
        {"scenes": {"seed": 31}}, {"background": {"stripe_ppm_m": 16.0}}, {"surface": {"roofs": 15.0}},
        {"emission": {"turbulence": 0.31}}, {"tiles": {"seed": 32}},
    ):  # fmt: skip
        assert rebuild_key(job.parameters(**sections)) != key
    assert rebuild_key(job.parameters(tiles={"positives_per_plume": 11})) == key


# ------------------------------------------------------------------------------ what is in a flightline
def test_index_and_files_agree(folder: Path) -> None:
    index = read_index(folder)
    assert len(index.scenes) == 6 and index.source == "synthetic"
    for scene in index.scenes:
        assert day_of(scene.stem) == scene.day and scene.day.startswith("2030-")
        with scene.open() as flightline:
            assert flightline.shape == scene.shape == (150, 110)
            assert flightline.pixel_m == pytest.approx(scene.pixel_m, rel=1e-9)
            assert flightline.band == 4 and "CH4" in flightline.band_names[3]
            assert flightline.crs.is_projected and flightline.crs.to_epsg() // 100 == 326
            ch4 = flightline.read()
        mask = scene.read_mask()
        assert set(np.unique(mask)) <= {0, 1, 2}
        assert not mask[np.isnan(ch4)].any()
        with rasterio.open(folder / f"{scene.stem}.img") as raw:
            assert raw.nodata == -9999 and (raw.read(4)[np.isnan(ch4)] == -9999).all()
    assert {scene.split for scene in index.scenes} == {"train", "validation", "test"}
    by_day = {(scene.day, scene.split) for scene in index.scenes}
    assert len(by_day) == 3  # a day is in one split


def test_the_transform_is_turned_and_comes_back(folder: Path) -> None:
    """Rotation of the header and the simulation's affine are the same to a micrometre."""
    scene = simulate_scene(job.parameters(), 1, 0)
    with open_flightline(folder / f"{scene.stem}.img") as flightline:
        for corner in ((0, 0), (110, 0), (0, 150), (110, 150)):
            assert flightline.transform @ corner == pytest.approx(scene.transform @ corner, abs=1e-6)
        assert str(flightline.crs) == scene.crs
    right, here = scene.transform @ (1, 0), scene.transform @ (0, 0)
    assert abs(right[1] - here[1]) > 0.05 * scene.record["pixel_m"]  # a step to the right goes north, too


def test_truth_mask_and_records_tell_one_story() -> None:
    params = job.parameters(emission=MANY, scenes={"lines": 300, "samples": 240})
    scene = simulate_scene(params, 0, 0)
    truth = np.nan_to_num(scene.truth_ppm_m)
    assert np.array_equal(scene.mask == 1, truth >= params.emission.mask_ppm_m)
    plumes = scene.record["plumes"]
    assert plumes and (scene.mask == 1).sum() >= max(p["mask_pixels"] for p in plumes) > 0
    rate = params.emission.rate_kg_h
    for plume in plumes:
        assert rate.low <= plume["rate_kg_h"] <= rate.high
        assert plume["wind_m_s"] == scene.record["wind_m_s"]
        row, col, keep = int(plume["row"]), int(plume["col"]), 8  # 60 m of at most 7.5 m
        assert truth[row - 1 : row + 2, col - 1 : col + 2].max() > 30  # a plume begins at its source
        for place in ((row - keep, col), (row + keep, col), (row, col - keep), (row, col + keep)):
            assert np.isfinite(scene.truth_ppm_m[place])  # away from the invalid edge


def test_the_footprint_has_slanted_wavy_edges() -> None:
    for number in range(2):
        ch4 = simulate_scene(job.parameters(scenes={"lines": 300, "samples": 240}), 0, number).bands[-1]
        valid = np.isfinite(ch4)
        assert 0.8 < valid.mean() < 0.99
        first = valid.argmax(axis=1)[valid.any(axis=1)]
        assert len(np.unique(first)) >= 3 and np.abs(np.diff(first)).max() <= 3
        widths = valid.sum(axis=1)[valid.any(axis=1)]
        assert widths.min() > 0.75 * valid.shape[1]
        assert np.isnan(simulate_scene(job.parameters(), 0, 0).bands).any(axis=0).any()


def test_plumes_are_added_before_the_retrieval(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same day with and without its plumes: the sparse retrieval swallows what is faint."""
    params = job.parameters(
        emission=MANY, background={"sparse_share": 1.0}, scenes={"lines": 300, "samples": 240}
    )
    scene = simulate_scene(params, 0, 0)
    monkeypatch.setattr(simulate, "_disperse", lambda params, shape, *_: np.zeros(shape))
    bare = simulate_scene(params, 0, 0)
    gained = (scene.bands[-1] - bare.bands[-1])[np.isfinite(bare.bands[-1])]
    truth = scene.truth_ppm_m[np.isfinite(bare.bands[-1])]
    faint, strong = (truth > 0) & (truth < 100), truth > 1500
    assert gained.min() >= 0
    assert gained[faint].sum() < 0.6 * truth[faint].sum()
    assert gained[strong].sum() > 0.85 * truth[strong].sum()


def test_values_lie_on_steps_that_float32_holds() -> None:
    scene = simulate_scene(job.parameters(), 0, 0)
    ch4, rgb = scene.bands[-1], scene.bands[:3]
    assert np.array_equal(np.round(ch4 * 16) / 16, ch4, equal_nan=True)
    assert np.array_equal(np.round(rgb * 256) / 256, rgb, equal_nan=True)


def test_one_band_is_the_fourth_of_four() -> None:
    four, one = (simulate_scene(job.parameters(scenes={"bands": n}), 0, 1) for n in (4, 1))
    assert one.bands.shape == (1, 150, 110) and len(one.band_names) == 1
    assert np.array_equal(one.bands[0], four.bands[3], equal_nan=True)


def test_stems_and_days_are_spread_and_unique() -> None:
    params = job.parameters(scenes={"days": 40, "flightlines_per_day": 30})
    stems = [scene_stem(params, d, n) for d in range(40) for n in range(30)]
    assert len(set(stems)) == 1200 and stems[0] == "ang20300115t080000_ch4mf_synthetic"
    assert {day_of(stem) for stem in stems} == {day.date for day in make_days(params)}
    with pytest.raises(IndexError):
        simulate_scene(params, 40, 0)


def test_every_split_has_both_retrievals() -> None:
    for seed in range(5):
        days = make_days(job.parameters(scenes={"days": 12}, tiles={"seed": seed}))
        for split in ("train", "validation", "test"):
            assert {day.retrieval for day in days if day.split == split} == {"linear", "sparse"}
    for share in (0.0, 0.25, 1.0):
        days = make_days(job.parameters(scenes={"days": 12}, background={"sparse_share": share}))
        assert sum(day.retrieval == "sparse" for day in days) == 12 * share


# ------------------------------------------------------------------------------ every parameter matters
Images = list[tuple[np.ndarray, np.ndarray]]


def two_images(sections: dict[str, Any]) -> Images:
    """Bands and mask of two small flightlines with linear retrieval, with changes by section."""
    base = {"background": {"sparse_share": 0.0}, "scenes": {"lines": 80, "samples": 70}}
    merged = {name: base.get(name, {}) | sections.get(name, {}) for name in {*base, *sections}}
    pair = [simulate_scene(job.parameters(**merged), day, 0) for day in (0, 1)]
    return [(scene.bands, scene.mask) for scene in pair]


@pytest.fixture(scope="module")
def plain() -> Images:
    return two_images({})


@pytest.mark.parametrize(
    "change",
    [
        {"scenes": {"seed": 31}}, {"scenes": {"pixel_m": {"low": 3.0, "high": 7.0}}},
        {"background": {"noise_ppm_m": {"low": 200.0, "high": 300.0}}},
        {"background": {"texture_share": 0.5}}, {"background": {"stripe_ppm_m": 40.0}},
        {"background": {"sparse_share": 1.0}},
        {"surface": {"roofs": 40.0}}, {"surface": {"roads": 9.0}}, {"surface": {"ponds": 9.0}},
        {"surface": {"solar_farms": 6.0}}, {"surface": {"high_soils": 5.0}},
        {"surface": {"strength_ppm_m": 500.0}},
        {"emission": {"model": "gaussian"}}, {"emission": {"plumes_per_flightline": 12.0}},
        {"emission": {"empty_share": 1.0}}, {"emission": {"rate_kg_h": {"low": 500.0, "high": 900.0}}},
        {"emission": {"wind_m_s": {"low": 8.0, "high": 9.0}}}, {"emission": {"turbulence": 0.5}},
        {"emission": {"mask_ppm_m": 900.0}},
    ],
    ids=lambda change: ".".join([*change, *next(iter(change.values()))]),
)  # fmt: skip
def test_every_parameter_changes_something(change: dict[str, Any], plain: Images) -> None:
    """Of two linear flightlines at least one is another."""
    assert any(
        not np.array_equal(a[0], b[0], equal_nan=True) or not np.array_equal(a[1], b[1])
        for a, b in zip(plain, two_images(change), strict=True)
    )


def test_no_plumes_and_no_confusers_where_none_are_asked_for() -> None:
    none = {"roofs": 0.0, "roads": 0.0, "ponds": 0.0, "solar_farms": 0.0, "high_soils": 0.0}
    scene = simulate_scene(job.parameters(surface=none, emission={"empty_share": 1.0}), 0, 0)
    assert not scene.mask.any() and scene.record["plumes"] == [] and scene.record["confusers"] == []


def test_plumes_and_empty_flightlines_come_in_their_numbers() -> None:
    """Over 300 draws of sources: Poisson of mean 4 in 75 % of flightlines."""
    params = job.parameters(emission={"plumes_per_flightline": 4.0, "empty_share": 0.25})
    valid = np.ones((60, 60), bool)
    surface = Surface(np.ones((3, 60, 60)), np.zeros((60, 60)), np.ones((60, 60)))
    counts = np.array(
        [len(simulate._sources(philox(1, "s", n), params, 3.0, valid, surface)) for n in range(300)]
    )
    assert counts.mean() == pytest.approx(0.75 * 4.0, abs=3 * np.sqrt(counts.var() / 300))
    assert (counts == 0).mean() == pytest.approx(0.25 + 0.75 * np.exp(-4), abs=0.08)


# ------------------------------------------------------------------------------ surface
@pytest.mark.parametrize("kind", ["roofs", "roads", "ponds", "solar_farms", "high_soils"])
def test_confusers_raise_the_filter_where_they_are_listed(kind: str) -> None:
    """Only the kind that is asked for; its centres lie within 40 pixels of some false enhancement."""
    counts = dict.fromkeys(("roofs", "roads", "ponds", "solar_farms", "high_soils"), 0.0) | {kind: 5.0}
    names = {"roofs": "roof", "roads": "road", "ponds": "pond", "solar_farms": "solar farm",
             "high_soils": "high soil"}  # fmt: skip
    found = 0
    for n in range(4):
        surface = landscape(philox(8, "land", n), (200, 180), 5.0)
        assert not surface.false_ppm_m.any()
        add_confusers(surface, philox(8, "things", n), 5.0, SurfaceParams(**counts))
        assert {thing["kind"] for thing in surface.confusers} <= {names[kind]}
        rows, cols = np.nonzero(surface.false_ppm_m > 100)
        for thing in surface.confusers:
            if kind != "ponds":  # which may be dark without raising anything
                nearest = np.hypot(rows - thing["row"], cols - thing["col"]).min()
                assert nearest < 40
            found += 1
    assert found >= 5


def test_false_enhancement_is_proportional_to_its_strength() -> None:
    fields = []
    for strength in (500.0, 1000.0):
        surface = landscape(philox(9, "land"), (150, 150), 5.0)
        add_confusers(surface, philox(9, "things"), 5.0, SurfaceParams(strength_ppm_m=strength, roofs=20.0))
        fields.append(surface.false_ppm_m)
    assert fields[0].max() > 300
    np.testing.assert_allclose(fields[1], 2 * fields[0], rtol=1e-9, atol=1e-9)


def test_power_law_field_has_its_spectrum() -> None:
    """Slope of the radial spectrum -3 beyond the outer scale; mean 0, variance 1 by construction."""
    field = power_law_field(philox(10, "field"), (512, 512), 3.0, 100.0)
    assert field.mean() == pytest.approx(0, abs=1e-12) and field.std() == pytest.approx(1)
    power = np.array([value or np.nan for value in radial_spectrum(field)])
    edges = np.geomspace(1 / 256, 0.5, len(power) + 1)
    middle = np.sqrt(edges[1:] * edges[:-1])
    inertial = (middle > 0.04) & (middle < 0.3)
    slope = np.polyfit(np.log(middle[inertial]), np.log(power[inertial]), 1)[0]
    assert slope == pytest.approx(-3.0, abs=0.3)


# ------------------------------------------------------------------------------ background
def noise(texture_share: float = 0.0, stripe: float = 0.0, brightness: float = 1.0) -> np.ndarray:
    shape = (400, 300)
    return filter_noise(
        philox(11, "noise"), np.full(shape, brightness), np.ones(shape),
        np.broadcast_to(np.arange(300) - 7, shape), 250.0, 5.0,
        BackgroundParams(texture_share=texture_share, stripe_ppm_m=stripe),
    )  # fmt: skip


def test_noise_has_its_deviation_correlation_and_brightness_law() -> None:
    plain = noise()
    assert plain.std() == pytest.approx(250.0, rel=0.01)
    expected = 2 * 0.12 / (1 + 2 * 0.12**2)  # kernel (w, 1, w)
    for axis in (0, 1):
        moved = np.roll(plain, 1, axis=axis)
        assert np.corrcoef(plain.ravel(), moved.ravel())[0, 1] == pytest.approx(expected, abs=0.015)
    assert noise(brightness=0.25).std() == pytest.approx(500.0, rel=0.01)  # a quarter of the light
    far = np.corrcoef(noise(texture_share=0.4)[:, 4:].ravel(), noise(texture_share=0.4)[:, :-4].ravel())[0, 1]
    assert 0.25 < far < 0.4  # texture outlives four pixels, pixel noise does not


def test_stripes_are_constant_along_columns() -> None:
    difference = noise(stripe=20.0) - noise()
    assert np.ptp(difference, axis=0).max() < 1e-9
    assert difference[0].std() == pytest.approx(20.0, rel=0.12)  # of 300 columns


def test_sparse_retrieval_is_the_fixed_point_of_reweighted_l1() -> None:
    """(y + sqrt(y² - 4 p²))/2 well above the threshold 2 p, zero well below; 30 steps blur what is near."""
    penalty = 150.0
    y = np.array([-500.0, 0.0, 100.0, 250.0, 330.0, 400.0, 900.0, 5000.0])
    expected = np.where(y >= 2 * penalty, (y + np.sqrt(np.maximum(y**2 - 4 * penalty**2, 0))) / 2, 0)
    found = sparse_retrieval(y, penalty)
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert found[-1] == pytest.approx(5000 - penalty**2 / 5000, rel=1e-3)
    many = sparse_retrieval(np.linspace(-1000, 3000, 4001), penalty)
    assert (np.diff(many) >= -1e-9).all()  # never falls as the enhancement rises
    image = philox(12, "y").normal(0, 250, (20, 30))
    assert np.array_equal(sparse_retrieval(image, penalty).ravel(), sparse_retrieval(image.ravel(), penalty))


def test_dark_ground_yields_fewer_and_higher_values() -> None:
    """As in the real chips: the penalty grows faster in the dark than the noise."""
    dark, bright = (
        sparse_retrieval(noise(brightness=b), sparse_penalty(np.full((400, 300), b), 250.0))
        for b in (0.4, 1.0)
    )
    assert (dark > 0).mean() < 0.5 * (bright > 0).mean()
    assert np.median(dark[dark > 0]) > 1.3 * np.median(bright[bright > 0])


# ------------------------------------------------------------------------------ beside real images
@pytest.fixture(scope="module")
def summaries() -> dict[str, list[dict[str, Any]]]:
    """Of two flightlines per retrieval, 512 lines by 300, with confusers as thin as on a full flightline."""
    found: dict[str, list[dict[str, Any]]] = {}
    full, area = SurfaceParams(), 512 * 300 / (1200 * 480)
    kinds = ("roofs", "roads", "ponds", "solar_farms", "high_soils")
    thin = {kind: getattr(full, kind) * area for kind in kinds}
    for retrieval, share in (("linear", 0.0), ("sparse", 1.0)):
        params = job.parameters(
            scenes={"lines": 512, "samples": 300}, background={"sparse_share": share},
            emission={"empty_share": 1.0}, surface=thin,
        )  # fmt: skip
        found[retrieval] = [summarise(simulate_scene(params, day, 0).bands[-1]) for day in (0, 1)]
    return found


def test_sparse_background_lies_where_the_real_chips_do(summaries: dict[str, Any]) -> None:
    """Share of zeros, median of positive values and pixel-scale power within the chips' range and a half."""
    chips = read_reference()["chips"]
    zero = [chip["zero_share"] for chip in chips]
    floor = [chip["spectrum"][-1] for chip in chips]
    for own in summaries["sparse"]:
        assert min(zero) - 0.05 <= own["zero_share"] <= max(zero) + 0.03
        assert min(map(_median, chips)) / 1.5 <= _median(own) <= max(map(_median, chips)) * 1.5
        assert min(floor) / 1.5 <= own["spectrum"][-1] <= max(floor) * 1.5


def test_linear_background_lies_where_the_campaigns_do(summaries: dict[str, Any]) -> None:
    """Mean and deviation after clamping to 0..4000, within a third of the published range."""
    means, deviations = zip(*CAMPAIGNS.values(), strict=True)
    for own in summaries["linear"]:
        assert 0.67 * min(means) <= own["clamped_mean"] <= 1.33 * max(means)
        assert 0.67 * min(deviations) <= own["clamped_std"] <= 1.33 * max(deviations)


def _median(summary: dict[str, Any]) -> float:
    cumulated = np.cumsum(summary["histogram"])
    return 25.0 * float(np.searchsorted(cumulated, cumulated[-1] / 2) + 1)


def test_summary_of_white_noise_is_known() -> None:
    """Variance v: flat power v; means over n pixels spread as n^-1/2, and a stripe stays.

    A radial bin of few frequencies is as uncertain: the finest seven hold hundreds.
    """
    white = 500.0 + philox(13, "white").normal(0, 50.0, (512, 256))
    white[:20] = np.nan
    own = summarise(white)
    assert own["zero_share"] == 0 and own["clamped_mean"] == pytest.approx(500, rel=0.01)
    np.testing.assert_allclose(own["spectrum"][-7:], 2500.0, rtol=0.1)
    fall = 50.0 / np.sqrt(COLUMN_LINES)
    np.testing.assert_allclose(own["column_sd"], fall, rtol=0.15)
    striped = summarise(white + philox(13, "stripes").normal(0, 30.0, 256))
    assert striped["column_sd"][-1] == pytest.approx(np.hypot(30.0, fall[-1]), rel=0.2)
    assert striped["row_sd"][-1] == pytest.approx(np.asarray(own["row_sd"])[-1], rel=0.2)
    with pytest.raises(EarthSignalsError, match="no valid pixel"):
        summarise(white, np.ones(white.shape, bool))


def test_reference_is_what_the_real_chips_give(real_data: Path) -> None:
    """The package data are the measurement, chip by chip, with the md5 of each."""
    measured = measure_reference(real_data / "plume" / "starcop_avirisng")
    assert json.loads(json.dumps(measured)) == read_reference()
    with pytest.raises(EarthSignalsError, match="mag1c"):
        measure_reference(real_data)


def test_the_figure_compares_scenes_and_chips(folder: Path) -> None:
    with house.style():
        figure = background(read_index(folder))
        assert isinstance(figure, Figure)
        histogram, spectrum, stripes, campaigns = figure.axes[:4]
        chips = len(read_reference()["chips"])
        for axes in (histogram, spectrum, stripes):
            assert len(axes.lines) >= chips + 1  # each chip, and at least one synthetic flightline
        assert len(campaigns.collections) + len(campaigns.lines) >= 2
