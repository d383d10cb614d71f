"""Principal components of patches, with the numbers of a code shared out among them.

The image (all three components together) is cut into a grid of patches, each with principal components of
its own position. Of all components of all patches, a code of k numbers takes the k with the largest variance
over the training images: of all ways to share k numbers out among the patches the one with the smallest
error (reverse water-filling; Cover & Thomas, section 10.3.3). So codes of exactly 32 or 16,128 numbers exist
alike, with far fewer parameters than the components of whole images need training records for.

How fine the grid should be depends on k, so `PatchPca.best_of` takes the grid that does best on images that
it was not fitted to. Of coarse patches only leading components are wanted, and they are found in passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from earthsignals.compute.seeds import philox
from earthsignals.storage import EarthSignalsError

GRIDS = ((8, 8), (16, 16))
"""Patches along frequency and time: 17 × 14 cells and 9 × 7 cells of the default image."""
COARSE_GRID = (3, 4)
"""For codes of tens of numbers: 43 × 28 cells."""
COARSE_COMPONENTS = 48
COARSE_IMAGES = 2048
PASSES = 4
MIDDLE = 0.5  # of the range: products of numbers around zero lose fewer digits
_LEAST_VARIANCE = 1e-7  # relative to the largest: float32 sums know nothing below it


@dataclass(frozen=True)
class PatchPca:
    """Codes of images (B, 3, F, T) float32 by P = rows × columns patches of d = 3 h w cells.

    mean (P, d), of x − MIDDLE, and basis (P, d, m), columns the m components, float32; variances (P, m)
    float32, descending in each patch. Cells that fill the last patches up have no variance.
    """

    grid: tuple[int, int]
    shape: tuple[int, int, int]
    mean: Tensor
    basis: Tensor
    variances: Tensor

    @classmethod
    def fit(cls, images: Iterable[Tensor], grid: tuple[int, int]) -> PatchPca:
        """From blocks (B, 3, F, T) in one pass. Raises EarthSignalsError for fewer than two images."""
        return cls.fit_grids(images, (grid,))[grid]

    @classmethod
    def fit_grids(
        cls, images: Iterable[Tensor], grids: Sequence[tuple[int, int]] = GRIDS
    ) -> dict[tuple[int, int], PatchPca]:
        """One fit for each grid, in one pass over the images."""
        count, shape = 0, (0, 0, 0)
        totals: dict[tuple[int, int], Tensor] = {}
        products: dict[tuple[int, int], Tensor] = {}
        for block in images:
            if not count:
                shape = tuple(block.shape[1:])
                for grid in grids:
                    d = _cells(shape, grid)
                    totals[grid] = torch.zeros(grid[0] * grid[1], d, dtype=torch.float64)
                    products[grid] = torch.zeros(grid[0] * grid[1], d, d)
            count += len(block)
            for grid in grids:
                patches = _patches(block - MIDDLE, grid)
                totals[grid] += patches.sum(1).double()
                products[grid].baddbmm_(patches.transpose(1, 2), patches)
        if count < 2:
            raise EarthSignalsError(
                f"principal components need at least two images, found {count}: enlarge the training split"
            )
        return {
            grid: cls._from_sums(grid, shape, totals[grid], products[grid], count) for grid in grids
        }

    @classmethod
    def _from_sums(
        cls, grid: tuple[int, int], shape: tuple[int, int, int], total: Tensor, product: Tensor, count: int
    ) -> PatchPca:
        mean = total / count
        centre = mean.float()
        covariance = product.baddbmm_(centre[:, :, None], centre[:, None, :], alpha=-count).div_(count - 1)
        # In float64: cells that are padding in all images leave a matrix that float32 cannot take apart.
        values, vectors = (found.to(covariance.dtype) for found in torch.linalg.eigh(covariance.double()))
        values[values < _LEAST_VARIANCE * values.max()] = 0
        return cls(grid, shape, centre, vectors.flip(2).contiguous(), values.flip(1))

    @classmethod
    def fit_leading(cls, images: Sequence[Tensor], grid: tuple[int, int], components: int) -> PatchPca:
        """Only the leading components of each patch, from blocks (B, 3, F, T) in several passes.

        Subspace iteration as in `pca`; leading components stand out, so that PASSES of them suffice.
        """
        shape = tuple(images[0].shape[1:])
        count, cells, patches = sum(map(len, images)), _cells(shape, grid), grid[0] * grid[1]
        if count < 2:
            raise EarthSignalsError(
                f"principal components need at least two images, found {count}: enlarge the training split"
            )
        mean = sum(_patches(block - MIDDLE, grid).sum(1) for block in images) / count
        width = min(components + 16, cells, count - 1)
        start = philox(0, "seismic-patch-pca").standard_normal((patches, cells, width), dtype=np.float32)
        basis = torch.linalg.qr(torch.from_numpy(start)).Q
        for number in range(PASSES + 1):
            grown = torch.zeros_like(basis)
            within = torch.zeros(patches, width, width)
            for block in images:
                centred = _patches(block - MIDDLE, grid) - mean[:, None]
                codes = torch.bmm(centred, basis)
                within.baddbmm_(codes.transpose(1, 2), codes)
                if number < PASSES:
                    grown.baddbmm_(centred.transpose(1, 2), codes)
            if number < PASSES:
                basis = torch.linalg.qr(grown).Q
        values, turn = torch.linalg.eigh(within.double() / (count - 1))
        kept = min(components, width)
        basis = torch.bmm(basis, turn.flip(2)[:, :, :kept].float())
        values = values.flip(1)[:, :kept].float()
        values[values < _LEAST_VARIANCE * values.max()] = 0
        return cls(grid, shape, mean, basis, values)

    def sizes(self) -> int:
        """The largest code: numbers with any variance."""
        return int((self.variances > 0).sum())

    def encode(self, x: Tensor, k: int) -> Tensor:
        """Codes (B, k) of images (B, 3, F, T), the number with the largest variance first.

        Raises EarthSignalsError where there are fewer than k numbers.
        """
        patch, component = self._chosen(k)
        most = int(component.max()) + 1
        every = torch.bmm(_patches(x - MIDDLE, self.grid) - self.mean[:, None], self.basis[:, :, :most])
        return every[patch, :, component].T.contiguous()

    def decode(self, codes: Tensor) -> Tensor:
        """Images (B, 3, F, T) of codes (B, k)."""
        patch, component = self._chosen(codes.shape[1])
        most = int(component.max()) + 1
        every = torch.zeros(len(self.mean), len(codes), most)
        every[patch, :, component] = codes.T
        decoded = torch.baddbmm(self.mean[:, None], every, self.basis[:, :, :most].transpose(1, 2))
        return _image(decoded, self.grid, self.shape) + MIDDLE

    def reconstruct(self, x: Tensor, k: int) -> Tensor:
        """Images (B, 3, F, T) after a code of k numbers, clipped to [0, 1]."""
        return self.decode(self.encode(x, k)).clamp_(0, 1)

    def reconstruct_all(self, x: Tensor, sizes: Sequence[int]) -> dict[int, Tensor]:
        """As `reconstruct` for every size that there is, encoded once: a smaller code begins a larger one."""
        able = [k for k in sizes if k <= self.sizes()]
        if not able:
            return {}
        codes = self.encode(x, max(able))
        return {k: self.decode(codes[:, :k]).clamp_(0, 1) for k in able}

    def _chosen(self, k: int) -> tuple[Tensor, Tensor]:
        """Patch and component (k,) of each number; in each patch they are its first ones."""
        if k > self.sizes():
            raise EarthSignalsError(
                f"a code of {k} numbers was asked for, and patches of {self.grid[0]} × {self.grid[1]} give "
                f"{self.sizes()}: choose smaller sizes (seismic.evaluate.curve_sizes)"
            )
        order = self.variances.flatten().sort(descending=True, stable=True).indices[:k]
        return order // self.variances.shape[1], order % self.variances.shape[1]

    @staticmethod
    def best_of(
        fits: Mapping[tuple[int, int], PatchPca], images: Tensor, sizes: Sequence[int]
    ) -> dict[int, PatchPca]:
        """For each size the fit whose codes come nearest to images (B, 3, F, T) held back from fitting."""
        errors = {
            grid: {
                k: float((output - images).square().mean())
                for k, output in fit.reconstruct_all(images, sizes).items()
            }
            for grid, fit in fits.items()
        }
        best = {}
        for k in sizes:
            reached = {grid: of_grid[k] for grid, of_grid in errors.items() if k in of_grid}
            if reached:
                best[k] = fits[min(reached, key=reached.__getitem__)]
        return best


def _cells(shape: tuple[int, int, int], grid: tuple[int, int]) -> int:
    return shape[0] * -(-shape[1] // grid[0]) * -(-shape[2] // grid[1])


def _patches(x: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, 3, F, T) → (P, B, d)."""
    height, width = -(-x.shape[2] // grid[0]), -(-x.shape[3] // grid[1])
    filled = torch.nn.functional.pad(
        x, (0, grid[1] * width - x.shape[3], 0, grid[0] * height - x.shape[2])
    )
    cut = filled.view(len(x), x.shape[1], grid[0], height, grid[1], width)
    return cut.permute(2, 4, 0, 1, 3, 5).reshape(grid[0] * grid[1], len(x), -1)


def _image(patches: Tensor, grid: tuple[int, int], shape: tuple[int, int, int]) -> Tensor:
    """(P, B, d) → (B, 3, F, T)."""
    components, rows, columns = shape
    height, width = -(-rows // grid[0]), -(-columns // grid[1])
    cut = patches.view(grid[0], grid[1], -1, components, height, width).permute(2, 3, 0, 4, 1, 5)
    joined = cut.reshape(-1, components, grid[0] * height, grid[1] * width)
    return joined[:, :, :rows, :columns].contiguous()
