"""Random signals whose spectrum changes with time: white noise through bands, each with its own envelope.

A wave train is Σ_b w_b(t) (h_b * n)(t): stationary Gaussian noise n, shaped by a smooth spectrum, split by
bands h_b that add up to one, and each band multiplied by an envelope w_b. So the spectrum within a band is
exact, onsets are sharp, high frequencies may fade before low ones, and the scatter of |STFT| about its
expectation is that of a random wave field. Redrawing n redraws the scatter and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft

ENVELOPE_STEP = 5  # samples between the points of an envelope
MARGIN = 1.05  # of simulated over kept length: what wraps around in the Fourier transform is cut away
LOWEST_BAND_HZ = 0.35
BAND_OCTAVES = 1.4
KNOTS_PER_OCTAVE = 1.5


@dataclass(frozen=True, eq=False)
class Grid:
    """Everything that depends on length and rate alone; built once."""

    samples: int  # kept
    length: int  # simulated
    rate_hz: float
    frequency: np.ndarray  # (F,) Hz; the first entry, 0 Hz, is replaced by half the spacing
    bands: np.ndarray  # (B, F), add up to one
    band_hz: np.ndarray  # (B,)
    knots: np.ndarray  # (K, F) weights of K values evenly spaced in log frequency


@lru_cache(maxsize=8)
def grid(samples: int, rate_hz: float) -> Grid:
    """The grid of records of `samples` at `rate_hz`."""
    length = 2 * fft.next_fast_len(int(samples * MARGIN / 2) + 1)
    frequency = fft.rfftfreq(length, 1.0 / rate_hz)
    frequency[0] = 0.5 * frequency[1]
    octaves = np.log2(0.5 * rate_hz / LOWEST_BAND_HZ)
    count = max(2, int(octaves / BAND_OCTAVES) + 1)
    band_hz = LOWEST_BAND_HZ * 2.0 ** (BAND_OCTAVES * np.arange(count))
    position = np.clip(np.log2(frequency / LOWEST_BAND_HZ) / BAND_OCTAVES, 0.0, count - 1.0)
    bands = np.cos(0.5 * np.pi * np.clip(np.abs(position - np.arange(count)[:, None]), 0.0, 1.0)) ** 2
    octaves = np.log2(0.5 * rate_hz / 0.1)
    places = np.clip(np.log2(frequency / 0.1), 0.0, octaves) * KNOTS_PER_OCTAVE
    number = int(np.ceil(octaves * KNOTS_PER_OCTAVE)) + 1
    knots = np.clip(1.0 - np.abs(places - np.arange(number)[:, None]), 0.0, 1.0)
    for array in (frequency, bands, band_hz, knots):
        array.flags.writeable = False
    return Grid(samples, length, rate_hz, frequency, bands, band_hz, knots)


def wander(rng: np.random.Generator, grid: Grid, rows: int, deviation_db: float) -> np.ndarray:
    """Amplitude factors (rows, F), log-normal with the given deviation in dB and smooth in log frequency."""
    values = rng.normal(0.0, deviation_db, (rows, len(grid.knots)))
    return np.exp(values @ grid.knots * (np.log(10.0) / 20.0))


def white(rng: np.random.Generator, grid: Grid, rows: int) -> np.ndarray:
    """Spectra (rows, F) complex of white Gaussian noise with one-sided power spectrum 1 (unit²/Hz).

    Multiplied by the root of a one-sided power spectrum in unit²/Hz and inverted by `irfft`, they give noise
    in that unit with that spectrum.
    """
    parts = rng.standard_normal((rows, len(grid.frequency), 2))
    return parts.view(np.complex128)[..., 0] * (0.5 * np.sqrt(grid.length * grid.rate_hz))


def train(
    noise: np.ndarray, spectrum: np.ndarray, envelopes: np.ndarray, start: int, grid: Grid
) -> np.ndarray:
    """Wave trains (C, length): noise (C, F) times spectrum (F,) or (C, F), under envelopes (C, B, K).

    Envelope points are ENVELOPE_STEP samples apart, the first at sample `start`; before it there is nothing,
    and after the last point the train has ended.
    """
    shaped = noise * spectrum
    weight = np.arange(ENVELOPE_STEP) / ENVELOPE_STEP
    stop = min(grid.length, start + ENVELOPE_STEP * (envelopes.shape[-1] - 1))
    result = np.zeros((len(noise), grid.length))
    for number, band in enumerate(grid.bands):  # one at a time stays in the cache
        values = envelopes[:, number]
        fine = (values[:, :-1, None] + np.diff(values)[..., None] * weight).reshape(len(noise), -1)
        waves = fft.irfft(shaped * band, grid.length, overwrite_x=True)
        result[:, start:stop] += waves[:, start:stop] * fine[:, : stop - start]
    return result
