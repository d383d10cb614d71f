"""How each method is named and drawn, and how logarithms are written: the same in every figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from earthsignals.figures import COLOURS

if TYPE_CHECKING:
    from matplotlib.axis import Axis


@dataclass(frozen=True)
class Look:
    """Name in legends, colour and marker of one method: told apart without colour as well."""

    label: str
    colour: str
    marker: str


# In the order of legends: ours, the reference, the linear methods, the course.
METHODS = {
    "model": Look("network", COLOURS["blue"], "o"),
    "least_squares": Look("least squares", COLOURS["vermillion"], "D"),
    "ridge": Look("ridge", COLOURS["green"], "s"),
    "pls": Look("PLS", COLOURS["purple"], "^"),
    "course": Look("course CNN", COLOURS["orange"], "v"),
}
BOUND = Look("Cramér–Rao bound", COLOURS["black"], "")


def plain_logarithms(axis: Axis, *, minor: bool = False) -> None:
    """Write 1, 10, 100 on a logarithmic axis instead of powers of ten; with `minor` 2 and 5 too."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if minor else (1.0,), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())
