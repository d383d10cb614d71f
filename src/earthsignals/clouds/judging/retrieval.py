"""Does a query find tiles of its own regime, taken in other scenes?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earthsignals.clouds.judging.measured import Measured
from earthsignals.clouds.judging.space import distances
from earthsignals.clouds.judging.tiles import Study

DEPTH = 50
BLOCK = 512


@dataclass(frozen=True)
class Retrieval:
    """Mean average precision, and the mean precision among the first 1, 2, … k found."""

    mean_average_precision: Measured
    precision_at_k: Measured


def retrieve(study: Study, directions: np.ndarray) -> Retrieval:
    """Every study tile with a known regime as query, all such tiles of other scenes as candidates.

    directions: (N, F). Candidates of the query's own scene are left out: finding the scene again is easy. The
    average precision of a query is the mean, over the relevant candidates, of the precision among those
    ranked no lower (Manning et al. 2008, section 8.4). The intervals resample the queries' scenes.
    """
    regime, scene = study.tiles.regime, study.tiles.scene
    known = np.flatnonzero(regime != "")
    average = np.full(len(regime), np.nan)
    first = np.full((len(regime), DEPTH), np.nan)
    for start in range(0, len(known), BLOCK):
        part = known[start : start + BLOCK]
        apart = distances(directions[part], directions[known])
        apart[scene[part][:, None] == scene[known]] = np.inf
        order = np.argsort(apart, axis=1, kind="stable")
        relevant = regime[known][order] == regime[part][:, None]
        relevant &= np.isfinite(np.take_along_axis(apart, order, axis=1))
        precision = np.cumsum(relevant, axis=1) / np.arange(1, len(known) + 1)
        total = relevant.sum(1)
        found = (precision * relevant).sum(1) / np.maximum(total, 1)
        average[part] = np.where(total > 0, found, np.nan)
        reach = min(DEPTH, len(known))
        first[part, :reach] = np.where(total[:, None] > 0, precision[:, :reach], np.nan)
    return Retrieval(Measured.mean(study.groups, average), Measured.mean(study.groups, first))
