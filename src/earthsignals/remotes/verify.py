"""Does the remote hold what the lock says, and is it whole? Name what is not, and mend it.

DVC trusts a remote's object by its name alone: a truncated or rotten one is neither noticed by `dvc push`
nor replaced by it. Here every object is hashed where it lies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from earthsignals.compute.mapping import progress
from earthsignals.dvcfiles import LOCK, cache_folder, object_name, read_stages
from earthsignals.remotes import lock, runcache
from earthsignals.remotes.config import check_remote
from earthsignals.remotes.copies import LocalCopies
from earthsignals.remotes.lock import LockedObject
from earthsignals.remotes.places import Place, Wanted, open_place
from earthsignals.storage import EarthSignalsError


@dataclass(frozen=True)
class Finding:
    """One bad object. `kind` is missing, truncated, corrupt, or unknown: a folder whose own list is lost."""

    kind: str
    name: str
    """Below the remote's root."""
    md5: str
    uses: tuple[LockedObject, ...]
    """Where the locks name it: stage, path, commit. Empty for an entry of the run cache."""
    detail: str = ""
    repaired: bool = False

    def sentence(self) -> str:
        use = self.uses[0] if self.uses else None
        where = f"{use.path} of {use.stage} ({_commit(use)})" if use else self.name
        more = f", and {len(self.uses) - 1} more places" if len(self.uses) > 1 else ""
        detail = f", {self.detail}" if self.detail else ""
        return printable(f"{self.kind}: {where}{more}{detail}{f' [{self.md5}]' if use else ''}")


def printable(text: str) -> str:
    """`text` on one line: names on a remote may hold line ends and a terminal's orders."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@dataclass
class Report:
    """What was looked at, and everything bad in it."""

    remote: str
    url: str
    commits: int
    objects: int = 0
    bytes: int = 0
    runs: int = 0
    runs_incomplete: int = 0
    """Sound entries whose outputs are not all there: versions that were not pushed would run again."""
    findings: list[Finding] = field(default_factory=list)
    hashed: bool = True
    """Were contents hashed, or names and sizes compared alone?"""

    @property
    def bad(self) -> list[Finding]:
        return [finding for finding in self.findings if not finding.repaired]


def verify(
    root: Path, *, name: str | None = None, all_commits: bool = False, repair: bool = False,
    download: bool = False, jobs: int = 4, ssh_config: Path | None = None, sizes: bool = False,
    pipeline: str | None = None,
) -> Report:  # fmt: skip
    """Hash what the remote holds for the working tree's `dvc.lock`, or for all commits of all refs.

    With `sizes` names and sizes are compared alone, which takes seconds: is everything there that was to
    be pushed? With `pipeline` only stages named `<pipeline>-…` count. Either leaves out the run cache.

    With `repair` good copies of the local cache, hashed before, replace what is bad, whole or not at all.
    Objects of several stages or commits are hashed once. Raises EarthSignalsError, one sentence, where
    there is no lock or remote, or the remote is empty, cannot be reached or refuses the login.
    """
    if sizes and (repair or download):
        raise EarthSignalsError("--sizes hashes nothing, so it neither downloads nor repairs; leave one out")
    remote = check_remote(root, name)
    commits = lock.all_commits(root) if all_commits else [lock.WORKSPACE]
    locked = lock.objects(root, commits, remote.name)
    if pipeline is not None:
        _refuse_unknown(root, pipeline)
        locked = [each for each in locked if each.stage.startswith(f"{pipeline}-")]
    report = Report(remote.name, remote.shown, len(commits), hashed=not sizes)
    copies = LocalCopies(cache_folder(root))
    with open_place(root, remote, jobs, ssh_config, copies.find) as place:
        work = _Verification(place, copies, download, repair, report)
        work.hashing = not sizes
        work.objects([each for each in locked if each.is_folder])
        files = [each for folder in work.folders for each in folder]
        work.objects([*(each for each in locked if not each.is_folder), *files])
        if not sizes and pipeline is None:
            work.run_cache(lock.paths_in_git_or_here(root))
        whole = not (repair or sizes or pipeline)
        if locked and whole and report.bytes == 0 and report.runs == 0:
            raise EarthSignalsError(_EMPTY.format(remote=remote.name, url=remote.shown))
    return report


def _refuse_unknown(root: Path, pipeline: str) -> None:
    if not any(stage.startswith(f"{pipeline}-") for stage in read_stages(root, LOCK)):
        raise EarthSignalsError(
            f"dvc.lock has no stage of `{pipeline}`: nothing of it was made, so there is nothing to push; "
            f"check the name, or `make repro PIPELINE={pipeline}`"
        )


_EMPTY = "the remote `{remote}` ({url}) holds nothing of this project: nothing was pushed yet; `make push`"


class _Verification:
    """One pass over a remote; collects into `report`."""

    def __init__(
        self, place: Place, copies: LocalCopies, download: bool, repair: bool, report: Report
    ) -> None:
        self.place, self.copies, self.download, self.repair = place, copies, download, repair
        self.report = report
        self.hashing = True
        self.folders: list[list[LockedObject]] = []

    def objects(self, locked: list[LockedObject]) -> None:
        """Judge each object once, whoever uses it; folders are expanded into `folders`."""
        uses: dict[str, list[LockedObject]] = {}
        for each in locked:
            uses.setdefault(each.md5, []).append(each)
        sizes = self.place.sizes(object_name(md5) for md5 in uses)
        self.report.objects += len(uses)
        self.report.bytes += sum(sizes.values())
        for md5, (kind, detail) in self._judged(uses, sizes):
            if kind:
                self._found(Finding(kind, object_name(md5), md5, tuple(uses[md5]), detail))
            if md5.endswith(".dir"):
                self._expand(md5, uses[md5], sound=not kind)

    def _judged(
        self, uses: dict[str, list[LockedObject]], sizes: dict[str, int]
    ) -> Iterator[tuple[str, tuple[str, str]]]:
        """(md5, (kind or "", detail)) of every object: by presence, then by size, then by hash."""
        wanted = {}
        for md5, users in uses.items():
            size, expected = sizes.get(object_name(md5)), users[0].size or self.copies.size(md5)
            if size is None:
                yield md5, ("missing", "" if self.hashing else self._why_missing(md5))
            elif expected is not None and size != expected:
                kind = "truncated" if size < expected else "corrupt"
                yield md5, (kind, f"{size:,} bytes instead of {expected:,}")
            elif size == 0 and md5 != _MD5_OF_NOTHING:
                yield md5, ("truncated", "0 bytes")
            elif not self.hashing:
                yield md5, ("", "")
            else:
                wanted[object_name(md5)] = Wanted(object_name(md5), md5)
        with progress("hashing the remote", sum(sizes[name] for name in wanted) / 1e6, "MB") as bar:
            for name, found in self.place.hashes(list(wanted.values()), self.download):
                md5 = wanted[name].md5
                good = found == md5.removesuffix(".dir")
                bar.advance(sizes[name] / 1e6)
                detail = f"its md5 is {found}" if found else "cannot be read"
                yield md5, ("", "") if good else ("corrupt", detail)

    def _why_missing(self, md5: str) -> str:
        if self.copies.size(md5) is None:
            return "not pushed because it is not in the local cache either"
        return "not pushed, though the local cache has it"

    def _expand(self, md5: str, users: list[LockedObject], sound: bool) -> None:
        """What a folder's list names: as the local cache has it, else the remote if it is sound there."""
        copy = self.copies.find(md5)
        if copy is None and not sound:
            detail = "its files cannot be named, so they were not looked at"
            if self.hashing:  # else the folder's own line says enough
                self._found(Finding("unknown", object_name(md5), md5, tuple(users), detail))
            return
        listing = copy.read_bytes() if copy else self.place.read(object_name(md5))
        try:
            if hashlib.md5(listing, usedforsecurity=False).hexdigest() != md5.removesuffix(".dir"):
                raise ValueError("other bytes than the lock says")
            self.folders.extend([lock.expand(user, listing) for user in users])
        except ValueError as error:
            detail = f"what should list its files is none ({error}), so they were not looked at"
            self._found(Finding("unknown", object_name(md5), md5, tuple(users), detail))

    def run_cache(self, elsewhere: set[str]) -> None:
        """Judge every entry; count those whose outputs, except paths in `elsewhere`, are not all there."""
        entries = self.place.runs()
        self.report.runs = len(entries)
        needed: list[set[str]] = []
        for name, content in entries.items():
            if fault := runcache.fault(name, content):
                detail = f"this run-cache entry {fault}"
                self._found(Finding("corrupt", name, name.rpartition("/")[2], (), detail))
            else:
                outs = runcache.outputs(content)
                needed.append({object_name(out["md5"]) for out in outs if out["path"] not in elsewhere})
        there = self.place.sizes(set().union(*needed))
        self.report.runs_incomplete = sum(not names <= there.keys() for names in needed)

    def _found(self, finding: Finding) -> None:
        self.report.findings.append(self._repaired(finding) if self.repair else finding)

    def _repaired(self, finding: Finding) -> Finding:
        """Replaced by a good copy and looked at again; the finding says so, or why not."""
        if finding.kind == "unknown":
            return finding
        copy = self._good_copy(finding)
        if copy is None:
            return replace(finding, detail=_join(finding.detail, "no good copy in the local cache"))
        try:  # what cannot be replaced must not keep the rest from being mended
            self.place.put(finding.name, copy)
            stored = self._stored(finding, copy)
        except EarthSignalsError as error:
            return replace(finding, detail=_join(finding.detail, str(error)))
        if not stored:
            return replace(finding, detail=_join(finding.detail, "the remote spoilt the copy again"))
        return replace(finding, repaired=True)

    def _good_copy(self, finding: Finding) -> Path | None:
        if finding.uses:
            return self.copies.find(finding.md5)
        copy = self.copies.run(finding.name)
        return copy if copy and runcache.fault(finding.name, copy.read_bytes()) is None else None

    def _stored(self, finding: Finding, copy: Path) -> bool:
        if not finding.uses:
            return self.place.read(finding.name) == copy.read_bytes()
        self.place.sizes([finding.name])  # a bucket's ETag is that of the listing
        found = dict(self.place.hashes([Wanted(finding.name, finding.md5)], self.download))
        return found.get(finding.name) == finding.md5.removesuffix(".dir")


_MD5_OF_NOTHING = "d41d8cd98f00b204e9800998ecf8427e"


def _commit(use: LockedObject) -> str:
    return use.commit if use.commit == lock.WORKSPACE else f"commit {use.commit[:8]}"


def _join(*details: str) -> str:
    return "; ".join(filter(None, details))


def as_json(report: Report) -> dict[str, Any]:
    """The report for scripts: counts, and every finding with all places that name it."""
    findings = [
        {
            "kind": each.kind, "md5": each.md5, "object": each.name, "detail": each.detail,
            "repaired": each.repaired,
            "uses": [{"stage": u.stage, "path": u.path, "commit": u.commit} for u in each.uses],
        }
        for each in report.findings
    ]  # fmt: skip
    counts = {
        "remote": report.remote, "url": report.url, "commits": report.commits, "objects": report.objects,
        "bytes": report.bytes, "runs": report.runs, "runs_incomplete": report.runs_incomplete,
    }  # fmt: skip
    return {"ok": not report.bad, "hashed": report.hashed, **counts, "findings": findings}
