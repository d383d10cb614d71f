"""Is there an earthquake in the record: a linear probe on the latent beside the classical trigger.

The probe is a logistic regression on standardised latents: what a latent holds that a linear rule can read.
STA/LTA (Allen 1978) compares a short-term with a long-term average of the squared signal; a record's score is
the maximum. Its windows, band and component are chosen on the same training records that the probe is fitted
to, so that it enters at its best. Larger scores mean earthquakes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from obspy.signal.trigger import classic_sta_lta
from scipy.signal import butter, sosfilt
from sklearn.linear_model import LogisticRegression

from earthsignals.bootstrap import auc

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # C of sklearn: smaller is a stronger prior
WINDOWS_S = ((0.3, 3.0), (0.5, 5.0), (1.0, 8.0), (2.0, 8.0))
"""Short and long window. With P 10 s after the start the long one fits before it."""
BANDS_HZ: tuple[tuple[float, float] | None, ...] = (None, (1.0, 20.0), (2.0, 15.0))
COMPONENTS = ("all", "Z")


@dataclass(frozen=True)
class Probe:
    """score = (z − mean) / deviation · weights + intercept for latents z (N, L)."""

    mean: np.ndarray
    deviation: np.ndarray
    weights: np.ndarray
    intercept: float
    penalty: float

    def score(self, latents: np.ndarray) -> np.ndarray:
        """Logits (N,) float64."""
        return ((latents - self.mean) / self.deviation) @ self.weights + self.intercept


def fit_probe(
    latents: np.ndarray, label: np.ndarray, held_back: np.ndarray, held_back_label: np.ndarray
) -> Probe | None:
    """Fit to training latents (N, L) and labels (N,) bool; the penalty is the one best on `held_back`.

    Both classes weigh the same. None where the training records are all of one sort.
    """
    if label.all() or not label.any():
        return None
    mean = latents.mean(0, dtype=np.float64)
    deviation = latents.std(0, dtype=np.float64)
    deviation[deviation < 1e-12] = 1.0
    scaled = (latents - mean) / deviation
    known = held_back_label.any() and not held_back_label.all()
    best: tuple[float, Probe] | None = None
    for penalty in PENALTIES if known else PENALTIES[2:3]:
        model = LogisticRegression(C=penalty, class_weight="balanced", max_iter=500, tol=1e-3)
        model.fit(scaled, label)
        probe = Probe(mean, deviation, model.coef_[0].astype(np.float64), float(model.intercept_[0]), penalty)
        reached = float(auc(probe.score(held_back), held_back_label)) if known else 0.0
        if best is None or reached > best[0]:
            best = reached, probe
    return best[1]


@dataclass(frozen=True)
class Trigger:
    """STA/LTA of one choice; seconds, Hz."""

    short_s: float = 0.5
    long_s: float = 5.0
    band_hz: tuple[float, float] | None = (1.0, 20.0)
    components: str = "all"

    def score(self, waveforms: np.ndarray, valid: np.ndarray, rate_hz: float) -> np.ndarray:
        """Maximum of STA/LTA (N,) over the valid samples (N, 2) of waveforms (N, 3, S), best component."""
        filtered = band_passed(waveforms, self.band_hz, rate_hz)
        each = component_scores(filtered, valid, round(self.short_s * rate_hz), round(self.long_s * rate_hz))
        return self.of_components(each)

    def of_components(self, each: np.ndarray) -> np.ndarray:
        """The record's score (N,) from those of its components (N, 3)."""
        return each.max(1) if self.components == "all" else each[:, 2]


def component_scores(waveforms: np.ndarray, valid: np.ndarray, short: int, long: int) -> np.ndarray:
    """Maximum of STA/LTA, windows in samples, of each component (N, 3) over the valid samples (N, 2).

    0 for a component that is dead, or shorter than the long window.
    """
    scores = np.zeros(waveforms.shape[:2])
    for row, (record, (first, past)) in enumerate(zip(waveforms, valid, strict=True)):
        for component, trace in enumerate(record[:, first:past]):
            if len(trace) > long and trace.any():
                ratio = classic_sta_lta(np.ascontiguousarray(trace, np.float64), short, long)
                scores[row, component] = np.nan_to_num(ratio, posinf=0.0).max()
    return scores


def band_passed(waveforms: np.ndarray, band_hz: tuple[float, float] | None, rate_hz: float) -> np.ndarray:
    """Butterworth of four corners, forwards only as a trigger in real time would; float64."""
    if band_hz is None:
        return np.asarray(waveforms, np.float64)
    high = min(band_hz[1], 0.45 * rate_hz)
    sections = butter(4, (band_hz[0], high), btype="bandpass", fs=rate_hz, output="sos")
    return sosfilt(sections, waveforms.astype(np.float64), axis=-1)


def choose_trigger(
    waveforms: np.ndarray, valid: np.ndarray, label: np.ndarray, rate_hz: float,
    windows_s: Sequence[tuple[float, float]] = WINDOWS_S,
) -> Trigger:  # fmt: skip
    """The trigger with the best AUC on training waveforms (N, 3, S) with labels (N,) bool."""
    best: tuple[float, Trigger] | None = None
    for band in BANDS_HZ:
        filtered = band_passed(waveforms, band, rate_hz)
        for short, long in windows_s:
            each = component_scores(filtered, valid, round(short * rate_hz), round(long * rate_hz))
            for components in COMPONENTS:
                trigger = Trigger(short, long, band, components)
                reached = float(auc(trigger.of_components(each), label))
                if best is None or reached > best[0]:
                    best = reached, trigger
    return best[1]
