"""Figures: one style for the whole project, and files that repeat to the byte.

    from earthsignals import figures

    with figures.style():
        figure, axes = figures.columns(1)
        ...
        figures.save(figure, reports / "rmse", sources=data / "figures")

`house` holds the style, `letters` the panels' letters, `source_data` the numbers that a figure shows,
`checks` what a reader would trip over, `saving` the files. Importing this package does not import
matplotlib.
"""

from __future__ import annotations

from earthsignals.figures.checks import check
from earthsignals.figures.curves import training_curves
from earthsignals.figures.house import COLOURS, COLUMN_WIDTH, PAGE_WIDTH, columns, style
from earthsignals.figures.letters import as_gallery, put_letters
from earthsignals.figures.saving import attach, draw_each, save
from earthsignals.figures.source_data import source_data, write_source_data

__all__ = [
    "COLOURS", "COLUMN_WIDTH", "PAGE_WIDTH", "as_gallery", "attach", "check", "columns", "draw_each",
    "put_letters", "save", "source_data", "style", "training_curves", "write_source_data",
]  # fmt: skip
