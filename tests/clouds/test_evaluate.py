"""The whole evaluation on small scenes: what it says of whom, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from earthsignals.clouds import evaluate as evaluation
from earthsignals.clouds.baselines import MIXED_UNITS, NAMES, Baselines, describe, rows
from earthsignals.clouds.checkpoint import EmbeddingModel
from earthsignals.clouds.dataset import make_triplets
from earthsignals.clouds.evaluate import Found, check_grid, evaluate
from earthsignals.clouds.imagery.scene import Scene
from earthsignals.clouds.judging.row import COMPARED
from earthsignals.clouds.judging.tiles import Study
from earthsignals.clouds.model import build
from earthsignals.clouds.params import CloudsParams, GridParams
from earthsignals.clouds.tiles.tilefile import Triplets
from earthsignals.compute.seeds import philox
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError, write_json
from tests.clouds.small_scenes import PARAMS, write_scenes

SMALL = CloudsParams.model_validate(PARAMS.model_dump() | {
    "network": {
        "architecture": "resnet18", "width": 4, "embedding": 6, "hidden": 8, "padding": "zero",
        "scattering": False,
    },
    "evaluate": {"bootstrap": 30, "clusters": 3, "shifts_px": (1, 8)},
})  # fmt: skip
SETTINGS = Settings(device="cpu", workers=1, progress=False)


def textured(scene: Scene) -> Scene:
    """Stripes whose wavelength tells the regime, their direction and phase the scene."""
    number = int(scene.name[-2:])
    generator = philox(number, "clouds-test")
    y, x = np.indices(scene.plane.shape)
    angle, phase = generator.uniform(0, np.pi), generator.uniform(0, 2 * np.pi)
    wavelength = (5, 9, 16)[number % 3]
    wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / wavelength + phase)
    noise = generator.standard_normal(scene.plane.shape)
    values = np.clip(110 + 60 * wave + 15 * noise, 0, 255).astype(np.uint8)
    return Scene(
        scene.name, scene.time, scene.plane, np.stack([values] * 3), scene.valid, scene.bands,
        scene.product, scene.regime, scene.series, scene.truth,
    )  # fmt: skip


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes"), 24, textured)


@pytest.fixture(scope="module")
def triplets(scenes: Path) -> Triplets:
    return make_triplets(scenes, SMALL, scenes.parent / "triplets.h5")


def a_model(seed: int = 0, **changed: object) -> EmbeddingModel:
    torch.manual_seed(seed)
    network = build(SMALL.network.model_copy(update=changed)).eval().requires_grad_(False)
    return EmbeddingModel(network, SMALL.grid, md5=f"md5 of {seed}")


@pytest.fixture(scope="module")
def found(triplets: Triplets, scenes: Path) -> Found:
    return evaluate(triplets, scenes, a_model(0), {"vicreg": a_model(1)}, SMALL, SETTINGS)


def test_every_row_is_measured_by_the_same_measures(found: Found) -> None:
    table = found.metrics["rows"]
    assert set(table) == {"model", "peer_vicreg", *NAMES}
    assert [table[name]["kind"] for name in ("model", "peer_vicreg", "pca")] == ["model", "peer", "baseline"]
    keys = set(table["model"]) - {"collapsed"}
    for name, row in table.items():
        assert set(row) - {"collapsed"} == keys
        for key in COMPARED:
            assert row[f"{key}_low"] <= row[key] <= row[f"{key}_high"] or key.startswith("r2"), (name, key)
        assert (row["effective_rank"] is None) == (name in MIXED_UNITS)


def test_keys_of_the_issue_are_those_of_the_model(found: Found) -> None:
    metrics = found.metrics
    for key in (
        "probe", "map", "purity", "nmi", "triplet_accuracy", "same_class_triplet_accuracy", "effective_rank",
        "r2_log_scale",
    ):  # fmt: skip
        assert metrics[key] == metrics["rows"]["model"][key]
    assert metrics["model_md5"] == "md5 of 0"
    assert metrics["peers_md5"] == {"vicreg": "md5 of 1"}
    assert metrics["tiles"] <= 3 * metrics["triplets"]
    assert metrics["tiles"] + metrics["duplicate_tiles"] == 3 * metrics["triplets"]


def test_the_best_baseline_is_the_best_of_all_rows_that_were_not_trained(found: Found) -> None:
    table = found.metrics["rows"]
    for key in COMPARED:
        best = max(table[name][key] for name in NAMES)
        assert found.metrics[f"{key}_best_baseline"] == best
        assert table[found.metrics["best_baseline"][key]][key] == best
        assert found.metrics[f"{key}_minus_best_baseline"] == pytest.approx(table["model"][key] - best)


def test_the_spectrum_reads_wavelengths_and_statistics_do_not(found: Found) -> None:
    """The scenes' regimes differ in wavelength alone."""
    table = found.metrics["rows"]
    assert table["spectrum"]["probe"] > 0.95
    assert table["spectrum"]["map"] > 0.9
    assert table["classical"]["probe"] > 0.9
    assert table["spectrum"]["probe"] > table["statistics"]["probe"]


def test_arrays_are_what_figures_read(found: Found) -> None:
    arrays, regimes = found.arrays, len(found.metrics["regimes"])
    assert arrays["shift/km"] == pytest.approx(np.array([1, 8]) * SMALL.grid.pixel_km)
    axes = {"shift": "km", "rotation": "degrees", "brightness": "shift", "contrast": "factor"}
    for kind, axis in axes.items():
        assert arrays[f"{kind}/distance"].shape == (len(arrays[f"{kind}/{axis}"]), 3)
    assert arrays["confusion"].shape == (regimes, regimes)
    assert arrays["confusion"].sum() == found.metrics["tiles"]
    assert np.trace(arrays["confusion"]) / found.metrics["tiles"] == found.metrics["probe"]
    for target in ("log_scale", "log_anisotropy", "clustering", "cloud_fraction"):
        true, predicted = (arrays[f"regression/{target}/{kind}"] for kind in ("true", "predicted"))
        expected = 1 - ((true - predicted) ** 2).sum() / ((true - true.mean()) ** 2).sum()
        assert found.metrics[f"r2_{target}"] == pytest.approx(expected)
    assert arrays["retrieval/precision_at_k"].shape == (len(arrays["retrieval/k"]), 3)
    assert "rows/spectrum/rotation/distance" in arrays


def test_the_same_again_is_the_same_and_it_is_json(
    found: Found, triplets: Triplets, scenes: Path, tmp_path: Path
) -> None:
    again = evaluate(triplets, scenes, a_model(0), {"vicreg": a_model(1)}, SMALL, SETTINGS)
    for name, metrics in (("one", found.metrics), ("two", again.metrics)):
        write_json(tmp_path / name, metrics)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert all(np.array_equal(values, again.arrays[key], equal_nan=True)
               for key, values in found.arrays.items())  # fmt: skip
    assert json.loads((tmp_path / "one").read_text())["rows"]["pca"]["features"] == 6


@pytest.fixture
def one_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the baselines do not matter: one that knows next to nothing and takes no time."""
    monkeypatch.setattr(
        evaluation, "describe",
        lambda fit, judged, params: Baselines({"pca": (np.eye(len(fit), 3), np.eye(len(judged), 3))}, 0),
    )  # fmt: skip


@pytest.mark.usefixtures("one_baseline")
def test_a_collapsed_embedding_raises_the_alarm(
    triplets: Triplets, scenes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = a_model(0)
    with torch.no_grad():
        model.network.head[-1].weight[1:] = model.network.head[-1].weight[:1]  # six times the same number
    found = evaluate(triplets, scenes, model, {}, SMALL, SETTINGS)
    assert found.metrics["effective_rank"] == pytest.approx(1, abs=1e-3)
    assert found.metrics["collapsed"] is True
    assert "warning: the embedding of model has collapsed" in capsys.readouterr().err


def test_a_healthy_embedding_does_not(found: Found) -> None:
    assert found.metrics["collapsed"] is False
    assert 2 < found.metrics["effective_rank"] <= 6


def test_a_model_of_other_tiles_is_refused(triplets: Triplets) -> None:
    grid = GridParams(tile_km=200, tile_px=32)
    other = EmbeddingModel(a_model().network, grid, path=Path("best_model.pt"))
    with pytest.raises(EarthSignalsError, match=r"best_model.pt was trained on tiles of 200 km and 32"):
        check_grid(triplets, other)


def test_too_few_scenes_are_refused(triplets: Triplets) -> None:
    class OneScene:
        path = Path("few.h5")

        def table(self, split: str):
            table = triplets.table(split)
            return table[table["scene"] == table["scene"].iloc[0]] if split == "study" else table

    with pytest.raises(EarthSignalsError, match=r"few.h5: the study split has tiles of 1 scenes"):
        Study.of(OneScene(), SMALL)


def test_tiles_that_stand_twice_are_judged_once(triplets: Triplets) -> None:
    table = triplets.table("study")

    class Twice:
        path = triplets.path

        def table(self, split: str):
            if split != "study":
                return triplets.table(split)
            changed = table.copy()
            for column in ("scene", "row", "column"):
                changed.loc[5, column] = changed.loc[1, column]  # distant here, neighbour there
            return changed

    plain, study = Study.of(triplets, SMALL), Study.of(Twice(), SMALL)
    assert study.duplicates == plain.duplicates + 1
    assert len(study.tiles) == len(plain.tiles) - 1
    assert study.triplets[1, 2] == study.triplets[0, 1]
    rows_of = study.tiles.rows[study.triplets]
    assert (rows_of[0] == [0, 1, 2]).all()


def test_baselines_learn_from_the_tiles_to_fit_alone(triplets: Triplets) -> None:
    fit, judged = np.asarray(triplets.images("train")[:40]), np.asarray(triplets.images("study")[:12])
    alone, together = rows(fit, judged[:6], SMALL), describe(fit, judged, SMALL)
    assert list(alone) == list(NAMES)
    for name, (known, unseen) in together.rows.items():
        assert known.shape[1] == unseen.shape[1] == alone[name][1].shape[1]
        assert np.isfinite(known).all() and np.isfinite(unseen).all()
        assert unseen[:6] == pytest.approx(alone[name][1], abs=2e-4, rel=1e-3), name
    for name in ("pca", "pca_spectrum", "random_network"):
        assert together.rows[name][0].shape[1] == SMALL.network.embedding
    parts = [together.rows[name][1] for name in ("statistics", "spectrum", "organisation")]
    assert (together.rows["classical"][1] == np.concatenate(parts, axis=1)).all()


@pytest.mark.usefixtures("one_baseline")
def test_every_parameter_of_the_evaluation_changes_something(
    found: Found, triplets: Triplets, scenes: Path
) -> None:
    for name, value, changed in (
        ("bootstrap", 40, "probe_low"), ("clusters", 5, "nmi"), ("seed", 3, "probe_low"),
        ("shifts_px", (4, 8), "continuity"),
    ):  # fmt: skip
        params = SMALL.model_copy(update={"evaluate": SMALL.evaluate.model_copy(update={name: value})})
        row = evaluate(triplets, scenes, a_model(0), {}, params, SETTINGS).metrics["rows"]["model"]
        assert row[changed] != found.metrics["rows"]["model"][changed], name
        assert row["probe"] == found.metrics["rows"]["model"]["probe"]
