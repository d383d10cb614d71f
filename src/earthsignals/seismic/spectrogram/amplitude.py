"""Z and |Z| of many records on a CPU, at the cost of the FFTs.

A transform of a batch at once takes fresh memory for frames and spectra by the megabyte, whose page faults
cost more than the arithmetic. Here a few records at a time go through buffers that stay in the core's cache.
numpy takes the absolute values: torch's loop over complex numbers is not vectorised on CPUs, and takes ten
times as long.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from earthsignals.seismic.spectrogram.stft import Stft

RECORDS_AT_ONCE = 4  # of three components and 7,000 samples: 3 MB of buffers; fewer pay for more calls


def absolute(z: Tensor) -> Tensor:
    """|z|, differentiable where z asks for it."""
    if z.device.type != "cpu" or z.requires_grad:
        return z.abs()
    return torch.from_numpy(np.abs(z.numpy()))


def suits(waveforms: Tensor) -> bool:
    """Can `ChunkedAmplitudes` take these? float32 on a CPU, with no gradient asked for."""
    wanted = torch.is_grad_enabled() and waveforms.requires_grad
    return waveforms.device.type == "cpu" and waveforms.dtype == torch.float32 and not wanted


@dataclass(frozen=True)
class _Buffers:
    records: np.ndarray  # (R, C, S), a view into rows whose margins stay zero
    overlapping: Tensor  # (R·C, T, N), a view of the same rows
    frames: Tensor  # (R·C, T, N), windowed
    amplitude: Tensor  # (R, C, T, F)


class ChunkedAmplitudes:
    """Amplitudes of records, some at a time, in buffers that belong to the calling thread."""

    def __init__(self, stft: Stft) -> None:
        self.stft = stft
        self._own = threading.local()

    def __reduce__(self) -> tuple[type[ChunkedAmplitudes], tuple[Stft]]:
        return ChunkedAmplitudes, (self.stft,)  # buffers are not for other processes

    @torch.no_grad()
    def spectra(self, waveforms: np.ndarray, chosen: np.ndarray) -> Iterator[tuple[slice, Tensor]]:
        """Yield places in `chosen` and the transforms of those records, (R, C, T, F) complex64.

        waveforms: (N, C, S) float32, which may be mapped from a file: each record is copied once, from there
        into its frames' buffer. chosen: (B,) rows. Note the order of axes, frames before frequencies: it is
        the one in which an FFT writes.
        """
        waveforms = np.asarray(waveforms)  # a plain view: numpy's memmap is slow to index
        _, components, samples = waveforms.shape
        buffers = self._buffers(components, samples)
        window = self.stft.window(torch.device("cpu"), torch.float32)
        for first in range(0, len(chosen), RECORDS_AT_ONCE):
            places = slice(first, min(first + RECORDS_AT_ONCE, len(chosen)))
            for target, row in zip(buffers.records, chosen[places], strict=False):
                target[:] = waveforms[row]
            number = (places.stop - first) * components
            frames = buffers.frames[:number]
            torch.mul(buffers.overlapping[:number], window, out=frames)
            spectra = torch.fft.rfft(frames)
            yield places, spectra.view(-1, components, *spectra.shape[1:])

    @torch.no_grad()
    def chunks(
        self, waveforms: np.ndarray, chosen: np.ndarray, out: Tensor | None = None
    ) -> Iterator[tuple[slice, Tensor]]:
        """Yield places in `chosen` and |Z| of those records, (R, C, T, F) float32: views of `out` if that is
        given (B, C, T, F), else of a buffer, valid until the next step."""
        buffer = self._buffers(*waveforms.shape[1:]).amplitude
        for places, spectra in self.spectra(waveforms, chosen):
            amplitude = buffer[: len(spectra)] if out is None else out[places]
            np.abs(spectra.numpy(), out=amplitude.numpy())
            yield places, amplitude

    def _buffers(self, components: int, samples: int) -> _Buffers:
        key = components, samples
        if getattr(self._own, "key", None) != key:
            stft, rows = self.stft, RECORDS_AT_ONCE * components
            frames = stft.frames(samples)
            padded = torch.zeros(rows, (frames - 1) * stft.hop + stft.size)
            inside = slice(stft.width // 2, stft.width // 2 + samples)
            records = padded.view(RECORDS_AT_ONCE, components, -1)[..., inside].numpy()
            overlapping = padded.unfold(1, stft.size, stft.hop)
            amplitude = torch.empty(RECORDS_AT_ONCE, components, frames, stft.bins)
            self._own.value = _Buffers(records, overlapping, torch.empty(overlapping.shape), amplitude)
            self._own.key = key
        return self._own.value
