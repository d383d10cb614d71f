"""The linear solution that the autoencoder starts from, and the guises in which it sees its records.

Training records come in several guises: as they are, and with the horizontal components turned and time
stretched by a few per cent. The speckle of each guise is new, so that directions which serve all of them are
those of earthquakes and instruments rather than of single records' random scatter. On held-out stations they
leave less than the principal components of the plain records do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from earthsignals.compute.mapping import progress
from earthsignals.compute.seeds import philox
from earthsignals.seismic.pca import Pca, orthonormal, turned_to
from earthsignals.seismic.spectrogram.batches import turn_horizontals
from earthsignals.seismic.spectrogram.image import Preprocessing, SpectrogramImage
from earthsignals.seismic.spectrogram.stretch import stretch
from earthsignals.seismic.store.packed import Store, evenly

BLOCK = 64  # records that are stretched by one factor
STRETCH = 0.05  # largest relative change of time
STARTING = 1536  # records whose exact components start the iteration, if they are enough for them
ROUNDS = 2  # of the iteration, each over guises of its own


@dataclass(frozen=True)
class Guises:
    """Images of rows of a store, block by block; guise 0 are the records as they are.

    A block of a guise is a function of (seed, guise, block) alone.
    """

    store: Store
    rows: np.ndarray
    preprocessing: Preprocessing
    seed: int = 0

    def blocks(self, guise: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, 3, F, T) and masks (B, 1, 1, T) of all rows in order."""
        image = SpectrogramImage(self.preprocessing)
        for number, start in enumerate(range(0, len(self.rows), BLOCK)):
            rows = self.rows[start : start + BLOCK]
            mask = image.frame_mask(torch.from_numpy(self.store.valid(rows)), self.store.samples)
            waveforms = self.store.read(rows)
            if guise:
                self._disguise(waveforms, philox(self.seed, f"seismic-guise-{guise}", number))
            yield image.images(torch.from_numpy(waveforms)).x, mask

    def _disguise(self, waveforms: np.ndarray, random: np.random.Generator) -> None:
        for waveform, azimuth in zip(waveforms, random.uniform(0, 2 * np.pi, len(waveforms)), strict=True):
            turn_horizontals(waveform, azimuth)
        factor = 1 + random.choice(np.linspace(-STRETCH, STRETCH, 32))
        waveforms[:] = stretch(waveforms, factor, self.preprocessing.window.p_sample)


def linear_start(guises: Guises, components: int, number: int) -> Pca:
    """Leading directions of `number` guises (at least 1: the records as they are), by subspace iteration.

    It starts from the exact principal components of an even choice of records. In each round the images are
    projected on the directions so far and summed with their coefficients; what the sums span is the next
    subspace. With a start as good as this, two rounds do.
    """
    few = Guises(guises.store, evenly(guises.rows, max(STARTING, 2 * components)), guises.preprocessing)
    linear = Pca.fit(torch.cat([x.flatten(1) for x, _ in few.blocks(0)]), components)
    shares = np.array_split(np.arange(number), min(ROUNDS, number))
    plain: list[Tensor] = []  # sums of guise 0, for the mean
    with progress("leading directions", number * len(guises.rows), "records") as bar:
        for share in shares:
            grown = torch.zeros_like(linear.basis)
            for guise in share:
                for x, _ in guises.blocks(int(guise)):
                    centred = x.flatten(1) - linear.mean
                    grown.addmm_((centred @ linear.basis.T).T, centred)
                    if guise == 0:
                        plain.append(x.flatten(1).double().sum(0))
                    bar.advance(len(x))
            linear = Pca(linear.mean, orthonormal(grown), linear.variances)
    mean = torch.stack(plain).sum(0) / len(guises.rows)
    return turned_to(mean.float(), linear.basis, (x for x, _ in guises.blocks(0)))
