"""Detector noise at the stored sample rate with the exact statistics of block-averaged raw noise.

White, shot and RIN noise are independent from raw sample to raw sample, so the mean of a block of B
has variance (white^2 + shot^2 s + rin^2 s^2)/B. Flicker noise is a stationary Gaussian process with
one-sided density flicker^2/f at the multiples of 1/(16 scans) up to the raw Nyquist frequency; its
block averages have the autocovariance computed here, and are drawn exactly by circulant embedding
(Davies & Harte 1987, Biometrika 74, 95-101).

Normal variables come from a table of 65,536 equally probable values indexed by raw random bits: four
times faster than rejection sampling, and free of logarithms, so equal on every machine. Mean 0 and
variance 1 hold exactly, hence so do all covariances; one value ends at 4.3 sigma, the sum of two that
white noise uses at 6.1.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy import fft
from scipy.special import ndtri

from earthsignals.compute.seeds import Stream
from earthsignals.tdlas.params import InstrumentParams, LaserParams

FLICKER_PERIODS = 16  # slowest flicker component, in scans
PER_WORD = 4  # 16-bit table indices in one 64-bit random word


@functools.cache
def normal_table() -> np.ndarray:
    """The 65,536 equally probable values of a discrete normal variable, mean 0 and variance 1."""
    quantiles = ndtri((np.arange(65_536) + 0.5) / 65_536)
    # Whole multiples of 2^-18: their squares add up exactly, so the table is the same everywhere.
    whole = np.rint(quantiles * 2.0**18)
    table = whole / np.sqrt(np.mean(whole * whole))
    table.flags.writeable = False
    return table


def random_indices(stream: Stream, items: np.ndarray, count: int) -> np.ndarray:
    """Random table indices (B, count) uint16 of the items (B,) of a stream; count a multiple of 4."""
    words = np.empty((len(items), count // PER_WORD), dtype="<u8")
    for row, item in zip(words, items.tolist(), strict=True):
        row[:] = stream.at(item).bit_generator.random_raw(len(row))
    return words.view("<u2")


def normals(indices: np.ndarray) -> np.ndarray:
    """Standard normal variables of the table `indices`, same shape, float64."""
    out = np.empty(indices.shape)
    # 16-bit indices cannot leave the table; "clip" only spares numpy a buffered copy.
    return normal_table().take(indices, out=out, mode="clip")


def white_normals(indices: np.ndarray) -> np.ndarray:
    """Standard normal variables (B, M) from table indices (B, 2M): each the sum of two."""
    half = indices.shape[1] // 2
    total = normals(indices[:, :half])
    total += normals(indices[:, half:])
    total *= np.sqrt(0.5)
    return total


def white_variance(signal: np.ndarray, instrument: InstrumentParams, block: int) -> np.ndarray:
    """Variance of white + shot + RIN noise of block averages at noise-free `signal`, same shape."""
    s = np.maximum(signal, 0.0)
    white, shot, rin = instrument.white**2, instrument.shot**2, instrument.rin**2
    return (white + (shot + rin * s) * s) / block


def flicker_density(laser: LaserParams, instrument: InstrumentParams) -> np.ndarray:
    """Variance carried by each harmonic of 1/(16 scans), shape (16*raw/2 + 1,), raw process."""
    step = laser.drive_frequency_hz / FLICKER_PERIODS
    frequency = np.arange(FLICKER_PERIODS * laser.raw_samples // 2 + 1) * step
    variance = np.zeros_like(frequency)
    variance[1:] = instrument.flicker**2 / frequency[1:] * step
    return variance


def flicker_covariance(laser: LaserParams, instrument: InstrumentParams) -> np.ndarray:
    """Autocovariance of block-averaged flicker noise at lags 0..M, shape (M + 1,)."""
    variance = flicker_density(laser, instrument)
    length = FLICKER_PERIODS * laser.raw_samples
    phase = np.pi * np.arange(len(variance)) / length
    with np.errstate(invalid="ignore"):
        average = np.sin(laser.block * phase) / (laser.block * np.sin(phase))
    average[0] = 1.0
    lags = fft.irfft(variance * average**2, length) * (length / 2)
    return lags[:: laser.block][: laser.samples_per_scan + 1].copy()


def flicker_spectrum(laser: LaserParams, instrument: InstrumentParams) -> np.ndarray | None:
    """Amplitudes of `flicker_amplitudes` for a declared instrument, None for one without flicker."""
    if instrument.flicker == 0:
        return None
    return flicker_amplitudes(flicker_covariance(laser, instrument))


def flicker_amplitudes(covariance: np.ndarray) -> np.ndarray:
    """Circulant spectrum amplitudes (M + 1,) so that irfft(amplitudes * z) has `covariance`.

    z are complex normal variables with unit variance of each part (real at the two ends).
    """
    circle = np.concatenate([covariance, covariance[-2:0:-1]])
    spectrum = fft.rfft(circle).real
    if spectrum.min() < -1e-9 * spectrum.max():
        raise ValueError("the flicker covariance has no circulant embedding")
    amplitudes = np.sqrt(np.maximum(spectrum, 0.0) * len(circle))
    amplitudes[1:-1] /= np.sqrt(2.0)
    return amplitudes


def flicker_noise(indices: np.ndarray, amplitudes: np.ndarray) -> np.ndarray:
    """Flicker noise (B, M) from table indices (B, 2M + 4), of which the last two are not used."""
    samples = len(amplitudes) - 1
    spectrum = normals(indices[:, : 2 * samples + 2]).view(np.complex128)
    spectrum *= amplitudes
    # The two real ends of the spectrum: irfft ignores their imaginary parts.
    return fft.irfft(spectrum, 2 * samples)[:, :samples]
