"""Addresses of databases and of stores of artifacts: what may stand in them, and secrets out of them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from earthsignals.storage import EarthSignalsError

DATABASE_VARIABLE = "MLFLOW_BACKEND_STORE_URI"
ARTIFACTS_VARIABLE = "MLFLOW_ARTIFACTS_DESTINATION"

_DATABASE = "expected postgresql://user@host:5432/name or sqlite:///path"
_ARTIFACTS = "expected s3://bucket/prefix or a folder"
# What botocore lets through; a server may ask for less.
_BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}")


def database_address(address: str, *, from_option: bool) -> tuple[str, str | None]:
    """The database's address without its password, and the password.

    A client key's password (`sslpassword`) has no variable of its own and stays in an address that came
    by the environment.

    Raises:
        EarthSignalsError: neither PostgreSQL nor an SQLite file, or a secret in an option.
    """
    from sqlalchemy.engine import URL, make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address)
        kind = url.get_backend_name()
    except (ArgumentError, ValueError):
        # The address itself is not shown: it may hold a password.
        raise EarthSignalsError(f"the database's address cannot be read: {_DATABASE}") from None
    if kind not in ("postgresql", "sqlite"):
        raise EarthSignalsError(f"{kind} is no database for runs: {_DATABASE}")
    if kind == "sqlite":
        if not url.database or url.database.startswith((":", "file:")) or url.host or url.query:
            raise EarthSignalsError(
                f"a server's SQLite database is a file and nothing else, here none is named: {_DATABASE}"
            )
        return f"sqlite:///{url.database}", None
    password = url.password or url.query.get("password")
    if from_option and (password or "sslpassword" in url.query):
        raise EarthSignalsError(
            "--database holds a password, and every user of this machine can read a program's "
            f"arguments: put the address into {DATABASE_VARIABLE}, or the password into PGPASSWORD or "
            "~/.pgpass"
        )
    query = {name: value for name, value in url.query.items() if name != "password"}
    # SQLAlchemy's own choice for `postgresql://` is another driver than the one installed.
    bare = URL.create("postgresql+psycopg2", url.username, None, url.host, url.port, url.database, query)
    return bare.render_as_string(), str(password) if password else None


def artifacts_address(address: str) -> str:
    """The store of artifacts, `s3://bucket/prefix` or a folder's path.

    Raises:
        EarthSignalsError: another kind of address, no bucket's name, or keys in the address.
    """
    if "://" not in address:
        return address
    try:
        parts = urlsplit(address)
    except ValueError:
        raise EarthSignalsError(f"the address of the artifacts cannot be read: {_ARTIFACTS}") from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise EarthSignalsError(
            "the address of the artifacts holds more than a bucket and a prefix: keys go into "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, another server's address into "
            "MLFLOW_S3_ENDPOINT_URL"
        )
    if parts.scheme != "s3":
        raise EarthSignalsError(f"{parts.scheme}:// is no store of artifacts here: {_ARTIFACTS}")
    if not _BUCKET.fullmatch(parts.netloc):
        raise EarthSignalsError(
            f"`{parts.netloc}` is no name of a bucket: expected three or more of a-z, 0-9, `-` and `.`, as "
            "in s3://runs/mlflow"
        )
    return address
