"""Judging a denoiser: noise of known level is mixed in, and what comes out is held against the truth.

    result = judge_denoising(model, clean, noise, (-5.0, 0.0, 5.0), p_sample=1000, seed=42)
    np.median(result["gain_db"], axis=0)          # of each input ratio

Ratios are of energies from P to the record's end over the three components together (see `mixing`), for what
goes in and for what comes out: output_db = 10 log10( sum clean² / sum (denoised − clean)² ). correlation is
Pearson's over the same samples and components. The clean record's own noise counts as signal, so even a
perfect denoiser stays finite: it would remove that noise as well, which costs it at input ratios near the
record's own.

The ratio is of the whole band, and the ground's noise is strongest below 1 Hz: at 0 dB a broadband record's
earthquake may stand well above the noise where it radiates. For the harder question give records that were
band-passed before, clean and noise alike; the noise that is left then lies where the signal does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from earthsignals.compute.seeds import philox
from earthsignals.seismic.denoising.baselines import band_passed, oracle_mask, wiener_filtered
from earthsignals.seismic.denoising.mixing import energy, mix, snr_db
from earthsignals.seismic.denoising.waveform import denoise
from earthsignals.seismic.spectrogram.stft import Stft
from earthsignals.storage import EarthSignalsError

if TYPE_CHECKING:
    from earthsignals.seismic.checkpoint import SpectrogramModel

DEFAULT_BAND_HZ = (1.0, 20.0)
METHODS = ("", "bandpass_", "best_bandpass_", "wiener_", "oracle_")
"""Prefixes of the result's arrays; the empty one is the network's."""
BLOCK = 64  # records at a time: memory stays bounded


def judge_denoising(
    model: SpectrogramModel, clean: np.ndarray, noise: np.ndarray, snrs: Sequence[float], p_sample: int, *,
    seed: int, band_hz: tuple[float, float] = DEFAULT_BAND_HZ,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Mix, denoise and compare, with the network and with what it must beat.

    clean: (M, 3, S), detrended, of high signal-to-noise ratio. noise: (K, 3, S), any unit. With K = M record
    i meets noise i (pair them by instrument, see `pairs`); else noises are drawn by `seed`. The same pair is
    mixed at all `snrs` (L ratios in dB). band_hz: of "best_bandpass", chosen on other records.

    Returns float64 arrays: `snr_db` (L,), `noise_index` (M,) int64; and, (M, L) each, `input_db`, and for
    every prefix of `METHODS` `<prefix>output_db`, `<prefix>gain_db`, `<prefix>correlation`:
    the network; the band-pass of 1-20 Hz; the one of `band_hz`; the Wiener filter that is told P; the best
    mask knowing the clean record, an upper bound.

    Raises EarthSignalsError for shapes that do not fit, and for silent records.
    """
    if clean.ndim != 3 or noise.ndim != 3 or clean.shape[1:] != noise.shape[1:] or not len(noise):
        raise EarthSignalsError(
            f"clean records of shape {clean.shape} cannot be mixed with noise of shape {noise.shape}: both "
            "are (records, 3, samples), of the same number of samples"
        )
    count = len(clean)
    order = np.arange(count)
    if len(noise) != count:
        drawn = philox(seed, "seismic-denoising-pairs").permutation(max(count, len(noise)))
        order = drawn[:count] % len(noise)
    levels = np.asarray(snrs, np.float64)
    result = {"snr_db": levels, "noise_index": order.astype(np.int64)}
    result["input_db"] = np.full((count, len(levels)), np.nan)
    for prefix in METHODS:
        for name in ("output_db", "gain_db", "correlation"):
            result[prefix + name] = np.full((count, len(levels)), np.nan)
    methods = _methods(model, p_sample, band_hz)
    for column, level in enumerate(levels):
        for start in range(0, count, BLOCK):
            rows = slice(start, min(start + BLOCK, count))
            truth = np.asarray(clean[rows], np.float32)
            noisy, _ = mix(truth, np.asarray(noise[order[rows]]), level, p_sample)
            before = snr_db(truth, noisy - truth, p_sample)
            result["input_db"][rows, column] = before
            for prefix, method in methods.items():
                out = method(noisy, truth)
                after = snr_db(truth, out - truth, p_sample)
                result[prefix + "output_db"][rows, column] = after
                result[prefix + "gain_db"][rows, column] = after - before
                result[prefix + "correlation"][rows, column] = correlation(truth, out, p_sample)
    return result


def correlation(one: np.ndarray, other: np.ndarray, p_sample: int = 0) -> np.ndarray:
    """Pearson's correlation of records (..., 3, S) over components and samples from P on: (...) float64.

    0 where one of them is constant.
    """
    a, b = (x[..., p_sample:].astype(np.float64) for x in (one, other))
    a, b = (x - x.mean(axis=(-2, -1), keepdims=True) for x in (a, b))
    size = np.sqrt(energy(a) * energy(b))
    return np.where(size > 0, (a * b).sum(axis=(-2, -1)) / np.where(size > 0, size, 1), 0)


def pairs(clean_kinds: Sequence[str], noise_kinds: Sequence[str], seed: int) -> np.ndarray:
    """A noise record for every clean one, of the same instrument kind where there is one: (M,) int64.

    Drawn without replacement until a kind's noises are used up, then anew: noise that the same kind of
    instrument recorded is what an earthquake really competes with.

    Raises EarthSignalsError when there is no noise at all.
    """
    noise_kinds = np.asarray(noise_kinds, dtype=str)
    if not len(noise_kinds):
        raise EarthSignalsError("there is no noise record to mix with: pack records of noise")
    clean_kinds = np.asarray(clean_kinds, dtype=str)
    chosen = np.empty(len(clean_kinds), np.int64)
    for kind in sorted(set(clean_kinds.tolist())):
        wanted = np.flatnonzero(clean_kinds == kind)
        own = np.flatnonzero(noise_kinds == kind)
        own = own if len(own) else np.arange(len(noise_kinds))
        generator = philox(seed, f"seismic-denoising-noise-{kind}")
        rounds = -(-len(wanted) // len(own))
        drawn = np.concatenate([generator.permutation(own) for _ in range(rounds)])
        chosen[wanted] = drawn[: len(wanted)]
    return chosen


def _methods(
    model: SpectrogramModel, p_sample: int, band_hz: tuple[float, float]
) -> dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """By prefix: (noisy, clean) to denoised; only the oracle looks at the clean one."""
    preprocessing = model.preprocessing
    rate, stft = preprocessing.window.sampling_rate_hz, Stft(preprocessing.stft)
    return {
        "": lambda noisy, _: denoise(model.network, preprocessing, noisy),
        "bandpass_": lambda noisy, _: band_passed(noisy, DEFAULT_BAND_HZ, rate),
        "best_bandpass_": lambda noisy, _: band_passed(noisy, band_hz, rate),
        "wiener_": lambda noisy, _: wiener_filtered(noisy, stft, p_sample, rate),
        "oracle_": lambda noisy, clean: oracle_mask(clean, noisy, stft)[0],
    }
