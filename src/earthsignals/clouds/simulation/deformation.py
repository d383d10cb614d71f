"""From kilometres on the ground to the plane in which a pattern is the same everywhere.

A pattern is made on a *pattern plane*, where its elements lie one unit apart.
The scene looks at it through a smooth map; the map's Jacobian tells exactly, at each place, how far apart the
elements are there and how much they are stretched. So scale and anisotropy vary inside a scene and are known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WAVES = 3
STEEPNESS = 0.12
"""Largest slope of one wave of the distortion: three of them stretch shapes by some 7 % on average."""


@dataclass(frozen=True)
class Deformation:
    """A map of (x, y) in km, measured from the scene's centre, to the pattern plane.

    scale_km: spacing of elements at the centre. growth: complex, 1/km; its real part is the gradient of
    ln(scale) along x, its imaginary part that along y. angle: of the stretch, radians. anisotropy: of the
    stretch, ≥ 1. waves: (WAVES, 4) wave numbers kx, ky in 1/km, phase, slope. shift: (2,) of the pattern.
    """

    scale_km: float
    growth: complex
    angle: float
    anisotropy: float
    waves: np.ndarray
    shift: np.ndarray

    @classmethod
    def draw(
        cls, generator: np.random.Generator, scale_km: float, anisotropy: float, extent_km: float
    ) -> Deformation:
        """A random map; along `extent_km` the scale grows by up to a factor of two, and the waves change it
        further."""
        size = np.log(2) / extent_km * np.sqrt(generator.uniform())
        growth = complex(size * np.exp(2j * np.pi * generator.uniform()))
        directions = generator.uniform(0, 2 * np.pi, WAVES)
        lengths = extent_km * generator.uniform(0.4, 1.0, WAVES)
        waves = np.stack([
            2 * np.pi / lengths * np.cos(directions), 2 * np.pi / lengths * np.sin(directions),
            generator.uniform(0, 2 * np.pi, WAVES), generator.uniform(0, STEEPNESS, WAVES),
        ], axis=1)  # fmt: skip
        angle = generator.uniform(0, np.pi)
        return cls(scale_km, growth, angle, anisotropy, waves, generator.uniform(0, 1000, 2))

    def __call__(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates (u, v) on the pattern plane, in units of the spacing, of places x, y in km."""
        x, y = self._waved(x, y)
        turned = np.exp(-1j * self.angle) * (x + 1j * y)
        # The size of this analytic function's derivative is exp(−growth · (x, y)) / scale_km: angles stay,
        # and the spacing grows exponentially in one direction.
        slope = np.conj(self.growth) * (x + 1j * y)
        small = np.abs(slope) < 1e-9
        slope = np.where(small, 1.0, slope)
        mapped = np.where(small, 1.0, -np.expm1(-slope) / slope) * turned / self.scale_km
        root = np.sqrt(self.anisotropy)
        return mapped.real / root + self.shift[0], mapped.imag * root + self.shift[1]

    def _waved(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        dx, dy = np.zeros_like(x), np.zeros_like(y)
        for kx, ky, phase, slope in self.waves:
            number = np.hypot(kx, ky)
            wave = slope / number * np.sin(kx * x + ky * y + phase)
            dx, dy = dx + wave * kx / number, dy + wave * ky / number
        return x + dx, y + dy


def spacing(u: np.ndarray, v: np.ndarray, pixel_km: float) -> tuple[np.ndarray, np.ndarray]:
    """Scale in km and anisotropy (≥ 1), each (H, W), of a map given on pixels: u, v (H, W).

    scale = |det J|^(−1/2); anisotropy = ratio of the singular values of J, the Jacobian of (u, v).
    """
    (uy, ux), (vy, vx) = np.gradient(u, pixel_km), np.gradient(v, pixel_km)
    determinant = np.abs(ux * vy - uy * vx)
    squares = ux**2 + uy**2 + vx**2 + vy**2  # sum of the squared singular values
    difference = np.sqrt(np.maximum(squares**2 - 4 * determinant**2, 0))
    return determinant**-0.5, np.sqrt((squares + difference) / (squares - difference))
