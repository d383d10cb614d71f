"""One record into the store: the run is made, completed where its server died, or left as it is."""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from earthsignals.storage import EarthSignalsError
from earthsignals.tracking.plain import batches
from earthsignals.tracking.record import Point, Record
from earthsignals.tracking.store import tracking_uri, uses_sqlite
from earthsignals.tracking.sweep import PARENT_TAG, SWEEP_TAG, sweep_parent

Outcome = Literal["added", "completed", "present", "deleted"]

RECORD_TAG = "record"
"""MD5 of the record that a run agrees with; set last, so that a run that has it is complete."""

_PAGE = 1000


def stored_runs(client: Any, experiment: str) -> dict[str, Any]:
    """Return the experiment's runs, deleted ones too, by the id that their record has.

    A restored run has an id of its own: MLflow lets nobody choose one. Of several of one record the one
    that :func:`_standing` chooses counts.
    """
    found = _search(client, experiment, "")
    restored: dict[str, list[Any]] = {}
    for run in found:
        if original := run.data.tags.get("restored_from"):
            restored.setdefault(original, []).append(run)
    chosen = {original: _standing(runs) for original, runs in restored.items()}
    return chosen | {run.info.run_id: run for run in found}


def rebuild(
    client: Any,
    root: Path,
    experiment: str,
    record: Record,
    stored: Any | None,
    find_file: Callable[[str], Path | None],
) -> tuple[Outcome, str]:
    """Make the store agree with ``record``; doing so again changes nothing.

    Args:
        client: of the store.
        root: the project.
        experiment: id of the record's experiment there.
        record: what the run was.
        stored: the record's run in the store, of :func:`stored_runs`; None when there is none.
        find_file: returns a file of this md5, or None; for the artifacts.

    Returns:
        What was done, and the run's id here.

    Raises:
        EarthSignalsError: the store holds a finished run of this id with other content.
    """
    if stored is None:
        return _add(client, root, experiment, record, find_file)
    run_id = stored.info.run_id
    if stored.info.lifecycle_stage == "deleted":
        return "deleted", run_id
    if stored.data.tags.get(RECORD_TAG) == record.md5:
        return "present", run_id
    if difference := _difference(stored, record):
        raise EarthSignalsError(
            f"the store holds run {run_id} with another content ({difference}): the run there was "
            "left as it is; delete it in MLflow and import again if the record is right"
        )
    if stored.info.status == "FINISHED":
        # Finished here by the run itself, before runs were tagged with their record.
        client.set_tag(run_id, RECORD_TAG, record.md5)
        return "present", run_id
    restored = "restored_from" in stored.data.tags
    wanted = record.renamed_metrics() if restored else record.metrics
    points = _missing_points(client, stored, wanted)
    params = {k: v for k, v in record.params.items() if k not in stored.data.params}
    _log(client, run_id, points, params, _tags(client, root, experiment, record))
    _fill(client, run_id, record, find_file, have=_artifacts(client, run_id))
    _close(client, run_id, record)
    return "completed", run_id


def _add(
    client: Any, root: Path, experiment: str, record: Record, find_file: Callable[[str], Path | None]
) -> tuple[Outcome, str]:
    """Make the record's run, unless another machine makes it at the same moment.

    A server has no lock. Whoever comes second sees the other's run either at once or, when both began
    before either could see the other, when all is logged: the looks enclose everything that takes time.
    """
    tags = {"restored_from": record.run_id, "mlflow.user": "earthsignals"}
    run_id = client.create_run(experiment, record.start_ms, tags, record.name).info.run_id
    shared = not uses_sqlite(tracking_uri(root))  # one machine's imports wait for each other
    if shared and (other := _give_way(client, experiment, record, run_id)):
        return "present", other
    tags = _tags(client, root, experiment, record)
    _log(client, run_id, record.renamed_metrics(), record.params, tags)
    _fill(client, run_id, record, find_file, have=set())
    if shared and (other := _give_way(client, experiment, record, run_id)):
        return "present", other
    _close(client, run_id, record)
    return "added", run_id


def _give_way(client: Any, experiment: str, record: Record, run_id: str) -> str | None:
    """Delete our run where another of the same record stands instead, and return that one's id."""
    alike = _search(client, experiment, f"tags.restored_from = '{record.run_id}'")
    standing = _standing(alike).info.run_id if alike else run_id
    if standing == run_id:
        return None
    client.delete_tag(run_id, "restored_from")  # nobody has thrown the record's run away
    client.delete_run(run_id)
    return standing


def _standing(runs: Sequence[Any]) -> Any:
    """Of runs made of one record the one that everybody keeps: not deleted, complete, of the smallest id.

    Ids, and not times: they are the same whichever machine looks, and clocks differ.
    """

    def order(run: Any) -> tuple[bool, bool, str]:
        return run.info.lifecycle_stage == "deleted", RECORD_TAG not in run.data.tags, run.info.run_id

    return min(runs, key=order)


def _search(client: Any, experiment: str, query: str) -> list[Any]:
    """All runs of the experiment that the query names, deleted ones too."""
    from mlflow.entities import ViewType

    found, token = [], None
    while True:
        page = client.search_runs([experiment], query, ViewType.ALL, max_results=_PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def log_datasets(client: Any, run_id: str, datasets: Sequence[tuple[str, str, str]]) -> None:
    """Name the datasets, each by path, md5 and context, that a run used; twice is once."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = []
    for name, md5, context in datasets:
        source = json.dumps({"uri": name})
        entity = Dataset(name=name, digest=md5[:36], source_type="dvc", source=source)
        inputs.append(DatasetInput(entity, [InputTag("mlflow.data.context", context)]))
    if inputs:
        client.log_inputs(run_id, inputs)


def _tags(client: Any, root: Path, experiment: str, record: Record) -> dict[str, str]:
    tags = {key: value[:5000] for key, value in record.tags.items()}
    tags |= {"mlflow.runName": record.name}
    if baseline := record.tags.get(SWEEP_TAG):
        tags[PARENT_TAG] = sweep_parent(client, root, experiment, baseline)
    return tags


def _log(
    client: Any, run_id: str, metrics: Mapping[str, list[Point]], params: Mapping[str, str],
    tags: Mapping[str, str],
) -> None:  # fmt: skip
    """Log everything in as few requests as MLflow allows: 1,000 items each, 100 of them params, 100 tags."""
    from mlflow.entities import Metric, Param, RunTag

    points = [
        Metric(key, value, time_ms, step)
        for key, rows in metrics.items()
        for step, time_ms, value in rows
    ]
    items = (
        batches(points, 800),
        batches([Param(key, value[:6000]) for key, value in params.items()], 100),
        batches([RunTag(key, value) for key, value in tags.items()], 100),
    )
    for some_points, some_params, some_tags in zip_longest(*items, fillvalue=[]):
        client.log_batch(run_id, metrics=some_points, params=some_params, tags=some_tags)


def _fill(
    client: Any, run_id: str, record: Record, find_file: Callable[[str], Path | None], have: set[str]
) -> None:
    """Log the datasets, and the artifacts that are not there yet."""
    log_datasets(client, run_id, record.datasets)
    for name, document in record.documents.items():
        if name not in have:
            client.log_dict(run_id, document, name)
    for name, md5 in record.artifacts.items():
        if name not in have and name not in record.documents and (file := find_file(md5)):
            _log_file(client, run_id, file, PurePosixPath(name))


def _close(client: Any, run_id: str, record: Record) -> None:
    """Status, then the record's md5, which comes last: it says that all went well."""
    client.set_terminated(run_id, record.status, end_time=record.end_ms)
    client.set_tag(run_id, RECORD_TAG, record.md5)


def _log_file(client: Any, run_id: str, file: Path, name: PurePosixPath) -> None:
    """Store ``file`` as artifact ``name``; MLflow names artifacts by their files."""
    folder = None if str(name.parent) == "." else str(name.parent)
    if file.name == name.name:
        client.log_artifact(run_id, str(file), folder)
        return
    with tempfile.TemporaryDirectory(prefix="artifact-") as temporary:
        copy = Path(temporary) / name.name
        copy.write_bytes(file.read_bytes())
        client.log_artifact(run_id, str(copy), folder)


def _missing_points(
    client: Any, stored: Any, wanted: Mapping[str, list[Point]]
) -> dict[str, list[Point]]:
    """Points of the record that the store lacks; NaN equals NaN here."""
    missing = {}
    for key, rows in wanted.items():
        have = set()
        if key in stored.data.metrics:
            history = client.get_metric_history(stored.info.run_id, key)
            have = {(m.step, m.timestamp, _plain(m.value)) for m in history}
        missing[key] = [row for row in rows if (row[0], row[1], _plain(row[2])) not in have]
    return missing


def _difference(stored: Any, record: Record) -> str | None:
    """Tell what contradicts the record in the stored run; what is only missing does not.

    A run that has not finished here may lack its last epochs, so only its start is compared.
    """
    if RECORD_TAG in stored.data.tags:
        return f"it was made of a record with md5 {stored.data.tags[RECORD_TAG]}"
    if stored.info.start_time != record.start_ms:
        return "it started at another time"
    for key, value in stored.data.params.items():
        if key in record.params and record.params[key][:6000] != value:
            return f"param {key} is {value[:60]} there and {record.params[key][:60]} in the record"
    if stored.info.status != "FINISHED" or "restored_from" in stored.data.tags:
        return None
    for key, value in stored.data.metrics.items():
        if rows := record.metrics.get(key):
            last = max(rows, key=lambda row: row[:2])[2]
            if _plain(last) != _plain(value):
                return f"metric {key} is {value:g} there and {last:g} in the record"
    return None


def _plain(value: float) -> str:
    """A value as the store gives it back: infinity is its largest number there."""
    if math.isinf(value):
        value = math.copysign(sys.float_info.max, value)
    return repr(float(value))


def _artifacts(client: Any, run_id: str, folder: str | None = None) -> set[str]:
    names: set[str] = set()
    for entry in client.list_artifacts(run_id, folder):
        names |= _artifacts(client, run_id, entry.path) if entry.is_dir else {entry.path}
    return names
