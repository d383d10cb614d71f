"""The house style: colours, widths, and the block inside which figures are drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito (2008), "Color Universal Design": told apart by readers of all colour visions. Yellow
# is left out (too pale on white), black comes first.
COLOURS = {
    "black": "#000000",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "orange": "#E69F00",
}

# Widths of a journal's one and two columns (AGU: 95 and 190 mm), in inches.
COLUMN_WIDTH = 3.74
PAGE_WIDTH = 7.48

STYLE_FILE = Path(__file__).with_name("house.mplstyle")


@contextmanager
def style() -> Iterator[None]:
    """Draw inside this block in the house style, whatever the user's own matplotlibrc says.

    Figures made inside are closed at its end, so that a loop over figures keeps its memory.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    known = set(plt.get_fignums())
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams["backend"] = "agg"
        plt.style.use(STYLE_FILE)
        try:
            yield
        finally:
            for number in set(plt.get_fignums()) - known:
                plt.close(number)


def columns(count: int = 1, *, rows: int = 1, row_height: float = 2.4) -> tuple[Figure, Any]:
    """Return a figure one column wide (two and more: a page) and its axes.

    Args:
        count: panels side by side.
        rows: rows of panels.
        row_height: inches.
    """
    import matplotlib.pyplot as plt

    width = COLUMN_WIDTH if count == 1 else PAGE_WIDTH
    return plt.subplots(rows, count, figsize=(width, row_height * rows))
