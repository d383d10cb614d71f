"""Servers and the browser that several tests share: started once, on the first test that asks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

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


@pytest.fixture(scope="module")
def browser(chromium: dict[str, str]) -> Iterator[Any]:
    """Chromium for the tests of one file: Playwright's loop runs in this thread until they are done."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Root has no sandbox in a container; the pages are our own.
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = playwright.chromium.launch(executable_path=chromium["EXECUTABLE"], args=flags)
        yield opened
        opened.close()
