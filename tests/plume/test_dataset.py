"""Tiles: each is the window that the dense map would see, of the kind it claims, in the split of its day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from earthsignals.plume import dataset
from earthsignals.plume.dataset import (
    KINDS,
    SPLITS,
    TilesError,
    make_tiles,
    make_tiles_of_manifest,
    open_tiles,
    windows_of,
)
from earthsignals.plume.imagery.envi import write_envi
from earthsignals.plume.imagery.index import Scene, SceneIndex
from earthsignals.plume.imagery.manifest import holds_manifest
from earthsignals.plume.networks.dense import margins
from earthsignals.plume.params import PlumeParams
from earthsignals.plume.tiles.places import choose_places, cut, plume_pixels
from earthsignals.storage import md5_file

from .conftest import PLACE, plume_scene, small_params

PER_PLUME, NEGATIVES, BACKGROUNDS = 4, 5, 6
TILES = {
    "positives_per_plume": PER_PLUME, "negatives_per_flightline": NEGATIVES,
    "backgrounds_per_flightline": BACKGROUNDS,
}  # fmt: skip


def scene_index(folder: Path, lines: int = 190, samples: int = 150) -> SceneIndex:
    """Four flightlines of four days, each with a plume, a roof in the mask and a pond that is only listed."""
    folder.mkdir(parents=True, exist_ok=True)
    scenes = []
    for number, split in enumerate(("train", "train", "validation", "test")):
        ch4, mask = plume_scene(lines, samples, seed=number)
        path = folder / f"ang2020010{number + 1}t120000_ch4mf_img.img"
        write_envi(path, ch4, like=PLACE, band_names=("CH4 Absorption (ppm x m)",))
        mask_path = path.with_name(f"{path.stem}_mask.img")
        write_envi(mask_path, mask, like=PLACE)
        scenes.append(
            Scene(
                path.stem, f"2020-01-0{number + 1}", split, path, mask_path, lines, samples, 3.1,
                plumes=({"row": lines / 4, "col": samples / 4},),
                confusers=({"kind": "pond", "row": lines - 20.0, "col": 20.0},),
            )
        )  # fmt: skip
    return SceneIndex("synthetic", tuple(scenes))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[SceneIndex, PlumeParams, Path, dict]:
    folder = tmp_path_factory.mktemp("tiles")
    index, params = scene_index(folder / "scenes"), small_params(tiles=TILES)
    counts = make_tiles(index, params, folder / "tiles.h5")
    return index, params, folder / "tiles.h5", counts


def test_a_tile_is_the_window_that_the_dense_map_sees(made) -> None:
    """Cut again from the whole scene, padded as for the map; outside of the scene is invalid."""
    index, _, path, _ = made
    group = open_tiles(path).group(64)
    across = 0
    for number, scene in enumerate(index.scenes):
        with scene.open() as flightline:
            padded = np.pad(flightline.read(), margins(64), constant_values=np.nan)
        mask = np.pad(scene.read_mask(), margins(64))
        for n in np.flatnonzero(group.scene == number):
            row, col = group.row[n], group.col[n]
            window = slice(row, row + 64), slice(col, col + 64)
            assert np.array_equal(group.tiles[n], padded[window], equal_nan=True)
            assert np.array_equal(group.mask[n], mask[window])
            across += row < 32 or col < 32 or row > scene.lines - 32 or col > scene.samples - 32
    assert across > 5  # windows that reach beyond the scene are among them
    assert group.tiles.dtype == np.float32 and group.mask.dtype == np.uint8


def test_every_tile_is_what_it_says(made) -> None:
    index, params, path, _ = made
    group = open_tiles(path).group(64)
    plume = (group.mask == 1).sum(axis=(1, 2))
    false = (group.mask == 2).any(axis=(1, 2))
    # The listed pond is no part of the mask: its pixel is at row lines - 20, column 20.
    lines = np.array([scene.lines for scene in index.scenes])[group.scene]
    pond = (np.abs(group.row - (lines - 20) - 0.5) < 32) & (np.abs(group.col - 20 - 0.5) < 32)
    pos, neg, bg = (group.kind == KINDS[kind] for kind in ("pos", "neg", "bg"))
    assert (plume[pos] >= params.tiles.minimum_plume_pixels).all()
    assert (plume[~pos] == 0).all()
    assert (false | pond)[neg].all() and not (false | pond)[bg].any()
    assert pond[neg & ~false].any() and false[neg].any()
    assert np.array_equal(group.label, pos)
    assert (np.isfinite(group.tiles).mean(axis=(1, 2)) >= 0.5).all()
    assert np.isfinite(group.tiles[:, 32, 32]).all()  # its own pixel: a map has a value there
    assert (group.plume[pos] == 0).all() and (group.plume[~pos] == -1).all()


def test_counts_splits_and_tables_agree(made) -> None:
    index, _, path, counts = made
    tiles = open_tiles(path)
    assert tiles.counts == counts and tiles.windows == (64,) and tiles.has_masks
    each = {"pos": PER_PLUME, "neg": NEGATIVES, "bg": BACKGROUNDS}
    assert counts["tiles"]["64"] == {
        split: {kind: n * len(index.of(split)) for kind, n in each.items()} for split in SPLITS
    }
    group = tiles.group(64)
    assert list(tiles.scenes.stem) == [scene.stem for scene in index.scenes]
    assert {split: set(group.day[group.rows(split)]) for split in SPLITS} == {
        split: {scene.day for scene in index.of(split)} for split in SPLITS
    }
    assert tiles.scenes.pixel_m == pytest.approx(3.1)
    with pytest.raises(TilesError, match=r"no tiles of window 256.*peers"):
        tiles.group(256)


def test_the_same_bytes_however_the_flightlines_are_read(made, tmp_path: Path, monkeypatch) -> None:
    index, params, path, counts = made
    monkeypatch.setattr(dataset, "STRIP_PIXELS", 1)  # strips of two windows' height
    assert make_tiles(index, params, tmp_path / "again.h5") == counts
    assert md5_file(tmp_path / "again.h5") == md5_file(path)


def test_a_peer_brings_its_window_and_changes_no_other(made, tmp_path: Path) -> None:
    _, _, path, _ = made
    params = small_params(tiles=TILES, peers={"models": ["plumenet-256", "unet-64"]})
    assert windows_of(params) == (64, 256)
    index = scene_index(tmp_path / "scenes", 900, 300)  # room for 256 pixels without a plume
    counts = make_tiles(index, params, tmp_path / "both.h5")
    make_tiles(index, small_params(tiles=TILES), tmp_path / "one.h5")
    both, one = open_tiles(tmp_path / "both.h5"), open_tiles(tmp_path / "one.h5")
    assert both.windows == (64, 256)
    number = sum(sum(kinds.values()) for kinds in counts["tiles"]["256"].values())
    assert both.group(256).tiles.shape == (number, 256, 256) and number >= 4 * PER_PLUME
    assert np.array_equal(both.group(64).tiles, one.group(64).tiles, equal_nan=True)


@pytest.mark.parametrize(
    "key, value",
    [
        ("minimum_plume_pixels", 400), ("positives_per_plume", 3), ("negatives_per_flightline", 3),
        ("backgrounds_per_flightline", 3), ("seed", 5),
    ],
)  # fmt: skip
def test_every_parameter_changes_the_tiles(made, tmp_path: Path, key: str, value: int) -> None:
    index, _, path, _ = made
    make_tiles(index, small_params(tiles=TILES | {key: value}), tmp_path / "other.h5")
    first, second = open_tiles(path).group(64), open_tiles(tmp_path / "other.h5").group(64)
    assert len(first) != len(second) or not np.array_equal(first.row, second.row)


# --- places


def test_windows_with_little_plume_are_left_out_and_counted() -> None:
    """A plume of 9 pixels and a minimum of 10: no window with any of it serves as anything."""
    mask = np.zeros((200, 200), np.uint8)
    mask[99:102, 99:102] = 1
    params = small_params(tiles=TILES | {"minimum_plume_pixels": 10}).tiles
    places = choose_places(
        mask, np.ones(mask.shape, bool), [(100, 100)], [], 64, params, np.random.default_rng(0)
    )
    assert places.kind == ["bg"] * BACKGROUNDS
    assert places.left_out["no place for pos"] == PER_PLUME
    assert places.left_out["little plume"] >= PER_PLUME * 30


def test_mostly_invalid_windows_are_left_out() -> None:
    """Every other row and one more is valid, half of the scene's 64: only windows near its middle will do."""
    valid = np.zeros((64, 300), bool)
    valid[::2] = True
    valid[31:34] = True
    params = small_params(tiles=TILES | {"backgrounds_per_flightline": 40}).tiles
    places = choose_places(
        np.zeros(valid.shape, np.uint8), valid, [], [], 64, params, np.random.default_rng(0)
    )
    assert places.left_out["mostly invalid"] > 100 and places.left_out["invalid pixel"] > 100
    assert len(places) > 0
    for row, col in zip(places.row, places.col, strict=True):
        assert valid[row, col]
        inside = valid[max(0, row - 32) : row + 32, max(0, col - 32) : col + 32]
        assert inside.sum() >= 64 * 64 / 2


def test_pieces_of_a_mask_go_to_the_nearest_source() -> None:
    mask = np.zeros((60, 60), np.uint8)
    mask[5, 5] = mask[6, 6] = 1  # touch at a corner: one piece
    mask[10, 5] = 1  # a puff that broke off
    mask[50, 50] = 1
    assert [(n, len(pixels)) for n, pixels in plume_pixels(mask, [(4, 4), (30, 0), (55, 55)])] == [
        (0, 3), (2, 1),
    ]  # fmt: skip
    # Without a list of sources every piece is a plume.
    assert [len(pixels) for _, pixels in plume_pixels(mask, [])] == [2, 1, 1]


def test_a_scene_smaller_than_the_window_still_gives_tiles() -> None:
    """50 x 50 pixels are 61 % of a window around their centre; the rest of it is invalid."""
    shape = (50, 50)
    places = choose_places(
        np.zeros(shape, np.uint8), np.ones(shape, bool), [], [], 64, small_params(tiles=TILES).tiles,
        np.random.default_rng(0),
    )  # fmt: skip
    assert places.kind == ["bg"] * BACKGROUNDS
    scene = np.arange(2500, dtype=np.float32).reshape(shape)
    for row, col in zip(places.row, places.col, strict=True):
        tile = cut(scene, row, col, 64, np.nan)
        assert tile[32, 32] == scene[row, col]
        assert 0.5 <= np.isfinite(tile).mean() <= 2500 / 4096


# --- faults


def test_a_split_without_a_plume_is_refused_with_the_remedy(made, tmp_path: Path) -> None:
    index, params, _, _ = made
    scenes = tuple(replace(s, mask=None, plumes=()) if s.split == "test" else s for s in index.scenes)
    with pytest.raises(TilesError, match=r"test days there is no plume.*plume\.scenes\.days"):
        make_tiles(SceneIndex("synthetic", scenes), params, tmp_path / "t.h5")
    with pytest.raises(TilesError, match=r"add flightlines of further days to /campaign"):
        make_tiles(SceneIndex("/campaign", scenes), params, tmp_path / "t.h5")
    assert not (tmp_path / "t.h5").exists()


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5000])


def _foreign(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"] = 1


def _without_masks(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["64/mask"]


def _chunked(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        tiles = file["64/tiles"][:]
        del file["64/tiles"]
        file.create_dataset("64/tiles", data=tiles, chunks=(1, 64, 64))


@pytest.mark.parametrize(
    "fault, told",
    [
        (lambda path: path.unlink(), "no such tiles file.*plume-tiles"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (_truncated, "truncated or damaged"),
        (_foreign, "is no earthsignals.plume.tiles file"),
        (_without_masks, "cannot be read.*mask"),
        (_chunked, "64/tiles is not stored in one piece"),
    ],
)
def test_files_that_are_none_are_refused(made, tmp_path: Path, fault, told: str) -> None:
    path = tmp_path / "tiles.h5"
    path.write_bytes(made[2].read_bytes())
    fault(path)
    with pytest.raises(TilesError, match=told) as refusal:
        open_tiles(path)
    assert str(path) in str(refusal.value)


# --- manifests


@pytest.fixture
def manifest(tmp_path: Path, small_flightline: Callable[..., Path]) -> Callable[..., Path]:
    """Writes tiles in srcfinder's form: four days of two flightlines, three kinds each."""
    import rasterio

    def write(size: int = 64, missing: bool = False) -> Path:
        folder, rows = tmp_path / "campaign", []
        random = np.random.default_rng(0)
        for day in range(4):
            for hour in range(2):
                name = f"ang2020010{day + 1}t1{hour}0000_ch4mf_img"
                for number, (kind, label) in enumerate((("pos", 1), ("neg", -1), ("bg", 0))):
                    file = f"{name}/{kind}/{name}_tile{size}x{size}+{10 * number}+{100 * day}.tif"
                    rows.append((file, label))
                    path = folder / "tiles256" / file
                    path.parent.mkdir(parents=True, exist_ok=True)
                    tile = random.normal(0, 100, (1, size, size)).astype(np.float32)
                    tile[0, :, 0] = -9999
                    with rasterio.open(
                        path, "w", driver="GTiff", count=1, height=size, width=size, dtype="float32",
                        nodata=-9999, transform=PLACE[0], crs=PLACE[1],
                    ) as target:  # fmt: skip
                        target.write(tile)
        if missing:
            (folder / "tiles256" / rows[2][0]).unlink()
        text = "path,label\n" + "".join(f"{path},{label}\n" for path, label in rows)
        (folder / "data_labels.csv").write_text(text)
        # The published split has both hours of a day in different parts.
        for part, hour in (("train", 0), ("test", 1)):
            own = [f"{path},{label}\n" for path, label in rows if f"t1{hour}0000" in path]
            (folder / f"{part}.csv").write_text("path,label\n" + "".join(own))
        return folder

    return write


def test_tiles_of_a_manifest_keep_their_labels_and_days(manifest, tmp_path: Path) -> None:
    folder = manifest(missing=True)
    assert holds_manifest(folder) and not holds_manifest(tmp_path)
    counts = make_tiles_of_manifest(folder, small_params(), tmp_path / "tiles.h5")
    tiles = open_tiles(tmp_path / "tiles.h5")
    group = tiles.group(64)
    assert len(group) == 23 and not tiles.has_masks and not group.mask.any()
    assert np.array_equal(group.label, group.kind == KINDS["pos"])
    assert list(counts["left_out"]["64"].values()) == [1]  # the tile that is not there
    days = {split: set(group.day[group.rows(split)]) for split in SPLITS}
    assert sum(map(len, days.values())) == len(set.union(*days.values())) == 4
    # Of each day one hour is in another split than published: its three tiles, unless one is not there.
    lost = "2020-01-01" in days["test"]  # the missing tile is of that day and was published for training
    assert counts["published split not followed"] == 4 * 3 - lost
    # Row and column name the middle pixel, the file's name the upper left one.
    assert set(group.row - 32) == {0, 100, 200, 300} and set(group.col - 32) == {0, 10, 20}
    assert np.isnan(group.tiles[:, :, 0]).all() and np.isfinite(group.tiles[:, :, 1:]).all()
    assert tiles.scenes.pixel_m == pytest.approx(3.1)


def test_tiles_of_another_size_are_refused(manifest, tmp_path: Path) -> None:
    folder = manifest(size=48)
    with pytest.raises(TilesError, match=r"24 of 48 × 48 pixels.*plume\.tiles\.window"):
        make_tiles_of_manifest(folder, small_params(), tmp_path / "tiles.h5")


def test_a_manifest_serves_one_window_only(manifest, tmp_path: Path) -> None:
    params = small_params(peers={"models": ["plumenet-256"]})
    with pytest.raises(TilesError, match=r"windows.*\(64, 256\)"):
        make_tiles_of_manifest(manifest(), params, tmp_path / "tiles.h5")


def test_a_manifest_without_its_tiles_is_refused(manifest, tmp_path: Path) -> None:
    folder = manifest()
    for path in folder.rglob("*.tif"):
        path.unlink()
    with pytest.raises(TilesError, match="none of the tiles"):
        make_tiles_of_manifest(folder, small_params(), tmp_path / "tiles.h5")


def test_the_published_tables_are_split_by_day(real_data: Path) -> None:
    """srcfinder's own tables put tiles of one day into train and test; whole days cannot."""
    from earthsignals.plume.imagery.manifest import read_manifest
    from earthsignals.plume.imagery.splits import split_days

    folder = real_data / "plume" / "srcfinder" / "labels" / "COVID_QC"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    records = read_manifest(folder)
    published: dict[str, set] = {}
    for record in records:
        published.setdefault(record.day, set()).add(record.published)
    assert any(len(parts) > 1 for parts in published.values())
    split = split_days((record.day for record in records), 0.2, 0.25, 31)
    assert set(split) == set(published) and set(split.values()) == set(SPLITS)
