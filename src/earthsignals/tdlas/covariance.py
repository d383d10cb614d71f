"""The covariance of what a forward model leaves over, learned from the scans themselves.

A full sample covariance of M samples would need N >> M scans. The noise of a laser scan has structure
that needs far fewer:

    C = D R D + (modes),      D = diag(local noise level),   R = stationary in sample index

R is white plus 1/f-like noise: its spectrum is the smooth background of the residuals' spectrum, and an
autoregression of it (Levinson's recursion; Durbin 1960) whitens a trace with a banded matrix W. What is
not stationary (etalons, baselines) or unlike the background at low frequency appears in a few whitened
modes: the slowest cosines and every principal component above the edge that pure noise would reach
(Marchenko & Pastur 1967). Within the modes the sample covariance counts, outside it is the identity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.ndimage import uniform_filter1d

from earthsignals.compute.seeds import philox

ORDER = 64  # of the autoregression
SLOW_MODES = 48  # cosines whose covariance is taken from the scans as it is
COMPONENTS = 40  # most principal components looked for
SCANS_PER_MODE = 24  # fewer scans would make the modes' covariance itself noisy
ALIKE = 2.0  # largest ratio of noise levels that are learned from together


@dataclass(frozen=True)
class Covariance:
    """C of a kind of scans, as far as C^-1 x and C^-1/2 x are concerned.

    scale (M,) is D, whitening (M, M) the sparse W, modes (M, Q) orthonormal in whitened space with the
    inverse `precision` (Q, Q) of their covariance, and `level` the variance outside them.
    """

    scale: np.ndarray
    whitening: sparse.csr_array
    modes: np.ndarray
    precision: np.ndarray
    level: float

    def whiten(self, x: np.ndarray) -> np.ndarray:
        """Rows x (B, M) such that noise of covariance C becomes independent with unit variance."""
        y = (self.whitening @ (x / self.scale).T).T
        values, vectors = np.linalg.eigh(self.precision)
        root = (vectors * np.sqrt(values)) @ vectors.T
        inside = y @ self.modes
        return y / np.sqrt(self.level) + inside @ (root - _identity(root, self.level**-0.5)) @ self.modes.T

    def solve(self, x: np.ndarray) -> np.ndarray:
        """C^-1 applied to rows x (B, M), same shape."""
        y = (self.whitening @ (x / self.scale).T).T
        rest = self.precision - _identity(self.precision, 1.0 / self.level)
        y = y / self.level + y @ self.modes @ rest @ self.modes.T
        return (self.whitening.T @ y.T).T / self.scale


def _identity(like: np.ndarray, value: float) -> np.ndarray:
    return value * np.eye(len(like))


def learn_covariance(residual: np.ndarray, groups: list[np.ndarray]) -> list[Covariance]:
    """Covariances of residuals (N, M) float64, one per group of rows.

    Groups (index arrays, in order of x) differ in their noise level. Neighbours whose levels agree
    within ALIKE everywhere share the rest and are learned from together; where absorption is so strong
    that they do not, patterns look different too, and each stands alone.
    """
    scales = [noise_level(residual[rows]) for rows in groups]
    clusters: list[list[int]] = [[0]]
    for k in range(1, len(groups)):
        ratio = scales[k] / scales[clusters[-1][0]]
        if max(ratio.max(), 1.0 / ratio.min()) < ALIKE:
            clusters[-1].append(k)
        else:
            clusters.append([k])
    found: list[Covariance] = []
    for cluster in clusters:
        own = [scales[k] for k in cluster]
        rows = [groups[k] for k in cluster]
        edges = np.cumsum([0, *map(len, rows)])
        parts = [np.arange(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)]
        found += _learn(residual[np.concatenate(rows)], parts, own)
    return found


def _learn(
    residual: np.ndarray, groups: list[np.ndarray], scales: list[np.ndarray]
) -> list[Covariance]:
    """Covariances of groups that share everything but their noise levels `scales`, each (M,)."""
    scans, samples = residual.shape
    scaled = np.empty_like(residual)
    for rows, scale in zip(groups, scales, strict=True):
        scaled[rows] = residual[rows] / scale
    slow = max(1, min(SLOW_MODES, samples // 8, scans // SCANS_PER_MODE))
    whitening = whitening_matrix(background(scaled, slow // 2 + 1), min(ORDER, samples // 4))

    common = np.sqrt(np.mean(np.square(scales), axis=0))
    whitened = (whitening @ (residual / common).T).T
    power = float(np.square(whitened).sum()) / scans
    values, vectors = principal_components(whitened, min(COMPONENTS, scans // SCANS_PER_MODE))
    noise = (power - values.sum()) / (samples - len(values))
    edge = (1.0 + np.sqrt(samples / scans)) ** 2
    cosines = np.cos(np.pi * np.outer(np.arange(samples) + 0.5, np.arange(slow)) / samples)
    cosines = whitening @ (cosines * (common.mean() / common)[:, None])
    modes, _ = np.linalg.qr(np.concatenate([vectors[:, values > 1.02 * edge * noise], cosines], axis=1))
    scores = whitened @ modes
    within = scores.T @ scores / scans
    level = (power - np.trace(within)) / (samples - modes.shape[1])
    precision = np.linalg.inv(within)
    return [Covariance(scale, whitening, modes, precision, level) for scale in scales]


def noise_level(residual: np.ndarray) -> np.ndarray:
    """Standard deviation (M,) of the fast noise in residuals (N, M), smooth along the scan.

    Second differences (variance 6 for white noise) pass over baselines and slow fringes.
    """
    samples = residual.shape[1]
    variance = np.mean(np.square(np.diff(residual, n=2, axis=1)), axis=0) / 6.0
    variance = np.concatenate([variance[:1], variance, variance[-1:]])
    variance = uniform_filter1d(variance, max(3, samples // 50), mode="nearest")
    floor = 1e-4 * np.sqrt(np.mean(np.square(residual)))
    return np.sqrt(variance + floor * floor) + 1e-12


def background(scaled: np.ndarray, first: int) -> np.ndarray:
    """Autocovariance (M,) of the smooth background in the spectrum of `scaled` (N, M).

    A running median over a third of each frequency leaves out fringes, which are narrow; below
    harmonic `first` the spectrum goes on as the power law it follows above (what differs from that
    there is for the slow modes to describe).
    """
    scans, samples = scaled.shape
    window = np.hanning(samples + 2)[1:-1]
    window /= np.sqrt(np.mean(window**2))
    density = np.zeros(samples // 2 + 1)
    for start in range(0, scans, 512):
        transformed = np.fft.rfft(scaled[start : start + 512] * window)
        density += np.square(np.abs(transformed)).sum(axis=0)
    density /= scans * samples
    last = len(density) - 1
    nodes = np.unique(np.round(np.geomspace(min(first, last), last, 30)).astype(int))
    reach = np.maximum(nodes // 6, 5)
    level = [np.median(density[max(k - r, 1) : k + r + 1]) for k, r in zip(nodes, reach, strict=True)]
    x, y = np.log(nodes), np.log(np.maximum(level, 1e-12))
    steep = np.polyfit(x[x <= x[0] + 1.5], y[x <= x[0] + 1.5], 1)[0] if len(x) > 2 else 0.0
    harmonics = np.log(np.maximum(np.arange(samples + 1) / 2.0, 0.5))
    smooth = np.interp(harmonics, x, y) + np.clip(steep, -2.0, 0.0) * np.minimum(harmonics - x[0], 0.0)
    return np.fft.irfft(np.exp(smooth), 2 * samples)[:samples]


def whitening_matrix(autocovariance: np.ndarray, order: int) -> sparse.csr_array:
    """Lower banded W (M, M) with W C W' = 1 for the autoregression that has these covariances.

    Row m predicts sample m from up to `order` earlier ones, by Levinson's recursion, and divides the
    prediction error by its standard deviation; rows near the start use what there is.
    """
    samples = len(autocovariance)
    c = autocovariance.copy()
    c[0] *= 1.0 + 1e-9
    coefficients, variance = np.zeros(0), c[0]
    rows = [np.array([1.0 / np.sqrt(variance)])]
    for k in range(1, order + 1):
        reflection = (c[k] - coefficients @ c[k - 1 : 0 : -1]) / variance
        coefficients = np.concatenate([coefficients - reflection * coefficients[::-1], [reflection]])
        variance *= 1.0 - reflection**2
        rows.append(np.concatenate([-coefficients[::-1], [1.0]]) / np.sqrt(variance))
    lengths = np.minimum(np.arange(samples), order) + 1
    data = np.concatenate([rows[length - 1] for length in lengths])
    columns = np.concatenate([np.arange(m + 1 - n, m + 1) for m, n in enumerate(lengths)])
    pointers = np.concatenate([[0], np.cumsum(lengths)])
    return sparse.csr_array((data, columns, pointers), shape=(samples, samples))


def principal_components(x: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Largest eigenvalues (K,) of x'x/N and their vectors (M, K), by subspace iteration.

    Halko, Martinsson & Tropp 2011, SIAM Review 53, 217-288; the start is fixed, so it repeats.
    """
    width = min(count + 8, *x.shape)
    basis = philox(0, "tdlas-principal-components", 0).standard_normal((x.shape[1], width))
    for _ in range(3):
        basis, _ = np.linalg.qr(x.T @ (x @ basis))
    _, singular, rotation = np.linalg.svd(x @ basis, full_matrices=False)
    return singular[:count] ** 2 / len(x), (basis @ rotation.T)[:, :count]
