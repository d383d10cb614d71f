"""Dispersion: what a source of methane adds to the columns downwind of it.

A source of constant rate Q in a wind U leaves a plume whose vertically integrated enhancement is drawn
on the pixel grid in ppm·m. Two models share one picture of turbulence:

* `gaussian_plume`: the steady plume of textbooks, straight and smooth;
* `puff_plume`: one instant of it: puffs released one after another, carried by the wind, by eddies so
  large that they bend the whole plume (meander), and by smaller ones that tear it into patches, while
  each puff grows by those too small to be followed. Its ensemble mean is a steady plume of Taylor's spread.

Each part of the turbulence obeys Taylor (1921): the spread grows like sigma_v·t at first and like
sqrt(2·sigma_v²·T_L·t) in the end. Directions: `direction_deg` is where the wind blows to, clockwise
from up (towards row 0).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.ndimage import gaussian_filter
from scipy.signal import lfilter

GAS_CONSTANT = 8.314462618  # J mol-1 K-1 (CODATA 2018, exact)
METHANE_KG_MOL = 16.0425e-3  # IUPAC 2021 weights: 12.011 + 4·1.008, rounded
TEMPERATURE_K = 293.15
PRESSURE_PA = 101_325.0

POINT_SPREAD = 0.6
"""Standard deviation of instrument blur and resampling together, in pixels."""

_CLASSES = 16  # sizes of puffs, log-spaced, between which a puff's mass is shared
_STEPS = 48  # of a puff's life; the update is exact for any step, they only resolve the patches


def ppm_m_to_kg_m2(temperature_k: float = TEMPERATURE_K, pressure_pa: float = PRESSURE_PA) -> float:
    """Mass of 1 ppm·m of methane in kg/m² by the ideal gas law: M·P/(R·T)·1e-6, about 6.7e-7."""
    return METHANE_KG_MOL * pressure_pa / (GAS_CONSTANT * temperature_k) * 1e-6


PPM_M_TO_KG_M2 = ppm_m_to_kg_m2()


@dataclass(frozen=True)
class Eddies:
    """One part of the turbulence: its share of the velocity variance and its Lagrangian time scale."""

    share: float
    time_s: float

    def sigma(self, age_s: np.ndarray, sigma_v: float) -> np.ndarray:
        """Spread in metres after `age_s`, for `sigma_v` m/s of the whole turbulence.

        Taylor (1921) for an exponential correlation: 2·s²·T²·(t/T - 1 + exp(-t/T)).
        """
        ratio = np.asarray(age_s, dtype=float) / self.time_s
        growth = np.where(ratio < 1e-3, 0.5 * ratio**2, ratio + np.expm1(-ratio))
        return sigma_v * self.time_s * np.sqrt(2 * self.share * growth)


# Hanna (1982, in "Atmospheric Turbulence and Air Pollution Modelling") gives 0.15 z_i / sigma_v for the
# lateral Lagrangian time of a convective day: 150 s for a mixed layer of 800 m and 0.8 m/s. Smaller eddies
# live shorter. The shares are a choice: with these, plumes are as sinuous and patchy as airborne images.
MEANDER = Eddies(share=0.50, time_s=150.0)
PATCHES = Eddies(share=0.42, time_s=40.0)
GROWTH = Eddies(share=0.08, time_s=20.0)
_PATCH_MEMORY_S = 12.0  # puffs released within this time share their eddies


def taylor_sigma(age_s: np.ndarray, sigma_v: float) -> np.ndarray:
    """Ensemble spread (m) of all eddies together at `age_s`; sigma_v in m/s."""
    return np.sqrt(sum(part.sigma(age_s, sigma_v) ** 2 for part in (MEANDER, PATCHES, GROWTH)))


def briggs_sigma(distance_m: np.ndarray, intensity: float) -> np.ndarray:
    """Cross-wind spread in metres: Briggs' (1973) open-country curve, intensity·x·(1 + 1e-4·x)^-1/2.

    His six Pasquill classes A to F are the lateral turbulence intensities 0.22, 0.16, 0.11, 0.08, 0.06
    and 0.04.
    """
    x = np.maximum(distance_m, 0.0)
    return intensity * x / np.sqrt(1.0 + 1e-4 * x)


def wind_axis(direction_deg: float) -> tuple[float, float]:
    """Unit vector (rows, columns) of a wind that blows towards `direction_deg`."""
    angle = math.radians(direction_deg)
    return -math.cos(angle), math.sin(angle)


def gaussian_plume(
    shape: tuple[int, int],
    pixel_m: float,
    source: tuple[float, float],
    rate_kg_h: float,
    wind_m_s: float,
    direction_deg: float,
    turbulence: float,
    sigma: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """Steady plume in ppm·m, shape (lines, samples) float64: Q / (sqrt(2 pi)·s(x)·U)·exp(-y²/2s²).

    Args:
        source: row and column, fractions allowed.
        turbulence: lateral intensity sigma_v/U; the coefficient of `briggs_sigma`.
        sigma: cross-wind spread in metres by distance downwind in metres, instead of Briggs'.

    The spread includes the point spread of the image, so that the mass is kept close to the source too.
    """
    down_row, down_col = wind_axis(direction_deg)
    rows = np.arange(shape[0])[:, None] - source[0]
    cols = np.arange(shape[1])[None, :] - source[1]
    along = (rows * down_row + cols * down_col) * pixel_m
    across = (cols * down_row - rows * down_col) * pixel_m
    width = briggs_sigma(along, turbulence) if sigma is None else sigma(np.maximum(along, 0.0))
    variance = width**2 + (POINT_SPREAD * pixel_m) ** 2
    begun = np.clip(along / pixel_m + 0.5, 0.0, 1.0)  # share of the pixel that lies downwind
    line_density = rate_kg_h / 3600.0 / wind_m_s  # kg per metre of plume
    column = begun * line_density * np.exp(-0.5 * across**2 / variance) / np.sqrt(2 * np.pi * variance)
    return column / PPM_M_TO_KG_M2


def langevin_displacement(
    rng: np.random.Generator,
    ages_s: np.ndarray,
    velocity_m_s: float,
    time_s: float,
    memory: float = 0.0,
) -> np.ndarray:
    """Displacement (2, N) in metres of N puffs after their ages (N,), by the Langevin equation.

    Velocity and position advance together by the exact update of Gillespie (1996, Phys. Rev. E 54,
    2084, eqs. 2.47), so the marginal spread is Taylor's at any step. Neighbours along N share their
    eddies: the noise is correlated by `memory` (0 to 1) from one to the next.
    """
    number = len(ages_s)
    edges = np.linspace(0.0, 1.0, _STEPS + 1) ** 2 * ages_s.max()  # short steps while young
    innovation = math.sqrt(1.0 - memory**2)

    def noise(count: int) -> np.ndarray:
        white = rng.standard_normal((2, count))
        if memory == 0.0:
            return white
        white[:, 1:] *= innovation
        return lfilter([1.0], [1.0, -memory], white, axis=1)

    velocity = velocity_m_s * noise(number)
    position = np.zeros((2, number))
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        moving = np.flatnonzero(ages_s > start)
        step = np.minimum(ages_s[moving], stop) - start
        kept = np.exp(-step / time_s)
        lost = -np.expm1(-step / time_s)
        var_v = velocity_m_s**2 * -np.expm1(-2 * step / time_s)
        var_x = (velocity_m_s * time_s) ** 2 * np.maximum(2 * step / time_s - lost * (3 - kept), 0.0)
        cov = velocity_m_s**2 * time_s * lost**2
        first, second = noise(len(moving)), noise(len(moving))
        sd_v = np.sqrt(var_v)
        slope = cov / sd_v
        position[:, moving] += velocity[:, moving] * time_s * lost + slope * first
        position[:, moving] += np.sqrt(np.maximum(var_x - slope**2, 0.0)) * second
        velocity[:, moving] = velocity[:, moving] * kept + sd_v * first
    return position


def meander_displacement(
    rng: np.random.Generator, ages_s: np.ndarray, velocity_m_s: float, time_s: float
) -> np.ndarray:
    """Displacement (2, N) in metres by a velocity that all puffs share at a given time.

    The path of one Langevin walk back from now: a puff of age a has felt what blew within the last a
    seconds. ages_s (N,) in any order.
    """
    steps = max(2, math.ceil(4 * float(ages_s.max()) / time_s) * 4)
    grid = np.linspace(0.0, float(ages_s.max()), steps + 1)
    step = grid[1]
    kept, lost = math.exp(-step / time_s), -math.expm1(-step / time_s)
    sd_v = velocity_m_s * math.sqrt(-math.expm1(-2 * step / time_s))
    slope = velocity_m_s**2 * time_s * lost**2 / sd_v
    var_x = (velocity_m_s * time_s) ** 2 * (2 * step / time_s - lost * (3 - kept))
    rest = math.sqrt(max(var_x - slope**2, 0.0))
    velocity = velocity_m_s * rng.standard_normal(2)
    path = np.zeros((2, steps + 1))
    for n, (first, second) in enumerate(zip(*rng.standard_normal((2, steps, 2)), strict=True)):
        path[:, n + 1] = path[:, n] + velocity * time_s * lost + slope * first + rest * second
        velocity = velocity * kept + sd_v * first
    return np.stack([np.interp(ages_s, grid, walk) for walk in path])


def puff_plume(
    shape: tuple[int, int],
    pixel_m: float,
    source: tuple[float, float],
    rate_kg_h: float,
    wind_m_s: float,
    direction_deg: float,
    turbulence: float,
    rng: np.random.Generator,
    duration_s: float | None = None,
    puffs: int = 5000,
) -> np.ndarray:
    """One instant of a turbulent plume in ppm·m, shape (lines, samples) float64.

    Args:
        source: row and column, fractions allowed.
        turbulence: rms velocity fluctuation over wind speed.
        rng: what makes this instant differ from others.
        duration_s: how long the source has been on; default: long enough for the plume to leave the
            image, at most an hour.
        puffs: their number; each carries rate·duration/puffs.

    The mass on an image large enough to hold the plume is rate·duration.
    """
    if duration_s is None:
        leaving = 1.5 * math.hypot(*shape) * pixel_m / wind_m_s
        duration_s = min(leaving, 3600.0)
    spacing = duration_s / puffs
    ages = (np.arange(puffs)[::-1] + 0.5) * spacing  # the first released comes first
    sigma_v = turbulence * wind_m_s
    offset = meander_displacement(rng, ages, sigma_v * math.sqrt(MEANDER.share), MEANDER.time_s)
    offset += langevin_displacement(
        rng, ages, sigma_v * math.sqrt(PATCHES.share), PATCHES.time_s, math.exp(-spacing / _PATCH_MEMORY_S)
    )
    down_row, down_col = wind_axis(direction_deg)
    offset[0] += wind_m_s * ages
    rows = source[0] + (offset[0] * down_row - offset[1] * down_col) / pixel_m
    cols = source[1] + (offset[0] * down_col + offset[1] * down_row) / pixel_m
    sizes = np.hypot(GROWTH.sigma(ages, sigma_v) / pixel_m, POINT_SPREAD)
    # The longest step between neighbours leaves no gap: a puff is at least as wide as it.
    sizes = np.maximum(sizes, 0.5 * wind_m_s * spacing / pixel_m)
    mass = rate_kg_h / 3600.0 * spacing
    return draw_puffs(shape, rows, cols, sizes) * (mass / pixel_m**2 / PPM_M_TO_KG_M2)


def draw_puffs(shape: tuple[int, int], rows: np.ndarray, cols: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Sum of unit Gaussian puffs per pixel, shape (lines, samples) float64.

    rows, cols, sizes (N,): centres and standard deviations in pixels. Each puff's mass is shared
    bilinearly among four pixels and two of the log-spaced sizes, so that centre and mass are kept and
    the picture changes smoothly with the puffs.
    """
    low, high = float(sizes.min()), float(sizes.max()) * (1 + 1e-9)
    ladder = np.geomspace(low, high, _CLASSES) if high > 1.01 * low else np.array([low, 1.02 * low])
    steps = np.log(ladder[1] / ladder[0])
    pad = math.ceil(4 * ladder[-1]) + 2
    near = (rows > -pad) & (rows < shape[0] + pad) & (cols > -pad) & (cols < shape[1] + pad)
    if not near.any():
        return np.zeros(shape)
    rows, cols, sizes = rows[near], cols[near], sizes[near]
    top, left = math.floor(rows.min()) - pad, math.floor(cols.min()) - pad
    height = fft.next_fast_len(math.floor(rows.max()) + 2 + pad - top, real=True)
    width = fft.next_fast_len(math.floor(cols.max()) + 2 + pad - left, real=True)
    y, x = rows - top, cols - left
    place = np.clip(np.log(sizes / low) / steps, 0, len(ladder) - 1 - 1e-9)
    row0, col0, size0 = (np.floor(value).astype(np.int64) for value in (y, x, place))
    fy, fx, fs = y - row0, x - col0, place - size0
    layers = np.zeros((len(ladder), height, width))
    for dy in (0, 1):
        for dx in (0, 1):
            for ds in (0, 1):
                weight = (fy if dy else 1 - fy) * (fx if dx else 1 - fx) * (fs if ds else 1 - fs)
                np.add.at(layers, (size0 + ds, row0 + dy, col0 + dx), weight)
    box = np.maximum(_blurred_sum(layers, ladder), 0.0)
    return _window(box, top, left, shape)


def _blurred_sum(layers: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Each layer (K, H, W) blurred by its Gaussian, summed.

    Wide Gaussians by their Fourier transform; narrow ones, which a pixel grid cannot hold without
    ripples there, by summation.
    """
    height, width = layers.shape[1:]
    fy2 = fft.fftfreq(height)[:, None] ** 2
    fx2 = fft.rfftfreq(width)[None, :] ** 2
    spectrum = np.zeros((height, width // 2 + 1), dtype=complex)
    total = np.zeros((height, width))
    for layer, size in zip(layers, sizes, strict=True):
        if not layer.any():
            continue
        if size < 1.2:
            total += _filter_where_full(layer, size)
        else:
            rows, cols = (np.exp(-2 * np.pi**2 * size**2 * f) for f in (fy2, fx2))
            spectrum += fft.rfft2(layer) * rows * cols
    return total + fft.irfft2(spectrum, s=(height, width))


def _filter_where_full(layer: np.ndarray, size: float) -> np.ndarray:
    """`gaussian_filter` of the part of a layer that holds puffs: the rest is zero."""
    rows, cols = np.flatnonzero(layer.any(axis=1)), np.flatnonzero(layer.any(axis=0))
    pad = math.ceil(5 * size) + 1
    part = (
        slice(max(rows[0] - pad, 0), rows[-1] + pad + 1), slice(max(cols[0] - pad, 0), cols[-1] + pad + 1)
    )
    out = np.zeros_like(layer)
    out[part] = gaussian_filter(layer[part], size, mode="constant", truncate=5.0)
    return out


def _window(box: np.ndarray, top: int, left: int, shape: tuple[int, int]) -> np.ndarray:
    """The part of `box`, whose first pixel is (top, left) of the image, that lies on the image."""
    image = np.zeros(shape)
    row, col = max(top, 0), max(left, 0)
    row_end, col_end = min(top + box.shape[0], shape[0]), min(left + box.shape[1], shape[1])
    if row < row_end and col < col_end:
        image[row:row_end, col:col_end] = box[row - top : row_end - top, col - left : col_end - left]
    return image
