"""What DVC keeps for a project: the cached outputs that `dvc.lock` and `*.dvc` files name, at any commit."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earthsignals.dvcfiles import (
    DECLARED,
    LOCK,
    NO_GIT,
    declared_outs,
    dvc_files,
    is_md5,
    locked_entries,
    parse,
    parse_stages,
    read_stages,
    read_text,
)
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
    listed = _git(root, "log", "--all", "--full-history", "--format=%H", "--", LOCK, DECLARED, "*.dvc")
    return [WORKSPACE, *listed.split()]


def paths_in_git_or_here(root: Path) -> set[str]:
    """Outputs that dvc.yaml keeps off the remote: `cache: false` or `push: false`."""
    outs = (declared_outs(body) for body in read_stages(root).values())
    return {path for each in outs for path, options in each.items() if not _on_remote(options, None)}


def expand(folder: LockedObject, listing: bytes) -> list[LockedObject]:
    """The files of a folder object, whose content is `listing`. Raises ValueError if it is no listing."""
    entries = json.loads(listing)
    if not isinstance(entries, list) or not all(_is_file_entry(entry) for entry in entries):
        raise ValueError("no list of files")
    return [
        LockedObject(entry["md5"], None, f"{folder.path}/{entry['relpath']}", folder.stage, folder.commit)
        for entry in entries
    ]


def _is_file_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("relpath"), str) and is_md5(entry.get("md5"))


def _objects_of(texts: dict[str, str], commit: str, remote: str | None) -> Iterator[LockedObject]:
    declared, stages = (
        parse_stages(texts.get(name, ""), _source(name, commit), as_text=True)
        for name in (DECLARED, LOCK)
    )
    if commit == WORKSPACE and LOCK in texts and not stages:
        raise EarthSignalsError(
            f"{LOCK} has no stages, so nothing says what the remote should hold; take back the committed one "
            f"with `git checkout -- {LOCK}`, or run `dvc repro`"
        )
    for stage, body in (stages or {}).items():
        source = f"{stage} in {_source(LOCK, commit)}"
        known = declared or {}
        options = declared_outs(known.get(stage) or known.get(stage.partition("@")[0]))
        for out in locked_entries(body, "outs", source):
            if _on_remote(options.get(out["path"], {}), remote):
                yield from _object(out, out["path"], stage, commit, source)
    for name, text in texts.items():
        if name.endswith(".dvc"):
            content = parse(text, _source(name, commit), as_text=True)
            for out in locked_entries(content, "outs", _source(name, commit)):
                # What `dvc import --no-download` notes has no hash until it is fetched.
                if _on_remote(out, remote) and not ("md5" not in out and content.get("deps")):
                    path = str(Path(name).parent / out["path"])
                    yield from _object(out, path, name, commit, _source(name, commit))


_OTHER_HASHES = ("etag", "checksum", "version_id", "files")  # of addresses, which no remote of ours holds


def _object(
    out: dict[str, Any], path: str, stage: str, commit: str, source: str
) -> Iterator[LockedObject]:
    """DVC 2's hashes (no `hash: md5`) change line ends before hashing: not ours, and not listed."""
    if not out.get("md5") and not any(key in out for key in _OTHER_HASHES):
        raise EarthSignalsError(
            f"{source} has no md5 of {path}, so nothing says what the remote should hold; take back the "
            "committed file with `git checkout`, or run `dvc repro`"
        )
    if out.get("hash") == "md5" and out.get("md5"):
        size = int(out["size"]) if "size" in out and not out["md5"].endswith(".dir") else None
        yield LockedObject(out["md5"], size, path, stage, commit)


_NO = (False, "false", "False")  # parsed, or left text


def _on_remote(options: dict[str, Any], remote: str | None) -> bool:
    other = remote is not None and options.get("remote", remote) != remote
    return options.get("cache") not in _NO and options.get("push") not in _NO and not other


def _source(name: str, commit: str) -> str:
    return f"{name} ({'working tree' if commit == WORKSPACE else f'commit {commit[:8]}'})"


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
    names = [DECLARED, LOCK, *dvc_files(root)]
    texts = {name: read_text(root / name) for name in names if (root / name).is_file()}
    if not texts.keys() - {DECLARED}:
        raise EarthSignalsError(
            f"{root / LOCK} does not exist, so nothing says what the remote should hold; run "
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
        if name in (DECLARED, LOCK) or name.endswith(".dvc")
    )


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True)
    except FileNotFoundError:
        raise EarthSignalsError(NO_GIT) from None
    if done.returncode == 0:
        try:
            return done.stdout.decode("utf-8")
        except UnicodeDecodeError:
            raise EarthSignalsError(
                f"a file of DVC in the history of {root} is no text (UTF-8): `git {' '.join(arguments)}`"
            ) from None
    reason = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
    raise EarthSignalsError(f"git could not read the history of {root}: {reason}")
