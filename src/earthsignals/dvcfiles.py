"""DVC's own files as all rooms read them: `dvc.yaml`, `dvc.lock`, `*.dvc`, and where its cache lies.

DVC itself is not imported: doing so takes most of a second, and what is read here are plain files whose
format its documentation fixes.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earthsignals.storage import EarthSignalsError

if TYPE_CHECKING:
    from configobj import ConfigObj

DECLARED = "dvc.yaml"
LOCK = "dvc.lock"

NO_GIT = "git is not installed here, or not on PATH, and it alone knows what this asks; install it"

_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


def read_stages(root: Path, name: str = DECLARED) -> dict[str, Any]:
    """The bodies of the stages of the working tree's `dvc.yaml` or `dvc.lock`; empty where it is not there.

    Raises EarthSignalsError when the file is no YAML or not what DVC writes.
    """
    path = root / name
    if not path.is_file():
        return {}
    return parse_stages(read_text(path), str(path)) or {}


def read_text(path: Path) -> str:
    """The text of one of DVC's files; raises EarthSignalsError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise EarthSignalsError(
            f"{path} is not readable ({error}); take it back with `git checkout`"
        ) from None


def parse_stages(text: str, source: str, *, as_text: bool = False) -> dict[str, Any] | None:
    """The stages of a `dvc.yaml` or `dvc.lock` by name, None where it has no such section.

    source: what the text is, for the sentence of an EarthSignalsError. See `parse` for as_text.
    """
    stages = parse(text, source, as_text=as_text).get("stages")
    if stages is not None and not isinstance(stages, dict):
        raise EarthSignalsError(f"`stages` of {source} is no mapping: it is not what DVC reads or writes")
    for name, body in (stages or {}).items():
        if not isinstance(body, dict):
            raise EarthSignalsError(
                f"the stage `{name}` of {source} is no mapping: it is not what DVC reads; mend it, or "
                "take back the committed file with `git checkout`"
            )
    return stages


def parse(text: str, source: str, *, as_text: bool = False) -> dict[str, Any]:
    """The content of one of DVC's files, as plain values of YAML 1.2 (`1e-3` is a number).

    as_text: leave all scalars text, and be twenty times faster: for the many locks of a history, of
    which only paths and hashes are wanted.
    """
    import yaml
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        if as_text:
            parsed = yaml.load(text, Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader)) or {}
        else:
            parsed = YAML(typ="safe", pure=True).load(io.StringIO(text)) or {}
    except (YAMLError, yaml.YAMLError) as error:
        raise EarthSignalsError(
            f"{source} is not readable YAML: {str(error).splitlines()[0]}; resolve merge conflicts in it, or "
            "take back the committed one with `git checkout`"
        ) from None
    if not isinstance(parsed, dict):
        raise EarthSignalsError(f"{source} holds no mapping: it is not what DVC writes")
    return parsed


def locked_entries(body: Mapping[str, Any], kind: str, source: str) -> list[dict[str, Any]]:
    """The entries (`deps` or `outs`) of a stage of a lock, or of a `.dvc` file, each with its `path`.

    Raises EarthSignalsError, naming `source`, for what DVC never writes: a path, a hash or a size that is
    none would be taken for something that need not be there.
    """
    entries = body.get(kind)
    if entries is None:
        return []
    if not isinstance(entries, list):
        raise _odd(source, f"`{kind}` is no list")
    for entry in entries:
        path = entry.get("path") if isinstance(entry, dict) else None
        if not isinstance(path, str) or not path:
            raise _odd(source, f"an entry of `{kind}` has no path")
        md5 = entry.get("md5")
        if md5 is not None and not is_md5(md5):
            raise _odd(source, f"the md5 of {path} is none")
        if "size" in entry and not re.fullmatch(r"\d+", str(entry["size"])):
            raise _odd(source, f"the size of {path} is no number")
    return entries


def _odd(source: str, what: str) -> EarthSignalsError:
    return EarthSignalsError(
        f"{source} is not what DVC writes: {what}; take back the committed file with `git checkout`, or run "
        "`dvc repro`"
    )


def declared(entries: Any) -> dict[str, dict[str, Any]]:
    """Paths of a list in `dvc.yaml` with their options: entries are paths, or one-key mappings to options.

    Raises EarthSignalsError for anything but a list.
    """
    found: dict[str, dict[str, Any]] = {}
    if entries is not None and not isinstance(entries, (list, tuple)):
        raise EarthSignalsError(
            f"deps, outs, metrics and plots of a stage in dvc.yaml are lists, but one is `{entries}`; mend it"
        )
    for entry in entries or ():
        if isinstance(entry, dict):
            found |= {
                str(path): options if isinstance(options, dict) else {} for path, options in entry.items()
            }
        else:
            found[str(entry)] = {}
    return found


def declared_outs(stage: Any) -> dict[str, dict[str, Any]]:
    """All outs of a stage of `dvc.yaml` with their options, metrics and plots included.

    Of stages that DVC writes out of a template (`foreach`, `matrix`) those of the template.
    """
    body = stage if isinstance(stage, dict) else {}
    body = body["do"] if isinstance(body.get("do"), dict) else body
    lists = (declared(body.get(kind)) for kind in ("outs", "metrics", "plots"))
    return {path: options for each in lists for path, options in each.items()}


def dvc_files(root: Path) -> list[str]:
    """Names of the `*.dvc` files below `root`, which `dvc add` writes; empty outside of a repository.

    Raises EarthSignalsError where git is not installed: what `dvc add` tracks would be overlooked.
    """
    # Git knows them, or is about to; the data folders need not be searched. -z: names as they are.
    words = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.dvc"]
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, timeout=60)
    except FileNotFoundError:
        raise EarthSignalsError(NO_GIT) from None
    except (OSError, subprocess.TimeoutExpired):
        return []
    names = (os.fsdecode(name) for name in done.stdout.split(b"\0") if name)
    return [name for name in dict.fromkeys(names) if (root / name).is_file()]


def read_dvc_file(path: Path) -> dict[str, Any]:
    """The content of a `*.dvc` file; raises EarthSignalsError when it is none."""
    return parse(read_text(path), str(path))


def is_md5(value: Any) -> bool:
    """Is `value` DVC's md5 of a file, or of a folder (`….dir`)?"""
    return isinstance(value, str) and _MD5.fullmatch(value) is not None


def object_name(md5: str) -> str:
    """Where a cache or a remote keeps an object, below its own root: `files/md5/ab/cdef…`.

    Raises EarthSignalsError for what is no md5: it must not become a path.
    """
    if not is_md5(md5):
        raise EarthSignalsError(f"`{md5}` is no md5 of DVC: 32 hexadecimal digits, `.dir` for a folder")
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def cache_folder(root: Path) -> Path:
    """DVC's cache of this project, wherever its configuration puts it; it may not exist yet.

    Raises EarthSignalsError when a file of the configuration is not readable.
    """
    for file in _configurations(root):
        if folder := read_config(file).get("cache", {}).get("dir"):
            return Path(os.path.abspath(file.parent / os.path.expanduser(folder)))
    return root / ".dvc" / "cache"


def read_config(file: Path) -> ConfigObj:
    """One file of DVC's configuration, empty where there is none; values as they stand, `%` and all.

    Raises EarthSignalsError when it is not readable, or has values outside of its sections.
    """
    from configobj import ConfigObj, ConfigObjError

    try:
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        config = ConfigObj(lines, interpolation=False, indent_type="    ")
    except (ConfigObjError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise EarthSignalsError(
            f"{file} is not readable ({reason}); mend it, or take it from git"
        ) from None
    if config.scalars:
        raise EarthSignalsError(
            f"{file} is not readable (`{config.scalars[0]}` stands in no section, as [core] is one); mend "
            "it, or take it from git"
        )
    return config


def _configurations(root: Path) -> Iterator[Path]:
    """DVC's configuration, what counts most first: the clone's, the project's, the user's, the system's."""
    import platformdirs

    yield root / ".dvc" / "config.local"
    yield root / ".dvc" / "config"
    own, common = os.environ.get("DVC_GLOBAL_CONFIG_DIR"), os.environ.get("DVC_SYSTEM_CONFIG_DIR")
    yield Path(own or platformdirs.user_config_dir("dvc", "iterative"), "config")
    yield Path(common or platformdirs.site_config_dir("dvc", "iterative"), "config")
