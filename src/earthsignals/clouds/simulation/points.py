"""Point processes on the pattern plane, from regular to clustered, one point per unit area."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

JITTER = 0.16
CHILDREN = 3.0
CLUSTER_SIGMA = 0.32
MARGIN = 3.0
"""Points are made this far beyond the window, so that its edges look like its middle."""


@dataclass(frozen=True)
class Points:
    """Places (N, 2), and a standard normal mark (N,) each, for sizes."""

    places: np.ndarray
    marks: np.ndarray

    def nearest(self, u: np.ndarray, v: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Distances (..., count), ascending, and marks (..., count) of the points nearest to u, v."""
        distances, found = cKDTree(self.places).query(np.stack([u, v], axis=-1), k=count)
        return distances, self.marks[found]


def draw(
    generator: np.random.Generator, low: np.ndarray, high: np.ndarray,
    clustering: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> Points:  # fmt: skip
    """Points between the corners `low` and `high` (2,), of locally varying clustering in [0, 1].

    0: a triangular lattice with its points moved at random. 1: a Thomas process (Thomas 1949, Biometrika 36),
    Poisson clusters of Gaussian spread. Between: both, thinned to the share that each has; their density is
    one everywhere.
    """
    low, high = low - MARGIN, high + MARGIN
    places = np.concatenate([
        _kept(generator, _lattice(generator, low, high), lambda u, v: 1 - clustering(u, v)),
        _kept(generator, _clusters(generator, low, high), clustering),
    ])  # fmt: skip
    return Points(places, generator.standard_normal(len(places)))


def _lattice(generator: np.random.Generator, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    edge = np.sqrt(2 / np.sqrt(3))  # of triangles with one corner per unit area
    rows = np.arange(low[1], high[1], edge * np.sqrt(3) / 2)
    columns = np.arange(low[0], high[0], edge)
    u, v = np.meshgrid(columns, rows)
    u = u + edge / 2 * (np.arange(len(rows)) % 2)[:, None]
    places = np.stack([u.ravel(), v.ravel()], axis=1)
    return places + JITTER * generator.standard_normal(places.shape)


def _clusters(generator: np.random.Generator, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    parents = generator.poisson(np.prod(high - low) / CHILDREN)
    centres = generator.uniform(low, high, (parents, 2))
    children = generator.poisson(CHILDREN, parents)
    places = np.repeat(centres, children, axis=0)
    return places + CLUSTER_SIGMA * generator.standard_normal(places.shape)


def _kept(
    generator: np.random.Generator, places: np.ndarray,
    share: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:  # fmt: skip
    return places[generator.uniform(size=len(places)) < share(places[:, 0], places[:, 1])]
