"""Panels get their letters by themselves, and what a reader would trip over is found."""

from __future__ import annotations

import numpy as np
import pytest

from earthsignals import figures
from earthsignals.figures.checks import has_unit
from earthsignals.figures.letters import letters_of


@pytest.fixture(autouse=True)
def styled():
    with figures.style():
        yield


def panels(columns: int, rows: int = 1):
    figure, axes = figures.columns(columns, rows=rows)
    for each in np.atleast_1d(axes).flat:
        each.plot([0, 1], [0, 1])
        each.set(xlabel="time (s)", ylabel="rate (1/s)")
    return figure, np.atleast_1d(axes)


@pytest.mark.parametrize(
    ("columns", "rows", "letters"), [(1, 1, ""), (2, 1, "ab"), (3, 3, "abcdefghi"), (5, 2, "")]
)
def test_two_to_nine_panels_are_lettered_once_in_reading_order(columns, rows, letters):
    figure, axes = panels(columns, rows)
    for _ in range(2):
        assert "".join(figures.put_letters(figure)) == letters
    assert list(letters_of(figure).values()) == (list(axes.flat) if letters else [])


def test_colour_bars_second_axes_empty_fields_and_insets_have_no_letter():
    figure, axes = figures.columns(3)
    figure.colorbar(axes[0].imshow(np.eye(2)), ax=axes[0])
    axes[1].plot([1, 2])
    axes[1].twinx().plot([3, 4])
    axes[1].inset_axes((0.5, 0.5, 0.3, 0.3)).plot([1, 2])
    axes[2].axis("off")
    axes[2].text(0.5, 0.5, "words")
    assert figures.put_letters(figure) == {"a": axes[0], "b": axes[1]}


def test_panels_of_two_subfigures_are_told_apart():
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=(figures.PAGE_WIDTH, 2))
    both = [part.subplots() for part in figure.subfigures(1, 2)]
    for axes in both:
        axes.plot([1, 2])
    assert list(figures.put_letters(figure).values()) == both


def test_a_gallery_has_no_letters():
    assert figures.put_letters(figures.as_gallery(panels(3)[0])) == {}


def test_a_good_figure_has_no_problems():
    figure, _ = panels(2)
    figures.put_letters(figure)
    assert figures.check(figure) == []


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda figure, axes: axes[0].set_xlabel(""), None),  # the second panel does not stand below it
        (lambda figure, axes: axes[0].set_xlabel("duration"), "panel 1: the x label `duration` has no unit"),
        (lambda figure, axes: axes[0].set_title("x", fontsize=4), "`x` is 4.0 points high, below 5"),
        (lambda figure, axes: figure.set_figwidth(9), "the figure is 9.00 inches wide, a page 7.48"),
        (lambda figure, axes: axes[0].texts[0].set_text("(b)"), "the letter (b) stands 2 times"),
    ],
    ids=["label", "unit", "text", "width", "letter"],
)
def test_each_problem_is_found(spoil, problem):
    figure, axes = panels(2)
    figures.put_letters(figure)
    spoil(figure, axes)
    assert figures.check(figure) == [problem or "panel 1: the x axis has numbers but no label"]


def test_names_at_ticks_need_no_label_nor_axes_that_are_off():
    figure, axes = panels(2)
    axes[0].set(xlabel="", xticks=[0, 1], xticklabels=["quiet", "storm"])
    axes[1].set(xlabel="")
    axes[1].axis("off")
    assert figures.check(figure) == []


def test_one_label_serves_a_row_and_a_column():
    figure, axes = panels(2, 2)
    axes[0, 1].set_ylabel("")
    axes[0, 1].set_xlabel("")
    assert figures.check(figure) == []


@pytest.mark.parametrize(
    "label", ["time (s)", "share of tiles", "RMSE / bound", "minutes ahead", "R² of log scale"]
)
def test_units_and_dimensionless_quantities_pass(label):
    assert has_unit(label)


@pytest.mark.parametrize("label", ["wavenumber", "emission rate", "RMSE", "temperature"])
def test_quantities_with_a_dimension_need_a_unit(label):
    assert not has_unit(label)
