"""The MLflow store: where it is, how it is created once, and how its failures are told."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from earthsignals.storage import EarthSignalsError, find_project_root, main_project

_CREDENTIALS = re.compile(r"(?<=://)[^/\s'\"]*@")
_SECRET_QUERIES = re.compile(r"([?&](?:ssl)?password=)[^&\s'\"]*", re.IGNORECASE)
_POSTGRESQL = re.compile(r"^postgres(?:ql)?://")
_SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")

# A server that is down must be told within seconds; MLflow's own defaults are 7 retries of 120 s.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
_LOCK_SECONDS = 120.0
_SQLITE_START = b"SQLite format 3\0"


def working_root(root: Path | None = None) -> Path:
    """Return the project whose files a run reads and writes: ``root``, or that of the working folder.

    ``DVC_ROOT`` would not do: inside `dvc exp run --temp` it names the project, not the copy in
    which the stage works.

    Raises:
        EarthSignalsError: the working folder is in no project and ``DVC_ROOT`` is not set.
    """
    if root is None:
        try:
            root = find_project_root()
        except EarthSignalsError:
            if not (named := os.environ.get("DVC_ROOT")):
                raise
            root = Path(named)
    return root.resolve()


def tracking_uri(root: Path) -> str:
    """Return the tracking store's address: ``MLFLOW_TRACKING_URI``, else the project's ``mlflow.db``.

    A relative path of SQLite is taken from the project's root, whatever the working folder, and
    PostgreSQL gets the driver that is installed (SQLAlchemy's own choice is another). The answer may
    hold credentials; pass it through :func:`redact` before showing it.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    uri = _POSTGRESQL.sub("postgresql+psycopg2://", uri)
    file = uri.removeprefix("sqlite:///")
    if file == uri or not file or file.startswith(("/", ":")):
        return uri
    return f"sqlite:///{(main_project(root) / file).as_posix()}"


def redact(text: str) -> str:
    """Replace ``user:password@`` and ``?password=`` of any address, and the MLflow secrets, by ``***``."""
    text = _SECRET_QUERIES.sub(r"\1***", _CREDENTIALS.sub("***@", text))
    for name in _SECRET_VARIABLES:
        if secret := os.environ.get(name):
            text = text.replace(secret, "***")
    return text


@contextmanager
def told_in_a_sentence(uri: str) -> Iterator[None]:
    """Turn every failure of the store into one sentence without credentials.

    Raises:
        EarthSignalsError: for whatever MLflow, SQLAlchemy or the network raised inside.
    """
    try:
        yield
    except EarthSignalsError:
        raise
    except Exception as error:
        reason = redact(str(error).strip().splitlines()[0] if str(error).strip() else repr(error))
        # `from None`: the original's text may hold the password and must not be printed along.
        raise EarthSignalsError(
            f"the MLflow store {redact(uri)} cannot be used ({reason[:300]}): check that it is "
            "reachable and that MLFLOW_TRACKING_URI is right, or unset MLFLOW_TRACKING_URI to "
            "use the embedded mlflow.db"
        ) from None


def open_client(root: Path) -> Any:
    """Return a ready ``MlflowClient``, creating an embedded store on first use.

    Creation happens under a file lock: processes that race to create MLflow's tables crash.

    Raises:
        EarthSignalsError: the store cannot be reached, read or created.
    """
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    uri = tracking_uri(root)
    with told_in_a_sentence(uri):
        if uses_sqlite(uri):
            check_sqlite(sqlite_file(uri))
        elif uri.startswith("postgresql"):
            _connect_once(uri)
        from mlflow import MlflowClient

        with _quiet("alembic", "mlflow"), _created_once(root, uri):
            client = MlflowClient(tracking_uri=uri)
            client.search_experiments(max_results=1)
    return client


def experiment_id(client: Any, root: Path, name: str) -> str:
    """Return the id of experiment ``name``, created on first use.

    Artifacts of the embedded store lie under ``<root>/mlruns/<name>``; a server keeps its own.
    """
    from mlflow.exceptions import MlflowException

    if (found := client.get_experiment_by_name(name)) is not None:
        if found.lifecycle_stage == "deleted":
            raise EarthSignalsError(
                f"the experiment {name} was deleted from the MLflow store, which keeps its name: bring "
                f"it back with `mlflow experiments restore -x {found.experiment_id}`"
            )
        return found.experiment_id
    local = uses_sqlite(tracking_uri(root))
    location = (main_project(root) / "mlruns" / name).as_uri() if local else None
    try:
        return client.create_experiment(name, artifact_location=location)
    except MlflowException:
        # Another process may have created it between the two calls.
        if (found := client.get_experiment_by_name(name)) is not None:
            return found.experiment_id
        raise


def uses_sqlite(uri: str) -> bool:
    """Tell whether the store is a database file on this machine."""
    return uri.startswith("sqlite:")


def sqlite_file(uri: str) -> Path:
    """The file of such a store's address."""
    return Path(uri.removeprefix("sqlite:///").partition("?")[0])


def check_sqlite(file: Path) -> None:
    """Tell what cannot be a database, which MLflow would try to open for a minute; an absent file is fine.

    Raises:
        EarthSignalsError: a folder, a file of another kind, or one that cannot be read and written.
    """
    reason = None
    try:
        if file.is_dir():
            reason = "it is a folder"
        elif file.exists():
            with file.open("r+b") as database:
                start = database.read(len(_SQLITE_START))
            if start and start != _SQLITE_START:
                reason = "it is no SQLite database"
    except OSError as error:
        reason = error.strerror
    if reason:
        raise EarthSignalsError(
            f"{file} cannot be used as MLflow's database ({reason}): move it away, and a new one is made, or "
            "name another"
        )


@contextmanager
def locked(root: Path, purpose: str) -> Iterator[None]:
    """Keep other processes of this project from the same ``purpose`` meanwhile.

    Raises:
        EarthSignalsError: another process held the lock for two minutes.
    """
    from filelock import FileLock, Timeout

    path = main_project(root) / "mlruns" / f".{purpose}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=_LOCK_SECONDS):
            yield
    except Timeout:
        raise EarthSignalsError(
            f"another process has held {path} for {_LOCK_SECONDS:.0f} s ({purpose} of the MLflow store): "
            "wait until it ends, or end it, and try again"
        ) from None


def _created_once(root: Path, uri: str) -> AbstractContextManager[None]:
    return locked(root, "creation") if uses_sqlite(uri) else nullcontext()


def _connect_once(uri: str) -> None:
    """MLflow itself tries a database that is down for more than a minute."""
    from sqlalchemy import NullPool, create_engine

    create_engine(uri, poolclass=NullPool, connect_args={"connect_timeout": 10}).connect().close()


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Keep the migration chatter of a first start off the terminal."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
