"""What the power spectrum tells of a tile: how much structure there is at each scale, and how aligned.

Spectra are those of the tile with mean 0 and variance 1 under a Hann window: shift, brightness and contrast
leave them (nearly) as they are; means over rings also forget the direction.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import fft

from earthsignals.clouds.features.brightness import grey, over_chunks, standardised

RINGS = 24
BANDS = 6
_LEAST = 1e-8
"""Of the total power: what an empty ring is taken for, below the noise of eight bits."""


def spectrum(images: np.ndarray) -> np.ndarray:
    """Tiles (N, 3, P, P) uint8 to features (N, F) float64.

    First the log of the mean power in up to RINGS rings of wavenumber from 1 to P/2 cycles per tile, spaced
    logarithmically; then the anisotropy |Σ S e^{2iθ}| / Σ S in up to BANDS wider rings: 0 for isotropic
    structure, 1 for straight stripes, the same for every direction.
    """
    return over_chunks(_spectrum, images)


def _spectrum(images: np.ndarray) -> np.ndarray:
    power = power_spectrum(images)
    flat = power.reshape(len(power), -1).astype(np.float64)
    edge = images.shape[-1]
    weight, angle = _half_plane(edge)
    rings, bands = _rings(edge, RINGS), _rings(edge, BANDS)
    flat = flat / np.maximum((flat * weight).sum(1, keepdims=True), 1e-12)
    columns = [np.log((flat[:, own] * weight[own]).sum(1) / weight[own].sum() + _LEAST) for own in rings]
    turned = np.exp(2j * angle)
    for own in bands:
        total = (flat[:, own] * weight[own]).sum(1)
        columns.append(np.abs(flat[:, own] @ (weight * turned)[own]) / np.maximum(total, 1e-12))
    return np.stack(columns, axis=1)


def log_power(images: np.ndarray, largest: int) -> np.ndarray:
    """Log of the share of power at each wavenumber up to `largest` cycles per tile, direction kept.

    Tiles (N, 3, P, P) to (N, F) float32: half of the plane, the other half being its mirror image.
    """
    edge = images.shape[-1]
    largest = min(largest, edge // 2 - 1)

    def part(few: np.ndarray) -> np.ndarray:
        power = power_spectrum(few)
        power = power / np.maximum(power.sum((1, 2), keepdims=True), 1e-12)
        rows = np.r_[0 : largest + 1, edge - largest : edge]
        return np.log(power[:, rows, : largest + 1] + _LEAST).reshape(len(few), -1).astype(np.float32)

    return over_chunks(part, images)


def power_spectrum(images: np.ndarray) -> np.ndarray:
    """Tiles (N, 3, P, P) uint8 to |FFT|² (N, P, P // 2 + 1) of the windowed, standardised grey tiles."""
    tiles = standardised(grey(images))
    window = np.hanning(tiles.shape[-1]).astype(np.float32)
    return np.abs(fft.rfft2(tiles * window[:, None] * window)) ** 2


@lru_cache(maxsize=4)
def _half_plane(edge: int) -> tuple[np.ndarray, np.ndarray]:
    """Flat, of rfft2's half plane: how often each value stands in the whole plane, and its direction."""
    down, across = fft.fftfreq(edge, 1 / edge)[:, None], fft.rfftfreq(edge, 1 / edge)[None]
    twice = (across > 0) & (across < edge / 2)
    weight = np.broadcast_to(np.where(twice, 2.0, 1.0), (edge, across.shape[1]))
    return weight.ravel().copy(), np.arctan2(down, across).ravel()


@lru_cache(maxsize=8)
def _rings(edge: int, number: int) -> tuple[np.ndarray, ...]:
    """Indices into the flat half plane by ring; rings that hold no wavenumber are left away."""
    down, across = fft.fftfreq(edge, 1 / edge)[:, None], fft.rfftfreq(edge, 1 / edge)[None]
    radius = np.hypot(down, across).ravel()
    edges = np.geomspace(0.5, edge / 2 + 0.5, number + 1)
    limits = zip(edges, edges[1:], strict=False)
    rings = (np.flatnonzero((radius >= low) & (radius < high)) for low, high in limits)
    return tuple(ring for ring in rings if len(ring))
