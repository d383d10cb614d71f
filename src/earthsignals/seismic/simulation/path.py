"""From source to station: travel times, geometric spreading, attenuation, and the envelopes of P, S and coda.

A homogeneous crust per region: rays are straight lines from the hypocentre. Attenuation depends on frequency,
Q(f) = Q0 f^η (f in Hz, at least 1), with the near-surface loss exp(−πκf) of Anderson & Hough (1984).
Envelopes are mean power against time: the direct pulse, broadened by source and path, and a coda whose power
falls with lapse time t as t⁻² exp(−2πft/Qc) (single scattering; Aki & Chouet 1975, Sato 1977).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SPREADING_KM = (70.0, 130.0)
"""Body waves spread as 1/R to the first distance, stay level to the second (reflections of the Moho arrive),
and fall as R^−½ beyond (Atkinson & Mereu 1992)."""


@dataclass(frozen=True)
class Crust:
    """What waves meet in one region."""

    alpha: float  # m/s, P
    beta: float  # m/s, S
    q0: float  # of S at 1 Hz
    eta: float
    coda_q0: float  # of the coda at 1 Hz
    coda_eta: float
    scattering: float  # coda energy over direct energy, about 1

    def q(self, frequency_hz: np.ndarray) -> np.ndarray:
        """Quality factor of S."""
        return self.q0 * np.maximum(frequency_hz, 1.0) ** self.eta

    def coda_q(self, frequency_hz: np.ndarray) -> np.ndarray:
        """Quality factor of the coda."""
        return self.coda_q0 * np.maximum(frequency_hz, 1.0) ** self.coda_eta


def spreading_per_m(distance_km: np.ndarray | float) -> np.ndarray:
    """Geometric spreading in 1/m against hypocentral distance in km; continuous."""
    first, second = SPREADING_KM
    distance = np.maximum(np.asarray(distance_km, float), 0.5)
    return 1e-3 / np.minimum(distance, first) * np.sqrt(second / np.maximum(distance, second))


def attenuation(
    frequency_hz: np.ndarray, travel_s: np.ndarray | float, q: np.ndarray, kappa_s: float
) -> np.ndarray:
    """Amplitude factor exp(−πf t/Q − πκf), broadcast."""
    return np.exp(-np.pi * frequency_hz * (travel_s / q + kappa_s))


@dataclass(frozen=True)
class Arrivals:
    """Times and widths that shape the envelopes of one earthquake at one station; seconds."""

    p_travel: float
    s_travel: float
    p_width: float  # decay time of the direct pulse's power
    s_width: float

    @property
    def s_after_p(self) -> float:
        return self.s_travel - self.p_travel


def arrivals(hypocentral_km: float, corner: float, crust: Crust) -> Arrivals:
    """Arrival times and pulse widths: source duration ≈ ½/fc plus a path duration that grows with distance.

    The path part follows ≈ 0.05 s/km of significant duration for S (Atkinson & Boore 1995), of which an
    exponential pulse's decay time is about a third; P is scattered half as much.
    """
    p_travel = hypocentral_km * 1e3 / crust.alpha
    s_travel = hypocentral_km * 1e3 / crust.beta
    source = min(0.35 / corner, 3.0)
    return Arrivals(p_travel, s_travel, source + 0.05 + 0.008 * hypocentral_km,
                    source + 0.08 + 0.016 * hypocentral_km)


def p_power(
    time_s: np.ndarray, band_hz: np.ndarray, times: Arrivals, crust: Crust
) -> tuple[np.ndarray, np.ndarray]:
    """Mean power of direct P (integral one) and of the P coda against time after the P arrival.

    time_s (K,) >= 0; band_hz (B, 1). Returns arrays (B, K), 1/s. The coda's decay is that of lapse time, so
    short at close stations, where S follows soon.
    """
    direct = np.exp(-time_s / times.p_width) / times.p_width
    lapse = times.p_travel + time_s
    spread = (times.p_travel + 0.3) / (lapse + 0.3)
    coda = crust.scattering / (times.p_travel + 1.5) * spread
    coda = coda * np.exp(-2.0 * np.pi * band_hz * time_s / crust.coda_q(band_hz))
    return _onset(time_s, band_hz) * direct, _onset(time_s, band_hz) * coda


def s_power(
    time_s: np.ndarray, band_hz: np.ndarray, times: Arrivals, crust: Crust
) -> tuple[np.ndarray, np.ndarray]:
    """Mean power of direct S (integral one) and of the S coda, as `p_power`, against time after P."""
    after = np.maximum(time_s - times.s_after_p, 0.0)
    begun = _onset(time_s - times.s_after_p, band_hz)
    direct = np.exp(-after / times.s_width) / times.s_width
    lapse = times.s_travel + after
    spread = ((times.s_travel + 0.5) / (lapse + 0.5)) ** 2
    coda = crust.scattering / (times.s_travel + 1.0) * spread
    coda = coda * np.exp(-2.0 * np.pi * band_hz * after / crust.coda_q(band_hz))
    return begun * direct, begun * coda


def _onset(time_s: np.ndarray, band_hz: np.ndarray) -> np.ndarray:
    """0 before time 0, then a rise over about a third of a period: a wave begins no faster than it swings."""
    return np.clip((time_s + 1e-3) * 3.0 * band_hz, 0.0, 1.0) ** 2
