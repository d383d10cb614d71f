"""Where a bucket is, and the connection to its server."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from earthsignals.storage import EarthSignalsError

SILENCE_S = 30.0
"""A server that sends nothing for so long is given up: in some minutes, not the libraries' half hour."""
_CONNECTION = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION",
               "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE",
               "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE")  # fmt: skip


@dataclass(frozen=True)
class Bucket:
    """Where objects lie. Keys are no part of it: botocore finds them in the environment or in ~/.aws."""

    name: str
    endpoint_url: str | None = None
    """Of MinIO and its kin; None or empty: AWS_ENDPOINT_URL, else Amazon."""
    prefix: str = ""
    """What the keys of interest begin with; `2015/` is a folder, `2015/03` all that begins so."""
    profile: str | None = None
    """Of ~/.aws; None or empty: AWS_PROFILE, else the environment's keys."""
    anonymous: bool = False
    """Public buckets are read without keys."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}", self.name):
            raise EarthSignalsError(
                f"{self.name!r} is no name of a bucket, expected 3 to 63 letters, digits, dots and hyphens, "
                "without `s3://` and without a prefix"
            )
        if self.endpoint_url:
            _check_address(self.endpoint_url)

    @property
    def server(self) -> str:
        """Its address, for people."""
        asked = (self.endpoint_url, os.environ.get("AWS_ENDPOINT_URL_S3"), os.environ.get("AWS_ENDPOINT_URL"))
        address = next((each for each in asked if each), "Amazon S3")
        return re.sub(r"//[^/@]*@", "//", address)

    @property
    def shown(self) -> str:
        return f"s3://{self.name}/{self.prefix} ({self.server})"


def connect(bucket: Bucket) -> Any:
    """s3fs's connection to the bucket's server, one for each address and set of keys."""
    surroundings = tuple(os.environ.get(name) for name in _CONNECTION)
    return _connected(bucket.endpoint_url or None, bucket.profile or None, bucket.anonymous, surroundings)


@lru_cache(maxsize=4)
def _connected(endpoint_url: str | None, profile: str | None, anonymous: bool, surroundings: Any) -> Any:
    import s3fs

    connection = s3fs.S3FileSystem(
        anon=anonymous, endpoint_url=endpoint_url, skip_instance_cache=True, use_listings_cache=False,
        **({"profile": profile} if profile else {}),
        # Servers other than Amazon's need not know the newer checksums.
        config_kwargs={
            "connect_timeout": 10, "read_timeout": SILENCE_S, "retries": {"total_max_attempts": 2},
            "response_checksum_validation": "when_required", "max_pool_connections": 64,
            **({} if anonymous else {"signature_version": "s3v4"}),
        },
    )  # fmt: skip
    connection.retries = 1  # botocore tries again, and so do we: of loops in one another, two are enough
    return connection


def _check_address(address: str) -> None:
    try:
        parts = urlsplit(address)
        sensible = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        sensible = False
    if sensible and parts.username is None and parts.password is None:
        return
    # The address itself is not shown: it may hold a secret.
    raise EarthSignalsError(
        "endpoint_url is no address that can be used, expected http://host[:port] or https://host[:port] "
        "without a user or password; keys go into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )
