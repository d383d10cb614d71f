"""DVC's own files as all rooms read them: `dvc.yaml`, `dvc.lock`, `*.dvc`, and where its cache lies.

DVC itself is not imported: doing so takes most of a second, and what is read here are plain files whose
format its documentation fixes.
"""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from earthsignals.storage import EarthSignalsError

DECLARED = "dvc.yaml"
LOCK = "dvc.lock"


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


def declared(entries: Any) -> dict[str, dict[str, Any]]:
    """Paths of a list in `dvc.yaml` with their options: entries are paths, or one-key mappings to options."""
    found: dict[str, dict[str, Any]] = {}
    for entry in entries or ():
        if isinstance(entry, dict):
            found |= {str(path): options or {} for path, options in entry.items()}
        else:
            found[str(entry)] = {}
    return found


def declared_outs(stage: Any) -> dict[str, dict[str, Any]]:
    """All outs of a stage of `dvc.yaml` with their options, metrics and plots included.

    Of stages that DVC writes out of a template (`foreach`, `matrix`) those of the template.
    """
    body = stage if isinstance(stage, dict) else {}
    body = body.get("do") or body
    lists = (declared(body.get(kind)) for kind in ("outs", "metrics", "plots"))
    return {path: options for each in lists for path, options in each.items()}


def dvc_files(root: Path) -> list[str]:
    """Names of the `*.dvc` files below `root`, which `dvc add` writes; empty outside of a repository."""
    # Git knows them, or is about to; the data folders need not be searched. -z: names as they are.
    words = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.dvc"]
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    names = (os.fsdecode(name) for name in done.stdout.split(b"\0") if name)
    return [name for name in dict.fromkeys(names) if (root / name).is_file()]


def read_dvc_file(path: Path) -> dict[str, Any]:
    """The content of a `*.dvc` file; raises EarthSignalsError when it is none."""
    return parse(read_text(path), str(path))


def object_name(md5: str) -> str:
    """Where a cache or a remote keeps an object, below its own root: `files/md5/ab/cdef…`."""
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def cache_folder(root: Path) -> Path:
    """DVC's cache of this project, wherever its configuration puts it; it may not exist yet.

    Raises EarthSignalsError when a file of the configuration is not readable.
    """
    from configobj import ConfigObj, ConfigObjError

    for file in _configurations(root):
        try:
            section = ConfigObj(str(file), encoding="utf-8").get("cache", {}) if file.is_file() else {}
        except (ConfigObjError, OSError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise EarthSignalsError(
                f"{file} is not readable ({reason}); mend it, or take it from git"
            ) from None
        if folder := section.get("dir"):
            return Path(os.path.abspath(file.parent / os.path.expanduser(folder)))
    return root / ".dvc" / "cache"


def _configurations(root: Path) -> Iterator[Path]:
    """DVC's configuration, what counts most first: the clone's, the project's, the user's, the system's."""
    import platformdirs

    yield root / ".dvc" / "config.local"
    yield root / ".dvc" / "config"
    own, common = os.environ.get("DVC_GLOBAL_CONFIG_DIR"), os.environ.get("DVC_SYSTEM_CONFIG_DIR")
    yield Path(own or platformdirs.user_config_dir("dvc", "iterative"), "config")
    yield Path(common or platformdirs.site_config_dir("dvc", "iterative"), "config")
