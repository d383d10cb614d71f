"""The CSV of a figure holds what was drawn: every kind of artist gives back the numbers that it was given."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from earthsignals import figures
from earthsignals.figures import artists
from earthsignals.figures.source_data import MOST_CELLS, MOST_ROWS, source_data, write_source_data
from earthsignals.figures.thinning import thin_image

X = np.array([1.0, 10.0, 100.0])
Y = np.array([0.5, -0.25, np.nan])


@pytest.fixture
def axes():
    with figures.style():
        yield figures.columns(1)[1]


def table(axes) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(source_data(axes.figure).text()), comment="#")


def same(found, expected):
    np.testing.assert_allclose(np.asarray(found, float), np.asarray(expected, float), rtol=5e-7)


def test_lines_keep_gaps_and_values_on_a_logarithmic_axis(axes):
    axes.plot(X, Y, label="one, two")
    axes.set(xscale="log", xlabel="time (s)", ylabel="rate (1/s)", title="a $line$")
    rows = table(axes)
    same(rows.x, X)
    same(rows.y, Y)
    assert set(rows.series) == {"one, two"} and set(rows.kind) == {"line"} and set(rows.panel) == {1}
    notes = source_data(axes.figure).notes
    assert notes == ["panel 1: title: a line; x: time (s) [log scale]; y: rate (1/s)"]


def test_rules_have_one_coordinate_and_spans_two_edges(axes):
    axes.axhline(3.0)
    axes.axvspan(2.0, 5.0)
    rows = table(axes)
    rule, span = rows.iloc[0], rows.iloc[1]
    assert (rule.kind, rule.y, span.kind, span.x_low, span.x_high) == ("rule", 3.0, "span", 2.0, 5.0)
    assert "x" not in rows and "y_low" not in rows


def test_error_bars_give_points_and_both_ends_once(axes):
    axes.errorbar(X, [1, 2, 3], yerr=[[0.1, 0.2, 0.3], [1, 1, 1]], xerr=0.5, capsize=2, label="e")
    rows = table(axes)
    assert len(rows) == 3 and set(rows.kind) == {"error bars"} and set(rows.series) == {"e"}
    same(rows.y_low, [0.9, 1.8, 2.7])
    same(rows.y_high, [2, 3, 4])
    same(rows.x_low, X - 0.5)
    same(rows.x_high, X + 0.5)


def test_error_bars_without_points_keep_their_places(axes):
    axes.errorbar(X, [1, 2, 3], yerr=0.5, fmt="none")
    same(table(axes).x, X)


def test_scatter_gives_values_sizes_and_colours_that_are_data(axes):
    points = axes.scatter(X, [1, 2, 3], s=[4, 9, 16], c=[7.0, 8.0, 9.0])
    axes.figure.colorbar(points, label="speed (m/s)")
    axes.scatter(X, [4, 5, 6], c=["#ff0000", "#00ff00", "#0000ff"])
    rows = table(axes)
    same(rows.value[:3], [7, 8, 9])
    same(rows["size"][:3], [4, 9, 16])
    same(rows[["red", "green", "blue"]][3:], 255 * np.eye(3))
    assert rows.series.unique().tolist() == ["points 1", "points 2"]
    assert source_data(axes.figure).notes[-1] == "panel 1, points 1: value: speed (m/s)"


@pytest.mark.parametrize("where", [None, [True, True, False, True, True]])
def test_bands_give_both_edges_in_order(axes, where):
    x, low, high = np.arange(5.0), np.array([0, 1, 0, 1, 0.0]), np.array([3, 4, 5, 4, 3.0])
    axes.fill_between(x, high, low, where=where, label="95 %")
    rows = table(axes)
    kept = np.array(where or [True] * 5)
    same(rows.x, x[kept])
    same(rows.y_low, low[kept])
    same(rows.y_high, high[kept])


def test_sideways_bands_and_empty_ones(axes):
    axes.fill_betweenx([0.0, 1.0], [2, 3], [4, 5])
    axes.fill_between([], [], [])
    rows = table(axes)
    same(rows.y, [0, 1])
    same(rows.x_low, [2, 3])
    same(rows.x_high, [4, 5])


@pytest.mark.parametrize("lying", [False, True])
def test_bars_give_values_edges_and_the_names_of_ticks(axes, lying):
    (axes.barh if lying else axes.bar)(["quiet", "storm"], [3.0, -2.0], 0.8)
    rows = table(axes)
    value, place = ("x", "y") if lying else ("y", "x")
    same(rows[value], [3, -2])
    same(rows[f"{place}_low"], [-0.4, 0.6])
    same(rows[f"{value}_low"], [0, -2])
    same(rows[f"{value}_high"], [3, 0])


def test_named_ticks_are_noted(axes):
    axes.plot([0, 1], [1, 2])
    axes.set_xticks([0, 1], ["quiet", "storm"])
    assert source_data(axes.figure).notes[1] == "panel 1, x ticks: 0 = quiet, 1 = storm"


def test_histograms_of_both_kinds_give_counts_and_edges(axes):
    values = [0.1, 0.2, 0.7]
    axes.hist(values, bins=[0, 0.5, 1.0], label="filled")
    axes.hist(values, bins=[0, 0.5, 1.0], histtype="step", label="outline")
    axes.stairs([2, 1], [0, 0.5, 1.0], label="stairs")
    rows = table(axes)
    for name in ("filled", "stairs"):
        one = rows[rows.series == name]
        same(one.y, [2, 1])
        same(one.x_low, [0, 0.5])
        same(one.x_high, [0.5, 1.0])
    assert rows[rows.series == "outline"].y.max() == 2


@pytest.mark.parametrize("origin", ["upper", "lower"])
def test_images_give_each_pixel_at_its_centre(axes, origin):
    values = np.array([[1.0, 2.0, np.nan], [4.0, 5.0, 6.0]])
    axes.imshow(values, extent=(0, 3, 10, 14), origin=origin)
    rows = table(axes)
    assert len(rows) == 5  # what is not known has no row
    first = rows[rows.value == 1.0].iloc[0]
    assert (first.x, first.y) == (0.5, 13.0 if origin == "upper" else 11.0)


def test_pictures_give_bytes_of_three_channels(axes):
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[0, 1] = (255, 128, 3)
    axes.imshow(picture)
    row = table(axes).iloc[1]
    assert (row.kind, row.red, row.green, row.blue, row.x, row.y) == ("picture", 255, 128, 3, 1, 0)


def test_large_images_become_means_of_blocks_and_say_so(axes):
    values = np.arange(300 * 500, dtype=float).reshape(300, 500)
    axes.imshow(values)
    rows = table(axes)
    assert len(rows) == 150 * 250 <= MOST_CELLS
    assert rows.value[0] == pytest.approx(np.mean([0, 1, 500, 501]))
    assert rows.x[0] == 0.5 and rows.value.mean() == pytest.approx(values.mean(), rel=1e-6)
    assert source_data(axes.figure).notes[-1] == "panel 1, image: means over 2 × 2 pixels"


def test_thinning_takes_the_mean_of_what_is_known():
    values = np.array([[1.0, 3.0, 5.0], [np.nan, 5.0, np.nan], [np.nan, np.nan, np.nan]])
    small, step = thin_image(values, 4)
    np.testing.assert_array_equal(small, [[3.0, 5.0], [np.nan, np.nan]])
    assert step == 2 and thin_image(values, 9)[1] == 1


def test_long_lines_are_thinned_and_say_so_short_ones_are_whole(axes):
    axes.plot(np.arange(10 * MOST_ROWS), label="long")
    axes.plot([1, 2, 3], label="short")
    rows = table(axes)
    long, short = rows[rows.series == "long"], rows[rows.series == "short"]
    assert 0.5 * MOST_ROWS < len(long) <= MOST_ROWS and len(short) == 3
    assert long.x.iloc[-1] == 10 * MOST_ROWS - 1
    assert "panel 1, long: one in 11 is given" in source_data(axes.figure).notes


def test_meshes_give_the_centres_of_cells(axes):
    axes.pcolormesh([0, 1, 2], [0, 2, 4], [[1, 2], [3, 4]])
    rows = table(axes)
    same(rows.value, [1, 2, 3, 4])
    same(rows.x, [0.5, 1.5, 0.5, 1.5])
    same(rows.y, [1, 1, 3, 3])


def test_contours_go_through_the_level(axes):
    x = np.linspace(-2, 2, 41)
    axes.contour(x, x, np.hypot(*np.meshgrid(x, x)), [0.5, 1.5])
    rows = table(axes)
    assert set(rows.value) == {0.5, 1.5}
    np.testing.assert_allclose(np.hypot(rows.x, rows.y), rows.value, atol=0.01)


def test_arrows_and_segments_are_given_back(axes):
    axes.quiver([0, 1], [2, 3], [4, 5], [6, 7], [8.0, 9.0])
    axes.vlines([1.0, 2.0], 0.0, [3.0, 4.0], label="lines")
    rows = table(axes)
    arrows, lines = rows[rows.kind == "arrows"], rows[rows.kind == "segments"]
    same(arrows[["x", "y", "u", "v", "value"]], [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]])
    same(lines[["piece", "x", "y"]], [[0, 1, 0], [0, 1, 3], [1, 2, 0], [1, 2, 4]])


def test_names_are_unique_within_a_panel_and_furniture_is_left_out(axes):
    for _ in range(2):
        axes.plot(X, Y, label="same")
    axes.plot(X, Y, gid=artists.FURNITURE)
    axes.plot(X, Y, visible=False)
    assert table(axes).series.unique().tolist() == ["same", "same 2"]


def test_panels_go_by_letter_and_insets_by_their_panel():
    with figures.style():
        figure, (left, right) = figures.columns(2)
        left.plot([0, 1], [0, 1])
        right.imshow(np.eye(2))
        figure.colorbar(right.images[0], ax=right)
        left.inset_axes((0.5, 0.5, 0.4, 0.4)).plot([5, 6], [7, 8])
        left.secondary_xaxis("top")
        figures.put_letters(figure)
        rows = pd.read_csv(io.StringIO(source_data(figure).text()), comment="#")
    assert rows.panel.unique().tolist() == ["a", "a inset", "b"]


def test_many_images_together_stay_small(tmp_path):
    generator = np.random.Generator(np.random.Philox(1))
    with figures.style():
        figure, panels = figures.columns(6, rows=6, row_height=0.8)
        for axes in panels.flat:
            axes.imshow(generator.random((200, 200, 3)))
        path = figures.write_source_data(figure, tmp_path / "one.csv")
        first = path.read_bytes()
        assert figures.write_source_data(figure, path).read_bytes() == first
    assert len(first) < 3_000_000


def test_gaps_in_error_bars_and_names_with_signs_are_kept(axes, tmp_path):
    axes.errorbar([1, 2], [1, np.nan], [[1, np.nan], [1, 2]], label="run #1")
    axes.boxplot([[1, 2, 3]])
    path = write_source_data(axes.figure, tmp_path / "a.csv")
    rows = pd.read_csv(path, comment="#")
    bars = rows[rows.series == "run No. 1"]
    assert bars.y_high.tolist()[0] == 2 and bars.y_high.isna().tolist() == [False, True]
