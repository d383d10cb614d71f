"""Errors by what a record is: kind of instrument, signal-to-noise ratio, magnitude, distance, component."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from earthsignals.bootstrap import Groups, named

EDGES = {
    "snr": (-20.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 100.0),  # dB
    "magnitude": (-1.0, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 9.0),
    "distance": (0.0, 10.0, 25.0, 50.0, 75.0, 100.0, 150.0, 500.0),  # km
}
"""Bins are closed at their lower edge; what lies outside, or is unknown, is in none."""


@dataclass(frozen=True)
class Grouping:
    """Records (N,) int64 by number of their group, -1 for none; names of the groups; edges of bins."""

    member: np.ndarray
    names: list[str]
    edges: np.ndarray | None = None

    @property
    def counts(self) -> np.ndarray:
        """Records in each group."""
        return np.array([(self.member == group).sum() for group in range(len(self.names))])


def by_bins(quantity: str, values: np.ndarray) -> Grouping:
    """Bins of EDGES[quantity]; empty ones at both ends are left away."""
    edges = np.array(EDGES[quantity])
    member = np.where(np.isfinite(values), np.searchsorted(edges, values, side="right") - 1, -1)
    member[member == len(edges) - 1] = -1
    used = np.unique(member[member >= 0])
    if not len(used):
        return Grouping(np.full(len(values), -1), [], edges[:1])
    first, last = used[0], used[-1]
    edges = edges[first : last + 2]
    names = [f"{low:g}..{high:g}" for low, high in zip(edges, edges[1:], strict=False)]
    return Grouping(np.where(member >= 0, member - first, -1), names, edges)


def by_name(values: np.ndarray) -> Grouping:
    """One group for each name."""
    names, member = np.unique(np.asarray(values).astype(str), return_inverse=True)
    return Grouping(member.astype(np.int64), names.tolist())


def means(grouping: Grouping, values: np.ndarray, stations: Groups) -> np.ndarray:
    """Mean of values (N,) in each group with its interval over stations: (groups, 3)."""
    found = np.full((len(grouping.names), 3), np.nan)
    for group in range(len(grouping.names)):
        chosen = grouping.member == group
        if chosen.any():
            found[group] = stations.subset(chosen).mean(np.asarray(values)[chosen])
    return found


def table(grouping: Grouping, methods: Mapping[str, np.ndarray]) -> dict[str, dict[str, object]]:
    """For JSON: by group the number of records and of each method mean, low and high.

    methods: (groups, 3) each, as from `means`. Groups without a record are left out.
    """
    return {
        name: {"records": int(count)}
        | {key: value for method in methods for key, value in named(method, methods[method][row]).items()}
        for row, (name, count) in enumerate(zip(grouping.names, grouping.counts, strict=True))
        if count
    }
