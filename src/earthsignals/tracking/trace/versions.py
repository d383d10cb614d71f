"""Which commit wrote an entry of `dvc.lock`, and which one knew some bytes: questions to git.

Answers are None where there is no git, no commit, or a shallow clone that ends too early.
"""

from __future__ import annotations

import re
import subprocess
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from earthsignals.tracking.lineage import ask_git

_ENTRY = re.compile(r"^  (?P<name>[^\s:#][^:]*):\s*$", re.MULTILINE)
_MOST = 2000  # commits of dvc.lock looked at, the newest first


class Version(NamedTuple):
    """One commit that changed a file; `date` is its day, `text` the file at it."""

    commit: str
    date: str
    text: str


class Versions:
    """The history of `dvc.lock`, read once and only when asked."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def entry_commit(self, stage: str, text: str) -> Version | None:
        """The commit that last wrote the entry of `stage` as it stands in `text` (a whole dvc.lock).

        None where no commit on this branch holds that entry: it has not been committed.
        """
        entry, found = lock_entries(text).get(stage), None
        for version in self._branch:
            if lock_entries(version.text).get(stage) != entry:
                break
            found = version
        return found

    def knowing(self, md5: str) -> Version | None:
        """The newest commit of any branch or experiment whose dvc.lock names `md5`."""
        return next((version for version in self._everywhere if md5 in version.text), None)

    def file_commit(self, path: str) -> tuple[str, str] | None:
        """(commit, date) of the last change of a file tracked by git, None for other files."""
        line = ask_git(self.root, "log", "-1", "--format=%H %cs", "--", path)
        return None if not line else tuple(line.split(" ", 1))

    def blob(self, file: Path) -> tuple[str, str] | None:
        """(commit, path) of the newest commit of any branch or experiment that wrote these very bytes.

        For outs that git keeps instead of DVC (`cache: false`): figures, tables, metrics.
        """
        sha = ask_git(self.root, "hash-object", "--no-filters", "--", str(file.resolve()))
        if not sha:
            return None
        words = ("log", "--all", f"--find-object={sha}", "--raw", "--no-abbrev", "--relative", "--format=%H")
        commit = ""
        for line in (ask_git(self.root, *words) or "").splitlines():
            if not line.startswith(":"):
                commit = line or commit
            elif line.split()[3] == sha:  # the new side of the change: here they came, not went
                return commit, line.split("\t")[-1]
        return None

    def at(self, commit: str) -> str | None:
        """dvc.lock as it was at a commit."""
        return _contents(self.root, [f"{commit}:./dvc.lock"])[0]

    @cached_property
    def _branch(self) -> list[Version]:
        return self._read("HEAD")

    @cached_property
    def _everywhere(self) -> list[Version]:
        return self._read("--all")

    def _read(self, revisions: str) -> list[Version]:
        """Every version of dvc.lock by one `git log` and one `git cat-file`."""
        words = ("log", revisions, "--format=%H %cs", f"--max-count={_MOST}", "--", "dvc.lock")
        lines = ask_git(self.root, *words)
        commits = [line.split(" ", 1) for line in (lines or "").splitlines()]
        texts = _contents(self.root, [f"{commit}:./dvc.lock" for commit, _ in commits])
        return [
            Version(commit, date, text)
            for (commit, date), text in zip(commits, texts, strict=False)
            if text is not None
        ]


def lock_entries(text: str) -> dict[str, str]:
    """Stage name → the text of its entry in a dvc.lock."""
    starts = list(_ENTRY.finditer(text))
    ends = [match.start() for match in starts[1:]] + [len(text)]
    return {
        match["name"].strip("'\""): text[match.end() : end].strip()
        for match, end in zip(starts, ends, strict=True)
    }


def _contents(root: Path, names: list[str]) -> list[str | None]:
    """The objects' texts, None for those that are not there (a commit that removed the file)."""
    if not names:
        return []
    done = subprocess.run(
        ["git", "-C", str(root), "cat-file", "--batch"], input="\n".join(names).encode(),
        capture_output=True, timeout=120,
    )  # fmt: skip
    rest, texts = done.stdout, []
    while rest:
        header, _, rest = rest.partition(b"\n")
        if header.endswith(b"missing"):
            texts.append(None)
            continue
        size = int(header.rsplit(b" ", 1)[1])
        texts.append(rest[:size].decode("utf-8", errors="replace"))
        rest = rest[size + 1 :]
    return texts
