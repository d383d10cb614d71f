"""What a reader of a figure would trip over: no label or unit, small text, too wide, a letter twice."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from earthsignals.figures.house import PAGE_WIDTH
from earthsignals.figures.letters import is_colour_bar, letter_texts, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

SMALLEST_TEXT = 5.0
"""Points, at the size of print."""

DIMENSIONLESS = (
    "absorbance", "accuracy", "anisotropy", "AUC", "average precision", "axis", "brightness", "cluster",
    "coefficient", "component", "correlation", "count", "coverage", "cross-entropy", "density", "dimension",
    "embedding", "epoch", "factor", "false positive rate", "cloud fraction", "latent", "learning rate",
    "log scale", "loss", "magnitude", "mAP", "MSE", "NMI", "number", "parameters", "precision",
    "probability", "purity", "ratio", "recall", "records", "R²", "saliency", "score", "share", "similarity",
    "skill", "SSIM", "tiles", "true positive rate", "Ward distance", "within a regime",
)  # fmt: skip
"""Words that say that a label needs no unit: counts, shares and ratios."""

SPOKEN_UNITS = ("dB", "minutes", "hours", "days", "degrees", "UT")
"""Units that a label may name in its own words."""


def check(figure: Figure) -> list[str]:
    """Each problem of a figure in one sentence, empty where there is none.

    An axis with numbers needs a label, of its own or of the row or column of panels that it stands in, and
    the label a unit in brackets unless it is a count, a share or a ratio.
    """
    figure.draw_without_rendering()
    problems = [*_text(figure), *_labels(figure)]
    if figure.get_figwidth() > PAGE_WIDTH + 0.01:
        problems.append(f"the figure is {figure.get_figwidth():.2f} inches wide, a page {PAGE_WIDTH}")
    letters = Counter(text.get_text() for text in letter_texts(figure))
    problems += [f"the letter {letter} stands {n} times" for letter, n in letters.items() if n > 1]
    return problems


def _text(figure: Figure) -> Iterator[str]:
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip() and text.get_fontsize() < SMALLEST_TEXT:
            yield f"`{text.get_text()}` is {text.get_fontsize():.1f} points high, below {SMALLEST_TEXT:g}"


def _labels(figure: Figure) -> Iterator[str]:
    fields = panels(figure)
    for number, axes in enumerate(fields, start=1):
        for axis in (axes.xaxis, axes.yaxis):
            name = axis.axis_name
            label = axis.get_label_text()
            if label and not has_unit(label) and _has_numbers(axis):
                yield f"panel {number}: the {name} label `{label}` has no unit"
            if not label and axes.axison and _has_numbers(axis) and not _said_nearby(axes, name, fields):
                yield f"panel {number}: the {name} axis has numbers but no label"
    for axes in figure.axes:
        if is_colour_bar(axes):
            label = axes.get_xlabel() or axes.get_ylabel()
            if label and not has_unit(label):
                yield f"a colour bar's label `{label}` has no unit"
            if not label and (_has_numbers(axes.xaxis) or _has_numbers(axes.yaxis)):
                yield "a colour bar has numbers but no label"


def has_unit(label: str) -> bool:
    """Whether a label names a unit in brackets or a quantity without one (`DIMENSIONLESS`, a ratio)."""
    text = " ".join(label.split())
    words = (*DIMENSIONLESS, *SPOKEN_UNITS)
    known = any(re.search(rf"\b{re.escape(word)}", text, re.IGNORECASE) for word in words)
    return known or re.search(r" / |\bper\b|\bover\b|\([^)]+\)", text) is not None


def _has_numbers(axis: Axis) -> bool:
    """Whether ticks carry numbers that can be seen; names speak for themselves."""
    labels = [label for tick in axis.get_major_ticks() for label in (tick.label1, tick.label2)]
    text = " ".join(re.sub(r"\\\w+", "", label.get_text()) for label in labels if label.get_visible())
    return axis.get_visible() and re.search(r"\d", text) is not None and not re.search(r"[A-Za-z]{2}", text)


def _said_nearby(axes: Axes, name: str, fields: list[Axes]) -> bool:
    """Whether the figure, or another panel of the same row (column, for x), carries the label."""
    holder = axes.get_figure(root=False)
    figures = (holder, axes.get_figure(root=True)) if name in ("x", "y") else ()
    if any(getattr(figure, f"get_sup{name}label")() for figure in figures):
        return True
    return any(
        (one.xaxis if name in ("x", "theta") else one.yaxis).get_label_text()
        for one in fields
        if one.get_figure(root=False) is holder and _aligned(axes, one, name)
    )


def _aligned(axes: Axes, other: Axes, name: str) -> bool:
    place, its = axes.get_subplotspec(), other.get_subplotspec()
    if place is None or its is None:
        return False
    return place.colspan == its.colspan if name == "x" else place.rowspan == its.rowspan
