"""What an embedding has to beat: descriptions of a tile that nobody had to train a network for.

Each enters at its best: heavy-tailed metrics as logarithms, undefined ones imputed and marked, principal
components as many as the embedding has, and `classical`, which knows all that statistics, spectrum and
organisation metrics know together. `scattering` is what the network is given and has not learnt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earthsignals.clouds.features.imputation import Imputer
from earthsignals.clouds.features.network import random_network
from earthsignals.clouds.features.organisation import organisation
from earthsignals.clouds.features.pca import pca_of_spectra, pca_of_tiles
from earthsignals.clouds.features.scattering import scattering
from earthsignals.clouds.features.spectrum import spectrum
from earthsignals.clouds.features.statistics import statistics
from earthsignals.clouds.judging.gallery import Gallery
from earthsignals.clouds.params import CloudsParams

NAMES = (
    "statistics", "spectrum", "organisation", "classical", "scattering", "pca", "pca_spectrum",
    "random_network",
)  # fmt: skip
MIXED_UNITS = frozenset({"statistics", "spectrum", "organisation", "classical", "scattering"})
"""Rows whose features are of different kinds: their singular values are not comparable."""

Row = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Baselines:
    """rows: by name features of the tiles that rules are fitted to (M, F) and of those judged (N, F).

    imputed: how many values of the organisation metrics were not defined and filled with a median.
    """

    rows: dict[str, Row]
    imputed: int


def describe(fit_images: np.ndarray, images: np.ndarray, params: CloudsParams) -> Baselines:
    """All baselines of tiles (M, 3, P, P) and (N, 3, P, P) uint8.

    Whatever a description learns (components, medians), it learns from `fit_images`.
    """
    both = {
        "statistics": (statistics(fit_images), statistics(images)),
        "spectrum": (spectrum(fit_images), spectrum(images)),
    }
    count = len(fit_images)
    every = Gallery([(fit_images, np.arange(count)), (images, np.arange(len(images)))])
    raw = organisation(every)  # in one go: workers start once
    filled, imputed = Imputer.fit(raw[:count]).fill(raw)
    both["organisation"] = filled[:count], filled[count:]
    both["classical"] = tuple(
        np.concatenate([both[name][side] for name in ("statistics", "spectrum", "organisation")], axis=1)
        for side in (0, 1)
    )
    both["scattering"] = scattering(fit_images), scattering(images)
    size, seed = params.network.embedding, params.evaluate.seed
    both["pca"] = pca_of_tiles(fit_images, images, size, seed)
    both["pca_spectrum"] = pca_of_spectra(fit_images, images, size, seed)
    both["random_network"] = random_network(fit_images, images, params)
    return Baselines(both, imputed)


def rows(fit_images: np.ndarray, images: np.ndarray, params: CloudsParams) -> dict[str, Row]:
    """The rows of `describe` alone: features of the tiles fitted to and of those judged, by NAMES."""
    return describe(fit_images, images, params).rows
