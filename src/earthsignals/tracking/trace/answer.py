"""What a trace tells: stages with their files, what was made from them, and what is not as it should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from earthsignals.tracking.trace.disk import State
from earthsignals.tracking.trace.known_runs import KnownRun


@dataclass(frozen=True)
class TracedFile:
    """A dep or out: its locked md5, what lies on disk beside it, and the stages that make it."""

    path: str
    md5: str
    state: State
    made_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class TracedStage:
    """One stage as it ran. `commit` is its run's (`commit_of` is `run`), else that of its lock entry.

    `dirty` is the run's own word (`true`, `false`, `unknown`), None without a run. `stale` holds why
    `dvc repro` would run it again.
    """

    name: str
    command: str
    commit: str | None
    commit_of: str
    dirty: str | None
    params: dict[str, Any]
    deps: tuple[TracedFile, ...]
    outs: tuple[TracedFile, ...]
    run: KnownRun | None = None
    stale: tuple[str, ...] = ()


@dataclass(frozen=True)
class Use:
    """A stage that was made from the subject: through which dep, into which outs, from these bytes?"""

    stage: str
    through: str
    outs: tuple[str, ...]
    same_bytes: bool


@dataclass(frozen=True)
class Trace:
    """The whole answer; `dataclasses.asdict` gives JSON's.

    `subject` is the path or run id, `md5` that of the file here, `state` how it compares with what
    `dvc.lock` has for `out` (the tracked file, or the tracked folder around it). `stage` is None for what
    no stage makes; then `source_commit` is git's last change. `lock_commit` is set where an earlier lock
    is traced. `upstream` begins with the nearest stage. `runs` are the stage's own run, or those of the
    nearest stages upstream. `notes` are sentences on what is not as it should be.
    """

    subject: str
    md5: str | None
    out: str | None
    state: State
    stage: TracedStage | None
    lock_commit: str | None = None
    upstream: tuple[TracedStage, ...] = ()
    downstream: tuple[Use, ...] = ()
    runs: tuple[KnownRun, ...] = ()
    source_commit: str | None = None
    notes: tuple[str, ...] = ()
