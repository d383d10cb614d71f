"""Objects of a bucket without a server: what keys may be, whose checksum counts, which keys are refused."""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from earthsignals.remotes.bucket import (
    Bucket,
    Object,
    ObjectError,
    faults,
    mirror,
    mirroring,
    objects,
    read,
    refuse_keys,
)
from earthsignals.remotes.bucket.mirroring import sort_out
from earthsignals.storage import EarthSignalsError

BUCKET = Bucket("superdarn", "http://127.0.0.1:9")
WHEN = dt.datetime(2015, 3, 1, tzinfo=dt.UTC)
MIB = 1 << 20


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def in_parts(content: bytes, size: int) -> str:
    """ETag of an upload in parts, as Amazon documents it."""
    digests = [bytes.fromhex(md5(content[start : start + size])) for start in range(0, len(content), size)]
    return f"{md5(b''.join(digests))}-{len(digests)}"


def an_object(content: bytes, etag: str | None = None, key: str = "day") -> Object:
    return Object(key, len(content), md5(content) if etag is None else etag, WHEN)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make `contents` (key → bytes) what ranges come from, and `head` what the server tells of objects."""

    def serve(contents: dict[str, bytes], listed: list[Object] | None = None, **head: Any) -> None:
        def piece(bucket: Bucket, item: Object, start: int, stop: int) -> bytes:
            return contents[item.key][start:stop]

        def told(bucket: Bucket, key: str, **further: Any) -> dict[str, Any]:
            return {"ContentLength": len(contents[key])} | head

        monkeypatch.setattr(objects, "_piece", piece)
        monkeypatch.setattr(objects, "_head", told)
        if listed is not None:
            monkeypatch.setattr(mirroring, "list_objects", lambda bucket: listed)

    return serve


# keys of objects


@pytest.mark.parametrize("key", [
    "../up", "a/../../up", "a/..", "/etc/passwd", "..", "a\\..\\b", "a\nb", "a\0b", "a//b", "./a", "a/./b",
    "", "x" * 256, "a/" + "ü" * 128, ".mirror/lock",
])  # fmt: skip
def test_keys_that_are_no_path_below_the_folder_are_refused_and_counted(key: str) -> None:
    wanted, refused = sort_out([an_object(b"x", key=key), an_object(b"x", key="good")])
    assert [each.key for each in wanted] == ["good"]
    assert list(refused) == [key] and refused[key]


@pytest.mark.parametrize("key", ["a..b/c..", "a/b c", "ü" * 127, "...", "C:/x", "-rf", "a/.mirror/b", "~/x"])
def test_keys_that_only_look_odd_are_files(key: str) -> None:
    assert [each.key for each in sort_out([an_object(b"x", key=key)])[0]] == [key]


def test_the_name_of_an_object_can_be_a_files_wherever_its_key_leads() -> None:
    names = {key: an_object(b"", key=key).name for key in ("a/b.nc", "b.nc", "a/", "a/..", "x\0", "y" * 256)}
    assert list(names.values()) == ["b.nc", "b.nc", *["object"] * 4]


def test_nothing_is_written_outside_the_folder(tmp_path: Path, served: Callable[..., None]) -> None:
    keys = ["../up", str(tmp_path / "absolute"), "in/a"]
    served(dict.fromkeys(keys, b"x"), [an_object(b"x", key=key) for key in keys])
    done = mirror(BUCKET, tmp_path / "m")
    assert (done.fetched, sorted(done.refused)) == (1, sorted(keys[:2]))
    assert {path.name for path in tmp_path.iterdir()} == {"m"}
    assert (tmp_path / "m" / "in" / "a").read_bytes() == b"x"


def test_a_name_cannot_be_file_and_folder(tmp_path: Path, served: Callable[..., None]) -> None:
    served({"a": b"1", "a/b/c": b"2"}, [an_object(b"1", key="a"), an_object(b"2", key="a/b/c")])
    done = mirror(BUCKET, tmp_path)
    assert done.fetched == 1 and list(done.refused) == ["a"] and "folder" in done.refused["a"]


def test_marks_of_folders_are_counted_and_make_nothing(tmp_path: Path, served: Callable[..., None]) -> None:
    listed = [an_object(b"", key="a/"), an_object(b"1", key="a/b"), an_object(b"full", key="c/")]
    served({"a/b": b"1"}, listed)
    done = mirror(BUCKET, tmp_path)
    assert (done.folders, done.fetched, list(done.refused)) == (1, 1, ["c/"])


# checksums


def test_the_etag_of_parts_is_recomputed(served: Callable[..., None]) -> None:
    content = bytes(range(256)) * (MIB // 64)  # 4 MiB
    item = an_object(content, in_parts(content, MIB))
    served({"day": content}, PartsCount=4, ContentLength=MIB)
    assert objects.agrees(BUCKET, item, content) is True
    assert objects.agrees(BUCKET, item, content[:-1] + b"\0") is False
    assert objects.agrees(BUCKET, item, content[:-1]) is False


def test_parts_of_an_untold_size_are_found_where_it_is_whole_mebibytes(served: Callable[..., None]) -> None:
    content = bytes(range(251)) * (20 * MIB // 251)
    served({"day": content})
    for size in (5 * MIB, 8 * MIB, 15 * MIB):
        assert objects.agrees(BUCKET, an_object(content, in_parts(content, size)), content) is True
    assert objects.agrees(BUCKET, an_object(content, in_parts(content, len(content))), content) is True
    # A size that cannot be guessed: nothing can be said, and nothing is condemned.
    assert objects.agrees(BUCKET, an_object(content, in_parts(content, 5 * MIB + 1)), content) is None


def test_a_server_that_knows_no_parts_refuses_nothing(
    served: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(6 * MIB)
    served({"day": content})

    def unknown(*arguments: Any, **further: Any) -> dict[str, Any]:
        raise ObjectError("answered with NotImplemented")

    monkeypatch.setattr(objects, "_head", unknown)
    assert objects.agrees(BUCKET, an_object(content, in_parts(content, 5 * MIB)), content) is True
    assert objects.agrees(BUCKET, an_object(content, "0" * 32), content) is False


def test_etags_are_compared_as_the_server_writes_them() -> None:
    """Google's are base64, and capitals count; hexadecimal ones may have either."""
    assert objects._etag({"ETag": '"CKih16GjycICEAE="'}) == "CKih16GjycICEAE="
    assert objects._etag({"ETag": 'W/"abc"'}) == 'W/"abc'
    assert objects._etag({}) == ""
    assert objects.agrees(BUCKET, an_object(b"x", md5(b"x").upper()), b"x") is True


def test_an_encrypted_objects_etag_is_no_md5_though_it_looks_like_one(served: Callable[..., None]) -> None:
    item = an_object(b"content", "0" * 32)
    served({"day": b"content"}, ServerSideEncryption="aws:kms")
    assert objects.agrees(BUCKET, item, b"content") is None
    assert read(BUCKET, item) == b"content"
    served({"day": b"content"}, ServerSideEncryption="AES256")  # with Amazon's own keys it is the MD5
    assert objects.agrees(BUCKET, item, b"content") is False


def test_without_a_checksum_a_file_is_held_to_that_of_its_arrival(
    tmp_path: Path, served: Callable[..., None]
) -> None:
    item = an_object(b"content", "a mark")
    served({"day": b"content"}, [item])
    assert (mirror(BUCKET, tmp_path).fetched, mirror(BUCKET, tmp_path).kept) == (1, 1)
    (tmp_path / "day").write_bytes(b"contemt")
    assert mirror(BUCKET, tmp_path).fetched == 1
    assert (tmp_path / "day").read_bytes() == b"content"
    served({"day": b"CONTENT"}, [an_object(b"CONTENT", "another mark")])
    assert mirror(BUCKET, tmp_path).fetched == 1
    assert (tmp_path / "day").read_bytes() == b"CONTENT"


def test_bytes_without_the_listed_checksum_are_refused_and_do_not_stay(
    tmp_path: Path, served: Callable[..., None]
) -> None:
    bad, good = an_object(b"content", "0" * 32, "bad"), an_object(b"good", key="good")
    served({"bad": b"content", "good": b"good"}, [bad, good])
    with pytest.raises(ObjectError, match=r"superdarn/bad cannot be had: .* do not have the listed checksum"):
        read(BUCKET, bad)
    done = mirror(BUCKET, tmp_path)
    assert (done.fetched, list(done.refused)) == (1, ["bad"])
    assert not (tmp_path / "bad").exists() and not list((tmp_path / ".mirror").glob("*.partial"))


def test_a_range_that_fails_is_asked_for_again(
    served: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(range(200))
    served({"day": content})
    monkeypatch.setattr(objects, "RANGE", 100)
    monkeypatch.setattr(objects, "PAUSE_S", 0.0)
    plain, calls = objects._piece, []

    def failing(bucket: Bucket, item: Object, start: int, stop: int) -> bytes:
        calls.append(start)
        if len(calls) in (2, 3):
            raise ConnectionResetError("reset by peer")
        return plain(bucket, item, start, stop)

    monkeypatch.setattr(objects, "_piece", failing)
    assert read(BUCKET, an_object(content)) == content
    assert calls == [0, 100, 100, 100]


def test_a_full_disk_is_said_and_what_came_stays(
    tmp_path: Path, served: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    served({"a": b"a", "b": b"b"}, [an_object(b"a", key="a"), an_object(b"b", key="b")])
    plain = mirroring._Target._grown

    def full(self: Any, item: Object, bar: Any) -> Path:
        if item.key == "b":
            raise OSError(errno.ENOSPC, "No space left on device")
        return plain(self, item, bar)

    monkeypatch.setattr(mirroring._Target, "_grown", full)
    with pytest.raises(EarthSignalsError, match="cannot be written .No space left.*free some space"):
        mirror(BUCKET, tmp_path, workers=1)
    assert (tmp_path / "a").read_bytes() == b"a"


# errors


@pytest.mark.parametrize(("code", "kind", "words"), [
    ("SignatureDoesNotMatch", EarthSignalsError, "refused the keys"),
    ("InvalidAccessKeyId", EarthSignalsError, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ("NoSuchKey", ObjectError, "not in the bucket any more"),
    ("AccessDenied", ObjectError, "may not be read with these keys"),
    ("InvalidObjectState", ObjectError, "answered with InvalidObjectState"),
    ("SlowDown", EarthSignalsError, "does not answer as an S3 server does"),
    ("PreconditionFailed", faults.Changed, "^$"),
    ("InvalidRange", faults.Changed, "^$"),
])  # fmt: skip
def test_what_a_server_answers_becomes_a_sentence(code: str, kind: type, words: str) -> None:
    answer = ClientError({"Error": {"Code": code, "Message": "AWSAccessKeyId=AKIASECRET"}}, "GetObject")
    wrapped = OSError("as s3fs does")
    wrapped.__cause__ = answer
    for error in (answer, wrapped):
        with (
            pytest.raises(kind, match=words) as caught,
            faults.trouble(lambda found: faults.as_object_error(BUCKET, "day", found)),
        ):
            raise error
        assert "AKIASECRET" not in str(caught.value) and "\n" not in str(caught.value)
        assert type(caught.value) is kind


def test_missing_keys_are_named() -> None:
    assert "AWS_ACCESS_KEY_ID" in str(faults.as_bucket_error(BUCKET, NoCredentialsError()))


@pytest.mark.parametrize("address", [
    "127.0.0.1:9000", "ftp://host", "http://", "http://host:0", "http://host:99999", "http://id:hidden@host",
])  # fmt: skip
def test_an_address_that_is_none_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(EarthSignalsError, match="endpoint_url is no address") as caught:
        Bucket("superdarn", address)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "s3://superdarn", "a/b", "a b", "x" * 64, ".hidden"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(EarthSignalsError, match="is no name of a bucket"):
        Bucket(name)


def test_a_secret_in_the_environments_address_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://id:hidden@host:9000")
    assert Bucket("superdarn").shown == "s3://superdarn/ (http://host:9000)"


# keys in a configuration


@pytest.mark.parametrize("name", [
    "MINIOAccesskey", "MINIOSecretkey", "MINIOSecret", "aws_access_key_id", "AWS_SECRET_ACCESS_KEY",
    "secret_key", "secret", "accessKey", "aws-session-token", "password", "key", "token", "S3_KEY",
])  # fmt: skip
def test_keys_are_refused_at_any_depth_with_the_remedy(name: str) -> None:
    for values in ({name: "hidden"}, {"s3": {name: "hidden"}}, {"list": [{name: ""}]}):
        with pytest.raises(EarthSignalsError, match="AWS_ACCESS_KEY_ID") as caught:
            refuse_keys(values, source="params.yaml", prefix="superdarn")
        text = str(caught.value)
        assert text.startswith("params.yaml: `superdarn.") and f"{name}`" in text and "hidden" not in text


def test_all_keys_are_named_in_one_go() -> None:
    with pytest.raises(EarthSignalsError, match="`MINIOAccesskey`, `s3.secret_key` would hold"):
        refuse_keys({"MINIOAccesskey": "a", "s3": {"bucket": "b", "secret_key": "c"}})


def test_a_value_that_is_a_key_is_refused_whatever_its_name() -> None:
    for value in ("AKIAIOSFODNN7EXAMPLE", "http://id:hidden@host:9000", ["x", "ASIAIOSFODNN7EXAMPLE"]):
        with pytest.raises(EarthSignalsError, match="`bucket") as caught:
            refuse_keys({"bucket": value})
        assert "EXAMPLE" not in str(caught.value) and "hidden" not in str(caught.value)


def test_the_parameters_that_the_pipelines_have_are_no_keys() -> None:
    from earthsignals.params import read_yaml

    root = Path(__file__).parents[2]
    like = {"endpoint_url": "https://minio.example.org:9000", "bucket": "superdarn", "MINIOHost": "h",
            "MINIOPort": 9000, "bucket_name": "b", "embed_dim": 128, "num_heads": (8, 16), "tokens": 3,
            "monkey": 1, "logger": None, "url": "s3://superdarn/me@home"}  # fmt: skip
    for values in (read_yaml(root / "params.yaml"), read_yaml(root / "scales.yaml"), like):
        assert refuse_keys(values) is None


def test_importing_it_loads_no_client() -> None:
    """It is imported where --help must be quick."""
    code = (
        "import sys; import earthsignals.remotes.bucket, earthsignals.cli.mirror; "
        "print(*sorted({'s3fs', 'boto3', 'botocore', 'aiohttp', 'fsspec', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_store_that_docker_starts_is_read_only_and_on_the_loopback() -> None:
    from earthsignals.params import read_yaml

    (service,) = read_yaml(Path(__file__).parents[2] / "deploy" / "storage.yaml")["services"].values()
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert "--read-only" in service["command"]
    assert all(volume.endswith(":ro") for volume in service["volumes"])
    assert ":?" in service["environment"]["RCLONE_AUTH_KEY"]  # no keys, no store
