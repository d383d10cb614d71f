"""Embeddings arranged in two dimensions: principal components, isomap, t-SNE, UMAP.

Whatever is random is drawn from a fixed seed and axes have a fixed sign, so that the same embeddings lie in
the same places each time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from earthsignals.results import MissingData

METHODS = {"pca": "PCA", "isomap": "isomap", "tsne": "t-SNE", "umap": "UMAP"}
NEIGHBOURS = 10
"""Of the neighbourhood graph of isomap and UMAP."""
PERPLEXITY = 30.0
FEWEST = 8
"""Tiles that a plane other than that of principal components takes."""


@dataclass(frozen=True)
class Components:
    """Principal components: mean (D,), axes (K, D) of unit length, variance (K,) along each."""

    mean: np.ndarray
    axes: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, embedding: np.ndarray) -> Components:
        """Of (n, D) embeddings; the largest entry of each axis is positive."""
        mean = embedding.mean(0)
        _, spread, axes = np.linalg.svd(embedding - mean, full_matrices=False)
        axes = axes * _signs(axes)[:, None]
        return cls(mean, axes, spread**2 / len(embedding))

    @property
    def share(self) -> np.ndarray:
        """Of the whole variance, (K,)."""
        return self.variance / max(self.variance.sum(), np.finfo(float).tiny)

    def __call__(self, embedding: np.ndarray, count: int) -> np.ndarray:
        """The leading `count` components (…, count) of embeddings (…, D); NaN stays NaN."""
        return (np.asarray(embedding, np.float64) - self.mean) @ self.axes[:count].T


@dataclass(frozen=True)
class Planes:
    """Views of (n, D) embeddings, each worked out when first asked for."""

    embedding: np.ndarray
    seed: int = 0
    _found: dict[str, np.ndarray | str] = field(default_factory=dict, repr=False)

    @cached_property
    def components(self) -> Components:
        """Principal components of the embeddings."""
        return Components.of(self.embedding)

    def of(self, method: str) -> np.ndarray:
        """Places (n, 2) by a method of METHODS.

        Raises:
            MissingData: with the reason why this method has no plane: too few points, library absent.
        """
        if method not in self._found:
            try:
                self._found[method] = _oriented(self._arranged(method))
            except MissingData as reason:
                self._found[method] = str(reason)
        found = self._found[method]
        if isinstance(found, str):
            raise MissingData(found)
        return found

    def available(self) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        """Planes by method, and the reasons for the methods that have none."""
        planes, reasons = {}, {}
        for method in METHODS:
            try:
                planes[method] = self.of(method)
            except MissingData as reason:
                reasons[method] = str(reason)
        return planes, reasons

    def _arranged(self, method: str) -> np.ndarray:
        count = len(self.embedding)
        if method == "pca":
            return self.components(self.embedding, 2)
        if count < FEWEST:
            raise MissingData(f"{METHODS[method]} needs {FEWEST} tiles, there are {count}")
        return {"isomap": _isomap, "tsne": _tsne, "umap": _umap}[method](self.embedding, self.seed)


def _isomap(embedding: np.ndarray, seed: int) -> np.ndarray:
    """Tenenbaum, de Silva & Langford (2000, Science 290), over a graph that holds together."""
    from scipy.sparse.csgraph import connected_components
    from sklearn.manifold import Isomap
    from sklearn.neighbors import kneighbors_graph

    most = len(embedding) - 1
    neighbours = min(NEIGHBOURS, most)
    while neighbours < most:
        graph = kneighbors_graph(embedding, neighbours)
        if connected_components(graph, directed=False)[0] == 1:
            break
        neighbours = min(2 * neighbours, most)
    # The dense solver starts from no random vector.
    return Isomap(n_neighbors=neighbours, n_components=2, eigen_solver="dense").fit_transform(embedding)


def _tsne(embedding: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(embedding) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(embedding)


def _umap(embedding: np.ndarray, seed: int) -> np.ndarray:
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its dependencies' own
            from umap import UMAP

            neighbours = min(NEIGHBOURS, len(embedding) - 1)
            return UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1).fit_transform(embedding)
    except ImportError:
        raise MissingData("UMAP needs umap-learn: pip install umap-learn") from None


def _oriented(plane: np.ndarray) -> np.ndarray:
    """Centred, with the place farthest out along each axis on its positive side."""
    plane = np.asarray(plane, np.float64)
    plane = plane - plane.mean(0)
    return plane * _signs(plane.T)


def _signs(rows: np.ndarray) -> np.ndarray:
    """Per row the sign of its largest entry, 1 for rows of zeros."""
    largest = np.take_along_axis(rows, np.abs(rows).argmax(1)[:, None], 1)[:, 0]
    return np.where(largest < 0, -1.0, 1.0)
