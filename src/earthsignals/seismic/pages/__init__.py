"""Views of the seismic pipeline: the map of latents, with the record under the mouse.

    left_out = write(VIEWS, Inputs(arrays, store, image), Path("pages"))
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from earthsignals.pages import View, write_views
from earthsignals.seismic.pages.embedding import embedding
from earthsignals.seismic.pages.inputs import Inputs

__all__ = ["HEADING", "VIEWS", "Inputs", "write"]

HEADING = "Seismic records: the latents to touch"
VIEWS: dict[str, View[Inputs]] = {
    "embedding": View(
        "The map of records",
        "Each point is a test record, placed by what the network keeps of it: near points have like latents, "
        "and distances farther than that mean nothing. Tabs colour it by what the network never saw. Point "
        "at a record to see its vertical component: the spectrogram as the network gets it (upwards in "
        "frequency, bright is strong), and below it the waveform with P and S marked.",
        embedding,
    ),
}


def write(views: Mapping[str, View[Inputs]], inputs: Inputs, out: Path) -> dict[str, str]:
    """Write these views and their index into `out`; returns those left out, each with the reason."""
    return write_views(views, inputs, out, HEADING)
