"""The window that was asked for and those that are like it, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from earthsignals import figures as house
from earthsignals.clouds.dense.nearest import Candidate, Query
from earthsignals.storage import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 5


def write_gallery(path: Path, query: Query, found: Sequence[Candidate]) -> None:
    """Draw the query, framed, and the windows by their distance."""
    rows = -(-(1 + len(found)) // COLUMNS)
    with house.style(), atomic_path(path) as temporary:
        figure, axes = house.columns(COLUMNS, rows=rows, row_height=house.PAGE_WIDTH / COLUMNS + 0.3)
        flat = np.ravel(axes)
        for each in flat:
            each.set_axis_off()
        _draw(flat[0], query.tile, f"{_place(query)}\n{query.scene}")
        edge = query.tile.shape[-1]
        flat[0].add_patch(_frame(edge))
        for each, one in zip(flat[1:], found, strict=False):
            other = one.scene if one.scene != query.scene else "same scene"
            _draw(each, one.tile, f"{one.distance:.3f}   {_place(one)}\n{other}")
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _draw(axes: Axes, tile: np.ndarray, title: str) -> None:
    axes.imshow(tile.transpose(1, 2, 0), interpolation="antialiased")
    axes.set_title(title, fontsize=5)


def _frame(edge: int):  # noqa: ANN202 (a patch of matplotlib, which is not imported here)
    from matplotlib.patches import Rectangle

    return Rectangle((-0.5, -0.5), edge, edge, fill=False, edgecolor=house.COLOURS["vermillion"], linewidth=2)


def _place(window: Query | Candidate) -> str:
    return f"{window.latitude:.2f}, {window.longitude:.2f}"
