"""Variations of records that leave an earthquake an earthquake and noise noise.

A laptop's few hundred noise records must stand for all the stations there are. Each function is a pure
function of its arguments and draws from the generator that it is given.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

COLOUR_DB = 6.0  # standard deviation of a random change of spectrum
COLOUR_WAVES = 5  # of cosines over log-frequency that make it up
LOWEST_BIN = 4  # below it, log-frequency is flattened: there is next to nothing there


def rotated(waveforms: Tensor, azimuths: Tensor) -> Tensor:
    """Records (B, 3, S) with E and N turned by angles (B,) in radians, as if the sensor had been turned."""
    cosine, sine = azimuths.cos()[:, None], azimuths.sin()[:, None]
    east, north, up = waveforms.unbind(1)
    return torch.stack((cosine * east + sine * north, cosine * north - sine * east, up), 1)


def colour_curves(generator: np.random.Generator, count: int, samples: int) -> Tensor:
    """Random smooth gains over frequency (count, samples // 2 + 1) float32, of mean 0 dB in expectation.

    In dB they are sums of cosines over log-frequency with amplitudes that fall as 1 over the wave number:
    a tilt, a resonance, the corner of another instrument.
    """
    bins = np.arange(samples // 2 + 1)
    where = np.log(np.maximum(bins, LOWEST_BIN) / LOWEST_BIN)
    where = where / max(where[-1], 1e-9)
    wave = np.arange(1, COLOUR_WAVES + 1)
    basis = np.cos(np.pi * wave[:, None] * where)
    size = 1 / wave
    size = COLOUR_DB * size / np.sqrt((size**2).sum() / 2)
    amplitudes = generator.standard_normal((count, COLOUR_WAVES)) * size
    return torch.from_numpy(10 ** (amplitudes @ basis / 20)).float()


def coloured(waveforms: Tensor, curves: Tensor) -> Tensor:
    """Records (B, 3, S) filtered with zero phase by gains (B, S // 2 + 1)."""
    spectra = torch.fft.rfft(waveforms) * curves[:, None]
    return torch.fft.irfft(spectra, n=waveforms.shape[-1])


def shifted(waveforms: Tensor, shifts: np.ndarray) -> Tensor:
    """Records (B, 3, S) moved by whole samples (B,), later if positive; zeros come in."""
    out = torch.zeros_like(waveforms)
    samples = waveforms.shape[-1]
    for row, shift in enumerate(np.clip(shifts, -samples, samples).tolist()):
        if shift >= 0:
            out[row, :, shift:] = waveforms[row, :, : samples - shift]
        else:
            out[row, :, :shift] = waveforms[row, :, -shift:]
    return out


def surrogate_noise(quiet: np.ndarray, samples: int, generator: np.random.Generator) -> np.ndarray:
    """Gaussian noise (..., 3, samples) float32 with the spectra and cross-spectra of `quiet` (..., 3, n).

    White noise convolved with the tapered piece, the same white noise for all components (Theiler et al.
    1992, "Testing for nonlinearity in time series", keep the amplitudes of a spectrum and draw its phases;
    the convolution does so for a length that differs from the piece's). Its power is that of the piece.
    """
    quiet = np.asarray(quiet, np.float64)
    n = quiet.shape[-1]
    piece = (quiet - quiet.mean(axis=-1, keepdims=True)) * np.hanning(n + 2)[1:-1]
    white = generator.standard_normal((*quiet.shape[:-2], 1, samples + n - 1))
    length = samples + 2 * n - 2
    size = 1 << (length - 1).bit_length()
    spectrum = np.fft.rfft(piece, size) * np.fft.rfft(white, size)
    out = np.fft.irfft(spectrum, size)[..., n - 1 : n - 1 + samples]
    # The taper holds 3/8 of the piece's energy.
    return (out / np.sqrt(0.375 * n)).astype(np.float32)
