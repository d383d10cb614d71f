"""Earthquake sources: magnitudes, corner frequencies, and the far-field spectra that they radiate.

Brune's (1970) omega-square model: the far-field displacement spectrum of a body wave is flat below the
corner frequency and falls with f⁻² above it; its level follows from the seismic moment,

    |U(f)| = C M0 G(R) / (1 + (f/fc)²),    C = Rθφ F / (4π ρ c³)

(Aki & Richards 2002, eq. 4.32) with the average radiation coefficient Rθφ (Boore & Boatwright 1984: 0.52 for
P, 0.63 for S), F = 2 for the free surface, density ρ and wave speed c.
"""

from __future__ import annotations

import numpy as np

DENSITY = 2700.0  # kg/m³, upper crust
FREE_SURFACE = 2.0
RADIATION_P = 0.52
RADIATION_S = 0.63
CORNER_RATIO = 1.4
"""Corner frequency of P over that of S (Madariaga 1976: 1.5; observed 1.2–1.6)."""
B_VALUE = 0.9
"""Of the Gutenberg–Richter law; active regions have 0.8–1.1."""


def moment_nm(magnitude: np.ndarray | float) -> np.ndarray | float:
    """Seismic moment in N·m of a moment magnitude: M0 = 10^(1.5 Mw + 9.05) (Hanks & Kanamori 1979)."""
    return 10.0 ** (1.5 * np.asarray(magnitude) + 9.05)


def corner_hz(moment: np.ndarray | float, stress_drop_pa: np.ndarray | float, beta: float) -> np.ndarray:
    """Brune's corner frequency of S in Hz: fc = 0.49 β (Δσ / M0)^⅓ (Brune 1970, 1971; SI units, β in m/s)."""
    return 0.49 * beta * np.cbrt(np.asarray(stress_drop_pa) / np.asarray(moment))


def draw_magnitudes(rng: np.random.Generator, count: int, low: float, high: float) -> np.ndarray:
    """Magnitudes (count,) of the Gutenberg–Richter law N(≥M) ∝ 10^(−bM) within [low, high], b = B_VALUE.

    By the inverse of the truncated exponential distribution.
    """
    rate = B_VALUE * np.log(10.0)
    return low - np.log1p(-rng.random(count) * -np.expm1(-rate * (high - low))) / rate


def velocity_spectrum(
    frequency_hz: np.ndarray, moment: np.ndarray, corner: np.ndarray, speed: float, radiation: float
) -> np.ndarray:
    """Far-field ground velocity spectrum at unit distance, |2πf U(f)| R in m/s/Hz · m, broadcast.

    frequency_hz in Hz, moment in N·m, corner in Hz, speed (of the wave) in m/s.
    """
    level = radiation * FREE_SURFACE * moment / (4.0 * np.pi * DENSITY * speed**3)
    return 2.0 * np.pi * frequency_hz * level / (1.0 + (frequency_hz / corner) ** 2)
