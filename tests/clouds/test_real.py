"""Evaluation on labelled pictures: which tiles bear a label, what is learnt across scenes, the report."""

from __future__ import annotations

import json
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score

from earthsignals.clouds import across_scenes, real
from earthsignals.clouds.across_scenes import Examples, probe, relabellings, retrieval
from earthsignals.clouds.checkpoint import EmbeddingModel
from earthsignals.clouds.human_labels import Box, read_boxes, regions, tiles_in_boxes
from earthsignals.clouds.imagery.refusal import RefusedScene
from earthsignals.clouds.ingest_trial import side_by_side, try_ingest
from earthsignals.clouds.model import build
from earthsignals.clouds.params import CloudsParams, GridParams
from earthsignals.clouds.real import evaluate_real, judge, read_labelled
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError, md5_path
from tests.clouds.small_scenes import make_scene, with_gaps

SETTINGS = Settings(device="cpu", workers=1)
GRID = GridParams(tile_km=50.0, tile_px=32)
SMALL = CloudsParams.model_validate({
    "grid": GRID.model_dump(),
    "network": {
        "architecture": "resnet18", "width": 4, "embedding": 8, "hidden": 16, "padding": "zero",
        "scattering": False,
    },
    "evaluate": {"bootstrap": 50},
})  # fmt: skip
HEADER = "id,image,x1,y1,x2,y2,class\n"
SEA, CLOUD = np.array([20, 40, 75]), np.array([230, 235, 240])


# ---------------------------------------------------------------------------------------- labelled tiles
def test_rows_that_are_no_rectangle_are_counted(tmp_path: Path) -> None:
    table = tmp_path / "boxes.csv"
    rows = [
        "1,folder/a.png,1,2,30,40,Fish", "2,a.png,9,2,9,40,Fish", "3,a.png,1,2,30,,Fish", "4,a.png,1,2,3,4,",
        "5,a.png,1,2,inf,40,Fish", "6,a.png,one,2,30,40,Fish",
    ]  # fmt: skip
    table.write_text(HEADER + "\n".join(rows))
    boxes, refused = read_boxes(table)
    assert boxes == [Box("a.png", "Fish", 1, 2, 30, 40)]
    assert refused == {"box-empty": 1, "box-unnamed": 1, "box-without-edges": 3}
    table.write_text("image,x,y\na.png,1,2\n")
    with pytest.raises(EarthSignalsError, match="no column x1, y1, x2, y2, class, expected"):
        read_boxes(table)
    with pytest.raises(EarthSignalsError, match=r"absent.csv: no such file; expected a table"):
        read_boxes(tmp_path / "absent.csv")


def test_rectangles_around_the_same_clouds_are_one_region() -> None:
    first = Box("a", "Fish", 0, 0, 100, 100)
    same = Box("a", "Fish", 40, 0, 140, 100)  # 60 % in common
    chained = Box("a", "Fish", 80, 0, 180, 100)  # with the second, not with the first
    touching = Box("a", "Fish", 95, 50, 300, 250)
    other_class = Box("a", "Sugar", 0, 0, 100, 100)
    other_picture = Box("b", "Fish", 0, 0, 100, 100)
    found = regions([first, same, chained, touching, other_class, other_picture])
    assert found[0] == found[1] == found[2]
    assert len({int(number) for number in found}) == 4
    assert len(regions([])) == 0


def test_tiles_bear_the_label_of_the_rectangle_that_most_of_them_is_in() -> None:
    """Against counting pixels, on a plane that is the picture itself."""
    rng = np.random.default_rng(0)
    shape, tile, step = (90, 110), 20, 7
    y, x = np.indices(shape) + 0.5
    valid = np.ones(shape, bool)
    valid[:12, 60:75] = False
    corners = rng.uniform(0, 80, (12, 2))
    boxes = [
        Box("p", "ab"[n % 2], left, top, left + 15 + 4 * n, top + 30) for n, (left, top) in enumerate(corners)
    ]
    found = tiles_in_boxes(boxes, x, y, valid, tile, step)
    inside, ambiguous, missing = [], 0, 0
    for row in range(0, shape[0] - tile + 1, step):
        for column in range(0, shape[1] - tile + 1, step):
            window = slice(row, row + tile), slice(column, column + tile)
            own = []
            for number, box in enumerate(boxes):
                mask = (x >= box.left) & (x < box.right) & (y >= box.top) & (y < box.bottom)
                if mask[row + tile // 2, column + tile // 2] and mask[window].mean() >= 0.6:
                    own.append(number)
            if own and not valid[window].all():
                missing += 1
            elif len({boxes[number].label for number in own}) == 2:
                ambiguous += 1
            else:
                inside += [(row, column, number) for number in own]
    told = zip(found.row[found.tile], found.column[found.tile], found.box, strict=True)
    assert sorted((int(r), int(c), int(n)) for r, c, n in told) == inside
    assert missing and ambiguous and len(inside) > len(found.row) > 0
    assert found.dropped == {"missing": missing, "ambiguous": ambiguous}


# ----------------------------------------------------------------------------------- learning across scenes
def made_examples(scenes: int = 3, tiles: int = 8) -> Examples:
    """In every scene a rectangle of each of three classes, each with as many tiles, and its own region."""
    boxes = 3 * scenes
    return Examples(
        np.arange(boxes * tiles), np.repeat(np.arange(boxes), tiles), np.array(list("fgs") * scenes),
        np.repeat(np.arange(scenes), 3), np.arange(boxes),
    )  # fmt: skip


def told_by(examples: Examples, rng: np.random.Generator, noise: float = 0.1) -> np.ndarray:
    """Features that tell the class of each item."""
    own = examples.label[examples.box]
    return np.stack([own == name for name in "fgs"], axis=1) + noise * rng.standard_normal((len(own), 3))


def test_the_probe_knows_only_the_other_scenes() -> None:
    rng = np.random.default_rng(1)
    examples = made_examples()
    features = told_by(examples, rng)
    assert probe(examples, features).tolist() == [1.0] * 9
    # In the last scene the features of two classes are exchanged: there, and only there, it errs on both.
    last = examples.scene[examples.box] == 2
    features[last] = features[last][:, [1, 0, 2]]
    assert probe(examples, features).tolist()[-3:] == [0.0, 0.0, 1.0]
    # What differs from scene to scene, and tells the class within each, does not help.
    own = np.zeros((len(examples.box), 9))
    own[np.arange(len(own)), examples.box] = 1
    assert probe(examples, own).mean() < 0.4
    # A class that the other scenes lack is never told.
    lonely = np.where((examples.scene == 0) & (examples.label == "s"), "x", examples.label)
    assert probe(examples, told_by(examples, rng), lonely)[2] == 0


def test_every_rectangle_counts_once() -> None:
    """Eighty-eight tiles of one rectangle weigh as much as eight of another."""
    rng = np.random.default_rng(2)
    examples = made_examples()
    features = told_by(examples, rng, noise=1.0)
    tile = np.concatenate([examples.tile, np.repeat(examples.tile[:8], 10)])
    box = np.concatenate([examples.box, np.repeat(examples.box[:8], 10)])
    more = Examples(tile, box, examples.label, examples.scene, examples.region)
    once = probe(examples, features)
    assert 0 < once.mean() < 1
    # Standardisation sees tiles, not rectangles: only borderline tiles may change.
    assert probe(more, features) == pytest.approx(once, abs=0.26)
    values = np.zeros(len(box))
    values[box == 0] = 1
    assert more.by_box(values).tolist() == [1.0] + [0.0] * 8


def test_labels_are_dealt_among_regions_in_all_ways() -> None:
    label, scene = np.array(list("ffgsfgf")), np.array([0, 0, 0, 1, 1, 2, 2])
    label[3] = "f"
    region = np.array([0, 0, 1, 2, 3, 4, 5])  # the first two outline the same clouds
    examples = Examples(np.arange(7), np.arange(7), label, scene, region)
    dealt = relabellings(examples, 1000, 0)
    expected = set()
    for order in permutations("fgffgf"):
        labels = np.array(order)[region]
        if all(len(set(scene[labels == name])) > 1 for name in "fg"):
            expected.add("".join(labels))
    assert "".join(dealt[0]) == "".join(label)
    assert {"".join(row) for row in dealt} == expected and len(dealt) == len(expected)
    # Too many ways: so many random ones, the same each time.
    few = relabellings(made_examples(4), 50, 3)
    assert 2 < len(few) <= 51 and len(np.unique(few, axis=0)) == len(few)
    np.testing.assert_array_equal(few, relabellings(made_examples(4), 50, 3))
    assert "".join(few[0]) == "fgs" * 4


def test_noise_has_no_small_p_value_and_scores_as_chance_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real, "MOST_RELABELLINGS", 40)
    rng = np.random.default_rng(4)
    examples = made_examples(3, 4)
    values = []
    for _ in range(2):
        noise = rng.standard_normal((len(examples.tile), 4))
        found = judge(examples, {"model": noise, "other": noise.copy()}, SMALL)
        values.append(found["probe_p"])
        assert found["probe_chance"] == pytest.approx(1 / 3, abs=0.08)
        assert found["probe_minus_best_baseline"] == found["probe_minus_best_baseline_high"] == 0
    assert max(values) > 0.1
    sure = judge(examples, {"model": told_by(examples, rng), "other": noise}, SMALL)
    assert sure["probe"] == sure["map"] == 1.0 and sure["probe_p"] < 0.05
    assert sure["probe_best_baseline"] == sure["rows"]["other"]["probe"] < 0.8
    assert sure["probe_by_class"] == {"f": 1.0, "g": 1.0, "s": 1.0} and sure["probe_class_mean"] == 1.0
    # Nothing to choose between: each class has as many rectangles in the other scenes.
    assert sure["probe_majority"] == pytest.approx(1 / 3)
    assert "9 rectangles around 9 cloud regions in 3 scenes" in sure["says"]


def test_average_precision_is_scikit_learn_s_and_that_of_a_random_order_its_mean() -> None:
    rng = np.random.default_rng(5)
    relevant = rng.random(40) < 0.3
    assert across_scenes.average_precision(relevant) == pytest.approx(
        average_precision_score(relevant, -np.arange(40))
    )
    orders = {tuple(order) for order in permutations([True, True, True, False, False, False, False])}
    mean = np.mean([across_scenes.average_precision(np.array(order)) for order in orders])
    assert across_scenes.expected_average_precision(7, 3) == pytest.approx(mean)
    assert across_scenes.expected_average_precision(1, 1) == 1


def test_retrieval_looks_in_other_scenes_only() -> None:
    rng = np.random.default_rng(6)
    examples = made_examples()
    found, chance = retrieval(examples, told_by(examples, rng))
    assert found.tolist() == [1.0] * 9
    assert chance == pytest.approx(across_scenes.expected_average_precision(48, 16))
    # The scene shouts louder than the class: within a scene that would be fatal, across scenes it is not.
    shouting = np.concatenate([told_by(examples, rng), 3 * np.eye(3)[examples.scene[examples.box]]], axis=1)
    assert retrieval(examples, shouting)[0].min() > 0.95
    lonely = Examples(
        examples.tile, examples.box, np.where(np.arange(9) == 0, "x", examples.label), examples.scene,
        examples.region,
    )  # fmt: skip
    found, _ = retrieval(lonely, told_by(examples, rng))
    assert np.isnan(found[0]) and np.isfinite(found[1:]).all()


# ---------------------------------------------------------------------------------------------- the report
def picture(path: Path, number: int, swap: bool = False) -> None:
    """Stripes in the west, chequers in the east (or the other way round), black in a corner."""
    rng = np.random.default_rng(number)
    y, x = np.indices((300, 400))
    stripes, chequers = (x // 6) % 2, ((x // 12) + (y // 12)) % 2
    west, east = (chequers, stripes) if swap else (stripes, chequers)
    cloud = np.where(x < 200, west, east) * (0.8 + 0.05 * number)
    pixels = SEA + cloud[..., None] * (CLOUD - SEA) + rng.normal(0, 3, (300, 400, 1))
    pixels = np.clip(pixels, 5, 255).astype(np.uint8)
    pixels[:40, :60] = 0
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes of 430 x 330 km with rectangles of two classes, and one of a class that only one has."""
    root = tmp_path_factory.mktemp("clouds")
    place = root / "labels"
    place.mkdir()
    rows = []
    for number in range(3):
        name = f"Sat2020010{number + 1}_-60--56_12-15.png"
        picture(place / name, number, swap=number == 1)
        west, east = ("Chequers", "Stripes") if number == 1 else ("Stripes", "Chequers")
        rows += [f"0,x/{name},5,10,195,170,{west}", f"0,x/{name},205,10,395,170,{east}"]
    rows += [f"0,x/{name},205,10,300,150,Chequers", f"0,x/{name},10,20,90,100,Stripes"]
    rows += ["0,x/Sat20200101_-60--56_12-15.png,150,100,395,290,Odd"]
    rows += ["0,x/lost.png,10,10,150,150,Stripes", "0,x/notes.txt,10,10,150,150,Stripes"]
    (place / "boxes.csv").write_text(HEADER + "\n".join(rows) + "\n")
    (place / "notes.txt").write_text("no picture")
    scan = "OR_ABI-L1b-RadM1-M6C13_G17_s20193351027275_e20193351027344_c20193351027405.nc"
    (root / scan).write_bytes(b"cut short")
    return root


@pytest.fixture(scope="module")
def model() -> EmbeddingModel:
    torch.manual_seed(0)
    network = build(SMALL.network).eval().requires_grad_(False)
    return EmbeddingModel(network, GRID, name="untrained", md5="md5 of the model")


def small_triplets() -> SimpleNamespace:
    """What is asked of an open file of triplets: forty textures."""
    rng = np.random.default_rng(9)
    images = rng.integers(0, 255, (120, 3, 8, 8), np.uint8).repeat(4, 2).repeat(4, 3)
    table = pd.DataFrame({"role": ["anchor", "neighbour", "distant"] * 40})
    return SimpleNamespace(
        path=Path("triplets.h5"), tile_px=32, tile_km=50.0,
        images=lambda split: images, table=lambda split: table,
    )  # fmt: skip


def test_the_report_names_data_model_rows_and_what_was_left_out(
    folder: Path, model: EmbeddingModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real, "MOST_RELABELLINGS", 20)
    out = tmp_path / "real.json"
    found = evaluate_real(folder, small_triplets(), model, SMALL, SETTINGS, out)
    told = json.loads(out.read_text())
    assert told.keys() == found.keys()
    assert told["data_md5"] == md5_path(folder) and told["model_md5"] == "md5 of the model"
    assert told["classes"] == ["Chequers", "Stripes"] and told["classes_in_one_scene"] == {"Odd": 1}
    assert (told["scenes"], told["boxes"], told["regions"]) == (3, 8, 6)
    assert told["refused"] == {"picture missing": 1, "picture unreadable": 1}
    assert told["dropped"]["missing"] > 0  # the black corner
    assert told["dropped"]["ambiguous"] > 0  # Odd and Chequers
    assert {"model", "statistics", "spectrum", "organisation", "classical", "pca", "random_network"} <= set(
        told["rows"]
    )
    assert told["rows"]["spectrum"]["probe"] == 1.0  # nothing is easier than stripes and chequers
    assert told["probe_best_baseline"] == max(
        row["probe"] for name, row in told["rows"].items() if name != "model"
    )
    assert told["probe_low"] <= told["probe"] <= told["probe_high"]
    assert {box["class"] for box in told["by_box"]} == {"Chequers", "Stripes"}
    assert told["ingest"]["sources"] == 1 and told["ingest"]["refused"]["unreadable"] >= 1
    assert told["ingest"]["scenes"] == {}


def test_tiles_are_those_of_the_picture_at_its_place(folder: Path) -> None:
    """Stripes of 6 pixels of 0.01° run from north to south: 4.2 pixels of 1.56 km at 13.5° N."""
    labelled = read_labelled(folder, GRID)
    own = labelled.examples.label[labelled.examples.box]
    grey = labelled.images.mean(1)
    for name, steady in (("Stripes", True), ("Chequers", False)):
        chosen = grey[labelled.examples.tile[own == name]]
        columns = chosen.mean(1).std(1) / chosen.std((1, 2))
        assert (columns > 0.8).all() if steady else (columns < 0.6).all()
    stripes = grey[labelled.examples.tile[own == "Stripes"]].mean(1)
    power = np.abs(np.fft.rfft(stripes - stripes.mean(1, keepdims=True), axis=1)).mean(0)
    period = 12 * 0.01 * 111.2 * np.cos(np.radians(13.5)) / GRID.pixel_km
    assert abs(32 / power.argmax() - period) < 1.5


def test_folders_without_usable_labels_are_refused_in_a_sentence(
    folder: Path, model: EmbeddingModel, tmp_path: Path
) -> None:
    def run(path: Path) -> None:
        evaluate_real(path, small_triplets(), model, SMALL, SETTINGS, tmp_path / "out.json")

    with pytest.raises(EarthSignalsError, match="no such folder of real data"):
        run(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EarthSignalsError, match="0 files are called boxes.csv, expected one"):
        run(tmp_path / "empty")
    labels = tmp_path / "empty" / "boxes.csv"
    labels.write_text(HEADER + "0,lost.png,10,10,150,150,Stripes\n")
    with pytest.raises(EarthSignalsError, match="no tile lies in any of its 1 rectangles .picture missing 1"):
        run(tmp_path / "empty")
    name = "Sat20200101_-60--56_12-15.png"
    picture(tmp_path / "empty" / name, 0)
    labels.write_text(HEADER + f"0,{name},5,10,195,290,Stripes\n0,{name},205,10,395,290,Chequers\n")
    with pytest.raises(EarthSignalsError, match="none of its classes is in two scenes or more"):
        run(tmp_path / "empty")
    other = SimpleNamespace(**{**vars(small_triplets()), "tile_px": 64})
    with pytest.raises(EarthSignalsError, match="train again"):
        evaluate_real(folder, other, model, SMALL, SETTINGS, tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()


# ------------------------------------------------------------------------------------------ other real files
def test_tiles_side_by_side_cover_a_scene_and_leave_gaps_out() -> None:
    scene = make_scene(1, (70, 100))
    found = side_by_side(scene, SMALL)
    assert found.shape == (6, 3, 32, 32)
    assert found[4, 0, 0, 0] == 32 and found[4, 1, 0, 0] == 32  # its pixels tell row and column
    gap = np.zeros((70, 100), bool)
    gap[0, 40] = True
    assert len(side_by_side(with_gaps(scene, gap), SMALL)) == 5
    with pytest.raises(RefusedScene) as refusal:
        side_by_side(make_scene(1, (31, 100)), SMALL)
    assert refusal.value.reason == "too-small"


def test_real_labels_are_read(real_data: Path) -> None:
    """The three scenes of the shared folder, at a coarse grid: nothing is refused, the classes are known."""
    source = real_data / "clouds"
    if not source.is_dir():
        pytest.skip(f"no real cloud scenes at {source}")
    labelled = read_labelled(source, GridParams(tile_km=200.0, tile_px=32))
    assert not labelled.refused
    assert set(labelled.examples.label) == {"Sugar", "Flower", "Fish", "Gravel"}
    assert across_scenes.classes_of_several_scenes(labelled.examples.label, labelled.examples.scene) == [
        "Fish", "Flower", "Gravel",
    ]  # fmt: skip
    assert 11 <= len(labelled.boxes) <= 13 and len(labelled.images) > 150
    assert labelled.images.min() < 30  # the sea
    assert not (labelled.images.max((1, 2, 3)) < 10).any()  # no gap between swaths


def test_real_satellite_files_are_embedded(real_data: Path) -> None:
    source = real_data / "clouds" / "goes_l1b"
    if not source.is_dir():
        pytest.skip(f"no real GOES files at {source}")
    params = SMALL.model_copy(update={"grid": GridParams(tile_km=200.0, tile_px=32)})
    found = try_ingest(source, params, lambda tiles: tiles.reshape(len(tiles), -1)[:, :2].astype(float))
    # A night scan: the infra-red is there, bands of visible light are not.
    assert found["scenes"] == {"infrared_rgb": 1} and found["tiles"] > 10 and found["not_finite"] == 0
    assert set(found["refused"]) <= {"missing-bands", "night", "off-disk"}
