"""The folder of pictures: there and back without a difference, and foreign folders with what they lack."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from earthsignals.clouds.dataset import Triplets, make_triplets
from earthsignals.clouds.tiles.held_out import MIXED
from earthsignals.clouds.tiles.seed_layout import export_folder, import_folder
from earthsignals.clouds.tiles.seed_meta import read_meta
from earthsignals.clouds.tiles.tilefile import ROLES, SPLITS, TripletsError
from tests.clouds.small_scenes import PARAMS, TILE_PX, make_scene, with_gaps, with_triplets, write_scenes

EDGE = 16
GOES = "OR_ABI-L1b-RadF-M3C01_G16_s2018{day:03d}1400345_e20183351411112_c20183351411156.nc"


@pytest.fixture(scope="module")
def triplets(tmp_path_factory: pytest.TempPathFactory) -> Triplets:
    """With truths, and with some tiles that had gaps."""
    folder = tmp_path_factory.mktemp("triplets")
    hole = np.zeros((96, 96), bool)
    hole[40:43, 40:43] = True
    scenes = write_scenes(folder / "scenes", change=lambda scene: with_gaps(scene, hole))
    return make_triplets(scenes, with_triplets(maximum_missing=0.01), folder / "triplets.h5")


def foreign(folder: Path, split: str, triplets: int, first: int = 0, edge: int = EDGE) -> Path:
    """Pictures and metadata as convml_tt's example has them; two days of the year per triplet."""
    place = folder / split
    place.mkdir(parents=True, exist_ok=True)
    for number in range(triplets):
        for role in ("anchor", "neighbor", "distant"):
            save(place / f"{number:05d}_{role}.png", edge, first + number)
        days = (first + number, first + (number + 1) % triplets)
        source, other = (f"../storage/goes16/{GOES.format(day=1 + day)}" for day in days)
        place_of = {"lat": 12.5 + number, "lon": -45.25, "size": 200000.0}
        meta = {
            "target": {"anchor": place_of, "neighbor": dict(place_of), "source_files": [source, "other.nc"]},
            "distant": {"loc": dict(place_of), "source_files": [other]},
        }
        (place / f"{number:05d}_meta.yaml").write_text(yaml.safe_dump(meta))
    return folder


def save(path: Path, edge: int, number: int, mode: str = "RGB") -> None:
    noise = np.random.default_rng(number).integers(0, 256, (edge, edge, len(mode)), dtype=np.uint8)
    Image.fromarray(noise.squeeze()).save(path)


def pictures(folder: Path, split: str, number: int) -> np.ndarray:
    names = [f"{number:05d}_{role}.png" for role in ("anchor", "neighbor", "distant")]
    return np.stack([np.asarray(Image.open(folder / split / name)) for name in names]).transpose(0, 3, 1, 2)


# ---------------------------------------------------------------------------------- there and back
def test_export_and_import_keep_pixels_and_metadata(triplets, tmp_path):
    counts = export_folder(triplets, tmp_path / "folder")
    assert counts == {"train": 60, "validation": 12, "study": 20}
    back = import_folder(tmp_path / "folder", tmp_path / "back.h5", 1.0)  # the metadata know the size
    assert back.dropped == {} and not back.about["validation_held_out"] and back.tile_px == TILE_PX
    assert back.tile_km == triplets.tile_km
    assert back.about["shared"] == {"scenes": 0, "days": 0}
    assert back.about["splits"]["train"] == {"made": 60, "scenes": triplets.table("train")["scene"].nunique()}
    for split in SPLITS:
        assert np.array_equal(back.images(split), triplets.images(split))
        pd.testing.assert_frame_equal(back.table(split), triplets.table(split))
    assert (triplets.table("train")["missing_share"] > 0).any()  # so gaps, too, came back


def test_the_exported_folder_is_the_layout(triplets, tmp_path):
    folder = tmp_path / "folder"
    export_folder(triplets, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["study", "train", "val"]
    assert len(list((folder / "study").iterdir())) == 4 * 20
    assert np.array_equal(pictures(folder, "study", 7), triplets.images("study")[21:24])
    meta = yaml.safe_load((folder / "study" / "00007_meta.yaml").read_text())
    anchor, distant = triplets.table("study").iloc[21], triplets.table("study").iloc[23]
    place = {"lat": anchor["latitude"], "lon": anchor["longitude"], "size": 50000.0}
    assert meta["target"]["anchor"] == place
    assert meta["target"]["source_files"] == [f"{anchor['scene']}.nc"]
    assert meta["distant"]["loc"]["lat"] == distant["latitude"]
    assert set(meta["target"]) == {"anchor", "neighbor", "source_files"}


def test_unknown_values_are_left_out_of_the_metadata(tmp_path):
    scenes = write_scenes(tmp_path / "scenes", change=without_truth)
    made = make_triplets(scenes, PARAMS, tmp_path / "t.h5")
    export_folder(made, tmp_path / "folder")
    text = (tmp_path / "folder" / "train" / "00000_meta.yaml").read_text()
    assert "nan" not in text and "scale_km" not in text
    back = import_folder(tmp_path / "folder", tmp_path / "back.h5", 50.0)
    pd.testing.assert_frame_equal(back.table("train"), made.table("train"))


def without_truth(scene):
    plain = make_scene(int(scene.name.removeprefix("scene-")), series=scene.series)
    return type(scene)(
        plain.name, plain.time, plain.plane, plain.values, plain.valid, plain.bands, plain.product,
        series=plain.series,
    )  # fmt: skip


# ---------------------------------------------------------------------------------- from the wild
def test_the_metadata_of_the_wild(tmp_path):
    """GOES files tell scene and time; the size is in metres; what is not told is unknown."""
    foreign(tmp_path / "wild", "train", 20)
    foreign(tmp_path / "wild", "study", 3, first=50)
    made = import_folder(tmp_path / "wild", tmp_path / "t.h5", 1.0)
    table = made.table("study")
    near, distant = "goes16_20180220T140034", "goes16_20180221T140034"
    assert table["scene"].tolist()[:3] == [near, near, distant]
    assert table["day"].tolist()[:3] == ["2018-02-20", "2018-02-20", "2018-02-21"]
    assert table["time"][0] == "2018-02-20T14:00:34.500000+00:00"
    assert table["latitude"].tolist()[:4] == [12.5, 12.5, 12.5, 13.5] and (table["size_km"] == 200).all()
    assert (table["row"] == -1).all() and table["scale_km"].isna().all() and (table["regime"] == "").all()
    assert np.array_equal(made.images("study")[3:6], pictures(tmp_path / "wild", "study", 1))
    assert made.tile_px == EDGE


def test_validation_is_held_out_by_whole_days(tmp_path):
    """Triplet i links days i and i + 1 of 21: no two of days 0, 7, 14 are linked, so one more is held out."""
    foreign(tmp_path / "wild", "train", 21)
    foreign(tmp_path / "wild", "study", 3, first=50)
    made = import_folder(tmp_path / "wild", tmp_path / "t.h5", 200.0)
    days = {split: set(made.table(split)["day"]) for split in SPLITS}
    assert made.about["validation_held_out"] and not days["train"] & days["validation"]
    assert made.count("validation") >= 1
    assert made.count("train") + made.count("validation") + made.dropped[MIXED] == 21
    assert len(made.about["named"][MIXED]) == made.dropped[MIXED]


def test_scenes_that_study_shares_with_training_are_counted(tmp_path):
    foreign(tmp_path / "wild", "train", 20)
    foreign(tmp_path / "wild", "val", 3, first=70)
    foreign(tmp_path / "wild", "study", 5, first=17)  # days 17 to 21; training has 0 to 19
    made = import_folder(tmp_path / "wild", tmp_path / "t.h5", 200.0)
    assert made.about["shared"] == {"scenes": 3, "days": 3} and made.count("validation") == 3


def test_missing_members_are_named_and_counted(tmp_path):
    wild = foreign(tmp_path / "wild", "train", 20)
    foreign(wild, "val", 3, first=30)
    foreign(wild, "study", 6, first=50)
    (wild / "train" / "00003_neighbor.png").unlink()
    (wild / "train" / "00005_neighbor.png").unlink()
    (wild / "train" / "00005_distant.png").unlink()
    (wild / "train" / "00008_meta.yaml").unlink()
    (wild / "study" / "00001_meta.yaml").write_text("lat: !!python/object/apply:os.getcwd []")
    (wild / "study" / "00002_anchor.png").write_bytes(b"no picture")
    content = (wild / "study" / "00003_anchor.png").read_bytes()
    (wild / "study" / "00003_anchor.png").write_bytes(content[: len(content) // 2])
    save(wild / "study" / "00004_distant.png", EDGE + 2, 1)
    for role in ("anchor", "neighbor", "distant"):
        save(wild / "study" / f"00005_{role}.png", EDGE + 2, 1)
    (wild / "study" / "notes.png").write_bytes(b"")
    made = import_folder(wild, tmp_path / "t.h5", 200.0)
    expected = {
        "incomplete triplet left out: no neighbor picture": ["train/00003"],
        "incomplete triplet left out: no neighbor and no distant picture": ["train/00005"],
        "metadata missing: triplet kept": ["train/00008"],
        "metadata cannot be read: triplet kept": ["study/00001"],
        "triplet left out: a picture cannot be read": ["study/00002", "study/00003"],
        "triplet left out: its pictures are not squares of one size": ["study/00004"],
        "triplet left out: its pictures are not of 16 pixels": ["study/00005"],
    }
    assert made.about["named"] == expected
    assert made.dropped == {reason: len(names) for reason, names in expected.items()}
    assert [made.count(split) for split in SPLITS] == [18, 3, 2]
    assert np.array_equal(made.images("train")[9:12], pictures(wild, "train", 4))  # the order is the numbers'


def test_triplets_of_unknown_scenes_are_no_scene_together(tmp_path):
    """Tiles without metadata must not pass for tiles of one scene, nor anchor and neighbour for two."""
    wild = foreign(tmp_path / "wild", "train", 20)
    foreign(wild, "study", 3)
    for path in wild.rglob("*.yaml"):
        path.unlink()
    made = import_folder(wild, tmp_path / "t.h5", 120.0)
    table = made.table("train")
    assert made.count("train") == 17 and made.count("validation") == 3  # every seventh
    assert table["scene"].nunique() == 2 * 17 and (table["size_km"] == 120).all()
    assert (table["scene"][0::3].to_numpy() == table["scene"][1::3].to_numpy()).all()
    assert table["latitude"].isna().all() and (table["day"] == "").all()


def test_grey_and_transparent_pictures(tmp_path):
    wild = foreign(tmp_path / "wild", "train", 20)
    foreign(wild, "val", 2, first=30)
    foreign(wild, "study", 2, first=50)
    save(wild / "study" / "00000_anchor.png", EDGE, 5, "L")
    save(wild / "study" / "00001_anchor.png", EDGE, 5, "RGBA")
    Image.fromarray(np.zeros((EDGE, EDGE), np.uint16)).save(wild / "val" / "00001_anchor.png")
    made = import_folder(wild, tmp_path / "t.h5", 200.0)
    grey, clear = made.images("study")[0], made.images("study")[3]
    assert (grey == grey[0]).all()
    original = np.asarray(Image.open(wild / "study" / "00001_anchor.png"))[..., :3].transpose(2, 0, 1)
    assert np.array_equal(clear, original)
    assert made.about["named"] == {"triplet left out: a picture cannot be read": ["val/00001"]}  # 16 bits


def test_what_metadata_may_lack(tmp_path):
    path = tmp_path / "00000_meta.yaml"
    path.write_text("target: {anchor: {lat: 3, lon: x}, source_files: s/cene.01.nc}\ndistant: 5\n")
    rows = dict(zip(ROLES, read_meta(path), strict=True))
    assert rows["anchor"]["latitude"] == 3.0 and np.isnan(rows["anchor"]["longitude"])
    assert rows["neighbour"]["scene"] == "cene.01" and np.isnan(rows["neighbour"]["latitude"])
    assert rows["distant"]["scene"] == "" and np.isnan(rows["distant"]["size_km"])
    for text in ("- a list", "a: [", ""):
        path.write_text(text)
        with pytest.raises(ValueError):
            read_meta(path)


def test_folders_that_are_none(tmp_path):
    with pytest.raises(TripletsError, match=r"train/ holds no pictures .* expected train/00000_anchor.png"):
        import_folder(tmp_path, tmp_path / "t.h5", 200.0)
    wild = foreign(tmp_path / "wild", "train", 20)
    with pytest.raises(TripletsError, match="study/ holds no pictures"):
        import_folder(wild, tmp_path / "t.h5", 200.0)
    foreign(wild, "study", 2)
    for path in (wild / "study").glob("*_distant.png"):
        path.unlink()
    with pytest.raises(TripletsError, match="no usable triplets for study .*no distant picture: 2"):
        import_folder(wild, tmp_path / "t.h5", 200.0)
    shutil.rmtree(wild / "train")
    foreign(wild, "train", 1)
    foreign(wild, "study", 2)
    with pytest.raises(TripletsError, match="no usable triplets for train"):  # its only one validates
        import_folder(wild, tmp_path / "t.h5", 200.0)
    assert not (tmp_path / "t.h5").exists()
