"""What views of the seismic pipeline are drawn from."""

from __future__ import annotations

from dataclasses import dataclass

from earthsignals.seismic.figures.inputs import Arrays
from earthsignals.seismic.spectrogram.image import SpectrogramImage
from earthsignals.seismic.store.packed import Store


@dataclass(frozen=True)
class Inputs:
    """arrays: `evaluation.h5`. store: the records it judged. image: from waveforms to images."""

    arrays: Arrays
    store: Store
    image: SpectrogramImage
