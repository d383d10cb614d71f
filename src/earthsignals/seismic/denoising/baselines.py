"""What the network is held against: a band-pass, a Wiener filter, and the best that a mask could do.

All take noisy records (M, 3, S) and return denoised ones (M, 3, S) float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.signal import butter, sosfiltfilt
from torch import Tensor

from earthsignals.seismic.denoising.mixing import snr_db
from earthsignals.seismic.spectrogram.stft import Stft

BANDS_HZ = tuple(
    (low, high) for low in (0.5, 1.0, 2.0, 3.0, 4.0, 5.0) for high in (8.0, 12.0, 16.0, 20.0, 30.0, 45.0)
)
"""Bands that `best_band` tries."""
CORNERS = 2  # of the Butterworth filter, run forwards and backwards
QUIET_S = 0.5  # before P: what lies earlier is noise
SMOOTHING = 3  # cells in frequency and in time over which the Wiener filter averages power


def band_passed(
    noisy: np.ndarray, band_hz: tuple[float, float], sampling_rate_hz: float
) -> np.ndarray:
    """Butterworth band-pass with zero phase, what analysts do first."""
    sections = butter(CORNERS, band_hz, "bandpass", fs=sampling_rate_hz, output="sos")
    return sosfiltfilt(sections, noisy, axis=-1).astype(np.float32)


def best_band(
    clean: np.ndarray, noisy: np.ndarray, p_sample: int, sampling_rate_hz: float,
    bands_hz: Sequence[tuple[float, float]] = BANDS_HZ,
) -> tuple[float, float]:  # fmt: skip
    """The one band with the best median signal-to-noise ratio over these records, with the truth at hand.

    Choose it on the development split and judge it on another.
    """
    nyquist = sampling_rate_hz / 2
    bands = [band for band in bands_hz if band[1] < nyquist]
    ratios = [
        np.median(snr_db(clean, band_passed(noisy, band, sampling_rate_hz) - clean, p_sample))
        for band in bands
    ]
    return bands[int(np.argmax(ratios))]


@torch.no_grad()
def wiener_filtered(noisy: np.ndarray, stft: Stft, p_sample: int, sampling_rate_hz: float) -> np.ndarray:
    """Spectral Wiener filter with the noise's power spectrum from before the (known) P arrival.

    M = max(0, 1 − N / A): N the mean power of each frequency over frames that end `QUIET_S` before P, A the
    power of the cell averaged over `SMOOTHING` x `SMOOTHING` cells (Boll 1979, "Suppression of acoustic
    noise in speech using spectral subtraction", IEEE TASSP 27, with power instead of amplitude). It is told
    where P is; the network is not. Without a frame before P the record comes back as it is.
    """
    x = torch.from_numpy(np.ascontiguousarray(noisy, np.float32))
    z = stft(x)
    power = z.abs().square()
    last = p_sample - round(QUIET_S * sampling_rate_hz) - stft.width // 2  # centre of the last quiet frame
    # Frame 0 is half zeros.
    quiet = power[..., 1 : max(1, last // stft.hop + 1)]
    if not quiet.shape[-1]:
        return np.array(noisy, np.float32)
    noise = quiet.mean(dim=-1, keepdim=True)
    smooth = torch.nn.functional.avg_pool2d(
        power, SMOOTHING, stride=1, padding=SMOOTHING // 2, count_include_pad=False
    )
    mask = (1 - noise / smooth.clamp(min=torch.finfo(smooth.dtype).tiny)).clamp(min=0)
    return stft.inverse(mask * z, noisy.shape[-1]).numpy()


@torch.no_grad()
def oracle_mask(clean: np.ndarray, noisy: np.ndarray, stft: Stft) -> tuple[np.ndarray, Tensor]:
    """Bound: the mask in [0, 1] that is nearest to the clean transform in every cell, knowing it.

    M = Re(Z_clean conj Z_noisy) / |Z_noisy|², clipped: with the noisy phase, no mask is better cell by cell.
    Returns the records and the mask (M, 3, F, T).
    """
    z = stft(torch.from_numpy(np.ascontiguousarray(noisy, np.float32)))
    target = stft(torch.from_numpy(np.ascontiguousarray(clean, np.float32)))
    power = z.abs().square().clamp(min=torch.finfo(torch.float32).tiny)
    mask = ((target * z.conj()).real / power).clamp(0, 1)
    return stft.inverse(mask * z, noisy.shape[-1]).numpy(), mask
