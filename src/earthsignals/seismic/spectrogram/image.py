"""What a network sees of a record, declared once and carried in every model file.

A waveform becomes an image by `SpectrogramImage.images` and comes back by `SpectrogramImage.waveforms`:
the amplitude from the image, the phase from a transform, usually that of the record itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from earthsignals.seismic.params import (
    FilterParams,
    ScalingParams,
    SeismicParams,
    StftParams,
    WindowParams,
)
from earthsignals.seismic.spectrogram.amplitude import ChunkedAmplitudes, absolute, suits
from earthsignals.seismic.spectrogram.scaling import make_scaling
from earthsignals.seismic.spectrogram.stft import Stft
from earthsignals.storage import EarthSignalsError

COMPONENTS = "ENZ"


@dataclass(frozen=True)
class Preprocessing:
    """Everything between a record as it was read and the image: window, band-pass, transform, scaling."""

    stft: StftParams = StftParams()
    scaling: ScalingParams = ScalingParams()
    window: WindowParams = WindowParams()
    filter: FilterParams | None = None

    @classmethod
    def from_params(cls, params: SeismicParams, *, normalisation: str | None = None) -> Preprocessing:
        """The parameters' preprocessing. normalisation: "joint" or "component" instead of theirs."""
        scaling = params.scaling
        if normalisation is not None:
            scaling = scaling.model_copy(update={"normalisation": normalisation})
        return cls(params.stft, scaling, params.window, params.filter)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """What `to_dict` gave. Raises EarthSignalsError for missing, unknown or impossible values."""
        try:
            if set(values) != {"stft", "scaling", "window", "filter"}:
                raise KeyError("stft, scaling, window and filter are expected")
            given = values["filter"]
            return cls(
                StftParams.model_validate(values["stft"]),
                ScalingParams.model_validate(values["scaling"]),
                WindowParams.model_validate(values["window"]),
                None if given is None else FilterParams.model_validate(given),
            )
        except (KeyError, TypeError, ValidationError) as error:
            reason = " ".join(str(error).split())[:160]
            raise EarthSignalsError(
                f"the preprocessing {dict(values)!r} is not one of this version ({reason}); train the model "
                "again"
            ) from None

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and text, for a checkpoint or a log."""
        return {
            "stft": self.stft.model_dump(mode="json"),
            "scaling": self.scaling.model_dump(mode="json"),
            "window": self.window.model_dump(mode="json"),
            "filter": None if self.filter is None else self.filter.model_dump(mode="json"),
        }

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, F, T) of an image."""
        stft = Stft(self.stft)
        return len(COMPONENTS), stft.bins, stft.frames(self.window.samples)

    @property
    def frequencies_hz(self) -> np.ndarray:
        """(F,) float64: the frequency of each row."""
        return np.fft.rfftfreq(self.stft.fft_samples, 1 / self.window.sampling_rate_hz)

    @property
    def times_s(self) -> np.ndarray:
        """(T,) float64: the centre of each column, in seconds from the first sample."""
        hop = self.stft.window_samples - self.stft.overlap_samples
        return np.arange(self.shape[2]) * hop / self.window.sampling_rate_hz


@dataclass(frozen=True)
class Images:
    """x (B, 3, F, T) float32 in [0, 1]; level: what the scaling needs to go back; z: complex64 or None."""

    x: Tensor
    level: Tensor
    z: Tensor | None = None


class SpectrogramImage:
    """Between waveforms and images, on the device of what it is given.

    Joint scaling sees only ratios, so records of any unit and gain do; a record of zeros becomes zeros.
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.preprocessing = preprocessing
        self.stft = Stft(preprocessing.stft)
        self.scaling = make_scaling(preprocessing.scaling)
        self.chunked = ChunkedAmplitudes(self.stft)

    def images(self, waveforms: Tensor, *, keep_z: bool = False) -> Images:
        """Images of waveforms (B, 3, S) float32, any S of at least one window.

        keep_z keeps the transform for the way back; without it, and without a gradient, a CPU is twice as
        fast. Values that are not finite would spoil their whole record: readers refuse such records.
        """
        if not keep_z and suits(waveforms):
            return self.images_of_rows(waveforms.detach().numpy(), np.arange(len(waveforms)))
        z = self.stft(waveforms)
        x, level = self.scaling.scaled(absolute(z))
        return Images(x, level, z if keep_z else None)

    def images_of_rows(self, waveforms: np.ndarray, rows: np.ndarray) -> Images:
        """Images of the rows (B,) of waveforms (N, 3, S) float32, e.g. of a store's: read and made on the CPU
        a few at a time, which is the fastest way from a file to images."""
        out, levels = self._empty(len(rows), *waveforms.shape[1:]), []
        for places, amplitude in self.chunked.chunks(waveforms, rows):
            levels.append(self.scaling.scaled(amplitude, out=out[places])[1])
        return Images(out.mT, torch.cat(levels))

    def amplitudes_of_rows(self, waveforms: np.ndarray, rows: np.ndarray) -> Tensor:
        """|Z| (B, 3, F, T) float32 of rows of waveforms: images before their scaling."""
        out = self._empty(len(rows), *waveforms.shape[1:])
        for _ in self.chunked.chunks(waveforms, rows, out):
            pass
        return out.mT

    def amplitudes(self, waveforms: Tensor) -> Tensor:
        """|Z| (B, 3, F, T) float32 of waveforms (B, 3, S)."""
        if not suits(waveforms):
            return absolute(self.stft(waveforms))
        return self.amplitudes_of_rows(waveforms.detach().numpy(), np.arange(len(waveforms)))

    def _empty(self, records: int, components: int, samples: int) -> Tensor:
        """Room for images in the FFT's own order (B, C, T, F); its transpose is handed out."""
        return torch.empty(records, components, self.stft.frames(samples), self.stft.bins)

    def images_of(self, z: Tensor) -> Images:
        """Images of transforms z (B, 3, F, T) that are there already, e.g. masked ones."""
        return Images(*self.scaling.scaled(absolute(z)), z)

    def frame_mask(self, valid: Tensor, samples: int) -> Tensor:
        """(B, 1, 1, T) float32, 1 for frames centred on valid samples (B, 2)."""
        return self.stft.frame_mask(valid, samples)

    def waveforms(self, x: Tensor, level: Tensor, z: Tensor, samples: int) -> Tensor:
        """Waveforms (B, 3, samples) with the amplitudes of the images x and the phases of z.

        x and level as from `images`; z (B, 3, F, T) complex, of which only the phase counts, but for cells
        where joint scaling says no more than "below the range". Where z is zero, so is the result.
        """
        size = z.abs()
        amplitude = self.scaling.amplitudes(x, level, size)
        phase = torch.where(size > 0, z / size.clamp(min=torch.finfo(size.dtype).tiny), 0)
        return self.stft.inverse(amplitude * phase, samples)
