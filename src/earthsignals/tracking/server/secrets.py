"""The server's folder: its secrets, its settings of logins, and one server at a time in it."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from earthsignals.storage import EarthSignalsError, atomic_path

if TYPE_CHECKING:
    from earthsignals.tracking.server.plan import Server

ADMIN = "admin"
_ADMIN_PASSWORD = "MLFLOW_AUTH_ADMIN_PASSWORD"
_SESSION_KEY = "MLFLOW_FLASK_SERVER_SECRET_KEY"
SECRETS = ("PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", _ADMIN_PASSWORD, _SESSION_KEY)

# A team shares its experiments: MLflow's own default, READ, would let members add runs only to
# experiments which they made themselves.
_PERMISSION = "EDIT"

# Checking a password costs a good part of a CPU-second, by design, and every request brings one: a login
# is remembered for a while. With one worker a changed password takes effect at once all the same.
_LOGIN_SECONDS = 300

# What a server that was just killed needs to be gone.
_LOCK_SECONDS = 3.0


@contextmanager
def alone_in(folder: Path) -> Iterator[int]:
    """Make the folder and let no other server use it; yields the lock's descriptor.

    A process that inherits the descriptor keeps the lock, so that a server whose supervisor was killed
    still counts.

    Raises:
        EarthSignalsError: the folder cannot be used, or another server works in it.
    """
    _make_folder(folder)
    path = folder / "lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EarthSignalsError(
            f"{path} cannot be written ({error.strerror}): give another --folder"
        ) from None
    try:
        _lock(descriptor, folder)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield descriptor
    finally:
        os.close(descriptor)


def prepare(server: Server, environment: Mapping[str, str], *, has_admin: bool) -> dict[str, str]:
    """Make the server's folder with its settings and secrets; returns the variables with secrets.

    Args:
        environment: secrets that it names already are used, and no file is made for them.
        has_admin: the database knows the administrator, so that no new password would be accepted.

    Raises:
        EarthSignalsError: the folder cannot be written, or a secret's file is unfit or can be read by others.
    """
    _make_folder(server.folder)
    try:
        _write_settings(server)
    except OSError as error:
        file = error.filename2 or error.filename
        raise EarthSignalsError(
            f"{server.folder} cannot hold the server's settings ({error.strerror}: {file}): remove what is "
            "in the way, or give another --folder"
        ) from None
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
        EarthSignalsError: there is no such file, others than its owner can read it, or a line of it is no
            such line (named by its number: it may hold a secret).
    """
    from dotenv.parser import parse_stream

    found = {}
    for line in parse_stream(StringIO(_private_text(path))):
        if line.error or (line.key and line.value is None) or "\0" in (line.value or ""):
            raise EarthSignalsError(
                f"line {line.original.line} of {path} is not of the form NAME=value: mend it, or put a # "
                "before it"
            )
        if line.key and line.value:
            found[line.key] = line.value
    return found


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reason = "a file of that name is in the way" if folder.exists() else error.strerror
        raise EarthSignalsError(
            f"the server's folder {folder} cannot be made ({reason}): give another --folder"
        ) from None
    # SQLite makes its files readable for all, and the folder may be there already.
    try:
        folder.chmod(0o700)
    except OSError:
        raise EarthSignalsError(
            f"{folder} belongs to another account, and secrets are to lie there: give a --folder of your own"
        ) from None


def _lock(descriptor: int, folder: Path) -> None:
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() > deadline:
                process = os.read(descriptor, 20).decode("ascii", "replace").strip()
                raise EarthSignalsError(
                    f"another server works in {folder} (process {process or 'unknown'}): stop it, or give "
                    "this one a --folder, and a database, of its own"
                ) from None
            time.sleep(0.1)


def _write_settings(server: Server) -> None:
    # The folder may lie in a clone: git must never see it.
    (server.folder / ".gitignore").write_text("*\n", encoding="utf-8")
    # MLflow reads the file with interpolation, which gives % a meaning.
    users = server.users.replace("%", "%%")
    with atomic_path(server.folder / "auth.ini") as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(
            f"[mlflow]\ndefault_permission = {_PERMISSION}\ndatabase_uri = {users}\n"
            f"admin_username = {ADMIN}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
            f"auth_cache_ttl_seconds = {_LOGIN_SECONDS}\n",
            encoding="utf-8",
        )


def _secret(path: Path) -> str:
    """The secret in `path`, made at first use; 32 letters, readable by its owner alone."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        text = _private_text(path).strip()
        if text and text.isprintable():
            return text
        fault = "is not a line of text" if text else "is empty"
        raise EarthSignalsError(f"{path} {fault}: remove it, and a new secret is made") from None
    text = secrets.token_urlsafe(24)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    return text


def _private_text(path: Path) -> str:
    """Content of a file with secrets, which only its owner may be able to read."""
    try:
        mode = path.stat().st_mode & 0o777
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise EarthSignalsError(f"{path} is no text, expected lines of UTF-8: remove or mend it") from None
    except OSError as error:
        raise EarthSignalsError(f"{path} cannot be read ({error.strerror})") from None
    if mode & 0o077:
        raise EarthSignalsError(
            f"{path} holds secrets and others can read it (mode {mode:o}): chmod 600 {path}, and "
            "change the secrets if others use this machine"
        )
    return text
