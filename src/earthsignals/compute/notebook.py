"""Jupyter on another machine, or in a job behind it, reached through one ssh connection.

The script of :mod:`earthsignals.compute.jupyter` runs there for as long as the connection stands; the port
comes here through the login host, and to a node behind it through a second connection inside the first.
"""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from earthsignals.remotes.openssh import Host, command, failure
from earthsignals.remotes.ports import free_port, listens
from earthsignals.storage import EarthSignalsError


@dataclass(frozen=True)
class Notebook:
    """A Jupyter that answers here: its address with the token, its node, its job where it has one."""

    url: str
    node: str
    job: str | None
    process: subprocess.Popen[str]
    """The connection that keeps it alive."""


@contextmanager
def opened(
    host: Host, script: str, *, local_port: int = 0, say: Callable[[str], None] = print
) -> Iterator[Notebook]:
    """Jupyter for the time of the block; at its end Jupyter, job and tunnel are gone.

    Args:
        host: the machine one logs in to.
        script: of :func:`earthsignals.compute.jupyter.remote_script`.
        local_port: 0 takes a free one.
        say: gets a line while a job waits.

    Raises:
        EarthSignalsError: ssh, the host, the batch system or Jupyter refused, or the node's host key is
            known neither here nor on the login host.
    """
    port = free_port(local_port)
    with _running(host, script) as (shared, process, errors):
        reports = _reports(host, process, errors, say)
        there, path = _address(host, reports)
        with _forwarded(shared, reports, port, there):
            _answers(port)
            url = f"http://127.0.0.1:{port}{path}"
            yield Notebook(url, reports["node"], reports.get("job"), process)


@contextmanager
def _running(host: Host, script: str) -> Iterator[tuple[Host, subprocess.Popen[str], Path]]:
    """The script on the host; its connection is one that further ssh commands to the returned Host share.

    Yields that host, the process, and a file with ssh's complaints. Should this process be killed, ssh
    loses its input, and with it Jupyter and the connection end too.
    """
    with _state() as folder:
        shared = replace(host, options=(*host.options, f"ControlPath={folder}/c"))
        errors = folder / "errors"
        with open(errors, "w") as complaints:
            # Ctrl-C is for us, who then end things in their order; ssh may still ask for a password.
            process = subprocess.Popen(
                [*command(shared, "-o", "ControlMaster=yes"), "bash -s"], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=complaints, encoding="utf-8", errors="replace",
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
            )  # fmt: skip
        try:
            with suppress(BrokenPipeError):  # ssh gave up: its complaint is read with the reports
                process.stdin.write(script)
                process.stdin.flush()
            yield shared, process, errors
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()
            try:
                process.wait(20)  # the script cancels the job and removes its folder
            except subprocess.TimeoutExpired:
                subprocess.run(command(shared, "-O", "exit"), capture_output=True)
                process.kill()
                process.wait()
            process.stdout.close()


@contextmanager
def _state() -> Iterator[Path]:
    """A folder for a connection's socket and complaints, gone afterwards whatever happens."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="es-"))
    except OSError as error:
        raise EarthSignalsError(f"no temporary folder can be made ({error}); set TMPDIR to one") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reports(host: Host, process: Any, errors: Path, say: Callable[[str], None]) -> dict[str, str]:
    """Read the script's lines until the server's own; keys: server, node, host, job."""
    found: dict[str, str] = {}
    for line in process.stdout:
        word, _, text = line.rstrip("\n").partition(" ")
        if word == "error":
            raise EarthSignalsError(f"{host.shown} {text}")
        if word == "job":
            say(f"job {text} waits for its node")
        if word in ("job", "node", "host", "server"):  # a login message may come before
            found[word] = text
        if word == "server":
            return found
    raise failure(host, errors.read_text(errors="replace"))


def _address(host: Host, reports: dict[str, str]) -> tuple[int, str]:
    """Jupyter's port on its node, and its page with the token, of what it says of itself."""
    try:
        server = json.loads(reports["server"])
        reports["node"], reports["host"]
        return int(server["port"]), f"{server['base_url']}lab?token={server['token']}"
    except (KeyError, TypeError, ValueError):
        raise EarthSignalsError(
            f"{host.shown} reported no Jupyter that can be understood: does a login script there print lines "
            "that begin with `server`, or is its jupyter-lab very old?"
        ) from None


@contextmanager
def _forwarded(shared: Host, reports: dict[str, str], here: int, there: int) -> Iterator[None]:
    """`here` on our loopback leads to `there` on the node's."""
    forward = ("-L", f"127.0.0.1:{here}:127.0.0.1:{there}")
    if reports["node"] == reports["host"]:
        words = command(shared, "-O", "forward", *forward)
        done = subprocess.run(words, capture_output=True, text=True, errors="replace")
        if done.returncode:
            raise failure(shared, done.stderr)
        yield
        return
    with _hop(shared, reports["node"], forward):
        yield


@contextmanager
def _hop(shared: Host, node: str, forward: tuple[str, str]) -> Iterator[None]:
    """A second connection, through the first, to a node whose host key the login host knows."""
    with _state() as folder:
        lookup = f"ssh-keygen -F {shlex.quote(node)}"
        files = "~/.ssh/known_hosts /etc/ssh/ssh_known_hosts"
        ask = f"for f in {files}; do [ -r $f ] && {lookup} -f $f; done; true"
        known = subprocess.run([*command(shared), ask], capture_output=True).stdout
        (folder / "known").write_bytes(known)
        inner = replace(
            shared, name=node, port=None, options=(
                f"ProxyCommand={shlex.join(command(shared, '-W', '[%h]:%p'))}",
                f"UserKnownHostsFile={folder / 'known'} ~/.ssh/known_hosts",
                "HashKnownHosts=no", "ControlPath=none", "ExitOnForwardFailure=yes",
            ),
        )  # fmt: skip
        with open(folder / "errors", "w+") as errors:
            process = subprocess.Popen(
                command(inner, "-N", *forward), stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                start_new_session=True,
            )  # fmt: skip
            try:
                port = int(forward[1].split(":")[1])
                while process.poll() is None and not listens(port):
                    time.sleep(0.1)
                if process.poll() is not None:
                    raise _refused(shared, inner, (folder / "errors").read_text(errors="replace"))
                yield
            finally:
                process.terminate()
                process.wait()


def _refused(login: Host, node: Host, complaint: str) -> EarthSignalsError:
    if "Host key verification failed" not in complaint and "host key is known" not in complaint:
        return failure(node, complaint)
    return EarthSignalsError(
        f"the job runs on {node.name}, whose host key {login.shown} does not know: log in to {login.shown}, "
        f"accept the key there once with `ssh {node.name}`, and try again"
    )



def _answers(port: int) -> None:
    """Jupyter's version page needs no token: does it come through?"""
    try:
        with urlopen(f"http://127.0.0.1:{port}/api", timeout=20) as answer:
            json.load(answer)
    except (URLError, OSError, ValueError) as error:
        raise EarthSignalsError(f"Jupyter started but does not answer through the tunnel ({error})") from None
