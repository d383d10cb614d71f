"""The figures show the tiles, distances and numbers they were given, the same bytes each time."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from sklearn.decomposition import PCA

from earthsignals import figures as house
from earthsignals.clouds import figures
from earthsignals.clouds.figures import likeness, planes
from earthsignals.clouds.figures.colours import Stretch
from earthsignals.clouds.figures.planes import Components, Planes
from earthsignals.clouds.figures.trajectory import hours_since, path_of
from earthsignals.clouds.figures.tree import EXAMPLES, Tree
from earthsignals.results import MissingData
from tests.pictures import compared, lettered

from .pictured import made_inputs, made_metrics, made_scene


@pytest.fixture(autouse=True)
def without_umap(monkeypatch):
    """It compiles itself for 20 s."""
    monkeypatch.setitem(sys.modules, "umap", None)


@pytest.fixture(scope="module")
def inputs():
    return made_inputs()


@pytest.fixture
def styled():
    with house.style():
        yield


# --- what is worked out ------------------------------------------------------------------------


def blobs(count: int = 4, each: int = 15, dimension: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Well separated clusters: (n, D), and which (n,) each is of."""
    rng = np.random.default_rng(1)
    centres = 40 * rng.normal(size=(count, dimension))
    label = np.repeat(np.arange(count), each)
    return centres[label] + rng.normal(size=(count * each, dimension)), label


def test_the_leaves_of_the_tree_are_the_clusters():
    points, label = blobs()
    tree = Tree.of(points, 4)
    assert tree.leaves == 4
    for leaf in range(4):
        assert len(set(label[tree.members(leaf)])) == 1
        assert len(tree.members(leaf)) == 15
    # Every join stands between leaves, above the cut; there is one fewer than leaves.
    assert tree.x.shape == (3, 4)
    assert tree.x.min() >= 0 and tree.x.max() <= 3
    assert (tree.height >= tree.cut).all() and tree.cut > 0


def test_a_tree_of_fewer_tiles_than_leaves_has_one_for_each():
    tree = Tree.of(np.arange(6.0).reshape(3, 2), 12)
    assert sorted(tree.leaf) == [0, 1, 2] and tree.cut == 0


def test_a_leaf_is_shown_by_its_random_central_best_and_worst_tile():
    points, label = blobs()
    tree = Tree.of(points, 4)
    margin = np.random.default_rng(2).normal(size=len(points))
    margin[tree.members(3)] = np.nan
    shown = dict(zip(EXAMPLES, tree.examples(points, margin, 0), strict=True))
    for leaf in range(4):
        own = tree.members(leaf)
        assert shown["random"][leaf] in own
        away = np.linalg.norm(points[own] - points[own].mean(0), axis=1)
        assert shown["central"][leaf] == own[away.argmin()]
        if leaf < 3:
            assert shown["best"][leaf] == own[margin[own].argmax()]
            assert shown["worst"][leaf] == own[margin[own].argmin()]
    assert shown["best"][3] == shown["worst"][3] == -1
    assert (tree.examples(points, margin, 0) == tree.examples(points, margin, 0)).all()


def test_components_are_those_of_pca_with_a_fixed_sign():
    points = np.random.default_rng(3).normal(size=(50, 4)) * [4, 3, 2, 1]
    found, known = Components.of(points), PCA(4).fit(points)
    np.testing.assert_allclose(found.share, known.explained_variance_ratio_, rtol=1e-10)
    np.testing.assert_allclose(np.abs(found(points, 2)), np.abs(known.transform(points)[:, :2]), atol=1e-10)
    assert (found.axes[np.arange(4), np.abs(found.axes).argmax(1)] > 0).all()
    assert np.isnan(found(np.full((2, 3, 4), np.nan), 2)).all()


@pytest.mark.parametrize("method", ["pca", "isomap", "tsne"])
def test_planes_repeat_and_keep_clusters_together(method):
    """Clusters far apart leave the neighbourhood graph in pieces: isomap widens it without a warning."""
    points, label = blobs()
    plane = Planes(points).of(method)
    assert plane.shape == (60, 2) and np.isfinite(plane).all()
    np.testing.assert_array_equal(plane, Planes(points).of(method))
    centre = np.stack([plane[label == k].mean(0) for k in range(4)])
    nearest = np.linalg.norm(plane[:, None] - centre, axis=2).argmin(1)
    assert (nearest == label).mean() > 0.95


def test_a_plane_that_cannot_be_is_left_out_with_its_reason():
    found, reasons = Planes(blobs()[0]).available()
    assert set(found) == {"pca", "isomap", "tsne"}
    assert "umap-learn" in reasons["umap"]
    few, reasons = Planes(np.eye(4)).available()
    assert set(few) == {"pca"} and "8 tiles" in reasons["isomap"]


def test_umap_is_asked_for_a_repeatable_plane(monkeypatch):
    class Umap:
        def __init__(self, **options):
            assert options["random_state"] == 7
            assert options["n_jobs"] == 1  # with a seed it would warn of more

        def fit_transform(self, points):
            return points[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Umap))
    points = blobs()[0]
    plane = Planes(points, 7).of("umap")
    np.testing.assert_allclose(np.abs(plane), np.abs(points[:, :2] - points[:, :2].mean(0)))


def test_neighbours_are_the_nearest_of_other_scenes():
    rng = np.random.default_rng(4)
    points, scenes = rng.normal(size=(40, 3)), np.array([f"s{k % 5}" for k in range(40)])
    found, distance = likeness.neighbours(points, scenes, 7, 6)
    others = [k for k in range(40) if scenes[k] != scenes[7]]
    expected = sorted((np.linalg.norm(points[k] - points[7]), k) for k in others)[:6]
    assert found.tolist() == [k for _, k in expected]
    np.testing.assert_allclose(distance, [d for d, _ in expected])


def test_queries_are_of_every_regime_in_turn():
    regimes = np.array(["b", "a", "a", "a", "b", "c"])
    chosen = likeness.queries(regimes, 4, 0)
    assert len(set(chosen)) == 4
    assert sorted(set(regimes[chosen])) == ["a", "b", "c"]
    assert len(likeness.queries(regimes, 50, 0)) == 6
    assert (likeness.queries(regimes, 4, 0) == chosen).all()


def test_tiles_on_grid_points_lie_there_and_none_twice():
    x, y = np.meshgrid(np.arange(4.0), np.arange(3.0))
    plane = np.stack([x.ravel(), y.ravel()], 1)
    found, columns, rows = likeness.on_grid(plane, 3, 4)
    # The row at the top is that of the largest ordinate.
    np.testing.assert_array_equal(found, [[8, 9, 10, 11], [4, 5, 6, 7], [0, 1, 2, 3]])
    assert np.all(np.diff(columns) > 0) and np.all(np.diff(rows) < 0)


def test_grid_points_far_from_any_tile_stay_empty():
    plane = np.array([[0.0, 0.0], [0.1, 0.1], [10.0, 10.0]])
    found, _, _ = likeness.on_grid(plane, 5, 5)
    assert found[0, 4] == 2 and found[0, 0] == -1
    shown = found[found >= 0]
    assert len(set(shown)) == len(shown) <= 3


def test_boxes_around_tiles_do_not_overlap():
    places = np.random.default_rng(5).uniform(size=(200, 2))
    kept = likeness.apart(places, np.arange(200), 0.1, 0.2)
    away = np.abs(places[kept][:, None] - places[kept])
    touching = (away[..., 0] < 0.1) & (away[..., 1] < 0.2)
    assert touching.sum() == len(kept)  # each with itself alone
    assert len(kept) > 15


def test_the_nearest_window_has_an_embedding():
    scene = made_scene(1, 4)
    assert np.isnan(scene.values[0, 0]).all()
    assert likeness.nearest_window(scene, scene.x_km[0], scene.y_km[0]) in ((0, 4), (3, 0))
    empty = replace(scene, values=np.full_like(scene.values, np.nan))
    assert likeness.nearest_window(empty, 0, 0) is None


def test_distances_over_a_map_are_zero_at_the_place_and_unknown_where_no_window_is():
    scene = made_scene(1, 4)
    far = likeness.distance_map(scene, scene.values[5, 6])
    assert far[5, 6] == 0 and np.isnan(far[0, 0])
    expected = np.sqrt(((scene.values[7, 2] - scene.values[5, 6]) ** 2).sum())
    assert far[7, 2] == pytest.approx(expected, rel=1e-5)


def test_colours_mean_the_same_in_all_scenes(inputs):
    stretch = Stretch.of(inputs.maps, inputs.planes.components, 3)
    whole = np.concatenate([inputs.planes.components(m.values, 3).reshape(-1, 3) for m in inputs.maps])
    np.testing.assert_allclose(stretch.limits, np.nanpercentile(whole, [2, 98], axis=0))
    colours = stretch.rgba(inputs.maps[1].values)
    assert colours.dtype == np.uint8
    assert (colours[0, 0] == 0).all()  # no window there: clear
    assert colours[-1, -1, 3] == 255


def test_the_path_is_the_mean_over_windows_in_order_of_time(inputs):
    path = path_of(replace(inputs, series=inputs.series[::-1]))
    assert [s.name for s in path.scenes] == [s.name for s in inputs.series]
    np.testing.assert_allclose(hours_since(path), np.arange(5))
    mean = np.nanmean(inputs.series[2].values.reshape(-1, 12), 0)
    np.testing.assert_allclose(path.places[2], inputs.planes.components(mean, 2))
    assert ((path.low <= path.places) & (path.places <= path.high)).mean() > 0.8


def test_the_piece_of_a_scene_is_what_the_window_saw():
    scene = made_scene(0, 4)  # pixels of 200 / 64 km, windows of 64 pixels every 8
    np.testing.assert_array_equal(scene.piece(2, 5, 200.0), scene.picture[16:80, 40:104])


# --- what is drawn -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", figures.FIGURES)
def test_every_figure_is_drawn(inputs, styled, name):
    figure = figures.FIGURES[name](inputs)
    assert figure.get_figwidth() in (house.COLUMN_WIDTH, house.PAGE_WIDTH)
    lettered(figure)
    assert figure.get_figheight() < 10  # fits on a page


def test_figures_are_the_same_bytes_each_time(inputs, tmp_path, monkeypatch):
    few = {name: figures.FIGURES[name] for name in ("confusion", "components")}
    monkeypatch.setattr(figures, "FIGURES", few)
    for run in ("one", "two"):
        assert figures.draw_all(made_inputs() if run == "two" else inputs, tmp_path / run) == {}
    names = {f"{name}.{kind}" for name in (*few, "training_model") for kind in ("png", "pdf")}
    for run in ("one", "two"):
        assert {path.name for path in (tmp_path / run).iterdir()} == names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_what_is_not_there_is_left_out_with_its_reason(inputs, tmp_path):
    nothing = replace(
        inputs, tiles=inputs.tiles.iloc[:0], images=inputs.images[:0], embedding=inputs.embedding[:0],
        maps=(), series=(), examples=None, augmentation=None, arrays={}, metrics={}, histories={},
    )  # fmt: skip
    left_out = figures.draw_all(nothing, tmp_path)
    assert set(left_out) == {*figures.FIGURES, "training_model"}
    assert all(left_out.values())
    assert not list(tmp_path.iterdir())


def test_the_dendrogram_names_its_rows_and_counts_every_tile(inputs, styled):
    figure = figures.FIGURES["dendrogram"](inputs)
    counts = [int(text.get_text()) for text in figure.axes[1].texts]
    assert sum(counts) == len(inputs.tiles)
    labels = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    assert labels[2:] == ["random", "central", "best\ntriplet", "worst\ntriplet"]
    heights = sum(bar.get_height() for bar in figure.axes[1].patches if isinstance(bar, Rectangle))
    assert heights == pytest.approx(inputs.tree.leaves)


def test_scenes_without_known_regimes_are_drawn_as_well(inputs, styled):
    unknown = replace(inputs, tiles=inputs.tiles.assign(regime=""))
    for name in ("grid", "trajectory"):
        assert not figures.FIGURES[name](unknown).legends


def test_a_region_without_a_series_has_no_trajectory(inputs, styled):
    with pytest.raises(MissingData, match="series_hours"):
        figures.FIGURES["trajectory"](replace(inputs, series=inputs.series[:1]))


def test_neighbours_need_a_second_scene(inputs, styled):
    with pytest.raises(MissingData, match="one scene"):
        figures.FIGURES["neighbours"](replace(inputs, tiles=inputs.tiles.assign(scene="only")))


def test_maps_of_a_tiny_embedding_and_a_single_window_are_drawn(styled):
    """Two numbers have no third colour; a scene as large as a tile has one window."""
    inputs = made_inputs(dimension=2)
    scene = inputs.maps[0]
    one = replace(
        scene, values=scene.values[4:5, 4:5], x_km=scene.x_km[4:5], y_km=scene.y_km[4:5],
        latitude=scene.latitude[4:5, 4:5], longitude=scene.longitude[4:5, 4:5],
    )  # fmt: skip
    for name in ("rgb", "components", "distance"):
        figure = figures.FIGURES[name](replace(inputs, maps=(one,)))
        assert any(axes.images for axes in figure.axes), name


def test_the_methods_are_drawn_with_their_values_and_intervals(inputs, styled):
    figure = figures.FIGURES["methods"](inputs)
    probe = figure.axes[0]
    assert [label.get_text() for label in probe.get_yticklabels()][:3] == [
        "model", "peer triplet", "mean, std, fraction",
    ]  # fmt: skip
    rows = made_metrics()["rows"]
    drawn = [line.get_xdata() for line in probe.get_lines()]
    for row in rows.values():
        assert any(np.array_equal(x, [row["probe_low"], row["probe_high"]]) for x in drawn)
        assert any(len(x) == 1 and x[0] == row["probe"] for x in drawn)
    lacking = {"rows": {"model": {"probe": 0.9, "map": None}, "pca": {"probe": float("nan")}}}
    assert len(figures.FIGURES["methods"](replace(inputs, metrics=lacking)).axes[0].get_lines()) == 1


def test_the_confusion_shows_shares_of_the_true_regime(inputs, styled):
    axes = figures.FIGURES["confusion"](inputs).axes[0]
    share = axes.images[0].get_array()
    np.testing.assert_allclose(share.sum(1), 1)
    assert axes.get_yticklabels()[0].get_text().startswith("sugar (")


def test_regression_tells_r2_of_what_is_drawn(inputs, styled):
    left, right = figures.FIGURES["regression"](inputs).axes
    true, predicted = (inputs.arrays[f"regression/log_scale/{k}"] for k in ("true", "predicted"))
    expected = 1 - ((true - predicted) ** 2).sum() / ((true - true.mean()) ** 2).sum()
    assert left.get_title() == f"R² = {expected:.2f}"
    assert right.get_title() == "R² = 0.00"  # a constant near the mean, and no minus zero


def test_shifts_are_drawn_in_km_beside_baselines(inputs, styled):
    figure = figures.FIGURES["invariance"](inputs)
    lines = {line.get_label(): line.get_xydata() for line in figure.axes[0].get_lines()}
    np.testing.assert_allclose(lines["model"][:, 0], inputs.arrays["shift/km"])
    np.testing.assert_allclose(lines["model"][:, 1], inputs.arrays["shift/distance"][:, 0])
    assert "all classical" in lines
    assert [axes.get_xlabel() for axes in figure.axes] == ["shift (km)", "rotation (°)", "brightness, shift"]


def test_planes_are_worked_out_once(inputs, monkeypatch):
    fresh = made_inputs()
    first = fresh.planes.of("isomap")
    monkeypatch.setattr(planes, "_isomap", None)
    assert fresh.planes.of("isomap") is first


@compared
def test_picture_of_the_dendrogram(inputs):
    return lettered(figures.FIGURES["dendrogram"](inputs))


@compared
def test_picture_of_the_confusion(inputs):
    return lettered(figures.FIGURES["confusion"](inputs))
