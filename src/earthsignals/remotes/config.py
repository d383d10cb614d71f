"""DVC's configuration as this project uses it: which remote, where, and what must stay out of git.

`.dvc/config` is tracked and says where artifacts are; `.dvc/config.local` is git-ignored, readable by
its owner alone, and holds user names, key files, passwords and whatever belongs to one machine.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from earthsignals.remotes.ports import is_loopback, listens
from earthsignals.storage import EarthSignalsError, atomic_path

NO_REMOTE = (
    "no DVC remote is configured: all artifacts stay on this machine; `make remote` keeps them in a folder "
    "beside the project, `make remote URL=ssh://host/path` or `URL=s3://bucket/prefix` elsewhere"
)


@dataclass(frozen=True)
class Remote:
    """A configured DVC remote; `options` holds DVC's keys, secrets among them, so it is never printed."""

    name: str
    url: str
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def kind(self) -> str:
        """`folder`, `ssh`, `s3`, or another of DVC's schemes."""
        return urlsplit(self.url).scheme if "://" in self.url else "folder"

    @property
    def shown(self) -> str:
        """The address without user and password."""
        return without_user(self.url)


def without_user(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return url if not separator else f"{scheme}://{rest.rpartition('@')[2]}"


def load(root: Path) -> dict[str, Any]:
    """All levels of DVC's configuration, merged. Raises EarthSignalsError when DVC refuses it."""
    from dvc.config import Config, ConfigError

    try:
        return dict(Config(dvc_dir=str(root / ".dvc")))
    except (ConfigError, OSError) as error:
        reason = " ".join(str(error).split())
        raise EarthSignalsError(
            f"DVC cannot read its configuration ({reason}); mend .dvc/config or .dvc/config.local"
        ) from None


def find_remote(root: Path, name: str | None = None) -> Remote:
    """The remote called `name`, or the default one; raises EarthSignalsError where there is none."""
    config = load(root)
    remotes = config.get("remote") or {}
    name = name or config.get("core", {}).get("remote")
    if not remotes and name is None:
        raise EarthSignalsError(NO_REMOTE)
    if name is None:
        raise EarthSignalsError(
            f"none of the DVC remotes ({', '.join(sorted(remotes))}) is the default; choose one: "
            f"`dvc remote default {sorted(remotes)[0]}`"
        )
    if "url" not in remotes.get(name, {}):
        known = f"known are {', '.join(sorted(remotes))}" if remotes else "none is configured"
        raise EarthSignalsError(
            f"the DVC remote `{name}` has no address ({known}); `earthsignals remote add URL --name {name}`"
        )
    return Remote(name, str(remotes[name]["url"]), remotes[name])


def check_remote(root: Path, name: str | None = None) -> Remote:
    """The remote, if it is configured and its near end is there: its folder, or what leads to it.

    No other machine is asked, but a port of this one is: an address on the loopback is a tunnel's.
    Raises EarthSignalsError, one sentence with the remedy, otherwise.
    """
    remote = find_remote(root, name)
    if remote.kind == "folder" and not Path(remote.url).is_dir():
        raise EarthSignalsError(
            f"the DVC remote `{remote.name}` is the folder {remote.url}, which does not exist here; mount "
            "it, make it with `make remote`, or set another with `earthsignals remote add URL --force`"
        )
    host, port = near_end(remote)
    if host and is_loopback(host) and not listens(port, host):
        raise EarthSignalsError(
            f"the DVC remote `{remote.name}` is {remote.shown}, but nothing listens on port {port} of this "
            "machine: open the tunnel that leads there with `make tunnel HOST=user@host`, and leave it open"
        )
    return remote


def near_end(remote: Remote) -> tuple[str, int]:
    """Host and port that DVC connects to over ssh; no host for remotes of other kinds."""
    parts = urlsplit(remote.url)
    if remote.kind != "ssh":
        return "", 0
    return parts.hostname or "", int(parts.port or remote.options.get("port") or 22)


def write(root: Path, values: Mapping[str, Mapping[str, str | None]], *, local: bool) -> bool:
    """Set `values` (section → key → value, None removes) in one config file, keeping its comments.

    The local file gets mode 0600 and must be ignored by git. Returns whether anything changed.
    Raises EarthSignalsError when the file is not readable or git would track the local one.
    """
    from configobj import ConfigObj, ConfigObjError

    path = root / ".dvc" / ("config.local" if local else "config")
    if local:
        _refuse_tracked(root, path)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    try:
        config = ConfigObj(lines, indent_type="    ")
    except ConfigObjError as error:
        raise EarthSignalsError(f"{path} is not readable ({error}); mend it, or take it from git") from None
    before = config.dict()
    for section, keys in values.items():
        present = config.setdefault(section, {})
        present.update({name: value for name, value in keys.items() if value is not None})
        for name in keys.keys() - {name for name, value in keys.items() if value is not None}:
            present.pop(name, None)
        if not present:
            del config[section]
    if local and path.is_file():
        path.chmod(0o600)
    if config.dict() == before:
        return False
    with atomic_path(path) as temporary:
        mode = 0o600 if local else 0o666  # from the first byte on, not by a chmod afterwards
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            file.write("\n".join(config.write()) + "\n")
    return True


def _refuse_tracked(root: Path, path: Path) -> None:
    git = ["git", "-C", str(root)]
    if subprocess.run([*git, "rev-parse"], capture_output=True).returncode:
        return  # no repository: nothing can be committed by mistake
    tracked = subprocess.run([*git, "ls-files", "--error-unmatch", str(path)], capture_output=True)
    ignored = subprocess.run([*git, "check-ignore", "-q", str(path)], capture_output=True)
    if tracked.returncode == 0 or ignored.returncode != 0:
        raise EarthSignalsError(
            f"{path} would be tracked by git, so nothing secret may go there; add `/config.local` to "
            ".dvc/.gitignore (and `git rm --cached` the file if it was committed)"
        )
