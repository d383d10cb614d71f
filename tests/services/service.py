"""A real server for the time of a test, by the scripts in `services/`."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from earthsignals.remotes import ports

from ..project import ROOT


@contextmanager
def service(name: str, folder: Path, **environment: str) -> Iterator[dict[str, str]]:
    """Start `services/<name>.sh` with its state below `folder`; yields what it printed as KEY=value.

    Skips the test where the service is not installed (`make test-services` installs it first, and lets
    no test skip for that). The server is stopped at the end, whatever
    happens.
    """
    script = str(ROOT / "services" / f"{name}.sh")
    present = subprocess.run([script, "check"], capture_output=True, text=True)
    if present.returncode:
        assert "REQUIRE_SERVICES" not in os.environ, present.stderr
        pytest.skip(f"{present.stderr.strip()}; `make test-services` installs it")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        started = subprocess.run(
            [script, "start", str(folder)], env=os.environ | environment, capture_output=True,
            text=True, timeout=180,
        )  # fmt: skip
        assert started.returncode == 0, started.stderr
        yield dict(line.split("=", 1) for line in started.stdout.splitlines() if "=" in line)
    finally:
        subprocess.run([script, "stop", str(folder)], check=True, timeout=120)


def free_port() -> int:
    """A port of the loopback that nobody had a moment ago."""
    return ports.free_port(0)


def wait_until_healthy(
    server: subprocess.Popen, port: int, log: Path | None = None, seconds: float = 120
) -> None:
    """Until MLflow's server answers; fails, with its `log`, when its process ends first."""
    deadline = time.monotonic() + seconds
    while True:
        if server.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(log.read_text() if log else "the server does not answer")
        try:
            with urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                return
        except OSError:
            time.sleep(0.3)


def watched_tab(browser: Any, height: int) -> Iterator[Any]:
    """An empty tab; at its end fails for an error of a page, or for anything that it asked of a network."""
    tab = browser.new_page(viewport={"width": 1240, "height": height})
    tab.set_default_timeout(60_000)
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    tab.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else wrong.append(r.url))
    yield tab
    tab.close()
    assert not wrong, wrong
