"""The team's MLflow server: what it is started with, whether that can work, and its secrets.

MLflow's own server does the serving. What is decided here: every caller has to log in, secrets go by
the environment and by files that only their owner reads (arguments can be read by every user of the
machine), the host check stays on, one worker and no job runner (0.5 GB of memory instead of 3).
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from earthsignals.storage import EarthSignalsError, atomic_path

ADMIN = "admin"
DATABASE_VARIABLE = "MLFLOW_BACKEND_STORE_URI"
ARTIFACTS_VARIABLE = "MLFLOW_ARTIFACTS_DESTINATION"
_ADMIN_PASSWORD = "MLFLOW_AUTH_ADMIN_PASSWORD"
_SESSION_KEY = "MLFLOW_FLASK_SERVER_SECRET_KEY"
_SECRETS = ("PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", _ADMIN_PASSWORD, _SESSION_KEY)

# A team shares its experiments: MLflow's own default, READ, would let members add runs only to
# experiments which they made themselves.
_PERMISSION = "EDIT"

# Checking a password costs a good part of a CPU-second, by design, and every request brings one: a login
# is remembered for a while. With one worker a changed password takes effect at once all the same.
_LOGIN_SECONDS = 300


@dataclass(frozen=True)
class Server:
    """A server to be: `command` holds no secret, `environment` does. `notes` are for its operator."""

    folder: Path
    command: tuple[str, ...]
    database: str
    artifacts: str
    host: str
    port: int
    environment: dict[str, str] = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def on_postgresql(self) -> bool:
        """Is the database a PostgreSQL server, and no file?"""
        return self.database.startswith("postgresql")

    def lines(self) -> list[str]:
        """The environment and the command as a shell would take them, every secret as `***`."""
        shown = {k: "***" if k in _SECRETS else v for k, v in sorted(self.environment.items())}
        return [*(f"{name}={value}" for name, value in shown.items()), " ".join(self.command)]


def plan_server(
    folder: Path,
    *,
    database: str | None,
    artifacts: str | None,
    host: str,
    port: int,
    environment: Mapping[str, str],
) -> Server:
    """Decide what the server is started with; touches nothing.

    Args:
        folder: its secrets, and its data where no database or store is named.
        database: `postgresql://user@host:port/name` without a password, or None: then
            `MLFLOW_BACKEND_STORE_URI`, else SQLite in `folder`. The password comes from that
            variable's address, from `PGPASSWORD` or from `~/.pgpass`.
        artifacts: `s3://bucket/prefix` or a folder, or None: then `MLFLOW_ARTIFACTS_DESTINATION`,
            else `folder`. S3 keys come from `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, another
            server than Amazon's from `MLFLOW_S3_ENDPOINT_URL`.
        environment: where those variables are looked up.

    Raises:
        EarthSignalsError: an address that cannot be read, a password in `database`, or a host check
            that is to be switched off.
    """
    if "*" in environment.get("MLFLOW_SERVER_ALLOWED_HOSTS", "").split(","):
        raise EarthSignalsError(
            "MLFLOW_SERVER_ALLOWED_HOSTS is `*`, which switches the host check off and lets any web "
            "page that a member opens talk to the server: name the hosts, as in mlflow.example.org"
        )
    notes = _risks(host)
    address = database or environment.get(DATABASE_VARIABLE)
    own: dict[str, str] = {}
    if not address:
        address = f"sqlite:///{(folder / 'mlflow.db').as_posix()}"
        notes.append(
            f"no database is named ({DATABASE_VARIABLE} or --database): runs go into SQLite, which is "
            "fine for one or two people; a team wants PostgreSQL"
        )
    address, password = _parted(address, from_option=bool(database))
    if password:
        own["PGPASSWORD"] = password
    store = artifacts or environment.get(ARTIFACTS_VARIABLE)
    if not store:
        store = str(folder / "artifacts")
        notes.append(
            f"no store of artifacts is named ({ARTIFACTS_VARIABLE} or --artifacts): they go into the "
            f"folder {store}"
        )
    if environment.get("MLFLOW_S3_ENDPOINT_URL"):
        # Servers other than Amazon's do not know the checksums that boto3 asks for by default.
        own["AWS_REQUEST_CHECKSUM_CALCULATION"] = "when_required"
        own["AWS_RESPONSE_CHECKSUM_VALIDATION"] = "when_required"
    own |= {
        DATABASE_VARIABLE: address,
        ARTIFACTS_VARIABLE: store,
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        # MLflow's own affair, told at every start.
        "PYTHONWARNINGS": "ignore:starlette.middleware.wsgi is deprecated",
    }
    command = (
        sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--serve-artifacts",
        "--workers", "1", "--host", host, "--port", str(port),
    )  # fmt: skip
    return Server(folder, command, address, store, host, port, own, tuple(notes))


def launch(server: Server) -> None:
    """Check that the server can work, make its secrets, and become it; does not return.

    Raises:
        EarthSignalsError: the port is taken, or the database or the bucket cannot be used.
    """
    os.environ.update(server.environment)
    # Whoever set this meant another server: ours checks the host that callers name.
    os.environ.pop("MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", None)
    _check_port(server.host, server.port)
    has_admin = _has_admin(server) if server.on_postgresql else False
    if server.artifacts.startswith("s3://"):
        _check_bucket(server.artifacts)
    os.environ.update(prepare(server, os.environ, has_admin=has_admin))
    print(f"http://{server.host}:{server.port}, user {ADMIN}; stop it with Ctrl-C", flush=True)
    os.execv(server.command[0], server.command)


def prepare(server: Server, environment: Mapping[str, str], *, has_admin: bool) -> dict[str, str]:
    """Make the server's folder with its settings and secrets; returns the variables with secrets.

    Args:
        environment: secrets that it names already are used, and no file is made for them.
        has_admin: the database knows the administrator, so that no new password would be accepted.

    Raises:
        EarthSignalsError: a secret's file can be read by others.
    """
    server.folder.mkdir(parents=True, exist_ok=True)
    # The folder may lie in a clone: git must never see it.
    (server.folder / ".gitignore").write_text("*\n", encoding="utf-8")
    users = server.database if server.on_postgresql else f"sqlite:///{server.folder / 'users.db'}"
    with atomic_path(server.folder / "auth.ini") as temporary:
        temporary.write_text(
            f"[mlflow]\ndefault_permission = {_PERMISSION}\ndatabase_uri = {users}\n"
            f"admin_username = {ADMIN}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
            f"auth_cache_ttl_seconds = {_LOGIN_SECONDS}\n",
            encoding="utf-8",
        )
    made = {}
    if _SESSION_KEY not in environment:
        made[_SESSION_KEY] = _secret(server.folder / "session-key")
    password_file = server.folder / "admin-password"
    if _ADMIN_PASSWORD in environment:
        return made
    if has_admin and not password_file.exists():
        print(f"the database knows {ADMIN} already: its password is the one of the first start")
        return made
    made[_ADMIN_PASSWORD] = _secret(password_file)
    print(f"the password of {ADMIN} is in {password_file}")
    return made


def read_environment(path: Path) -> dict[str, str]:
    """Read `NAME=value` lines; values are taken as they stand, empty ones are left out.

    Raises:
        EarthSignalsError: there is no such file, or others than its owner can read it.
    """
    from dotenv import dotenv_values

    _refuse_if_public(path)
    return {k: v for k, v in dotenv_values(path, interpolate=False).items() if v}


def _risks(host: str) -> list[str]:
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if loopback:
        return []
    return [
        f"listens on {host} over plain HTTP: passwords and data can be read on their way; prefer "
        "127.0.0.1 with `earthsignals tunnel`, or a proxy that speaks TLS"
    ]


def _parted(address: str, *, from_option: bool) -> tuple[str, str | None]:
    """The database's address without its password, and the password."""
    from sqlalchemy.engine import URL, make_url
    from sqlalchemy.exc import ArgumentError

    expected = "expected postgresql://user@host:5432/name or sqlite:///path"
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        # The address itself is not shown: it may hold a password.
        raise EarthSignalsError(f"the database's address cannot be read: {expected}") from None
    if url.get_backend_name() not in ("postgresql", "sqlite"):
        raise EarthSignalsError(f"{url.get_backend_name()} is no database for runs: {expected}")
    password = url.password or url.query.get("password")
    if password and from_option:
        raise EarthSignalsError(
            "--database holds a password, and every user of this machine can read a program's "
            f"arguments: put the address into {DATABASE_VARIABLE}, or the password into PGPASSWORD or "
            "~/.pgpass"
        )
    # SQLAlchemy's own choice for `postgresql://` is another driver than the one installed.
    driver = "postgresql+psycopg2" if url.get_backend_name() == "postgresql" else "sqlite"
    query = {name: value for name, value in url.query.items() if name != "password"}
    bare = URL.create(driver, url.username, None, url.host, url.port, url.database, query)
    return bare.render_as_string(), str(password) if password else None


def _check_port(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise EarthSignalsError(
                f"{host}:{port} cannot be listened on ({error}): end what uses it, or give another "
                "--port"
            ) from None


def _has_admin(server: Server) -> bool:
    """Connect once, so that a wrong password is told at once; is the administrator known there?"""
    import psycopg2
    from sqlalchemy.engine import make_url

    url = make_url(server.database)
    arguments: dict[str, Any] = url.translate_connect_args(username="user", database="dbname")
    try:
        connection = psycopg2.connect(**arguments, **url.query, connect_timeout=5)
    except psycopg2.Error as error:
        reason = " ".join(str(error).split())
        raise EarthSignalsError(
            f"the database {server.database} cannot be used ({reason}): check that it runs and that "
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
    try:
        boto3.client("s3", endpoint_url=endpoint, config=patience).head_bucket(Bucket=bucket)
    except (BotoCoreError, ClientError, ValueError) as error:
        raise EarthSignalsError(
            f"the bucket {bucket} at {endpoint or 'Amazon'} cannot be used ({error}): make it, and check "
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and MLFLOW_S3_ENDPOINT_URL"
        ) from None


def _secret(path: Path) -> str:
    """The secret in `path`, made at first use; 32 letters, readable by its owner alone."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        _refuse_if_public(path)
        if text := path.read_text(encoding="utf-8").strip():
            return text
        raise EarthSignalsError(f"{path} is empty: remove it, and a new secret is made") from None
    text = secrets.token_urlsafe(24)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    return text


def _refuse_if_public(path: Path) -> None:
    try:
        mode = path.stat().st_mode & 0o777
    except OSError as error:
        raise EarthSignalsError(f"{path} cannot be read ({error.strerror})") from None
    if mode & 0o077:
        raise EarthSignalsError(
            f"{path} holds secrets and others can read it (mode {mode:o}): chmod 600 {path}, and "
            "change the secrets if others use this machine"
        )
