"""Is the neighbour nearer than another scene's tile?

The share of triplets for which it is rewards whatever tells scenes apart, be it the sun's height: alone it is
a false headline. Among tiles of one regime only differences within the regime help.
"""

from __future__ import annotations

import numpy as np

from earthsignals.clouds.judging.measured import Measured
from earthsignals.clouds.judging.space import distance, distances
from earthsignals.clouds.judging.tiles import Study


def triplet_accuracy(study: Study, directions: np.ndarray) -> Measured:
    """Share of the triplets whose neighbour is nearer to the anchor than the distant tile; ties half.

    directions: (N, F) of the study's tiles. Resampled by the anchor's scene.
    """
    anchor, neighbour, distant = study.triplets.T
    near = distance(directions[anchor], directions[neighbour])
    far = distance(directions[anchor], directions[distant])
    won = (near < far) + 0.5 * (near == far)
    return Measured.mean(study.groups.subset(anchor), won)


def same_class_triplet_accuracy(study: Study, directions: np.ndarray) -> Measured:
    """How often the neighbour is nearer than a tile of the same regime from another scene; ties half.

    For each anchor the share of all such tiles; the mean of that over anchors. NaN without regimes.
    """
    anchor, neighbour, _ = study.triplets.T
    regime, scene = study.tiles.regime, study.tiles.scene
    won = np.full(len(anchor), np.nan)
    for name in study.tiles.regimes:
        candidates = np.flatnonzero(regime == name)
        for part in np.array_split(np.flatnonzero(regime[anchor] == name), 1 + len(candidates) // 1000):
            if not len(part):
                continue
            far = distances(directions[anchor[part]], directions[candidates])
            near = distance(directions[anchor[part]], directions[neighbour[part]])[:, None]
            other = scene[anchor[part]][:, None] != scene[candidates]
            counts = other.sum(1)
            wins = (((near < far) + 0.5 * (near == far)) * other).sum(1)
            won[part] = np.where(counts > 0, wins / np.maximum(counts, 1), np.nan)
    return Measured.mean(study.groups.subset(anchor), won)
