"""Electrostatic potential and fitted drift of SuperDARN map files, from their spherical harmonics.

    maps = read_maps("20221007.north.map")
    volts = potential(maps, mlat, mlon)          # every record at every point, at once
    limits = extremes(maps)                      # pot.max, pot.min and pot.drop as the file has them

A map record holds coefficients A, B (column `N+2`, volts) of

    Φ(θ, φ) = Σ_l Σ_{m ≤ l} P_l^m(cos θ′) (A_lm cos mφ + B_lm sin mφ),    θ′ = π θ / (90° − |latmin|)

(Ruohoniemi & Baker 1998, J. Geophys. Res. 103, 20797), θ the colatitude from the hemisphere's own pole, φ
the magnetic longitude, P_l^m unnormalised with the Condon–Shortley phase, as in the Radar Software Toolkit
(RST) and pydarn; in the order A_00, A_10, A_11, B_11, A_20, …. A record's `lat.shft` and `lon.shft` move the
pole of the expansion (`harmonics.shifted`). Equatorward of `latmin` potential and drift are zero.

The drift is E × B / B² with E on a sphere of 6,371 km and the dipole's |B| at 300 km, pydarn's constants.
RST takes |B| from IGRF unless a record's `noigrf` is set: with the dipole the line-of-sight residual of real
files is 0.3–0.4 % from theirs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from earthsignals.superdarn.harmonics import Frame, layout, legendre, shifted, waves
from earthsignals.superdarn.maps import Maps, maps_of, read_maps, take

__all__ = ["Maps", "dipole_field", "drift", "extremes", "maps_of", "potential", "read_maps", "residuals"]

EARTH_RADIUS_M = 6.371e6
ALTITUDE_M = 3.0e5
POLAR_FIELD_T = 0.62e-4
"""|B| of the dipole at the pole, on the ground."""

FASTEST_FITTED_M_S = 2000.0
"""Faster vectors are not fitted by RST, and so do not count in its residual."""

_NUMBERS_AT_ONCE = 1 << 24
Array = NDArray[np.float64]


def potential(maps: Maps, mlat: ArrayLike, mlon: ArrayLike) -> Array:
    """Φ in volts, float64 (M, *points).

    mlat, mlon: degrees, of any shapes that broadcast to `points`; the sign of mlat does not matter, each
    record is about its own hemisphere.
    """
    mlat, mlon = np.broadcast_arrays(np.asarray(mlat, float), np.asarray(mlon, float))
    out = np.zeros((len(maps), mlat.size))
    for rows, points, frame in _frames(maps, np.abs(mlat.ravel()), mlon.ravel()):
        out[np.ix_(rows, points)] = frame.potential()
    return out.reshape(len(maps), *mlat.shape)


def drift(maps: Maps, mlat: ArrayLike, mlon: ArrayLike) -> Array:
    """Fitted drift in m/s, float64 (M, 2, *points): towards magnetic north, and east. Arguments as above.

    E = −∇Φ. In the north B is down: north = E_φ/|B|, east = E_θ/|B|. Seen from the southern pole B is up and
    θ grows northward: north = −E_φ/|B|, east = E_θ/|B|.
    """
    mlat, mlon = np.broadcast_arrays(np.asarray(mlat, float), np.asarray(mlon, float))
    flat = mlat.ravel()
    out = np.zeros((len(maps), 2, mlat.size))
    for rows, points, frame in _frames(maps, np.abs(flat), mlon.ravel()):
        scale = -1 / (EARTH_RADIUS_M * dipole_field(flat[points]))
        poleward, east = frame.around() * scale, frame.along() * scale
        cosine, sine = frame.turn
        north = (cosine * poleward - sine * east) * maps.hemisphere[rows, None]
        out[np.ix_(rows, [0], points)] = north[:, None]
        out[np.ix_(rows, [1], points)] = (sine * poleward + cosine * east)[:, None]
    return out.reshape(len(maps), 2, *mlat.shape)


def dipole_field(mlat: ArrayLike) -> Array:
    """|B| in tesla 300 km above a point, of the dipole, to first order in the height."""
    sine = np.sin(np.radians(np.asarray(mlat, float)))
    at_height = POLAR_FIELD_T * (1 - 3 * ALTITUDE_M / EARTH_RADIUS_M)
    return at_height * np.sqrt(3 * sine**2 + 1) / 2


def extremes(maps: Maps) -> dict[str, Array]:
    """`pot.max`, `pot.min` and `pot.drop` in volts, (M,) each: by RST's own sampling, equal to rounding.

    RST looks at θ′ = π(1 + 2i/(90 + |latmin|)), i = 0 … (90 + |latmin|)/2 − 1, and every 5° of longitude, in
    the expansion's own frame. The true extremes lie up to 0.5 % further out.
    """
    lowest, highest = np.empty(len(maps)), np.empty(len(maps))
    phi = np.radians(5.0 * np.arange(72))
    for rows in _groups(maps):
        reach = 90 + maps.latmin[rows[0]]
        theta = np.pi * (1 + 2 * np.arange(int(reach / 2)) / reach)
        order = int(maps.order[rows].max())
        degree, number, sine = layout(order)
        by_row, by_column = legendre(order, theta)[0][degree, number], waves(order, phi)[sine, number]
        terms = by_row[:, :, None] * by_column[:, None, :]
        values = maps.coefficients[rows, : len(degree)] @ terms.reshape(len(degree), -1)
        lowest[rows], highest[rows] = values.min(1), values.max(1)
    return {"pot.max": highest, "pot.min": lowest, "pot.drop": highest - lowest}


def residuals(maps: Maps) -> tuple[Array, NDArray[np.int64]]:
    """RMS of fitted minus measured line-of-sight velocity in m/s, and the number of vectors, (M,) each.

    Of the vectors that RST fits: poleward of latmin in the expansion's frame, and no faster than 2,000 m/s.
    NaN where a record has none.
    """
    rms, counts = np.full(len(maps), np.nan), np.zeros(len(maps), np.int64)
    for number, vectors in enumerate(maps.vectors):
        shift = float(maps.lat_shift[number]), float(maps.lon_shift[number])
        colatitude, _, _ = shifted(np.abs(vectors.mlat), vectors.mlon, *shift)
        used = np.degrees(colatitude) <= 90 - maps.latmin[number] + 1e-9
        used &= np.abs(vectors.velocity) <= FASTEST_FITTED_M_S
        counts[number] = used.sum()
        if counts[number]:
            north, east = drift(take(maps, number), vectors.mlat[used], vectors.mlon[used])[0]
            azimuth = np.radians(vectors.kvect[used])
            off = north * np.cos(azimuth) + east * np.sin(azimuth) - vectors.velocity[used]
            rms[number] = np.sqrt(np.mean(off**2))
    return rms, counts


def _groups(maps: Maps) -> Iterator[NDArray[np.intp]]:
    """Rows of equal latmin and shift: they share their Legendre functions."""
    keys = np.stack([maps.latmin, maps.lat_shift, maps.lon_shift], axis=1)
    _, group = np.unique(keys, axis=0, return_inverse=True)
    for number in np.unique(group):
        yield np.flatnonzero(group.ravel() == number)


def _frames(maps: Maps, mlat: Array, mlon: Array) -> Iterator[tuple[NDArray, NDArray, Frame]]:
    """Rows, indices of the points inside, and their frame: in runs that keep the memory bounded."""
    for rows in _groups(maps):
        terms = (int(maps.order[rows].max()) + 1) ** 2
        shift = float(maps.lat_shift[rows[0]]), float(maps.lon_shift[rows[0]])
        run = max(1024, _NUMBERS_AT_ONCE // (len(rows) * 2 * int(terms**0.5)))
        for start in range(0, len(mlat), run):
            part = slice(start, start + run)
            frame = Frame(
                maps.coefficients[rows, :terms], float(maps.latmin[rows[0]]), shift, mlat[part], mlon[part]
            )
            if frame.inside.any():
                yield rows, start + np.flatnonzero(frame.inside), frame
