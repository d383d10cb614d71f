"""DVC's configuration as this project uses it: which remote, where, and what must stay out of git.

`.dvc/config` is tracked and says where artifacts are; `.dvc/config.local` is git-ignored, readable by
its owner alone, and holds user names, key files, passwords and whatever belongs to one machine.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from earthsignals.dvcfiles import NO_GIT, read_config
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
        return self.url.partition("://")[0].lower() if "://" in self.url else "folder"

    @property
    def shown(self) -> str:
        """The address without user and password."""
        return without_user(self.url)

    @property
    def parts(self) -> SplitResult:
        """The address taken apart; raises EarthSignalsError when it is none."""
        return split_address(self.url, f"the address of the DVC remote `{self.name}`")


def without_user(url: str) -> str:
    """`url` without what stands before the host; an @ in its path stays."""
    return re.sub(r"^([A-Za-z][\w+.-]*://)[^/?#]*@", r"\1", url)


def split_address(url: str, what: str) -> SplitResult:
    """The parts of an address; raises EarthSignalsError, calling it `what`, for one that has none."""
    try:
        parts = urlsplit(url)
        sensible = parts.port is None or parts.port > 0
    except ValueError:
        sensible = False
    # The address itself is not shown: its password may be what makes it unreadable.
    if not sensible:
        raise EarthSignalsError(
            f"{what} is none: expected scheme://host[:port]/path, a port of 1 to 65535, brackets around IPv6 "
            "addresses alone"
        )
    return parts


def expanded(folder: Path) -> Path:
    """The folder as an absolute path; raises EarthSignalsError where `~name` or the path means nothing."""
    try:
        return folder.expanduser().resolve()
    except (RuntimeError, OSError, ValueError) as error:
        raise EarthSignalsError(
            f"{str(folder)!r} is no path on this machine ({error}); name a folder or file of yours"
        ) from None


def load(root: Path) -> dict[str, Any]:
    """All levels of DVC's configuration, merged. Raises EarthSignalsError when DVC refuses it."""
    from configobj import ConfigObjError
    from dvc.config import Config, ConfigError

    for name in ("config", "config.local"):
        read_config(root / ".dvc" / name)  # our sentence names file and line
    try:
        return dict(Config(dvc_dir=str(root / ".dvc")))
    # DVC reads values only after it has looked for errors: some reach us as they are.
    except (ConfigError, ConfigObjError, OSError, ValueError, TypeError, AttributeError) as error:
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
    if remote.kind != "ssh":
        return "", 0
    parts = remote.parts
    return parts.hostname or "", int(parts.port or remote.options.get("port") or 22)


def write(root: Path, values: Mapping[str, Mapping[str, str | None]], *, local: bool) -> bool:
    """Set `values` (section → key → value, None removes) in one config file, keeping its comments.

    The local file gets mode 0600 and must be ignored by git. Returns whether anything changed.
    Raises EarthSignalsError when the file is not readable or git would track the local one.
    """
    from configobj import ConfigObjError

    path = root / ".dvc" / ("config.local" if local else "config")
    if local:
        _refuse_tracked(root, path)
    config = read_config(path)
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
    try:
        text = "\n".join(config.write()) + "\n"
    except ConfigObjError:
        raise EarthSignalsError(
            f"{path} cannot hold one of the values: it has quotes of both kinds; choose another"
        ) from None
    with atomic_path(path) as temporary:
        mode = 0o600 if local else 0o666  # from the first byte on, not by a chmod afterwards
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    return True


def _refuse_tracked(root: Path, path: Path) -> None:
    git = ["git", "-C", str(root)]
    try:
        if subprocess.run([*git, "rev-parse"], capture_output=True).returncode:
            return  # no repository: nothing can be committed by mistake
        tracked = subprocess.run([*git, "ls-files", "--error-unmatch", str(path)], capture_output=True)
        ignored = subprocess.run([*git, "check-ignore", "-q", str(path)], capture_output=True)
    except FileNotFoundError:
        raise EarthSignalsError(NO_GIT) from None
    if tracked.returncode == 0 or ignored.returncode != 0:
        raise EarthSignalsError(
            f"{path} would be tracked by git, so nothing secret may go there; add `/config.local` to "
            ".dvc/.gitignore (and `git rm --cached` the file if it was committed)"
        )
