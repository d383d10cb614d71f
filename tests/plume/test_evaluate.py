"""The judge itself: what it says of methods whose quality is known, and where there is nothing to judge."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from earthsignals.plume.checkpoint import SaliencyModel, load_model, save_model
from earthsignals.plume.dataset import make_tiles, open_tiles
from earthsignals.plume.evaluate import evaluate
from earthsignals.plume.imagery.envi import write_envi
from earthsignals.plume.imagery.flightline import open_flightline
from earthsignals.plume.imagery.index import Scene, SceneIndex
from earthsignals.plume.judging import maps
from earthsignals.plume.judging.maps import map_path, map_scenes
from earthsignals.plume.judging.tables import COLUMNS, detection_rows
from earthsignals.plume.model import build
from earthsignals.plume.params import PlumeParams
from earthsignals.plume.preprocess import Preprocessing
from earthsignals.results import save_arrays, write_rows
from earthsignals.storage import EarthSignalsError, read_json, write_json

from .conftest import PLACE, plume_scene, small_params

LINES, SAMPLES, PIXEL_M = 200, 160, 5.0
PARAMS = small_params(
    tiles={"positives_per_plume": 6, "negatives_per_flightline": 6, "backgrounds_per_flightline": 8},
    evaluate={"bootstrap": 40},
)


@dataclass(frozen=True)
class World:
    """Six flightlines of six days: a plume and a roof in each, tiles of them, and a folder for maps."""

    folder: Path
    index: SceneIndex
    params: PlumeParams
    model: SaliencyModel

    def tiles(self):
        return open_tiles(self.folder / "tiles.h5")


class Brightest(nn.Module):
    """Logit of a window: its largest 5 x 5 mean over 1,150 ppm m. The plume (1,500) passes, the roof not."""

    architecture, window = "plumenet", 64

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        level = (1150.0 - 115.0) / 190.0
        return 4.0 * (nn.functional.avg_pool2d(x, 5, stride=1).amax(dim=(1, 2, 3)) - level)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("judge")
    scenes = []
    for number, split in enumerate(("train", "train", "validation", "validation", "test", "test")):
        ch4, mask = plume_scene(LINES, SAMPLES, seed=number)
        path = folder / f"ang2020010{number + 1}t120000_ch4mf.img"
        write_envi(path, ch4, like=PLACE, band_names=("CH4 Absorption (ppm x m)",))
        write_envi(path.with_name(f"{path.stem}_mask.img"), mask, like=PLACE)
        plume = {"id": 1, "row": LINES / 4, "col": SAMPLES / 4, "rate_kg_h": 300.0 + number, "wind_m_s": 3.0}
        roof = {"kind": "roof", "row": LINES * 3 / 4 + 2, "col": SAMPLES / 2 + 2}
        scenes.append(
            Scene(
                path.stem, f"2020-01-0{number + 1}", split, path, path.with_name(f"{path.stem}_mask.img"),
                LINES, SAMPLES, PIXEL_M, 3.0, 90.0, "linear", (plume,), (roof,),
            )
        )  # fmt: skip
    index = SceneIndex("synthetic", tuple(scenes), skipped={"headers without their binary": 2})
    make_tiles(index, PARAMS, folder / "tiles.h5")
    model = SaliencyModel(Brightest(), "plumenet", 64, Preprocessing(), 1.0, 0.5, md5="a" * 32)
    return World(folder, index, PARAMS, model)


def perfect_maps(world: World, out: Path, rates: bool = True) -> dict:
    """Saliency 1 within 12 pixels of a true plume and 0 elsewhere, and plumes.json for it."""
    records = []
    for scene in world.index.of("validation") + world.index.of("test"):
        with scene.open() as flightline:
            valid = np.isfinite(flightline.read())
        near = ndimage.distance_transform_edt(scene.read_mask() != 1) <= 12
        saliency = np.where(valid, near.astype(np.float32), np.float32(-9999))
        write_envi(map_path(out, scene), saliency, like=PLACE, band_names=("saliency",))
        mass = 310.0 / 3600 / 3.0
        plumes = [{"kg_per_m": mass if rates else None, "kg_per_m_error": 0.2 * mass}]
        records.append({"stem": scene.stem, "plumes": plumes})
    calibration = {"scale": 1.0, "model_error": 0.1, "plumes": 9, "reason": None}
    return {"model_md5": world.model.md5, "scenes": records, "calibration": calibration}


@pytest.fixture(scope="module")
def judged(world: World) -> tuple[dict, dict, dict]:
    """(metrics, arrays, plumes) of a map that is right everywhere."""
    plumes = perfect_maps(world, world.folder / "maps")
    found = evaluate(world.tiles(), world.index, world.folder / "maps", plumes, world.model, {}, world.params)
    return found.metrics, found.arrays, plumes


def test_a_perfect_detector_is_called_perfect(judged) -> None:
    metrics, arrays, _ = judged
    assert metrics["tile_f1"] == metrics["tile_f1_low"] == 1.0
    tiles = metrics["tiles"]["methods"]["model"]
    assert tiles["auprc"] == 1.0 and tiles["false_positive_rate_neg"] == 0 == tiles["false_positive_rate_bg"]
    plumes = metrics["plumes"]["model"]
    assert (plumes["plumes"], plumes["detected"], plumes["false_alarms"]) == (2, 2, 0)
    assert plumes["area_km2"] == pytest.approx(2 * LINES * (SAMPLES - 2) * 25e-6)
    # So bright a disk (radius 20) passes the cut 3.5 pixels beyond its rim when smoothed: (20 / 23.5)^2.
    assert metrics["pixel_iou"] == pytest.approx(0.72, abs=0.05)
    assert metrics["pixels"]["model"]["auprc"] > 0.95
    assert len(arrays["plumes/rate_kg_h"]) == 2 and arrays["plumes/model/found"].all()


def test_rates_are_held_against_the_truth(judged) -> None:
    """Estimates of 310 kg/h for 304 and 305: a bias of about 2 %, inside every interval."""
    metrics, arrays, _ = judged
    assert metrics["rates"]["plumes"] == 2 and metrics["rates"]["without_rate"]["not_found"] == 0
    drawn = np.log(arrays["rates/rate_kg_h"] / 310.0)  # by one wind each, of the stated error
    assert np.all(np.abs(drawn) < 3.5 * 0.25) and np.ptp(drawn) > 0
    told = [metrics["rate_coverage_68"], metrics["rate_coverage_95"]]
    np.testing.assert_allclose(arrays["rates/coverage"], told)
    np.testing.assert_allclose(arrays["rates/true_kg_h"], [304.0, 305.0])
    assert metrics["rate_bias"] == pytest.approx(310 / 304.5 - 1, abs=0.12)  # the median of 50 drawn winds
    assert metrics["rates"]["coverage_68_true_wind"] == 1.0
    assert 0.6 < metrics["rate_coverage_68"] < 0.95 and metrics["rate_coverage_95"] > 0.9


def test_baselines_and_what_was_frozen_are_told(judged) -> None:
    metrics, _, _ = judged
    assert set(metrics["tiles"]["methods"]) == set(metrics["pixels"]) == {"model", "threshold_area", "zscore"}
    assert metrics["tile_f1_best_baseline"] == max(
        metrics["tiles"]["methods"][name]["f1"] for name in ("threshold_area", "zscore")
    )
    assert metrics["best_baseline"] in ("threshold_area", "zscore")
    assert set(metrics["frozen"]) >= {"model", "tiles", "pixels"}
    assert metrics["frozen"]["pixels"]["zscore"]["threshold"] > 0
    for name in ("threshold_area", "zscore"):
        equal = metrics["plumes"][name]["at_equal_false_alarms"]
        assert equal["false_alarms"] <= metrics["plumes"]["model"]["false_alarms"]
    assert metrics["left_out"]["flightlines"] == {"headers without their binary": 2}
    assert metrics["tiles"]["test"]["flightlines"] == 2


def test_metrics_are_json_and_arrays_and_rows_survive_their_files(judged, tmp_path: Path) -> None:
    metrics, arrays, _ = judged
    write_json(tmp_path / "metrics.json", metrics)  # refuses NaN
    for key in ("tile_f1", "tile_f1_best_baseline", "pixel_iou", "rate_bias", "rate_coverage_68"):
        assert isinstance(read_json(tmp_path / "metrics.json")[key], float)
    save_arrays(tmp_path / "evaluation.h5", arrays)
    save_arrays(tmp_path / "again.h5", arrays)
    assert (tmp_path / "evaluation.h5").read_bytes() == (tmp_path / "again.h5").read_bytes()
    write_rows(tmp_path / "detection.csv", detection_rows(arrays), COLUMNS)
    with open(tmp_path / "detection.csv") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == sum(len(arrays["plumes/grid_kg_h"]) for n in arrays if n.endswith("/curve"))


def test_the_same_evaluation_twice_is_the_same(world: World, judged) -> None:
    metrics, _, plumes = judged
    again = evaluate(world.tiles(), world.index, world.folder / "maps", plumes, world.model, {}, world.params)
    assert json.dumps(again.metrics, sort_keys=True) == json.dumps(metrics, sort_keys=True)


def test_a_blind_map_finds_nothing_and_says_so(world: World, tmp_path: Path) -> None:
    plumes = perfect_maps(world, tmp_path)
    for scene in world.index.of("test"):
        with open_flightline(map_path(tmp_path, scene)) as map_:
            blank = np.where(np.isfinite(map_.read()), np.float32(0), np.float32(-9999))
        write_envi(map_path(tmp_path, scene), blank, like=PLACE, band_names=("saliency",))
    metrics = evaluate(world.tiles(), world.index, tmp_path, plumes, world.model, {}, world.params).metrics
    assert metrics["pixel_iou"] == 0.0 and metrics["plumes"]["model"]["detected"] == 0
    assert metrics["rate_bias"] is None and metrics["rate_coverage_68"] is None
    assert metrics["rates"]["without_rate"]["not_found"] == 2
    assert metrics["tile_f1"] == 1.0  # tiles are judged by the network, not by the maps


def test_scenes_of_other_sources_lack_rates_but_not_scores(world: World, tmp_path: Path) -> None:
    """Real flightlines: plumes from masks, with neither rate nor wind."""
    plume = {"id": 1, "row": LINES / 4, "col": SAMPLES / 4, "rate_kg_h": None}
    bare = tuple(
        replace(s, wind_m_s=None, wind_direction_deg=None, plumes=(plume,)) for s in world.index.scenes
    )
    index = SceneIndex("flightlines", bare)
    plumes = perfect_maps(world, tmp_path)
    found = evaluate(world.tiles(), index, tmp_path, plumes, world.model, {}, world.params)
    assert found.metrics["plumes"]["model"]["detected"] == 2
    assert found.metrics["plumes"]["model"]["rates"] == [] and found.metrics["rate_bias"] is None
    assert found.metrics["rates"]["without_rate"]["truth_unknown"] == 2
    assert detection_rows(found.arrays) == []
    write_json(tmp_path / "metrics.json", found.metrics)


def test_tiles_alone_are_judged_without_scenes(world: World, tmp_path: Path) -> None:
    nothing = {"model_md5": world.model.md5, "scenes": [], "calibration": {}}
    found = evaluate(world.tiles(), SceneIndex("tiles", ()), tmp_path, nothing, world.model, {}, world.params)
    assert found.metrics["tile_f1"] == 1.0
    assert found.metrics["pixel_iou"] is None and found.metrics["rate_coverage_68"] is None
    write_json(tmp_path / "metrics.json", found.metrics)


def test_maps_of_another_model_are_refused(world: World, judged) -> None:
    other = judged[2] | {"model_md5": "b" * 32}
    with pytest.raises(EarthSignalsError, match="another model.*plume-saliency"):
        evaluate(world.tiles(), world.index, world.folder / "maps", other, world.model, {}, world.params)


def test_a_flightline_without_a_map_is_named(world: World, judged) -> None:
    fewer = judged[2] | {"scenes": judged[2]["scenes"][:-1]}
    with pytest.raises(EarthSignalsError, match="1 test flightlines have no map.*ang20200106t120000"):
        evaluate(world.tiles(), world.index, world.folder / "maps", fewer, world.model, {}, world.params)


def test_peers_are_judged_on_tiles_and_a_unet_on_pixels_too(world: World, judged) -> None:
    torch.manual_seed(0)
    peers = {
        name: SaliencyModel(build(*kind).eval(), *kind, Preprocessing(), name=name)
        for name, kind in {"plumenet-64": ("plumenet", 64), "unet-64": ("unet", 64)}.items()
    }
    found = evaluate(
        world.tiles(), world.index, world.folder / "maps", judged[2], world.model, peers, world.params
    ).metrics
    assert {"plumenet-64", "unet-64"} <= set(found["tiles"]["methods"])
    assert found["tiles"]["methods"]["unet-64"]["window"] == 64
    assert "unet-64" in found["pixels"] and "plumenet-64" not in found["pixels"]


# -------------------------------------------------------------------------------------------- maps
@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> SaliencyModel:
    path = tmp_path_factory.mktemp("model") / "best_model.pt"
    torch.manual_seed(1)
    save_model(path, build("plumenet", 64), Preprocessing(), threshold=0.4)
    return load_model(path)


def test_maps_and_plumes_of_validation_and_test_flightlines(
    world: World, untrained: SaliencyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maps, "SELF_CHECK", 3)
    out, resume = tmp_path / "out", tmp_path / "resume"
    content = map_scenes(world.index, untrained, world.params, out, resume, devices=(-1,))
    stems = [s.stem for split in ("validation", "test") for s in world.index.of(split)]
    assert [record["stem"] for record in content["scenes"]] == stems
    assert read_json(out / "plumes.json")["calibration"]["reason"] is not None  # two flightlines are too few
    for stem in stems:
        names = {
            f"{stem}_saliency.img",
            f"{stem}_saliency.hdr",
            f"{stem}_plumes.gpkg",
            f"{stem}_plumes.geojson",
        }
        assert names <= {path.name for path in out.iterdir()}
        with open_flightline(out / f"{stem}_saliency.img") as map_:
            saliency = map_.read()
            assert map_.crs is not None and map_.shape == (LINES, SAMPLES)
        assert np.isnan(saliency[:, -2:]).all() and np.nanmax(saliency) <= 1
    # A second run takes the finished maps as they are: it fails if it tries to compute one.
    monkeypatch.setattr("earthsignals.plume.predict.map_blocks", None)
    again = map_scenes(world.index, untrained, world.params, tmp_path / "again", resume, devices=(-1,))
    assert again == content
    first = map_path(out, world.index.of("test")[0])
    assert first.read_bytes() == (tmp_path / "again" / first.name).read_bytes()


def test_rates_are_calibrated_on_validation_plumes_of_known_rate() -> None:
    """Estimates 1.5 times too low get the factor back, and no model error beyond their noise."""
    rng = np.random.default_rng(0)
    known = []
    for number in range(60):
        q, u = np.exp(rng.uniform(4, 7)), rng.uniform(2, 6)
        mass = q / (3600 * u) / 1.5 * np.exp(0.3 * rng.standard_normal())
        known.append(maps.Pair(mass, 0.1 * mass, q, u, number))
    calibration, why = maps._calibrate(known)
    assert why is None and calibration.scale == pytest.approx(1.5, rel=0.1)
    assert calibration.model_error == pytest.approx(np.sqrt(0.3**2 - 0.1**2), rel=0.3)
    assert maps._calibrate(known[:3])[1].startswith("3 found validation plumes")


def test_an_index_without_flightlines_gives_an_empty_list(untrained: SaliencyModel, tmp_path: Path) -> None:
    content = map_scenes(SceneIndex("tiles", ()), untrained, PARAMS, tmp_path, tmp_path / "r")
    assert content["scenes"] == [] and read_json(tmp_path / "plumes.json") == content
