"""What DVC keeps for a project: the cached outputs that `dvc.lock` and `*.dvc` files name, at any commit."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from earthsignals.storage import EarthSignalsError

WORKSPACE = "workspace"
"""The commit of what lies in the working tree, committed or not."""


@dataclass(frozen=True)
class LockedObject:
    """One object of the cache. A folder's md5 ends in `.dir`: its object lists the folder's files."""

    md5: str
    size: int | None
    """Bytes of the object itself; None where the lock does not tell (folders, and files in them)."""
    path: str
    stage: str
    commit: str

    @property
    def is_folder(self) -> bool:
        return self.md5.endswith(".dir")


def key(md5: str) -> str:
    """Where a cache or a remote keeps an object, below its own root: `files/md5/ab/cdef…`."""
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def objects(
    root: Path, commits: Sequence[str] = (WORKSPACE,), remote: str | None = None
) -> list[LockedObject]:
    """Cached outputs of `commits`, in the lock's order; folders are not expanded (see `expand`).

    Outputs with `cache: false` lie in git and those with `push: false` on one machine: neither is
    listed, nor is an output that names another `remote`. An object that several stages or commits
    share is listed for each; one that a stage has in many commits only for the first of them.

    Raises EarthSignalsError when a lock is not readable, or the working tree has none.
    """
    found: dict[tuple[str, str, str], LockedObject] = {}
    for commit, texts in _trees(root, commits):
        for each in _objects_of(texts, commit, remote):
            found.setdefault((each.md5, each.stage, each.path), each)
    return list(found.values())


def all_commits(root: Path) -> list[str]:
    """The working tree, then every commit of every ref that changed what DVC keeps, newest first."""
    listed = _git(
        root, "log", "--all", "--full-history", "--format=%H", "--", "dvc.lock", "dvc.yaml", "*.dvc"
    )
    return [WORKSPACE, *listed.split()]


def paths_in_git_or_here(root: Path) -> set[str]:
    """Outputs that dvc.yaml keeps off the remote: `cache: false` or `push: false`."""
    file = root / "dvc.yaml"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    stages = (_parse(text, "dvc.yaml", WORKSPACE).get("stages") or {}).values()
    return {path for body in stages for path, own in _options(body).items() if not _on_remote(own, None)}


def expand(folder: LockedObject, listing: bytes) -> list[LockedObject]:
    """The files of a folder object, whose content is `listing`. Raises ValueError if it is no listing."""
    return [
        LockedObject(entry["md5"], None, f"{folder.path}/{entry['relpath']}", folder.stage, folder.commit)
        for entry in json.loads(listing)
    ]


def _objects_of(texts: dict[str, str], commit: str, remote: str | None) -> Iterator[LockedObject]:
    declared = _parse(texts.get("dvc.yaml", ""), "dvc.yaml", commit).get("stages") or {}
    for stage, body in (_parse(texts.get("dvc.lock", ""), "dvc.lock", commit).get("stages") or {}).items():
        options = _options(declared.get(stage) or declared.get(stage.partition("@")[0]))
        for out in body.get("outs") or ():
            if _on_remote(options.get(out["path"], {}), remote):
                yield from _object(out, out["path"], stage, commit)
    for name, text in texts.items():
        if name.endswith(".dvc"):
            for out in _parse(text, name, commit).get("outs") or ():
                if _on_remote(out, remote):
                    yield from _object(out, str(Path(name).parent / out["path"]), name, commit)


def _object(out: dict[str, Any], path: str, stage: str, commit: str) -> Iterator[LockedObject]:
    """DVC 2's hashes (no `hash: md5`) change line ends before hashing: not ours, and not listed."""
    if out.get("hash") == "md5" and out.get("md5"):
        size = int(out["size"]) if "size" in out and not out["md5"].endswith(".dir") else None
        yield LockedObject(out["md5"], size, path, stage, commit)


def _options(stage: Any) -> dict[str, dict[str, Any]]:
    """Options of each output in dvc.yaml: entries are paths, or one-key mappings to the options."""
    body = (stage or {}).get("do", stage) or {}
    entries = [e for kind in ("outs", "metrics", "plots") for e in body.get(kind) or ()]
    return {name: opts or {} for e in entries if isinstance(e, dict) for name, opts in e.items()}


def _on_remote(options: dict[str, Any], remote: str | None) -> bool:
    other = remote is not None and options.get("remote", remote) != remote
    return options.get("cache") != "false" and options.get("push") != "false" and not other


def _parse(text: str, name: str, commit: str) -> dict[str, Any]:
    """All scalars as text (an md5 of digits stays one), by libyaml: a lock's history is long."""
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        parsed = yaml.load(text, Loader=loader) or {}
    except yaml.YAMLError as error:
        raise EarthSignalsError(
            f"{name} ({_shown(commit)}) is not readable YAML: {str(error).splitlines()[0]}; resolve merge "
            "conflicts in it, or take back the committed one with `git checkout`"
        ) from None
    if not isinstance(parsed, dict):
        raise EarthSignalsError(f"{name} ({_shown(commit)}) holds no mapping: it is not what DVC writes")
    return parsed


def _shown(commit: str) -> str:
    return "working tree" if commit == WORKSPACE else f"commit {commit[:8]}"


def _trees(root: Path, commits: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """DVC's files of each commit by name; a commit with the same files as an earlier one is left out."""
    seen: set[tuple[tuple[str, str], ...]] = set()
    for commit in commits:
        if commit == WORKSPACE:
            yield commit, _working_tree(root)
            continue
        blobs = _blobs(root, commit)
        if blobs not in seen:
            seen.add(blobs)
            yield commit, {name: _git(root, "cat-file", "blob", blob) for name, blob in blobs}


def _working_tree(root: Path) -> dict[str, str]:
    # DVC's files are known to git, or about to be; the data folders need not be searched for them.
    listed = _git(root, "ls-files", "-co", "--exclude-standard", "--", "*.dvc", missing="").split("\n")
    names = ["dvc.yaml", "dvc.lock", *filter(None, listed)]
    texts = {n: (root / n).read_text(encoding="utf-8") for n in names if (root / n).is_file()}
    if not texts.keys() - {"dvc.yaml"}:
        raise EarthSignalsError(
            f"{root / 'dvc.lock'} does not exist, so nothing says what the remote should hold; run "
            "`dvc repro` first, or take the lock from git"
        )
    return texts


def _blobs(root: Path, commit: str) -> tuple[tuple[str, str], ...]:
    """(name, blob id) of DVC's files in a commit; the project may be a subfolder of the repository."""
    listed = _git(root, "ls-tree", "-r", "-z", commit)
    rows = (line.split("\t", 1) for line in listed.split("\0") if line)
    return tuple(
        (name, about.split()[2])
        for about, name in rows
        if name in ("dvc.yaml", "dvc.lock") or name.endswith(".dvc")
    )


def _git(root: Path, *arguments: str, missing: str | None = None) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
    if done.returncode == 0:
        return done.stdout
    if missing is not None:
        return missing
    reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    raise EarthSignalsError(f"git could not read the history of {root}: {reason}")
