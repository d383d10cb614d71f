"""Experiment tracking and lineage: the only room that knows MLflow.

    from earthsignals import tracking

    with tracking.run("tdlas", "train", params=params, settings=settings, kind="training") as run:
        run.log_metrics({"loss": 0.1}, step=0)

Importing this package is cheap; MLflow itself is imported when a run starts.
"""

from __future__ import annotations

from earthsignals.tracking.history import (
    Imported,
    Records,
    import_runs,
    read_records,
    restore_run,
    runs_in_store,
)
from earthsignals.tracking.lineage import describe_machine
from earthsignals.tracking.record import Record
from earthsignals.tracking.run import Run, run
from earthsignals.tracking.search import find_run_by_output
from earthsignals.tracking.store import redact, tracking_uri

__all__ = [
    "Imported",
    "Record",
    "Records",
    "Run",
    "describe_machine",
    "find_run_by_output",
    "import_runs",
    "read_records",
    "redact",
    "restore_run",
    "run",
    "runs_in_store",
    "tracking_uri",
]
