"""Stretching records in time about their P arrival: nearly the same earthquake, with other speckle."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.sparse

HALF_WIDTH = 8  # samples on either side that a new sample is made of


def stretch(waveforms: np.ndarray, factor: float, p_sample: int) -> np.ndarray:
    """Waveforms (B, 3, S) float32 with time running `factor` as fast, sample `p_sample` staying in place.

    A few per cent change S − P, corner frequencies and decay times as little as another path would, while
    all random scatter comes out anew. Band-limited interpolation by a Hann-windowed sinc of HALF_WIDTH
    samples; what a factor over 1 lacks at the end is mirrored.
    """
    samples = waveforms.shape[-1]
    matrix = _interpolation(samples, float(factor), int(p_sample))
    flat = waveforms.reshape(-1, samples)
    return np.ascontiguousarray((matrix @ flat.T).T, dtype=np.float32).reshape(waveforms.shape)


@lru_cache(maxsize=64)
def _interpolation(samples: int, factor: float, p_sample: int) -> scipy.sparse.csr_array:
    """(S, S) float32: row t holds the weights of the samples around p + (t − p) · factor."""
    wanted = p_sample + (np.arange(samples) - p_sample) * factor
    first = np.floor(wanted).astype(np.int64)
    offsets = np.arange(1 - HALF_WIDTH, HALF_WIDTH + 1)
    distance = wanted[:, None] - (first[:, None] + offsets)
    weights = np.sinc(distance) * (0.5 + 0.5 * np.cos(np.pi * distance / HALF_WIDTH))
    columns = np.abs(first[:, None] + offsets)
    columns = np.where(columns >= samples, 2 * (samples - 1) - columns, columns).clip(0, samples - 1)
    rows = np.repeat(np.arange(samples), len(offsets))
    shape = (samples, samples)
    return scipy.sparse.csr_array((weights.ravel().astype(np.float32), (rows, columns.ravel())), shape)
