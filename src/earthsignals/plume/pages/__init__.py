"""Views of the plume pipeline: a flightline with what the network makes of it.

    left_out = write(VIEWS, Inputs(arrays, index, found), Path("pages"))
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from earthsignals.pages import View, write_views
from earthsignals.plume.pages.flightline import flightline
from earthsignals.plume.pages.inputs import Inputs

__all__ = ["HEADING", "VIEWS", "Inputs", "write"]

HEADING = "Plumes: a flightline to touch"
VIEWS: dict[str, View[Inputs]] = {
    "flightline": View(
        "A flightline and its saliency",
        "Methane enhancement of a test day's flightline, and over it the network's probability of a plume: "
        "the slider fades it. Outlines are plumes, found ones blue and true ones red; triangles are the true "
        "sources, squares the things that look like methane and are none. Point anywhere for the "
        "enhancement and the probability, inside an outline for its emission rate. Turn the wheel to come "
        "closer.",
        flightline,
    ),
}


def write(views: Mapping[str, View[Inputs]], inputs: Inputs, out: Path) -> dict[str, str]:
    """Write these views and their index into `out`; returns those left out, each with the reason."""
    return write_views(views, inputs, out, HEADING)
