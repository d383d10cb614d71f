"""Judging real data: what is valid, what is pooled, what is refused, and that nothing is tuned on it."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio.errors import NotGeoreferencedWarning
from sklearn.metrics import precision_recall_curve

from earthsignals.plume import real
from earthsignals.plume.baselines import ThresholdArea
from earthsignals.plume.checkpoint import SaliencyModel, load_model, save_model
from earthsignals.plume.judging import scene_scores
from earthsignals.plume.model import build
from earthsignals.plume.preprocess import Preprocessing
from earthsignals.plume.real import evaluate_real, read_chip
from earthsignals.storage import EarthSignalsError, md5_path, write_json

from .conftest import PLACE, small_params

PARAMS = small_params()
FROZEN = {
    "model": {"threshold": 0.4, "temperature": 1.0},
    "pixels": {
        "threshold_area": {"threshold_ppm_m": 700.0, "area_px": 30},
        "zscore": {"sigma_px": 1.0, "threshold": 4.0},
    },
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SaliencyModel:
    path = tmp_path_factory.mktemp("model") / "best_model.pt"
    torch.manual_seed(1)
    save_model(path, build("plumenet", 64), Preprocessing(), threshold=0.4)
    return load_model(path)


def write_chip(folder: Path, plume: bool = True, label: bool = True, radiance: bool = True) -> Path:
    """A chip of 70 x 60 pixels: 10 columns beyond the footprint, sparse noise, and perhaps a plume."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(len(folder.name))
    ch4 = np.where(rng.random((70, 60)) < 0.2, rng.exponential(200, (70, 60)), 0.0)
    truth = np.zeros((70, 60), np.uint8)
    if plume:
        truth[20:35, 25:45] = 1
        ch4[truth == 1] = 1500.0
    ch4[:, :10] = 0.0
    bands = {"mag1c.tif": ch4}
    if label:
        bands["labelbinary.tif"] = truth
    if radiance:
        lit = np.where(np.arange(60) < 10, 0.0, 20.0) * np.ones((70, 1))
        bands |= {f"TOA_AVIRIS_{nm}nm.tif": lit.astype(np.float32) for nm in (460, 550, 640)}
    for name, values in bands.items():
        with rasterio.open(
            folder / name, "w", driver="GTiff", height=70, width=60, count=1, dtype=values.dtype, nodata=0,
            transform=PLACE.transform, crs=PLACE.crs,
        ) as file:  # fmt: skip
            file.write(values, 1)
    return folder


def test_zero_is_a_measurement_inside_the_footprint_and_none_beyond(tmp_path: Path) -> None:
    chip = read_chip(write_chip(tmp_path / "chip"), PARAMS)
    assert np.isnan(chip.ch4[:, :10]).all() and np.isfinite(chip.ch4[:, 10:]).all()
    assert (chip.ch4[:, 10:] == 0).mean() > 0.5
    assert chip.truth.sum() == 300 and chip.pixel_m == pytest.approx(3.1)
    bare = read_chip(write_chip(tmp_path / "bare", radiance=False), PARAMS)
    assert np.isfinite(bare.ch4).all()  # nothing tells where the footprint ends


def test_pixels_of_all_chips_are_pooled(tmp_path: Path, model: SaliencyModel) -> None:
    write_chip(tmp_path / "data" / "one")
    write_chip(tmp_path / "data" / "other", plume=False)
    found = evaluate_real(tmp_path / "data", model, PARAMS, FROZEN, tmp_path / "figures")
    assert found["chips"] == ["one", "other"] and found["chips_with_plume"] == found["plumes"] == 1
    assert found["data_md5"] == md5_path(tmp_path / "data") and found["model_md5"] == model.md5
    assert found["valid_km2"] == pytest.approx(2 * 70 * 50 * 3.1**2 / 1e6)
    baseline = ThresholdArea(700.0, 30)
    chips = [read_chip(tmp_path / "data" / name, PARAMS) for name in ("one", "other")]
    hits = sum((baseline.mask(c.ch4) & c.truth).sum() for c in chips)
    wrong = sum((baseline.mask(c.ch4) ^ c.truth).sum() for c in chips)
    assert found["pixels"]["threshold_area"]["iou"] == pytest.approx(hits / (hits + wrong))
    # A square of 15 x 20 loses its four corners to the median filter, and nothing else.
    assert found["pixels"]["threshold_area"]["recall"] == pytest.approx(296 / 300)
    assert found["detection"]["threshold_area"] == {"found": 1, "false_alarms": 0}
    assert set(found["pixels"]) == {"model", "threshold_area", "zscore"}
    assert {p.name for p in (tmp_path / "figures").iterdir()} >= {"one.png", "other.png"}
    write_json(tmp_path / "real.json", found)


def test_chips_without_a_plume_give_no_numbers_rather_than_zeros(tmp_path: Path, model) -> None:
    write_chip(tmp_path / "data" / "empty", plume=False)
    found = evaluate_real(tmp_path / "data", model, PARAMS, FROZEN)
    assert found["pixels"]["threshold_area"] == dict.fromkeys(("iou", "f1", "precision", "recall", "auprc"))
    write_json(tmp_path / "real.json", found)


def test_what_has_no_label_is_counted(
    tmp_path: Path, model: SaliencyModel, small_flightline: Callable
) -> None:
    write_chip(tmp_path / "data" / "good")
    write_chip(tmp_path / "data" / "bare", label=False)
    small_flightline("ang20200101t000000_img", folder=tmp_path / "data")
    small_flightline("ang20200102t000000_img", folder=tmp_path / "data", mask=False)
    small_flightline("ang20200103t000000_img", folder=tmp_path / "data").unlink()
    found = evaluate_real(tmp_path / "data", model, PARAMS, FROZEN)
    assert found["chips"] == ["good", "ang20200101t000000_img"]
    assert found["skipped"] == {"images without a mask": 2, "headers without their binary": 1}


def test_thresholds_come_from_the_frozen_ones_alone(
    tmp_path: Path, model: SaliencyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same chips with other frozen thresholds: the baselines follow them, not the chips."""
    write_chip(tmp_path / "data" / "one")
    used = []
    judge = scene_scores.of_threshold_area
    monkeypatch.setattr(
        real.scene_scores, "of_threshold_area", lambda ch4, b: (used.append(b), judge(ch4, b))[1]
    )
    for threshold in (700.0, 5000.0):
        pixels = FROZEN["pixels"] | {"threshold_area": {"threshold_ppm_m": threshold, "area_px": 30}}
        found = evaluate_real(tmp_path / "data", model, PARAMS, FROZEN | {"pixels": pixels})
    assert used == [ThresholdArea(700.0, 30), ThresholdArea(5000.0, 30)]
    assert found["pixels"]["threshold_area"]["f1"] == 0.0


def test_faults_are_told_in_a_sentence(tmp_path: Path, model: SaliencyModel) -> None:
    with pytest.raises(EarthSignalsError, match="no such folder"):
        evaluate_real(tmp_path / "nowhere", model, PARAMS, FROZEN)
    (tmp_path / "empty").mkdir()
    with pytest.raises(EarthSignalsError, match="no labelled chip.*mag1c.tif"):
        evaluate_real(tmp_path / "empty", model, PARAMS, FROZEN)
    chip = write_chip(tmp_path / "data" / "one")
    with pytest.raises(EarthSignalsError, match="no frozen thresholds of pixels.*plume-evaluate"):
        evaluate_real(tmp_path / "data", model, PARAMS, {"model": {"threshold": 0.4}})
    other = FROZEN | {"model": {"threshold": 0.7}}
    with pytest.raises(EarthSignalsError, match=r"0\.7000.*0\.4000.*different trainings"):
        evaluate_real(tmp_path / "data", model, PARAMS, other)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            chip / "TOA_AVIRIS_460nm.tif", "w", driver="GTiff", height=9, width=8, count=1, dtype="float32"
        ) as file:
            file.write(np.ones((9, 8), np.float32), 1)
        with pytest.raises(
            EarthSignalsError, match="TOA_AVIRIS_460nm.tif: 9 × 8 pixels, expected the 70 × 60"
        ):
            evaluate_real(tmp_path / "data", model, PARAMS, FROZEN)


def test_the_public_chips(real_data: Path, model: SaliencyModel, tmp_path: Path) -> None:
    """Two chips of 512 x 512, one with a plume of 1,753 pixels; a fifth and an eighth of them invalid."""
    source = tmp_path / "starcop"
    shutil.copytree(real_data / "plume" / "starcop_avirisng", source)
    chips = [read_chip(path, PARAMS) for path in real.find_chips(source)]
    assert [int(c.truth.sum()) for c in chips] == [1753, 0]
    np.testing.assert_allclose([np.isnan(c.ch4).mean() for c in chips], [0.203, 0.131], atol=0.002)
    np.testing.assert_allclose([c.pixel_m for c in chips], [7.5, 4.2], atol=0.05)
    found = evaluate_real(source, model, PARAMS, FROZEN)
    assert len(found["chips"]) == 2 and found["chips_with_plume"] == 1
    assert 0 < found["pixels"]["threshold_area"]["auprc"] <= 1
    valid = [np.isfinite(chip.ch4) for chip in chips]
    ch4 = np.concatenate([chip.ch4[seen] for chip, seen in zip(chips, valid, strict=True)])
    truth = np.concatenate([chip.truth[seen] for chip, seen in zip(chips, valid, strict=True)])
    precision, recall, _ = precision_recall_curve(truth, ch4)
    best = np.max(2 * precision * recall / np.maximum(precision + recall, 1e-9))
    assert found["oracle_threshold"]["f1"] == pytest.approx(best, abs=0.005)  # on a grid of 20 ppm m
