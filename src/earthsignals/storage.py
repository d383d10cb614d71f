"""Files that appear whole or not at all, and the hashes that name them.

Every file the project writes goes through `atomic_path`: the bytes go to a hidden neighbour, reach
the disk (fsync) and only then take the final name, so a kill, a full disk or a crash never leaves
half a file under a name that DVC or a reader would trust. Hashes equal DVC's own, so that a tag in
MLflow and a line in `dvc.lock` can be compared by eye.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

_FULL_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# HDF5 and other C libraries report the cause in the text of the exception, not always in `errno`.
_FULL_DISK_TEXTS = tuple(os.strerror(code) for code in sorted(_FULL_DISK))
# Without a host in names of earlier versions.
_PARTIAL = re.compile(r"^\.(?P<name>.+)\.((?P<host>[0-9a-f]{8})-)?(?P<pid>\d+)\.partial(\.[^.]*)?$")
_CHUNK = 1 << 20


class EarthSignalsError(Exception):
    """What a user can act upon: the message is one sentence, shown without a traceback."""


class Stopped(EarthSignalsError):
    """Work that was asked to stop and has saved itself: no failure, it goes on when called again."""


def find_project_root(start: str | Path | None = None) -> Path:
    """The nearest folder at or above `start` that holds `params.yaml` and `.dvc/`.

    Raises EarthSignalsError where there is none.
    """
    here = Path.cwd() if start is None else Path(start).resolve()
    for folder in (here, *here.parents):
        if (folder / "params.yaml").is_file() and (folder / ".dvc").is_dir():
            return folder
    raise EarthSignalsError(
        f"{here} is not inside an earthsignals project: neither it nor a folder above it holds "
        "`params.yaml` and `.dvc/`; change into your clone and try again"
    )


def main_project(root: Path) -> Path:
    """The project that `root` is a temporary copy of, else `root` itself.

    `dvc exp run --temp` and `--queue` work in copies below `.dvc/tmp/exps`, which hold tracked files alone
    and are deleted afterwards: settings and the experiment store are those of the project itself.
    """
    for folder in root.resolve().parents:
        if folder.parts[-3:] == (".dvc", "tmp", "exps"):
            return folder.parents[2]
    return root


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what is written there takes the final name at the end.

    The temporary name is `.<name>.<host>-<pid>.partial<suffix>`, on the same file system, so the
    rename is atomic; the suffix stays last for writers that choose a format by it. The host, eight
    digits of its name's hash, keeps machines apart that share a disk. Missing parent folders are
    made. A read-only target (DVC's hard links) is replaced, never edited. Beware of writers
    that embed their file's name (`torch.save(obj, path)`): hand them an open file object.

    Raises EarthSignalsError when the disk is full or the writer wrote nothing; any other exception
    of the block passes through. In every case the temporary file is gone afterwards.
    """
    target = Path(path)
    temporary = _prepare(target)
    try:
        yield temporary
        if not temporary.is_file():
            raise EarthSignalsError(f"{target}: nothing was written, expected a file")
        _fsync(temporary)
        os.replace(temporary, target)
        _fsync(target.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        _raise_if_disk_full(error, target)
        raise


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Like `atomic_path` for a folder: yields an empty temporary folder that becomes `path`.

    An existing folder of that name is replaced. A folder cannot be renamed over a full one, so the
    old one is moved aside first; a kill in that instant leaves no folder, never a mixed one.
    """
    target = Path(path)
    temporary = _prepare(target)
    temporary.mkdir()
    try:
        yield temporary
        for folder, _, names in os.walk(temporary):
            for name in names:
                _fsync(Path(folder) / name)
            _fsync(Path(folder))
        if target.exists():
            old = target.with_name(f".{target.name}.old.{_writer()}.partial")
            os.replace(target, old)
            os.replace(temporary, target)
            _remove(old)
        else:
            os.replace(temporary, target)
        _fsync(target.parent)
    except BaseException as error:
        _remove(temporary)
        _raise_if_disk_full(error, target)
        raise


def is_partial(name: str) -> bool:
    """Is `name` (no folder) the temporary name of an unfinished write?"""
    return _PARTIAL.match(name) is not None


def write_json(path: str | Path, obj: Any) -> None:
    """Write `obj` as JSON: sorted keys, indent 2, final newline, the same bytes for equal values.

    numpy scalars and arrays are written as numbers and lists. NaN and infinity are no JSON and are
    refused (EarthSignalsError) with the key that holds them.
    """
    plain = _plain(obj)
    bad = _find_non_finite(plain)
    if bad is not None:
        raise EarthSignalsError(
            f"{path}: the value at `{bad}` is not finite, and JSON holds only finite numbers; "
            "leave the key out or write null"
        )
    text = json.dumps(plain, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file; raises EarthSignalsError when it is missing or not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise EarthSignalsError(
            f"{path} does not exist; run the stage that writes it (`dvc repro`)"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise EarthSignalsError(
            f"{path} is not readable as JSON ({error}); write it anew"
        ) from None


def md5_file(path: str | Path) -> str:
    """Hex MD5 of a file's bytes: what DVC calls the file's md5."""
    return _digest(path, hashlib.md5(usedforsecurity=False))


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    return _digest(path, hashlib.sha256())


def md5_path(path: str | Path) -> str:
    """DVC's hash of an output: a file's md5, or a folder's `<md5>.dir`.

    A folder's hash is the md5 of the JSON list of its files' md5s and relative paths, sorted by
    path; empty folders do not count, nor do partial files and Python's byte code (`.dvcignore` names
    them too).
    Raises EarthSignalsError when there is nothing at `path`, or a device, a pipe or a socket.
    """
    path = Path(path)
    if path.is_file():
        return md5_file(path)
    if path.exists() and not path.is_dir():
        raise EarthSignalsError(
            f"{path} is no regular file, nor a folder, so it has no hash; name a file that a stage reads or "
            "makes"
        )
    if not path.is_dir():
        raise EarthSignalsError(f"{path} does not exist, so it has no hash; run `dvc repro` first")
    files = (
        Path(folder) / name
        for folder, _, names in os.walk(path, followlinks=True)
        for name in names
        if not is_partial(name) and Path(folder).name != "__pycache__"
    )
    entries = [
        {"md5": md5_file(file), "relpath": file.relative_to(path).as_posix()} for file in files
    ]
    entries.sort(key=lambda entry: entry["relpath"])
    listing = json.dumps(entries, sort_keys=True).encode("utf-8")
    return hashlib.md5(listing, usedforsecurity=False).hexdigest() + ".dir"


def _prepare(target: Path) -> Path:
    """Make the parent folder, clear what dead processes of this host left, and name the temporary.

    Whether a process of another host lives cannot be known: what it left stays.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    ours = (target.name, f"{target.name}.old")
    for neighbour in target.parent.glob(".*.partial*"):
        match = _PARTIAL.match(neighbour.name)
        if not match or match["name"] not in ours or match["host"] != _host():
            continue
        if not _alive(match["pid"]):
            _remove(neighbour)
    temporary = target.with_name(f".{target.name}.{_writer()}.partial{target.suffix}")
    _remove(temporary)  # an earlier process may have died with our process id
    return temporary


def _writer() -> str:
    """Name this process among all that may write to the same disk."""
    return f"{_host()}-{os.getpid()}"


@cache
def _host() -> str:
    # Hashed: a file that is left behind and copied elsewhere must not tell the machine's name.
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise_if_disk_full(error: BaseException, target: Path) -> None:
    """Turn 'no space left' anywhere in the chain of `error` into one sentence (once)."""
    if isinstance(error, EarthSignalsError):
        return
    seen: BaseException | None = error
    while seen is not None:
        full = isinstance(seen, OSError) and seen.errno in _FULL_DISK
        if full or any(text in str(seen) for text in _FULL_DISK_TEXTS):
            raise EarthSignalsError(
                f"{target} could not be written: there is no room left on its disk, or a file-size "
                "limit was reached; free some space (`dvc gc -w` clears unused versions) and run "
                "again; nothing was left under the final name"
            ) from error
        seen = seen.__cause__ or seen.__context__


def _digest(path: str | Path, digest: Any) -> str:
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _plain(obj: Any) -> Any:
    """`obj` in JSON's own types; keys as text; numpy by duck typing, so it need not be imported."""
    if isinstance(obj, dict):
        return {str(key): _plain(value) for key, value in obj.items()}
    if isinstance(obj, (list, tuple)):
        return [_plain(value) for value in obj]
    if isinstance(obj, Path):
        return obj.as_posix()
    if hasattr(obj, "tolist"):
        return _plain(obj.tolist())
    return obj


def _find_non_finite(obj: Any, path: str = "") -> str | None:
    if isinstance(obj, float):
        return None if math.isfinite(obj) else (path or "(the whole value)")
    if isinstance(obj, dict):
        children = ((f"{path}.{key}" if path else key, value) for key, value in obj.items())
    elif isinstance(obj, list):
        children = ((f"{path}[{index}]", value) for index, value in enumerate(obj))
    else:
        return None
    return next((bad for key, value in children if (bad := _find_non_finite(value, key))), None)
