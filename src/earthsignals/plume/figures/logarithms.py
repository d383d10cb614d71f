"""How logarithms are written."""

from __future__ import annotations

from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter


def plain_logarithms(axis: Axis, *, minor: bool = False) -> None:
    """Write 1, 10, 100 on a logarithmic axis instead of powers of ten; with `minor` 2 and 5 too."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if minor else (1.0,), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())
