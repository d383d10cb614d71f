"""Servers that several tests share: started once, on the first test that asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .service import service


def _shared(name: str):
    @pytest.fixture(scope="session", name=name)
    def fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
        with service(name, tmp_path_factory.mktemp(name)) as started:
            yield started

    return fixture


sshd = _shared("sshd")
s3 = _shared("s3")
postgres = _shared("postgres")
slurm = _shared("slurm")
chromium = _shared("chromium")
