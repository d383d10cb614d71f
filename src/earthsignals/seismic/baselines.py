"""What a network's reconstruction is held against: zero, means, and linear codes of the same size.

Predicting zero, or the mean of the training images, shows what an error figure is worth before anything was
learned. Row and column means of the record itself are a code too, of 3 (F + T − 1) numbers. Principal
components (`pca.Pca`) and those of patches (`patch_pca.PatchPca`) are the codes that any network of as many
numbers has to beat.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from earthsignals.seismic.patch_pca import COARSE_COMPONENTS, COARSE_GRID, COARSE_IMAGES, PatchPca
from earthsignals.seismic.pca import EXACT_UP_TO, Pca
from earthsignals.seismic.spectrogram.image import Preprocessing, SpectrogramImage
from earthsignals.seismic.store.packed import evenly

if TYPE_CHECKING:
    from earthsignals.seismic.store.packed import Store

__all__ = ["Baselines", "ImageBlocks", "PatchPca", "Pca", "fit_baselines", "row_and_column_means"]
BLOCK = 128
CHOICE_IMAGES = 192


class ImageBlocks:
    """Images of rows of a store as blocks (B, 3, F, T) float32, made anew at each iteration."""

    def __init__(
        self, store: Store, rows: np.ndarray, preprocessing: Preprocessing, block: int = BLOCK
    ) -> None:
        self.store, self.rows, self.block = store, np.asarray(rows, np.int64), block
        self.image = SpectrogramImage(preprocessing)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, len(self.rows), self.block):
            waveforms = self.store.read(self.rows[start : start + self.block])
            yield self.image.images(torch.from_numpy(waveforms)).x

    def all(self) -> Tensor:
        """All of them (N, 3, F, T): 0.17 MB each by default."""
        images = torch.empty(len(self), *self.image.preprocessing.shape)
        for start, block in zip(range(0, len(self), self.block), self, strict=False):
            images[start : start + len(block)] = block
        return images


@dataclass(frozen=True)
class Baselines:
    """Fitted to training images. mean (3, F, T); patches: the fit of the best grid by size."""

    mean: Tensor
    pca: Pca
    patches: dict[int, PatchPca]
    shape: tuple[int, int, int]

    def reconstruct_pca(self, x: Tensor, sizes: Sequence[int]) -> dict[int, Tensor]:
        """Images (B, 3, F, T) after k principal components, for every k of `sizes` that was reached."""
        able = [k for k in sizes if k <= len(self.pca)]
        if not able:
            return {}
        codes = self.pca.encode(x, max(able))
        return {k: self.pca.decode(codes[:, :k]).clamp_(0, 1).view(-1, *self.shape) for k in able}

    def reconstruct_patches(self, x: Tensor, sizes: Sequence[int]) -> dict[int, Tensor]:
        """Images (B, 3, F, T) after k numbers of the patches' components, for every k of `sizes` there is."""
        found: dict[int, Tensor] = {}
        for grid in dict.fromkeys(fit.grid for fit in self.patches.values()):
            own = [k for k in sizes if k in self.patches and self.patches[k].grid == grid]
            if own:
                found |= self.patches[own[0]].reconstruct_all(x, own)
        return found

    def reconstruct_means(self, x: Tensor) -> Tensor:
        """Images (B, 3, F, T) of the records' own row and column means; `mean_numbers` each."""
        return row_and_column_means(x, self.mean)

    @property
    def mean_numbers(self) -> int:
        """Numbers of a code by row and column means."""
        components, rows, columns = self.shape
        return components * (rows + columns - 1)


def row_and_column_means(x: Tensor, mean: Tensor) -> Tensor:
    """The additive model of each record: what its row and column means tell, the training mean taken off.

    x (B, 3, F, T), mean (3, F, T). With r = x − mean: mean + r̄(c, f) + r̄(c, t) − r̄(c), clipped to [0, 1]: the
    least-squares fit of any sum of a function of frequency and one of time.
    """
    rest = x - mean
    by_frequency, by_time = rest.mean(3, keepdim=True), rest.mean(2, keepdim=True)
    return (mean + by_frequency + by_time - rest.mean((2, 3), keepdim=True)).clamp_(0, 1)


def fit_baselines(
    store: Store, rows: np.ndarray, preprocessing: Preprocessing, sizes: Sequence[int], *,
    held_back: np.ndarray | None = None, patch_sizes: Sequence[int] | None = None,
) -> Baselines:  # fmt: skip
    """Fit all baselines to the images of `rows`, the training split.

    sizes: codes by principal components; those beyond the number of records are left out. held_back: rows of
    the validation split by which the grid of patches is chosen; None takes every eighth training row.
    patch_sizes: codes by patches (default: `sizes`).

    Raises EarthSignalsError for fewer than two records.
    """
    blocks = ImageBlocks(store, rows, preprocessing)
    images = [blocks.all()] if len(blocks) <= EXACT_UP_TO else blocks
    if isinstance(images, list):
        images = list(images[0].split(BLOCK))
    pca = Pca.fit(images, max(sizes))
    held_back = rows[::8] if held_back is None or not len(held_back) else held_back
    choice = ImageBlocks(store, evenly(held_back, CHOICE_IMAGES), preprocessing).all()
    fits = PatchPca.fit_grids(images)
    few = ImageBlocks(store, evenly(rows, COARSE_IMAGES), preprocessing).all().split(BLOCK)
    fits[COARSE_GRID] = PatchPca.fit_leading(few, COARSE_GRID, COARSE_COMPONENTS)
    patches = PatchPca.best_of(fits, choice, patch_sizes or sizes)
    return Baselines(pca.mean.view(preprocessing.shape), pca, patches, preprocessing.shape)
