"""Instruments: how ground motion becomes counts for the four kinds of channel.

HH  broadband velocity, flat from 120 s to the anti-alias filter of 100 samples/s
BH  the same sensor, recorded at 40 (or 20) samples/s
EH  a geophone of 1 Hz (damping 0.7), often through analogue telemetry that passes up to 20–26 Hz, and a
    coarse digitiser
HN  an accelerometer with white self-noise
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KINDS = ("HH", "HN", "EH", "BH")
BROADBAND_CORNER_HZ = 1.0 / 120.0
DAMPING = 0.7071
TELEMETRY_ORDER = 4
ALIAS_ORDER = 24  # as steep as the decimation filters of digital recorders


@dataclass(frozen=True)
class Instrument:
    """One station's sensor and recorder."""

    kind: str
    sensitivity: float  # counts per m/s, or per m/s² for HN
    low_corner_hz: float  # of the pendulum; 0 for HN
    high_corner_hz: float  # −3 dB of anti-alias or telemetry
    high_order: int  # steepness of that low pass: amplitude 1/sqrt(1 + (f/fc)^(2 order))
    self_noise: float  # white power of the recorder, counts²/Hz, before the low pass of a BH or HH stream
    self_acceleration: float  # white power of the sensor, (m/s²)²/Hz
    full_scale: int  # counts at which the record clips

    @property
    def units(self) -> str:
        """Of the ground motion that the counts are proportional to."""
        return "m/s**2" if self.kind == "HN" else "m/s"

    def recorder_noise(self, frequency_hz: np.ndarray) -> np.ndarray:
        """The recorder's own noise in counts²/Hz: it passes an anti-alias filter, but no telemetry."""
        passes = np.ones_like(frequency_hz) if self.telemetry else self._low_pass(frequency_hz)
        return self.self_noise * passes

    def _low_pass(self, frequency_hz: np.ndarray) -> np.ndarray:
        """Power that passes; steep filters are cut off at −120 dB."""
        return 1.0 / (1.0 + np.minimum((frequency_hz / self.high_corner_hz) ** (2 * self.high_order), 1e12))

    @property
    def telemetry(self) -> bool:
        """Whether the signal came by analogue radio, whose filter lies before the digitiser."""
        return self.kind == "EH" and self.high_order == TELEMETRY_ORDER

    def response(self, frequency_hz: np.ndarray) -> np.ndarray:
        """Counts per m/s of ground velocity, complex, shape as `frequency_hz` (0 Hz gives 0)."""
        s = 2j * np.pi * frequency_hz
        result = self.sensitivity * s ** len(self.zeros())
        for pole in self.poles():
            result = result / (s - pole)
        if self.telemetry:
            return result * (2.0 * np.pi * self.high_corner_hz) ** TELEMETRY_ORDER
        return result * np.sqrt(self._low_pass(frequency_hz)) * (s if self.kind == "HN" else 1.0)

    def zeros(self) -> list[complex]:
        """Of the sensor's transfer function in rad/s, from velocity or (HN) acceleration."""
        return [] if self.kind == "HN" else [0j, 0j]

    def poles(self) -> list[complex]:
        """Of the pendulum and, behind it, of analogue telemetry's Butterworth low pass; rad/s.

        The digital anti-alias filter is not among them: without phase, and flat below 0.8 of its corner.
        """
        if self.kind == "HN":
            return []
        corner = 2.0 * np.pi * self.low_corner_hz
        turn = np.sqrt(1.0 - DAMPING**2)
        poles = [corner * complex(-DAMPING, turn), corner * complex(-DAMPING, -turn)]
        if self.telemetry:
            angles = np.pi * (2 * np.arange(TELEMETRY_ORDER) + TELEMETRY_ORDER + 1) / (2 * TELEMETRY_ORDER)
            poles += [complex(p) for p in 2.0 * np.pi * self.high_corner_hz * np.exp(1j * angles)]
        return poles


def draw_instrument(rng: np.random.Generator, kind: str, sampling_rate_hz: float) -> Instrument:
    """The instrument of a station of `kind`; sampling_rate_hz is that of the finished records."""
    alias = min(0.43, rng.normal(0.42, 0.01)) * sampling_rate_hz
    spread = rng.normal()
    coarse = rng.random()
    if kind == "HN":
        low_gain = coarse < 0.3  # 19-bit recorders of ±2 g beside 24-bit ones
        return Instrument(
            kind, sensitivity=(1.5e4 if low_gain else 2.1e5) * 2.0 ** (0.7 * spread), low_corner_hz=0.0,
            high_corner_hz=alias, high_order=ALIAS_ORDER, self_noise=0.002,
            self_acceleration=10.0 ** (rng.uniform(-13.2, -10.3)), full_scale=2**19 if low_gain else 2**23,
        )
    if kind == "EH":
        telemetry = coarse < 0.5
        high = rng.uniform(20.0, 26.0) if telemetry else alias
        return Instrument(
            kind, sensitivity=10.0 ** (7.9 + 0.4 * spread), low_corner_hz=rng.normal(1.0, 0.05),
            high_corner_hz=high, high_order=TELEMETRY_ORDER if telemetry else ALIAS_ORDER,
            self_noise=10.0 ** rng.uniform(-3.0, -1.0), self_acceleration=1e-16, full_scale=2**15,
        )
    high = alias if kind == "HH" else min(alias, 0.43 * (40.0 if coarse < 0.88 else 20.0))
    return Instrument(
        kind, sensitivity=6.3e8 * 2.0 ** (0.5 * spread), low_corner_hz=BROADBAND_CORNER_HZ,
        high_corner_hz=high, high_order=ALIAS_ORDER, self_noise=0.003,
        self_acceleration=10.0 ** rng.uniform(-17.5, -16.0), full_scale=2**23,
    )
