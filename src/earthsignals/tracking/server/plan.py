"""What a server would be started with, decided from options and environment without touching anything."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from earthsignals.remotes.ports import is_loopback
from earthsignals.storage import EarthSignalsError
from earthsignals.tracking.server.addresses import (
    ARTIFACTS_VARIABLE,
    DATABASE_VARIABLE,
    artifacts_address,
    database_address,
)
from earthsignals.tracking.server.secrets import SECRETS
from earthsignals.tracking.store import redact

_GUESTS = ("MLFLOW_SERVER_ALLOWED_HOSTS", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS")


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

    @property
    def users(self) -> str:
        """Address of the database of members: the runs' own, or with SQLite a file beside it."""
        return self.database if self.on_postgresql else f"sqlite:///{self.folder / 'users.db'}"

    def lines(self) -> list[str]:
        """The environment and the command as a shell would take them, every secret as `***`."""
        shown = [
            f"{name}={'***' if name in SECRETS else shlex.quote(redact(value))}"
            for name, value in sorted(self.environment.items())
        ]
        return [*shown, shlex.join(self.command)]


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
        EarthSignalsError: an address that cannot be read or holds a secret in the wrong place, or a host
            check that is to be switched off.
    """
    _refuse_open_doors(environment)
    if set(str(folder)) & set("?#\n\r"):
        raise EarthSignalsError(
            f"{str(folder)!r} cannot be the server's folder: database addresses end at `?` and `#`, so "
            "choose a --folder without them"
        )
    if not host.strip():
        raise EarthSignalsError("--host is empty, which would mean every address: name one, as in 127.0.0.1")
    notes = _risks(host)
    own: dict[str, str] = {}
    written = database or environment.get(DATABASE_VARIABLE)
    if not written:
        written = f"sqlite:///{(folder / 'mlflow.db').as_posix()}"
        notes.append(
            f"no database is named ({DATABASE_VARIABLE} or --database): runs go into SQLite, which is "
            "fine for one or two people; a team wants PostgreSQL"
        )
    address, password = database_address(written, from_option=bool(database))
    if password:
        own["PGPASSWORD"] = password
    store = artifacts or environment.get(ARTIFACTS_VARIABLE)
    if not store:
        store = str(folder / "artifacts")
        notes.append(
            f"no store of artifacts is named ({ARTIFACTS_VARIABLE} or --artifacts): they go into the "
            f"folder {store}"
        )
    store = artifacts_address(store)
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


def _refuse_open_doors(environment: Mapping[str, str]) -> None:
    """MLflow takes lists of names and shell patterns; blanks around them do not count."""
    for variable in _GUESTS:
        for entry in (each.strip() for each in environment.get(variable, "").split(",")):
            name = entry.rpartition("://")[2]
            # Not `*` alone lets everybody in: `*.*` and `*:5000` do, too.
            if name.startswith(("*", "?")) and not re.search("[A-Za-z]", name):
                raise EarthSignalsError(
                    f"{variable} holds `{entry}`, which switches the host check off and lets any web page "
                    "that a member opens talk to the server: name the hosts, as in mlflow.example.org"
                )


def _risks(host: str) -> list[str]:
    if is_loopback(host):
        return []
    return [
        f"listens on {host} over plain HTTP: passwords and data can be read on their way; prefer "
        "127.0.0.1 with `earthsignals tunnel`, or a proxy that speaks TLS"
    ]
