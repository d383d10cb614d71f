"""The laser scan: drive, wavenumber axis, power curve and block averaging, without noise.

One period of the drive V = 1 + cos(2 pi f t) is one scan. The wavenumber follows the drive,
nu = nu_low + (nu_high - nu_low) V/2, so |dnu/dt| is proportional to |dV/dt|: the laser sweeps down in
the first half period and back up in the second. Raw sample k stands for t = (k + 1/2)/f_s, which makes
the second half the exact mirror of the first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from earthsignals.tdlas.params import InstrumentParams, LaserParams, LinesParams

GAUSS = 0.5 / np.sqrt(3.0)  # two-point Gauss-Legendre abscissae of a block, in block lengths


def drive(time_s: np.ndarray, laser: LaserParams) -> np.ndarray:
    """Drive signal V in [0, 2] at the given times, same shape."""
    return 1.0 + np.cos(2 * np.pi * laser.drive_frequency_hz * time_s)


def wavenumber(drive_v: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Laser wavenumber [cm-1] at drive V, same shape."""
    low, high = window
    return low + (high - low) * 0.5 * drive_v


def power(drive_v: np.ndarray, laser: LaserParams) -> np.ndarray:
    """Laser power relative to mid-scan at drive V: 1 + slope v + curvature v^2 with v = V - 1."""
    v = drive_v - 1.0
    return 1.0 + laser.power_slope * v + laser.power_curvature * v * v


@dataclass(frozen=True)
class ScanGrid:
    """Where a scan is evaluated and how it is stored. M = samples_per_scan.

    time (M,) [s] and nu (M,) [cm-1] are block centres; `half_*` (M,) are the two Gauss points of each
    of the M/2 blocks of the downward sweep, whose mean over a pair equals the block average to fourth
    order in the block's width (the test compares it with the raw samples).
    """

    window: tuple[float, float]
    time: np.ndarray
    nu: np.ndarray
    half_nu: np.ndarray
    half_power: np.ndarray
    mirrored: bool = True

    @property
    def samples(self) -> int:
        """Stored samples per scan."""
        return len(self.nu)

    def scaled(self, nu: np.ndarray) -> np.ndarray:
        """Wavenumber mapped to [-1, 1] over the window."""
        low, high = self.window
        return (2.0 * nu - low - high) / (high - low)

    def fold(self, half: np.ndarray) -> np.ndarray:
        """Block averages (..., M) of a full scan from its Gauss points (..., M) of the down sweep.

        A measured axis is taken point by point instead (`mirrored` is False): nothing is folded.
        """
        if not self.mirrored:
            return half
        down = 0.5 * (half[..., 0::2] + half[..., 1::2])
        return np.concatenate([down, down[..., ::-1]], axis=-1)


def scan_grid(lines: LinesParams, laser: LaserParams) -> ScanGrid:
    """The grid of one scan from the window and the laser's parameters."""
    window = (lines.window_low, lines.window_high)
    samples = laser.samples_per_scan
    period = 1.0 / laser.drive_frequency_hz
    centres = (np.arange(samples) + 0.5) / samples * period
    blocks = (np.arange(samples // 2) + 0.5)[:, None] + np.array([-GAUSS, GAUSS])
    gauss = drive(blocks.ravel() / samples * period, laser)
    return ScanGrid(
        window=window,
        time=centres,
        nu=wavenumber(drive(centres, laser), window),
        half_nu=wavenumber(gauss, window),
        half_power=power(gauss, laser),
    )


def fringe_basis(grid: ScanGrid, nu: np.ndarray, instrument: InstrumentParams) -> np.ndarray:
    """Log-transmission patterns of the instrument at `nu` (K,): shape (P, K).

    Rows: Legendre polynomials of the scaled wavenumber (baseline), then cosine and sine of each
    etalon's phase 2 pi nu / FSR. Their coefficients are independent normal variables with the
    standard deviations of `fringe_scale`; a cosine/sine pair is a fringe of random amplitude and phase.
    For the small rms of a usable instrument exp(a cos) is the Airy transmission to order a^2.
    """
    scaled = grid.scaled(nu)
    degree = len(instrument.baseline)
    rows = [np.polynomial.legendre.Legendre.basis(n)(scaled) for n in range(degree)]
    for etalon in instrument.etalons:
        phase = 2 * np.pi * (nu - grid.window[0]) / etalon.free_spectral_range
        rows += [np.cos(phase), np.sin(phase)]
    return np.array(rows).reshape(len(rows), len(nu))


def fringe_scale(instrument: InstrumentParams) -> np.ndarray:
    """Standard deviations (P,) of the coefficients of `fringe_basis`."""
    etalons = [e.rms for e in instrument.etalons for _ in range(2)]
    return np.array([*instrument.baseline, *etalons], dtype=float)


def detector_response(laser: LaserParams, instrument: InstrumentParams) -> np.ndarray | None:
    """Single-pole low-pass at the harmonics of the drive, shape (M/2 + 1,), or None where off.

    A steadily driven scan is periodic, so filtering its M harmonics is exact up to what lies above the
    stored samples' Nyquist frequency.
    """
    if instrument.detector_bandwidth_hz == 0:
        return None
    harmonics = np.arange(laser.samples_per_scan // 2 + 1) * laser.drive_frequency_hz
    return 1.0 / (1.0 + 1j * harmonics / instrument.detector_bandwidth_hz)
