"""What several rooms' tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from earthsignals.settings import load_settings

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real data outside the repository; tests that need it are skipped where it is not."""
    folder = (ROOT / load_settings().real_data).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set EARTHSIGNALS_REAL_DATA to their folder")
    return folder
