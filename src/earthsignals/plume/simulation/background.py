"""Background: what a matched filter returns over ground without methane, and how it is regularised.

The error of the filter is Gaussian at each pixel. Its deviation grows where the ground is dark (shot
noise: as brightness^-1/2); part of it belongs to the surface and is shared by neighbours; resampling to
the map mixes adjacent pixels a little; each detector column has an offset of its own. Two retrievals are
in use: the plain filter ("linear", signed; the `ch4mf` products) and one made sparse and non-negative by
reweighted L1 regularisation ("sparse"; mag1c, Foote et al. 2020, doi:10.1109/TGRS.2020.2976888).
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate1d

from earthsignals.plume.params import BackgroundParams
from earthsignals.plume.simulation.surface import power_law_field

_NEIGHBOUR = 0.12
"""Weight of an adjacent pixel in the resampling; lag-1 correlation 2w/(1 + 2w²), 0.23."""

_ITERATIONS = 30
"""Of the reweighting, as mag1c's default: near the threshold they end before they settle."""

SPARSITY = 0.72
"""Penalty over mid-grey ground, square root, in deviations of the noise; fitted to the real chips."""


def filter_noise(
    rng: np.random.Generator, brightness: np.ndarray, gain: np.ndarray, columns: np.ndarray,
    noise_ppm_m: float, pixel_m: float, params: BackgroundParams,
) -> np.ndarray:  # fmt: skip
    """Signed error of the matched filter in ppm·m, shape (L, S) float64.

    Args:
        brightness: (L, S) radiance over that of mid-grey ground, where the deviation is `noise_ppm_m`.
        gain: (L, S) further factor on the deviation.
        columns: (L, S) integers, the detector column that saw each pixel.
        params: `texture_share` of the variance is shared by neighbours; `stripe_ppm_m`.
    """
    shape = brightness.shape
    white = rng.standard_normal(shape)
    kernel = np.array([_NEIGHBOUR, 1.0, _NEIGHBOUR])
    kernel /= np.sqrt(np.sum(kernel**2))
    for axis in (0, 1):
        white = correlate1d(white, kernel, axis=axis, mode="reflect")
    texture = power_law_field(rng, shape, 2.6, 600.0 / pixel_m)
    share = params.texture_share
    error = np.sqrt(1 - share) * white + np.sqrt(share) * texture
    error *= noise_ppm_m * gain / np.sqrt(np.maximum(brightness, 0.05))
    first = int(columns.min())
    stripes = params.stripe_ppm_m * rng.standard_normal(int(columns.max()) - first + 1)
    return error + stripes[columns - first]


def sparse_retrieval(signed: np.ndarray, penalty: np.ndarray | float) -> np.ndarray:
    """Reweighted L1: a <- max(0, y - penalty²/a) from a = y, in the units of y (ppm·m).

    The fixed point is (y + sqrt(y² - 4·penalty²))/2 where y > 2·penalty, else zero (Candès, Wakin and
    Boyd 2008, "Enhancing sparsity by reweighted l1"): strong enhancements are hardly shrunk, weak ones
    vanish. Shapes broadcast; non-negative.
    """
    out = np.zeros_like(signed)
    penalty = np.broadcast_to(penalty, signed.shape)
    # Below the penalty itself the first step already ends at zero.
    alive = np.flatnonzero(signed > penalty)
    y, squared = signed.ravel()[alive], penalty.ravel()[alive] ** 2
    value = y.copy()
    for _ in range(_ITERATIONS):
        value = y - squared / value
        kept = value > 0
        alive, y, squared, value = alive[kept], y[kept], squared[kept], value[kept]
    out.ravel()[alive] = value
    return out


def sparse_penalty(brightness: np.ndarray, noise_ppm_m: float, sparsity: float = SPARSITY) -> np.ndarray:
    """Square root of the L1 penalty in ppm·m (L, S), one over the brightness: dark ground yields fewest.

    A constant penalty in radiance is divided by the signal of a ppm·m squared, which the albedo scales;
    the noise grows only with brightness^-1/2, so that in the dark fewer pixels pass, and higher ones
    (both seen in the real chips).
    """
    return sparsity * noise_ppm_m / np.maximum(brightness, 0.05)
