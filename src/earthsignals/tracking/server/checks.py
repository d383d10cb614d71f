"""Can the server work? Port, database and store are tried before it starts, and faults told in a sentence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earthsignals.remotes.ports import free_port
from earthsignals.storage import EarthSignalsError
from earthsignals.tracking.server.secrets import ADMIN
from earthsignals.tracking.store import check_sqlite, redact

if TYPE_CHECKING:
    from earthsignals.tracking.server.plan import Server


def check_port(host: str, port: int) -> None:
    """Refuse a host that is not this machine's, and a port that cannot be listened on."""
    try:
        free_port(0, host)
    except (EarthSignalsError, UnicodeError):
        raise EarthSignalsError(
            f"--host {host} is no address of this machine: expected 127.0.0.1, or one that others reach it by"
        ) from None
    free_port(port, host)


def check_database(server: Server) -> bool:
    """Try the database; does it know the administrator already (PostgreSQL alone is asked)?"""
    if server.on_postgresql:
        return _has_admin(server.database)
    file = Path(server.database.removeprefix("sqlite:///"))
    if file.parent != server.folder and not file.parent.is_dir():
        raise EarthSignalsError(
            f"the database {file} cannot be made: there is no folder {file.parent}, make it"
        )
    check_sqlite(file)
    check_sqlite(server.folder / "users.db")
    return False


def check_artifacts(server: Server) -> None:
    """Try the bucket, or make the folder where its parent exists."""
    if server.artifacts.startswith("s3://"):
        _check_bucket(server.artifacts)
        return
    folder = Path(server.artifacts)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        usable = os.access(folder, os.R_OK | os.W_OK | os.X_OK)
        reason = "" if usable else "it may not be written"
    except FileExistsError:
        reason = "a file of that name is in the way"
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        raise EarthSignalsError(
            f"artifacts cannot be kept in {folder} ({reason}): name a folder of yours that can be written, "
            "or s3://bucket/prefix"
        )


def _has_admin(address: str) -> bool:
    """Connect once, so that a wrong password is told at once; is the administrator known there?"""
    import psycopg2
    from sqlalchemy.engine import make_url

    url = make_url(address)
    arguments: dict[str, Any] = url.translate_connect_args(username="user", database="dbname")
    try:
        connection = psycopg2.connect(**arguments, **{"connect_timeout": 5} | dict(url.query))
    except psycopg2.Error as error:
        reason = redact(" ".join(str(error).split()))
        raise EarthSignalsError(
            f"the database {redact(address)} cannot be used ({reason}): check that it runs and that "
            "PGPASSWORD or ~/.pgpass holds its password"
        ) from None
    try:
        with connection.cursor() as cursor:
            cursor.execute("select to_regclass('users') is not null")
            if not cursor.fetchone()[0]:
                return False
            cursor.execute("select 1 from users where username = %s", (ADMIN,))
            return cursor.fetchone() is not None
    finally:
        connection.close()


def _check_bucket(address: str) -> None:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    bucket = address.removeprefix("s3://").partition("/")[0]
    endpoint = os.environ.get("MLFLOW_S3_ENDPOINT_URL")
    patience = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 2})
    remedies = {
        "404": "there is no such bucket there: make it, or name another",
        "403": "its keys are refused there: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        "400": "it is no bucket's name there, or the server speaks something else: check both",
    }
    try:
        boto3.client("s3", endpoint_url=endpoint, config=patience).head_bucket(Bucket=bucket)
    except (BotoCoreError, ClientError, ValueError) as error:
        code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
        reason = redact(" ".join(str(error).split()))
        told = remedies.get(code) or (
            f"{reason}: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and MLFLOW_S3_ENDPOINT_URL"
        )
        where = redact(endpoint) if endpoint else "Amazon"
        raise EarthSignalsError(f"the bucket {bucket} at {where} cannot be used: {told}") from None
