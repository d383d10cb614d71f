"""Views of the TDLAS pipeline: a spectrum under sliders, and scans beside what was estimated from them.

    left_out = write(VIEWS, Inputs(file, lines, params, arrays), Path("pages"))
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from earthsignals.pages import View, write_views
from earthsignals.tdlas.pages.inputs import Inputs
from earthsignals.tdlas.pages.scans import scans
from earthsignals.tdlas.pages.spectra import spectra

__all__ = ["HEADING", "VIEWS", "Inputs", "write"]

HEADING = "TDLAS: spectra and scans to touch"
VIEWS: dict[str, View[Inputs]] = {
    "spectra": View(
        "The spectrum under your hands",
        "Absorbance of methane over the scanned window, by the Voigt sum over all lines. Move temperature, "
        "pressure and mole fraction over the simulated range; the grey line stays where you began. Sticks "
        "below are the lines themselves: point at one for its place, strength and widths.",
        spectra,
    ),
    "scans": View(
        "A scan and what is read from it",
        "Test scans from the weakest to the strongest: what the detector saw, the absorbance behind it, and "
        "how far each method's estimate lies from the truth, in standard deviations of the best that noise "
        "allows (Cramér–Rao). Bars are the network's intervals. Point at a mark for its value.",
        scans,
    ),
}


def write(views: Mapping[str, View[Inputs]], inputs: Inputs, out: Path) -> dict[str, str]:
    """Write these views and their index into `out`; returns those left out, each with the reason."""
    return write_views(views, inputs, out, HEADING)
