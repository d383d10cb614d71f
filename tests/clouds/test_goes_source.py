"""From dates and hours to scenes: whole scans from a real server, counts of what is left out, and a kill."""

from __future__ import annotations

import csv
import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from earthsignals.clouds.goes import plan
from earthsignals.clouds.goes.buckets import bucket, prefix
from earthsignals.clouds.goes.composites import LOWEST_SUN
from earthsignals.clouds.goes.plan import wanted_times
from earthsignals.clouds.goes.source import files_in, read_local, write_scenes
from earthsignals.clouds.goes.sun import elevation, solar_noon
from earthsignals.clouds.imagery.index import read_index
from earthsignals.clouds.imagery.refusal import RefusedScene
from earthsignals.clouds.imagery.scene import read_scene
from earthsignals.clouds.params import CloudsParams
from earthsignals.storage import EarthSignalsError, md5_path

from .goes_stand_ins import BucketServer, bucket_server, file_name, free_port, write_l1b
from .test_goes_composites import fixed_grid

PLACE = (12.0, -58.0)
DAYS = [dt.date(2019, 5, day) for day in (1, 2, 3, 4)]
FULL = "ABI-L1b-RadF"
DOMAIN = {"west": -59.5, "east": -56.5, "south": 10.5, "north": 13.5}


def params(cache: Path, **goes: object) -> CloudsParams:
    chosen = {
        "composite": "bt_14", "domain": DOMAIN, "first_day": DAYS[0].isoformat(), "cache": str(cache),
        "last_day": DAYS[-1].isoformat(), "hours_from_noon": [0.0, 3.0],
    }  # fmt: skip
    given = {
        "source": "goes", "grid": {"tile_km": 200.0, "tile_px": 32}, "goes": {**chosen, **goes},
        "network": {"architecture": "resnet18", "padding": "zero", "scattering": False},
    }  # fmt: skip
    import json

    return CloudsParams.model_validate_json(json.dumps(given))


def scan_start(day: dt.date, hours: float) -> dt.datetime:
    """Start of the full-disc scan next to that time: every ten minutes, 21 seconds past."""
    asked = solar_noon(day, PLACE[1]) + dt.timedelta(hours=hours)
    return asked.replace(minute=asked.minute // 10 * 10, second=21, microsecond=0)


def put_scan(
    server: BucketServer, folder: Path, start: dt.datetime, bands: tuple[str, ...] = ("C14",), seed: int = 0
) -> list[Path]:
    rng = np.random.Generator(np.random.Philox([seed, int(start.timestamp())]))
    infrared, light = rng.uniform(220, 300, (250, 250)), rng.uniform(0.05, 0.6, (250, 250))
    return [
        server.put(
            write_l1b(folder, band, infrared if band == "C14" else light, start, centre=fixed_grid(*PLACE),
                      product=FULL, step_km=2.0),
            "noaa-goes16", prefix(FULL, start.date(), start.hour),
        )
        for band in bands
    ]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketServer]:
    """Four days: noon and three hours later; no C03 in one scan, no scan at all at another time."""
    made = tmp_path_factory.mktemp("l1b")
    with bucket_server(tmp_path_factory.mktemp("buckets")) as started:
        for day in DAYS:
            for hours in (0.0, 3.0):
                if (day, hours) != (DAYS[3], 3.0):
                    colours = ("C01", "C02") if (day, hours) == (DAYS[2], 0.0) else ("C01", "C02", "C03")
                    put_scan(started, made, scan_start(day, hours), ("C14", *colours))
        yield started


@pytest.fixture(autouse=True)
def settings(server: BucketServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    monkeypatch.setenv("EARTHSIGNALS_WORKERS", "1")


def refused_of(out: Path) -> dict[str, list[str]]:
    with open(out / "refused.csv", newline="") as file:
        return {row["file"]: [row["reason"], row["detail"]] for row in csv.DictReader(file)}


def test_times_are_hours_from_local_noon_and_dark_ones_are_left_out_for_a_visible_product() -> None:
    goes = params(Path("."), composite="true_colour", hours_from_noon=[-8.0, 0.0, 5.0, 11.0]).goes
    wanted, left = wanted_times(goes)
    assert [one.time for one in wanted[:2]] == [
        solar_noon(DAYS[0], -58.0) + dt.timedelta(hours=hours) for hours in (0, 5)
    ]
    assert len(wanted) == len(left) == 8 and {one.reason for one in left} == {"night"}
    assert all(elevation(one.time, *PLACE) >= LOWEST_SUN for one in wanted)
    assert {one.satellite for one in wanted} == {16}
    wanted, left = wanted_times(goes.model_copy(update={"composite": "bt_14"}))
    assert len(wanted) == 16 and not left


def test_a_satellite_outside_of_its_years_and_a_domain_out_of_sight_are_refused() -> None:
    with pytest.raises(EarthSignalsError, match="GOES-17 was not in operation on 2018-12-01|was the first"):
        wanted_times(params(Path("."), satellite="17", first_day="2018-12-01").goes)
    with pytest.raises(EarthSignalsError, match="GOES-19 was not in operation on 2019-05-01.*GOES-16"):
        wanted_times(params(Path("."), satellite="19").goes)
    east = {"west": 90.0, "east": 100.0, "south": 0.0, "north": 10.0}
    with pytest.raises(EarthSignalsError, match="does not show the domain's centre, 5.0° N, 95.0° E"):
        wanted_times(params(Path("."), domain=east).goes)
    with pytest.raises(EarthSignalsError, match="ABI-L1b-RadC of GOES-16 does not show"):
        wanted_times(params(Path("."), product="ABI-L1b-RadC").goes)


def test_the_satellite_changes_within_a_period() -> None:
    goes = params(Path("."), first_day="2025-04-05", last_day="2025-04-08", hours_from_noon=[0.0]).goes
    assert [one.satellite for one in wanted_times(goes)[0]] == [16, 16, 19, 19]


def test_scenes_come_with_their_index_and_what_gave_none_is_counted(tmp_path: Path) -> None:
    out = tmp_path / "scenes"
    index = write_scenes(params(tmp_path / "cache"), out, resume_root=tmp_path / "resume")
    assert index == read_index(out)
    assert index.refused == {"no-scan": 1}
    asked = solar_noon(DAYS[3], -58.0) + dt.timedelta(hours=3)
    told = "noaa-goes16 has no scan of the product near that time"
    assert refused_of(out) == {f"{asked:%Y-%m-%dT%H:%M:%SZ}": ["no-scan", told]}
    assert len(index.entries) == 7
    assert {entry.split for entry in index.entries} == {"train", "validation", "study"}
    for day in DAYS:
        assert len({entry.split for entry in index.entries if entry.day == day.isoformat()}) == 1
    assert index.about["satellites"] == [16] and index.about["composite"] == "bt_14"
    scene = read_scene(out / index.entries[0].file)
    assert scene.time == scan_start(DAYS[0], 0.0)
    assert scene.name == f"G16_RadF_{scene.time:%Y%m%dT%H%M%SZ}"
    assert scene.product == "infrared" and scene.bands == ("C14",) * 3
    assert (scene.plane.latitude, scene.plane.longitude) == pytest.approx(PLACE)
    # Three degrees are some 330 km; the stand-ins show about 500.
    assert min(scene.plane.shape) * scene.plane.pixel_km > 320 and scene.valid.all()
    assert scene.values.std() > 10
    assert not (tmp_path / "resume").exists() or not any((tmp_path / "resume").iterdir())


def test_what_was_fetched_gives_the_same_bytes_again_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = params(tmp_path / "cache", hours_from_noon=[0.0])
    write_scenes(given, tmp_path / "one", resume_root=tmp_path / "resume")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")  # all is in the cache
    write_scenes(given, tmp_path / "two", resume_root=tmp_path / "resume")
    assert md5_path(tmp_path / "one") == md5_path(tmp_path / "two")


def test_missing_bands_in_the_bucket_are_counted_and_named(tmp_path: Path) -> None:
    out = tmp_path / "scenes"
    given = params(tmp_path / "cache", composite="true_colour", hours_from_noon=[0.0, 3.0, 10.0])
    index = write_scenes(given, out, resume_root=tmp_path / "resume")
    assert index.refused == {"missing-bands": 1, "night": 4, "no-scan": 1}
    assert len(index.entries) == 6
    told = [detail for reason, detail in refused_of(out).values() if reason == "missing-bands"]
    assert told == [f"noaa-goes16 has no C03 of G16_RadF_{scan_start(DAYS[2], 0.0):%Y%m%dT%H%M%SZ}"]
    assert read_scene(out / index.entries[0].file).bands == ("red", "green", "blue")
    fetched = {path.name.split("M6")[1][:3] for path in (tmp_path / "cache").rglob("OR_*.nc")}
    assert fetched == {"C01", "C02", "C03"}  # not C14, and nothing of the broken scan
    assert len(list((tmp_path / "cache").rglob("OR_*.nc"))) == 18


def test_two_times_that_take_one_scan_give_one_scene(tmp_path: Path) -> None:
    given = params(tmp_path / "cache", hours_from_noon=[0.0, 0.01])
    index = write_scenes(given, tmp_path / "scenes", resume_root=tmp_path / "resume")
    assert index.refused == {"duplicate": 4} and len(index.entries) == 4


def test_a_damaged_object_in_the_bucket_is_refused_and_the_others_stay(
    server: BucketServer, tmp_path: Path
) -> None:
    start = scan_start(DAYS[1], 3.0)
    path = server.folder / "noaa-goes16" / prefix(FULL, start.date(), start.hour)
    path /= file_name("C14", start, product=FULL)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    time.sleep(0.2)
    try:
        out = tmp_path / "scenes"
        index = write_scenes(params(tmp_path / "cache"), out, resume_root=tmp_path / "resume")
        assert index.refused == {"no-scan": 1, "unreadable": 1} and len(index.entries) == 6
        assert any("no whole ABI L1b file" in detail for _, detail in refused_of(out).values())
    finally:
        path.write_bytes(whole)
        time.sleep(0.2)


def test_all_dark_is_said_without_a_download(tmp_path: Path) -> None:
    given = params(tmp_path / "cache", composite="true_colour", hours_from_noon=[12.0])
    with pytest.raises(EarthSignalsError, match=r"4 night.*the sun stands -\d+° high"):
        write_scenes(given, tmp_path / "scenes", resume_root=tmp_path / "resume")
    assert not (tmp_path / "cache").exists() and not (tmp_path / "scenes").exists()


def test_no_network_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    started = time.monotonic()
    with pytest.raises(EarthSignalsError, match="check the network") as caught:
        write_scenes(params(tmp_path / "cache"), tmp_path / "scenes", resume_root=tmp_path / "resume")
    assert time.monotonic() - started < 15 and "\n" not in str(caught.value)
    assert not (tmp_path / "scenes").exists()


RUN = """
import sys
from pathlib import Path
from tests.clouds.test_goes_source import params
from earthsignals.clouds.goes.source import write_scenes
folder = Path(sys.argv[1])
if __name__ == "__main__":
    write_scenes(params(folder / "cache"), folder / "scenes", resume_root=folder / "resume")
"""


def test_a_killed_run_of_two_workers_goes_on_and_gives_the_bytes_of_one(tmp_path: Path) -> None:
    write_scenes(params(tmp_path / "cache"), tmp_path / "whole", resume_root=tmp_path / "other")
    root = Path(__file__).resolve().parents[2]
    environment = os.environ | {"EARTHSIGNALS_WORKERS": "2"}
    child = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path)], cwd=root, env=environment)
    deadline = time.monotonic() + 300
    try:
        while len(list((tmp_path / "resume").rglob("*.json"))) < 2:
            assert child.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert not (tmp_path / "scenes").exists()
    waiting = {path: path.stat().st_mtime_ns for path in (tmp_path / "resume").rglob("*.nc")}
    assert waiting
    write_scenes(params(tmp_path / "cache"), tmp_path / "scenes", resume_root=tmp_path / "resume")
    assert md5_path(tmp_path / "scenes") == md5_path(tmp_path / "whole")
    times = {path.stat().st_mtime_ns for path in (tmp_path / "scenes").glob("*.nc")}
    assert set(waiting.values()) & times  # those that waited were not made again


def test_hours_at_the_edge_look_into_the_neighbouring_folders() -> None:
    one = plan.Wanted(16, dt.datetime(2019, 12, 31, 23, 55, tzinfo=dt.UTC))
    assert plan._folders(one, FULL) == [
        (bucket(16), "ABI-L1b-RadF/2019/365/23/"), (bucket(16), "ABI-L1b-RadF/2020/001/00/"),
    ]  # fmt: skip


def test_files_of_a_folder_come_together_by_scan(tmp_path: Path) -> None:
    start = dt.datetime(2019, 5, 1, 16, 0, 21, tzinfo=dt.UTC)
    later = start + dt.timedelta(minutes=10)
    for folder, band, when in (("a", "C01", start), ("b/c", "C02", start), ("a", "C01", later),
                               ("b", "C01", start)):  # fmt: skip
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / file_name(band, when)).touch()
    (tmp_path / "other.nc").touch()
    scans = files_in(tmp_path)
    assert [[path.relative_to(tmp_path).parent.as_posix() for path in scan] for scan in scans] == [
        ["a", "b/c"], ["a"]
    ]  # fmt: skip


def test_a_mesoscale_sector_shows_itself_and_a_small_one_is_refused(tmp_path: Path) -> None:
    start = scan_start(DAYS[0], 0.0)
    path = write_l1b(tmp_path, "C14", np.full((250, 250), 250.0), start, centre=fixed_grid(20.0, -50.0))
    scene = read_local([path], params(tmp_path))
    assert (scene.plane.latitude, scene.plane.longitude) == pytest.approx((20.0, -50.0), abs=0.02)
    assert scene.name.startswith("G16_RadM1_20190501T")
    small = write_l1b(tmp_path / "s", "C14", np.full((20, 20), 250.0), start, centre=fixed_grid(20.0, -50.0))
    with pytest.raises(RefusedScene, match="a tile 32 x 32") as caught:
        read_local([small], params(tmp_path))
    assert caught.value.reason == "too-small"


def test_real_files_become_scenes(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "clouds" / "goes_l1b"
    if not folder.is_dir():
        pytest.skip(f"no GOES files at {folder}")
    scans = files_in(folder)
    assert [len(scan) for scan in scans] == [1, 7]  # a day sector of PACUS with C06, a night sector
    scene = read_local(scans[1], params(tmp_path, composite="infrared_rgb"))
    assert scene.name == "G17_RadM1_20191201T102727Z" and scene.product == "infrared"
    assert scene.time == dt.datetime(2019, 12, 1, 10, 27, 27, 500_000, tzinfo=dt.UTC)
    with pytest.raises(RefusedScene, match="missing-bands|has no C01, C02, C03"):
        read_local(scans[1], params(tmp_path, composite="true_colour"))
    pacific = {"west": -140.0, "east": -134.0, "south": 32.0, "north": 38.0}
    day = read_local(scans[0], params(tmp_path, composite=["C06", "C06", "C06"], domain=pacific))
    assert day.valid.all() and day.product == "visible"
    with pytest.raises(RefusedScene, match="no pixel around 12.0° N, -58.0° E"):
        read_local(scans[0], params(tmp_path, composite=["C06", "C06", "C06"]))
