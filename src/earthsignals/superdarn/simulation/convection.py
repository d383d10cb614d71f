"""The large drift: two cells of potential that the interplanetary field drives, and what moves within them.

The potential lives on a disc around a centre that lies a few degrees behind the magnetic pole, towards
midnight, and that ends at the convection boundary, which moves equatorward when the field has been southward
(Heppner and Maynard 1987, J. Geophys. Res. 92, 4467). On the disc it is a sum of spherical harmonics whose
colatitude is stretched so that the boundary falls on the far pole, as in the fits of map files (Ruohoniemi
and Baker 1998, J. Geophys. Res. 103, 20797); the disc's axes point to magnetic midnight and dawn. Drift is
E × B / B² in a dipole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import lpmv

from earthsignals.superdarn.simulation import imf as solar_wind
from earthsignals.superdarn.simulation.series import DAY_MINUTES, ornstein_uhlenbeck

HEIGHT_KM = 300.0
EARTH_KM = 6371.2
EQUATOR_T = 3.12e-5
ORDER = 9
EDGE = 1.25
"""The disc's radius over the boundary's: potential fades to zero between 0.8 and this."""
PIXELS = 81
LEAST_KV, MOST_KV = 30.0, 120.0
KV_PER_NT = 8.0
RESPONSE_MINUTES, BOUNDARY_MINUTES = 15.0, 45.0
RADIUS_DEGREES = (22.0, 38.0)
RADIUS_PER_NT = 2.2
SHIFT_DEGREES = 3.5
MODE_SHARE = 0.45
"""Size of the wandering modes of order 2 over half the potential; higher orders fall with power SLOPE."""
SLOPE = 1.2
MODE_MINUTES = 400.0
"""Memory of the modes of order 2; higher orders forget faster, as order^-0.7."""


@dataclass(frozen=True)
class Convection:
    """The state of one day, minute by minute."""

    coefficients: np.ndarray
    """(1440, modes) float64, volts."""
    radius: np.ndarray
    """(1440,) degrees of the boundary around the centre."""
    centre: np.ndarray
    """(1440, 2) degrees of colatitude towards magnetic midnight and dawn."""
    imf: np.ndarray
    """(1440, 2) By, Bz in nT."""

    @property
    def potential_kv(self) -> np.ndarray:
        """(1440,) cross-polar-cap potential of the whole pattern, largest minus smallest, kV."""
        disc = _basis().value
        span = [np.ptp(disc @ part.T, axis=0) for part in np.array_split(self.coefficients, 24)]
        return np.concatenate(span) / 1e3


@dataclass(frozen=True)
class _Basis:
    """Modes on the disc's raster of PIXELS × PIXELS points over [-EDGE, EDGE]² boundary radii."""

    orders: np.ndarray  # (modes,) order of each
    value: np.ndarray  # (pixels, modes)
    slope: np.ndarray  # (2, pixels, modes) per boundary radius, towards midnight and towards dawn
    two_cells: int  # the mode that is P11·sin: positive at dawn, negative at dusk
    two_cells_turned: int
    round_cell: int  # P10-like, for By
    lobes: int  # P31·sin, reversed cells at high latitude for northward Bz


def day_of_convection(seed: int, day: int) -> Convection:
    """The convection of one day, from the field of that day and the one before."""
    history = solar_wind.with_yesterday(seed, day)
    drive = solar_wind.coupling(history)
    fast = solar_wind.smoothed(drive, RESPONSE_MINUTES)[-DAY_MINUTES:]
    slow = solar_wind.smoothed(drive, BOUNDARY_MINUTES)[-DAY_MINUTES:]
    by = solar_wind.smoothed(history[:, 0], RESPONSE_MINUTES)[-DAY_MINUTES:]
    northward = solar_wind.smoothed(np.maximum(history[:, 1], 0), RESPONSE_MINUTES)[-DAY_MINUTES:]

    basis = _basis()
    half_volts = 500.0 * np.clip(LEAST_KV + KV_PER_NT * fast, LEAST_KV, MOST_KV)
    memory = MODE_MINUTES * (2 / np.maximum(basis.orders, 2)) ** 0.7
    size = MODE_SHARE * (np.maximum(basis.orders, 2) / 2.0) ** -SLOPE
    size[basis.orders == 1] *= 0.5
    size /= np.sqrt(2 * basis.orders + 1)
    modes = ornstein_uhlenbeck(seed, "modes", day, memory)
    coefficients = modes * size * half_volts[:, None]
    turn = np.deg2rad(-4.0 * np.clip(by, -8, 8))  # By turns the pattern's axis
    coefficients[:, basis.two_cells] += half_volts * np.cos(turn)
    coefficients[:, basis.two_cells_turned] += half_volts * np.sin(turn)
    coefficients[:, basis.round_cell] -= 900.0 * np.clip(by, -10, 10)
    coefficients[:, basis.lobes] -= 1500.0 * np.minimum(northward, 8)
    radius = np.clip(RADIUS_DEGREES[0] + RADIUS_PER_NT * slow, *RADIUS_DEGREES)
    centre = np.stack([SHIFT_DEGREES + 0.03 * (radius - 20), 0.25 * np.clip(by, -8, 8)], -1)
    return Convection(coefficients, radius, centre, history[-DAY_MINUTES:])


def drift(state: Convection, minutes: np.ndarray, mlat: np.ndarray, mlt: np.ndarray) -> np.ndarray:
    """Drift (T, 2, N) in m/s, north and east, at `minutes` (T,) of the day.

    mlat: (N,) degrees, of either hemisphere's size. mlt: (T, N) hours. float32, computed in float64; zero
    beyond the disc.
    """
    colatitude = 90.0 - np.abs(np.asarray(mlat, float))
    radius_m = (EARTH_KM + HEIGHT_KM) * 1e3
    field_t = dipole_field(mlat)
    out = np.empty((len(minutes), 2, len(colatitude)), np.float32)
    basis = _basis()
    for start in range(0, len(minutes), 60):
        now = np.asarray(minutes[start: start + 60])
        slopes = basis.slope @ state.coefficients[now].T  # (2, pixels, t): volts per boundary radius
        for step, minute in enumerate(now):
            angle = np.deg2rad(15.0 * mlt[start + step])
            x, y = colatitude * np.cos(angle), colatitude * np.sin(angle)  # midnight, dawn: degrees
            reach = state.radius[minute]
            cx, cy = state.centre[minute]
            gx, gy = _sample(slopes[:, :, step], (x - cx) / reach, (y - cy) / reach)
            gx, gy = gx / np.deg2rad(reach), gy / np.deg2rad(reach)  # volts per radian of colatitude
            poleward = -(gx * np.cos(angle) + gy * np.sin(angle)) / radius_m  # ∂Φ/∂north
            eastward = (gy * x - gx * y) / (radius_m * np.sin(np.deg2rad(colatitude)))
            # E = -∇Φ, B points down: v_north = E_east/B, v_east = -E_north/B.
            out[start + step, 0] = -np.deg2rad(eastward) / field_t
            out[start + step, 1] = poleward / field_t
    return out


def dipole_field(mlat: np.ndarray) -> np.ndarray:
    """|B| (N,) in tesla of a dipole at 300 km."""
    reach = (EARTH_KM / (EARTH_KM + HEIGHT_KM)) ** 3
    return EQUATOR_T * reach * np.sqrt(1 + 3 * np.sin(np.deg2rad(mlat)) ** 2)


def _sample(raster: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bilinear values (N,), twice, of two rasters (2, pixels) at places in boundary radii; zero outside."""
    scale = (PIXELS - 1) / (2 * EDGE)
    inside = np.hypot(x, y) < EDGE
    column = np.clip((x + EDGE) * scale, 0, PIXELS - 1.001)
    row = np.clip((y + EDGE) * scale, 0, PIXELS - 1.001)
    left, low = column.astype(np.int64), row.astype(np.int64)
    right, high = column - left, row - low
    corner = low * PIXELS + left
    found = (
        raster[:, corner] * ((1 - high) * (1 - right))
        + raster[:, corner + 1] * ((1 - high) * right)
        + raster[:, corner + PIXELS] * (high * (1 - right))
        + raster[:, corner + PIXELS + 1] * (high * right)
    ) * inside
    return found[0], found[1]


@lru_cache(maxsize=1)
def _basis() -> _Basis:
    """Each mode has a largest value of 1 on the disc, so that coefficients are volts."""
    axis = np.linspace(-EDGE, EDGE, PIXELS)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    reach, angle = np.hypot(x, y), np.arctan2(y, x)  # angle 0: midnight, 90°: dawn
    fade = 0.5 * (1 + np.cos(np.pi * np.clip((reach - 0.8) / (EDGE - 0.8), 0, 1)))
    stretched = np.cos(np.pi * np.clip(reach / EDGE, 0, 1))
    values, names = [], []
    for order in range(1, ORDER + 1):
        for number in range(order + 1):
            legendre = fade * lpmv(number, order, stretched)
            for kind in ("cos", "sin") if number else ("cos",):
                wave = np.cos(number * angle) if kind == "cos" else np.sin(number * angle)
                mode = legendre * wave
                values.append(mode / np.abs(mode).max())
                names.append((order, number, kind))
    value = np.stack(values, -1)  # (rows, columns, modes)
    if value[(x == 0) & (y > 0), names.index((1, 1, "sin"))].sum() < 0:
        value[..., [n for n, name in enumerate(names) if name[:2] == (1, 1)]] *= -1  # lpmv's own sign
    spacing = axis[1] - axis[0]
    dy, dx = np.gradient(value, spacing, axis=(0, 1))
    flat = (PIXELS * PIXELS, len(names))
    return _Basis(
        orders=np.array([name[0] for name in names]),
        value=value.reshape(flat),
        slope=np.stack([dx.reshape(flat), dy.reshape(flat)]),
        two_cells=names.index((1, 1, "sin")),
        two_cells_turned=names.index((1, 1, "cos")),
        round_cell=names.index((1, 0, "cos")),
        lobes=names.index((3, 1, "sin")),
    )
