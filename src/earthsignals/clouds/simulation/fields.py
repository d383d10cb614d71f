"""Gaussian random fields by fast Fourier transform."""

from __future__ import annotations

import numpy as np
from scipy import fft, ndimage

PATTERN_CELLS = 512
PATTERN_STEP = 0.125
"""Cells of the periodic grid on the pattern plane, and their edge in units of the spacing."""


def powerlaw(
    generator: np.random.Generator, shape: tuple[int, int], slope: float, coarsest: float, finest: float
) -> np.ndarray:
    """A field (H, W) of zero mean and unit variance with amplitude ∝ wave number^−slope.

    coarsest, finest: wave lengths in pixels beyond which there is nothing.
    """
    height, width = (fft.next_fast_len(int(n + min(coarsest, n)), real=True) for n in shape)
    numbers = np.hypot(fft.fftfreq(height)[:, None], fft.rfftfreq(width)[None])
    band = (numbers >= 1 / coarsest) & (numbers <= 1 / finest)
    amplitude = np.where(band, np.maximum(numbers, 1e-9) ** -slope, 0.0)
    return _shaped(generator, amplitude, (height, width))[: shape[0], : shape[1]]


class PatternField:
    """A stationary Gaussian field on the pattern plane, of wave length about one; periodic far away.

    width: relative width of the band of wave numbers around one. stretch: ratio of its correlation lengths.
    """

    def __init__(self, generator: np.random.Generator, *, width: float = 0.35, stretch: float = 1.0) -> None:
        across = fft.fftfreq(PATTERN_CELLS, PATTERN_STEP)[:, None] / np.sqrt(stretch)
        along = fft.rfftfreq(PATTERN_CELLS, PATTERN_STEP)[None] * np.sqrt(stretch)
        numbers = np.hypot(across, along)
        amplitude = np.exp(-0.5 * ((numbers - 1) / width) ** 2) / np.sqrt(numbers + 0.1)
        amplitude[0, 0] = 0.0
        self.values = _shaped(generator, amplitude, (PATTERN_CELLS, PATTERN_CELLS))

    def __call__(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Values at places on the pattern plane."""
        return ndimage.map_coordinates(
            self.values, [v / PATTERN_STEP, u / PATTERN_STEP], order=1, mode="grid-wrap"
        )


def _shaped(generator: np.random.Generator, amplitude: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    spectrum = fft.rfft2(generator.standard_normal(shape)) * amplitude
    values = fft.irfft2(spectrum, s=shape)
    return (values - values.mean()) / values.std()
