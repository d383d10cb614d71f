"""Stand-ins for what the view of seismic is drawn from: the small store, and latents in two clouds."""

from __future__ import annotations

import numpy as np

from earthsignals.seismic.judging.population import Population
from earthsignals.seismic.pages import Inputs
from earthsignals.seismic.spectrogram.image import Preprocessing, SpectrogramImage

from .stand_ins import SMALL, small_store


def made_inputs() -> Inputs:
    """All records of the store; noise lies apart from earthquakes."""
    store = small_store()
    population = Population.of(store, np.arange(len(store)))
    latent = np.random.default_rng(1).normal(size=(len(store), 8)).astype(np.float32)
    latent[~population.is_event] += 6
    arrays = population.arrays() | {
        "embedding/latent": latent, "embedding/weight": np.ones(8, np.float32),
        "embedding/clusters": np.array(2),
    }  # fmt: skip
    return Inputs(arrays, store, SpectrogramImage(Preprocessing.from_params(SMALL)))
