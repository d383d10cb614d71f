"""Waveforms brought to the rate that the networks work at."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from earthsignals.seismic.records.record import RefusedRecord

_LARGEST_TERM = 2000  # of the ratio of rates
_LEAST_SHARE = 0.1  # below this share of the wanted rate nine tenths of the spectrum would be empty
_MOST_TIMES = 1000.0


def resample(waveform: np.ndarray, rate_hz: float, wanted_hz: float, path: Path) -> np.ndarray:
    """Waveform (3, n) float64 at `wanted_hz`; the first sample keeps its time.

    Polyphase filtering (scipy.signal.resample_poly): zero phase, low-passed below half of the lower rate;
    beyond its ends the record is continued along the line between them. Rates so near each other that
    the record's end moves by less than half a sample count as equal.

    Raises RefusedRecord `rate` if the rate is below a tenth or above a thousand times of what is wanted.
    """
    if abs(rate_hz - wanted_hz) / wanted_hz * waveform.shape[1] < 0.5:
        return waveform
    if not _LEAST_SHARE * wanted_hz <= rate_hz <= _MOST_TIMES * wanted_hz:
        raise RefusedRecord(
            path, "rate",
            f"sampled at {rate_hz:g} Hz; expected {_LEAST_SHARE * wanted_hz:g} to "
            f"{_MOST_TIMES * wanted_hz:g} Hz for a window at {wanted_hz:g} Hz",
        )  # fmt: skip
    ratio = Fraction(wanted_hz / rate_hz).limit_denominator(_LARGEST_TERM)
    from scipy import signal  # a second of every worker's start, for those alone who need it

    return signal.resample_poly(waveform, ratio.numerator, ratio.denominator, axis=1, padtype="line")
