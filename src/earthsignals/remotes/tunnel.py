"""One ssh connection with checked host keys that carries DVC's remote and MLflow's port.

    localhost:2222 → sshd of the machine     (DVC's remote: ssh://root@localhost:2222/path)
    localhost:5001 → localhost:5000 there    (MLflow's server)

The connection listens on a control socket in `.dvc/tmp`, by which it is found and ended later.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from earthsignals.remotes import openssh
from earthsignals.remotes.ports import free_port, is_loopback
from earthsignals.storage import EarthSignalsError, write_json

_SOCKET = "tunnel.sock"  # relative to .dvc/tmp: a socket's path has at most 107 bytes
_STATE = "tunnel.json"
_KINDS = {"host": str, "remote_port": int, "mlflow_port": int, "key_alias": str, "known_hosts": str}
_UNKNOWN = {"host": "a machine that is not noted here", "remote_port": 0}
_POLL_S = 0.2


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


def start(root: Path, tunnel: Tunnel) -> None:
    """Open the tunnel in the background; returns when it stands.

    Raises EarthSignalsError when a tunnel stands already, a port is taken, or ssh fails.
    """
    with _opening(root, tunnel) as folder:
        words = tunnel.words()
        log = folder / "tunnel.log"
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            # The connection outlives us: it must hold none of our pipes.
            done = subprocess.run(
                [words[0], "-f", *words[1:]], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=file,
            )  # fmt: skip
        if done.returncode:
            raise openssh.failure(tunnel.host, log.read_text(errors="replace"))
        _note(root, tunnel)


def hold(root: Path, tunnel: Tunnel, stands: Callable[[], None]) -> bool:
    """Keep the tunnel open in the foreground and call `stands` when it does; ssh ends when this does.

    Returns whether `stop` closed it. Raises EarthSignalsError as `start` does, and when the connection
    breaks off.
    """
    with _opening(root, tunnel) as folder:
        words = tunnel.words()
        process = subprocess.Popen(words, cwd=folder, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            while process.poll() is None and not _control(root, "check"):
                time.sleep(_POLL_S)
            noted = _note(root, tunnel) if process.poll() is None else None
        except BaseException:
            _end(process)
            raise
    try:
        if noted:
            stands()
        _, stderr = process.communicate()
        if noted and _read_state(root) != noted:
            return True
        if process.returncode:
            raise openssh.failure(tunnel.host, stderr.decode(errors="replace"))
        return False
    finally:
        _end(process)
        if noted and _read_state(root) == noted:
            (folder / _STATE).unlink(missing_ok=True)


def stop(root: Path) -> str | None:
    """End the tunnel; returns its host, or None where none stands.

    Raises EarthSignalsError when it does not end.
    """
    state = standing(root)
    if state is None:
        return None
    note = root / ".dvc" / "tmp" / _STATE
    if note.is_file():  # gone first: who holds the tunnel open sees by it that it was meant to end
        note.unlink()
    if not _control(root, "exit"):
        if state != _UNKNOWN:
            write_json(note, state)
        raise EarthSignalsError(
            f"the tunnel to {state['host']} does not end: ssh does not listen to {note.with_name(_SOCKET)}; "
            "end that ssh by its process id"
        )
    return state["host"]


def standing(root: Path) -> dict | None:
    """What is known of the tunnel that stands now; None where none does."""
    state = _read_state(root)
    if state is None and not (root / ".dvc" / "tmp" / _SOCKET).is_socket():
        return None
    return (state or _UNKNOWN) if _control(root, "check") else None


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


@contextmanager
def _opening(root: Path, tunnel: Tunnel) -> Iterator[Path]:
    """The folder of the tunnel's files, to nobody else while one is opened: two would lose each other."""
    folder = root / ".dvc" / "tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / "tunnel.lock", "ab")  # noqa: SIM115
    except OSError as error:
        raise EarthSignalsError(
            f"{folder} cannot hold the tunnel's files ({error.strerror}); remove what stands in their way"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise EarthSignalsError(
                "another `earthsignals tunnel` is opening one just now; wait for it, or end it first"
            ) from None
        if (other := standing(root)) is not None:
            raise EarthSignalsError(
                f"a tunnel to {other['host']} stands already; end it with `earthsignals tunnel --stop` first"
            )
        for port, option in ((tunnel.remote_port, "--remote-port"), (tunnel.mlflow_port, "--mlflow-port")):
            free_port(port, option=option)
        for name in (_SOCKET, _STATE, "tunnel.log"):  # what a killed connection left
            try:
                (folder / name).unlink(missing_ok=True)
            except OSError as error:
                raise EarthSignalsError(
                    f"{folder / name} cannot be replaced by the tunnel's own ({error.strerror}); remove it"
                ) from None
        yield folder


def _note(root: Path, tunnel: Tunnel) -> dict:
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
        "opened": secrets.token_hex(8),
    }
    try:
        write_json(root / ".dvc" / "tmp" / _STATE, state)
    except BaseException:
        _control(root, "exit")  # nobody would know what stands here
        raise
    return state


def _read_state(root: Path) -> dict | None:
    """The note of `_note`; None where there is none, or nothing that it could have written."""
    try:
        state = json.loads((root / ".dvc" / "tmp" / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    fits = isinstance(state, dict) and all(isinstance(state.get(key), kind) for key, kind in _KINDS.items())
    return state if fits else None


def _control(root: Path, order: str) -> bool:
    # The socket leads to the connection; the host's name says nothing then.
    words = openssh.command(openssh.Host("localhost"), "-F", "none", "-S", _SOCKET, "-O", order)
    return subprocess.run(words, cwd=root / ".dvc" / "tmp", capture_output=True).returncode == 0


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
