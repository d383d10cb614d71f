"""From a record as it was read to the window that is stored: cut, detrended, filtered, float32.

Everything is computed in float64. The straight line that is taken off is rounded to float32's precision,
and a filter's coefficients to twelve digits: last bits differ between processors, and stored bytes must not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from earthsignals.seismic.params import FilterParams, WindowParams

SIGNAL_S = 5.0  # after P: the signal of a signal-to-noise ratio
NOISE_S = (9.5, 0.5)  # before P: from … to: its noise
_SHORTEST_S = 0.5  # of either within the valid samples, or there is no ratio


@dataclass(frozen=True)
class Cut:
    """Where the window lies in a record, in samples at the window's rate.

    `start` counts from the record's first sample and is negative where the window begins before it.
    `p_status` says how P is known: "catalogue", "pick", "layout" (the record has the window's length, so
    P lies `before_p_s` into it) or "" where it is unknown or there is none.
    """

    start: int
    p_sample: float
    p_status: str


def place_window(length: int, p_sample: float, p_status: str, window: WindowParams, noise: bool) -> Cut:
    """Choose the window of a record of `length` samples whose P lies at `p_sample` (NaN: unknown).

    A known P is put at `window.p_sample`. Without one, a record of about the window's length (within 1 %,
    so that 7000 and 7001 samples both do) is taken from its beginning with P where the layout puts it;
    any other from its beginning with P unknown. Noise has no P.
    """
    if noise:
        return Cut(0, np.nan, "")
    if np.isfinite(p_sample):
        start = round(p_sample) - window.p_sample
        return Cut(start, p_sample - start, p_status)
    if abs(length - window.samples) <= 0.01 * window.samples:
        return Cut(0, float(window.p_sample), "layout")
    return Cut(0, np.nan, "")


def cut_window(
    waveform: np.ndarray, valid: tuple[int, int], start: int, samples: int
) -> tuple[np.ndarray, tuple[int, int]]:
    """Samples start..start+samples of a waveform (3, n), zero beyond its ends, in float64.

    Returns the window (3, samples) and its valid span [first, past) in samples of the window, which is
    empty (0, 0) where the record does not reach into the window.
    """
    window = np.zeros((len(waveform), samples))
    first, past = max(valid[0] - start, 0), min(valid[1] - start, samples)
    if first >= past:
        return window, (0, 0)
    window[:, first:past] = waveform[:, first + start : past + start]
    return window, (first, past)


def detrend(window: np.ndarray, valid: tuple[int, int]) -> None:
    """Take the least-squares straight line off each component, in place, over the valid samples."""
    part = window[:, valid[0] : valid[1]]
    samples = part.shape[1]
    if samples < 2:
        part[:] = 0.0
        return
    part -= part[:, :1].copy()  # near zero, so that rounding the line loses nothing of the signal
    time = np.arange(samples) - (samples - 1) / 2
    slope = np.einsum("cs,s->c", part, time) / (samples * (samples**2 - 1) / 12)
    line = np.float32(part.mean(axis=1)).astype(float), np.float32(slope).astype(float)
    part -= line[0][:, None] + line[1][:, None] * time


def band_pass(window: np.ndarray, valid: tuple[int, int], options: FilterParams, rate_hz: float) -> None:
    """Butterworth band-pass forwards and backwards, in place, over the valid samples of (3, S).

    As `scipy.signal.sosfiltfilt` does it (odd extension at both ends, steady state at the start), but with
    rounded coefficients and states.
    """
    part = window[:, valid[0] : valid[1]]
    sections, steady = _sections(options, rate_hz)
    pad = max(min(3 * (2 * len(sections) + 1), part.shape[1] - 1), 0)
    before = 2 * part[:, :1] - part[:, pad:0:-1]
    after = 2 * part[:, -1:] - part[:, -2 : -2 - pad : -1]
    wave = np.concatenate([before, part, after], axis=1)
    for _ in range(2):  # forwards, then backwards
        wave = _filter_once(wave, sections, steady)[:, ::-1]
    part[:] = wave[:, pad : pad + part.shape[1]]


def _filter_once(wave: np.ndarray, sections: np.ndarray, steady: np.ndarray) -> np.ndarray:
    from scipy.signal import sosfilt  # a second to import, for every worker: only where it is needed

    return sosfilt(sections, wave, axis=1, zi=steady[:, None, :] * wave[None, :, :1])[0]


@lru_cache(maxsize=8)
def _sections(options: FilterParams, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Second-order sections (n, 6) and their state under a constant input of one (n, 2)."""
    from scipy.signal import butter, sosfilt_zi

    band = (options.low_hz, options.high_hz)
    sections = _rounded(butter(options.corners, band, btype="bandpass", fs=rate_hz, output="sos"))
    return sections, _rounded(sosfilt_zi(sections))


def _rounded(values: np.ndarray) -> np.ndarray:
    """To twelve digits: libraries for linear algebra differ in the last ones between processors."""
    return np.array([[float(f"{value:.12g}") for value in row] for row in values])


def signal_to_noise_db(window: np.ndarray, valid: tuple[int, int], p_sample: float, rate_hz: float) -> float:
    """20 log10 of the standard deviation 5 s after P over that of 9 s before, best component; dB.

    The noise ends 0.5 s before P. NaN where P is unknown, where either piece has less than half a second
    of valid samples, or where no component has noise.
    """
    if not np.isfinite(p_sample):
        return float("nan")
    p, shortest = round(p_sample), round(_SHORTEST_S * rate_hz)
    edges = (
        (p - round(NOISE_S[0] * rate_hz), p - round(NOISE_S[1] * rate_hz)),
        (p, p + round(SIGNAL_S * rate_hz)),
    )
    noise, signal = (window[:, max(low, valid[0]) : max(min(high, valid[1]), 0)] for low, high in edges)
    if min(noise.shape[1], signal.shape[1]) < shortest:
        return float("nan")
    below, above = noise.std(axis=1), signal.std(axis=1)
    usable = (below > 0) & (above > 0)
    if not usable.any():
        return float("nan")
    return float(20 * np.log10(above[usable] / below[usable]).max())
