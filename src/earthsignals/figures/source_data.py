"""The numbers that a figure shows, read from the figure itself, so that the two cannot disagree.

    write_source_data(figure, Path("rmse.csv"))

A row is a point, an interval, a bar or a pixel. The columns `panel`, `kind`, `series` and `index` say what it
belongs to; of the others only those that the figure needs are there:

    x, y              where it is drawn, in the units of the axes
    x_low … y_high    ends of error bars and bands; edges of bars, steps and spans
    u, v              components of arrows
    value             what a colour stands for
    red, green, blue  colours that are data themselves, 0 to 255
    size              area of a marker (pt²), where they differ
    piece             which broken line of several

Lines before the header begin with `#` and give titles, labels with units, and what was thinned: read with
`pandas.read_csv(path, comment="#")`.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from earthsignals.figures.artists import Series, series_of
from earthsignals.figures.letters import is_colour_bar, letters_of, shows_data
from earthsignals.figures.thinning import thin_rows
from earthsignals.storage import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

MOST_CELLS = 40_000
MOST_ROWS = 40_000
"""Pixels of all images together and rows of everything else: a file stays below 3 MB."""

FEWEST = 64
"""What one series keeps however many there are."""

_COLUMNS = (
    "piece", "x", "y", "x_low", "x_high", "y_low", "y_high", "u", "v", "value", "red", "green", "blue",
    "size",
)  # fmt: skip


@dataclass
class SourceData:
    """Rows of a figure: notes about panels and series, names of the columns, and the series by panel."""

    notes: list[str]
    columns: list[str]
    series: list[tuple[str, Series]]

    def text(self) -> str:
        """The CSV file: numbers to seven digits, nothing where a row has no such number."""
        file = io.StringIO()
        file.writelines(f"# {note}\n" for note in self.notes)
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["panel", "kind", "series", "index", *self.columns])
        for panel, series in self.series:
            count = len(next(iter(series.columns.values())))
            cells = [_printed(series.columns.get(name), count) for name in self.columns]
            head = (panel, series.kind, series.name)
            writer.writerows((*head, index, *row) for index, row in enumerate(zip(*cells, strict=True)))
        return file.getvalue()


def _printed(values: np.ndarray | None, count: int) -> list[str]:
    if values is None:
        return [""] * count
    # `+ 0.0` makes a zero of a negative zero.
    return ["" if value != value else f"{value + 0.0:.7g}" for value in np.asarray(values, float).tolist()]


def write_source_data(figure: Figure, path: Path) -> Path:
    """Write `source_data(figure)` as CSV, the same bytes for the same figure; returns the path."""
    with atomic_path(path) as temporary:
        temporary.write_text(source_data(figure).text(), encoding="utf-8", newline="\n")
    return path


def source_data(figure: Figure) -> SourceData:
    """Read every panel and inset of a figure; panels go by their letters, else by their numbers from 1."""
    fields = _named(figure)
    images = sum(len(axes.images) + sum(_is_mesh(c) for c in axes.collections) for axes in fields.values())
    cells = max(FEWEST, MOST_CELLS // max(images, 1))
    notes, found = [], []
    for panel, axes in fields.items():
        notes += _about(panel, axes)
        found += [(panel, series) for series in _unique(series_of(axes, cells))]
    rasters = ("image", "picture", "mesh")
    drawn = [series for _, series in found if series.kind not in rasters]
    sizes = [len(next(iter(series.columns.values()))) for series in drawn]
    for series in drawn:
        series.columns, step = thin_rows(series.columns, _share(sizes, MOST_ROWS))
        if step > 1:
            series.note = "; ".join(filter(None, [series.note, f"one in {step} is given"]))
    notes += [_clean(f"panel {panel}, {s.name}: {s.note}") for panel, s in found if s.note]
    used = {name for _, series in found for name in series.columns}
    return SourceData(notes, [name for name in _COLUMNS if name in used], found)


def _share(sizes: list[int], most: int) -> int:
    """The largest number of rows each series may keep so that all together keep at most `most`."""
    left, remaining = most, sorted(sizes)
    while remaining and remaining[0] <= left // len(remaining):
        left -= remaining.pop(0)
    return max(FEWEST, left // len(remaining)) if remaining else most


def _is_mesh(collection: object) -> bool:
    return type(collection).__name__ == "QuadMesh"


def _named(figure: Figure) -> dict[str, Axes]:
    """Axes with data by the name of their panel, an inset after the panel that holds it."""
    letters = {id(axes): letter for letter, axes in letters_of(figure).items()}
    named: dict[str, Axes] = {}
    for number, axes in enumerate(filter(_shown, figure.axes), start=1):
        name = letters.get(id(axes), str(number))
        named[name] = axes
        insets = list(filter(_shown, axes.child_axes))
        for count, inset in enumerate(insets, start=1):
            named[f"{name} inset" + (f" {count}" if len(insets) > 1 else "")] = inset
    return named


def _shown(axes: Axes) -> bool:
    return axes.get_visible() and not is_colour_bar(axes) and shows_data(axes)


def _unique(drawn: list[Series]) -> list[Series]:
    """Name what has no label by its kind, and number what would share a name."""
    # Readers take what stands behind a # for a comment, in the midst of a row, too.
    names = [_clean(series.name or series.kind).replace("#", "No. ") for series in drawn]
    for k, series in enumerate(drawn):
        earlier = names[:k].count(names[k])
        # What is in the legend keeps its name; a second thing of that name is told from it.
        unnumbered = names.count(names[k]) == 1 or (series.name and not earlier)
        series.name = names[k] if unnumbered else f"{names[k]} {earlier + 1}"
    return drawn


def _about(panel: str, axes: Axes) -> list[str]:
    titles = [axes.get_title(loc=place) for place in ("left", "center", "right")]
    said = [f"title: {' · '.join(filter(None, titles))}"] if any(titles) else []
    notes = []
    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        if axis.get_label_text():
            scale = "" if axis.get_scale() == "linear" else f" [{axis.get_scale()} scale]"
            said.append(f"{name}: {axis.get_label_text()}{scale}")
        if words := _words(axis):
            notes.append(_clean(f"panel {panel}, {name} ticks: {words}"))
    return [_clean(f"panel {panel}: {'; '.join(said)}") if said else f"panel {panel}", *notes]


def _words(axis: Axis) -> str:
    """What ticks are called that are names, not numbers."""
    from matplotlib.category import StrCategoryLocator
    from matplotlib.ticker import FixedLocator

    if not isinstance(axis.get_major_locator(), FixedLocator | StrCategoryLocator):
        return ""
    formatter = axis.get_major_formatter()
    places = axis.get_majorticklocs()
    words = [(place, str(text)) for place, text in zip(places, formatter.format_ticks(places), strict=True)]
    if not any(letter.isalpha() for _, text in words for letter in text):
        return ""
    return ", ".join(f"{place:.7g} = {text}" for place, text in words if text)


def _clean(text: str) -> str:
    return " ".join(str(text).replace("$", "").split())
