"""The server's life: started when all is checked, watched, and ended with every process of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from earthsignals.storage import EarthSignalsError
from earthsignals.tracking.server.checks import check_artifacts, check_database, check_port
from earthsignals.tracking.server.plan import Server
from earthsignals.tracking.server.secrets import ADMIN, alone_in, prepare

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE_SECONDS = 10.0
_LOOK_SECONDS = 0.2
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def launch(server: Server) -> int:
    """Check that the server can work, make its secrets, run it to its end, and return its exit status.

    Ctrl-C, SIGTERM and SIGHUP end it, all its processes included; the status is 128 + the signal then.

    Raises:
        EarthSignalsError: the port is taken, another server works in the folder, or the database or
            the store cannot be used.
    """
    try:
        os.environ.update(server.environment)
    except ValueError:
        raise EarthSignalsError(
            "an address or a password holds a zero byte, which nothing can hold"
        ) from None
    # Whoever set this meant another server: ours checks the host that callers name.
    os.environ.pop("MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", None)
    check_port(server.host, server.port)
    has_admin = check_database(server)
    with alone_in(server.folder) as lock:
        check_artifacts(server)
        os.environ.update(prepare(server, os.environ, has_admin=has_admin))
        host = f"[{server.host}]" if ":" in server.host else server.host
        print(f"http://{host}:{server.port}, user {ADMIN}; stop it with Ctrl-C", flush=True)
        return _run(server.command, lock)


def _run(command: tuple[str, ...], lock: int) -> int:
    with _asked_to_end() as asked:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, pass_fds=(lock,), preexec_fn=_follow_the_parent
        )
        try:
            while child.poll() is None and not asked:
                time.sleep(_LOOK_SECONDS)
        finally:
            _end(child)
    if asked:
        print(f"the server is stopped ({asked[0].name})", file=sys.stderr)
        return 128 + asked[0]
    if child.returncode:
        raise EarthSignalsError(
            f"MLflow's server ended by itself with status {child.returncode}: its own words above say why"
        )
    return 0


@contextmanager
def _asked_to_end() -> Iterator[list[signal.Signals]]:
    """Collect the signals that ask us to end; ignored ones (nohup) stay ignored."""
    asked: list[signal.Signals] = []
    taken = [each for each in _ENDING if signal.getsignal(each) is not signal.SIG_IGN]
    before = {
        each: signal.signal(each, lambda number, _: asked.append(signal.Signals(number))) for each in taken
    }
    try:
        yield asked
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _follow_the_parent() -> None:
    """In the child: leave a terminal's signals to the parent, and end when that is killed.

    Blocked, not ignored: MLflow hands on to its worker whatever it handles, and two are a traceback.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGHUP))
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(child: subprocess.Popen) -> None:
    """End the server and its worker, which is MLflow's child and not ours."""
    import psutil

    try:
        own = psutil.Process(child.pid)
        family = [*own.children(recursive=True), own]
    except psutil.NoSuchProcess:
        family = []
    for process in family:
        _send(process, "terminate")
    _, left = psutil.wait_procs(family, _GRACE_SECONDS)
    for process in left:
        _send(process, "kill")
    child.wait()


def _send(process: Any, how: str) -> None:
    import psutil

    with suppress(psutil.NoSuchProcess):
        getattr(process, how)()
