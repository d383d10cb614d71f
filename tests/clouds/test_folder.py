"""A folder of files as scenes: mixtures, refusals, duplicates, resuming, the same bytes with any workers."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from earthsignals.clouds.imagery import folder as folder_module
from earthsignals.clouds.imagery.files import Source, at_pixel, find_sources, read_file, read_source
from earthsignals.clouds.imagery.folder import write_scenes
from earthsignals.clouds.imagery.index import INDEX, Index, read_index
from earthsignals.clouds.imagery.scene import Scene, read_scene, write_scene
from earthsignals.clouds.params import CloudsParams
from earthsignals.clouds.source import prepare_scenes
from earthsignals.storage import EarthSignalsError, md5_path, sha256_file
from tests.clouds.test_scene import small_scene

SMALL = {"architecture": "resnet18", "padding": "zero", "scattering": False}  # a network for small tiles
PARAMS = CloudsParams(source="folder", grid={"tile_km": 128.0, "tile_px": 32}, network=SMALL)


def write_picture(path: Path, seed: int, degrees: float = 3.0) -> Path:
    """Noise on `degrees` of longitude and latitude, one and the same for a seed."""
    size = 60
    noise = np.random.default_rng(seed).integers(40, 255, (size, size, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    named = path.with_name(f"{path.stem}_10-{10 + degrees:g}_20-{20 + degrees:g}{path.suffix}")
    Image.fromarray(noise).save(named)
    return named


@pytest.fixture(autouse=True)
def one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting workers would take longer than the work."""
    monkeypatch.setenv("EARTHSIGNALS_WORKERS", "1")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Four good pictures of four days."""
    for day in range(1, 5):
        write_picture(tmp_path / f"in/p2020010{day}.png", day)
    return tmp_path / "in"


def run(source: Path, params: CloudsParams = PARAMS) -> Index:
    return write_scenes(params, source, source.parent / "out", resume_root=source.parent / "resume")


def refusals(source: Path) -> dict[str, str]:
    with (source.parent / "out" / "refused.csv").open(newline="") as file:
        return {row["file"]: row["reason"] for row in csv.DictReader(file)}


def test_files_become_scenes_and_an_index(source: Path) -> None:
    index = run(source)
    out = source.parent / "out"
    assert index == read_index(out)
    assert len(index.entries) == 4 and index.refused == {}
    assert {entry.split for entry in index.entries} == {"train", "validation", "study"}
    assert index.about["sources"] == 4 and index.about["source"] == "folder"
    for entry in index.entries:
        scene = read_scene(out / entry.file)
        assert (entry.rows, entry.columns) == scene.plane.shape
        assert entry.sha256 == sha256_file(out / entry.file)
        assert scene.plane.pixel_km == PARAMS.grid.pixel_km
        assert entry.day == f"2020-01-0{entry.name[8]}"
    assert not list((source.parent / "resume").iterdir())  # nothing is left behind


def test_what_is_no_scene_is_refused_and_counted(source: Path) -> None:
    whole = next(source.glob("p20200101*"))
    (source / "broken_20200105_10-13_20-23.png").write_bytes(whole.read_bytes()[:500])
    (source / "truncated.nc").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    write_picture(source / "small20200106.png", 6, degrees=0.5)  # 55 km; a tile has 128
    write_picture(source / "nodate.png", 7)
    Image.open(whole).save(source / "nowhere20200107.png")
    (source / "notes.txt").write_text("no image, and not taken for one")
    index = run(source)
    assert index.refused == {"no-place": 1, "no-time": 1, "too-small": 1, "unreadable": 2}
    assert len(index.entries) == 4
    told = refusals(source)
    assert told["small20200106_10-10.5_20-20.5.png"] == "too-small"
    assert told["truncated.nc"] == told["broken_20200105_10-13_20-23.png"] == "unreadable"
    assert len(told) == 5


def test_the_same_scene_twice_counts_once(source: Path) -> None:
    first = next(source.glob("p20200101*"))
    shutil.copy(first, source / "q20200109_10-13_20-23.png")  # the same pixels under another date
    (source / "copy").mkdir()
    shutil.copy(first, source / "copy" / first.name)
    timed = [write_picture(source / f"{name}20200110T1015.png", seed) for name, seed in (("x", 8), ("y", 9))]
    index = run(source)
    assert index.refused == {"duplicate": 3}
    # Other pixels of the same bands, place and minute: processed twice.
    assert refusals(source)[timed[1].name] == "duplicate"
    assert len(index.entries) == 5


def test_two_satellites_on_one_day_are_two_scenes(source: Path) -> None:
    write_picture(source / "terra20200101.png", 11)  # a date alone, as in p20200101
    index = run(source)
    assert index.refused == {} and len(index.entries) == 5
    assert len({entry.split for entry in index.entries if entry.day == "2020-01-01"}) == 1


def test_equal_names_in_several_folders_are_kept_apart(source: Path) -> None:
    write_picture(source / "a/p20200101.png", 21)
    write_picture(source / "b/p20200101.png", 22)
    index = run(source)
    names = {entry.name for entry in index.entries}
    assert names >= {"p20200101_10-13_20-23", "p20200101_10-13_20-23-2", "p20200101_10-13_20-23-3"}
    for entry in index.entries:
        assert read_scene(source.parent / "out" / entry.file).name == entry.name


def test_nothing_left_is_one_sentence(tmp_path: Path) -> None:
    for day in range(1, 4):
        write_picture(tmp_path / f"in/p2020010{day}.png", day, degrees=0.5)
    with pytest.raises(EarthSignalsError, match=r"none of its 3 files .* \(3 too-small\)") as caught:
        run(tmp_path / "in")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_two_days_are_too_few(tmp_path: Path) -> None:
    for day in range(1, 3):
        write_picture(tmp_path / f"in/p2020010{day}.png", day)
    with pytest.raises(EarthSignalsError, match="at least three days"):
        run(tmp_path / "in")


def test_folders_without_scenes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EarthSignalsError, match="does not exist"):
        find_sources(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(EarthSignalsError, match="holds no scene"):
        find_sources(tmp_path)


def test_scans_are_put_together_across_folders_and_copies_are_kept_apart(tmp_path: Path) -> None:
    names = [f"OR_ABI-L1b-RadM1-M6C{band}_G17_s2019335102727{band[0]}_e20193351027344_c20193351027405.nc"
             for band in ("13", "14")]  # fmt: skip
    odd = "OR_ABI-L1b-RadM1-odd.nc"
    for place in (f"a/{names[0]}", f"b/{names[1]}", f"c/{names[0]}", f"c/{odd}"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(b"")
    found = [(source.name, len(source.paths), source.is_scan) for source in find_sources(tmp_path)]
    assert found == [(f"a/{names[0]}", 2, True), (f"c/{names[0]}", 1, True), (f"c/{odd}", 1, False)]
    (alone,) = find_sources(tmp_path / "a" / names[0])
    assert (alone.name, alone.is_scan) == (names[0], True)


def test_our_own_scenes_are_read_as_they_are(tmp_path: Path) -> None:
    params = PARAMS.model_copy(update={"grid": PARAMS.grid.model_copy(update={"tile_km": 50.0})})
    assert params.grid.pixel_km == 1.5625  # as theirs
    for day in range(1, 4):
        scene = small_scene()
        darker = small_scene(time=scene.time.replace(day=day), values=scene.values // day, series=False)
        write_scene(tmp_path / f"in/s{day}.nc", darker)
    series = small_scene(values=scene.values // 5, time=scene.time.replace(day=9))
    write_scene(tmp_path / "in/hourly.nc", series)
    index = run(tmp_path / "in", params)
    assert len(index.entries) == 4 and index.refused == {}
    assert [entry.name for entry in index.of("study", series=True)] == ["hourly"]
    assert {entry.regime for entry in index.entries} == {"fish"}
    back = read_scene(tmp_path / "out" / "s2.nc")
    assert (back.values == small_scene().values // 2).all() and set(back.truth) == set(small_scene().truth)


def test_other_pixels_are_averaged_and_lose_their_truth() -> None:
    scene = small_scene(values=np.full((3, 60, 75), 100, np.uint8) * small_scene().valid)
    coarse = at_pixel(scene, 3.125)
    assert coarse.plane.shape == (30, 37) and coarse.plane.pixel_km == 3.125
    assert set(coarse.values[:, coarse.valid].ravel()) == {100}
    assert not coarse.valid[:5, :10].any() and coarse.valid[6:, 11:].all()  # the unknown corner
    assert coarse.truth == {}
    assert at_pixel(scene, scene.plane.pixel_km) is scene


def test_a_killed_run_goes_on(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(source)
    digest = md5_path(source.parent / "out")
    shutil.rmtree(source.parent / "out")
    made: list[str] = []

    def read(one: Source, params: CloudsParams) -> Scene:
        made.append(one.name)
        if len(made) == 3:
            raise KeyboardInterrupt
        return read_source(one, params)

    monkeypatch.setattr(folder_module, "read_source", read)
    with pytest.raises(KeyboardInterrupt):
        run(source)
    assert not (source.parent / "out").exists()
    (work,) = (source.parent / "resume").iterdir()
    spoiled = work / "000000.nc"  # as a disk may leave it
    spoiled.write_bytes(spoiled.read_bytes()[:-100])
    assert run(source) == whole
    first, _, third, fourth = sorted(path.name for path in source.iterdir())
    assert made[3:] == [first, third, fourth]  # the second was there
    assert md5_path(source.parent / "out") == digest


def test_changed_files_and_parameters_are_not_resumed(source: Path) -> None:
    def key(params: CloudsParams) -> str:
        return folder_module._key(find_sources(source), params)

    first = key(PARAMS)
    assert key(PARAMS) == first
    assert key(PARAMS.model_copy(update={"source": "elsewhere"})) == first  # the files count
    assert key(CloudsParams(grid={"tile_km": 100.0})) != first
    next(source.glob("p20200101*")).write_bytes(b"changed")
    assert key(PARAMS) != first


def test_the_number_of_workers_changes_no_byte(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = []
    for workers in ("1", "2"):
        monkeypatch.setenv("EARTHSIGNALS_WORKERS", workers)
        run(source)
        digests.append(md5_path(source.parent / "out"))
    assert digests[0] == digests[1]


def test_the_source_is_chosen_by_its_name(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source.parent)
    index = prepare_scenes(PARAMS.model_copy(update={"source": "in"}), source.parent / "scenes")
    assert (source.parent / "scenes" / INDEX).is_file()
    assert index.about["source"] == "in" and len(index.entries) == 4


def test_a_single_file_is_read_by_its_kind(source: Path, tmp_path: Path) -> None:
    picture = next(source.glob("*.png"))
    assert read_file(picture, 4.0).product == "visible"
    write_scene(tmp_path / "s.nc", small_scene())
    assert read_file(tmp_path / "s.nc", 1.5625).regime == "fish"
    with pytest.raises(EarthSignalsError, match="expected a file that ends in"):
        read_file(tmp_path / "s.zip", 4.0)


def test_real_files_of_all_kinds(real_data: Path, tmp_path: Path) -> None:
    """A MODIS picture, GOES scans of single bands and a GOES GeoTIFF in one folder."""
    patterns = ("sffg/*20071227*", "sffg/Fish*", "goes_l2_cmip_tif/*C03*", "goes_l1b/*C14*", "goes_l1b/*C06*")
    found = [sorted((real_data / "clouds").glob(pattern)) for pattern in patterns]
    if not all(found):
        pytest.skip(f"no real cloud images at {real_data / 'clouds'}")
    (tmp_path / "in").mkdir()
    for paths in found:
        (tmp_path / "in" / paths[0].name).symlink_to(paths[0])
    params = CloudsParams(
        source="in", grid={"tile_km": 400.0, "tile_px": 32}, goes={"composite": "bt_14"}, network=SMALL
    )
    index = run(tmp_path / "in", params)
    assert {entry.day for entry in index.entries} == {"2007-12-27", "2019-12-01", "2021-05-25"}
    # The prototype Fish has no place; of one scan C06 alone is there.
    assert index.refused == {"no-place": 1, "missing-bands": 1}
