"""Panel letters: (a), (b), … in bold at the upper left of each data panel, the same place everywhere."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

MOST_PANELS = 9
"""Above this a figure is a gallery, read as one picture: captions speak of its rows and columns."""

_MARK = "panel letter"
_GALLERY = "_earthsignals_gallery"


def as_gallery(figure: Figure) -> Figure:
    """Return the figure, marked as rows of like pictures that are read together: no letters."""
    setattr(figure, _GALLERY, True)
    return figure


def put_letters(figure: Figure) -> dict[str, Axes]:
    """Letter the panels of a figure of two to nine, once however often it is called.

    Returns:
        The panels by their letter without brackets; empty for a single panel or a gallery.
    """
    lettered = letters_of(figure)
    found = panels(figure)
    if lettered or getattr(figure, _GALLERY, False) or not 2 <= len(found) <= MOST_PANELS:
        return lettered
    lettered = dict(zip(string.ascii_lowercase, found, strict=False))
    for letter, axes in lettered.items():
        # Outside of the corner: over nobody's data, left of the title and above the numbers of the axis.
        axes.annotate(
            f"({letter})", (0, 1), (-4, 4), xycoords="axes fraction", textcoords="offset points", ha="right",
            va="bottom", fontweight="bold", fontsize=8, annotation_clip=False, gid=_MARK,
        )  # fmt: skip
    return lettered


def letters_of(figure: Figure) -> dict[str, Axes]:
    """The panels that have their letter, by it."""
    return {text.get_text().strip("()"): text.axes for text in letter_texts(figure)}


def letter_texts(figure: Figure) -> list[Text]:
    """The letters themselves, as they were put."""
    return [text for axes in figure.axes for text in axes.texts if text.get_gid() == _MARK]


def panels(figure: Figure) -> list[Axes]:
    """The fields that show data, in the order they were made: no colour bars, nor text alone.

    Axes upon one another (a second y axis) are one field, the first.
    """
    found: dict[tuple, Axes] = {}
    for axes in figure.axes:
        if axes.get_visible() and not is_colour_bar(axes) and shows_data(axes):
            place = (id(axes.get_figure(root=False)), axes.get_position(original=True).bounds)
            found.setdefault(place, axes)
    return list(found.values())


def shows_data(axes: Axes) -> bool:
    """Whether anything but text is drawn in these axes."""
    drawn = (*axes.lines, *axes.collections, *axes.images, *axes.patches)
    return any(artist.get_visible() for artist in drawn)


def is_colour_bar(axes: Axes) -> bool:
    """Whether these are the axes of a colour bar."""
    return axes.get_label() == "<colorbar>" or getattr(axes, "_colorbar", None) is not None
