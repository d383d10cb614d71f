"""Simulated scans: conditions, nuisances and noise drawn by scan index, up to the ADC counts.

Everything random about scan i comes from Philox streams keyed by (seed, what is drawn, i), so any
worker may make any scan. Work proceeds in blocks of BLOCK scans aligned to multiples of BLOCK: matrix
products then have the same shapes whatever the chunk size, and all arithmetic is float64 up to the
quantiser. Conditions are rounded (T 1 mK, P 1e-5 atm, x 6 digits) before use, so that a last-bit
difference between processors does not reach the file.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import fft

from earthsignals.compute.seeds import Stream
from earthsignals.tdlas import noise
from earthsignals.tdlas.emulator import Emulator, build_emulator
from earthsignals.tdlas.lines import LineList
from earthsignals.tdlas.params import (
    GasParams,
    InstrumentParams,
    LaserParams,
    LinesParams,
    MoleFractionRange,
)
from earthsignals.tdlas.scan import (
    ScanGrid,
    detector_response,
    fringe_basis,
    fringe_scale,
    scan_grid,
)

BLOCK = 128
PPM = 1e-6


@dataclass(frozen=True)
class Conditions:
    """Gas states of B scans: temperature_k, pressure_atm, mole_fraction, each (B,)."""

    temperature_k: np.ndarray
    pressure_atm: np.ndarray
    mole_fraction: np.ndarray

    def __len__(self) -> int:
        return len(self.mole_fraction)

    def __getitem__(self, rows: np.ndarray | slice) -> Conditions:
        return Conditions(self.temperature_k[rows], self.pressure_atm[rows], self.mole_fraction[rows])


@dataclass(frozen=True)
class Nuisances:
    """Instrument states of B scans: wavelength shift (B,) [cm-1], fringe coefficients (B, P)."""

    shift: np.ndarray
    fringes: np.ndarray


@dataclass(frozen=True)
class Simulator:
    """Everything fixed about simulated scans: grid, emulator, instrument and its noise spectrum."""

    gas: GasParams
    laser: LaserParams
    instrument: InstrumentParams
    sampling: str
    seed: int
    grid: ScanGrid
    emulator: Emulator
    fringes: np.ndarray
    fringe_std: np.ndarray
    response: np.ndarray | None
    flicker_amplitudes: np.ndarray | None
    bound_scale: float = field(default=0.01)

    # ------------------------------------------------------------------ what is drawn
    def draw_conditions(self, indices: np.ndarray) -> Conditions:
        """Uniform T and P, mole fraction by `sampling`, rounded, for the scans `indices` (B,)."""
        stream = Stream(self.seed, "conditions")
        uniform = np.array([stream.at(i).random(3) for i in indices.tolist()])
        t, p = self.gas.temperature_k, self.gas.pressure_atm
        return Conditions(
            np.round(t.low + (t.high - t.low) * uniform[:, 0], 3),
            np.round(p.low + (p.high - p.low) * uniform[:, 1], 5),
            mole_fractions(uniform[:, 2], self.gas.mole_fraction_ppm, self.sampling, self.bound_scale),
        )

    def draw_nuisances(self, indices: np.ndarray) -> Nuisances:
        """Wavelength shift (clipped at 6 sigma) and fringe coefficients of the scans `indices`."""
        stream = Stream(self.seed, "nuisances")
        count = 1 + len(self.fringe_std)
        normals = np.array([stream.at(i).standard_normal(count) for i in indices.tolist()])
        shift = self.instrument.jitter * np.clip(normals[:, 0], -6, 6)
        return Nuisances(shift, normals[:, 1:] * self.fringe_std)

    # ------------------------------------------------------------------ what is computed
    def transmitted(self, conditions: Conditions, nuisances: Nuisances) -> np.ndarray:
        """Noise-free detector signal (B, M) in units of mid-scan laser power."""
        c = conditions
        exponent = self.emulator.absorbance(
            c.temperature_k, c.pressure_atm, c.mole_fraction, nuisances.shift
        )
        np.subtract(nuisances.fringes @ self.fringes, exponent, out=exponent)
        np.exp(exponent, out=exponent)
        exponent *= self.grid.half_power
        return self.detect(self.grid.fold(exponent))

    def detect(self, signal: np.ndarray) -> np.ndarray:
        """The detector's low-pass applied along the last axis of a periodic signal (..., M)."""
        if self.response is None:
            return signal
        return fft.irfft(fft.rfft(signal) * self.response, signal.shape[-1])

    def draw_noise(self, indices: np.ndarray, signal: np.ndarray, scale: float = 1.0) -> np.ndarray:
        """Detector noise (B, M) of the scans `indices` at noise-free `signal` (B, M)."""
        samples = self.grid.samples
        width = 2 * samples
        drawn = noise.random_indices(Stream(self.seed, "noise"), indices, 2 * width + noise.PER_WORD)
        variance = noise.white_variance(signal, self.instrument, self.laser.block)
        total = np.sqrt(variance, out=variance)
        total *= noise.white_normals(drawn[:, :width])
        if self.flicker_amplitudes is not None:
            total += noise.flicker_noise(drawn[:, width:], self.flicker_amplitudes)
        return total if scale == 1.0 else total * scale

    def quantise(self, signal: np.ndarray) -> np.ndarray:
        """ADC counts (B, M) uint16: rounded and clipped to the converter's range."""
        counts = np.rint(signal / self.lsb)
        return np.clip(counts, 0, 2**self.instrument.adc_bits - 1).astype(np.uint16)

    @property
    def lsb(self) -> float:
        """Signal of one ADC count."""
        return self.instrument.adc_full_scale / 2**self.instrument.adc_bits

    def measure(
        self,
        indices: np.ndarray,
        conditions: Conditions,
        nuisances: Nuisances,
        noise_scale: float = 1.0,
    ) -> np.ndarray:
        """Counts (B, M) of given gas and instrument states, with the noise of `indices` (B,)."""
        out = np.empty((len(indices), self.grid.samples), dtype=np.uint16)
        for start in range(0, len(indices), BLOCK):
            rows = slice(start, start + BLOCK)
            states = _pad(conditions[rows]), _pad_nuisances(nuisances, rows)
            signal = self.transmitted(*states)[: len(indices[rows])]
            signal += self.draw_noise(indices[rows], signal, noise_scale)
            out[rows] = self.quantise(signal)
        return out

    def scans(self, start: int, stop: int) -> tuple[np.ndarray, Conditions]:
        """Counts (B, M) and conditions of the scans start <= i < stop; start a multiple of BLOCK."""
        if start % BLOCK:
            raise ValueError(f"start ({start}) must be a multiple of {BLOCK}")
        indices = np.arange(start, stop)
        conditions = self.draw_conditions(indices)
        return self.measure(indices, conditions, self.draw_nuisances(indices)), conditions


def make_simulator(
    lines: LineList,
    lines_params: LinesParams,
    gas: GasParams,
    laser: LaserParams,
    instrument: InstrumentParams,
    *,
    sampling: str = "log-uniform",
    seed: int = 0,
) -> Simulator:
    """Build the emulator and the noise spectrum once; the result is read-only and picklable."""
    grid = scan_grid(lines_params, laser)
    return Simulator(
        gas=gas,
        laser=laser,
        instrument=instrument,
        sampling=sampling,
        seed=seed,
        grid=grid,
        emulator=build_emulator(grid.half_nu, lines, gas, instrument.jitter),
        fringes=fringe_basis(grid, grid.half_nu, instrument),
        fringe_std=fringe_scale(instrument),
        response=detector_response(laser, instrument),
        flicker_amplitudes=noise.flicker_spectrum(laser, instrument),
    )


def mole_fractions(
    uniform: np.ndarray, limits: MoleFractionRange, sampling: str, bound_scale: float
) -> np.ndarray:
    """Mole fractions [1] from uniform variables (B,), rounded to 6 significant digits.

    "bound" is uniform in asinh(x / bound_scale): as many scans per unit of the Cramer-Rao bound
    everywhere, for a bound that grows like sqrt(1 + (x / bound_scale)^2).
    """
    low, high = limits.low * PPM, limits.high * PPM
    if sampling == "uniform":
        x = low + (high - low) * uniform
    elif sampling == "bound":
        a, b = np.arcsinh(low / bound_scale), np.arcsinh(high / bound_scale)
        x = bound_scale * np.sinh(a + (b - a) * uniform)
    else:
        x = low * np.exp(np.log(high / low) * uniform)
    digits = np.power(10.0, 5 - np.floor(np.log10(x)))
    return np.clip(np.round(x * digits) / digits, low, high)


def _pad(conditions: Conditions) -> Conditions:
    missing = BLOCK - len(conditions)
    if missing == 0:
        return conditions
    rows = np.concatenate([np.arange(len(conditions)), np.zeros(missing, dtype=int)])
    return conditions[rows]


def _pad_nuisances(nuisances: Nuisances, rows: slice) -> Nuisances:
    shift, fringes = nuisances.shift[rows], nuisances.fringes[rows]
    missing = BLOCK - len(shift)
    return Nuisances(np.pad(shift, (0, missing)), np.pad(fringes, ((0, missing), (0, 0))))
