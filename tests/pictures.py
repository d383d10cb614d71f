"""Figures compared with their baselines, for tests: a decorator, and what every figure must pass."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from earthsignals import figures
from earthsignals.figures.house import STYLE_FILE

# The root of the mean square difference of bytes. Drawn twice on one machine it is 0; other builds of the
# rasteriser differ in the edges of letters by a few tenths; another word in a label or another colour of a
# line by more than 1.
TOLERANCE = 1.0

compared = pytest.mark.mpl_image_compare(
    baseline_dir="baseline", style=str(STYLE_FILE), tolerance=TOLERANCE,
    savefig_kwargs={"dpi": 80, "metadata": {"Software": None}},
)  # fmt: skip
"""For a test that returns a figure: it must look like `baseline/<test>.png` beside the test's file.

After a wanted change: `pytest --mpl-generate-path=tests/<room>/baseline tests/<room>/test_figures.py`, and
look at what was written.
"""


def lettered(figure: Figure) -> Figure:
    """The figure as it is saved: with letters, and without anything that `figures.check` finds."""
    figures.put_letters(figure)
    problems = figures.check(figure)
    assert not problems, problems
    return figure
