"""Make a rented machine ready over OpenSSH: packages, this commit's sources, environment, torch, doctor.

`scripts/droplet.sh` does the work there, sent through ssh's standard input; this side sends the sources
when the machine cannot fetch them from the origin. One login serves all steps; host keys are checked.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from earthsignals.dvcfiles import NO_GIT
from earthsignals.remotes import openssh
from earthsignals.storage import EarthSignalsError

_SCRIPT = Path("scripts/droplet.sh")
_PUSH_FIRST = 3  # droplet.sh's word for: the commit is not here
_CREDENTIALS = re.compile(r"(?<=://)[^/@]*@")
_ELSEWHERE = re.compile(r"(https?|ssh|git)://")
# [user@]host:path; neither a path of this disk nor one of git's helpers (`ext::…`).
_SCP = re.compile(r"(?:\w[\w.+-]*@)?\w[\w.-]*:(?!//|:)\S+$")


@dataclass(frozen=True)
class Droplet:
    """What to make of `host`: a clone in `folder` (of its home, unless absolute), torch for its GPU.

    `torch` is auto, cuda, rocm or cpu; `torch_index` the package index that has that build. `environment`
    is a Python environment there to be used instead of a new one. `price` is USD an hour.
    """

    host: openssh.Host
    folder: str = "earthsignals"
    torch: str = "auto"
    torch_index: str | None = None
    environment: str | None = None
    price: float | None = None


@dataclass(frozen=True)
class Sources:
    """What is sent: the commit and branch of this clone, where others find it, and whose commits follow."""

    root: Path
    branch: str
    commit: str
    origin: str | None
    name: str
    email: str
    unsent: int
    """Files here that differ from the commit: they stay here."""


def read_sources(root: Path) -> Sources:
    """This clone's state; raises EarthSignalsError when it has no commit or is on no branch."""
    branch = _git(root, "symbolic-ref", "--short", "HEAD")
    commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if not branch or not commit:
        raise EarthSignalsError(
            f"{root} has no branch with a commit to send; `git switch` to a branch and commit first"
        )
    return Sources(
        root, branch, commit, public_address(_git(root, "remote", "get-url", "origin")),
        _git(root, "config", "user.name"), _git(root, "config", "user.email"),
        len(_git(root, "status", "--porcelain").splitlines()),
    )  # fmt: skip


def public_address(origin: str) -> str | None:
    """The origin as another machine may use it, without secrets; None for one that means nothing there.

    ssh needs its user (`git@host:x/y.git`); all that stands before an http(s) host is a secret, or half one.
    """
    if _SCP.match(origin):
        return origin
    try:
        parts = urlsplit(origin)
    except ValueError:  # brackets that hold no address
        return None
    if not _ELSEWHERE.match(origin) or not parts.hostname:
        return None
    user = parts.username if parts.scheme == "ssh" else None
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}@{host}" if user else host))


def steps(droplet: Droplet, sources: Sources) -> dict[str, list[str]]:
    """The words that each step's `bash` on the machine gets, by the step's name."""
    price = "" if droplet.price is None else f"{droplet.price:g}"
    return {
        "packages": _bash([], "packages"),
        "sources": _bash(
            [f"DROPLET_NAME={sources.name}", f"DROPLET_EMAIL={sources.email}"],
            "sources", droplet.folder, sources.branch, sources.commit, sources.origin,
        ),
        "build": _bash(
            [f"DROPLET_PRICE={price}", f"DROPLET_VENV={droplet.environment or ''}"],
            "build", droplet.folder, droplet.torch, droplet.torch_index,
        ),
    }  # fmt: skip


def set_up(droplet: Droplet, sources: Sources, tell: Callable[[str], None]) -> None:
    """Run every step on the machine; its output goes to this process's own. May be repeated.

    Raises:
        EarthSignalsError: ssh cannot log in, a step fails, or the sources cannot be sent.
    """
    _check(droplet)
    script = sources.root / _SCRIPT
    if not script.is_file():
        raise EarthSignalsError(f"{script} does not exist; bring it back with `git checkout -- {_SCRIPT}`")
    with _login(droplet.host) as host:
        for name, words in steps(droplet, sources).items():
            tell(f"{name} on {droplet.host.shown}")
            status = _remote(host, words, script)
            if name == "sources" and status == _PUSH_FIRST:
                tell(f"the machine cannot fetch {sources.commit[:12]} by itself: sending it from here")
                _push(host, droplet.folder, sources)
                status = _remote(host, words, script)
            if status:
                raise EarthSignalsError(
                    f"the step `{name}` failed on {droplet.host.shown} (exit code {status}, its words are "
                    "above); mend that and run again: what is done already is left alone"
                )


def commands(droplet: Droplet, sources: Sources) -> list[str]:
    """What `set_up` runs, as lines for a shell; for people who want to see it first."""
    _check(droplet)
    ssh = openssh.command(droplet.host)
    lines = [
        f"{shlex.join([*ssh, shlex.join(words)])} < {_SCRIPT}" for words in steps(droplet, sources).values()
    ]
    push = shlex.join(["git", "push", _url(droplet.host, droplet.folder), _refspec(sources)])
    there = f"GIT_SSH_COMMAND={shlex.quote(shlex.join(ssh[:-2]))} {push}"
    again = f"# where that ends with {_PUSH_FIRST}, this, and the same once more:"
    return [*lines[:2], again, f"# {there}", lines[2]]


def _bash(variables: list[str], *words: str | None) -> list[str]:
    """A bash that reads the script; variables without a value and words that are None are left out."""
    given = [each for each in variables if not each.endswith("=")]
    return [*(["env", *given] if given else []), "bash", "-s", "--", *filter(None, words)]


def _check(droplet: Droplet) -> None:
    if droplet.torch_index is not None and not _is_index(droplet.torch_index):
        raise EarthSignalsError(
            "--torch-index must be an https:// address without user or password, as pytorch.org's selector "
            "shows it for your CUDA or ROCm version"
        )
    if not _is_folder(droplet.folder):
        raise EarthSignalsError(
            f"`{_shown(droplet.folder)}` cannot be the folder there; expected one of its own below the home "
            "or `/`, of letters, digits and `._+-/`"
        )
    if droplet.environment is not None and not _is_folder(droplet.environment):
        raise EarthSignalsError(
            f"`{_shown(droplet.environment)}` cannot be the environment there; expected a folder, of "
            "letters, digits and `._+-/`"
        )
    if droplet.price is not None and not (math.isfinite(droplet.price) and droplet.price >= 0):
        raise EarthSignalsError("--price is a number of USD an hour, 0 or more, as 1.99")


def _is_index(address: str) -> bool:
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    secret = "@" in parts.netloc or _CREDENTIALS.search(address)
    return parts.scheme == "https" and bool(host) and not secret and not re.search(r"[\s\x00-\x1f]", address)


def _is_folder(path: str) -> bool:
    """A folder that may be made: neither the home or the root themselves, nor with `..`, nor an option."""
    parts = path.removeprefix("~/").split("/")
    fit = re.fullmatch(r"(~/|/)?[\w.+-][\w./+-]*", path) and not path.startswith("-")
    return bool(fit) and ".." not in parts and any(part not in ("", ".") for part in parts)


def _shown(text: str) -> str:
    return repr(text)[1:-1]


@contextmanager
def _login(host: openssh.Host) -> Iterator[openssh.Host]:
    """Log in once; yields the host with the options by which further commands share that login."""
    with tempfile.TemporaryDirectory(prefix="es-") as folder:  # short: a socket's path has 107 bytes at most
        shared = replace(host, options=(*host.options, f"ControlPath={folder}/s"))
        log = Path(folder) / "log"
        with open(log, "wb") as file:  # the master outlives this call: it must hold none of our pipes
            done = subprocess.run(
                openssh.command(shared, "-M", "-N", "-f"), stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=file,
            )  # fmt: skip
        if done.returncode:
            raise openssh.failure(host, log.read_text(errors="replace"))
        try:
            yield shared
        finally:
            subprocess.run(openssh.command(shared, "-O", "exit"), capture_output=True)


def _remote(host: openssh.Host, words: list[str], script: Path) -> int:
    """Run the script with `words` there; raises EarthSignalsError when the connection itself fails."""
    with open(script, "rb") as file:
        # ssh hands the far shell one line: quote each word for it.
        status = subprocess.run([*openssh.command(host), shlex.join(words)], stdin=file).returncode
    if status == 255:
        raise EarthSignalsError(
            f"the connection to {host.shown} broke off; run again: what is done already is left alone"
        )
    return status


def _push(host: openssh.Host, folder: str, sources: Sources) -> None:
    ssh = shlex.join(openssh.command(host)[:-2])  # git adds the host itself
    done = subprocess.run(  # git is here: it told the commit
        ["git", "-C", str(sources.root), "push", "--quiet", _url(host, folder), _refspec(sources)],
        env=os.environ | {"GIT_SSH_COMMAND": ssh, "GIT_SSH_VARIANT": "ssh"}, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        reason = " ".join(done.stderr.split())[:300]
        raise EarthSignalsError(f"the sources could not be sent to {host.shown}: {reason}; try again")


def _url(host: openssh.Host, folder: str) -> str:
    name = f"[{host.name}]" if ":" in host.name else host.name
    path = folder if folder.startswith("/") else f"/~/{folder.removeprefix('~/')}"
    return f"ssh://{name}{path}"


def _refspec(sources: Sources) -> str:
    # Beside the branch that is checked out there: git refuses to push into that one.
    return f"+{sources.commit}:refs/remotes/laptop/{sources.branch}"


def _git(root: Path, *words: str) -> str:
    """git's answer, empty when it has none."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, errors="surrogateescape"
        )
    except FileNotFoundError:
        raise EarthSignalsError(NO_GIT) from None
    return done.stdout.strip() if done.returncode == 0 else ""
