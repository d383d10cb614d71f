"""Measures of an embedding against closed forms, rankings made by hand, and scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, normalized_mutual_info_score

from earthsignals.bootstrap import Groups
from earthsignals.clouds.judging.clusters import purity_and_nmi, ward
from earthsignals.clouds.judging.folds import by_scene
from earthsignals.clouds.judging.gallery import Gallery
from earthsignals.clouds.judging.invariance import relative_distances, summaries
from earthsignals.clouds.judging.measured import Measured
from earthsignals.clouds.judging.perturbed import DEGREES, Perturbed, perturb
from earthsignals.clouds.judging.probe import fit_probe
from earthsignals.clouds.judging.rank import collapsed, effective_rank, resampled_rank
from earthsignals.clouds.judging.regression import fit_ridge, r2
from earthsignals.clouds.judging.retrieval import retrieve
from earthsignals.clouds.judging.row import COMPARED, Judge, Judged, best, compared, confusion
from earthsignals.clouds.judging.space import Scaling, distance, distances
from earthsignals.clouds.judging.tiles import TARGETS, Study, Tiles
from earthsignals.clouds.judging.triplets import same_class_triplet_accuracy, triplet_accuracy
from earthsignals.clouds.params import REGIMES
from tests.clouds.small_scenes import PARAMS, make_scene, with_gaps, write_scenes


def make_tiles(scenes: int, per_scene: int, seed: int) -> Tiles:
    """Scenes of one regime each, in turns; targets at random."""
    generator = np.random.default_rng(seed)
    count = scenes * per_scene
    scene = np.repeat([f"{seed}-{number:03d}" for number in range(scenes)], per_scene)
    regime = np.repeat([REGIMES[number % len(REGIMES)] for number in range(scenes)], per_scene)
    targets = {name: generator.standard_normal(count) for name in TARGETS}
    return Tiles(np.arange(count), scene, regime, targets)


def make_study(scenes: int = 24, per_scene: int = 12, resamples: int = 200) -> Study:
    """Triplets: a tile, the next of its scene, and one half the scenes away."""
    tiles, fit = make_tiles(scenes, per_scene, seed=1), make_tiles(scenes, per_scene, seed=2)
    anchor = np.arange(0, len(tiles), 2)
    triplets = np.stack([anchor, anchor + 1, (anchor + len(tiles) // 2 + per_scene) % len(tiles)], axis=1)
    return Study(tiles, triplets, Groups.of(tiles.scene, resamples, 7, "clouds-test"), fit, 0)


def one_hot(regime: np.ndarray) -> np.ndarray:
    return np.stack([regime == name for name in REGIMES], axis=1).astype(np.float64)


def nothing_perturbed() -> Perturbed:
    """No tiles at all: invariances are unknown."""
    from earthsignals.clouds.judging.perturbed import _gathered

    return _gathered([], [], (1, 2), 8, 0)


STUDY = make_study()
RANDOM = np.random.default_rng(9).standard_normal((2, len(STUDY.tiles), 16))


# -------------------------------------------------------------------------------------------- space
def test_features_are_scaled_by_the_tiles_fitted_to_and_constants_do_not_count() -> None:
    fit = np.array([[1.0, 5.0, 100.0], [3.0, 5.0, 300.0]])
    scaling = Scaling.fit(fit)
    assert scaling.apply(np.array([[4.0, 9.0, 200.0]])).tolist() == [[2.0, 0.0, 0.0]]
    directions = scaling.directions(np.array([[4.0, 9.0, 400.0], [2.0, 1.0, 200.0]]))
    assert np.linalg.norm(directions, axis=1) == pytest.approx([1.0, 0.0])  # the second has no direction
    # Units do not matter.
    other = Scaling.fit(fit * [1, 1, 1e-6]).directions(np.array([[4.0, 9.0, 400e-6]]))
    assert other == pytest.approx(directions[:1])


def test_distance_is_one_minus_the_cosine() -> None:
    one = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    other = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    assert distance(one, other).tolist() == [0.0, 1.0, 2.0, 1.0, 0.0]
    assert np.diag(distances(one[:4], other[:4])) == pytest.approx([0.0, 1.0, 2.0, 1.0])


# ------------------------------------------------------------------------- perfect, random features
def test_perfect_features_score_one_in_everything() -> None:
    noise = 1e-3 * RANDOM[:, :, :6]
    scene = np.unique(STUDY.tiles.scene, return_inverse=True)[1]
    exact = one_hot(STUDY.tiles.regime) + noise[0]
    known = np.stack([STUDY.tiles.targets[name] for name in TARGETS], axis=1)
    known_fit = np.stack([STUDY.fit.targets[name] for name in TARGETS], axis=1)
    judge = Judge(STUDY, nothing_perturbed(), 6)
    row = judge.row(one_hot(STUDY.fit.regime) + noise[1], exact, exact[:0])
    for name in ("probe", "map", "purity", "nmi"):
        assert row.measures[name].triple == pytest.approx(np.ones(3)), name
    assert row.arrays["retrieval/precision_at_k"][:36] == pytest.approx(np.ones((36, 3)))  # 3 scenes of 12
    assert np.trace(row.arrays["confusion"]) == row.arrays["confusion"].sum() == len(STUDY.tiles)
    targets = judge.row(known_fit, known, known[:0])
    for name in TARGETS:
        assert targets.measures[f"r2_{name}"].triple == pytest.approx(np.ones(3), abs=1e-3), name
    # Who knows the scene finds the neighbour, among tiles of the same class too, and no regime.
    told = np.eye(24)[scene]
    of_scene = judge.row(told, told, told[:0])
    assert of_scene.measures["triplet_accuracy"].value == 1
    assert of_scene.measures["same_class_triplet_accuracy"].value == 1


def test_random_features_score_by_chance() -> None:
    row = Judge(STUDY, nothing_perturbed(), 6).row(RANDOM[0], RANDOM[1], RANDOM[1, :0])
    for name, chance in (("probe", 1 / 6), ("triplet_accuracy", 0.5), ("same_class_triplet_accuracy", 0.5)):
        value, low, high = row.measures[name].triple
        # Three standard errors rather than two.
        assert low - (value - low) / 2 < chance < high + (high - value) / 2, (name, value, low, high)
        assert high - low < 0.2
    assert row.measures["map"].value == pytest.approx(1 / 6, abs=0.05)
    assert row.measures["purity"].value < 0.35
    assert row.measures["nmi"].value < 0.1
    for name in TARGETS:
        assert row.measures[f"r2_{name}"].value < 0.05
    assert row.measures["effective_rank"].value == pytest.approx(16, abs=0.5)


def test_features_that_know_the_scene_alone_win_triplets_and_lose_the_probe() -> None:
    """Triplet accuracy by itself is a false headline: a code of the scene has all of it."""
    codes = np.random.default_rng(3).standard_normal((2, 24, 8))
    own = np.unique(STUDY.tiles.scene, return_inverse=True)[1]
    row = Judge(STUDY, nothing_perturbed(), 6).row(codes[0][own], codes[1][own], codes[1, :0])
    assert row.measures["triplet_accuracy"].value > 0.95
    assert row.measures["probe"].value < 0.5


# ---------------------------------------------------------------------------------------- triplets
def test_triplets_are_counted_by_hand() -> None:
    tiles = Tiles(np.arange(5), np.array(list("aabbc")), np.array(["fish"] * 3 + ["sugar", "fish"]), {})
    angle = np.radians([0, 10, 5, 50, 20])
    directions = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    triplets = np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4]])  # nearer at 5° once, farther twice
    study = Study(tiles, triplets, Groups.of(tiles.scene, 50, 0, "clouds-test"), tiles, 0)
    assert triplet_accuracy(study, directions).value == pytest.approx(2 / 3)
    # Fish of other scenes lie at 5° and 20°: one of the two is farther than the neighbour.
    assert same_class_triplet_accuracy(study, directions).value == pytest.approx(0.5)
    assert triplet_accuracy(study, directions * 0).value == 0.5  # all alike: no better than a coin


# -------------------------------------------------------------------------------------- retrieval
def test_average_precision_of_a_ranking_made_by_hand() -> None:
    """Of the query at 0°: other scenes hold, by angle, fish, sugar, fish, sugar: (1/1 + 2/3) / 2."""
    scene = np.array(["a", "a", "b", "b", "c", "c"])
    regime = np.array(["fish", "fish", "fish", "sugar", "fish", "sugar"])
    angle = np.radians([0.0, 1.0, 10.0, 20.0, 30.0, 40.0])
    directions = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    tiles = Tiles(np.arange(6), scene, regime, {})
    study = Study(tiles, np.zeros((0, 3), int), Groups.of(scene, 50, 0, "clouds-test"), tiles, 0)
    found = retrieve(study, directions)
    apart = distances(directions, directions)
    each = []
    for query in range(6):
        others = scene != scene[query]
        each.append(average_precision_score(regime[others] == regime[query], -apart[query, others]))
    assert each[0] == pytest.approx((1 + 2 / 3) / 2)
    assert found.mean_average_precision.value == pytest.approx(np.mean(each))
    nearest = [2, 2, 1, 4, 3, 3]  # by hand; the tile of the own scene at 1° is no candidate
    assert found.precision_at_k.value[0] == pytest.approx(np.mean(regime[nearest] == regime))


def test_a_query_without_relatives_in_other_scenes_does_not_count() -> None:
    scene, regime = np.array(["a", "b", "c"]), np.array(["fish", "fish", "sugar"])
    tiles = Tiles(np.arange(3), scene, regime, {})
    study = Study(tiles, np.zeros((0, 3), int), Groups.of(scene, 50, 0, "clouds-test"), tiles, 0)
    found = retrieve(study, np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]))
    assert found.mean_average_precision.value == 1.0


# ---------------------------------------------------------------------------------------- clusters
def test_purity_and_nmi_by_hand_and_by_scikit_learn() -> None:
    """Manning et al. 2008, figure 16.4: 17 points, purity 12/17, NMI 0.36."""
    classes = ["xxxxxo", "xoooov", "xxvvv"]
    cluster = np.repeat(np.arange(3), [len(one) for one in classes])
    label = np.unique(list("".join(classes)), return_inverse=True)[1]
    groups = Groups.of(np.arange(17).astype(str), 300, 0, "clouds-test")
    purity, nmi = purity_and_nmi(groups, cluster, label)
    assert purity.value == pytest.approx(12 / 17)
    assert nmi.value == pytest.approx(0.36, abs=0.005)
    assert nmi.value == pytest.approx(normalized_mutual_info_score(label, cluster))
    assert purity.triple[1] < purity.value < purity.triple[2]
    generator = np.random.default_rng(0)
    for _ in range(5):
        one, other = generator.integers(0, 4, 60), generator.integers(0, 3, 60)
        groups = Groups.of(generator.integers(0, 9, 60).astype(str), 20, 0, "clouds-test")
        assert purity_and_nmi(groups, one, other)[1].value == pytest.approx(
            normalized_mutual_info_score(other, one)
        )
    assert purity_and_nmi(groups, np.zeros(60, int), other)[1].value == 0  # one cluster says nothing


def test_wards_clusters_are_the_clouds_of_points() -> None:
    generator = np.random.default_rng(1)
    own = np.repeat(np.arange(4), 15)
    points = generator.standard_normal((4, 5))[own] * 3 + 0.1 * generator.standard_normal((60, 5))
    assert normalized_mutual_info_score(own, ward(points, 4)) == pytest.approx(1)
    assert ward(points[:1], 4).tolist() == [0]


# -------------------------------------------------------------------------------------------- rank
def test_effective_rank_of_known_spectra() -> None:
    generator = np.random.default_rng(2)
    wide = generator.standard_normal((4000, 12))
    assert effective_rank(wide) == pytest.approx(12, rel=0.01)
    assert effective_rank(np.full((50, 12), 3.0)) == 1
    assert effective_rank(np.outer(generator.standard_normal(500), np.arange(1, 9))) == pytest.approx(1)
    # Two directions whose singular values stand as 3 to 1: exp of the entropy of (3/4, 1/4).
    circle = 2 * np.pi * np.arange(1000) / 1000
    ellipse = np.stack([3 * np.cos(circle), np.sin(circle)], axis=1)
    expected = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert effective_rank(ellipse) == pytest.approx(expected)
    # Neither place nor scale matters, which direction the variance has does not either.
    assert effective_rank(5 + 0.01 * ellipse @ np.array([[0.6, 0.8], [-0.8, 0.6]])) == pytest.approx(expected)


def test_resampled_rank_with_each_scene_once_is_the_rank() -> None:
    features = np.random.default_rng(3).standard_normal((60, 5))
    groups = Groups.of(np.repeat(list("abcdef"), 10), 8, 0, "clouds-test")
    groups.weights[0] = 1
    groups.weights[1] = [2, 0, 1, 1, 1, 1]
    found = resampled_rank(groups, features)
    drawn = np.concatenate([features[:10], features[:10], features[20:]])
    # All are moved by the same amount, to lie around the value.
    assert found.resampled[1] - found.resampled[0] == pytest.approx(effective_rank(drawn) - found.value)
    assert found.resampled.mean() == pytest.approx(found.value)


def test_the_alarm_of_a_collapse() -> None:
    generator = np.random.default_rng(4)
    healthy = generator.standard_normal((100, 8))
    assert not collapsed(healthy, effective_rank(healthy))
    line = np.outer(generator.standard_normal(100), np.ones(8)) + 1e-3 * healthy
    assert collapsed(line, effective_rank(line))
    point = 10 + 1e-4 * healthy  # full rank, but all tiles at one place
    assert effective_rank(point) > 7
    assert collapsed(point, effective_rank(point))


# ------------------------------------------------------------------------------- probes, regressions
def test_folds_keep_scenes_together_and_hold_every_class() -> None:
    tiles = STUDY.fit
    folds = by_scene(tiles.scene, tiles.regime)
    assert len(folds) == 4
    for own, held_back in folds:
        assert not set(tiles.scene[own]) & set(tiles.scene[held_back])
        assert set(tiles.regime[own]) == set(REGIMES)
    assert sorted(np.concatenate([held_back for _, held_back in folds])) == list(range(len(tiles)))
    assert by_scene(np.array(["a"] * 9), np.array(["x", "y", "z"] * 3)) == []


def test_the_probes_penalty_is_chosen_on_other_scenes() -> None:
    """Many features of noise call for a strong prior, few good ones for a weak one."""
    tiles = STUDY.fit
    noise = np.random.default_rng(0).standard_normal((len(tiles), 150))
    noisy = np.concatenate([0.4 * one_hot(tiles.regime), noise], axis=1)
    strong = fit_probe(noisy, tiles.regime, tiles.scene)
    assert strong.penalty <= 0.1
    # Six thin classes on a line: only a weak prior lets the inner ones win where they lie.
    close = one_hot(tiles.regime) @ np.array([[0.0], [1], [2], [3], [4], [5]])
    weak = fit_probe(close, tiles.regime, tiles.scene)
    assert weak.penalty >= 1
    assert weak.predict(close).tolist() == tiles.regime.tolist()


def test_probe_of_two_classes_and_of_one() -> None:
    generator = np.random.default_rng(5)
    label = np.array(["fish", "sugar"] * 30)
    features = np.where(label == "fish", 1.0, -1.0)[:, None] + 0.1 * generator.standard_normal((60, 2))
    probe = fit_probe(features, label, np.repeat(np.arange(10).astype(str), 6))
    assert (probe.predict(features) == label).all()
    assert probe.score(features).shape == (60, 2)
    assert fit_probe(features, np.full(60, "fish"), np.arange(60).astype(str)) is None
    assert fit_probe(features, label, np.full(60, "one scene")).predict(features).tolist() == label.tolist()


def test_ridge_of_a_known_line_and_r2_of_a_known_error() -> None:
    generator = np.random.default_rng(6)
    features = generator.standard_normal((400, 5))
    weights = np.array([2.0, -1.0, 0.0, 0.5, 0.0])
    scene = np.repeat(np.arange(20).astype(str), 20)
    target = features @ weights + 3 + 0.5 * generator.standard_normal(400)
    target[:7] = np.nan
    ridge = fit_ridge(features, target, scene)
    assert ridge.predict(np.zeros((1, 5))) == pytest.approx(3, abs=0.1)
    groups = Groups.of(scene, 400, 1, "clouds-test")
    found = r2(groups, target, ridge.predict(features)).triple
    expected = 1 - 0.25 / (5.25 + 0.25)
    assert found[0] == pytest.approx(expected, abs=0.02)
    assert found[1] < expected < found[2]
    assert r2(groups, target, np.full(400, np.nanmean(target))).value == pytest.approx(0)
    assert r2(groups, target + 1e6, ridge.predict(features) + 1e6).value == pytest.approx(found[0], abs=1e-6)
    assert fit_ridge(features, np.full(400, 2.0), scene) is None
    assert fit_ridge(features, np.where(np.arange(400) < 5, target[50:450 // 1][:1], np.nan), scene) is None


def test_more_features_than_tiles_still_regress() -> None:
    generator = np.random.default_rng(7)
    features = generator.standard_normal((40, 100))
    scene = np.repeat(np.arange(8).astype(str), 5)
    ridge = fit_ridge(features, features[:, 0], scene)
    assert np.isfinite(ridge.weights).all()
    assert np.corrcoef(ridge.predict(features), features[:, 0])[0, 1] > 0.5


# -------------------------------------------------------------------------------------- comparisons
def test_differences_are_paired_and_the_best_baseline_is_found() -> None:
    groups = STUDY.groups
    hard = np.random.default_rng(8).random(24)[groups.group]  # some scenes are harder, for everybody
    values = {"one": hard, "two": hard + 0.01, "three": hard - 0.1}
    judged = {
        name: Judged(dict.fromkeys(COMPARED, Measured.mean(groups, value)), {}, 1)
        for name, value in values.items()
    }
    assert best(judged, "probe") == "two"
    model = Judged(dict.fromkeys(COMPARED, Measured.mean(groups, hard + 0.02)), {}, 1)
    found = compared(model, judged, groups)
    assert found["best_baseline"]["map"] == "two"
    assert found["probe_best_baseline"] == pytest.approx((hard + 0.01).mean())
    assert found["probe_minus_best_baseline"] == pytest.approx(0.01)
    # The intervals of the two overlap by far; of the difference nothing is uncertain.
    assert found["probe_best_baseline_high"] - found["probe_best_baseline_low"] > 0.1
    assert found["probe_minus_best_baseline_low"] == pytest.approx(0.01)
    unknown = {"x": Judged(dict.fromkeys(COMPARED, Measured.unknown(groups)), {}, 1)}
    assert best(unknown, "map") is None
    assert compared(model, unknown, groups)["map_minus_best_baseline"] is None


def test_without_regimes_and_truth_the_rest_is_still_measured() -> None:
    count = len(STUDY.tiles)
    nothing = {name: np.full(count, np.nan) for name in TARGETS}
    bare = Tiles(STUDY.tiles.rows, STUDY.tiles.scene, np.full(count, ""), nothing)
    study = Study(bare, STUDY.triplets, STUDY.groups, bare, 0)
    metrics = Judge(study, nothing_perturbed(), 6).row(RANDOM[0], RANDOM[1], RANDOM[1, :0]).metrics()
    known = {name for name, value in metrics.items() if value is not None}
    assert known == {f"{name}{end}" for name in ("triplet_accuracy", "effective_rank")
                     for end in ("", "_low", "_high")}  # fmt: skip


def test_confusion_counts_true_by_predicted() -> None:
    true, predicted = np.array(["a", "a", "b"]), np.array(["a", "b", "c"])
    assert confusion(true, predicted, ["a", "b"]).tolist() == [[1, 1], [0, 0]]


# -------------------------------------------------------------------------------------- invariances
@pytest.fixture(scope="module")
def perturbed(tmp_path_factory: pytest.TempPathFactory) -> Perturbed:
    return perturb(write_scenes(tmp_path_factory.mktemp("scenes")), PARAMS)


def test_perturbed_tiles_are_where_they_should_be(perturbed: Perturbed) -> None:
    """The scenes' pixels tell their row and column."""
    shift = perturbed.kinds["shift"]
    assert shift.amounts.tolist() == list(PARAMS.evaluate.shifts_px)
    assert shift.known[shift.amounts <= 16].all()
    for number, amount in enumerate(shift.amounts):
        own = shift.known[number]
        moved = shift.images[number].astype(int) - perturbed.base
        steps = np.abs(moved[own][:, :2]).reshape(own.sum(), 2, moved[0, 0].size)
        assert (steps == steps[..., :1]).all()
        assert (steps[..., 0].sum(1) == amount).all()
        assert (shift.images[number][~own] == perturbed.base[~own]).all()
    turned = perturbed.kinds["rotation"]
    assert turned.known.all()
    half = list(DEGREES).index(180.0)
    assert (turned.images[half] == perturbed.base[:, :, ::-1, ::-1]).all()
    # A plane of brightness turned by 30° about the tile's centre is the plane of the turned gradient.
    third = turned.images[list(DEGREES).index(30.0)].astype(float)
    slope = np.diff(third[:, 0], axis=2).mean((1, 2)), np.diff(third[:, 0], axis=1).mean((1, 2))
    assert np.hypot(*slope) == pytest.approx(np.ones(len(third)), abs=0.02)
    assert np.abs(slope[0]) == pytest.approx(np.full(len(third), np.sin(np.radians(30))), abs=0.02)
    assert third.mean((2, 3)) == pytest.approx(perturbed.base.mean((2, 3)), abs=0.1)
    bright = perturbed.kinds["brightness"]
    assert bright.images[3].astype(int).max() <= 255
    plain = perturbed.base[:, :2].astype(int)
    assert (np.abs(bright.images[2][:, :2] - np.minimum(plain + 13, 255)) <= 1).all()  # 0.05 of 255


def test_stacked_tiles_come_back_by_kind(perturbed: Perturbed) -> None:
    stacked = perturbed.stacked()
    marks = np.arange(len(stacked), dtype=np.float64)[:, None]
    base, kinds = perturbed.unstacked(marks)
    assert (stacked[base[:, 0].astype(int)] == perturbed.base).all()
    for name, kind in perturbed.kinds.items():
        assert (stacked[kinds[name][..., 0].astype(int)] == kind.images).all()


def test_nothing_changes_for_who_sees_the_scene_alone(perturbed: Perturbed) -> None:
    """A code of the scene: distance 0 for every perturbation, and so continuity and invariance of one."""
    groups = Groups.of(np.unique(perturbed.scene), 50, 0, "clouds-test")
    scene = np.unique(perturbed.scene, return_inverse=True)[1]
    copies = 1 + sum(len(kind.amounts) for kind in perturbed.kinds.values())
    codes = np.eye(len(groups.names))[np.tile(scene, copies)]
    found = relative_distances(groups, perturbed, codes)
    for name, kind in perturbed.kinds.items():
        own = kind.known.any(1)
        assert (found[name].triple[own] == 0).all(), name
    assert all(one.value == 1 for one in summaries(found).values())


def test_random_features_are_as_far_as_another_scene(perturbed: Perturbed) -> None:
    groups = Groups.of(np.unique(perturbed.scene), 100, 0, "clouds-test")
    codes = np.random.default_rng(1).standard_normal((len(perturbed.stacked()), 200))
    found = relative_distances(groups, perturbed, Scaling.fit(codes).directions(codes))
    for name, kind in perturbed.kinds.items():
        own = kind.known.any(1)
        assert found[name].value[own] == pytest.approx(np.ones(own.sum()), abs=0.06), name
    assert summaries(found)["rotation_invariance"].value == pytest.approx(0, abs=0.05)


def test_distance_grows_with_the_shift_for_who_sees_the_place(perturbed: Perturbed) -> None:
    groups = Groups.of(np.unique(perturbed.scene), 100, 0, "clouds-test")
    place = perturbed.stacked()[:, :2].mean((2, 3))
    found = relative_distances(groups, perturbed, Scaling.fit(place).directions(place))["shift"].value
    found = found[np.isfinite(found)]
    assert found[0] < 0.01
    assert (np.diff(found) > 0).all()


def test_places_with_missing_pixels_are_passed_over_and_counted(tmp_path: Path) -> None:
    half = np.zeros((96, 96), bool)
    half[:30] = True
    folder = write_scenes(tmp_path / "half", change=lambda scene: with_gaps(scene, half))
    found = perturb(folder, PARAMS)
    assert found.skipped > 0
    assert len(found.base)
    assert (found.base[:, 0] >= 30).all()
    nothing = perturb(write_scenes(tmp_path / "none", change=lambda s: with_gaps(s, half | True)), PARAMS)
    assert len(nothing.base) == 0
    assert nothing.skipped > 0
    groups = Groups.of(np.array(["a", "b"]), 20, 0, "clouds-test")
    found = relative_distances(groups, nothing, np.zeros((0, 3)))
    assert np.isnan(found["shift"].triple).all()


def test_a_scene_as_small_as_a_tile_gives_what_it_can(tmp_path: Path) -> None:
    small = make_scene(0, (32, 32))
    folder = write_scenes(tmp_path, change=lambda scene: make_scene(int(scene.name[-2:]), small.plane.shape))
    found = perturb(folder, PARAMS)
    assert len(found.base)
    assert not found.kinds["shift"].known.any()
    assert found.kinds["rotation"].known.all(1).tolist() == [degrees % 90 == 0 for degrees in DEGREES]


# ------------------------------------------------------------------------------------------ gallery
def test_a_gallery_reads_rows_of_several_sources_in_order() -> None:
    first = np.arange(5 * 3 * 2 * 2, dtype=np.uint8).reshape(5, 3, 2, 2)
    second = 100 + first[:2]
    gallery = Gallery([(first, np.array([4, 1])), (second, np.array([0, 1, 0]))])
    everything = np.concatenate([first[[4, 1]], second[[0, 1, 0]]])
    assert len(gallery) == 5
    assert gallery.shape == everything.shape
    assert (gallery[1:4] == everything[1:4]).all()
    assert (gallery[np.array([4, 0, 2])] == everything[[4, 0, 2]]).all()
    assert (np.asarray(gallery) == everything).all()
    assert gallery[5:9].shape == (0, 3, 2, 2)
