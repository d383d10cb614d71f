"""The short-time Fourier transform of scipy, in batches, on any device, differentiable, and back.

    Z[f, t] = sum_n w[n] x[t·hop + n − W/2] exp(−2πi f n / N) / sum_n w[n]

for the window w of W samples, N = `fft_samples` and zeros outside of the record: what
`scipy.signal.stft(x, window=w, nperseg=W, noverlap=W − hop, nfft=N)` computes with its default zero boundary
and padding (scaling "spectrum": a sine of amplitude a on a bin gives |Z| = a/2). Frame t is centred on
sample t·hop; the last one may lie beyond the record.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy.signal import get_window
from torch import Tensor

from earthsignals.seismic.params import StftParams
from earthsignals.storage import EarthSignalsError

_LEAST_WEIGHT = 1e-6  # of a sample in the inverse, relative to the largest: below it noise would be blown up


class Stft:
    """Transform and inverse for one set of parameters; holds nothing but the window.

    Raises EarthSignalsError at the first inverse where the windows leave samples uncovered.
    """

    def __init__(self, params: StftParams) -> None:
        self.params = params
        self.width, self.size = params.window_samples, params.fft_samples
        self.hop = params.window_samples - params.overlap_samples
        self._window = get_window(params.window, self.width).astype(np.float64)
        self.window = lru_cache(maxsize=8)(self._make_window)
        self._weight_on_device = lru_cache(maxsize=8)(self._make_weight)

    def __reduce__(self) -> tuple[type[Stft], tuple[StftParams]]:
        return Stft, (self.params,)  # caches stay at home when a copy travels to another process

    @property
    def bins(self) -> int:
        """Number F of frequencies, from 0 to half the sampling rate."""
        return self.size // 2 + 1

    def frames(self, samples: int) -> int:
        """Number T of frames of a record of `samples`.

        Raises EarthSignalsError for a record shorter than the window.
        """
        if samples < self.width:
            raise EarthSignalsError(
                f"a record of {samples} samples is shorter than the transform's window of {self.width}: "
                "choose a smaller seismic.stft.window_samples or longer records"
            )
        inside = samples + 2 * (self.width // 2) - self.width
        return -(-inside // self.hop) + 1

    def frame_mask(self, valid: Tensor, samples: int) -> Tensor:
        """1 where the centre of a frame lies within the valid samples, else 0.

        valid: (B, 2) integers, first valid sample and the one behind the last. Returns (B, 1, 1, T) float32.
        """
        centres = torch.arange(self.frames(samples), device=valid.device) * self.hop
        inside = (centres >= valid[:, :1]) & (centres < valid[:, 1:].clamp(max=samples))
        return inside.float()[:, None, None, :]

    def forward(self, x: Tensor) -> Tensor:
        """Transform records (..., S) of float32 or float64 into (..., F, T) of complex64 or complex128.

        Raises EarthSignalsError for a record shorter than the window.
        """
        flat = x.reshape(-1, x.shape[-1])
        z = torch.stft(
            self._padded(flat), self.size, self.hop, window=self.window(x.device, x.dtype), center=False,
            return_complex=True,
        )  # fmt: skip
        return z.view(*x.shape[:-1], *z.shape[-2:])

    __call__ = forward

    def inverse(self, z: Tensor, samples: int) -> Tensor:
        """The records (..., samples) whose transform is nearest to z (..., F, T) in the least-squares sense.

        Griffin & Lim 1984, eq. 6: windowed frames are added and divided by the sum of squared windows.

        Raises EarthSignalsError where windows leave samples uncovered, or z has another number of frames.
        """
        frames = self.frames(samples)
        if z.shape[-2:] != (self.bins, frames):
            raise EarthSignalsError(
                f"a transform of shape {tuple(z.shape[-2:])} is not one of records of {samples} samples, "
                f"which give ({self.bins}, {frames}): pass the number of samples that were transformed"
            )
        flat = z.reshape(-1, *z.shape[-2:])
        pieces = torch.fft.irfft(flat, n=self.size, dim=1)[:, : self.width]
        window = self.window(z.device, pieces.dtype)[: self.width]
        total = self._overlap_added(pieces * window[:, None])
        start = self.width // 2
        out = total[:, start : start + samples] * self._weight_on_device(samples, z.device, pieces.dtype)
        return out.view(*z.shape[:-2], samples)

    def _padded(self, x: Tensor) -> Tensor:
        """Zeros before and behind, so that frame t starts at sample t·hop of the result."""
        samples, start = x.shape[-1], self.width // 2
        length = (self.frames(samples) - 1) * self.hop + self.size
        return torch.nn.functional.pad(x, (start, length - start - samples))

    def _overlap_added(self, pieces: Tensor) -> Tensor:
        """Add frames (B, W, T) where they belong: (B, (T − 1)·hop + W)."""
        length = (pieces.shape[-1] - 1) * self.hop + self.width
        added = torch.nn.functional.fold(pieces, (1, length), (1, self.width), stride=(1, self.hop))
        return added[:, 0, 0]

    def _make_window(self, device: torch.device, dtype: torch.dtype) -> Tensor:
        """The window over its sum, with zeros up to the size of the FFT."""
        # torch.stft would put a short window in the middle of its frame; scipy puts it at the start.
        window = np.zeros(self.size)
        window[: self.width] = self._window / self._window.sum()
        return torch.from_numpy(window).to(device, dtype)

    def _make_weight(self, samples: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        window = torch.from_numpy(self._window / self._window.sum())
        squares = window.square()[None, :, None].expand(1, self.width, self.frames(samples))
        start = self.width // 2
        weight = self._overlap_added(squares.contiguous())[0, start : start + samples]
        if float(weight.min()) < _LEAST_WEIGHT * float(weight.max()):
            raise EarthSignalsError(
                f"windows `{self.params.window}` of {self.width} samples that overlap by "
                f"{self.params.overlap_samples} leave samples uncovered, so waveforms cannot be restored: "
                "raise seismic.stft.overlap_samples (three quarters of the window suit all of them)"
            )
        return (1 / weight).to(device, dtype)
