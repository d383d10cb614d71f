"""A stage of a lock with its run, its files and its commit, and the stages before and after it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from earthsignals.tracking.record import read_record
from earthsignals.tracking.trace.answer import TracedFile, TracedStage, Use
from earthsignals.tracking.trace.disk import Disk
from earthsignals.tracking.trace.known_runs import KnownRun, Store, from_record
from earthsignals.tracking.trace.lock import Lock, LockedStage, cached_path, folder_listing, read_lock
from earthsignals.tracking.trace.staleness import Asked, reasons
from earthsignals.tracking.trace.versions import Versions

_SHOWN = 3


class Project:
    """What a trace asks: the lock, the files on disk, git's history, MLflow. Each is read once.

    `notes` collects sentences on what is not as it should be.
    """

    def __init__(self, root: Path, *, thorough: bool = False) -> None:
        self.root = root
        self.disk, self.asked = Disk(root, thorough=thorough), Asked(root)
        self.versions, self.store = Versions(root), Store(root)
        self.lock = read_lock(root)
        self.notes: list[str] = []
        file = root / "dvc.lock"
        self._text = file.read_text(encoding="utf-8") if file.is_file() else ""

    def stage(self, stage: LockedStage, lock: Lock, run: KnownRun | None = None) -> TracedStage:
        """`stage` as `lock` has it, with `run` or the run that its record names."""
        run = run or self._run(stage, lock)
        commit, commit_of = self._commit(stage, lock, run)
        makers = lock.makers(stage)
        current = bool(stage.command) and lock.commit is None
        stale = reasons(stage, lock, self.asked, self.disk) if current else []
        self.notes += _stale_note(stage.name, stale) + _disagreements(stage, run)
        if not current:
            self.notes += _other_versions(stage, lock)
        return TracedStage(
            stage.name, stage.command, commit, commit_of, run.dirty if run else None, stage.params,
            deps=tuple(
                self._file(path, stage.deps, stage, tuple(maker.name for maker in makers[path]))
                for path in stage.deps
            ),
            outs=tuple(self._file(path, stage.outs, stage) for path in stage.outs),
            run=run, stale=tuple(stale),
        )  # fmt: skip

    def uses(self, path: str) -> list[Use]:
        """What the present dvc.lock says was made from `path`, the nearest stage first."""
        uses: dict[str, Use] = {}
        queue = [path]
        while queue:
            for stage, dep in self.lock.users(queue.pop(0)):
                if stage.name not in uses:
                    state = self.disk.state(dep, stage.deps[dep], stage.sizes.get(dep, 0))
                    outs = tuple(stage.outs)
                    uses[stage.name] = Use(stage.name, dep, outs, state in ("same", "unchecked"))
                    queue += outs
        return list(uses.values())

    def member(self, md5: str) -> tuple[LockedStage, str, str] | None:
        """The stage, out and path of a file of this md5 within one of the present lock's folders."""
        for stage in self.lock.stages.values():
            for out, locked in stage.outs.items():
                if not locked.endswith(".dir"):
                    continue
                listing = folder_listing(self.root, locked)
                if listing is None and self.disk.state(out, locked, stage.sizes.get(out, 0)) == "same":
                    listing = self.disk.listing(out)
                for name, file_md5 in (listing or {}).items():
                    if file_md5 == md5:
                        return stage, out, f"{out}/{name}"
        return None

    def with_id_here(self, run: KnownRun) -> KnownRun:
        """`run` with its id in this machine's MLflow, where it is there."""
        return run if run.id_here else replace(run, id_here=self.store.id_here(run.id))

    def _file(
        self, path: str, entries: dict[str, str], stage: LockedStage, made_by: tuple[str, ...] = ()
    ) -> TracedFile:
        state = self.disk.state(path, entries[path], stage.sizes.get(path, 0))
        return TracedFile(path, entries[path], state, made_by)

    def _commit(self, stage: LockedStage, lock: Lock, run: KnownRun | None) -> tuple[str | None, str]:
        if run is not None and run.commit:
            return run.commit, "run"
        if lock.commit:
            return lock.commit, "dvc.lock"
        if stage.command == "dvc add":
            found = self.versions.file_commit(stage.name)
            return (found[0], stage.name) if found else (None, "not committed")
        version = self.versions.entry_commit(stage.name, self._text)
        return (version.commit, "dvc.lock") if version else (None, "not committed")

    def _run(self, stage: LockedStage, lock: Lock) -> KnownRun | None:
        """The run that made the locked outs: by the locked record, else by MLflow's knowledge of an out."""
        if stage.record is None:
            return None
        md5 = stage.outs[stage.record]
        path: Path | None = self.root / stage.record
        if self.disk.md5(stage.record) != md5:
            if path.exists() and lock.commit is None:
                self.notes.append(
                    f"the run record {stage.record} on disk is not the one that dvc.lock names; "
                    f"`dvc checkout {stage.record}` brings that back"
                )
            path = cached_path(self.root, md5)
        if path is not None:
            return self.with_id_here(from_record(read_record(path), stage.record))
        outs = [out_md5 for out, out_md5 in stage.outs.items() if out != stage.record]
        return next((run for out_md5 in outs if (run := self.store.by_output(out_md5))), None)


def nearest_runs(stage: LockedStage, lock: Lock, upstream: list[TracedStage]) -> list[KnownRun]:
    """Runs of the nearest stages upstream that have one: each way back ends at the first it meets."""
    runs = {each.name: each.run for each in upstream if each.run}
    found: dict[str, KnownRun] = {}
    queue, seen = [stage], {stage.name}
    while queue:
        for makers in lock.makers(queue.pop(0)).values():
            for maker in makers:
                if maker.name in seen:
                    continue
                seen.add(maker.name)
                if maker.name in runs:
                    found[maker.name] = runs[maker.name]
                else:
                    queue.append(maker)
    return list(found.values())


def _stale_note(name: str, stale: list[str]) -> list[str]:
    if not stale:
        return []
    return [f"dvc.lock is out of date for {name}: {_some(stale, '; ')} (`dvc repro {name}`)"]


def _disagreements(stage: LockedStage, run: KnownRun | None) -> list[str]:
    """Where the run's own word differs from dvc.lock: outs that it did not make, sources it did not see."""
    if run is None or not stage.command:
        return []
    notes = [
        f"run {run.id[:8]} of {stage.name} made {path} as md5 {md5}, but dvc.lock has {stage.outs[path]}"
        for path, md5 in run.outs.items()
        if path in stage.outs and stage.outs[path] != md5
    ]
    other = [path for path, md5 in stage.deps.items() if run.deps and run.deps.get(path) != md5]
    if other:
        notes.append(
            f"run {run.id[:8]} of {stage.name} saw other versions of {_some(other)}: dvc.lock was brought up "
            "to date without running the stage (`dvc commit`)"
        )
    return notes


def _other_versions(stage: LockedStage, lock: Lock) -> list[str]:
    """Deps of which `lock` holds another version than the one that was read."""
    made = {out: (each.name, md5) for each in lock.stages.values() for out, md5 in each.outs.items()}
    other = [path for path, md5 in stage.deps.items() if path in made and made[path][1] != md5]
    if not other:
        return []
    return [f"{stage.name} read earlier versions of {_some(other)} than the stages shown before it made"]


def _some(items: list[str], separator: str = ", ") -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return separator.join(items[:_SHOWN]) + more
