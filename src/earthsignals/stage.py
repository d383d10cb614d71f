"""What every stage script shares: one sentence instead of a traceback for what a user can mend."""

from __future__ import annotations

import sys
from collections.abc import Callable

from earthsignals.storage import EarthSignalsError


def run_stage(main: Callable[[], None]) -> None:
    """Run a stage's `main`; an EarthSignalsError becomes one line on stderr and exit status 1."""
    try:
        main()
    except EarthSignalsError as error:
        sys.exit(f"error: {error}")
