"""Principal components of tiles, and of their power spectra: linear codes as long as the embedding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.decomposition import PCA

from earthsignals.clouds.features.brightness import coarse, grey, over_chunks, standardised
from earthsignals.clouds.features.spectrum import log_power
from earthsignals.compute.seeds import philox

EDGE = 64
"""Pixels that a tile is averaged to: the leading components of images are smooth."""
WAVENUMBERS = 32
"""Cycles per tile up to which a spectrum is looked at: as far as EDGE pixels show them."""


def pca_of_tiles(fit: np.ndarray, images: np.ndarray, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes (M, k) and (N, k) of tiles (M or N, 3, P, P); k = `size`, or M − 1 if that is less.

    Fitted to the grey tiles of `fit`, each with mean 0 and variance 1, so that brightness takes no component.
    """
    return _codes(_pixels, fit, images, size, seed)


def pca_of_spectra(
    fit: np.ndarray, images: np.ndarray, size: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same of the logarithms of power spectra, which do not depend on where in the tile a cloud lies."""
    return _codes(lambda tiles: log_power(tiles, WAVENUMBERS), fit, images, size, seed)


def _pixels(images: np.ndarray) -> np.ndarray:
    return over_chunks(
        lambda few: coarse(standardised(grey(few)), EDGE).reshape(len(few), -1).astype(np.float32), images
    )


def _codes(
    describe: Callable[[np.ndarray], np.ndarray], fit: np.ndarray, images: np.ndarray, size: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    values = describe(fit)
    size = max(1, min(size, len(values) - 1, values.shape[1]))
    start = int(philox(seed, "clouds-pca").integers(2**31))
    model = PCA(size, svd_solver="randomized", random_state=start, iterated_power=5)
    codes = model.fit_transform(values)
    return codes, over_chunks(lambda few: model.transform(describe(few)), images)
