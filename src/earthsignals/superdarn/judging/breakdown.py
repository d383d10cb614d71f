"""Skill by magnetic latitude and local time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from earthsignals.superdarn.baselines import SECTORS, bands
from earthsignals.superdarn.judging.pairs import Table

FEWEST = 50
"""Vectors below which a cell's skill is left out: a handful of vectors of one radar tells nothing."""


@dataclass(frozen=True)
class Binned:
    """Mean squared errors by cell of latitude and local time.

    mlat_edges: (bands + 1,) degrees; mlt_edges: (sectors + 1,) hours. count: (L, bands, sectors) int64;
    error: by method (L, bands, sectors), sums of squared errors in (m/s)².
    """

    mlat_edges: np.ndarray
    mlt_edges: np.ndarray
    count: np.ndarray
    error: Mapping[str, np.ndarray]

    def skill(self, method: str, reference: str, over: tuple[int, ...] = ()) -> np.ndarray:
        """Skill of `method` over `reference`, summed over these axes; NaN below FEWEST vectors."""
        own, other, count = (
            values.sum(over) if over else values
            for values in (self.error[method], self.error[reference], self.count)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(count >= FEWEST, 1 - own / other, np.nan)

    def rmse(self, method: str, over: tuple[int, ...]) -> np.ndarray:
        """RMSE in m/s, summed over these axes; NaN below FEWEST vectors."""
        count = self.count.sum(over)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(count >= FEWEST, np.sqrt(self.error[method].sum(over) / count), np.nan)


def binned(table: Table, chosen: np.ndarray, methods: tuple[str, ...], latitude_min: float) -> Binned:
    """Sums over the rows `chosen` (n,) bool."""
    mlat_edges, mlt_edges = bands(latitude_min), np.linspace(0.0, 24.0, SECTORS + 1)
    shape = (len(table.leads_minutes), len(mlat_edges) - 1, len(mlt_edges) - 1)
    band = np.digitize(table.mlat[chosen], mlat_edges[1:-1])
    sector = np.digitize(table.mlt[chosen], mlt_edges[1:-1])
    code = np.ravel_multi_index((table.lead[chosen].astype(np.int64), band, sector), shape)
    observed = table.observed[chosen].astype(np.float64)

    def total(values: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(code, values, int(np.prod(shape))).reshape(shape)

    error = {
        name: total((table.predictions[name][chosen].astype(np.float64) - observed) ** 2)
        for name in methods
    }
    return Binned(mlat_edges, mlt_edges, total(), error)
