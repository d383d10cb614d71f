"""Skill and anomaly correlation by magnetic latitude and local time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from earthsignals.superdarn.baselines import SECTORS, bands
from earthsignals.superdarn.judging.pairs import Table
from earthsignals.superdarn.judging.skill import CLIMATOLOGY

FEWEST = 50
"""Vectors below which a cell's scores are left out: a handful of vectors of one radar tells nothing."""


@dataclass(frozen=True)
class Binned:
    """Sums over the vectors of each cell of latitude and local time, from which its scores follow.

    mlat_edges: (bands + 1,) degrees; mlt_edges: (sectors + 1,) hours. count: (L, bands, sectors) int64;
    anomaly (Σ o'²): (L, bands, sectors); error (Σ (f − o)²), product (Σ f'o'), power (Σ f'²): the same by
    method, float64, (m/s)². Dashes: less the climatology.
    """

    mlat_edges: np.ndarray
    mlt_edges: np.ndarray
    count: np.ndarray
    error: Mapping[str, np.ndarray]
    product: Mapping[str, np.ndarray]
    power: Mapping[str, np.ndarray]
    anomaly: np.ndarray

    def skill(self, method: str, reference: str, over: tuple[int, ...] = ()) -> np.ndarray:
        """Skill of `method` over `reference`, summed over these axes; NaN below FEWEST vectors."""
        return self._statistic(lambda count, e, r: 1 - e / r, over, self.error[method], self.error[reference])

    def anomaly_correlation(self, method: str, over: tuple[int, ...] = ()) -> np.ndarray:
        """Σ f'o' / √(Σ f'² Σ o'²), not centred (as `Sums` has it), summed over these axes; NaN below FEWEST
        vectors and where nothing departs from the climatology.
        """
        sums = self.product[method], self.power[method], self.anomaly
        return self._statistic(lambda count, p, f, o: p / np.sqrt(f * o), over, *sums)

    def rmse(self, method: str, over: tuple[int, ...]) -> np.ndarray:
        """RMSE in m/s, summed over these axes; NaN below FEWEST vectors."""
        return self._statistic(lambda count, e: np.sqrt(e / count), over, self.error[method])

    def _statistic(
        self, formula: Callable[..., np.ndarray], over: tuple[int, ...], *sums: np.ndarray
    ) -> np.ndarray:
        count, *parts = (values.sum(over) for values in (self.count, *sums))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(count >= FEWEST, formula(count, *parts), np.nan)


def binned(table: Table, chosen: np.ndarray, methods: tuple[str, ...], latitude_min: float) -> Binned:
    """Sums over the rows `chosen` (n,) bool; predictions there, the climatology's too, must be finite."""
    mlat_edges, mlt_edges = bands(latitude_min), np.linspace(0.0, 24.0, SECTORS + 1)
    shape = (len(table.leads_minutes), len(mlat_edges) - 1, len(mlt_edges) - 1)
    band = np.digitize(table.mlat[chosen], mlat_edges[1:-1])
    sector = np.digitize(table.mlt[chosen], mlt_edges[1:-1])
    code = np.ravel_multi_index((table.lead[chosen].astype(np.int64), band, sector), shape)

    def total(values: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(code, values, int(np.prod(shape))).reshape(shape)

    observed = table.observed[chosen].astype(np.float64)
    mean = table.predictions[CLIMATOLOGY][chosen].astype(np.float64)
    anomaly = observed - mean
    error, product, power = {}, {}, {}
    for name in methods:
        forecast = table.predictions[name][chosen].astype(np.float64)
        error[name] = total((forecast - observed) ** 2)
        product[name] = total((forecast - mean) * anomaly)
        power[name] = total((forecast - mean) ** 2)
    return Binned(mlat_edges, mlt_edges, total(), error, product, power, total(anomaly**2))
