"""What several tests of the foundation share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new MLflow database: its tables take seconds to make, so it is made once and copied."""
    from earthsignals.tracking.store import open_client

    root = tmp_path_factory.mktemp("store")
    address = os.environ.pop("MLFLOW_TRACKING_URI", None)
    try:
        open_client(root)
    finally:
        if address is not None:
            os.environ["MLFLOW_TRACKING_URI"] = address
    return root / "mlflow.db"
