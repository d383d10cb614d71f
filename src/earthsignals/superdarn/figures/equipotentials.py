"""Equipotentials of a map of drifts: the lines that plasma follows where the drift is E × B.

    E = −v × B = −∇Φ, with B along the vertical: ∂Φ/r∂λ = B v_east, ∂Φ/(r cos λ ∂φ) = −B v_north

(northern hemisphere, B downwards; in the south B points upwards and both signs turn). |B| is that of a
centred dipole of 3.12e-5 T at the equator of the ground, 300 km above it. The potential is the least-squares
solution of these differences between neighbouring cells, zero on the outermost row.
"""

from __future__ import annotations

import numpy as np

EARTH_M, HEIGHT_M = 6_371_200.0, 300_000.0
EQUATOR_T = 3.12e-5


def field_tesla(mlat: np.ndarray) -> np.ndarray:
    """|B| of the dipole, 300 km above the ground, at magnetic latitudes in degrees."""
    ground = EQUATOR_T * np.sqrt(1 + 3 * np.sin(np.deg2rad(mlat)) ** 2)
    return ground * (EARTH_M / (EARTH_M + HEIGHT_M)) ** 3


def potential_kv(mlat: np.ndarray, drift: np.ndarray) -> np.ndarray:
    """Potential (R, C) in kV of a drift (2, R, C) in m/s north and east on rows of latitude (R,) in degrees.

    Columns go once around the pole eastwards. Where the drift is unknown (NaN) nothing is asked of the
    potential, and it is NaN in the result.
    """
    from scipy.sparse import coo_matrix, diags_array
    from scipy.sparse.linalg import spsolve

    rows, columns = drift.shape[1:]
    radius, up = EARTH_M + HEIGHT_M, np.where(mlat < 0, -1.0, 1.0)
    volts = (up * field_tesla(mlat))[:, None] * drift * radius
    across = np.deg2rad(360 / columns) * np.cos(np.deg2rad(mlat))[:, None]
    number = np.arange(rows * columns).reshape(rows, columns)
    east_of = np.roll(number, -1, 1)
    eastwards = -(volts[0] + np.roll(volts[0], -1, 1)) / 2 * across
    northwards = (volts[1][1:] + volts[1][:-1]) / 2 * np.deg2rad(np.diff(mlat))[:, None]
    first = np.concatenate([number.ravel(), number[:-1].ravel()])
    second = np.concatenate([east_of.ravel(), number[1:].ravel()])
    wanted = np.concatenate([eastwards.ravel(), northwards.ravel()])
    # A difference over a short way is a better measure of the gradient's integral than one over a long way.
    height = np.abs(np.deg2rad(np.diff(mlat))).mean()
    weight = np.concatenate([
        np.broadcast_to(height / across, (rows, columns)).ravel(),
        np.broadcast_to(across[:-1] / height, (rows - 1, columns)).ravel(),
    ])  # fmt: skip
    known = np.isfinite(wanted)
    first, second, wanted, weight = first[known], second[known], wanted[known], weight[known]
    equation = np.arange(len(wanted))
    slope = coo_matrix(
        (
            np.concatenate([-np.ones(len(wanted)), np.ones(len(wanted))]),
            (np.concatenate([equation] * 2), np.concatenate([first, second])),
        ),
        shape=(len(wanted), rows * columns),
    ).tocsr()
    # A pull towards zero: all there is in empty regions, strong on the rim, nothing elsewhere.
    pull = np.full((rows, columns), 1e-9)
    pull[np.abs(mlat).argmin()] = 1e3
    normal = slope.T @ diags_array(weight) @ slope + diags_array(pull.ravel())
    found = spsolve(normal.tocsc(), slope.T @ (weight * wanted)).reshape(rows, columns)
    return np.where(np.isfinite(drift).all(0), found / 1000, np.nan)
