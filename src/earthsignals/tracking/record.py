"""The run record: a file that DVC carries and from which MLflow's run can be rebuilt elsewhere.

MLflow's database holds absolute paths and cannot be synchronised; the record holds none.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earthsignals.storage import EarthSignalsError, read_json, write_json
from earthsignals.tracking.store import (
    experiment_id,
    open_client,
    told_in_a_sentence,
    tracking_uri,
)

if TYPE_CHECKING:
    from earthsignals.tracking.run import Run

FORMAT_VERSION = 1


def write_record(run: Run, end_ms: int) -> None:
    """Write ``run.record_path``: params, tags, and each metric's [step, time (ms), value] rows.

    JSON has no NaN: values that are not finite are written as ``"nan"``, ``"inf"``, ``"-inf"``.
    """
    metrics = {
        key: [[step, time_ms, _finite(value)] for step, time_ms, value in rows]
        for key, rows in run.metrics.items()
    }
    record = {
        "format_version": FORMAT_VERSION,
        "run_id": run.id,
        "experiment": run.pipeline,
        "name": run.stage,
        "status": "FINISHED",
        "start_ms": run.start_ms,
        "end_ms": end_ms,
        "params": run.params,
        "tags": run.tags,
        "metrics": metrics,
    }
    write_json(run.record_path, record)


def restore_run(path: Path, *, root: Path) -> str:
    """Rebuild the run of a record in this machine's MLflow store and return its id here.

    A run that is there already, as the original or restored earlier, is left alone. Artifacts
    (figures, signature) are no part of a record: figures are outs of the pipeline.

    Raises:
        EarthSignalsError: the file is no run record, is of a newer format, or the store fails.
    """
    record = read_json(path)
    if not isinstance(record, dict) or "run_id" not in record:
        raise EarthSignalsError(f"{path} is not a run record: it has no run_id")
    if record["format_version"] > FORMAT_VERSION:
        raise EarthSignalsError(
            f"{path} is a run record of format {record['format_version']}, this version reads up "
            f"to {FORMAT_VERSION}: update earthsignals"
        )
    root = root.resolve()
    client = open_client(root)
    with told_in_a_sentence(tracking_uri(root)):
        experiment = experiment_id(client, root, record["experiment"])
        if (known := _known(client, experiment, record["run_id"])) is not None:
            return known
        tags = record["tags"] | {"restored_from": record["run_id"]}
        created = client.create_run(
            experiment, start_time=record["start_ms"], tags=tags, run_name=record["name"]
        )
        _fill(client, created.info.run_id, record)
    return created.info.run_id


def _known(client: Any, experiment: str, run_id: str) -> str | None:
    query = f"tags.restored_from = '{run_id}'"
    if restored := client.search_runs([experiment], query, max_results=1):
        return restored[0].info.run_id
    original = client.search_runs([experiment], f"attributes.run_id = '{run_id}'", max_results=1)
    return original[0].info.run_id if original else None


def _fill(client: Any, run_id: str, record: dict[str, Any]) -> None:
    from mlflow.entities import Metric, Param

    params = [Param(key, value[:6000]) for key, value in record["params"].items()]
    for start in range(0, len(params), 100):
        client.log_batch(run_id, params=params[start : start + 100])
    metrics = [
        Metric(key, float(value), time_ms, step)
        for key, rows in record["metrics"].items()
        for step, time_ms, value in rows
    ]
    for start in range(0, len(metrics), 1000):
        client.log_batch(run_id, metrics=metrics[start : start + 1000])
    client.set_terminated(run_id, record["status"], end_time=record["end_ms"])


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else str(float(value))
