"""Latents arranged: clusters, and a map in two dimensions.

Both are made from leading principal components of the latents, each number weighed by how much of the image
hangs on it (a bottleneck scales its numbers to like spread, and tells that weight). Equal latents give equal
results on one machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.cluster import KMeans
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from earthsignals.storage import EarthSignalsError, atomic_path

COMPONENTS = 32
"""Principal components that distances are taken in."""
MOST_MAPPED = 4000
"""Points that t-SNE is asked to place: some 20 s of a core. Of more, the map is of principal components."""
PERPLEXITY = 30.0


@dataclass(frozen=True)
class Arrangement:
    """Where N latents lie."""

    cluster: np.ndarray
    """(N,) int64, from 0 for the largest."""
    plane: np.ndarray
    """(N, 2) float32, without unit; only who is near whom counts."""
    method: str
    """`t-SNE` or `PCA`: how the map was made."""


def arrange(
    latents: np.ndarray, clusters: int, seed: int, *, weight: np.ndarray | None = None
) -> Arrangement:
    """Clusters and map of latents (N, L), any N ≥ 1; at most N clusters are made.

    weight: (L,), of each number in distances; None weighs all alike.

    Raises EarthSignalsError for no latents, or values that are no finite numbers.
    """
    points = principal(latents if weight is None else latents * np.asarray(weight, np.float64))
    plane, method = place_in_plane(points, seed)
    return Arrangement(cluster(points, clusters, seed), plane, method)


def principal(latents: np.ndarray) -> np.ndarray:
    """Scores (N, ≤ COMPONENTS) float64 of latents (N, L) on their leading principal components."""
    latents = np.asarray(latents, np.float64)
    if latents.ndim != 2 or not latents.size:
        raise EarthSignalsError(
            f"latents of shape {latents.shape} cannot be arranged: expected (N, L) with N of 1 or more"
        )
    if not np.isfinite(latents).all():
        raise EarthSignalsError("latents hold values that are no finite numbers: train the model again")
    # One thread: sums in another order would be another map.
    with threadpool_limits(1):
        centred = latents - latents.mean(0)
        basis = _leading(centred, min(COMPONENTS, *latents.shape))
        return centred @ basis


def _leading(centred: np.ndarray, count: int) -> np.ndarray:
    """The `count` leading principal directions (L, count), the largest entry of each positive."""
    if len(centred) > centred.shape[1]:
        basis = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :count]
    else:
        basis = np.linalg.svd(centred, full_matrices=False)[2][:count].T
    largest = np.take_along_axis(basis, np.abs(basis).argmax(0)[None], 0)
    return basis * np.where(largest < 0, -1.0, 1.0)


def cluster(points: np.ndarray, count: int, seed: int) -> np.ndarray:
    """k-means of points (N, D), best of ten starts: labels (N,) int64, 0 for the largest cluster."""
    distinct = len(np.unique(points, axis=0))
    with threadpool_limits(1):
        found = KMeans(min(count, distinct), n_init=10, random_state=seed).fit_predict(points)
    sizes = np.bincount(found)
    rank = np.empty(len(sizes), np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return rank[found]


def place_in_plane(points: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    """A map (N, 2) float32 of points (N, D), as `principal` gives them, and the method's name.

    t-SNE (van der Maaten & Hinton 2008, JMLR 9), started from the first two components, since a random start
    scatters what belongs together (Kobak & Linderman 2021, Nat. Biotechnol. 39); those two components alone
    for fewer than ten points, more than MOST_MAPPED, or points that are all the same.
    """
    plane = np.zeros((len(points), 2), np.float32)
    plane[:, : points.shape[1]] = points[:, :2]
    spread = float(plane[:, 0].std())
    if not 10 <= len(points) <= MOST_MAPPED or spread == 0:
        return plane, "PCA"
    perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
    with threadpool_limits(1):
        made = TSNE(
            2, perplexity=perplexity, init=plane / spread * 1e-4, random_state=seed, n_jobs=1
        ).fit_transform(points)
    return made.astype(np.float32), "t-SNE"


def export(path: Path, metadata: pd.DataFrame, latents: np.ndarray) -> None:
    """Write stored records with all that is known of them, and their latents (N, L), as Parquet, atomically.

    `latent` is a list of L float32; the other columns are those of the store's `metadata.csv`.
    """
    flat = pa.array(np.ascontiguousarray(latents, np.float32).reshape(-1))
    table = pa.Table.from_pandas(metadata, preserve_index=False)
    table = table.append_column("latent", pa.FixedSizeListArray.from_arrays(flat, latents.shape[1]))
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)
