"""The objects of a bucket: listed, and read in ranges that are all of one version and have its checksum."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from earthsignals.remotes.bucket import checksums
from earthsignals.remotes.bucket.connection import Bucket, connect
from earthsignals.remotes.bucket.faults import (
    Changed,
    ObjectError,
    as_bucket_error,
    as_object_error,
    trouble,
)
from earthsignals.storage import EarthSignalsError

RANGE = 8 << 20
"""Bytes of one request."""
ATTEMPTS = 3
"""At a range, and at an object that changes or comes damaged."""
PAUSE_S = 1.0
"""Before a range is asked for again; longer each time."""
Result = TypeVar("Result")


@dataclass(frozen=True)
class Object:
    """An object as its bucket lists it."""

    key: str
    size: int
    """Bytes."""
    etag: str
    """MD5 of the bytes where it was put in one part, `<MD5 of the parts' MD5s>-<parts>` where in several;
    elsewhere only a mark that changes with the bytes."""
    modified: dt.datetime

    @property
    def name(self) -> str:
        """The last part of its key where a file can be called so, else `object`."""
        last = self.key.rpartition("/")[2]
        return "object" if last in ("", ".", "..") or unusable_in_name(last) else last


def list_objects(bucket: Bucket) -> list[Object]:
    """All objects whose key begins with the bucket's prefix, sorted by key.

    Raises EarthSignalsError when the server cannot be reached, refuses the keys, or has no such bucket.
    """
    found: list[Object] = []
    asked = {"Bucket": bucket.name, "Prefix": bucket.prefix}
    while True:
        with trouble(lambda error: as_bucket_error(bucket, error)):
            page = connect(bucket).call_s3("list_objects_v2", **asked)
            found += [_object(entry["Key"], entry["Size"], entry) for entry in page.get("Contents", ())]
        if not page.get("IsTruncated") or not page.get("NextContinuationToken"):
            return sorted(found, key=lambda each: each.key)
        asked["ContinuationToken"] = page["NextContinuationToken"]


def unusable_in_name(part: str) -> str:
    """Why no file can be called `part` anywhere, or ""."""
    if "\\" in part or any(ord(letter) < 32 or ord(letter) == 127 for letter in part):
        return "the key has a backslash or control characters"
    if len(part.encode("utf-8", "replace")) > 255:
        return "a part of the key is longer than a file's name may be"
    return ""


def stat(bucket: Bucket, key: str) -> Object:
    """The object as it is now. Raises ObjectError where there is none."""
    answer = _head(bucket, key)
    return _object(key, answer["ContentLength"], answer)


def read(bucket: Bucket, item: Object) -> bytes:
    """All bytes of an object, of the listed size and with the listed checksum.

    An object that changed since it was listed, or while it was read, is read anew as it is now. Raises
    ObjectError when it is gone, keeps changing or comes damaged; EarthSignalsError when the server cannot be
    reached any more.
    """

    def attempt(version: Object) -> bytes | None:
        content = b"".join(pieces(bucket, version))
        return None if agrees(bucket, version, content) is False else content

    return insist(bucket, item, attempt)[1]


def insist(
    bucket: Bucket, item: Object, attempt: Callable[[Object], Result | None]
) -> tuple[Object, Result]:
    """`attempt(object)` until it succeeds, with the version of the object that it succeeded with.

    None of `attempt`: the bytes came damaged, once more. `Changed`: once more, with the object as it is now.
    """
    why = ""
    for _ in range(ATTEMPTS):
        try:
            result = attempt(item)
        except Changed:
            why = "it changes again and again while it is read; wait until it is complete"
            item = stat(bucket, item.key)
            continue
        if result is not None:
            return item, result
        why = f"the bytes that come do not have the listed checksum ({item.etag}); upload the object anew"
    raise ObjectError(f"s3://{bucket.name}/{item.key} cannot be had: {why}, and run again")


def pieces(bucket: Bucket, item: Object, start: int = 0) -> Iterator[bytes]:
    """The object's bytes from `start`, in ranges. Raises `Changed` as soon as the version is another one."""
    while start < item.size:
        piece = _piece_or_error(bucket, item, start, min(start + RANGE, item.size))
        yield piece
        start += len(piece)


def agrees(bucket: Bucket, item: Object, content: Any) -> bool | None:
    """`checksums.agrees`, with what the bucket's server tells."""

    def told(**further: Any) -> dict[str, Any]:
        try:
            return _head(bucket, item.key, **further)
        except ObjectError:  # servers need not know parts
            return {}

    return checksums.agrees(item, content, told)


def _piece_or_error(bucket: Bucket, item: Object, start: int, stop: int) -> bytes:
    """A range, asked for again where the connection failed."""
    for left in reversed(range(ATTEMPTS)):
        try:
            with trouble(lambda error: as_object_error(bucket, item.key, error)):
                return _piece(bucket, item, start, stop)
        except (Changed, ObjectError):
            raise
        except EarthSignalsError:
            if not left:
                raise
            time.sleep(PAUSE_S * (ATTEMPTS - left))
    raise AssertionError  # the loop returns or raises


def _piece(bucket: Bucket, item: Object, start: int, stop: int) -> bytes:
    """Bytes [start, stop) of this very version: servers that know no If-Match tell the ETag."""
    from fsspec.asyn import sync

    connection = connect(bucket)

    async def fetched() -> tuple[dict[str, Any], bytes]:
        answer = await connection._call_s3(
            "get_object", Bucket=bucket.name, Key=item.key, Range=f"bytes={start}-{stop - 1}",
            **({"IfMatch": f'"{item.etag}"'} if item.etag and '"' not in item.etag else {}),
        )  # fmt: skip
        async with answer["Body"] as body:
            return answer, await body.read()

    answer, piece = sync(connection.loop, fetched)
    if item.etag and _etag(answer) not in ("", item.etag):
        raise Changed
    began = re.match(r"bytes (\d+)-", answer.get("ContentRange") or "")
    if len(piece) != stop - start or (start and (began is None or int(began[1]) != start)):
        raise ObjectError(
            f"s3://{bucket.name}/{item.key}: {bucket.server} sent {len(piece)} bytes where {stop - start} "
            f"from byte {start} on were asked for; run again to list the bucket anew"
        )
    return piece


def _head(bucket: Bucket, key: str, **further: Any) -> dict[str, Any]:
    with trouble(lambda error: as_object_error(bucket, key, error)):
        return connect(bucket).call_s3("head_object", Bucket=bucket.name, Key=key, **further)


def _object(key: str, size: int, entry: dict[str, Any]) -> Object:
    modified = entry.get("LastModified") or dt.datetime.fromtimestamp(0, dt.UTC)
    return Object(key, int(size), _etag(entry), modified)


def _etag(entry: dict[str, Any]) -> str:
    """Without its quotes; a weak one, W/"…", keeps the inner one, and matches nothing but itself."""
    return str(entry.get("ETag") or "").strip('"')
