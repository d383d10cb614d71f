"""Triplets from scenes: the right pixels, days in one split, gaps, faults, and the same bytes anywhere."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from earthsignals.clouds.dataset import Triplets, make_triplets, open_triplets
from earthsignals.clouds.imagery.index import read_index, write_index
from earthsignals.clouds.imagery.scene import Scene, read_scene
from earthsignals.clouds.tiles.cutting import cut, fill_gaps
from earthsignals.clouds.tiles.places import GIVEN_UP, MISSING, NO_PLACE, TOO_SMALL
from earthsignals.clouds.tiles.tilefile import KNOWN, SPLITS, TripletsError
from earthsignals.storage import EarthSignalsError
from tests.clouds.small_scenes import (
    PARAMS,
    TILE_KM,
    TILE_PX,
    make_scene,
    with_gaps,
    with_triplets,
    write_scenes,
)

JOB = """
import sys
from pathlib import Path
from earthsignals.clouds.dataset import make_triplets
from tests.clouds.small_scenes import PARAMS

if __name__ == "__main__":
    make_triplets(Path(sys.argv[1]), PARAMS, Path(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes") / "scenes")


@pytest.fixture(scope="module")
def triplets(scenes: Path) -> Triplets:
    return make_triplets(scenes, PARAMS, scenes.parent / "triplets.h5")


def everything(triplets: Triplets) -> pd.DataFrame:
    return pd.concat([triplets.table(split).assign(split=split) for split in SPLITS], ignore_index=True)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def refilled(folder: Path, change, out: Path):
    """Triplets of the small scenes, each changed."""
    return make_triplets(write_scenes(folder, change=change), PARAMS, out)


def test_as_many_as_asked_for(triplets):
    assert [triplets.count(split) for split in SPLITS] == [60, 12, 20]
    assert triplets.dropped == {} and (triplets.tile_px, triplets.tile_km) == (TILE_PX, TILE_KM)
    told = triplets.about["splits"]["study"]
    assert (told["asked"], told["made"], told["redrawn"]) == (20, 20, {})
    assert triplets.about["scenes_refused"] == {"night": 2}


def test_each_tile_is_the_window_that_its_row_names(triplets):
    """The scenes' pixels tell row, column and scene."""
    for split in SPLITS:
        table, images = triplets.table(split), triplets.images(split)
        assert np.array_equal(images[:, 0, 0, 0], table["row"])
        assert np.array_equal(images[:, 1, 0, 0], table["column"])
        assert np.array_equal(images[:, 0, -1, 5], table["row"] + TILE_PX - 1)
        numbers = table["scene"].str.removeprefix("scene-").astype(int)
        assert np.array_equal(images[:, 2, 7, 7], numbers)
        assert (table["regime"] == "regime-" + (numbers % 3).astype(str)).all()
        for order, name in enumerate(KNOWN):
            assert np.allclose(table[name], numbers + order / 10, atol=1e-6)


def test_roles_of_a_triplet(triplets):
    for split in SPLITS:
        table = triplets.table(split)
        assert table["role"].tolist() == ["anchor", "neighbour", "distant"] * triplets.count(split)
        assert np.array_equal(table["triplet"], np.arange(len(table)) // 3)
        anchor, neighbour, distant = (table.iloc[role::3].reset_index(drop=True) for role in range(3))
        assert (anchor["scene"] == neighbour["scene"]).all()
        assert (anchor["scene"] != distant["scene"]).all()


def test_no_day_and_no_scene_is_in_two_splits(triplets):
    table = everything(triplets)
    assert (table.groupby("day")["split"].nunique() == 1).all()
    assert (table.groupby("scene")["split"].nunique() == 1).all()
    assert (table["time"].str[:10] == table["day"]).all()


def test_the_hourly_series_gives_no_triplets(scenes, triplets):
    series = [entry.name for entry in read_index(scenes).entries if entry.series]
    assert series == ["scene-19"] and not everything(triplets)["scene"].isin(series).any()


def test_tiles_lie_where_their_row_says(scenes, triplets):
    """Latitude and longitude of the centre, to a metre; a tile is 50 km wide there."""
    row = triplets.table("train").iloc[4]
    scene = read_scene(scenes / f"{row['scene']}.nc")
    down, right = scene.plane.locate(row["latitude"], row["longitude"])
    assert down == pytest.approx(row["row"] + 15.5, abs=1e-3)
    assert right == pytest.approx(row["column"] + 15.5, abs=1e-3)
    assert row["size_km"] == TILE_KM and row["missing_share"] == 0


# ---------------------------------------------------------------------------------- the same bytes
def test_workers_do_not_show(scenes, triplets, tmp_path, monkeypatch):
    monkeypatch.setenv("EARTHSIGNALS_WORKERS", "2")
    monkeypatch.setattr("earthsignals.clouds.dataset.TILES_AT_ONCE", 5)
    make_triplets(scenes, PARAMS, tmp_path / "triplets.h5")
    assert sha256(tmp_path / "triplets.h5") == sha256(triplets.path)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names of x86 processors")
def test_other_processors_write_the_same_file(scenes, triplets, tmp_path):
    """numpy without AVX512 and AVX2/FMA3, with a glibc to match, stands for another machine."""
    other = {
        "NPY_DISABLE_CPU_FEATURES": "AVX512_ICL AVX512_SPR X86_V4 X86_V3",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F",
        "PYTHONWARNINGS": "ignore",  # numpy warns of features that this processor lacks
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }
    (tmp_path / "job.py").write_text(JOB)
    command = [sys.executable, str(tmp_path / "job.py"), str(scenes), str(tmp_path / "triplets.h5")]
    subprocess.run(command, env=os.environ | other, check=True)
    assert sha256(tmp_path / "triplets.h5") == sha256(triplets.path)


def test_every_parameter_of_the_triplets_changes_them(scenes, triplets, tmp_path):
    first = triplets.table("train")
    rule = {"neighbour_rule": "scaling"}
    for changed in ({"seed": 1}, {"neighbour_distance": 0.5}, {"neighbour_spread": 0.3}, rule):
        other = make_triplets(scenes, with_triplets(**changed), tmp_path / "other.h5").table("train")
        assert not other[["row", "column"]].equals(first[["row", "column"]]), changed
    near = with_triplets(**rule, neigh_dist_scaling=0.6)
    nearer = make_triplets(scenes, near, tmp_path / "near.h5").table("train")
    assert not nearer[["row", "column"]].equals(other[["row", "column"]])


# ---------------------------------------------------------------------------------- gaps
def test_gaps_take_the_mean_of_the_rest_in_integers():
    values = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    valid = np.array([[True, False], [True, True]])
    filled = fill_gaps(values, valid)
    # Means of (0, 2, 3), (4, 6, 7), (8, 10, 11): 1.67, 5.67, 9.67.
    assert filled[:, 0, 1].tolist() == [2, 6, 10] and filled.dtype == np.uint8
    assert np.array_equal(filled[:, valid], values[:, valid])
    assert fill_gaps(np.full((3, 2, 2), 255, np.uint8), valid).max() == 255
    half = fill_gaps(np.array([[[1, 2, 9]]] * 3, np.uint8), np.array([[True, True, False]]))
    assert half[:, 0, 2].tolist() == [2, 2, 2]  # 1.5 rounds up


def test_tiles_with_gaps_are_dropped_or_filled_as_the_parameter_says(tmp_path):
    """A hole of 4 × 4 pixels in the middle: most tiles of a scene of 96 pixels have some of it."""
    hole = np.zeros((96, 96), bool)
    hole[46:50, 46:50] = True
    folder = write_scenes(tmp_path / "scenes", change=lambda scene: with_gaps(scene, hole))
    refused = make_triplets(folder, PARAMS, tmp_path / "refused.h5")
    assert refused.dropped[MISSING] > 0 and (everything(refused)["missing_share"] == 0).all()
    filled = make_triplets(folder, with_triplets(maximum_missing=16 / 1024), tmp_path / "filled.h5")
    shares = everything(filled)["missing_share"].to_numpy()
    assert MISSING not in filled.dropped and shares.max() == 16 / 1024
    table, images = filled.table("train"), filled.images("train")
    row = int(np.flatnonzero(table["missing_share"] == 16 / 1024)[0])
    down, right = 46 - table["row"][row], 46 - table["column"][row]
    known = np.ones((TILE_PX, TILE_PX), bool)
    known[down : down + 4, right : right + 4] = False
    mean = images[row][0][known].mean()
    assert abs(images[row][0][~known] - mean).max() <= 0.5
    assert filled.about["splits"]["train"]["made"] == 60


def test_truths_are_those_of_the_window():
    """Truth that grows eastwards by 1 per block of 8 pixels: a window of 32 pixels has its middle's value."""
    scene = make_scene(0, (96, 96))
    slope = np.tile(np.arange(12, dtype=np.float32), (12, 1))
    scene = dataclasses.replace(scene, truth={"scale_km": slope})
    made = cut(scene, np.array([[0, 0], [5, 12], [64, 64]]), TILE_PX)
    assert made.known["scale_km"].tolist() == [1.5, 3.0, 9.5]
    assert np.isnan(made.known["clustering"]).all()


# ---------------------------------------------------------------------------------- faults
def only_some(keep: int):
    """Change all scenes but those of the first `keep` into ones smaller than a tile."""

    def change(scene: Scene) -> Scene:
        number = int(scene.name.removeprefix("scene-"))
        return scene if number < keep else make_scene(number, (20, 200), series=scene.series)

    return change


def test_scenes_smaller_than_a_tile_are_counted(tmp_path):
    smaller = []

    def change(scene: Scene) -> Scene:
        number = int(scene.name.removeprefix("scene-"))
        if number % 4 or scene.series:
            return scene
        smaller.append(number)
        return make_scene(number, (20, 200))

    made = refilled(tmp_path / "scenes", change, tmp_path / "triplets.h5")
    assert made.dropped == {TOO_SMALL: len(smaller)} and len(smaller) == 5


def test_a_split_without_two_usable_scenes_is_named(tmp_path):
    with pytest.raises(TripletsError, match=r"of the (train|validation|study) days [01] scenes .* add"):
        refilled(tmp_path / "scenes", only_some(2), tmp_path / "triplets.h5")
    assert not (tmp_path / "triplets.h5").exists()


def test_scenes_all_gaps_are_counted(tmp_path):
    def change(scene: Scene) -> Scene:
        return with_gaps(scene, np.ones((96, 96), bool)) if scene.name in ("scene-00", "scene-07") else scene

    assert refilled(tmp_path / "scenes", change, tmp_path / "t.h5").dropped == {NO_PLACE: 2}


def test_fewer_than_asked_for_is_told(scenes, tmp_path, monkeypatch):
    monkeypatch.setattr("earthsignals.clouds.tiles.places.PAIRS", 1)
    far = with_triplets(neighbour_rule="scaling", neigh_dist_scaling=2.3)  # fits along diagonals alone
    made = make_triplets(scenes, far, tmp_path / "t.h5")
    counts = made.about["splits"]
    given_up = sum(told["asked"] - told["made"] for told in counts.values())
    assert given_up > 0 and made.dropped[GIVEN_UP] == given_up
    assert all(made.count(split) == counts[split]["made"] for split in SPLITS)


def test_scenes_of_another_grid_are_refused(scenes, tmp_path):
    other = PARAMS.model_copy(update={"grid": PARAMS.grid.model_copy(update={"tile_km": 100.0})})
    with pytest.raises(TripletsError, match=r"scene-\d+.nc: its pixels are of 1.5625 km, expected 3.125 km"):
        make_triplets(scenes, other, tmp_path / "t.h5")


def test_an_index_with_a_day_in_two_splits_is_refused(tmp_path):
    folder = write_scenes(tmp_path / "scenes")
    index = read_index(folder)
    other = {"train": "study", "study": "train", "validation": "train"}
    moved = dataclasses.replace(index.entries[0], split=other[index.entries[0].split])
    write_index(folder, [moved, *index.entries[1:]], {}, {})
    with pytest.raises(TripletsError, match="the day 2020-03-01 is in the splits"):
        make_triplets(folder, PARAMS, tmp_path / "t.h5")


def test_a_truncated_scene_is_named(tmp_path):
    folder = write_scenes(tmp_path / "scenes")
    path = folder / "scene-03.nc"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(EarthSignalsError, match="scene-03.nc"):
        make_triplets(folder, PARAMS, tmp_path / "t.h5")
    assert not (tmp_path / "t.h5").exists()


def test_no_scenes(tmp_path):
    with pytest.raises(EarthSignalsError, match="clouds-scenes"):
        make_triplets(tmp_path, PARAMS, tmp_path / "t.h5")


def test_what_was_made_is_what_is_opened(triplets):
    opened = open_triplets(triplets.path)
    for split in SPLITS:
        pd.testing.assert_frame_equal(opened.table(split), triplets.table(split))
