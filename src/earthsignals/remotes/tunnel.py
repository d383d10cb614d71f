"""One ssh connection with checked host keys that carries DVC's remote and MLflow's port.

    localhost:2222 → sshd of the machine     (DVC's remote: ssh://root@localhost:2222/path)
    localhost:5001 → localhost:5000 there    (MLflow's server)

The connection listens on a control socket in `.dvc/tmp`, by which it is found and ended later.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from earthsignals.remotes import openssh
from earthsignals.remotes.ports import free_port, is_loopback
from earthsignals.storage import EarthSignalsError, write_json

_SOCKET = "tunnel.sock"  # relative to .dvc/tmp: a socket's path has at most 107 bytes
_STATE = "tunnel.json"


@dataclass(frozen=True)
class Tunnel:
    """Ports of this machine, and where they lead as seen from `host` itself."""

    host: openssh.Host
    remote_port: int = 2222
    mlflow_port: int = 5001
    ssh_port: int | None = None
    """sshd's port on the host; None is the one that ssh itself connects to."""
    server_port: int = 5000

    def words(self) -> list[str]:
        """The ssh command; to be run in `.dvc/tmp`."""
        forwards = [
            f"127.0.0.1:{self.remote_port}:127.0.0.1:{self.ssh_port or 22}",
            f"127.0.0.1:{self.mlflow_port}:127.0.0.1:{self.server_port}",
        ]
        ours = replace(self.host, options=(*self.host.options, "ExitOnForwardFailure=yes", "GatewayPorts=no",
                                           "ServerAliveInterval=15", "ServerAliveCountMax=4",
                                           "ClearAllForwardings=no", "ControlPersist=no"))  # fmt: skip
        listens = [word for forward in forwards for word in ("-L", forward)]
        return openssh.command(ours, "-N", "-T", "-M", "-S", _SOCKET, *listens)


def plan(tunnel: Tunnel) -> Tunnel:
    """`tunnel` with sshd's port filled in from ssh's own configuration, ports checked for sense."""
    ports = (tunnel.remote_port, tunnel.mlflow_port, tunnel.server_port, tunnel.ssh_port or 22)
    if not all(0 < port < 65536 for port in ports) or tunnel.remote_port == tunnel.mlflow_port:
        raise EarthSignalsError("the tunnel's ports must lie in 1 to 65535, and its own two must differ")
    return replace(tunnel, ssh_port=tunnel.ssh_port or int(openssh.resolve(tunnel.host).get("port", 22)))


def login(host: openssh.Host) -> str:
    """The user as whom ssh logs in at `host`; by the tunnel's near end DVC has to be told."""
    return host.user or openssh.resolve(host).get("user", "USER")


def start(root: Path, tunnel: Tunnel, *, background: bool) -> subprocess.Popen[bytes] | None:
    """Open the tunnel: in the background (returns None when it stands), or as a process to wait for.

    Raises EarthSignalsError when a tunnel stands already, a port is taken, or ssh fails.
    """
    folder = _folder(root)
    if (other := standing(root)) is not None:
        raise EarthSignalsError(
            f"a tunnel to {other['host']} stands already; end it with `earthsignals tunnel --stop` first"
        )
    for port, option in ((tunnel.remote_port, "--remote-port"), (tunnel.mlflow_port, "--mlflow-port")):
        free_port(port, option=option)
    (folder / _SOCKET).unlink(missing_ok=True)  # what a killed connection left
    _note(folder, tunnel)
    words = tunnel.words()
    if not background:
        return subprocess.Popen(words, cwd=folder, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    log = folder / "tunnel.log"
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        # The connection outlives us: it must hold none of our pipes.
        done = subprocess.run(
            [words[0], "-f", *words[1:]], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=file,
        )  # fmt: skip
    if done.returncode:
        raise openssh.failure(tunnel.host, log.read_text(errors="replace"))
    return None


def stop(root: Path) -> str | None:
    """End the tunnel; returns its host, or None where none stands."""
    state = standing(root)
    if state is None:
        return None
    _control(root, state, "exit")
    (_folder(root) / _STATE).unlink(missing_ok=True)
    return state["host"]


def standing(root: Path) -> dict | None:
    """What is known of the tunnel that stands now; None where none does."""
    try:
        state = json.loads((root / ".dvc" / "tmp" / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state if _control(root, state, "check") else None


def behind(root: Path, host: str, port: int) -> tuple[str, ...]:
    """ssh options for a connection that goes through our tunnel: the key there is the far machine's.

    Empty where `host` and `port` are not the near end of a tunnel that stands.
    """
    state = standing(root) if is_loopback(host) else None
    if state is None or state["remote_port"] != port:
        return ()
    return (f"HostKeyAlias={state['key_alias']}", f"UserKnownHostsFile={state['known_hosts']}")


def stranger(root: Path, host: str, port: int) -> bool:
    """Is the other end a port of this machine that no tunnel of this project stands behind?"""
    return is_loopback(host) and not behind(root, host, port)


def _note(folder: Path, tunnel: Tunnel) -> None:
    """How ssh knows the far machine's key, so that a connection through the tunnel can check it too."""
    known = openssh.resolve(tunnel.host)
    name, port = known.get("hostname", tunnel.host.name), known.get("port", "22")
    alias = known.get("hostkeyalias", "none")
    state = {
        "host": tunnel.host.name,
        "remote_port": tunnel.remote_port,
        "mlflow_port": tunnel.mlflow_port,
        "key_alias": alias if alias != "none" else (name if port == "22" else f"[{name}]:{port}"),
        "known_hosts": known.get("userknownhostsfile", "~/.ssh/known_hosts"),
    }
    write_json(folder / _STATE, state)


def _control(root: Path, state: dict, order: str) -> bool:
    words = openssh.command(openssh.Host(state["host"]), "-F", "none", "-S", _SOCKET, "-O", order)
    return subprocess.run(words, cwd=root / ".dvc" / "tmp", capture_output=True).returncode == 0


def _folder(root: Path) -> Path:
    folder = root / ".dvc" / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
