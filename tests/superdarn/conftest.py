"""What the tests of superdarn share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_worker() -> Iterator[None]:
    """Starting worker processes costs seconds each time; tests about them ask for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EARTHSIGNALS_WORKERS", "1")
        yield
