"""Embedding users' scenes, and finding windows like a given one."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from PIL import Image

from earthsignals.clouds.dense.fields import read_map
from earthsignals.clouds.dense.nearest import query_at
from earthsignals.clouds.dense.shared import embed_scene
from earthsignals.clouds.imagery.index import Entry, write_index
from earthsignals.clouds.imagery.scene import Scene, write_scene
from earthsignals.clouds.params import CloudsParams
from earthsignals.clouds.predict import embed_files, map_scenes, similar
from earthsignals.storage import EarthSignalsError
from tests.clouds.embedding_stand_ins import TILE_KM, TILE_PX, make_model, make_noise

MODEL = make_model()


def write(folder: Path, *scenes: Scene) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for scene in scenes:
        write_scene(folder / f"{scene.name}.nc", scene)
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_every_scene_of_a_folder_becomes_a_map_and_the_rest_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", make_noise(number=0), make_noise(number=1), make_noise((100, 90), 2))
    whole = (folder / "noise-1.nc").read_bytes()
    (folder / "cut.nc").write_bytes(whole[: len(whole) // 3])
    said = embed_files([folder], MODEL, tmp_path / "out", 16)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "noise-0.nc",
        "noise-1.nc",
        "refused.csv",
    ]
    expected = embed_scene(MODEL, make_noise(number=1), 16).values
    np.testing.assert_allclose(read_map(tmp_path / "out/noise-1.nc").values, expected, rtol=1e-6)
    refused = {row["file"]: row["reason"] for row in rows_of(tmp_path / "out/refused.csv")}
    assert set(refused) == {"cut.nc", "noise-2.nc"}
    assert "100 x 90 pixels, expected at least one window of 128" in refused["noise-2.nc"]
    assert said.startswith(f"{tmp_path / 'out'}: 2 scenes, {2 * 5 * 8} windows; 2 refused")


def test_a_scene_on_other_pixels_is_brought_onto_the_model_s(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", make_noise((150, 150), tile_px=64))  # of twice the size
    embed_files(folder / "noise-0.nc", MODEL, tmp_path / "out", 32)
    dense = read_map(tmp_path / "out/noise-0.nc")
    assert dense.plane.pixel_km == pytest.approx(32 * TILE_KM / TILE_PX)
    assert dense.windows.shape == ((300 - 128) // 32 + 1,) * 2


def test_inputs_are_never_overwritten_and_nothing_is_an_error(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", make_noise())
    before = (folder / "noise-0.nc").read_bytes()
    with pytest.raises(EarthSignalsError, match="is one of the inputs and would be overwritten"):
        embed_files(folder, MODEL, folder)
    assert (folder / "noise-0.nc").read_bytes() == before
    small = write(tmp_path / "small", make_noise((60, 60)), make_noise((60, 60), 1))
    with pytest.raises(
        EarthSignalsError, match=r"no scene could be used: scene noise-0 has 60 x 60.*and 1 more"
    ):
        embed_files(small, MODEL, tmp_path / "out")
    with pytest.raises(EarthSignalsError, match="absent does not exist"):
        embed_files(tmp_path / "absent", MODEL, tmp_path / "out")


def test_two_scenes_of_one_name_are_not_written_over_one_another(tmp_path: Path) -> None:
    write(tmp_path / "in/a", make_noise())
    write(tmp_path / "in/b", make_noise())
    said = embed_files(tmp_path / "in", MODEL, tmp_path / "out", 32)
    assert "1 scenes" in said and "1 refused" in said
    assert "another scene has the name noise-0" in rows_of(tmp_path / "out/refused.csv")[0]["reason"]


def test_study_scenes_of_all_regimes_and_the_series_are_mapped(tmp_path: Path) -> None:
    folder, entries = tmp_path / "scenes", []
    for number in range(9):
        regime, series = ("fish", "sugar", "gravel")[number % 3], number == 8
        scene = replace(make_noise((130, 140), number), regime=regime, series=series)
        write(folder, scene)
        split = "train" if number == 0 else "study"
        entries.append(Entry.of(scene, folder / f"{scene.name}.nc", split))
    write_index(folder, entries, {}, {})
    params = CloudsParams.model_validate({"embed": {"scenes": 3, "step_px": 8}})
    counts = map_scenes(folder, MODEL, params, tmp_path / "maps")
    # Of study, by regime: fish 3, 6; gravel 2, 5; sugar 1, 4, 7: first, middle, last; 8 is the series.
    assert sorted(path.stem for path in (tmp_path / "maps").iterdir()) == [
        "noise-3",
        "noise-5",
        "noise-7",
        "noise-8",
    ]
    assert counts == {"maps": 4, "windows": 4 * 1 * 2, "windows_missing": 0}


def repeated(number: int = 0) -> Scene:
    """A scene whose window at rows 0 to 127 and columns 0 to 127 comes again from (160, 320) on."""
    scene = make_noise((300, 460), number)
    values = scene.values.copy()
    values[:, 160:288, 320:448] = values[:, :128, :128]
    return replace(scene, values=values)


def test_the_same_pattern_elsewhere_is_the_nearest(tmp_path: Path) -> None:
    scene = repeated()
    folder = write(tmp_path / "in", scene)
    at = scene.plane.geolocate(63.5, 63.5)
    said = similar(folder / "noise-0.nc", at, MODEL, tmp_path / "out", count=4)
    rows = rows_of(tmp_path / "out/similar.csv")
    assert (rows[0]["row"], rows[0]["column"]) == ("160", "320")
    assert float(rows[0]["distance"]) < 1e-5
    centre = scene.plane.geolocate(160 + 63.5, 320 + 63.5)
    assert [float(rows[0][name]) for name in ("latitude", "longitude")] == pytest.approx(centre, abs=1e-4)
    distances = [float(row["distance"]) for row in rows]
    assert distances == sorted(distances) and distances[1] > 1e-3
    places = np.array([[0, 0], *([int(row["row"]), int(row["column"])] for row in rows)])
    apart = np.abs(places[:, None] - places[None]).max(-1)
    assert (apart[~np.eye(len(places), dtype=bool)] >= TILE_PX).all()  # nothing overlaps, nor the query
    assert f"{len(rows)} windows like that at" in said
    with Image.open(tmp_path / "out/similar.png") as picture:
        assert min(picture.size) > 200


def test_other_scenes_are_searched_and_name_their_time(tmp_path: Path) -> None:
    scene, other = make_noise((200, 240)), make_noise((200, 240), 1)
    values = other.values.copy()
    values[:, 16:144, 32:160] = scene.values[:, 50:178, 60:188]
    folder = write(tmp_path / "in", scene, replace(other, values=values))
    (folder / "broken.nc").write_bytes(b"CDF")
    at = scene.plane.geolocate(50 + 63.5, 60 + 63.5)
    said = similar(folder / "noise-0.nc", at, MODEL, tmp_path / "out", among=[folder], count=3)
    rows = rows_of(tmp_path / "out/similar.csv")
    # No window of its own scene is left beside the query: 200 x 240 pixels hold one.
    assert [row["scene"] for row in rows] == ["noise-1"]
    assert rows[0]["time"] == "2020-01-01T13:00:00+00:00" and float(rows[0]["distance"]) < 1e-5
    assert "1 refused" in said and rows_of(tmp_path / "out/refused.csv")[0]["file"] == "broken.nc"
    with pytest.raises(EarthSignalsError, match="no window without missing pixels is left"):
        similar(folder / "noise-0.nc", at, MODEL, tmp_path / "out")


def test_points_without_a_whole_window_are_refused_by_a_sentence() -> None:
    scene = make_noise()
    with pytest.raises(EarthSignalsError, match=r"200 km around 15, -20 reaches beyond scene noise-0"):
        query_at(MODEL, scene, (15.0, -20.0))
    with pytest.raises(EarthSignalsError, match="reaches beyond scene"):
        query_at(MODEL, scene, (15.0, 130.0))  # the far side of the globe
    valid = scene.valid.copy()
    valid[90:110] = False
    gappy = replace(scene, valid=valid, values=np.where(valid, scene.values, 0).astype(np.uint8))
    with pytest.raises(EarthSignalsError, match=r"lacks 15\.6% of its pixels"):
        query_at(MODEL, gappy, (15.0, -50.0))


def test_windows_are_found_across_the_antimeridian(tmp_path: Path) -> None:
    scene = repeated()
    moved = replace(scene, plane=replace(scene.plane, longitude=179.5))
    folder = write(tmp_path / "in", moved)
    at = moved.plane.geolocate(63.5, 63.5)
    similar(folder / "noise-0.nc", at, MODEL, tmp_path / "out", count=1)
    (row,) = rows_of(tmp_path / "out/similar.csv")
    assert at[1] > 0 > float(row["longitude"])  # west of the line, and east of it
    assert (row["row"], row["column"]) == ("160", "320")


def test_files_of_others_are_never_replaced(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", make_noise())
    mine = write(tmp_path / "mine", make_noise(number=3))
    (mine / "noise-3.nc").rename(mine / "noise-0.nc")  # another scene under the result's name
    before = (mine / "noise-0.nc").read_bytes()
    with pytest.raises(EarthSignalsError, match="is there already and no map of embeddings"):
        embed_files(folder, MODEL, mine)
    assert (mine / "noise-0.nc").read_bytes() == before
    table = tmp_path / "tables/refused.csv"
    table.parent.mkdir()
    table.write_text("station,why\n")
    with pytest.raises(EarthSignalsError, match="not of this command"):
        embed_files(folder, MODEL, table.parent)
    assert table.read_text() == "station,why\n"
    with pytest.raises(EarthSignalsError, match="cannot be a folder of results"):
        embed_files(folder, MODEL, table)
    embed_files(folder, MODEL, tmp_path / "out", 32)
    embed_files(folder, MODEL, tmp_path / "out", 64)  # a map of ours is
    assert read_map(tmp_path / "out/noise-0.nc").windows.step == 64


def test_one_odd_file_stops_nothing(tmp_path: Path) -> None:
    """A place that is none, no known pixel at all: told, and the rest is done."""
    empty = replace(make_noise(number=1), valid=np.zeros(make_noise().plane.shape, bool))
    odd = make_noise(number=2)
    folder = write(tmp_path / "in", make_noise(), empty, odd)
    with netCDF4.Dataset(folder / "noise-2.nc", "a") as file:
        file["crs"].setncattr("left_km", float("nan"))
    said = embed_files(folder, MODEL, tmp_path / "out", 64)
    refused = {row["file"]: row["reason"] for row in rows_of(tmp_path / "out/refused.csv")}
    assert "no window of it has enough known pixels" in refused["noise-1.nc"]
    assert "plane" in refused["noise-2.nc"] and ": 1 scenes" in said
    assert not (tmp_path / "out/noise-1.nc").exists()


def test_a_copy_of_the_scene_is_not_searched_and_its_namesake_is(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", repeated())
    copy = write(tmp_path / "copy", replace(repeated(), name="copy"))
    namesake = write(tmp_path / "other", replace(repeated(1), name=repeated().name, time=repeated().time))
    middle = repeated().plane.geolocate(64, 64)
    similar(folder, middle, MODEL, tmp_path / "out", among=[copy, namesake], count=6, step_px=64)
    folders = {Path(row["file"]).parent.name for row in rows_of(tmp_path / "out/similar.csv")}
    assert "copy" not in folders and "other" in folders
