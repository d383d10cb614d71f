"""The OpenSSH client, always with host keys checked: commands, and its errors as one sentence.

DVC's own ssh client accepts any host key; whatever this project does over ssh by itself goes through
the system's `ssh`, which knows the user's keys, agent, `~/.ssh/config` and `known_hosts`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from earthsignals.storage import EarthSignalsError

_ADDRESS = re.compile(
    r"(?:(?P<user>[\w.+-]+)@)?(?P<host>[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
)


@dataclass(frozen=True)
class Host:
    """A machine as ssh knows it; what is None is left to ssh's configuration."""

    name: str
    user: str | None = None
    port: int | None = None
    key_file: str | None = None
    config: Path | None = None
    """An ssh configuration instead of the user's (`ssh -F`)."""
    options: tuple[str, ...] = ()
    """Further `-o` options."""

    @property
    def shown(self) -> str:
        return f"{self.name}:{self.port}" if self.port else self.name


def parse_host(address: str, config: Path | None = None) -> Host:
    """`[user@]host[:port]`; raises EarthSignalsError for anything else, options for ssh among them."""
    match, shown = _ADDRESS.fullmatch(address), repr(address)[1:-1]
    user, name = (match["user"] or "", match["host"]) if match else ("", "")
    if not name or name.startswith(("-", ".")) or user.startswith("-") or ".." in name:
        raise EarthSignalsError(f"`{shown}` is no machine for ssh; expected [user@]host[:port]")
    if match["port"] and not 0 < int(match["port"]) < 65536:
        raise EarthSignalsError(f"`{shown}` has no port of 1 to 65535; expected [user@]host[:port]")
    if config is not None and not config.is_file():
        raise EarthSignalsError(f"the ssh configuration {config} does not exist")
    port = int(match["port"]) if match["port"] else None
    return Host(match["host"].strip("[]"), match["user"], port, config=config and config.resolve())


def command(host: Host, *before: str, program: str = "ssh") -> list[str]:
    """`ssh` with strict host keys and the options of `host`, then `before`, then the host's name."""
    found = shutil.which(program)
    if found is None:
        raise EarthSignalsError(f"the OpenSSH client `{program}` is not installed; install openssh-client")
    words = [found]
    if host.config:
        words += ["-F", str(host.config)]
    # UpdateHostKeys would rewrite known_hosts by itself; ours is only to check.
    settings = [
        "StrictHostKeyChecking=yes", "UpdateHostKeys=no", "ConnectTimeout=20", "ServerAliveInterval=15",
    ]  # fmt: skip
    if not sys.stdin.isatty() and "SSH_ASKPASS" not in os.environ:
        settings.append("BatchMode=yes")  # a question would never be answered
    if host.user:
        settings.append(f"User={host.user}")
    if host.port:
        settings.append(f"Port={host.port}")
    if host.key_file:
        settings += [f"IdentityFile={host.key_file}", "IdentitiesOnly=yes"]
    for setting in (*settings, *host.options):
        words += ["-o", setting]
    return [*words, *before, "--", host.name]


def resolve(host: Host) -> dict[str, str]:
    """What ssh makes of `host`: hostname, port, user, hostkeyalias, userknownhostsfile, … (`ssh -G`)."""
    done = subprocess.run(command(host, "-G"), capture_output=True, text=True)
    if done.returncode:
        raise failure(host, done.stderr)
    return {key: value for key, _, value in (line.partition(" ") for line in done.stdout.splitlines())}


def failure(host: Host, stderr: str) -> EarthSignalsError:
    """ssh's complaint as one sentence with the remedy; call it when ssh itself failed (status 255)."""
    text = " ".join(stderr.split())
    port = f"-p {host.port} " if host.port else ""
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in text:
        words = (
            "shows another host key than the one known for it: either it was made anew, or someone is in "
            f"between; compare the fingerprint in the provider's console, then `ssh-keygen -R {_known(host)}`"
        )
    elif "host key is known" in text or "Host key verification failed" in text:
        words = (
            f"has a host key that is not known here: look at it with `ssh-keyscan {port}{host.name} | "
            "ssh-keygen -lf -`, compare the fingerprint with the provider's console, then accept it once "
            f"with `ssh {port}{host.name}`"
        )
    elif "Permission denied" in text or "Too many authentication failures" in text:
        words = "refused the login: check user and key (`ssh-add`, --key FILE, or ~/.ssh/config)"
    elif "Could not resolve" in text:
        words = "is not a known name: check the spelling, or your network"
    elif "remote port forwarding failed" in text or "Address already in use" in text:
        words = "could not get its ports on this machine: another program listens there; choose others"
    elif any(w in text for w in ("refused", "timed out", "unreachable", "No route", "closed", "reset")):
        words = (
            f"does not answer ({_last(stderr)}): is the machine running, and the tunnel, if one leads there "
            "(`make tunnel HOST=…`)?"
        )
    else:
        words = f"could not be used: {_last(stderr)}"
    return EarthSignalsError(f"{host.shown} {words}")


def _known(host: Host) -> str:
    return f"'[{host.name}]:{host.port}'" if host.port and host.port != 22 else host.name


def _last(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "no reason given"
