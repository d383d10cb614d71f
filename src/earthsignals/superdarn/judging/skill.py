"""RMSE, skill and anomaly correlation with their intervals, from sums over blocks of time.

Skill is 1 − MSE / MSE of a reference on the same vectors: 0 is no better, 1 is perfect (Murphy 1988, Monthly
Weather Review 116). Errors of neighbouring vectors and minutes go together, so intervals come from
resampling whole blocks of time (`earthsignals.bootstrap`); every statistic sees the same resamples, which
makes differences paired.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earthsignals.bootstrap import draws, with_interval
from earthsignals.superdarn.judging.pairs import Table

STREAM = "superdarn-bootstrap"
CLIMATOLOGY, DAMPED = "climatology", "damped"


@dataclass(frozen=True)
class Blocks:
    """Blocks of time (G,) and their resamples (B, G), shared by all statistics of one table."""

    names: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, table: Table, resamples: int, seed: int) -> Blocks:
        names = np.unique(table.group)
        return cls(names, draws(max(len(names), 1), resamples, seed, STREAM))


@dataclass(frozen=True)
class Sums:
    """Sums over the vectors of each block and lead, from which all scores follow.

    count, anomaly (Σ o'²): (G, L); error (Σ (f − o)²), product (Σ f'o'), power (Σ f'²): (M, G, L) float64.
    Dashes: less the climatology. weights: (B, G).
    """

    methods: tuple[str, ...]
    weights: np.ndarray
    count: np.ndarray
    error: np.ndarray
    product: np.ndarray
    power: np.ndarray
    anomaly: np.ndarray

    @classmethod
    def of(cls, table: Table, blocks: Blocks, chosen: np.ndarray, predictions: dict[str, np.ndarray]) -> Sums:
        """Of the rows `chosen` (n,) bool, for methods by name; every prediction there must be finite."""
        leads, groups = len(table.leads_minutes), len(blocks.names)
        code = np.searchsorted(blocks.names, table.group[chosen]) * leads + table.lead[chosen]

        def total(values: np.ndarray | None = None) -> np.ndarray:
            return np.bincount(code, values, groups * leads).reshape(groups, leads).astype(np.float64)

        observed = table.observed[chosen].astype(np.float64)
        mean = predictions[CLIMATOLOGY][chosen].astype(np.float64)
        anomaly = observed - mean
        error, product, power = [], [], []
        for values in predictions.values():
            forecast = values[chosen].astype(np.float64)
            error.append(total((forecast - observed) ** 2))
            product.append(total((forecast - mean) * anomaly))
            power.append(total((forecast - mean) ** 2))
        return cls(
            tuple(predictions), blocks.weights, total(), np.stack(error), np.stack(product), np.stack(power),
            total(anomaly**2),
        )  # fmt: skip

    @property
    def vectors(self) -> np.ndarray:
        """Number of vectors by lead (L,)."""
        return self.count.sum(0)

    def rmse(self, method: str) -> np.ndarray:
        """(L, 3) m/s: value, low, high; NaN where there is no vector."""
        error = self.error[self.methods.index(method)]
        return self._statistic(lambda count, e: np.sqrt(e / count), self.count, error)

    def skill(self, method: str, reference: str) -> np.ndarray:
        """1 − MSE(method) / MSE(reference): (L, 3) value, low, high."""
        own, other = (self.error[self.methods.index(name)] for name in (method, reference))
        return self._statistic(lambda e, r: 1 - e / r, own, other)

    def anomaly_correlation(self, method: str) -> np.ndarray:
        """Σ f'o' / √(Σ f'² Σ o'²): (L, 3) value, low, high.

        Not centred: a vector's sign is a convention (it stands in the azimuth), so that there is no mean
        to take off; turning any of the vectors around leaves this as it is.
        """
        number = self.methods.index(method)
        return self._statistic(
            lambda p, f, o: p / np.sqrt(f * o), self.product[number], self.power[number], self.anomaly
        )

    def _statistic(self, formula, *sums: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            value = formula(*(part.sum(0) for part in sums))
            resampled = formula(*(self.weights @ part for part in sums))
        return with_interval(value, resampled)


def with_fallback(table: Table) -> dict[str, np.ndarray]:
    """Predictions for all vectors: where a radar saw nothing before, damped ones are the climatology.

    Persistence itself says nothing there and is left out.
    """
    mean = table.predictions[CLIMATOLOGY]
    return {
        name: np.where(np.isfinite(values), values, mean)
        for name, values in table.predictions.items() if name != "persistence"
    }  # fmt: skip
