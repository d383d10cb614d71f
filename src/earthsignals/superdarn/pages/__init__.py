"""Views of the superdarn pipeline: a forecast as it unfolds.

    left_out = write(VIEWS, inputs, Path("pages"))
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from earthsignals.pages import View, write_views
from earthsignals.superdarn.figures.inputs import Inputs
from earthsignals.superdarn.pages.forecast import forecast

__all__ = ["HEADING", "VIEWS", "write"]

HEADING = "Drift of the high-latitude ionosphere: forecasts to touch"
VIEWS: dict[str, View[Inputs]] = {
    "forecast": View(
        "A forecast as it unfolds",
        "Drift ahead of the time of issue: as forecast, with lines of equal potential; as it truly was, on "
        "simulated days; and as radars saw it, each along its own line of sight. The magnetic pole is in the "
        "middle and noon on top; night is grey. Press play, or move the slider by mouse or arrow keys. Point "
        "at an arrow for its place and speed.",
        forecast,
    ),
}


def write(views: Mapping[str, View[Inputs]], inputs: Inputs, out: Path) -> dict[str, str]:
    """Write these views and their index into `out`; returns those left out, each with the reason."""
    return write_views(views, inputs, out, HEADING)
