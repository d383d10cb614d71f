"""What is asked about: a file as locked, other bytes, a source, or a run; and the trace of each."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from earthsignals.dvcfiles import NO_GIT
from earthsignals.storage import EarthSignalsError, find_project_root, md5_path
from earthsignals.tracking.record import read_record
from earthsignals.tracking.trace.answer import Trace
from earthsignals.tracking.trace.chain import Project, nearest_runs
from earthsignals.tracking.trace.disk import State
from earthsignals.tracking.trace.known_runs import KnownRun, find_run, from_record, known_runs
from earthsignals.tracking.trace.lock import Lock, LockedStage, folder_listing, inside, parse_lock


def trace(subject: str, root: Path | None = None, *, thorough: bool = False) -> Trace:
    """Trace a path (relative to the working folder) or a run id, whole or its first six digits or more.

    Args:
        thorough: hash also what is larger than `disk.HASHED_BYTES` upstream; the subject always is.

    Raises:
        EarthSignalsError: nothing tracks the file, nothing is known of the run, or there is no dvc.lock.
    """
    if not subject.strip():
        raise EarthSignalsError("no file or run is named; expected the path of a file, or the id of a run")
    if not shutil.which("git"):
        raise EarthSignalsError(NO_GIT)
    try:
        Path(subject).exists()
    except OSError as error:  # a name that no disk can hold, links in a circle, a folder closed to us
        raise EarthSignalsError(
            f"{subject[:80]} cannot be looked at: {error.strerror}; check its spelling and rights"
        ) from None
    project = Project((root or find_project_root()).resolve(), thorough=thorough)
    path = _path_in(project.root, subject)
    _refuse_several(subject, path, project.lock)
    if path and ((project.root / path).exists() or project.lock.maker(path)):
        return _trace_file(path, project)
    if run := find_run(subject, project.root, project.store):
        return _trace_run(run, project)
    if Path(subject).is_dir() and not _named_outside(subject, project):
        raise EarthSignalsError(
            f"{subject} is a folder outside the project that dvc.lock does not name; name one file in it"
        )
    if Path(subject).exists():  # outside the project: a figure copied into a paper, say
        return _trace_bytes(subject, Path(subject), project)
    if path and (stage := project.asked.never_ran(path, project.lock)):
        raise EarthSignalsError(
            f"{subject} has not been made yet: stage {stage} of dvc.yaml makes it; run `dvc repro {stage}`"
        )
    raise EarthSignalsError(
        f"{subject} is neither a file here nor one that dvc.lock knows, and no run record or MLflow run has "
        "such an id (6 to 32 hexadecimal digits); check its spelling, or fetch what other machines made with "
        "`make pull`" + (f"; besides, {project.store.fault}" if project.store.fault else "")
    )


def _named_outside(folder: str, project: Project) -> bool:
    """Is a folder outside the project a dep or an out of a stage all the same?"""
    named = (path for stage in project.lock.stages.values() for path in (*stage.deps, *stage.outs))
    where = Path(folder).resolve()
    return any((project.root / path).resolve() == where for path in named if "://" not in path)


def _trace_file(path: str, project: Project) -> Trace:
    """A path inside the project that exists, or that the lock knows."""
    made = project.lock.maker(path)
    if made is None:
        return _trace_untracked(path, project)
    stage, out = made
    state, note = _compare(path, out, stage.outs[out], project)
    project.notes += note
    if state != "other":
        return _assemble(path, out, state, stage, project.lock, project)
    try:  # not what the lock says: perhaps what an earlier one said, or another out's
        return _trace_bytes(path, project.root / path, project)
    except _Unknown:
        project.notes.append("nobody knows where these bytes come from: below is what made the locked ones")
        return _assemble(path, out, state, stage, project.lock, project)


def _trace_untracked(path: str, project: Project) -> Trace:
    """A file that no stage makes: a run's record, a source of stages, or a copy of something else."""
    file = project.root / path
    if file.match("reports/*/runs/*.json"):
        return _trace_run(from_record(read_record(file), path), project)
    if stage := project.asked.never_ran(path, project.lock):
        raise EarthSignalsError(
            f"{path} lies here, but dvc.lock has no entry of {stage}, the stage that makes it, so nothing "
            f"says where these bytes come from; run `dvc repro {stage}`"
        )
    uses, commit = project.uses(path), project.versions.file_commit(path)
    if not uses and (file.is_dir() or commit is None):
        return _trace_bytes(path, file, project)
    if commit is None:
        project.notes.append(f"{path} is not committed to git")
    elif not uses:
        project.notes.append(f"{path} is no out and no dep of any stage: git alone has its history")
    return Trace(
        path, project.disk.md5(path), None, "unchecked", None, downstream=tuple(uses),
        source_commit=commit[0] if commit else None, notes=tuple(project.notes),
    )  # fmt: skip


def _refuse_several(subject: str, path: str | None, lock: Lock) -> None:
    """A folder around outs of stages has no one origin."""
    outs = [out for stage in lock.stages.values() for out in stage.outs]
    below = [out for out in outs if path is not None and out != path and (path == "." or inside(out, path))]
    if below:
        shown = ", ".join(below[:4]) + (f" and {len(below) - 4} more" if len(below) > 4 else "")
        raise EarthSignalsError(f"{subject} holds what several stages made; name one of {shown}")


class _Unknown(EarthSignalsError):
    """Bytes that no lock and no run knows."""


def _trace_bytes(subject: str, file: Path, project: Project) -> Trace:
    """Bytes wherever they lie: in the lock, in git's history of it, in what runs logged.

    Raises:
        _Unknown: nobody knows them.
    """
    md5 = md5_path(file)
    held = project.lock.holder(md5)
    found = (*held, held[1]) if held else project.member(md5)
    if found:
        stage, out, twin = found
        project.notes.append(f"{subject} has the same bytes as {twin}, which is traced here")
        traced = _assemble(twin, out, "same", stage, project.lock, project)
        return replace(traced, subject=subject, md5=md5)
    for lock, path in _earlier(md5, file, project):
        if made := lock.maker(path):
            project.notes.append(f"these bytes are {path} as committed in {lock.commit[:12]}")
            traced = _assemble(path, made[1], "other", made[0], lock, project)
            return replace(traced, subject=subject, md5=md5)
    for run in known_runs(project.root):
        if md5 in {*run.artifacts.values(), *run.outs.values()}:
            project.notes.append(f"run {run.id[:8]} ({run.stage}) knows these bytes")
            return replace(_trace_run(run, project), subject=subject, md5=md5)
    if file.is_file() and (found := project.versions.blob(file)):
        commit, path = found
        project.notes.append(
            f"these bytes are {path} of commit {commit[:12]}, whose dvc.lock lacks it"
        )
        notes = tuple(project.notes)
        return Trace(subject, md5, None, "unchecked", None, source_commit=commit, notes=notes)
    raise _Unknown(
        f"{subject} is not tracked: no stage makes it, and no commit and no run knows its bytes (md5 {md5}); "
        "make it an out of a stage in dvc.yaml, or `dvc add` it"
    )


def _earlier(md5: str, file: Path, project: Project) -> Iterator[tuple[Lock, str]]:
    """Locks of git's history, and the path that these bytes had there: by DVC's hash, then by git's."""
    if (lock := _lock_knowing(md5, project)) and (held := lock.holder(md5)):
        yield lock, held[1]
    if file.is_file() and (found := project.versions.blob(file)):
        commit, path = found
        if text := project.versions.at(commit):
            yield parse_lock(text, commit), path


def _trace_run(run: KnownRun, project: Project) -> Trace:
    run = project.with_id_here(run)
    found = {path: project.disk.md5(path) for path in run.outs}
    absent = [path for path, md5 in found.items() if md5 is None]
    changed = [path for path, md5 in found.items() if md5 not in (None, run.outs[path])]
    if run.status != "FINISHED":
        project.notes.append(f"run {run.id[:8]} is {run.status}: it may not have made all of its outs")
    project.notes += [f"{path} on disk is no longer what run {run.id[:8]} made" for path in changed]
    project.notes += [f"{path} is not here; `dvc pull {path}` fetches what dvc.lock has" for path in absent]
    lock, stage = _entry_of(run, project)
    if stage is None:
        if run.outs:
            project.notes.append("neither dvc.lock nor its history in git has these outs")
        stage = _stage_of(run, lock, project)
    state: State = "other" if changed else "absent" if absent else "same" if run.outs else "unchecked"
    return replace(_assemble(run.id, None, state, stage, lock, project, run), md5=None)


def _entry_of(run: KnownRun, project: Project) -> tuple[Lock, LockedStage | None]:
    """The lock whose entry has all outs of `run`: the present one, or one of git's history."""
    for lock in (project.lock, *(_lock_knowing(md5, project) for md5 in run.outs.values())):
        stage = lock.stages.get(run.stage) if lock else None
        if stage and run.outs and all(stage.outs.get(path) == md5 for path, md5 in run.outs.items()):
            return lock, stage
    return project.lock, None


def _stage_of(run: KnownRun, lock: Lock, project: Project) -> LockedStage:
    """What a run tells by itself, such as one outside of dvc.yaml that judged a locked model."""
    held = {held[1]: md5 for md5 in run.inputs().values() if (held := lock.holder(md5))}
    return LockedStage(run.stage, "", deps=run.deps or held, outs=run.outs, params=dict(run.params))


def _assemble(
    subject: str, out: str | None, state: State, stage: LockedStage, lock: Lock, project: Project,
    run: KnownRun | None = None,
) -> Trace:  # fmt: skip
    own = project.stage(stage, lock, run)
    upstream = [project.stage(each, lock) for each in lock.upstream(stage)]
    uses = [use for path in ([out] if out else stage.outs) for use in project.uses(path)]
    if project.store.fault:
        project.notes.append(project.store.fault)
    return Trace(
        subject, project.disk.md5(subject) if out else None, out, state, own,
        lock_commit=lock.commit, upstream=tuple(upstream),
        downstream=tuple({use.stage: use for use in uses}.values()),
        runs=(own.run,) if own.run else tuple(nearest_runs(stage, lock, upstream)),
        notes=tuple(dict.fromkeys(project.notes)),
    )  # fmt: skip


def _compare(path: str, out: str, locked: str, project: Project) -> tuple[State, list[str]]:
    """The state of `path`, which is `out` or lies in it, and a sentence when it is not `same`."""
    found = project.disk.md5(path)
    if found is None:
        return "absent", [f"{path} is not here (`dvc pull {out}` fetches it); traced as dvc.lock has it"]
    if path == out:
        if found == locked:
            return "same", []
        return "other", [f"{path} on disk is not what dvc.lock says (md5 {locked})"]
    listing = folder_listing(project.root, locked)
    if listing is not None and (project.root / path).is_file():
        said = listing.get(path.removeprefix(f"{out}/"))
        if said == found:
            return "same", []
        known = f"md5 {said}" if said else "without this file"
        return "other", [f"{path} on disk is not what dvc.lock says of {out} ({known})"]
    if project.disk.md5(out) == locked:
        return "same", []
    return "other", [
        f"the folder {out} on disk is not what dvc.lock says; whether {path} is the file that differs is not "
        "known, since DVC's cache here has no list of its files"
    ]


def _lock_knowing(md5: str, project: Project) -> Lock | None:
    version = project.versions.knowing(md5)
    return parse_lock(version.text, version.commit) if version else None


def _path_in(root: Path, subject: str) -> str | None:
    """`subject` relative to the root, None outside; links are outs themselves and not followed."""
    full = Path(subject).absolute()
    full = full.parent.resolve() / full.name
    return full.relative_to(root).as_posix() if full.is_relative_to(root) else None
