"""Detector noise at the stored sample rate with the exact statistics of block-averaged raw noise.

White, shot and RIN noise are independent from raw sample to raw sample, so the mean of a block of B
has variance (white^2 + shot^2 s + rin^2 s^2)/B. Flicker noise is a stationary Gaussian process with
one-sided density flicker^2/f at the multiples of 1/(16 scans) up to the raw Nyquist frequency; its
block averages have the autocovariance computed here, and are drawn exactly by circulant embedding
(Davies & Harte 1987, Biometrika 74, 95-101).
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from earthsignals.tdlas.params import InstrumentParams, LaserParams

FLICKER_PERIODS = 16  # slowest flicker component, in scans


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


def flicker_noise(normals: np.ndarray, amplitudes: np.ndarray) -> np.ndarray:
    """Flicker noise (B, M) from standard normals (B, 2M)."""
    samples = len(amplitudes) - 1
    spectrum = np.empty((len(normals), samples + 1), dtype=np.complex128)
    spectrum.real = normals[:, : samples + 1]
    spectrum.imag[:, 1:-1] = normals[:, samples + 1 :]
    spectrum.imag[:, [0, -1]] = 0.0
    spectrum *= amplitudes
    return fft.irfft(spectrum, 2 * samples)[:, :samples]
