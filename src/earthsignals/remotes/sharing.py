"""One DVC cache for several users and clones, on a network mount or a large disk.

DVC makes files of a shared cache readable to the group and its folders group-writable with the setgid
bit, so that what one user adds belongs to the group; objects themselves are read-only for everyone.
"""

from __future__ import annotations

import grp
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from earthsignals.compute.mapping import progress
from earthsignals.dvcfiles import cache_folder
from earthsignals.remotes.config import expanded, write
from earthsignals.storage import EarthSignalsError, atomic_path, is_partial, md5_file

_FOLDER_MODE = 0o2775
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "lustre", "gpfs", "beegfs", "ceph", "9p")


@dataclass
class Shared:
    """What was done: objects copied into the shared cache, those it had, how outputs are linked to it."""

    folder: Path
    carried: int = 0
    present: int = 0
    links: str = ""
    notes: list[str] = field(default_factory=list)


def share(root: Path, folder: Path, group: str | None = None) -> Shared:
    """Make `folder` this clone's cache (noted in `.dvc/config.local`) and link its outputs to it.

    Objects of the present cache are carried over, those with a wrong hash are named and left behind; the
    old cache stays until the user removes it. Doing it again changes nothing.
    Raises EarthSignalsError when the folder or the group cannot be used.
    """
    folder, root = expanded(folder), root.resolve()
    _refuse(folder, root)
    old = cache_folder(root).resolve()
    _prepare(folder, _group_id(group))
    shared = Shared(folder, links=_links(root, folder))
    if old != folder and old.is_dir():
        _carry(old, folder, shared)
    section = {"dir": str(folder), "shared": "group", "type": shared.links, "slow_link_warning": "false"}
    lock = {"hardlink_lock": "true"} if file_system(root / ".dvc").startswith("nfs") else {}
    with _config_kept_on_failure(root):
        write(root, {"cache": section, "core": lock}, local=True)
        _relink(root)
    if old != folder and old.is_dir():
        shared.notes.append(f"the old cache {old} is not used any more; remove it to free its space")
    return shared


def _refuse(folder: Path, root: Path) -> None:
    """Whatever is neither new, nor empty, nor a cache already: its rights are not ours to change."""
    if folder == root or root in folder.parents:
        raise EarthSignalsError(f"{folder} lies inside the project; a shared cache lies outside all clones")
    if folder == Path(folder.anchor) or folder == expanded(Path("~")) or folder in root.parents:
        raise EarthSignalsError(
            f"{folder} holds more than a cache can: expected a folder of its own, as {folder / 'dvc-cache'}"
        )
    try:
        if folder.exists() and not folder.is_dir():
            raise EarthSignalsError(f"{folder} is a file; expected a new or empty folder, or a cache")
        used = folder.exists() and any(folder.iterdir())
    except OSError as error:
        raise EarthSignalsError(
            f"{folder} cannot be looked at ({error.strerror}); its owner must let your group in: chgrp "
            "GROUP, chmod 2775"
        ) from None
    if used and not (folder / "files" / "md5").is_dir():
        raise EarthSignalsError(
            f"{folder} is in use and no DVC cache (it has no files/md5); expected a new or an empty folder, "
            f"or a DVC cache, as {folder / 'dvc-cache'}"
        )


@contextmanager
def _config_kept_on_failure(root: Path) -> Iterator[None]:
    """The clone goes on with its old cache when outputs could not be linked to the new one."""
    file = root / ".dvc" / "config.local"
    before = file.read_bytes() if file.is_file() else None
    try:
        yield
    except BaseException:
        if before is None:
            file.unlink(missing_ok=True)
        else:
            with atomic_path(file) as temporary:
                temporary.touch(mode=0o600)
                temporary.write_bytes(before)
        raise


def file_system(path: Path) -> str:
    """The type of the file system that holds `path`, as the mount table calls it (`ext4`, `nfs4`)."""
    import psutil

    path = path.resolve()
    mounts = sorted(psutil.disk_partitions(all=True), key=lambda each: len(each.mountpoint), reverse=True)
    return next((m.fstype for m in mounts if path.is_relative_to(m.mountpoint)), "unknown")


def _links(root: Path, folder: Path) -> str:
    """Link types in the order DVC should try them.

    A hard link needs the same file system, and where the kernel protects hard links (Linux's default) an
    object of one's own: for those of other users DVC goes on to the next type, so a copy is never made
    while a symbolic link would do.
    """
    same = os.stat(root).st_dev == os.stat(folder).st_dev
    return "reflink,hardlink,symlink,copy" if same else "reflink,symlink,copy"


def _group_id(name: str | None) -> int:
    if name is None:
        return os.getgid()
    try:
        found = grp.getgrnam(name)
    except KeyError:
        raise EarthSignalsError(f"this machine has no group `{name}`; ask its administrator") from None
    if found.gr_gid not in {os.getgid(), *os.getgroups()} and os.getuid() != 0:
        raise EarthSignalsError(f"you are not in the group `{name}`: ask to be added, then log in again")
    return found.gr_gid


def _prepare(folder: Path, group: int) -> None:
    """The folder with its setgid bit and group, and the right to write in it."""
    for each in (folder, *(folder / name for name in ("files", "files/md5", "runs"))):
        try:
            each.mkdir(parents=True, exist_ok=True)
            state = each.stat()
            if state.st_uid in (os.getuid(), 0) and os.getuid() in (state.st_uid, 0):
                os.chown(each, -1, group)
                os.chmod(each, _FOLDER_MODE)
        except OSError as error:
            raise EarthSignalsError(
                f"{each} cannot hold the shared cache: {error.strerror}; its owner must make it writable for "
                "your group: chgrp GROUP, chmod 2775"
            ) from None
    state = folder.stat()
    if not os.access(folder / "files" / "md5", os.W_OK) or not state.st_mode & stat.S_ISGID:
        raise EarthSignalsError(
            f"{folder} is not writable for you or lacks the setgid bit (its group has the number "
            f"{state.st_gid}): its owner must run this command once, or chmod 2775, and you must be "
            "in that group"
        )


def _carry(old: Path, folder: Path, shared: Shared) -> None:
    """Copy objects and run-cache entries which the shared cache lacks; objects are hashed on the way."""
    files = [
        file
        for below in ("files/md5", "runs")
        for file in sorted((old / below).rglob("*"))
        if file.is_file() and not is_partial(file.name)
    ]
    with progress("carrying the cache over", len(files), "objects") as bar:
        for file in files:
            name = file.relative_to(old)
            bar.advance()
            if (folder / name).exists():
                shared.present += 1
            elif name.parts[0] == "files" and not _sound(file):
                shared.notes.append(f"{file} does not have the hash that is its name: left behind")
            else:
                try:
                    _place(file, folder / name, read_only=name.parts[0] == "files")
                except OSError as error:
                    raise EarthSignalsError(
                        f"{folder / name} cannot be written: {error.strerror}; the folders above it must be "
                        "writable for the group (chmod 2775); then run this again, what is there stays"
                    ) from None
                shared.carried += 1


def _place(source: Path, target: Path, read_only: bool) -> None:
    for parent in reversed(target.parents):
        if not parent.is_dir():
            with suppress(FileExistsError):  # another user's command was faster, and gives it its mode
                parent.mkdir()
                parent.chmod(_FOLDER_MODE)  # whatever the umask; the setgid bit hands the group down
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
        temporary.chmod(0o444 if read_only else 0o664)


def _sound(file: Path) -> bool:
    return md5_file(file) == f"{file.parent.name}{file.name}".removesuffix(".dir")


def _relink(root: Path) -> None:
    """Outputs become links to the new cache; what is not in it (nothing was lost) stays as it is."""
    if not (root / "dvc.lock").is_file():
        return
    words = [sys.executable, "-m", "dvc", "checkout", "--relink", "--allow-missing"]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        said = " ".join(done.stderr.partition("ERROR:")[2].split() or done.stderr.split())
        raise EarthSignalsError(
            f"outputs could not be linked to the shared cache: `dvc checkout --relink` failed "
            f"({said[:300] or 'no reason given'}); this clone keeps its old cache: mend that, then run this "
            "again"
        )
