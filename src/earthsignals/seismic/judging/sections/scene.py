"""What every part of an evaluation looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from earthsignals.bootstrap import Groups
from earthsignals.seismic.judging.fitted import Fitted, Models
from earthsignals.seismic.judging.population import Population
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.store.packed import Store

Metrics = dict[str, Any]
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Floor:
    """Half mean squared differences (M, 3) by component, of records at stations (M,).

    source: "twins" or "surrogates".
    """

    mse: np.ndarray
    station: np.ndarray
    source: str


@dataclass(frozen=True)
class Scene:
    """What all sections look at: records, models, what was fitted, resamples of all records' stations."""

    store: Store
    population: Population
    models: Models
    fitted: Fitted
    params: SeismicParams
    stations: Groups

    @property
    def events(self) -> np.ndarray:
        """Positions of the earthquakes."""
        return np.flatnonzero(self.population.is_event)

    @property
    def noise(self) -> np.ndarray:
        """Positions of the noise records."""
        return np.flatnonzero(~self.population.is_event)
