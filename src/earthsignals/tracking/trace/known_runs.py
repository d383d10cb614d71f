"""Runs as their records and the MLflow store tell of them, in one shape for both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from earthsignals.storage import EarthSignalsError
from earthsignals.tracking.history import read_records
from earthsignals.tracking.record import Record, read_record
from earthsignals.tracking.store import open_client, told_in_a_sentence, tracking_uri, uses_sqlite

_MD5 = re.compile(r"\b[0-9a-f]{32}(?:\.dir)?(?![0-9a-f])")
_RUN_ID = re.compile(r"[0-9a-f]{6,32}")


@dataclass(frozen=True)
class KnownRun:
    """One run: `id` where it was made, `id_here` in this machine's MLflow (None: not there, or not asked).

    `deps` and `outs` map path to the md5 that the run saw at its end; `outs` lacks the record itself.
    `artifacts` are the small files that it logged. `source` is the record's path, `DVC's
    run-cache` or `MLflow`.
    """

    id: str
    stage: str
    pipeline: str
    status: str
    start_ms: int | None
    commit: str | None
    dirty: str | None
    deps: dict[str, str]
    outs: dict[str, str]
    source: str
    id_here: str | None = None
    params: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def inputs(self) -> dict[str, str]:
        """md5s that the tags name beside deps and outs, by tag: the model that was judged, say."""
        return {
            tag: found[0]
            for tag, value in self.tags.items()
            if not tag.startswith(("dep.", "out.", "mlflow.")) and tag != "outs"
            and (found := _MD5.findall(str(value)))
        }  # fmt: skip


def from_record(record: Record, source: str) -> KnownRun:
    """The run of a record that was read from `source`."""
    tags = record.tags
    return KnownRun(
        id=record.run_id, stage=tags.get("dvc_stage", record.name), pipeline=record.experiment,
        status=record.status, start_ms=record.start_ms, commit=_commit(tags),
        dirty=tags.get("git_dirty"), deps=_under(tags, "dep."), outs=_under(tags, "out."),
        source=source, params=record.params, artifacts=record.artifacts, tags=tags,
    )  # fmt: skip


def known_runs(root: Path) -> list[KnownRun]:
    """Every run with a record here: the workspace's, and those that came by DVC's run-cache.

    The latter are runs of earlier versions and of other machines (`make pull`).
    """
    runs = {run.id: run for run in workspace_runs(root)[0]}
    for run_id, record in read_records(root).good.items():
        runs.setdefault(run_id, from_record(record, "DVC's run-cache"))
    return list(runs.values())


def workspace_runs(root: Path) -> tuple[list[KnownRun], list[str]]:
    """The newest run of each stage, by `reports/*/runs`; and a sentence for each unreadable record."""
    runs, faults = [], []
    for path in sorted(root.glob("reports/*/runs/*.json")):
        source = path.relative_to(root).as_posix()
        try:
            runs.append(from_record(read_record(path), source))
        except EarthSignalsError as error:
            faults.append(str(error))
    return runs, faults


class Store:
    """This machine's MLflow store, opened once and only when asked; never created.

    `fault` holds the sentence when it cannot be used: a trace is good without it.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.fault = root, ""
        self._client: Any = None
        self._ids: list[str] = []

    def id_here(self, run_id: str) -> str | None:
        """The id on this machine of a run made here or restored from another machine's record."""
        queries = (f"tags.restored_from = '{run_id}'", f"attributes.run_id = '{run_id}'")
        return next((runs[0].info.run_id for query in queries if (runs := self._search(query))), None)

    def by_prefix(self, prefix: str) -> list[KnownRun]:
        """Runs whose id, here or where they were made, begins with `prefix`."""
        found = self._search(f"attributes.run_id LIKE '{prefix}%'")
        found += self._search(f"tags.restored_from LIKE '{prefix}%'")
        return list({run.info.run_id: _from_mlflow(run) for run in found}.values())

    def by_output(self, md5: str) -> KnownRun | None:
        """The newest finished run with an out of this md5."""
        for run in self._search(f"tags.outs LIKE '%{md5}%' and attributes.status = 'FINISHED'"):
            if md5 in run.data.tags["outs"].split():
                return _from_mlflow(run)
        return None

    def _search(self, query: str) -> list[Any]:
        if not self._open():
            return []
        try:
            with told_in_a_sentence(tracking_uri(self.root)):
                return list(
                    self._client.search_runs(
                        self._ids, query, order_by=["attributes.start_time DESC"], max_results=50
                    )
                )
        except EarthSignalsError as error:
            self.fault = str(error)
            return []

    def _open(self) -> bool:
        uri = tracking_uri(self.root)
        if self.fault or (uses_sqlite(uri) and not Path(uri.removeprefix("sqlite:///")).is_file()):
            return False  # nothing was logged here yet, and creating a store takes ten seconds
        if self._client is None:
            try:
                self._client = open_client(self.root)
                with told_in_a_sentence(uri):
                    self._ids = [each.experiment_id for each in self._client.search_experiments()]
            except EarthSignalsError as error:
                self.fault = str(error)
                return False
        return bool(self._ids)


def find_run(text: str, root: Path, store: Store) -> KnownRun | None:
    """The run with this id or beginning of one (6 digits or more), from the records, else from MLflow.

    Raises:
        EarthSignalsError: several runs begin like this.
    """
    if not _RUN_ID.fullmatch(text):
        return None
    found = {run.id: run for run in known_runs(root) if run.id.startswith(text)}
    for run in store.by_prefix(text):
        found.setdefault(run.id, run)
    if len(found) > 1:
        listed = ", ".join(f"{run.id} ({run.stage})" for run in found.values())
        raise EarthSignalsError(f"several runs begin with {text}: {listed}; give more digits")
    return next(iter(found.values()), None)


def _from_mlflow(run: Any) -> KnownRun:
    tags = dict(run.data.tags)
    stage = tags.get("dvc_stage", run.info.run_name or "")
    return KnownRun(
        id=tags.get("restored_from", run.info.run_id), stage=stage, pipeline=stage.partition("-")[0],
        status=run.info.status, start_ms=run.info.start_time, commit=_commit(tags),
        dirty=tags.get("git_dirty"), deps=_under(tags, "dep."), outs=_under(tags, "out."),
        source="MLflow", id_here=run.info.run_id, params=dict(run.data.params), tags=tags,
    )  # fmt: skip


def _commit(tags: Mapping[str, str]) -> str | None:
    commit = tags.get("git_commit")
    return None if commit in (None, "none") else commit


def _under(tags: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): value for key, value in tags.items() if key.startswith(prefix)}
