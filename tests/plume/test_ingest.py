"""Real flightlines and published tiles brought in: nothing copied, nothing lost without a word."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from earthsignals.plume.imagery import ingest, manifest
from earthsignals.plume.imagery.flightline import FlightlineError, open_flightline
from earthsignals.plume.imagery.index import Scene, SceneIndex, day_of, read_index, write_index
from earthsignals.plume.imagery.ingest import find_chips, ingest_folder
from earthsignals.plume.imagery.manifest import present, read_manifest, read_tile
from earthsignals.plume.params import PlumeParams
from earthsignals.storage import EarthSignalsError

from .conftest import PLACE, plume_scene
from .test_masks import painted, write_picture

FOUR_DAYS = tuple(f"ang2020090{day}t2011{day}0_ch4mf_v2y1_img" for day in range(1, 5))
TILE = "_tile256x256+"


def write_chip(folder: Path, values: np.ndarray, mask: np.ndarray) -> Path:
    """A chip as STARCOP has them, with its further layers; zero is declared as missing."""
    folder.mkdir(parents=True)
    layers = {"mag1c": values.astype("f8"), "labelbinary": mask, "weight_mag1c": values, "label_rgba": mask}
    for name, layer in layers.items():
        with rasterio.open(
            folder / f"{name}.tif", "w", driver="GTiff", count=1, height=layer.shape[0], width=layer.shape[1],
            dtype=layer.dtype, nodata=0, crs=PLACE.crs, transform=PLACE.transform,
        ) as file:  # fmt: skip
            file.write(layer, 1)
    return folder


@pytest.fixture
def flightlines(small_flightline: Callable[..., Path], tmp_path: Path) -> Path:
    """Four flightlines of four days with masks, in folders by day."""
    for number, stem in enumerate(FOUR_DAYS):
        folder = tmp_path / "flights" / str(number)
        folder.mkdir(parents=True)
        small_flightline(stem, folder=folder, seed=number)
    return tmp_path / "flights"


# ----------------------------------------------------------------------------------- flightlines
def test_flightlines_become_scenes(flightlines: Path, params: PlumeParams, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in flightlines.rglob("*") if path.is_file()}
    written = ingest_folder(flightlines, params, tmp_path / "out")
    index = read_index(tmp_path / "out")
    assert index == written
    assert [scene.stem for scene in index.scenes] == list(FOUR_DAYS)
    assert [scene.day for scene in index.scenes] == [f"2020-09-0{day}" for day in range(1, 5)]
    assert Counter(scene.split for scene in index.scenes) == {"train": 2, "validation": 1, "test": 1}
    assert index.skipped == {} and index.counts == {"flightlines": 4, "days": 4, ingest.WINDLESS: 4}
    scene = index.scenes[2]
    ch4, mask = plume_scene(48, 40, seed=2)
    assert scene.shape == (48, 40) and scene.pixel_m == pytest.approx(3.1)
    assert (scene.retrieval, scene.wind_m_s) == ("linear", None)
    np.testing.assert_array_equal(scene.read_mask(), mask)
    with scene.open() as flightline:
        np.testing.assert_array_equal(flightline.read(), ch4)
    # One plume, one patch of false enhancement, each placed at its strongest pixel.
    [plume], [confuser] = scene.plumes, scene.confusers
    strongest = np.unravel_index(np.where(mask == 1, ch4, -np.inf).argmax(), ch4.shape)
    assert (plume["row"], plume["col"]) == strongest
    assert plume["mask_pixels"] == (mask == 1).sum() and plume["rate_kg_h"] is None
    assert mask[confuser["row"], confuser["col"]] == 2
    # Referenced, not copied, and untouched.
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["scenes.json"]
    assert before == {path: path.read_bytes() for path in flightlines.rglob("*") if path.is_file()}


def test_connected_parts_are_plumes(flightlines: Path, params: PlumeParams, tmp_path: Path) -> None:
    """Parts that meet at a corner are one plume; marked pixels without measurement keep their plume."""
    marked = np.zeros((48, 40), np.uint8)
    marked[3:5, 3:5] = marked[5:7, 5:7] = 1  # corner to corner
    marked[20, 39] = 1  # in the missing margin
    marked[30:33, 10] = 2
    folder = flightlines / "0"
    for path in folder.glob("*_mask*"):
        path.unlink()
    write_picture(folder / f"{FOUR_DAYS[0]}_mask.png", painted(marked))
    scene = ingest_folder(flightlines, params, tmp_path / "out").scenes[0]
    assert [plume["mask_pixels"] for plume in scene.plumes] == [8, 1]
    assert (scene.plumes[1]["row"], scene.plumes[1]["col"]) == (20, 39)
    assert len(scene.confusers) == 1 and scene.confusers[0]["col"] == 10


def test_what_cannot_be_used_is_counted_by_reason(
    flightlines: Path, small_flightline: Callable[..., Path], params: PlumeParams, tmp_path: Path
) -> None:
    def extra(name: str) -> Path:
        folder = flightlines / name
        folder.mkdir()
        return folder

    small_flightline("ang20200911t201110_ch4mf_img", folder=extra("maskless"), mask=False)
    cut = small_flightline("ang20200912t201110_ch4mf_img", folder=extra("cut"))
    cut.write_bytes(cut.read_bytes()[:1000])
    turned = small_flightline("ang20200913t201110_ch4mf_img", folder=extra("turned"), mask=False)
    write_picture(turned.with_name(f"{turned.stem}_mask.png"), np.zeros((1, 40, 48), np.uint8))
    headless = small_flightline("ang20200914t201110_ch4mf_img", folder=extra("headless"))
    headless.with_suffix(".hdr").unlink()
    bodiless = small_flightline("ang20200915t201110_ch4mf_img", folder=extra("bodiless"))
    bodiless.unlink()
    small_flightline("ang20200901t201110_ch4mf_v2y1_img_saliency", folder=extra("map"), mask=False)
    (extra("notes") / "readme.txt").write_text("not an image")

    index = ingest_folder(flightlines, params, tmp_path / "out")
    assert [scene.stem for scene in index.scenes] == list(FOUR_DAYS)
    assert index.skipped == {
        ingest.NO_MASK: 1, ingest.UNREADABLE: 1, ingest.BAD_MASK: 1, ingest.NO_HEADER: 1,
        ingest.NO_BINARY: 1, ingest.DERIVED: 1,
    }  # fmt: skip
    told = read_index(tmp_path / "out").skipped_files
    assert len(told) == 6 and "cut off" in told[str(cut)]
    assert "40 lines × 48 samples" in told[str(turned)] and "turned by 90" in told[str(turned)]


@pytest.mark.parametrize(
    "twin", ["ang20200901t201110_ch4mf_v2x1_img", "ang20200901t201110_ch4mf_v2y1_img"]
)
def test_same_flightline_twice_is_refused(
    flightlines: Path, small_flightline: Callable[..., Path], params: PlumeParams, tmp_path: Path, twin: str
) -> None:
    """Another processing of the same flight is the same flight."""
    (flightlines / "again").mkdir()
    small_flightline(twin, folder=flightlines / "again")
    with pytest.raises(FlightlineError, match=r"are the same flightline \(ang20200901t201110\); keep one"):
        ingest_folder(flightlines, params, tmp_path / "out")


def test_undated_flightlines_are_days_of_their_own(
    small_flightline: Callable[..., Path], params: PlumeParams, tmp_path: Path
) -> None:
    folder = tmp_path / "flights"
    folder.mkdir()
    for stem in ("north", "south", "east", FOUR_DAYS[0]):
        small_flightline(stem, folder=folder)
    index = ingest_folder(folder, params, tmp_path / "out")
    assert len({scene.day for scene in index.scenes}) == 4
    assert index.counts == {"flightlines": 4, "days": 4, ingest.UNDATED: 3, ingest.WINDLESS: 4}


def test_flightlines_of_a_day_stay_together(
    flightlines: Path, small_flightline: Callable[..., Path], params: PlumeParams, tmp_path: Path
) -> None:
    for hour in range(3):
        small_flightline(f"ang20200902t22{hour}000_ch4mf_v2y1_img", folder=flightlines / "1")
    index = ingest_folder(flightlines, params, tmp_path / "out")
    days = {(scene.day, scene.split) for scene in index.scenes}
    assert len(index.scenes) == 7 and len(days) == 4
    assert sum(len(index.of(name)) for name in ("train", "validation", "test")) == 7


def test_chips_are_flightlines(params: PlumeParams, tmp_path: Path) -> None:
    """Two windows of one flight are two scenes of one day; further layers of a chip are no flightlines."""
    rng = np.random.default_rng(0)
    names = [
        "ang20190927t153023_r7101_c126_w151_h151", "ang20190927t153023_r100_c0_w151_h151",
        "ang20191019t175004_r8192_c256_w512_h512", "ang20191020t175004_r0_c0_w512_h512",
    ]  # fmt: skip
    for name in names:
        values = np.maximum(rng.normal(-100, 200, (20, 30)), 0).astype(np.float32)
        write_chip(tmp_path / "chips" / name, values, (values > 300).astype(np.uint8))
    index = ingest_folder(tmp_path / "chips", params, tmp_path / "out")
    assert sorted(scene.stem for scene in index.scenes) == sorted(names)
    assert [folder.name for folder in find_chips(tmp_path / "chips")] == sorted(names)
    assert len({scene.day for scene in index.scenes}) == 3 and index.skipped == {}
    for scene in index.scenes:
        assert scene.retrieval == "sparse"
        with scene.open() as flightline:
            ch4 = flightline.read()
        assert np.isfinite(ch4).all()
        np.testing.assert_array_equal(scene.read_mask(), ch4 > 300)


def test_band_of_the_parameters_is_taken(flightlines: Path, tmp_path: Path) -> None:
    """The plume's place is sought in the band that the preprocessing names."""
    from .conftest import small_params

    params = small_params(preprocessing={"band": "nitrogen"})
    with pytest.raises(FlightlineError, match="4 flightlines that cannot be read"):
        ingest_folder(flightlines, params, tmp_path / "out")


def test_folders_without_flightlines(params: PlumeParams, tmp_path: Path) -> None:
    with pytest.raises(FlightlineError, match="no such folder"):
        ingest_folder(tmp_path / "nowhere", params, tmp_path / "out")
    with pytest.raises(FlightlineError, match="nothing at all"):
        ingest_folder(tmp_path, params, tmp_path / "out")


def test_two_days_are_too_few(flightlines: Path, params: PlumeParams, tmp_path: Path) -> None:
    for number in (2, 3):
        shutil.rmtree(flightlines / str(number))
    with pytest.raises(EarthSignalsError, match="2 day"):
        ingest_folder(flightlines, params, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_headers_without_binaries_are_told(real_data: Path, params: PlumeParams, tmp_path: Path) -> None:
    """The published srcfinder folder has two headers and no image."""
    source = real_data / "plume" / "srcfinder"
    if not source.is_dir():
        pytest.skip("no srcfinder headers")
    with pytest.raises(FlightlineError, match="1 headers without their binary"):
        ingest_folder(source, params, tmp_path / "out")


# ----------------------------------------------------------------------------------------- winds
def test_winds_and_rates_by_flightline(flightlines: Path, params: PlumeParams, tmp_path: Path) -> None:
    """Columns in any order, spaces and empty cells; flightlines without an entry are counted."""
    (flightlines / "winds.csv").write_text(
        "\ufeffrate_kg_h, flightline, wind_m_s, wind_direction_deg\n"
        f" 850 ,{FOUR_DAYS[0]}, 4.2 ,75\n,{FOUR_DAYS[2]},3.1,-90\n,{FOUR_DAYS[3]},5\n"
    )
    written = ingest_folder(flightlines, params, tmp_path / "out")
    index = read_index(tmp_path / "out")
    assert index == written and index.counts[ingest.WINDLESS] == 1
    winds = [(scene.wind_m_s, scene.wind_direction_deg) for scene in index.scenes]
    assert winds == [(4.2, 75.0), (None, None), (3.1, 270.0), (5.0, None)]
    known = [(plume["rate_kg_h"], plume["wind_m_s"]) for scene in index.scenes for plume in scene.plumes]
    assert known == [(850.0, 4.2), (None, None), (None, 3.1), (None, 5.0)]


def test_all_winds_known(flightlines: Path, params: PlumeParams, tmp_path: Path) -> None:
    rows = [(stem, "4") for stem in FOUR_DAYS]
    write_table(flightlines / "winds.csv", rows, head=("flightline", "wind_m_s"))
    index = ingest_folder(flightlines, params, tmp_path / "out")
    assert index.counts == {"flightlines": 4, "days": 4}
    assert {scene.wind_m_s for scene in index.scenes} == {4.0}


def test_winds_of_flightlines_left_out_are_no_typos(
    flightlines: Path, small_flightline: Callable[..., Path], params: PlumeParams, tmp_path: Path
) -> None:
    names = [f"ang2020091{day}t201110_ch4mf_img" for day in range(3)]
    small_flightline(names[0], folder=flightlines, mask=False)
    small_flightline(names[1], folder=flightlines).with_suffix(".hdr").unlink()
    small_flightline(names[2], folder=flightlines).unlink()
    write_table(flightlines / "winds.csv", [(n, "4") for n in names], head=("flightline", "wind_m_s"))
    assert ingest_folder(flightlines, params, tmp_path / "out").counts[ingest.WINDLESS] == 4


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("{0}x,4", r"line 2: there is no flightline ang20200901\S+x below"),
        ("{0}.img,4", r"line 2: there is no flightline .*without .img"),
        (",4", r"line 2: there is no flightline \(empty\)"),
        ("{0},4\n{1},4\n{0},4", r"line 4: ang20200901\S+ stands in .*winds.csv, line 2 already"),
        ("{0},windy", "line 2: wind_m_s is windy, which is not a number"),
        ("{0},nan", "line 2: wind_m_s is nan, which is not a number"),
        ("{0},", "line 2: wind_m_s is missing"),
        ("{0}", "line 2: wind_m_s is missing"),
        ("{0},-4", "line 2: wind_m_s is -4, expected a number above 0"),
        ("{0},0", "line 2: wind_m_s is 0, expected a number above 0"),
        ("{0},4,north", "line 2: wind_direction_deg is north, which is not a number"),
        ("{0},4,400", "line 2: wind_direction_deg is 400, expected degrees"),
        ("{0},4,,-1", "line 2: rate_kg_h is -1, expected a number above 0"),
        ("{0},4,,much", "line 2: rate_kg_h is much, which is not a number"),
        ("{0},4,,1,5", "line 2: more cells than columns"),
    ],
)
def test_faults_of_winds_name_their_line(
    flightlines: Path, params: PlumeParams, tmp_path: Path, rows: str, message: str
) -> None:
    head = "flightline,wind_m_s,wind_direction_deg,rate_kg_h\n"
    (flightlines / "winds.csv").write_text(head + rows.format(*FOUR_DAYS) + "\n")
    with pytest.raises(FlightlineError, match=rf"winds\.csv, {message}"):
        ingest_folder(flightlines, params, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "head", ["", "flightline", "wind_m_s", "flightline,wind_m_s,direction", "flightline,wind_m_s,wind_m_s"]
)
def test_columns_of_winds(flightlines: Path, params: PlumeParams, tmp_path: Path, head: str) -> None:
    (flightlines / "winds.csv").write_text(head + "\n")
    with pytest.raises(FlightlineError, match=r"winds\.csv, line 1: .*expected flightline,wind_m_s"):
        ingest_folder(flightlines, params, tmp_path / "out")
    (flightlines / "winds.csv").write_bytes(b"flightline,wind_m_s\n\xff\xfe,4\n")
    with pytest.raises(FlightlineError, match="not a CSV table"):
        ingest_folder(flightlines, params, tmp_path / "out")


@pytest.mark.parametrize("plumes", [0, 2])
def test_a_rate_needs_exactly_one_plume(
    flightlines: Path, params: PlumeParams, tmp_path: Path, plumes: int
) -> None:
    marked = np.zeros((48, 40), np.uint8)
    for number in range(plumes):
        marked[10 * number : 10 * number + 3, 5:9] = 1
    for path in (flightlines / "0").glob("*_mask*"):
        path.unlink()
    write_picture(flightlines / "0" / f"{FOUR_DAYS[0]}_mask.png", painted(marked))
    table = flightlines / "winds.csv"
    table.write_text(f"flightline,wind_m_s,rate_kg_h\n{FOUR_DAYS[1]},4,70\n{FOUR_DAYS[0]},4,80\n")
    with pytest.raises(FlightlineError, match=rf"winds\.csv, line 3: a rate for .* has {plumes} plumes"):
        ingest_folder(flightlines, params, tmp_path / "out")
    table.write_text(f"flightline,wind_m_s,rate_kg_h\n{FOUR_DAYS[0]},4,\n")  # the wind alone is welcome
    scene = ingest_folder(flightlines, params, tmp_path / "out").scenes[0]
    assert scene.wind_m_s == 4.0 and [plume["rate_kg_h"] for plume in scene.plumes] == [None] * plumes


# ----------------------------------------------------------------------------------------- index
def test_index_finds_files_wherever_it_moves(
    small_flightline: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files inside the folder move with it; others are named as the user gave them, relative or not."""
    folder, elsewhere = tmp_path / "scenes", tmp_path / "flights"
    folder.mkdir()
    elsewhere.mkdir()
    inside = small_flightline("ang20200901t201110_img", folder=folder)
    small_flightline("ang20200902t201110_img", folder=elsewhere)
    monkeypatch.chdir(tmp_path)
    common = {"split": "train", "lines": 48, "samples": 40, "pixel_m": 3.1}
    scenes = (
        Scene("a", "2020-09-01", path=inside, mask=inside.with_name(f"{inside.stem}_mask.img"), **common),
        Scene("b", "2020-09-02", path=Path("flights/ang20200902t201110_img.img"), mask=None, **common),
    )
    write_index(folder, SceneIndex("synthetic", scenes))
    first = (folder / "scenes.json").read_bytes()
    write_index(folder, SceneIndex("synthetic", scenes))
    assert (folder / "scenes.json").read_bytes() == first
    assert [record["path"] for record in json.loads(first)["scenes"]] == [
        "ang20200901t201110_img.img", "flights/ang20200902t201110_img.img"
    ]  # fmt: skip
    os.rename(folder, tmp_path / "moved")
    a, b = read_index(tmp_path / "moved").scenes
    assert a.read_mask().max() == 2 and b.read_mask().max() == 0  # no mask: nothing marked
    for scene in (a, b):
        with scene.open(band="CH4") as flightline:
            assert flightline.shape == scene.shape


@pytest.mark.parametrize(
    ("stem", "day"),
    [
        ("ang20200924t211102_ch4mf_v2y1_img", "2020-09-24"), ("syn20200105t120000_00", "2020-01-05"),
        ("ang20190927t153023_r7101_c126", "2019-09-27"), ("flight_20190927", "2019-09-27"),
        ("r20201399_x", None), ("north", None), ("1234567890123", None),
    ],
)  # fmt: skip
def test_day_by_the_name(stem: str, day: str | None) -> None:
    assert day_of(stem) == day


def test_broken_index(tmp_path: Path) -> None:
    with pytest.raises(EarthSignalsError, match="scenes.json does not exist"):
        read_index(tmp_path)
    (tmp_path / "scenes.json").write_text('{"source": "synthetic", "scenes": [{"stem": "a"}]}')
    with pytest.raises(EarthSignalsError, match="scenes.json: not a list of scenes.*plume-scenes"):
        read_index(tmp_path)
    record = {
        "stem": "a", "day": "d", "split": "dev", "path": "a", "mask": None, "lines": 1, "samples": 1,
        "pixel_m": 1.0,
    }  # fmt: skip
    (tmp_path / "scenes.json").write_text(json.dumps({"source": "synthetic", "scenes": [record]}))
    with pytest.raises(EarthSignalsError, match="split 'dev', expected one of train, validation, test"):
        read_index(tmp_path)


# -------------------------------------------------------------------------------------- manifests
def write_tiles(folder: Path, rows: list[tuple[str, int]], size: int = 256) -> None:
    """Tiles of 4 bands with the row's number as ppm·m, and their table."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, _) in enumerate(rows):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(
            path, "w", driver="GTiff", count=4, height=size, width=size, dtype="float32", nodata=-9999.0,
            crs=PLACE.crs, transform=PLACE.transform, compress="lzw",
        ) as file:  # fmt: skip
            values = np.full((4, size, size), 7.0, np.float32)
            values[3], values[3, 0, 0] = number, -9999.0
            file.write(values)
    write_table(folder / "data_labels.csv", rows)


def write_table(
    path: Path, rows: list[tuple[str, object]], head: tuple[str, ...] = ("path", "label")
) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])


def tile(flightline: str, kind: str, col: int, row: int) -> str:
    return f"{flightline}/{kind}/{flightline}{TILE}{col}+{row}.tif"


@pytest.fixture
def rows() -> list[tuple[str, int]]:
    first, second = FOUR_DAYS[:2]
    return [
        (tile(first, "pos", 519, 1708), 1), (tile(first, "neg", 0, 12), -1), (tile(second, "bg", 3, 9), 0)
    ]  # fmt: skip


def test_tiles_and_their_table(rows: list[tuple[str, int]], tmp_path: Path) -> None:
    write_tiles(tmp_path, rows)
    write_table(tmp_path / "train.csv", rows[:2])
    write_table(tmp_path / "test.csv", rows[2:])
    records = read_manifest(tmp_path)
    assert [record.label for record in records] == [1, 0, 0]
    assert [record.kind for record in records] == [manifest.POS, manifest.NEG, manifest.BG]
    assert [record.published for record in records] == ["train", "train", "test"]
    assert [record.day for record in records] == ["2020-09-01", "2020-09-01", "2020-09-02"]
    # Column before row: 519 lies within a swath of 669 samples, 1708 does not.
    assert (records[0].row, records[0].col, records[0].shape) == (1708, 519, (256, 256))
    for number, record in enumerate(records):
        values = read_tile(record)
        assert values.dtype == np.float32 and values.shape == (256, 256)
        assert np.isnan(values[0, 0]) and (values.ravel()[1:] == number).all()
        assert (read_tile(record, band=1) == 7.0).all()
    assert present(records) == (records, {})


def test_tables_in_other_places(rows: list[tuple[str, int]], tmp_path: Path) -> None:
    """Tiles in `tiles256` beside the table, train and test without a whole, or folders without any table."""
    write_tiles(tmp_path / "tiles256", rows)
    (tmp_path / "tiles256" / "data_labels.csv").rename(tmp_path / "data_labels.csv")
    whole = read_manifest(tmp_path)
    assert present(whole) == (whole, {})
    write_table(tmp_path / "train.csv", rows[1:])
    write_table(tmp_path / "test.csv", rows[:1])
    (tmp_path / "data_labels.csv").unlink()
    parts = read_manifest(tmp_path)
    assert {record.path for record in parts} == {record.path for record in whole}
    (tmp_path / "train.csv").unlink()
    (tmp_path / "test.csv").unlink()
    found = {record.path: (record.kind, record.label) for record in read_manifest(tmp_path)}
    assert found == {record.path: (record.kind, record.label) for record in whole}


def test_a_folder_of_tiles_gives_an_empty_index(
    rows: list[tuple[str, int]], params: PlumeParams, flightlines: Path, tmp_path: Path
) -> None:
    """With tables or with the tree alone; flightlines in folders are no tiles."""
    write_tiles(tmp_path / "tiles", rows, size=8)
    for _ in range(2):
        index = ingest_folder(tmp_path / "tiles", params, tmp_path / "out")
        assert index.scenes == () and index.counts == {"tiles": 3}
        assert read_index(tmp_path / "out") == index
        (tmp_path / "tiles" / "data_labels.csv").unlink(missing_ok=True)
    # STARCOP lays a train.csv of other columns beside its chips: these are flightlines all the same.
    write_table(flightlines / "train.csv", [("ang20190922t192642_r2048", "0.0")], head=("id", "qplume"))
    assert len(ingest_folder(flightlines, params, tmp_path / "out").scenes) == 4
    write_table(tmp_path / "tiles" / "train.csv", rows)
    shutil.rmtree(tmp_path / "tiles" / FOUR_DAYS[0])
    shutil.rmtree(tmp_path / "tiles" / FOUR_DAYS[1])
    assert ingest_folder(tmp_path / "tiles", params, tmp_path / "out").counts == {"tiles": 3}


def test_missing_tiles_are_counted(rows: list[tuple[str, int]], tmp_path: Path) -> None:
    write_tiles(tmp_path, rows)
    (tmp_path / rows[1][0]).unlink()
    records = read_manifest(tmp_path)
    there, counts = present(records)
    assert [record.kind for record in there] == [manifest.POS, manifest.BG]
    assert counts == {manifest.MISSING: 1}
    with pytest.raises(FlightlineError, match="no such file"):
        read_tile(records[1])


def test_tile_of_another_size_is_refused(rows: list[tuple[str, int]], tmp_path: Path) -> None:
    write_tiles(tmp_path, rows[:1], size=200)
    [record] = read_manifest(tmp_path)
    with pytest.raises(FlightlineError, match="has 200 × 200 pixels, its name says 256 × 256; cut it again"):
        read_tile(record)


@pytest.mark.parametrize(
    ("name", "label", "message"),
    [
        (tile("a", "bg", 0, 0), 1, r"line 2: label 1 for a tile in a folder bg/, where expected is 0"),
        (tile("a", "pos", 0, 0), 0, r"folder pos/, where expected is 1"),
        (tile("a", "bg", 0, 0), -1, r"folder bg/"),
        (tile("a", "neg", 0, 0), 2, r"line 2: the label is 2, expected 1 plume"),
        (tile("a", "neg", 0, 0), "", r"the label is missing"),
        (tile("a", "maybe", 0, 0), 0, r"is not of the form"),
        ("b/bg/" + Path(tile("a", "bg", 0, 0)).name, 0, r"is not of the form"),
        ("a/bg/a_tile.tif", 0, r"line 2: the path a/bg/a_tile.tif is not of the form"),
        ("", 0, r"\(empty\) is not of the form"),
    ],
)
def test_rows_that_contradict_themselves(tmp_path: Path, name: str, label: object, message: str) -> None:
    write_table(tmp_path / "data_labels.csv", [(name, label)])
    with pytest.raises(FlightlineError, match=message):
        read_manifest(tmp_path)


def test_tables_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FlightlineError, match="no such folder"):
        read_manifest(tmp_path / "nowhere")
    with pytest.raises(FlightlineError, match="no tile in it"):
        read_manifest(tmp_path)
    row = (tile("a", "bg", 0, 0), 0)
    write_table(tmp_path / "data_labels.csv", [row], head=("file", "class"))
    with pytest.raises(FlightlineError, match="first line is file,class, expected path,label"):
        read_manifest(tmp_path)
    write_table(tmp_path / "data_labels.csv", [row, row])
    with pytest.raises(FlightlineError, match="listed twice"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("campaign", "bg", "neg", "pos", "train", "test"),
    [
        ("COVID_QC", 5185, 61, 216, 4233, 1229), ("CalCH4_v8", 4427, 0, 285, 3724, 988),
        ("Permian_QC", 12505, 174, 1199, 11201, 2602),
    ],
)  # fmt: skip
def test_published_manifests(
    real_data: Path, campaign: str, bg: int, neg: int, pos: int, train: int, test: int
) -> None:
    """Every row parses and agrees with its folder; the published splits have days on both sides."""
    folder = real_data / "plume" / "srcfinder" / "labels" / campaign
    if not folder.is_dir():
        pytest.skip("no published manifests")
    records = read_manifest(folder)
    assert Counter(record.kind for record in records) == Counter({0: bg, 1: neg, 2: pos})
    assert sum(record.label for record in records) == pos
    published = Counter(record.published for record in records)
    assert (published["train"], published["test"]) == (train, test)
    assert present(records) == ([], {manifest.MISSING: len(records)})
    # Column comes first: along a flightline the second number runs further, in all but one of them.
    reach: dict[str, list[int]] = {}
    for record in records:
        far = reach.setdefault(record.flightline, [0, 0])
        far[:] = max(far[0], record.row), max(far[1], record.col)
    assert sum(row < col for row, col in reach.values()) <= 1
    days = {part: {r.day for r in records if r.published == part} for part in ("train", "test")}
    assert days["train"] & days["test"]


def test_a_tile_is_a_flightline_too(rows: list[tuple[str, int]], tmp_path: Path) -> None:
    write_tiles(tmp_path, rows[:1])
    with open_flightline(tmp_path / rows[0][0]) as found:
        assert found.pixel_m == pytest.approx(3.1) and day_of(found.stem) == "2020-09-01"
