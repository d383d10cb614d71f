"""One experiment history: every run record that reached this machine, and the store made of them.

Records come from two places: `reports/<pipeline>/runs`, which holds the newest of each stage, and DVC's
run-cache, which holds those of all runs that this project ever had and that `--run-cache` carries.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from earthsignals.compute.mapping import progress
from earthsignals.dvcfiles import cache_folder, is_md5, object_name
from earthsignals.storage import EarthSignalsError, main_project, md5_file
from earthsignals.tracking.plain import one_line
from earthsignals.tracking.rebuild import rebuild, stored_runs
from earthsignals.tracking.record import Record, read_record
from earthsignals.tracking.store import (
    experiment_id,
    locked,
    open_client,
    sqlite_file,
    told_in_a_sentence,
    tracking_uri,
    uses_sqlite,
)

# One out of a run-cache entry. These are written by DVC alone, one key a line; a YAML parser would take
# 20 ms for each, and what the md5 leads to is checked.
_RECORD_OUT = re.compile(
    r"^- path: reports/([^/\n]+)/runs/[^/\n]+\.json\n(?:  (?!md5:).*\n)*  md5: ([0-9a-f]{32})$", re.MULTILINE
)


@dataclass
class Records:
    """The records of a project: ``good`` by run id, ``bad`` as sentences, and what is not here.

    absent: records that the run-cache names while their content is not in DVC's cache.
    """

    good: dict[str, Record] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)
    absent: int = 0


@dataclass
class Imported:
    """What an import did: numbers of runs, and a sentence for each record that was skipped."""

    added: int = 0
    completed: int = 0
    present: int = 0
    deleted: int = 0
    absent: int = 0
    skipped: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Tell whether there were records and none of them is in the store now."""
        return bool(self.skipped) and not self.added + self.completed + self.present + self.deleted


def read_records(root: Path, pipeline: str | None = None) -> Records:
    """Read all records here, of one pipeline or of all, each run once.

    Of two records of one run with different content the workspace's counts; the other is told.
    """
    found = Records()
    # From a copy made by `dvc exp run --temp` the history is still the project's.
    root = main_project(root.resolve())
    seen: set[str] = set()
    for path in sorted(root.glob(f"reports/{pipeline or '*'}/runs/*.json")):
        if (record := _read(path, None, found)) is not None:
            seen.add(record.md5)
    cache = cache_folder(root)
    for md5 in sorted(_named_by_run_cache(cache, pipeline) - seen):
        path = cache / object_name(md5)
        if path.is_file():
            _read(path, md5, found)
        else:
            found.absent += 1
    return found


def import_runs(root: Path, pipeline: str | None = None) -> Imported:
    """Bring this machine's MLflow store up to what the records say; repeating it changes nothing.

    A run that is missing is added, one whose server died is completed, one that was deleted in MLflow
    stays deleted. A record that is damaged, newer than this version or in conflict with the store is
    skipped and told. The store is not made where there is no record.

    Raises:
        EarthSignalsError: the store cannot be used at all.
    """
    root = main_project(root.resolve())
    records = read_records(root, pipeline)
    done = Imported(absent=records.absent, skipped=records.bad)
    if not records.good:
        return done
    by_experiment: dict[str, list[Record]] = defaultdict(list)
    for record in records.good.values():
        by_experiment[record.experiment].append(record)
    files = _Files(root)
    client = open_client(root)
    with (
        told_in_a_sentence(tracking_uri(root)),
        locked(root, "import"),
        progress("importing runs", len(records.good), "runs") as bar,
    ):
        for name, own in sorted(by_experiment.items()):
            experiment = experiment_id(client, root, name)
            stored = stored_runs(client, experiment)
            for record in sorted(own, key=lambda each: each.start_ms):
                _import_one(client, root, experiment, record, stored.get(record.run_id), files, done)
                bar.advance()
    return done


def restore_run(path: Path, *, root: Path) -> str:
    """Rebuild the run of one record in this machine's MLflow store and return its id here.

    A run that is there already, as the original or restored earlier, is left alone, or completed
    where it never finished.

    Raises:
        EarthSignalsError: the file is no run record, is of a newer format, contradicts the run that
            the store has, or the store fails.
    """
    record = read_record(path)
    root = main_project(root.resolve())
    client = open_client(root)
    with told_in_a_sentence(tracking_uri(root)), locked(root, "import"):
        experiment = experiment_id(client, root, record.experiment)
        stored = stored_runs(client, experiment).get(record.run_id)
        return rebuild(client, root, experiment, record, stored, _Files(root))[1]


def runs_in_store(root: Path, experiments: set[str]) -> dict[str, Any]:
    """Return the store's runs of these experiments by their record's id; deleted ones are left out.

    A store that nothing has used yet is not made.
    """
    root = main_project(root.resolve())
    uri = tracking_uri(root)
    if uses_sqlite(uri) and not sqlite_file(uri).exists():
        return {}
    client = open_client(root)
    found: dict[str, Any] = {}
    with told_in_a_sentence(uri):
        for name in sorted(experiments):
            if (experiment := client.get_experiment_by_name(name)) is not None:
                found |= stored_runs(client, experiment.experiment_id)
    return {key: run for key, run in found.items() if run.info.lifecycle_stage == "active"}


class _Files:
    """Finds a file by its md5: in DVC's cache, else among the reports, which git carries."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._cache = cache_folder(root)
        self._reports: dict[str, Path] | None = None

    def __call__(self, md5: str) -> Path | None:
        if not is_md5(md5):  # a record may hold anything
            return None
        cached = self._cache / object_name(md5)
        if cached.is_file() and md5_file(cached) == md5:
            return cached
        if self._reports is None:
            files = (each for each in (self._root / "reports").rglob("*") if each.is_file())
            self._reports = {md5_file(each): each for each in files}
        return self._reports.get(md5)


def _import_one(
    client: Any, root: Path, experiment: str, record: Record, stored: Any, files: _Files, done: Imported
) -> None:
    """Rebuild one run; what goes wrong with it is told and does not stop the others."""
    try:
        with told_in_a_sentence(tracking_uri(root)):
            outcome, _ = rebuild(client, root, experiment, record, stored, files)
    except EarthSignalsError as error:
        done.skipped.append(f"run {record.run_id} of {one_line(record.name)}: {error}")
        return
    setattr(done, outcome, getattr(done, outcome) + 1)


def _read(path: Path, md5: str | None, found: Records) -> Record | None:
    try:
        record = read_record(path, md5)
    except EarthSignalsError as error:
        found.bad.append(str(error))
        return None
    known = found.good.setdefault(record.run_id, record)
    if known.md5 != record.md5:
        found.bad.append(
            f"{path} is another record of run {record.run_id} than the one already read: left out; "
            "`dvc checkout` the record that belongs to this commit"
        )
    return record


def _named_by_run_cache(cache: Path, pipeline: str | None) -> set[str]:
    return {
        md5
        for entry in _entries(cache / "runs")
        for name, md5 in _RECORD_OUT.findall(entry)
        if pipeline in (None, name)
    }


def _entries(folder: Path) -> Iterator[str]:
    """Yield the text of each run-cache entry; DVC names them by two SHA-256."""
    for path in folder.glob("??/*/*"):
        if len(path.name) == 64:
            yield path.read_text(encoding="utf-8", errors="replace")
