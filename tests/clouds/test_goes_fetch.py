"""Downloads from a real S3 server: once, whole, continued after a kill, and a sentence when they fail."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from earthsignals.clouds.goes import fetch as fetching
from earthsignals.clouds.goes.fetch import RemoteFile, fetch, fetch_one, list_folder
from earthsignals.storage import EarthSignalsError

from .goes_stand_ins import BucketServer, bucket_server, file_name, free_port

PREFIX = "ABI-L1b-RadF/2019/001/15/"
NOON = dt.datetime(2019, 1, 1, 15, 0, 20, tzinfo=dt.UTC)
BUCKET = "noaa-goes16"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketServer]:
    with bucket_server(tmp_path_factory.mktemp("buckets")) as started:
        for band, size in (("C01", 200_000), ("C02", 24_000_000), ("C03", 50_000)):
            put(started, file_name(band, NOON, product="ABI-L1b-RadF"), noise(band, size))
        put(started, file_name("C04", NOON, product="ABI-L1b-RadF"), noise("old", 3000))
        put(started, "index.html", b"no scan")
        yield started


@pytest.fixture(autouse=True)
def endpoint(server: BucketServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    monkeypatch.setenv("EARTHSIGNALS_WORKERS", "1")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """File and first byte of every request for bytes that this process makes."""
    requests: list[tuple[str, int]] = []
    plain = fetching._bytes_of

    def told(remote: str, start: int, stop: int) -> bytes:
        requests.append((remote.rsplit("/", 1)[1], start))
        return plain(remote, start, stop)

    monkeypatch.setattr(fetching, "_bytes_of", told)
    return requests


def noise(name: str, size: int) -> bytes:
    seed = int.from_bytes(name.encode(), "big")
    return np.random.Generator(np.random.Philox(seed)).bytes(size)


def put(server: BucketServer, name: str, content: bytes) -> Path:
    path = server.folder / BUCKET / PREFIX / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def listed(cache: Path, *bands: str) -> list[RemoteFile]:
    files = list_folder(BUCKET, PREFIX, cache)
    return [file for file in files if any(f"M6{band}_" in file.name for band in bands)]


def test_a_folder_lists_its_scans_with_size_and_md5(server: BucketServer, tmp_path: Path) -> None:
    files = list_folder(BUCKET, PREFIX, tmp_path)
    assert [file.size for file in files] == [200_000, 24_000_000, 50_000, 3000]  # index.html is no scan
    assert files[0].etag == hashlib.md5(noise("C01", 200_000)).hexdigest()
    assert list_folder(BUCKET, PREFIX.replace("/15/", "/16/"), tmp_path) == []


def test_files_come_whole_in_the_order_asked_and_only_once(
    server: BucketServer, tmp_path: Path, asked: list[tuple[str, int]]
) -> None:
    files = listed(tmp_path, "C03", "C01")[::-1]
    paths = fetch(files, tmp_path)
    assert [path.read_bytes() for path in paths] == [noise("C03", 50_000), noise("C01", 200_000)]
    assert paths[0] == tmp_path / BUCKET / PREFIX / files[0].name
    assert len(asked) == 2
    assert fetch(files, tmp_path) == paths
    assert len(asked) == 2
    assert not list(tmp_path.rglob("*.part"))


def test_what_was_fetched_is_used_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = fetch(listed(tmp_path, "C01"), tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    assert fetch(listed(tmp_path, "C01"), tmp_path) == paths


@pytest.mark.parametrize("damage", ["shorter", "changed", "empty"])
def test_a_damaged_file_in_the_cache_is_noticed_and_fetched_again(tmp_path: Path, damage: str) -> None:
    (file,) = listed(tmp_path, "C01")
    path = fetch_one(file, tmp_path)
    whole = path.read_bytes()
    path.write_bytes({"shorter": whole[:-1], "changed": whole[:-1] + b"\0", "empty": b""}[damage])
    assert path.read_bytes() != whole
    assert fetch_one(file, tmp_path).read_bytes() == whole


def test_a_file_that_was_put_in_parts_has_no_md5_and_is_held_to_that_of_its_arrival(
    tmp_path: Path, asked: list[tuple[str, int]]
) -> None:
    (file,) = listed(tmp_path, "C01")
    in_parts = dataclasses.replace(file, etag=file.etag + "-3")
    path = fetch_one(in_parts, tmp_path)
    fetch_one(in_parts, tmp_path)
    assert len(asked) == 1
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"\0")
    assert fetch_one(in_parts, tmp_path).read_bytes() == whole
    assert len(asked) == 2
    fetch_one(dataclasses.replace(file, etag="0" * 32 + "-3"), tmp_path)  # another object now
    assert len(asked) == 3


def test_bytes_other_than_listed_are_refused_and_do_not_stay(tmp_path: Path) -> None:
    (file,) = listed(tmp_path, "C03")
    with pytest.raises(EarthSignalsError, match=f"{file.name}: .* do not have the listed MD5"):
        fetch_one(dataclasses.replace(file, etag="0" * 32), tmp_path)
    left = {path.name for path in (tmp_path / BUCKET / PREFIX).iterdir()}
    assert left == {"listing.json"}


def test_a_damaged_beginning_of_a_download_is_replaced(tmp_path: Path) -> None:
    (file,) = listed(tmp_path, "C01")
    part = tmp_path / BUCKET / PREFIX / f".{file.name}.{file.etag}.part"
    for beginning in (b"\0" * 1000, b"\0" * 200_000, b"\0" * 200_001):
        part.write_bytes(beginning)
        assert fetch_one(file, tmp_path).read_bytes() == noise("C01", 200_000)
        (tmp_path / BUCKET / file.key).unlink()


KILLED = """
import sys
from pathlib import Path
from earthsignals.clouds.goes import fetch as fetching
fetching._RANGE = 1 << 16
files = fetching.list_folder(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
fetching.fetch([file for file in files if "M6C02_" in file.name], Path(sys.argv[3]))
"""


def test_a_killed_download_goes_on_where_it_stopped(
    server: BucketServer, tmp_path: Path, asked: list[tuple[str, int]]
) -> None:
    child = subprocess.Popen([sys.executable, "-c", KILLED, BUCKET, PREFIX, str(tmp_path)])
    deadline = time.monotonic() + 300
    try:
        while not any(part.stat().st_size >= 1 << 20 for part in tmp_path.rglob("*.part")):
            assert child.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    (part,) = tmp_path.rglob("*.part")
    had = part.stat().st_size
    assert 1 << 20 <= had < 24_000_000

    (file,) = listed(tmp_path, "C02")
    (path,) = fetch([file], tmp_path)
    assert path.read_bytes() == noise("C02", 24_000_000)
    assert [start for _, start in asked] == list(range(had, 24_000_000, fetching._RANGE))
    assert not part.exists()


def test_a_range_that_fails_is_asked_for_again_and_what_came_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = listed(tmp_path, "C01")
    plain, calls = fetching._bytes_of, []

    def failing(remote: str, start: int, stop: int) -> bytes:
        calls.append(start)
        if len(calls) in (2, 3):
            raise ConnectionResetError("reset by peer")
        return plain(remote, start, stop)

    monkeypatch.setattr(fetching, "_bytes_of", failing)
    monkeypatch.setattr(fetching, "_RANGE", 100_000)
    assert fetch_one(file, tmp_path).read_bytes() == noise("C01", 200_000)
    assert calls == [0, 100_000, 100_000, 100_000]


def test_an_object_that_changed_since_is_not_glued_to_the_old_beginning(
    server: BucketServer, tmp_path: Path
) -> None:
    old, new = noise("old", 3000), noise("new", 3000)
    (file,) = listed(tmp_path, "C04")
    assert file.etag == hashlib.md5(old).hexdigest()
    part = tmp_path / BUCKET / PREFIX / f".{file.name}.{file.etag}.part"
    part.write_bytes(old[:1000])
    put(server, file.name, new)
    deadline = time.monotonic() + 120  # the server looks at its folders anew after 50 ms
    while file.etag != hashlib.md5(new).hexdigest():
        assert time.monotonic() < deadline
        time.sleep(0.05)
        (tmp_path / BUCKET / PREFIX / "listing.json").unlink()
        (file,) = listed(tmp_path, "C04")
    assert fetch_one(file, tmp_path).read_bytes() == new


def test_without_a_network_it_says_so_in_one_sentence_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = listed(tmp_path, "C01")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    for doing in (lambda: list_folder(BUCKET, PREFIX, tmp_path / "other"), lambda: fetch([file], tmp_path)):
        started = time.monotonic()
        with pytest.raises(EarthSignalsError) as caught:
            doing()
        assert time.monotonic() - started < 10
        text = str(caught.value)
        assert "the bucket noaa-goes16 at http://127.0.0.1" in text and "check the network" in text
        assert "\n" not in text and "Traceback" not in text


def test_a_bucket_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(EarthSignalsError, match="has no bucket noaa-goes99"):
        list_folder("noaa-goes99", PREFIX, tmp_path)


def test_an_object_that_went_away_after_it_was_listed_is_named(tmp_path: Path) -> None:
    gone = RemoteFile(BUCKET, PREFIX + "gone.nc", 10, "0" * 32)
    with pytest.raises(EarthSignalsError, match=r"gone\.nc is listed, but is not in the bucket any more"):
        fetch_one(gone, tmp_path)


def test_two_runs_do_not_write_into_one_another(tmp_path: Path) -> None:
    files = listed(tmp_path, "C01")
    with FileLock(tmp_path / ".lock"), pytest.raises(EarthSignalsError, match="another run is fetching"):
        fetch(files, tmp_path)
    assert len(fetch(files, tmp_path)) == 1


def test_a_full_disk_is_said_and_what_came_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file,) = listed(tmp_path, "C01")
    monkeypatch.setattr(fetching, "_RANGE", 100_000)
    plain, written = fetching._write, []

    def full(path: Path, piece: bytes) -> None:
        if written:
            raise OSError(28, "No space left on device")
        written.append(plain(path, piece))

    monkeypatch.setattr(fetching, "_write", full)
    with pytest.raises(EarthSignalsError, match="No space left on device.*goes on where it stopped"):
        fetch_one(file, tmp_path)
    (part,) = tmp_path.rglob("*.part")
    assert part.read_bytes() == noise("C01", 200_000)[:100_000]
