"""Files from NOAA's public buckets into a cache on disk: once, checked, and resumed where a kill left off.

A file lies at `<cache>/<bucket>/<key>`. While it is fetched it is called `.<name>.<etag>.part` and grows in
ranges; a later call continues it, unless the object in the bucket has another ETag by then. Every call checks
what the cache holds against size and MD5, so a damaged file is fetched again. Buckets are read without
credentials; AWS_ENDPOINT_URL names another server than Amazon's.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import s3fs
from aiohttp import ClientError as HttpError
from botocore.exceptions import BotoCoreError, ClientError
from filelock import FileLock, Timeout

from earthsignals.clouds.goes.buckets import is_goes_name
from earthsignals.compute.mapping import ordered_map
from earthsignals.settings import load_settings
from earthsignals.storage import EarthSignalsError, md5_file, read_json, write_json

_RANGE = 8 << 20
_ATTEMPTS = 3
_SETTLED = dt.timedelta(days=1)
"""An hour's folder that ended this long ago gets no more files."""
_MD5 = re.compile(r"[0-9a-f]{32}")
_TROUBLE = (OSError, ValueError, BotoCoreError, ClientError, HttpError)
"""A ValueError is an AWS_ENDPOINT_URL that is no address."""


@dataclass(frozen=True)
class RemoteFile:
    """An object as its bucket lists it."""

    bucket: str
    key: str
    size: int
    """Bytes."""
    etag: str
    """MD5 of the bytes where the object was put in one part; else only a mark that changes with it."""

    @property
    def name(self) -> str:
        return PurePosixPath(self.key).name

    def place(self, cache: Path) -> Path:
        """Where it lies in the cache."""
        return cache / self.bucket / self.key


def list_folder(bucket: str, prefix: str, cache: Path) -> list[RemoteFile]:
    """Files under `prefix` (with its slash) of `bucket`, by name; none where there is no such folder.

    The listing of an hour long past is kept in the cache as listing.json, so that what has been fetched can
    be used without a network; files that are no ABI L1b files do not count. Raises EarthSignalsError when the
    server cannot be reached or has no such bucket.
    """
    kept = cache / bucket / prefix / "listing.json"
    try:
        return [RemoteFile(**entry) for entry in read_json(kept)]
    except (EarthSignalsError, TypeError):  # not listed yet, or damaged
        pass
    try:
        found = _connect().ls(f"{bucket}/{prefix}", detail=True)
    except FileNotFoundError as error:
        if _code(error) == "NoSuchBucket":
            raise EarthSignalsError(
                f"{_server()} has no bucket {bucket}, expected one for each satellite of the GOES-R series; "
                "correct AWS_ENDPOINT_URL or clouds.goes.satellite"
            ) from None
        return []
    except _TROUBLE as error:
        raise _unreachable(bucket, error) from error
    listed = ((PurePosixPath(entry["name"]).name, entry) for entry in found if entry["type"] == "file")
    files = [
        # The key is put together anew: what a server calls its objects does not choose where they lie here.
        RemoteFile(bucket, prefix + name, int(entry["size"]), re.sub(r"[^\w-]", "", entry["ETag"]))
        for name, entry in sorted(listed, key=lambda pair: pair[0])
        if is_goes_name(name)
    ]
    if files and _settled(prefix):
        write_json(kept, [asdict(file) for file in files])
    return files


def list_folders(folders: Sequence[tuple[str, str]], cache: Path) -> list[list[RemoteFile]]:
    """`list_folder` of several buckets' folders (bucket, prefix), several at a time, in their order."""
    return _mapped(lambda folder: list_folder(*folder, cache), folders, description="listing", unit="folders")


def fetch(files: Sequence[RemoteFile], cache: Path) -> list[Path]:
    """Paths of `files` in the cache, in their order; what is there and whole is not fetched again.

    Several are fetched at a time, as many as the setting `workers` says. Raises EarthSignalsError when the
    server cannot be reached, an object is not what was listed, the disk is full, or another run is fetching
    into this cache; what has come stays.
    """
    megabytes = [file.size / 1e6 for file in files]
    cache.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(cache / ".lock", timeout=0):
            return _mapped(
                lambda file: fetch_one(file, cache), files, description="GOES files", unit="MB",
                sizes=megabytes,
            )  # fmt: skip
    except Timeout:
        raise EarthSignalsError(
            f"{cache}: another run is fetching files into this folder; wait for its end and run again"
        ) from None


def _mapped(function: Callable[[Any], Any], items: Sequence[Any], **options: Any) -> list[Any]:
    """In threads: they wait for the network and for MD5, which both let the others run."""
    workers = load_settings().workers
    with ThreadPoolExecutor(workers) as pool:
        return list(ordered_map(function, items, executor=pool, **options))


def fetch_one(file: RemoteFile, cache: Path) -> Path:
    """As `fetch`, of one file, whoever else fetches."""
    target = file.place(cache)
    if is_whole(target, file):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{file.name}.{file.etag}.part")
    _download(file, part)
    if not _is_right(part, file):
        # Bytes of an earlier attempt may have been damaged on disk: once more from the start.
        part.unlink()
        _download(file, part)
        if not _is_right(part, file):
            part.unlink()
            raise EarthSignalsError(
                f"{file.bucket}/{file.key}: the bytes that came do not have the listed MD5 ({file.etag}), "
                f"twice over; delete {target.with_name('listing.json')} or try another network, and run again"
            )
    if not _MD5.fullmatch(file.etag):
        write_json(_note(target), {"etag": file.etag, "md5": md5_file(part)})
    os.replace(part, target)
    return target


def is_whole(path: Path, file: RemoteFile) -> bool:
    """Is `path` the object as listed: its size, and its MD5 (of objects put in parts: that on arrival)?"""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    if _MD5.fullmatch(file.etag):
        return md5_file(path) == file.etag
    try:
        note = read_json(_note(path))
        return note["etag"] == file.etag and note["md5"] == md5_file(path)
    except (EarthSignalsError, KeyError, TypeError):
        return False


def _download(file: RemoteFile, part: Path) -> None:
    """Bring `part` to the object's full size, from where it ends."""
    remote = f"{file.bucket}/{file.key}"
    have = part.stat().st_size if part.is_file() else 0
    if have > file.size:
        part.unlink()
        have = 0
    failures = 0
    part.touch()
    while have < file.size:
        try:
            piece = _bytes_of(remote, have, min(have + _RANGE, file.size))
        except FileNotFoundError:
            raise EarthSignalsError(
                f"{remote} is listed, but is not in the bucket any more; delete "
                f"{part.with_name('listing.json')} and run again"
            ) from None
        except _TROUBLE as error:
            failures += 1
            if failures == _ATTEMPTS:
                raise _unreachable(file.bucket, error) from error
            continue
        if not piece:
            raise EarthSignalsError(
                f"{remote} ends after {have} bytes, expected {file.size}; delete "
                f"{part.with_name('listing.json')} and run again"
            )
        failures = 0
        _append(part, piece)
        have += len(piece)


def _bytes_of(remote: str, start: int, stop: int) -> bytes:
    """Of an object, `bucket/key`: bytes [start, stop)."""
    return _connect().cat_file(remote, start=start, end=stop)


def _append(part: Path, piece: bytes) -> None:
    try:
        _write(part, piece)
    except OSError as error:
        raise EarthSignalsError(
            f"{part.parent}: what was fetched cannot be written ({error.strerror}); free some space or set "
            "clouds.goes.cache to a folder on another disk, and run again: it goes on where it stopped"
        ) from error


def _write(part: Path, piece: bytes) -> None:
    with open(part, "ab") as out:
        out.write(piece)


def _is_right(part: Path, file: RemoteFile) -> bool:
    return part.stat().st_size == file.size and (
        not _MD5.fullmatch(file.etag) or md5_file(part) == file.etag
    )


def _note(path: Path) -> Path:
    """Beside a file whose ETag is no MD5: what its MD5 was when it came."""
    return path.with_name(f"{path.name}.md5.json")


def _settled(prefix: str) -> bool:
    year, day, hour = (int(part) for part in prefix.rstrip("/").split("/")[-3:])
    began = dt.datetime(year, 1, 1, hour, tzinfo=dt.UTC) + dt.timedelta(days=day - 1)
    return dt.datetime.now(dt.UTC) - began > _SETTLED


def _connect() -> s3fs.S3FileSystem:
    """The buckets, without credentials."""
    return _connected(os.environ.get("AWS_ENDPOINT_URL"))


@lru_cache(maxsize=1)
def _connected(endpoint: str | None) -> s3fs.S3FileSystem:
    """To the server that the variable named when it was read: botocore reads it itself, once."""
    return s3fs.S3FileSystem(
        anon=True, skip_instance_cache=True, use_listings_cache=False,
        config_kwargs={"connect_timeout": 10, "read_timeout": 60, "retries": {"total_max_attempts": 2}},
    )  # fmt: skip


def _server() -> str:
    return os.environ.get("AWS_ENDPOINT_URL") or "Amazon S3"


def _code(error: BaseException) -> str:
    """S3's own name of the error behind `error`, or ""."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ClientError):
            return cause.response.get("Error", {}).get("Code", "")
        cause = cause.__cause__ or cause.__context__
    return ""


def _unreachable(bucket: str, error: BaseException) -> EarthSignalsError:
    cause = " ".join(str(error).split()) or type(error).__name__
    return EarthSignalsError(
        f"the bucket {bucket} at {_server()} cannot be read ({cause[:200]}): check the network, or set "
        "clouds.source to a folder of files, and run again; what has been fetched is kept"
    )
