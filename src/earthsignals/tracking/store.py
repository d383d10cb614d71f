"""The MLflow store: where it is, how it is created once, and how its failures are told."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from earthsignals.storage import EarthSignalsError

_CREDENTIALS = re.compile(r"(?<=://)[^/\s'\"]*@")
_SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")

# A server that is down must be told within seconds; MLflow's own defaults are 7 retries of 120 s.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


def tracking_uri(root: Path) -> str:
    """Return the tracking store's address: ``MLFLOW_TRACKING_URI``, else ``<root>/mlflow.db``.

    The answer may hold credentials; pass it through :func:`redact` before showing it.
    """
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(root / 'mlflow.db').as_posix()}"


def redact(text: str) -> str:
    """Replace ``user:password@`` of any address, and the MLflow secrets, by ``***``."""
    text = _CREDENTIALS.sub("***@", text)
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
        from mlflow import MlflowClient

        with _quiet("alembic", "mlflow"), _creation_lock(root, uri):
            client = MlflowClient(tracking_uri=uri)
            client.search_experiments(max_results=1)
    return client


def experiment_id(client: Any, root: Path, name: str) -> str:
    """Return the id of experiment ``name``, created on first use.

    Artifacts of the embedded store lie under ``<root>/mlruns/<name>``; a server keeps its own.
    """
    from mlflow.exceptions import MlflowException

    if (found := client.get_experiment_by_name(name)) is not None:
        return found.experiment_id
    local = uses_sqlite(tracking_uri(root))
    location = (root / "mlruns" / name).as_uri() if local else None
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


@contextmanager
def _creation_lock(root: Path, uri: str) -> Iterator[None]:
    if not uses_sqlite(uri):
        yield
        return
    from filelock import FileLock

    folder = root / "mlruns"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".creation.lock", timeout=120):
        yield


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
