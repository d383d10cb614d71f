"""Spherical harmonics of map files at points: Legendre functions, their slopes, and the frame they are in."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_NEAR_POLE = 1e-5
"""Radians: nearer, P/sin θ is its limit. There rounding of cos θ costs as much as the limit's own error."""


class Frame:
    """Expansions of M records of equal `latmin` and shift at N points.

    coefficients: (M, (order + 1)²), in the order of `layout`. mlat, mlon: (N,) degrees, mlat ≥ 0.
    `inside` (N,) tells the points poleward of latmin; all else is about those n points alone.
    """

    def __init__(
        self, coefficients: Array, latmin: float, shift: tuple[float, float], mlat: Array, mlon: Array
    ) -> None:
        self.order = round(coefficients.shape[1] ** 0.5) - 1
        self.coefficients = coefficients
        self.stretch = 180 / (90 - latmin)
        colatitude, phi, turn = shifted(mlat, mlon, *shift)
        self.inside = colatitude <= np.radians(90 - latmin) * (1 + 1e-12)
        # Points of a grid share their latitudes and longitudes: each is worked out once.
        self.theta, self._row = np.unique(colatitude[self.inside], return_inverse=True)
        self._phi, self._column = np.unique(phi[self.inside], return_inverse=True)
        self.turn = np.broadcast_to(turn, (2, len(mlat)))[:, self.inside]

    def potential(self) -> Array:
        """Φ, (M, n)."""
        return self._sum(self._legendre[0], waves(self.order, self._phi))

    def along(self) -> Array:
        """dΦ/dθ, (M, n)."""
        return self._sum(self._legendre[1] * self.stretch, waves(self.order, self._phi))

    def around(self) -> Array:
        """(1/sin θ) dΦ/dφ, (M, n). P/sin θ tends to the slope at the pole (l'Hôpital)."""
        values, slopes = self._legendre
        sine = np.sin(self.theta)
        pole = np.abs(sine) < _NEAR_POLE
        over_sine = np.where(pole, slopes * self.stretch, values / np.where(pole, 1, sine))
        cosines, sines = waves(self.order, self._phi)
        number = np.arange(self.order + 1)[:, None]
        return self._sum(over_sine, np.stack([-number * sines, number * cosines]))

    @cached_property
    def _legendre(self) -> tuple[Array, Array]:
        return legendre(self.order, self.theta * self.stretch)

    def _sum(self, latitudes: Array, longitudes: Array) -> Array:
        """Σ over coefficients: first over l at each latitude, then over m at each longitude."""
        degree, number, sine = layout(self.order)
        wave = sine * (self.order + 1) + number
        by_row = np.zeros((2 * (self.order + 1), len(self.coefficients), len(self.theta)))
        for term, which in enumerate(wave):
            by_row[which] += self.coefficients[:, term, None] * latitudes[degree[term], number[term]]
        by_column = longitudes.reshape(len(by_row), -1)
        if len(self.theta) * len(self._phi) <= 2 * len(self._row):  # a grid, or nearly one
            return np.tensordot(by_row, by_column, (0, 0))[:, self._row, self._column]
        out = np.zeros((len(self.coefficients), len(self._row)))
        for row, column in zip(by_row, by_column, strict=True):
            out += row[:, self._row] * column[self._column]
        return out


def layout(order: int) -> tuple[NDArray[np.intp], ...]:
    """Degree l, order m, and 1 where it goes with the sine, of each coefficient, (K,) each."""
    index = np.arange((order + 1) ** 2)
    degree = np.repeat(np.arange(order + 1), 2 * np.arange(order + 1) + 1)
    offset = index - degree**2
    return degree, (offset + 1) // 2, ((offset > 0) & (offset % 2 == 0)).astype(np.intp)


def legendre(order: int, theta: Array) -> tuple[Array, Array]:
    """P_l^m(cos θ) and dP_l^m/dθ, (order + 1, order + 1, N) each, regular at the poles.

    Unnormalised, with the Condon–Shortley phase: dP_l^0/dθ = P_l^1, and for m ≥ 1
    dP_l^m/dθ = (P_l^{m+1} − (l + m)(l − m + 1) P_l^{m−1}) / 2 (Abramowitz & Stegun 8.5, combined), for θ from
    0 to π. cos θ alone does not tell 2π − θ from θ: beyond π the slopes have their sign turned.
    """
    from scipy.special import assoc_legendre_p_all

    values = assoc_legendre_p_all(order, order + 1, np.cos(theta))[0][:, : order + 2]
    slope = np.empty_like(values[:, : order + 1])
    slope[:, 0] = values[:, 1]
    degree = np.arange(order + 1)[:, None]
    for m in range(1, order + 1):
        slope[:, m] = (values[:, m + 1] - (degree + m) * (degree - m + 1) * values[:, m - 1]) / 2
    return values[:, : order + 1], slope * np.where(np.sin(theta) < 0, -1.0, 1.0)


def waves(order: int, phi: Array) -> Array:
    """cos mφ and sin mφ, (2, order + 1, N)."""
    angle = np.arange(order + 1)[:, None] * phi
    return np.stack([np.cos(angle), np.sin(angle)])


def shifted(mlat: Array, mlon: Array, lat_shift: float, lon_shift: float) -> tuple[Array, Array, Array]:
    """Points as seen from a pole `lat_shift` degrees from the magnetic one, at longitude 180° − lon_shift.

    Returns colatitude and longitude there, in radians, and the cosine and sine by which a vector (poleward,
    east) of that frame turns into one of the magnetic frame: poleward = c·p − s·e, east = s·p + c·e.
    RST's CnvMapCrdShft; a `lon_shift` without a `lat_shift` changes nothing.
    """
    colatitude, phi = np.radians(90.0 - mlat), np.radians(mlon)
    if lat_shift == 0:
        return colatitude, phi, np.array([[1.0], [0.0]])
    phi, angle = phi + np.radians(lon_shift), np.radians(lat_shift)
    sine, cosine = np.sin(colatitude), np.cos(colatitude)
    x = np.cos(angle) * sine * np.cos(phi) + np.sin(angle) * cosine
    theta = np.arccos(np.clip(np.cos(angle) * cosine - np.sin(angle) * sine * np.cos(phi), -1, 1))
    turned = np.arctan2(sine * np.sin(phi), x)
    # The frame's east in the magnetic frame's axes, against east and poleward of the point.
    east = (-np.sin(turned) * np.cos(angle), np.cos(turned), -np.sin(turned) * np.sin(angle))
    on_east = -np.sin(phi) * east[0] + np.cos(phi) * east[1]
    on_pole = -cosine * (np.cos(phi) * east[0] + np.sin(phi) * east[1]) + sine * east[2]
    return theta, turned - np.radians(lon_shift), np.stack([on_east, -on_pole])
