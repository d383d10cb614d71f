"""Do regimes come out as clusters when nobody names them?"""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from earthsignals.bootstrap import Groups
from earthsignals.clouds.judging.measured import Measured, group_sums

LARGEST = 6000
"""Tiles that are clustered at most: Ward's method holds the distances of all pairs."""


def ward(directions: np.ndarray, clusters: int) -> np.ndarray:
    """Ward's clusters (N,) from 0 of directions (N, F), as many as asked for (Ward 1963, JASA 58)."""
    if len(directions) < 2:
        return np.zeros(len(directions), np.int64)
    return fcluster(linkage(directions, "ward"), clusters, "maxclust").astype(np.int64) - 1


def purity_and_nmi(groups: Groups, cluster: np.ndarray, label: np.ndarray) -> tuple[Measured, Measured]:
    """Purity and normalised mutual information of clusters (N,) and classes (N,), both integers from 0.

    Purity is the share of tiles that belong to the commonest class of their cluster; NMI the mutual
    information over the mean of the entropies (Manning et al. 2008, section 16.3): 1 for equal partitions, 0
    for independent ones. The clusters stay; the interval resamples the scenes that are counted, centred.
    """
    one_hot = np.zeros((len(label), int(cluster.max()) + 1, int(label.max()) + 1))
    one_hot[np.arange(len(label)), cluster, label] = 1
    sums = group_sums(groups, one_hot)
    table, tables = sums.sum(0), np.tensordot(groups.weights, sums, axes=(1, 0))
    found = Measured(_purity(table), _purity(tables)), Measured(_nmi(table), _nmi(tables))
    return found[0].centred(), found[1].centred()


def _purity(table: np.ndarray) -> np.ndarray:
    """Of contingency tables (..., K, C)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return table.max(-1).sum(-1) / table.sum((-2, -1))


def _nmi(table: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        share = table / table.sum((-2, -1), keepdims=True)
    cluster, label = _entropy(share.sum(-1), -1), _entropy(share.sum(-2), -1)
    mutual = cluster + label - _entropy(share, (-2, -1))
    mean = (cluster + label) / 2
    return np.where(mean > 0, np.clip(mutual, 0, None) / np.where(mean > 0, mean, 1), 0.0)


def _entropy(share: np.ndarray, axis: int | tuple[int, int]) -> np.ndarray:
    return -(share * np.log(np.where(share > 0, share, 1))).sum(axis)
