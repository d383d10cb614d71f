"""One run: parameters in, metrics and figures along the way, lineage and a record at its end."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError, Stopped, md5_file, md5_path
from earthsignals.tracking import lineage
from earthsignals.tracking.plain import batches, flat, key, now_ms, portable, text
from earthsignals.tracking.rebuild import RECORD_TAG, log_datasets
from earthsignals.tracking.record import write_record
from earthsignals.tracking.sampler import SystemSampler
from earthsignals.tracking.search import close_abandoned, process_tags
from earthsignals.tracking.store import (
    experiment_id,
    open_client,
    redact,
    told_in_a_sentence,
    tracking_uri,
    uses_sqlite,
    working_root,
)
from earthsignals.tracking.sweep import PARENT_TAG, SWEEP_TAG, experiment_tags, sweep_parent

# MLflow's limits for one request and one value.
_METRICS_PER_BATCH = 1000
_ITEMS_PER_BATCH = 100
_PARAM_LENGTH = 6000
_TAG_LENGTH = 5000
# Larger JSON artifacts (an input example of an image) are named in the record, not held by it.
_DOCUMENT_LENGTH = 20_000


class Run:
    """A run under way; made by :func:`run`, never by hand.

    Everything logged is also kept for the run record. Should the store fail midway, one sentence
    goes to stderr and the work goes on: the record stays complete, and `earthsignals runs import`
    completes the run from it.

    Attributes: ``id`` (MLflow's), ``pipeline``, ``verb``, ``kind``, ``stage`` (DVC's name),
    ``name`` (shown by MLflow), ``root``, ``record_path``.
    """

    def __init__(
        self, client: Any, run_id: str, pipeline: str, verb: str, root: Path, kind: str = "stage"
    ) -> None:
        self.id = run_id
        self.pipeline, self.verb, self.root, self.kind = pipeline, verb, root, kind
        self.stage = _stage_name(pipeline, verb)
        self.name = _run_name(self.stage)
        self.record_path = root / "reports" / pipeline / "runs" / f"{verb}.json"
        self.params: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.metrics: dict[str, list[tuple[int, int, float]]] = {}
        self.artifacts: dict[str, str] = {}
        self.documents: dict[str, Any] = {}
        self.datasets: list[tuple[str, str, str]] = []
        self.start_ms = now_ms()
        self.device_seconds = 0.0
        self.earlier_seconds = 0.0
        self._client = client
        self._online = True
        self._lock = threading.Lock()

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log nested ``params`` under dotted keys; paths inside the project become relative.

        Credentials in addresses become ``***``, as in tags.
        """
        from mlflow.entities import Param

        plain = {name: redact(portable(text(value), self.root)) for name, value in flat(params)}
        self.params.update(plain)
        items = [Param(name, value[:_PARAM_LENGTH]) for name, value in plain.items()]
        for batch in batches(items, _ITEMS_PER_BATCH):
            self._send(lambda batch=batch: self._client.log_batch(self.id, params=batch))

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log numbers, all in one request; nested mappings become dotted keys, None is left out.

        Those of an evaluation are named ``test/<key>``, so that all pipelines compare alike; a
        training names its epochs' ``train/<key>`` and ``val/<key>``.

        Args:
            metrics: name to number (Python, numpy or 0-d torch).
            step: epoch or the like; 0 when not given.
        """
        self.log_history([metrics], [0 if step is None else step])

    def log_history(self, rows: Sequence[Mapping[str, Any]], steps: Sequence[int]) -> None:
        """Log many rows of metrics at once, ``rows[i]`` at ``steps[i]``."""
        from mlflow.entities import Metric

        now = now_ms()
        prefix = "test/" if self.kind == "evaluation" else ""
        items = []
        for row, step in zip(rows, steps, strict=True):
            for name, value in flat(row):
                if value is not None:
                    items.append((key(prefix + name), float(value), int(step)))
        with self._lock:
            for name, value, step in items:
                self.metrics.setdefault(name, []).append((step, now, value))
        entities = [Metric(name, value, now, step) for name, value, step in items]
        for batch in batches(entities, _METRICS_PER_BATCH):
            self._send(lambda batch=batch: self._client.log_batch(self.id, metrics=batch))

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags; absolute paths inside the project or the home folder are made relative."""
        from mlflow.entities import RunTag

        clean = {key(k): redact(portable(text(v), self.root)) for k, v in tags.items()}
        self.tags.update(clean)
        items = [RunTag(name, value[:_TAG_LENGTH]) for name, value in clean.items()]
        for batch in batches(items, _ITEMS_PER_BATCH):
            self._send(lambda batch=batch: self._client.log_batch(self.id, tags=batch))

    def log_figure(self, path: Path) -> None:
        """Store a figure's file as an artifact under ``figures/``."""
        self.log_artifact(path, "figures")

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Store a small file as an artifact. Weights and datasets belong to DVC, not here.

        Raises:
            EarthSignalsError: ``path`` does not exist.
        """
        if not Path(path).is_file():
            raise EarthSignalsError(f"{path} cannot be logged: there is no such file")
        name = f"{folder}/{Path(path).name}" if folder else Path(path).name
        self.artifacts[name] = md5_file(path)
        self._send(lambda: self._client.log_artifact(self.id, str(path), artifact_path=folder))

    def log_dict(self, content: Any, artifact: str) -> None:
        """Store ``content`` as the JSON artifact ``artifact`` (a relative path)."""
        written = json.dumps(content, sort_keys=True)
        self.artifacts[artifact] = hashlib.md5(written.encode(), usedforsecurity=False).hexdigest()
        if len(written) <= _DOCUMENT_LENGTH:
            self.documents[artifact] = content
        self._send(lambda: self._client.log_dict(self.id, content, artifact))

    def log_signature(self, inputs: Mapping[str, Any] | Any, outputs: Any) -> None:
        """Store ``model/signature.json`` and ``model/input_example.json``; the weights stay away.

        Args:
            inputs: array, or mapping from input name to array, with the batch axis first.
            outputs: what the model returns for them, likewise.
        """
        from mlflow.models import infer_signature

        signature = infer_signature(inputs, outputs).to_dict()
        parsed = {k: json.loads(v) if isinstance(v, str) else v for k, v in signature.items()}
        named = inputs if isinstance(inputs, Mapping) else {"input": inputs}
        self.log_dict(parsed, "model/signature.json")
        self.log_dict({k: v[:1].tolist() for k, v in named.items()}, "model/input_example.json")

    def log_dataset(self, path: Path, context: str = "training") -> None:
        """Name the dataset that the run used, by its path in the project and its md5."""
        name = portable(str(Path(path).resolve()), self.root)
        digest = md5_path(Path(path))
        self.datasets.append((name, digest, context))
        self._send(lambda: log_datasets(self._client, self.id, [(name, digest, context)]))
        self.set_tags({"dataset": f"{name} {digest}"})

    def add_device_seconds(self, seconds: float) -> None:
        """Count seconds during which devices worked (wall time × devices)."""
        self.device_seconds += seconds

    def add_earlier(self, wall: float, device: float) -> None:
        """Count the seconds of earlier starts of the same work, which this run goes on from.

        They are paid for like this run's own, and only the last start leaves a record.
        """
        self.earlier_seconds += wall
        self.device_seconds += device

    def _send(self, request: Callable[[], Any]) -> None:
        """Send to the store; after a failure stay offline, so that no epoch waits for a server."""
        if not self._online:
            return
        try:
            with told_in_a_sentence(tracking_uri(self.root)):
                request()
        except EarthSignalsError as error:
            self._online = False
            record = portable(str(self.record_path), self.root)
            print(
                f"warning: {error}; the run goes on, its record {record} will hold everything, and "
                "`earthsignals runs import` completes it in MLflow when the store is back",
                file=sys.stderr,
            )


@contextmanager
def run(
    pipeline: str,
    verb: str,
    params: Mapping[str, Any],
    settings: Settings,
    *,
    kind: str = "stage",
    root: Path | None = None,
) -> Iterator[Run]:
    """Track the work inside the block as one MLflow run of experiment ``pipeline``.

    At the end it gets its lineage (``dep.<path>``, ``out.<path>``: DVC's md5s; git commit and
    dirty flag; machine; wall and device seconds, with those of earlier starts that it went on from;
    ``cost_usd`` = wall hours × price) and writes
    ``reports/<pipeline>/runs/<verb>.json``. The block must have written all other outs by then. A
    block left by an exception gives a run marked FAILED and no record; left by ``Stopped`` (the work
    was asked to, and goes on in a later run) or by Ctrl-C it is KILLED.

    Args:
        pipeline: experiment name, e.g. ``"tdlas"``.
        verb: the stage's verb, e.g. ``"train"``; the DVC stage is ``DVC_STAGE`` or
            ``<pipeline>-<verb>``.
        params: nested parameters.
        settings: gives the price per hour.
        kind: ``"training"`` also samples system metrics; ``"evaluation"`` names its metrics
            ``test/…``; ``"stage"`` does neither.
        root: project root; by default the project around the working folder.

    Raises:
        EarthSignalsError: the MLflow store cannot be used, told within seconds.
    """
    root = working_root(root)
    tracked = _start(pipeline, verb, params, kind, root)
    clock = time.monotonic()
    sampler = SystemSampler(tracked.log_metrics) if kind == "training" else None
    try:
        if sampler:
            sampler.start()
        yield tracked
        if sampler:
            sampler.stop()
        _log_times(tracked, time.monotonic() - clock, settings.price_per_hour_usd)
        tracked.set_tags(lineage.lineage_tags(root, tracked.stage, exclude=tracked.record_path))
        _end(tracked)
    except BaseException as error:
        if sampler:
            sampler.stop()
        # Only the kind of error: its text may name files of this machine.
        told = "interrupted" if isinstance(error, Stopped) else "error"
        tracked.set_tags({told: type(error).__name__})
        _log_times(tracked, time.monotonic() - clock, settings.price_per_hour_usd)
        killed = isinstance(error, (Stopped, KeyboardInterrupt, SystemExit))
        _terminate(tracked, "KILLED" if killed else "FAILED", now_ms())
        raise


def _start(pipeline: str, verb: str, params: Mapping[str, Any], kind: str, root: Path) -> Run:
    client = open_client(root)
    stage = _stage_name(pipeline, verb)
    with told_in_a_sentence(tracking_uri(root)):
        experiment = experiment_id(client, root, pipeline)
        if uses_sqlite(tracking_uri(root)):
            close_abandoned(client, experiment, stage)
        # MLflow's own user and source tags would tell the account and absolute paths.
        neutral = {
            "mlflow.user": "earthsignals",
            "mlflow.source.name": f"stages/{pipeline}/{verb}.py",
            "mlflow.source.type": "LOCAL",
            "mlflow.runName": _run_name(stage),
        }
        sweep = experiment_tags()
        parent = {}
        if sweep:
            # Its id means nothing in another store: the record holds only the baseline's commit.
            parent[PARENT_TAG] = sweep_parent(client, root, experiment, sweep[SWEEP_TAG])
        tags = neutral | process_tags() | parent
        created = client.create_run(experiment, tags=tags, run_name=neutral["mlflow.runName"])
    tracked = Run(client, created.info.run_id, pipeline, verb, root, kind)
    tracked.start_ms = created.info.start_time
    tracked.tags.update(neutral)
    git = lineage.git_tags(root)
    machine = lineage.describe_machine()
    tracked.set_tags({"dvc_stage": stage, "kind": kind, **sweep, **git, **machine})
    if git["git_commit"] != "none":
        tracked.set_tags({"mlflow.source.git.commit": git["git_commit"]})
    tracked.log_params(params)
    return tracked


def _end(tracked: Run) -> None:
    """Write the record, then finish the run here and tag it with the record that it agrees with."""
    end_ms = now_ms()
    write_record(tracked, end_ms)
    md5 = md5_file(tracked.record_path)
    _terminate(tracked, "FINISHED", end_ms)
    tracked._send(lambda: tracked._client.set_tag(tracked.id, RECORD_TAG, md5))


def _log_times(tracked: Run, wall: float, price_per_hour: float) -> None:
    """`wall` seconds of this start; what the earlier ones took is added, and told besides."""
    whole = wall + tracked.earlier_seconds
    tags = {
        "wall_seconds": f"{whole:.3f}",
        "device_seconds": f"{tracked.device_seconds:.3f}",
        "cost_usd": f"{whole / 3600 * price_per_hour:.6f}",
    }
    if tracked.earlier_seconds:
        tags["earlier_seconds"] = f"{tracked.earlier_seconds:.3f}"
    tracked.set_tags(tags)


def _terminate(tracked: Run, status: str, end_ms: int) -> None:
    tracked._send(lambda: tracked._client.set_terminated(tracked.id, status, end_time=end_ms))


def _stage_name(pipeline: str, verb: str) -> str:
    return os.environ.get("DVC_STAGE") or f"{pipeline}-{verb}"


def _run_name(stage: str) -> str:
    """The stage's name; in a sweep with the experiment's, which tells its runs apart."""
    experiment = experiment_tags().get("dvc_experiment")
    return f"{stage} {experiment}" if experiment else stage
