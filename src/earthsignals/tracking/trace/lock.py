"""What `dvc.lock` says: which stage made which bytes out of which, now or at an earlier commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from earthsignals.dvcfiles import (
    LOCK,
    cache_folder,
    dvc_files,
    is_md5,
    locked_entries,
    object_name,
    parse_stages,
    read_dvc_file,
    read_text,
)
from earthsignals.storage import EarthSignalsError, read_json


@dataclass(frozen=True)
class LockedStage:
    """One stage's entry: paths are relative to the project's root, hashes are DVC's md5s.

    `deps` and `outs` map path to md5 (`<md5>.dir` for a folder), `sizes` both to bytes. `params` maps a
    dotted key to its value; a key of another file than `params.yaml` is `<file>:<key>`.
    """

    name: str
    command: str
    deps: dict[str, str] = field(default_factory=dict)
    outs: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)

    @property
    def record(self) -> str | None:
        """Path of the run record among the outs, None for a stage that keeps none."""
        return next((path for path in self.outs if PurePosixPath(path).match("reports/*/runs/*.json")), None)


@dataclass(frozen=True)
class Lock:
    """A whole `dvc.lock`; `commit` is where it was read, None for the working tree's."""

    stages: dict[str, LockedStage]
    commit: str | None = None

    def maker(self, path: str) -> tuple[LockedStage, str] | None:
        """The stage that makes `path`, and its out: the path itself or the folder that holds it."""
        for stage in self.stages.values():
            for out in stage.outs:
                if inside(path, out):
                    return stage, out
        return None

    def holder(self, md5: str) -> tuple[LockedStage, str] | None:
        """The stage and out whose md5 this is."""
        for stage in self.stages.values():
            for out, locked in stage.outs.items():
                if locked == md5:
                    return stage, out
        return None

    def makers(self, stage: LockedStage) -> dict[str, list[LockedStage]]:
        """For each dep of `stage`, the stages that make it or a part of it; empty for sources."""
        return {
            dep: [other for other in self.stages.values() if any(_overlap(dep, out) for out in other.outs)]
            for dep in stage.deps
        }

    def upstream(self, stage: LockedStage) -> list[LockedStage]:
        """Every stage that `stage` rests upon, each once: the nearest first, and none before its users."""
        found: dict[str, LockedStage] = {}
        below: dict[str, set[str]] = {}
        queue = [stage]
        while queue:
            nearer = queue.pop(0)
            makers = {maker.name: maker for each in self.makers(nearer).values() for maker in each}
            makers.pop(nearer.name, None)
            below[nearer.name] = set(makers)
            for name, maker in makers.items():
                if name not in found and name != stage.name:
                    found[name] = maker
                    queue.append(maker)
        ordered: list[LockedStage] = []
        while found:
            used = set().union(*(below[name] for name in found))
            # A lock in which each is used by another goes in a circle: DVC refuses to write such a one.
            ordered.append(found.pop(next((name for name in found if name not in used), next(iter(found)))))
        return ordered

    def users(self, path: str) -> list[tuple[LockedStage, str]]:
        """The stages that read `path`, or a folder with it, or a part of it; and the dep by which they do."""
        return [(stage, dep) for stage in self.stages.values() for dep in stage.deps if _overlap(path, dep)]


def read_lock(root: Path) -> Lock:
    """The working tree's `dvc.lock`, with what `dvc add` tracks beside it.

    Raises:
        EarthSignalsError: there is no `dvc.lock`, or it is not one.
    """
    path, added = root / LOCK, _added(root)
    if not path.is_file() and added:
        return Lock(added)
    if not path.is_file():
        raise EarthSignalsError(
            f"{path} does not exist, so nothing says what made what; run `dvc repro`, or `git pull` what "
            "another machine committed"
        )
    lock = _lock(read_text(path), str(path))
    return Lock(added | lock.stages)


def parse_lock(text: str, commit: str) -> Lock:
    """A `dvc.lock` out of git; raises EarthSignalsError when it is not one."""
    return _lock(text, f"dvc.lock of commit {commit[:12]}", commit)


def folder_listing(root: Path, md5: str) -> dict[str, str] | None:
    """Relative path → md5 of a locked folder's files, from DVC's cache; None where that lacks it."""
    path = cached_path(root, md5)
    if path is None:
        return None
    try:
        return {entry["relpath"]: entry["md5"] for entry in read_json(path)}
    except (TypeError, KeyError):
        raise EarthSignalsError(
            f"{path} should list a folder's files and does not; remove it, then `dvc pull`"
        ) from None


def cached_path(root: Path, md5: str) -> Path | None:
    """The object of this md5 in DVC's cache, None where it is not there."""
    if not is_md5(md5):  # an address's etag, or an out that was not hashed yet
        return None
    path = cache_folder(root) / object_name(md5)
    return path if path.is_file() else None


def inside(path: str, folder: str) -> bool:
    """Is `path` the same as `folder` or below it? Both relative to the root, with `/`."""
    return path == folder or path.startswith(f"{folder}/")


def _overlap(one: str, other: str) -> bool:
    return inside(one, other) or inside(other, one)


def _lock(text: str, source: str, commit: str | None = None) -> Lock:
    stages = parse_stages(text, source)
    if stages is None:
        raise EarthSignalsError(
            f"{source} has no `stages`: expected what `dvc repro` writes; restore it with "
            "`git checkout -- dvc.lock`"
        )
    return Lock({name: _stage(name, body, f"{name} in {source}") for name, body in stages.items()}, commit)


def _stage(name: str, body: Mapping[str, Any], source: str) -> LockedStage:
    deps, outs = locked_entries(body, "deps", source), locked_entries(body, "outs", source)
    params = body.get("params") or {}
    files = params.values() if isinstance(params, Mapping) else (None, params)
    if not all(isinstance(keys or {}, Mapping) for keys in files):
        raise EarthSignalsError(
            f"{source} is not what DVC writes: `params` is no mapping of files to values; take back the "
            "committed file with `git checkout`, or run `dvc repro`"
        )
    return LockedStage(
        name=name,
        command=str(body.get("cmd", "")),
        deps={entry["path"]: _hash(entry) for entry in deps},
        outs={entry["path"]: _hash(entry) for entry in outs},
        sizes={entry["path"]: int(entry["size"]) for entry in (*deps, *outs) if "size" in entry},
        params={
            key if file == "params.yaml" else f"{file}:{key}": value
            for file, keys in params.items()
            for key, value in (keys or {}).items()
        },
    )


def _added(root: Path) -> dict[str, LockedStage]:
    """Data tracked by `dvc add` or fetched by `dvc import`: each `.dvc` file as a stage without deps."""
    stages = {}
    for name in dvc_files(root):
        outs = locked_entries(read_dvc_file(root / name), "outs", name)
        paths = {(PurePosixPath(name).parent / out["path"]).as_posix(): out for out in outs}
        stages[name] = LockedStage(
            name=name, command="dvc add",
            outs={path: _hash(out) for path, out in paths.items()},
            sizes={path: int(out["size"]) for path, out in paths.items() if "size" in out},
        )  # fmt: skip
    return stages


def _hash(entry: Mapping[str, Any]) -> str:
    """md5 of a file or folder; what DVC knows of an address otherwise; empty for an out not hashed yet."""
    return str(entry.get("md5") or entry.get("etag") or entry.get("checksum") or "")
