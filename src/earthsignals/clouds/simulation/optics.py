"""How a satellite sees clouds of given depth: sun, sea, haze, viewing angle, gain and noise of one scene.

None of it tells anything about organisation; all of it tells scenes apart.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from earthsignals.clouds.simulation.fields import powerlaw

SEA = np.array([0.035, 0.055, 0.095])
"""Reflectance of deep water as red, green and blue."""


def photograph(depth: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Brightness (3, H, W) uint8 of clouds with `depth` (H, W) in [0, 1], 0 where it is clear."""
    shape = depth.shape
    clouds = ndimage.gaussian_filter(_clouds(depth, generator), generator.uniform(0.3, 0.6))
    tint = 1 + 0.03 * generator.standard_normal((3, 1, 1))
    sea = SEA[:, None, None] * np.exp(0.25 * generator.standard_normal((3, 1, 1))) + _glint(shape, generator)
    veil = _veil(shape, generator)
    seen = sea * (1 - clouds) + np.clip(tint, 0.8, 1.2) * clouds
    seen = seen * (1 - veil) + 0.9 * veil
    seen = _viewed(seen * _sunlight(shape, generator), generator)
    seen = np.clip(generator.uniform(0.75, 1.2) * seen + generator.uniform(0, 0.06), 0, 1)
    seen = seen ** generator.uniform(0.7, 1.3)
    seen = seen + generator.uniform(0.004, 0.025) * generator.standard_normal(seen.shape)
    return np.clip(np.rint(255 * seen), 0, 255).astype(np.uint8)


def _clouds(depth: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Reflectance in [0, 1]: thin at the edges, lumpy inside."""
    lumps = powerlaw(generator, depth.shape, 1.2, 16, 2)
    thickness = generator.uniform(0.35, 0.65) + generator.uniform(0.2, 0.5) * depth
    return np.clip(np.where(depth > 0, thickness * (1 + 0.12 * lumps), 0), 0, 1)


def _glint(shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """The sun's reflection on the sea: a broad hump somewhere."""
    y, x = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    cx, cy = generator.uniform(-1.2, 1.2, 2)
    return generator.uniform(0, 0.12) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / generator.uniform(0.3, 1.5))


def _veil(shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """Thin, smooth haze or cirrus: an opacity in [0, 0.25], nothing in most scenes."""
    amount = max(generator.uniform(-0.3, 0.2), 0.0)
    smooth = powerlaw(generator, shape, 2.0, 2 * max(shape), 24)
    return amount * np.clip(0.5 + 0.4 * smooth, 0, 1.25)


def _sunlight(shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """Cosine of the sun's zenith angle over the scene, relative."""
    y, x = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    tilt = generator.uniform(-0.12, 0.12, 2)
    return generator.uniform(0.6, 1.0) * (1 + tilt[0] * x + tilt[1] * y)


def _viewed(seen: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Away from the nadir pixels cover more ground in the direction of view: a blur along it."""
    zenith = np.deg2rad(generator.uniform(0, 60))
    along = 0.35 / np.cos(zenith)
    sigma = (along, 0.35) if generator.uniform() < 0.5 else (0.35, along)
    return ndimage.gaussian_filter(seen, (0, *sigma))
