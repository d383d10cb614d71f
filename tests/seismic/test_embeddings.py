"""Latents arranged: groups that are there are found, and equal latents give equal arrangements."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from earthsignals.seismic.embeddings import (
    COMPONENTS,
    MOST_MAPPED,
    arrange,
    cluster,
    export,
    place_in_plane,
    principal,
)
from earthsignals.storage import EarthSignalsError


def three_groups(sizes=(40, 25, 12), width: int = 96, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Latents (N, width) around three centres ten deviations apart, and the centres' numbers."""
    rng = np.random.default_rng(seed)
    centres = np.zeros((3, width))
    centres[[0, 1, 2], [3, 50, 90]] = 10.0
    label = np.repeat(np.arange(3), sizes)
    return (centres[label] + rng.normal(0, 0.3, (len(label), width))).astype(np.float32), label


def test_groups_become_clusters_numbered_from_the_largest():
    latents, label = three_groups()
    shuffled = np.random.default_rng(1).permutation(len(latents))
    found = arrange(latents[shuffled], 3, seed=0)
    assert (found.cluster == label[shuffled]).all()  # groups were made in order of size


def test_the_map_keeps_groups_apart():
    latents, label = three_groups()
    found = arrange(latents, 3, seed=0)
    assert found.method == "t-SNE" and found.plane.dtype == np.float32
    distance = np.linalg.norm(found.plane[:, None] - found.plane[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (label[distance.argmin(1)] == label).all()


def test_equal_latents_are_arranged_equally_and_another_seed_may_differ():
    latents, _ = three_groups()
    one, two = arrange(latents, 4, seed=5), arrange(latents.copy(), 4, seed=5)
    assert (one.cluster == two.cluster).all()
    assert (one.plane == two.plane).all()


@pytest.mark.parametrize(("count", "width"), [(60, 20), (20, 60), (300, 600)])
def test_principal_scores_keep_the_leading_variance(count, width):
    """Against the singular values: scores are uncorrelated and as large as those, on either way to them."""
    latents = np.random.default_rng(2).normal(size=(count, width)) * np.geomspace(1, 0.01, width)
    scores = principal(latents)
    kept = min(COMPONENTS, count, width)
    singular = np.linalg.svd(latents - latents.mean(0), compute_uv=False)[:kept]
    assert scores.shape == (count, kept)
    np.testing.assert_allclose(np.linalg.norm(scores, axis=0), singular, atol=1e-9 * singular[0], rtol=1e-7)
    gram = scores.T @ scores
    assert np.abs(gram - np.diag(np.diag(gram))).max() < 1e-9 * gram.max()


def test_weights_say_which_numbers_count():
    """Noise of deviation 30 on other numbers drowns the groups, unless it weighs nothing."""
    latents, label = three_groups()
    weight = np.zeros(96)
    weight[[3, 50, 90]] = 1.0
    drowned = latents + 30 * (weight == 0) * np.random.default_rng(4).normal(size=latents.shape)
    assert (arrange(drowned, 3, seed=0, weight=weight).cluster == label).all()
    assert (arrange(drowned, 3, seed=0).cluster != label).any()


@pytest.mark.parametrize("count", [1, 2, 9])
def test_few_windows_are_arranged_without_a_neighbourhood(count):
    found = arrange(np.random.default_rng(0).normal(size=(count, 40)).astype(np.float32), 8, seed=0)
    assert found.method == "PCA"
    assert sorted(set(found.cluster)) == list(range(min(count, 8)))
    assert np.isfinite(found.plane).all() and found.plane.shape == (count, 2)


def test_equal_windows_are_one_cluster():
    found = arrange(np.ones((12, 40), np.float32), 4, seed=0)
    assert (found.cluster == 0).all()


def test_many_windows_are_mapped_by_their_principal_components():
    points = np.random.default_rng(0).normal(size=(MOST_MAPPED + 1, 3))
    plane, method = place_in_plane(points, 0)
    assert method == "PCA"
    np.testing.assert_array_equal(plane, points[:, :2].astype(np.float32))
    assert len(np.unique(cluster(points[:500], 8, 0))) == 8


def test_what_is_no_latent_is_refused():
    with pytest.raises(EarthSignalsError, match="cannot be arranged"):
        arrange(np.empty((0, 5)), 2, 0)
    with pytest.raises(EarthSignalsError, match="no finite numbers"):
        arrange(np.full((3, 5), np.nan), 2, 0)


def test_exported_latents_come_back_beside_what_is_known(tmp_path: Path) -> None:
    table = pd.DataFrame({"trace_channel": ["HH", "HN"], "source_magnitude": [1.5, np.nan]}, index=[7, 3])
    latents = np.arange(6, dtype=np.float32).reshape(2, 3)
    export(tmp_path / "embeddings.parquet", table, latents)
    found = pd.read_parquet(tmp_path / "embeddings.parquet")
    assert list(found["trace_channel"]) == ["HH", "HN"] and np.isnan(found["source_magnitude"][1])
    np.testing.assert_array_equal(np.stack(found["latent"]), latents)
    assert [path.name for path in tmp_path.iterdir()] == ["embeddings.parquet"]
