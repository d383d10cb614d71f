"""Voigt absorption of a CH4/air(/H2O) mixture, summed line by line: the reference of this pipeline.

For each line (HITRAN conventions; Gordon et al. 2022, sec. 2; Rothman et al. 1998, Appendix A):

    S(T)    = S(296) Q(296)/Q(T) exp(-c2 E"(1/T - 1/296)) (1 - exp(-c2 nu/T)) / (1 - exp(-c2 nu/296))
    gamma   = (296/T)^n P [gamma_air x_air + gamma_self x_self + gamma_air r_h2o x_h2o]   (HWHM)
    alpha_D = nu sqrt(2 ln2 k T / m) / c                                                  (HWHM)
    shift   = delta_air P          (the whole pressure: HITRAN lists no self shift for these lines)

and the absorption coefficient is x N/V S(T) Re w(z) sqrt(ln2/pi)/alpha_D with the Faddeeva function w.
Intensities hold the natural abundance, so the mole fraction counts all isotopologues of the molecule.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import constants
from scipy.special import wofz

from earthsignals.tdlas.hitran import molar_mass, partition_sum
from earthsignals.tdlas.lines import METHANE, WATER, LineList
from earthsignals.tdlas.params import GasParams

T_REF = 296.0  # K, HITRAN's reference temperature
C2 = constants.h * constants.c * 100 / constants.k  # cm K, second radiation constant
PASCAL_PER_ATM = constants.atm
FAR = 40.0  # Doppler 1/e widths from the line centre where the far-wing form takes over


@dataclass(frozen=True)
class Gas:
    """State of the gas: temperature [K], pressure [atm], CH4 and H2O mole fractions [1]."""

    temperature_k: float
    pressure_atm: float
    mole_fraction: float
    water: float = 0.0


def number_density(temperature_k: float, pressure_atm: float) -> float:
    """Molecules per cm3 of an ideal gas."""
    return pressure_atm * PASCAL_PER_ATM / (constants.k * temperature_k) * 1e-6


def line_intensity(lines: LineList, temperature_k: float) -> np.ndarray:
    """S(T) of each line, shape (N,) [cm/molecule], with stimulated emission and TIPS sums."""
    ratio = np.array(
        [
            partition_sum(m, i, T_REF) / partition_sum(m, i, float(temperature_k))
            for m, i in zip(lines.molecule.tolist(), lines.isotopologue.tolist(), strict=True)
        ]
    )
    boltzmann = np.exp(-C2 * lines.lower_energy * (1 / temperature_k - 1 / T_REF))
    emission = np.expm1(-C2 * lines.nu / temperature_k) / np.expm1(-C2 * lines.nu / T_REF)
    return lines.intensity * ratio * boltzmann * emission


def doppler_hwhm(lines: LineList, temperature_k: float) -> np.ndarray:
    """Doppler half width at half maximum of each line, shape (N,) [cm-1]."""
    kg = np.array(
        [
            molar_mass(m, i) * 1e-3 / constants.N_A
            for m, i in zip(lines.molecule.tolist(), lines.isotopologue.tolist(), strict=True)
        ]
    )
    return lines.nu * np.sqrt(2 * np.log(2) * constants.k * temperature_k / kg) / constants.c


def lorentz_hwhm(lines: LineList, gas: Gas, water_broadening_ratio: float) -> np.ndarray:
    """Pressure-broadened half width of each line in the mixture, shape (N,) [cm-1].

    "Self" is the absorbing molecule: CH4 for methane lines, H2O for water lines. n_air stands for
    the unlisted exponent of self-broadening. `water_broadening_ratio` is gamma_H2O / gamma_air of
    methane lines (water broadens about a third more than air: Tan et al. 2019, JGR 124, 11580).
    """
    methane = lines.molecule == METHANE
    own = np.where(methane, gas.mole_fraction, gas.water)
    water = np.where(methane, gas.water, 0.0)
    air = 1.0 - own - water
    width = lines.gamma_air * (air + water_broadening_ratio * water) + lines.gamma_self * own
    return (T_REF / gas.temperature_k) ** lines.n_air * gas.pressure_atm * width


def absorption_coefficient(
    nu: np.ndarray, lines: LineList, gas: Gas, options: GasParams
) -> np.ndarray:
    """Naperian absorption coefficient at `nu` (M,) [cm-1], shape (M,) [1/cm], float64.

    `options.wing_policy`: "full" keeps every wing; "cut" drops a line beyond `wing_cutoff` [cm-1];
    "cut-pedestal" also subtracts the line's value at the cut-off, so that nothing jumps there.
    """
    sigma = np.zeros(len(nu))
    fraction = {METHANE: gas.mole_fraction, WATER: gas.water}
    for molecule in np.unique(lines.molecule).tolist():
        own = lines.of_molecule(molecule)
        sigma += fraction.get(molecule, 0.0) * cross_section(nu, own, gas, options)
    return sigma * number_density(gas.temperature_k, gas.pressure_atm)


def cross_section(nu: np.ndarray, lines: LineList, gas: Gas, options: GasParams) -> np.ndarray:
    """Absorption cross section per molecule at `nu` (M,) [cm-1], shape (M,) [cm2/molecule]."""
    intensity = line_intensity(lines, gas.temperature_k)
    doppler = doppler_hwhm(lines, gas.temperature_k) / np.sqrt(np.log(2))
    lorentz = lorentz_hwhm(lines, gas, options.water_broadening_ratio)
    centre = lines.nu + lines.delta_air * gas.pressure_atm
    total = np.zeros(len(nu))
    for s, d, g, c in zip(intensity, doppler, lorentz, centre, strict=True):
        offset = nu - c
        profile = _voigt(offset, d, g)
        if options.wing_policy != "full":
            inside = np.abs(offset) <= options.wing_cutoff
            pedestal = 0.0
            if options.wing_policy == "cut-pedestal":
                pedestal = _voigt(np.array([options.wing_cutoff]), d, g)[0]
            profile = np.where(inside, profile - pedestal, 0.0)
        total += s * profile
    return total


def _voigt(offset: np.ndarray, doppler_1e: float, lorentz: float) -> np.ndarray:
    """Voigt profile of unit area [cm]; `doppler_1e` is the 1/e half width, `lorentz` the HWHM.

    Beyond |x| = FAR Doppler widths the Faddeeva function is a rational convergent of its continued
    fraction, which is five times cheaper and differs by less than 1e-11 there.
    """
    x = offset / doppler_1e
    y = lorentz / doppler_1e
    profile = np.empty_like(x)
    near = np.abs(x) < FAR
    profile[near] = wofz(x[near] + 1j * y).real
    z = x[~near] + 1j * y
    z2 = z * z
    profile[~near] = -(z * (z2 - 2.5) / (z2 * (z2 - 3.0) + 0.75)).imag / np.sqrt(np.pi)
    return profile / (np.sqrt(np.pi) * doppler_1e)
