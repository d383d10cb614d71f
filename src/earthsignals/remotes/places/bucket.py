"""A remote in S3: its ETag is the MD5 of an object stored in one part, and of the parts' MD5s otherwise.

A multipart ETag is compared with what a checked copy in the local cache would have, cut into parts of
the same size; where there is no such copy, or the ETag is no MD5 (server-side encryption), the object
is read. A differing ETag alone condemns nothing: the object is read before it is called corrupt.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from earthsignals.remotes.config import Remote
from earthsignals.remotes.places import Wanted
from earthsignals.storage import EarthSignalsError

_CHUNK = 1 << 20
_FEW = 8  # so many objects are asked for one by one; a listing brings a thousand with each request
_ETAG = re.compile(r"^[0-9a-f]{32}(-(?P<parts>\d+))?$")


@contextmanager
def open_bucket(remote: Remote, jobs: int, local_copy: Callable[[str], Path | None]) -> Iterator[Bucket]:
    """Raises EarthSignalsError when the bucket does not answer or refuses the keys."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield Bucket(_client(remote.options, jobs), remote, jobs, local_copy)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        raise EarthSignalsError(f"{remote.shown} {_words(code)}") from None
    except BotoCoreError as error:
        reason = " ".join(str(error).split())
        raise EarthSignalsError(
            f"{remote.shown} could not be reached ({reason}); check the endpoint, your network and your keys"
        ) from None


def _words(code: str) -> str:
    if code in ("403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Forbidden"):
        return (
            f"refused the keys ({code}): check access key and secret in .dvc/config.local or the "
            "environment; `earthsignals remote add URL --access-key-id ID` asks for the secret anew"
        )
    if code in ("404", "NoSuchBucket"):
        return f"does not exist ({code}): make the bucket, or check the address and --endpoint-url"
    return f"answered with the error {code or 'without a code'}; try again, or ask who runs the server"


def _client(options: Any, jobs: int) -> Any:
    import boto3
    from botocore.config import Config

    session = boto3.session.Session(profile_name=options.get("profile"))
    settings = Config(
        # Servers other than Amazon's need not know the newer checksums.
        signature_version="s3v4", response_checksum_validation="when_required",
        request_checksum_calculation="when_required", max_pool_connections=max(10, jobs),
        retries={"max_attempts": 4, "mode": "standard"}, connect_timeout=15,
    )  # fmt: skip
    return session.client(
        "s3", endpoint_url=options.get("endpointurl"), region_name=options.get("region"),
        aws_access_key_id=options.get("access_key_id"),
        aws_secret_access_key=options.get("secret_access_key"),
        aws_session_token=options.get("session_token"), use_ssl=options.get("use_ssl", True),
        verify=options.get("ssl_verify"), config=settings,
    )  # fmt: skip


class Bucket:
    def __init__(
        self, client: Any, remote: Remote, jobs: int, local_copy: Callable[[str], Path | None]
    ) -> None:
        parts = remote.parts
        self.client, self.jobs, self.local_copy = client, jobs, local_copy
        self.bucket, self.prefix = parts.netloc, parts.path.strip("/")
        self.etags: dict[str, str] = {}

    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        """By a listing of all objects where many are asked for."""
        wanted = set(names)
        if len(wanted) <= _FEW:
            asked = ((name, self._head(name)) for name in wanted)
            entries = ((name, entry["ContentLength"], entry["ETag"]) for name, entry in asked if entry)
        else:
            listed = self._listed("files/md5/")
            entries = ((name, entry["Size"], entry["ETag"]) for name, entry in listed if name in wanted)
        found = {}
        for name, size, etag in entries:
            found[name] = size
            self.etags[name] = etag.strip('"').lower()
        return found

    def hashes(self, wanted: list[Wanted], download: bool) -> Iterator[tuple[str, str]]:
        with ThreadPoolExecutor(self.jobs) as pool:
            waiting = {pool.submit(self._hash, each, download): each.name for each in wanted}
            for future in as_completed(waiting):
                yield waiting[future], future.result()

    def read(self, name: str) -> bytes:
        return self.client.get_object(Bucket=self.bucket, Key=self._key(name))["Body"].read()

    def runs(self) -> dict[str, bytes]:
        names = [name for name, _ in self._listed("runs/")]
        with ThreadPoolExecutor(self.jobs) as pool:
            return dict(zip(names, pool.map(self.read, names), strict=True))

    def put(self, name: str, source: Path) -> None:
        self.client.upload_file(str(source), self.bucket, self._key(name))
        self.etags.pop(name, None)

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def _head(self, name: str) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        try:
            return self.client.head_object(Bucket=self.bucket, Key=self._key(name))
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("404", "NoSuchKey"):
                return None
            raise

    def _listed(self, below: str) -> Iterator[tuple[str, dict[str, Any]]]:
        start = len(self._key(""))
        pages = self.client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.bucket, Prefix=self._key(below)):
            for entry in page.get("Contents", ()):
                yield entry["Key"][start:], entry

    def _hash(self, wanted: Wanted, download: bool) -> str:
        expected = wanted.md5.removesuffix(".dir")
        if not download and self._vouched(wanted, expected):
            return expected
        return self._streamed(wanted.name)

    def _vouched(self, wanted: Wanted, expected: str) -> bool:
        """Does the server's ETag say that the object is what it should be?"""
        etag = self.etags.get(wanted.name)
        match = _ETAG.match(etag or "")
        if match is None:
            return False
        if match["parts"] is None:
            return etag == expected
        copy = self.local_copy(wanted.md5)
        if copy is None:
            return False
        return etag == multipart_etag(copy, self._part_size(wanted.name, int(match["parts"])))

    def _part_size(self, name: str, parts: int) -> int | None:
        """Bytes of the first part: all but the last have as many. None where the server does not say."""
        from botocore.exceptions import ClientError

        try:
            answer = self.client.head_object(Bucket=self.bucket, Key=self._key(name), PartNumber=1)
        except ClientError:  # a server that does not know parts: the object will be read
            return None
        return answer["ContentLength"] if answer.get("PartsCount") == parts else None

    def _streamed(self, name: str) -> str:
        from botocore.exceptions import IncompleteReadError, ReadTimeoutError

        digest = hashlib.md5(usedforsecurity=False)
        body = self.client.get_object(Bucket=self.bucket, Key=self._key(name))["Body"]
        try:
            for chunk in body.iter_chunks(_CHUNK):
                digest.update(chunk)
        except (IncompleteReadError, ReadTimeoutError):
            return ""
        return digest.hexdigest()


def multipart_etag(path: Path, part_size: int | None) -> str:
    """S3's ETag of `path` uploaded in parts of `part_size` bytes: the MD5 of their MD5s, and their number."""
    if not part_size:
        return ""
    digests = []
    with path.open("rb") as file:
        while part := _part_md5(file, part_size):
            digests.append(part)
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"


def _part_md5(file: Any, part_size: int) -> bytes | None:
    digest, left = hashlib.md5(usedforsecurity=False), part_size
    while left and (chunk := file.read(min(_CHUNK, left))):
        digest.update(chunk)
        left -= len(chunk)
    return digest.digest() if left < part_size else None
