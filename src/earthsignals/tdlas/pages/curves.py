"""Absorbance at nodes of temperature, pressure and mole fraction, to interpolate between in the browser.

Per mole fraction the absorbance changes little and smoothly over the range: with the strength of lines in
temperature, with their width in pressure and, by self-broadening, in the mole fraction. So a few nodes and a
linear interpolation in all three stay within a few thousandths of the direct Voigt sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earthsignals.tdlas.lines import LineList
from earthsignals.tdlas.params import GasParams
from earthsignals.tdlas.voigt import Gas, absorption_coefficient

POINTS = 601
TEMPERATURES, PRESSURES, FRACTIONS = 8, 5, 2


@dataclass(frozen=True)
class Nodes:
    """nu: (N,) cm-1. temperature_k (T,), pressure_atm (P,), mole_fraction (X,): nodes, ascending.

    per_fraction: (T, P, X, N) float32, absorbance over the path divided by the mole fraction.
    """

    nu: np.ndarray
    temperature_k: np.ndarray
    pressure_atm: np.ndarray
    mole_fraction: np.ndarray
    per_fraction: np.ndarray

    def at(self, temperature_k: float, pressure_atm: float, mole_fraction: float) -> np.ndarray:
        """Absorbance (N,), as the browser works it out."""
        values = self.per_fraction.astype(float)
        for nodes, value in (
            (self.temperature_k, temperature_k), (self.pressure_atm, pressure_atm),
            (self.mole_fraction, mole_fraction),
        ):  # fmt: skip
            low = int(np.clip(np.searchsorted(nodes, value) - 1, 0, len(nodes) - 2))
            share = (value - nodes[low]) / (nodes[low + 1] - nodes[low])
            values = (1 - share) * values[low] + share * values[low + 1]
        return mole_fraction * values


def nodes(lines: LineList, gas: GasParams, window: tuple[float, float], path_cm: float) -> Nodes:
    """The direct Voigt sum at nodes that span the simulated range."""
    nu = np.linspace(*window, POINTS)
    temperature = np.linspace(gas.temperature_k.low, gas.temperature_k.high, TEMPERATURES)
    pressure = np.linspace(gas.pressure_atm.low, gas.pressure_atm.high, PRESSURES)
    fraction = 1e-6 * np.linspace(gas.mole_fraction_ppm.low, gas.mole_fraction_ppm.high, FRACTIONS)
    found = [
        absorption_coefficient(nu, lines, Gas(t, p, x, gas.water_mole_fraction), gas) * path_cm / x
        for t in temperature.tolist() for p in pressure.tolist() for x in fraction.tolist()
    ]  # fmt: skip
    shape = (len(temperature), len(pressure), len(fraction), len(nu))
    return Nodes(nu, temperature, pressure, fraction, np.reshape(found, shape).astype(np.float32))
