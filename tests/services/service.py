"""A real server for the time of a test, by the scripts in `services/`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..project import ROOT


@contextmanager
def service(name: str, folder: Path, **environment: str) -> Iterator[dict[str, str]]:
    """Start `services/<name>.sh` with its state below `folder`; yields what it printed as KEY=value.

    Skips the test where the service is not installed. The server is stopped at the end, whatever
    happens.
    """
    script = str(ROOT / "services" / f"{name}.sh")
    present = subprocess.run([script, "check"], capture_output=True, text=True)
    if present.returncode:
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
