"""Ward's tree of the tiles' embeddings, cut into leaves, and the tiles that stand for a leaf."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import dendrogram, linkage

from earthsignals.compute.seeds import philox

LEAVES = 12
EXAMPLES = ("random", "central", "best", "worst")
"""Of each leaf: one drawn at random; the one nearest to the leaf's mean; those whose triplet the embedding
tells apart best and worst, by the distance to its distant tile minus that to its neighbour."""


@dataclass(frozen=True)
class Tree:
    """The upper part of a dendrogram (Ward 1963, J. Am. Stat. Assoc. 58).

    leaf: (n,) number of each tile's leaf, from left to right. x, height: (L - 1, 4) corners of each join's
    bracket; the leaf k stands at x = k. Branches end at `cut`, the height below which nothing is drawn.
    """

    leaf: np.ndarray
    x: np.ndarray
    height: np.ndarray
    cut: float

    @classmethod
    def of(cls, embedding: np.ndarray, leaves: int = LEAVES) -> Tree:
        """The tree of (n, D) embeddings, n ≥ 2, with at most `leaves` leaves."""
        count = len(embedding)
        joins = linkage(embedding, "ward")
        drawn = dendrogram(joins, truncate_mode="lastp", p=min(leaves, count), no_plot=True)
        leaf = np.empty(count, np.int64)
        for number, node in enumerate(drawn["leaves"]):
            leaf[_members(joins, node, count)] = number
        height = np.array(drawn["dcoord"], float)
        lower = joins[: count - min(leaves, count), 2]
        cut = float(lower.max()) if len(lower) else 0.0
        return cls(leaf, (np.array(drawn["icoord"], float) - 5) / 10, np.maximum(height, cut), cut)

    @property
    def leaves(self) -> int:
        return int(self.leaf.max()) + 1

    def members(self, leaf: int) -> np.ndarray:
        """Positions of a leaf's tiles."""
        return np.flatnonzero(self.leaf == leaf)

    def examples(self, embedding: np.ndarray, margin: np.ndarray, seed: int) -> np.ndarray:
        """Positions (EXAMPLES, leaves) of the tiles that stand for each leaf.

        margin: (n,); where none of a leaf's is known, best and worst are -1.
        """
        chosen = np.full((len(EXAMPLES), self.leaves), -1, np.int64)
        for leaf in range(self.leaves):
            own = self.members(leaf)
            away = ((embedding[own] - embedding[own].mean(0)) ** 2).sum(1)
            chosen[0, leaf] = philox(seed, "clouds-leaves", leaf).choice(own)
            chosen[1, leaf] = own[away.argmin()]
            judged = own[np.isfinite(margin[own])]
            if len(judged):
                chosen[2, leaf] = judged[margin[judged].argmax()]
                chosen[3, leaf] = judged[margin[judged].argmin()]
        return chosen


def _members(joins: np.ndarray, node: int, count: int) -> list[int]:
    """The observations below a node of a linkage."""
    found, stack = [], [int(node)]
    while stack:
        at = stack.pop()
        if at < count:
            found.append(at)
        else:
            stack.extend(joins[at - count, :2].astype(int).tolist())
    return found
