"""Figures and pages are drawn from the files that the stages write."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from earthsignals.clouds import figures
from earthsignals.clouds.checkpoint import load_model, save_model
from earthsignals.clouds.dataset import make_triplets
from earthsignals.clouds.dense.fields import read_map
from earthsignals.clouds.embeddings import embed_triplets, read_embeddings, write_embeddings
from earthsignals.clouds.figures.reading import read_inputs
from earthsignals.clouds.imagery.index import read_index
from earthsignals.clouds.imagery.scene import read_scene
from earthsignals.clouds.judging.space import Scaling
from earthsignals.clouds.model import build
from earthsignals.clouds.pages import VIEWS, write
from earthsignals.clouds.params import CloudsParams
from earthsignals.clouds.predict import map_scenes
from earthsignals.clouds.source import prepare_scenes
from earthsignals.results import save_arrays
from earthsignals.storage import EarthSignalsError, write_json

from .pictured import made_arrays, made_history, made_metrics

SMALL = CloudsParams.model_validate({
    "grid": {"tile_px": 32},
    "scenes": {"days": 6, "scenes_per_day": 2, "size_px": 80, "series_hours": 3},
    "triplets": {"train": 8, "validation": 2, "study": 10},
    "network": {
        "architecture": "resnet18", "width": 4, "padding": "zero", "embedding": 6, "hidden": 8,
        "scattering": False,
    },
    "embed": {"scenes": 2},
    "peers": {"losses": ("triplet",)},
})  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """`data/clouds` and `reports/clouds` of simulated scenes and a network that was never trained."""
    import torch

    root = tmp_path_factory.mktemp("project")
    data, reports = root / "data" / "clouds", root / "reports" / "clouds"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)  # where work is resumed
        patch.setenv("EARTHSIGNALS_WORKERS", "1")
        prepare_scenes(SMALL, data / "scenes")
        triplets = make_triplets(data / "scenes", SMALL, data / "triplets.h5")
        torch.manual_seed(1)
        save_model(data / "best_model.pt", build(SMALL.network), SMALL.grid)
        model = load_model(data / "best_model.pt")
        write_embeddings(data / "embeddings.parquet", *embed_triplets(triplets, model))
        map_scenes(data / "scenes", model, SMALL, data / "maps")
    save_arrays(data / "evaluation.h5", made_arrays())
    write_json(data / "peers" / "triplet.json", made_history()[:3])
    write_json(reports / "metrics.json", made_metrics())
    write_json(reports / "training.json", made_history())
    return data, reports


@pytest.fixture(scope="module")
def inputs(folders: tuple[Path, Path]) -> figures.Inputs:
    return read_inputs(*folders, SMALL)


def test_the_tiles_are_the_anchors_of_the_study_split(folders, inputs) -> None:
    assert set(inputs.tiles["role"]) == {"anchor"}
    assert len(inputs.tiles) == len(inputs.images) == len(inputs.embedding) == 10
    assert inputs.images.shape[1:] == (3, 32, 32)
    np.testing.assert_allclose(np.linalg.norm(inputs.embedding, axis=1), 1, rtol=1e-6)
    # A tile's picture is the piece of its scene at its place.
    row = inputs.tiles.iloc[3]
    scene = read_scene(folders[0] / "scenes" / f"{row['scene']}.nc")
    r, c = int(row["row"]), int(row["column"])
    np.testing.assert_array_equal(inputs.images[3], scene.values[:, r : r + 32, c : c + 32])


def test_margins_are_of_the_tiles_own_triplets(folders, inputs) -> None:
    """Distance to the distant tile minus that to the neighbour, in the space that is judged."""
    table, vectors = read_embeddings(folders[0] / "embeddings.parquet")
    fit = (table["split"] == "train") & (table["role"] == "anchor")
    unit = Scaling.fit(vectors[fit.to_numpy()]).directions(vectors[(table["split"] == "study").to_numpy()])
    number = 4
    near, far = (np.linalg.norm(unit[3 * number] - unit[3 * number + k]) for k in (1, 2))
    assert inputs.tiles["margin"][number] == pytest.approx(far - near)


def test_windows_lie_where_their_maps_say(folders, inputs) -> None:
    assert len(inputs.maps) == 2 and len(inputs.series) == 3
    assert [s.time for s in inputs.series] == sorted(s.time for s in inputs.series)
    names = {entry.name: entry for entry in read_index(folders[0] / "scenes").entries}
    for scene in inputs.maps:
        assert names[scene.name].split == "study" and not names[scene.name].series
        dense = read_map(folders[0] / "maps" / f"{scene.name}.nc")
        assert scene.values.shape[:2] == dense.windows.shape == (4, 4)
        km = SMALL.grid.pixel_km
        # The first window is the first 32 pixels: its centre is 16 pixels from the western and northern edge.
        np.testing.assert_allclose(scene.x_km, (16 + 16 * np.arange(4)) * km)
        np.testing.assert_allclose(scene.height_km - scene.y_km, (16 + 16 * np.arange(4)) * km)
        np.testing.assert_array_equal(
            scene.piece(1, 2, 200.0), scene.picture[16:48, 32:64]
        )
        assert np.abs(scene.latitude[0] - scene.latitude[-1]).min() == pytest.approx(48 * km / 111, rel=0.02)


def test_everything_is_drawn_from_files(inputs, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)  # it compiles itself for 20 s
    few = {name: figures.FIGURES[name] for name in ("rgb", "trajectory")}
    monkeypatch.setattr(figures, "FIGURES", few)
    assert figures.draw_all(inputs, tmp_path) == {}
    assert {p.stem for p in tmp_path.iterdir()} == {*few, "training_model", "training_peer_triplet"}
    assert write({name: VIEWS[name] for name in ("rgb", "trajectory")}, inputs, tmp_path) == {}


def test_embeddings_of_other_triplets_are_refused(folders, tmp_path) -> None:
    data, reports = folders
    for name in ("triplets.h5", "scenes", "maps"):
        (tmp_path / name).symlink_to(data / name)
    table, vectors = read_embeddings(data / "embeddings.parquet")
    write_embeddings(tmp_path / "embeddings.parquet", table.drop(columns="geometry")[:-3], vectors[:-3])
    with pytest.raises(EarthSignalsError, match="its study tiles are not those of .*clouds-embed"):
        read_inputs(tmp_path, reports, SMALL)
