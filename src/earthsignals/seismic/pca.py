"""Principal components of images: the best linear code of k numbers, at any k, from one fit.

For training images x with mean m, the k leading eigenvectors of their covariance minimise the mean squared
error of m + Vᵀ V (x − m) over all linear codes of k numbers (Eckart & Young 1936). What a network with a
latent of k numbers adds is what it gains over this.

Two ways to the same result:

- up to EXACT_UP_TO images, the Gram matrix (N, N) of the centred images and its leading eigenvectors in
  float64: exact up to rounding of the float32 products;
- beyond, subspace iteration from a random start (Halko, Martinsson & Tropp 2011, algorithm 4.4) in passes
  over blocks, which needs no more memory than one block and the basis. With OVERSAMPLING extra columns and
  PASSES iterations what is left over exceeds the exact remainder by less than 0.5 %, on flat spectra too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from earthsignals.compute.seeds import philox
from earthsignals.storage import EarthSignalsError

EXACT_UP_TO = 8192
"""Images: their Gram matrix takes 0.5 GB then, and its eigenvectors a minute or two."""
OVERSAMPLING = 0.25
PASSES = 6
_BLOCK = 1024
_LEAST_VARIANCE = 1e-10  # relative to the largest: float32 products know nothing below it


@dataclass(frozen=True)
class Pca:
    """mean (D,) float32; basis (n, D) float32, orthonormal rows; variances (n,) float64, descending.

    Images go in as (B, D) or (B, 3, F, T) float32 alike and come out as (B, D).
    """

    mean: Tensor
    basis: Tensor
    variances: Tensor

    @classmethod
    def fit(cls, images: Tensor | np.ndarray | Iterable[Tensor], n: int, *, exact: bool | None = None) -> Pca:
        """The n leading components of images, or as many as there are: N images have at most N − 1.

        images: (N, D) or (N, 3, F, T) float32, or blocks (B, ...) of such from an object that can be
            iterated over again and again (each `iter` starts anew), always in the same order.
        exact: by the Gram matrix (True) or in passes (False); None decides by EXACT_UP_TO.

        Signs are fixed (the largest entry of a row is positive), so equal images give equal bases.
        Raises EarthSignalsError for fewer than two images, or values that are not finite.
        """
        blocks = _Blocks(images)
        count, mean = blocks.mean()
        if count < 2:
            raise EarthSignalsError(
                f"principal components need at least two images, found {count}: enlarge the training split"
            )
        if not bool(mean.isfinite().all()):
            raise EarthSignalsError(
                "the images hold values that are not finite, so they have no principal components: "
                "pack the records again with `dvc repro -f seismic-pack`"
            )
        n = min(n, count - 1, len(mean))
        exact = count <= EXACT_UP_TO if exact is None else exact
        find = _by_gram if exact else _by_iteration
        basis, variances = find(blocks, mean.float(), count, n)
        return cls(mean.float(), _signed(basis), torch.from_numpy(variances))

    def __len__(self) -> int:
        return len(self.basis)

    def encode(self, x: Tensor, k: int | None = None) -> Tensor:
        """The first k coefficients (B, k), all by default; by training variance, so they are the best k."""
        if k is not None:
            self._check(k)
        return (x.flatten(1) - self.mean) @ self.basis[:k].T

    def decode(self, coefficients: Tensor) -> Tensor:
        """Images (B, D) of the first k coefficients (B, k), k ≤ n; linear, so not confined to [0, 1]."""
        k = coefficients.shape[1]
        self._check(k)
        return torch.addmm(self.mean, coefficients, self.basis[:k])

    def reconstruct(self, x: Tensor, k: int) -> Tensor:
        """Images (B, D) after a code of k numbers, clipped to [0, 1], which only brings them nearer.

        Raises EarthSignalsError where the fit holds fewer than k components.
        """
        return self.decode(self.encode(x, k)).clamp_(0, 1)

    def _check(self, k: int) -> None:
        if k > len(self):
            raise EarthSignalsError(
                f"a code of {k} principal components was asked for, and the training images gave "
                f"{len(self)}: choose smaller sizes (seismic.train.sizes, seismic.evaluate.curve_sizes) or "
                "more records"
            )


class _Blocks:
    """Images as blocks (B, D) float32, again and again, whatever they were given as."""

    def __init__(self, images: Tensor | np.ndarray | Iterable[Tensor]) -> None:
        self.images = torch.from_numpy(images) if isinstance(images, np.ndarray) else images

    def __iter__(self) -> Iterable[Tensor]:
        source = self.images.split(_BLOCK) if isinstance(self.images, Tensor) else self.images
        return (torch.as_tensor(block).flatten(1).float() for block in source)

    def mean(self) -> tuple[int, Tensor]:
        """Number of images and their mean (D,) float64."""
        count, total = 0, torch.zeros(())
        for block in self:
            count += len(block)
            total = total + block.sum(0).double()
        return count, total / max(count, 1)


def _by_gram(blocks: _Blocks, mean: Tensor, count: int, n: int) -> tuple[Tensor, np.ndarray]:
    """X = U S Vᵀ: eigenvectors U of X Xᵀ, then Vᵀ = S⁻¹ Uᵀ X."""
    centred = [block - mean for block in blocks]
    gram = torch.empty(count, count, dtype=torch.float64)
    edges = np.cumsum([0] + [len(block) for block in centred])
    for i, left in enumerate(centred):
        for j, right in enumerate(centred[: i + 1]):
            product = left @ right.T
            gram[edges[i] : edges[i + 1], edges[j] : edges[j + 1]] = product
            gram[edges[j] : edges[j + 1], edges[i] : edges[i + 1]] = product.T
    # All of them: divide and conquer is three times faster than bisecting for the leading quarter.
    values, vectors = torch.linalg.eigh(gram)
    values, vectors = values.flip(0)[:n], vectors.flip(1)[:, :n]
    kept = values > values[0].clamp(min=1e-30) * _LEAST_VARIANCE  # directions that the images do have
    values, vectors = values[kept], vectors[:, kept]
    weights = (vectors / values.sqrt()).T.float()
    pieces = weights.split([len(block) for block in centred], dim=1)
    basis = torch.zeros(len(weights), len(mean))
    for weight, block in zip(pieces, centred, strict=True):
        basis.addmm_(weight, block)
    return orthonormal(basis, rounds=1), values.numpy() / (count - 1)


def _by_iteration(blocks: _Blocks, mean: Tensor, count: int, n: int) -> tuple[Tensor, np.ndarray]:
    """Multiply a subspace by the covariance until it holds the leading one, then turn it to its axes."""
    width = min(n + max(16, int(n * OVERSAMPLING)), count - 1, len(mean))
    start = philox(0, "seismic-pca").standard_normal((width, len(mean)), dtype=np.float32)
    basis = orthonormal(torch.from_numpy(start))
    for _ in range(PASSES):
        grown = torch.zeros_like(basis)
        for block in blocks:
            centred = block - mean
            grown.addmm_((centred @ basis.T).T, centred)
        basis = orthonormal(grown)
    within = np.zeros((width, width))
    for block in blocks:
        coefficients = ((block - mean) @ basis.T).double()
        within += (coefficients.T @ coefficients).numpy()
    values, vectors = scipy.linalg.eigh(within, check_finite=False)
    turn = torch.from_numpy(np.ascontiguousarray(vectors[:, ::-1][:, :n].T)).float()
    return turn @ basis, values[::-1][:n].copy() / (count - 1)


def orthonormal(rows: Tensor, rounds: int = 2) -> Tensor:
    """Orthonormal rows with the same span, leading rows changed least.

    Cholesky QR: nothing but matrix products on the long side, and done twice as good as Householder's
    (Yamamoto et al. 2015); once is enough for rows that are nearly orthonormal.
    """
    rows = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-30)
    for _ in range(rounds):
        gram = (rows @ rows.T).double().numpy()
        try:
            lower = np.linalg.cholesky(gram)
        except np.linalg.LinAlgError:  # rows that depend on one another
            return torch.linalg.qr(rows.T).Q.T.contiguous()
        inverse = scipy.linalg.solve_triangular(lower, np.eye(len(gram)), lower=True, check_finite=False)
        rows = torch.from_numpy(inverse).float() @ rows
    return rows


def _signed(basis: Tensor) -> Tensor:
    largest = basis.gather(1, basis.abs().argmax(1, keepdim=True))
    return basis * largest.sign()



def turned_to(mean: Tensor, basis: Tensor, images: Iterable[Tensor]) -> Pca:
    """The span of an orthonormal basis (n, D), turned to the principal axes of `images` (blocks) in it."""
    within, count = np.zeros((len(basis), len(basis))), 0
    for block in images:
        coefficients = ((block.flatten(1) - mean) @ basis.T).double()
        within += (coefficients.T @ coefficients).numpy()
        count += len(block)
    values, vectors = scipy.linalg.eigh(within / max(count - 1, 1), check_finite=False)
    turn = torch.from_numpy(np.ascontiguousarray(vectors[:, ::-1].T)).float()
    return Pca(mean, _signed(turn @ basis), torch.from_numpy(values[::-1].copy()))
