"""Noise mixed into clean records at a known signal-to-noise ratio.

The ratio of a mixture is that of energies from the P arrival to the end of the record, over all three
components together:

    SNR = 10 log10( sum clean[c, n]^2 / sum noise[c, n]^2 ),   n >= p_sample.

The clean record's own noise counts as signal there, so clean records should be far above it.
"""

from __future__ import annotations

import numpy as np

from earthsignals.storage import EarthSignalsError


def energy(waveforms: np.ndarray, p_sample: int | np.ndarray = 0) -> np.ndarray:
    """Sum of squares from `p_sample` on over components and samples: (..., 3, S) to (...) float64.

    p_sample: of all records, or one for each (...).
    """
    squares = np.square(waveforms, dtype=np.float64).sum(axis=-2)
    if np.ndim(p_sample) == 0:
        return squares[..., int(p_sample) :].sum(axis=-1)
    after = np.arange(squares.shape[-1]) >= np.asarray(p_sample)[..., None]
    return np.where(after, squares, 0).sum(axis=-1)


def snr_db(signal: np.ndarray, error: np.ndarray, p_sample: int | np.ndarray = 0) -> np.ndarray:
    """Signal-to-noise ratio (...) in dB of records (..., 3, S); infinite where there is no error."""
    with np.errstate(divide="ignore"):
        return 10 * np.log10(energy(signal, p_sample) / energy(error, p_sample))


def mix(
    clean: np.ndarray, noise: np.ndarray, snr_db: float | np.ndarray, p_sample: int | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Clean records plus noise that is scaled to the ratio `snr_db`.

    clean, noise: (..., 3, S), of any two units. snr_db, p_sample: of all records, or one for each (...).
    Returns the noisy records (..., 3, S) float32 and the noise's factor (...) float64, so that
    noisy = clean + factor noise.

    Raises EarthSignalsError for shapes that differ, and for a clean or a noise record of zeros: no factor
    gives those a ratio.
    """
    if clean.shape != noise.shape:
        raise EarthSignalsError(
            f"clean records have the shape {clean.shape} and noise has {noise.shape}: cut both to one length"
        )
    signal, disturbance = energy(clean, p_sample), energy(noise, p_sample)
    for name, values in (("clean", signal), ("noise", disturbance)):
        silent = int(np.count_nonzero(~(values > 0)))
        if silent:
            raise EarthSignalsError(
                f"{silent} of {values.size} {name} records are zero or not finite from the P arrival on, so "
                "no signal-to-noise ratio exists: leave them out"
            )
    factor = np.sqrt(signal / disturbance * 10 ** (-np.asarray(snr_db, np.float64) / 10))
    noisy = clean + np.asarray(factor)[..., None, None] * noise
    return noisy.astype(np.float32), factor
