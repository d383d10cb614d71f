"""Listing, reading and mirroring a bucket of a real S3 server, and every way in which that goes wrong."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from earthsignals.remotes.bucket import (
    Bucket,
    Object,
    connection,
    list_objects,
    mirror,
    mirroring,
    objects,
    read,
    stat,
)
from earthsignals.storage import EarthSignalsError

from .service import free_port, service

BIG = 3_000_000
SMALL_RANGE = 1 << 18


def noise(name: str, size: int) -> bytes:
    seed = int.from_bytes(hashlib.md5(name.encode(), usedforsecurity=False).digest()[:8], "big")
    return np.random.Generator(np.random.Philox(seed)).bytes(size)


@pytest.fixture(autouse=True)
def keys(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    use_keys(s3, monkeypatch)


def use_keys(server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server["ACCESS_KEY_ID"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server["SECRET_ACCESS_KEY"])


class Place:
    """A prefix of a test's own in the bucket, and the files behind it."""

    def __init__(self, server: dict[str, str], prefix: str) -> None:
        self.server, self.prefix = server, prefix
        self.bucket = Bucket(server["BUCKET"], server["ENDPOINT"], prefix)

    def put(self, files: dict[str, bytes]) -> None:
        """Put `files` (key below the prefix → content), and wait until the server tells them so."""
        for name, content in files.items():
            path = self.path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        expected = {(self.prefix + name, md5(content)) for name, content in files.items()}
        self.wait(lambda: expected <= {(each.key, each.etag) for each in list_objects(self.bucket)})

    def path(self, name: str) -> Path:
        return Path(self.server["FOLDER"]) / self.prefix / name

    def one(self, name: str) -> Object:
        return stat(self.bucket, self.prefix + name)

    @staticmethod
    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture
def place(s3: dict[str, str], request: pytest.FixtureRequest) -> Place:
    return Place(s3, f"{request.node.name.replace('[', '-').rstrip(']')}/")


@pytest.fixture
def mortal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A server that a test may kill."""
    with service("s3", tmp_path / "server") as started:
        use_keys(started, monkeypatch)
        yield Place(started, "days/")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Name and first byte of every range that was asked for; ranges are small."""
    requests: list[tuple[str, int]] = []
    plain = objects._piece

    def told(bucket: Bucket, item: Object, start: int, stop: int) -> bytes:
        requests.append((item.name, start))
        return plain(bucket, item, start, stop)

    monkeypatch.setattr(objects, "_piece", told)
    monkeypatch.setattr(objects, "RANGE", SMALL_RANGE)
    return requests


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and mirroring.STATE not in path.relative_to(folder).parts
    }


def test_objects_are_listed_by_key_with_size_and_md5(place: Place) -> None:
    place.put({"b/2.bz2": b"two", "a/1.bz2": b"", "b/10.bz2": noise("ten", 1000)})
    listed = list_objects(place.bucket)
    assert [each.key.removeprefix(place.prefix) for each in listed] == ["a/1.bz2", "b/10.bz2", "b/2.bz2"]
    assert [each.size for each in listed] == [0, 1000, 3]
    assert [each.etag for each in listed] == [md5(b""), md5(noise("ten", 1000)), md5(b"two")]
    assert all(abs(each.modified.timestamp() - time.time()) < 3600 for each in listed)


def test_a_prefix_is_what_keys_begin_with(place: Place) -> None:
    place.put({"201503/a": b"1", "201504/a": b"2", "other": b"3"})
    half = Bucket(place.bucket.name, place.bucket.endpoint_url, place.prefix + "2015")
    assert [each.key[-8:] for each in list_objects(half)] == ["201503/a", "201504/a"]
    assert list_objects(Bucket(place.bucket.name, place.bucket.endpoint_url, "nothing/here/")) == []


def test_more_than_a_page_is_listed_whole(place: Place) -> None:
    """S3 tells at most a thousand at a time."""
    place.put({f"{number % 5}/{number:04d}": b"x" for number in range(1203)})
    listed = list_objects(place.bucket)
    assert len(listed) == len({each.key for each in listed}) == 1203


def test_reading_gives_the_bytes_in_ranges(place: Place, asked: list[tuple[str, int]]) -> None:
    content = noise("whole", BIG)
    place.put({"whole": content, "empty": b""})
    assert read(place.bucket, place.one("whole")) == content
    assert asked == [("whole", start) for start in range(0, BIG, SMALL_RANGE)]
    assert read(place.bucket, place.one("empty")) == b""


def test_a_mirror_keeps_the_structure_and_fetches_nothing_twice(
    place: Place, tmp_path: Path, asked: list[tuple[str, int]]
) -> None:
    content = {"2015/03/01.bz2": noise("a", 4000), "2015/04/01.bz2": noise("b", 5000), "empty": b"",
               "ünï cödé +&=%20?.bz2": b"name"}  # fmt: skip
    place.put(content)
    first = mirror(place.bucket, tmp_path / "m")
    assert (first.fetched, first.kept, first.bytes, first.refused) == (4, 0, 9004, {})
    assert files_of(tmp_path / "m") == {place.prefix + name: value for name, value in content.items()}
    requests = len(asked)
    again = mirror(place.bucket, tmp_path / "m")
    assert (again.fetched, again.kept, again.bytes) == (0, 4, 0)
    assert len(asked) == requests
    assert [path.name for path in (tmp_path / "m" / ".mirror").iterdir()] in ([], ["lock"])


def test_three_hundred_small_files_come_side_by_side(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {f"{number % 7}/{number:03d}": noise(str(number), 500 + number) for number in range(300)}
    place.put(content)
    plain, together, most = objects._piece, threading.Semaphore(0), []
    under_way: set[int] = set()

    def told(*arguments: object) -> bytes:
        under_way.add(threading.get_ident())
        most.append(len(under_way))
        piece = plain(*arguments)
        under_way.discard(threading.get_ident())
        together.release()
        return piece

    monkeypatch.setattr(objects, "_piece", told)
    done = mirror(place.bucket, tmp_path / "m", workers=8)
    assert (done.fetched, done.bytes) == (300, sum(map(len, content.values())))
    assert 2 <= max(most) <= 8
    assert files_of(tmp_path / "m") == {place.prefix + name: value for name, value in content.items()}


def test_an_object_uploaded_in_parts_comes_whole_and_once(place: Place, tmp_path: Path) -> None:
    content = noise("parts", 11 << 20)
    key = f"{place.prefix}parts"
    server, name = connection.connect(place.bucket), place.bucket.name
    upload = server.call_s3("create_multipart_upload", Bucket=name, Key=key)["UploadId"]
    parts = []
    for number in (1, 2, 3):
        piece = content[(number - 1) * (5 << 20) : number * (5 << 20)]
        answer = server.call_s3(
            "upload_part", Bucket=name, Key=key, UploadId=upload, PartNumber=number, Body=piece
        )
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    server.call_s3(
        "complete_multipart_upload", Bucket=name, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
    )
    place.wait(lambda: [each.size for each in list_objects(place.bucket)] == [len(content)])
    assert mirror(place.bucket, tmp_path).fetched == 1
    assert files_of(tmp_path) == {key: content}
    assert mirror(place.bucket, tmp_path).kept == 1


@pytest.mark.parametrize("damage", ["shorter", "changed", "empty", "longer"])
def test_a_damaged_file_is_noticed_and_comes_again(place: Place, tmp_path: Path, damage: str) -> None:
    content = noise("good", 9000)
    place.put({"good": content, "other": b"other"})
    mirror(place.bucket, tmp_path)
    path = tmp_path / place.prefix / "good"
    path.write_bytes({"shorter": content[:-1], "changed": content[:-1] + b"\0", "empty": b"",
                      "longer": content + b"\0"}[damage])  # fmt: skip
    done = mirror(place.bucket, tmp_path)
    assert (done.fetched, done.kept) == (1, 1)
    assert path.read_bytes() == content


def test_a_read_only_file_with_another_name_in_a_cache_is_replaced_not_edited(
    place: Place, tmp_path: Path
) -> None:
    """As DVC links its outputs."""
    place.put({"linked": b"new"})
    cache = tmp_path / "cache"
    cache.write_bytes(b"old")
    cache.chmod(0o444)
    linked = tmp_path / "m" / place.prefix / "linked"
    linked.parent.mkdir(parents=True)
    os.link(cache, linked)
    mirror(place.bucket, tmp_path / "m")
    assert (linked.read_bytes(), cache.read_bytes()) == (b"new", b"old")


KILLED = """
import sys
from pathlib import Path
from earthsignals.remotes.bucket import Bucket, mirror, objects
objects.RANGE = 1 << 14
mirror(Bucket(sys.argv[1], sys.argv[2], sys.argv[3]), Path(sys.argv[4]))
"""


def test_a_killed_mirror_goes_on_where_it_stopped(
    place: Place, tmp_path: Path, asked: list[tuple[str, int]]
) -> None:
    content = noise("long", 8 * BIG)
    place.put({"long": content})
    bucket = place.bucket
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, bucket.name, str(bucket.endpoint_url), bucket.prefix, str(tmp_path)]
    )
    try:
        deadline = time.monotonic() + 120
        while not any(part.stat().st_size > 1 << 18 for part in tmp_path.glob(".mirror/*.partial")):
            assert child.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    (part,) = tmp_path.glob(".mirror/*.partial")
    had = part.stat().st_size
    assert 1 << 18 < had < len(content) and files_of(tmp_path) == {}

    assert mirror(bucket, tmp_path).fetched == 1
    assert asked == [("long", start) for start in range(had, len(content), SMALL_RANGE)]
    assert files_of(tmp_path) == {f"{place.prefix}long": content}
    assert not part.exists()


def test_a_damaged_beginning_is_replaced(place: Place, tmp_path: Path) -> None:
    content = noise("begun", 50_000)
    place.put({"begun": content})
    for beginning in (b"\0" * 1000, b"\0" * 50_000, b"\0" * 50_001):
        target = mirroring._Target(place.bucket, tmp_path)
        part = target.state(place.one("begun"), ".partial")
        part.parent.mkdir(exist_ok=True)
        part.write_bytes(beginning)
        assert mirror(place.bucket, tmp_path).fetched == 1
        assert (tmp_path / place.prefix / "begun").read_bytes() == content
        (tmp_path / place.prefix / "begun").unlink()


def test_a_server_that_dies_mid_transfer_is_one_sentence_and_what_came_stays(
    mortal: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[tuple[str, int]]
) -> None:
    content = {"1": noise("1", 1000), "2": noise("2", BIG), "3": noise("3", 1000)}
    mortal.put(content)
    told = objects._piece

    def dying(bucket: Bucket, item: Object, start: int, stop: int) -> bytes:
        if (item.name, start) == ("2", 3 * SMALL_RANGE):
            os.kill(int(Path(mortal.server["PID_FILE"]).read_text()), signal.SIGKILL)
        return told(bucket, item, start, stop)

    monkeypatch.setattr(objects, "_piece", dying)
    folder = tmp_path / "m"
    started = time.monotonic()
    with pytest.raises(EarthSignalsError) as caught:
        mirror(mortal.bucket, folder, workers=1)
    assert time.monotonic() - started < 30
    text = str(caught.value)
    assert mortal.server["ENDPOINT"] in text and "does not answer" in text and "is kept" in text
    assert "\n" not in text and mortal.server["SECRET_ACCESS_KEY"] not in text
    assert files_of(folder) == {"days/1": content["1"]}
    (part,) = folder.glob(".mirror/*.partial")
    assert part.read_bytes() == content["2"][: 3 * SMALL_RANGE]

    monkeypatch.setattr(objects, "_piece", told)
    with service("s3", tmp_path / "server") as revived:  # over the same files, at another port
        use_keys(revived, monkeypatch)
        asked.clear()
        done = mirror(Bucket(revived["BUCKET"], revived["ENDPOINT"], "days/"), folder)
    assert (done.fetched, done.kept) == (2, 1)
    assert min(start for name, start in asked if name == "2") == 3 * SMALL_RANGE
    assert files_of(folder) == {f"days/{name}": value for name, value in content.items()}


def test_a_server_that_falls_silent_is_given_up(
    mortal: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[tuple[str, int]]
) -> None:
    """It holds the connection and sends nothing: the libraries alone would wait for half an hour."""
    content = noise("silent", BIG)
    mortal.put({"silent": content})
    monkeypatch.setattr(connection, "SILENCE_S", 0.5)
    monkeypatch.setattr(objects, "PAUSE_S", 0.1)
    connection._connected.cache_clear()
    told, server = objects._piece, int(Path(mortal.server["PID_FILE"]).read_text())

    def stopping(bucket: Bucket, item: Object, start: int, stop: int) -> bytes:
        if start == SMALL_RANGE:
            os.kill(server, signal.SIGSTOP)
        return told(bucket, item, start, stop)

    monkeypatch.setattr(objects, "_piece", stopping)
    started = time.monotonic()
    try:
        with pytest.raises(EarthSignalsError, match="does not answer as an S3 server does"):
            mirror(mortal.bucket, tmp_path / "m")
    finally:
        os.kill(server, signal.SIGCONT)
    assert time.monotonic() - started < 30
    monkeypatch.setattr(objects, "_piece", told)
    monkeypatch.setattr(connection, "SILENCE_S", 30.0)
    connection._connected.cache_clear()
    assert mirror(mortal.bucket, tmp_path / "m").fetched == 1
    assert files_of(tmp_path / "m") == {"days/silent": content}


@pytest.mark.parametrize("way", ["read", "mirror"])
def test_an_object_changed_during_download_comes_as_it_is_now(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[tuple[str, int]], way: str
) -> None:
    """Of the same size, so that only the version tells: the halves are never glued together."""
    old, new = noise("old", BIG), noise("new", BIG)
    place.put({way: old})
    told = objects._piece

    def changing(bucket: Bucket, item: Object, start: int, stop: int) -> bytes:
        piece = told(bucket, item, start, stop)
        if start == SMALL_RANGE and item.etag == md5(old):
            place.put({way: new})
        return piece

    monkeypatch.setattr(objects, "_piece", changing)
    if way == "read":
        assert read(place.bucket, place.one(way)) == new
    else:
        assert mirror(place.bucket, tmp_path).fetched == 1
        assert files_of(tmp_path) == {place.prefix + way: new}
        assert not list(tmp_path.glob(".mirror/*.partial"))
    starts = [start for _, start in asked]
    assert starts[:4] == [0, SMALL_RANGE, 2 * SMALL_RANGE, 0]


def test_an_object_that_keeps_changing_is_refused_with_its_reason_and_others_come(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.put({"still": b"still", "restless": noise("0", 3 * SMALL_RANGE)})
    monkeypatch.setattr(objects, "RANGE", SMALL_RANGE)
    plain, changes = objects._piece, []

    def changing(bucket: Bucket, item: Object, start: int, stop: int) -> bytes:
        piece = plain(bucket, item, start, stop)
        if item.name == "restless" and not start:
            changes.append(item.etag)
            place.put({"restless": noise(str(len(changes)), 3 * SMALL_RANGE)})
        return piece

    monkeypatch.setattr(objects, "_piece", changing)
    done = mirror(place.bucket, tmp_path)
    assert len(changes) == objects.ATTEMPTS
    assert done.fetched == 1 and list(done.refused) == [f"{place.prefix}restless"]
    assert "changes again and again" in done.refused[f"{place.prefix}restless"]
    assert files_of(tmp_path) == {f"{place.prefix}still": b"still"}


def test_an_object_that_went_away_is_refused_and_others_come(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.put({"gone": b"gone", "here": b"here"})
    gone, here = list_objects(place.bucket)
    place.path("gone").unlink()
    place.wait(lambda: len(list_objects(place.bucket)) == 1)
    monkeypatch.setattr(mirroring, "list_objects", lambda bucket: [gone, here])
    done = mirror(place.bucket, tmp_path)
    assert done.fetched == 1 and "is not in the bucket any more" in done.refused[gone.key]


def test_a_wrong_secret_is_named_and_no_secret_is_shown(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.put({"a": b"a"})
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-but-still-secret")
    for doing in (lambda: list_objects(place.bucket), lambda: mirror(place.bucket, tmp_path / "m")):
        with pytest.raises(EarthSignalsError, match="refused the keys.*AWS_ACCESS_KEY_ID") as caught:
            doing()
        text = str(caught.value)
        assert "wrong-but" not in text and os.environ["AWS_ACCESS_KEY_ID"] not in text and "\n" not in text
        assert caught.value.__cause__ is None and caught.value.__suppress_context__
    assert files_of(tmp_path / "m") == {}


def test_keys_of_a_profile_are_used_and_a_missing_one_is_named(
    s3: dict[str, str], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.put({"a": b"a"})
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"]).write_text(
        f"[radars]\naws_access_key_id = {s3['ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {s3['SECRET_ACCESS_KEY']}\n"
    )
    name, address = place.bucket.name, place.bucket.endpoint_url
    assert len(list_objects(Bucket(name, address, place.prefix, profile="radars"))) == 1
    with pytest.raises(EarthSignalsError, match="no profile `radar` in ~/.aws"):
        list_objects(Bucket(name, address, profile="radar"))
    with pytest.raises(EarthSignalsError, match="wants keys and there are none.*AWS_ACCESS_KEY_ID"):
        list_objects(Bucket(name, address))


def test_a_bucket_that_does_not_exist_is_named(s3: dict[str, str]) -> None:
    with pytest.raises(EarthSignalsError, match="has no bucket `no-such-bucket`"):
        list_objects(Bucket("no-such-bucket", s3["ENDPOINT"]))


def test_nothing_listening_is_said_at_once(tmp_path: Path) -> None:
    nowhere = Bucket("superdarn", f"http://127.0.0.1:{free_port()}")
    started = time.monotonic()
    with pytest.raises(EarthSignalsError, match="does not answer.*check endpoint_url and the network"):
        mirror(nowhere, tmp_path)
    assert time.monotonic() - started < 20


def test_the_endpoint_may_stand_in_the_environment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.put({"a": b"a"})
    monkeypatch.setenv("AWS_ENDPOINT_URL", str(place.bucket.endpoint_url))
    assert len(list_objects(Bucket(place.bucket.name, prefix=place.prefix))) == 1


def test_two_mirrors_do_not_write_into_one_another(place: Place, tmp_path: Path) -> None:
    from filelock import FileLock

    place.put({"a": b"a"})
    (tmp_path / ".mirror").mkdir()
    with (
        FileLock(tmp_path / ".mirror" / "lock"),
        pytest.raises(EarthSignalsError, match="another run is mirroring"),
    ):
        mirror(place.bucket, tmp_path)
    assert mirror(place.bucket, tmp_path).fetched == 1


def test_what_is_in_the_way_is_refused_and_left(place: Place, tmp_path: Path) -> None:
    place.put({"day/a": b"a", "night": b"n", "free": b"f"})
    (tmp_path / place.prefix / "night").mkdir(parents=True)
    (tmp_path / place.prefix / "day").write_bytes(b"mine")
    done = mirror(place.bucket, tmp_path)
    assert done.fetched == 1 and len(done.refused) == 2
    assert (tmp_path / place.prefix / "day").read_bytes() == b"mine"


def test_records_come_from_a_bucket_as_from_a_folder_and_a_corrupt_one_stays_where_it_is(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from earthsignals.superdarn.params import SuperdarnParams
    from earthsignals.superdarn.records.gridfile import write_grid
    from earthsignals.superdarn.records.vectors import DTYPES, Vectors
    from earthsignals.superdarn.source import prepare_records

    monkeypatch.setenv("EARTHSIGNALS_WORKERS", "1")
    columns = {name: np.full(5, 10.0) for name in DTYPES} | {
        "start_s": np.full(5, 1425168000.0), "end_s": np.full(5, 1425168120.0), "mlat": 60.5 + np.arange(5),
        "index": np.arange(5),
    }  # fmt: skip
    day = tmp_path / "day.grid.bz2"
    write_grid(day, Vectors(**columns))
    whole = day.read_bytes()
    files = {"2015/day.grid.bz2": whole, "2015/corrupt.grid.bz2": whole[: len(whole) // 3]}
    place.put(files)
    (tmp_path / "folder" / "2015").mkdir(parents=True)
    for name, content in files.items():
        (tmp_path / "folder" / name).write_bytes(content)
    where = {"bucket": place.bucket.name, "endpoint_url": place.bucket.endpoint_url, "prefix": place.prefix}
    summary = prepare_records(SuperdarnParams(source="s3", s3=where), tmp_path / "s3")
    prepare_records(SuperdarnParams(source=str(tmp_path / "folder")), tmp_path / "local")

    (refusal,) = summary.refused
    assert "corrupt.grid.bz2" in refusal.detail and summary.vectors == 5
    (name,) = [each.name for each in (tmp_path / "s3").glob("*.grid.bz2")]
    assert (tmp_path / "s3" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()
    assert {each.key for each in list_objects(place.bucket)} == {place.prefix + name for name in files}


def test_the_command_mirrors_and_says_what_came(place: Place, tmp_path: Path) -> None:
    import typer
    from typer.testing import CliRunner

    from earthsignals.cli.mirror import mirror as command

    app = typer.Typer()
    app.command()(command)
    place.put({"a.grid.bz2": b"a", "b.txt": b"b"})
    address = f"s3://{place.bucket.name}/{place.prefix}"
    options = ["--endpoint-url", str(place.bucket.endpoint_url)]
    done = CliRunner().invoke(app, [address, str(tmp_path), *options, "--include", "*.grid.bz2"])
    assert done.exit_code == 0 and "1 files came" in done.output
    assert files_of(tmp_path) == {f"{place.prefix}a.grid.bz2": b"a"}
    none = CliRunner().invoke(app, [address, str(tmp_path), *options, "--include", "*.nc"])
    assert isinstance(none.exception, EarthSignalsError) and "holds no objects" in str(none.exception)
    (tmp_path / place.prefix / "b.txt").mkdir()
    refused = CliRunner().invoke(app, [place.bucket.name, str(tmp_path), *options, "--prefix", place.prefix])
    assert refused.exit_code == 1 and "1 refused" in refused.output


def test_make_storage_starts_a_store_with_keys_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ..project import ROOT

    def storage(word: str) -> str:
        return subprocess.run(
            [ROOT / "deploy" / "storage.sh", word, tmp_path / "store"], check=True, capture_output=True,
            text=True, timeout=60,
        ).stdout  # fmt: skip

    told = storage("start")
    try:
        exports = dict(
            line.removeprefix("export ").split("=", 1)
            for line in (tmp_path / "store" / "exports.sh").read_text().splitlines()
        )
        assert all(f"export {name}={value}" in told for name, value in exports.items())
        assert (tmp_path / "store").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "store" / "exports.sh").stat().st_mode & 0o777 == 0o600
        for name, value in exports.items():
            monkeypatch.setenv(name, value)
        (tmp_path / "store" / "objects" / "superdarn" / "day").write_bytes(b"records")
        Place.wait(lambda: bool(list_objects(Bucket("superdarn"))))
        (day,) = list_objects(Bucket("superdarn"))
        assert read(Bucket("superdarn"), day) == b"records"
        assert "running already" in storage("start")
        assert exports["AWS_SECRET_ACCESS_KEY"] in storage("start")  # of the store that runs
    finally:
        assert "has ended" in storage("stop")
    assert "No store is running" in storage("stop")
    with pytest.raises(EarthSignalsError, match="does not answer"):
        list_objects(Bucket("superdarn"))
