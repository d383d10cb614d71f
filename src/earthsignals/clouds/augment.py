"""What a tile undergoes each time it is shown: turned, moved, lit and blurred otherwise, never alike twice.

Each tile of a triplet by itself. Brightness, contrast and colour are nearly equal within a scene: a network
that sees them unchanged learns to tell scenes apart, and nothing of how clouds organise.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, grid_sample, pad

from earthsignals.clouds.params import AugmentationParams
from earthsignals.compute.seeds import Stream, philox

ROLES = 3
DRAWS = 32  # uniform numbers of one tile; more than there are knobs, so that a new one moves no other
NOISE_LENGTH = 1 << 20  # numbers of noise that all tiles cut theirs from
CHUNK = 12  # tiles worked on together: few enough to stay in the processor's cache


class Augment:
    """Augmented tiles (B, 3, 3, P, P) float32 in [0, 1] of triplets (B, 3, 3, P, P) uint8.

    A pure function of tiles, `seed`, epoch and the triplets' indices. In this order:

    - flips and quarter turns, exact;
    - rotation within ±`rotation_degrees`, magnification between 1/`zoom` and `zoom` (its logarithm uniform),
      corners moved by up to `warp` of the edge: one bilinear interpolation, mirrored at the tile's edges, and
      none where all three are off;
    - with the probability `grey` all bands become one mixture of them, of random weights;
    - x ← x^γ, |ln γ| ≤ `gamma`; deviation from the tile's mean times a factor, |ln| ≤ `contrast`; a shift
      within ±`brightness`, and one for each band within ±`colour`, these less their mean;
    - a Gaussian blur of up to `blur_px`;
    - white noise, another in each band, of a standard deviation up to `noise`;
    - clipping to [0, 1].
    """

    def __init__(self, params: AugmentationParams, seed: int) -> None:
        self.params, self.seed = params, seed
        self._noise: Tensor | None = None

    def __call__(self, tiles: np.ndarray, epoch: int, indices: np.ndarray) -> Tensor:
        """tiles: of the triplets with these indices. ValueError for another shape."""
        if tiles.ndim != 5 or tiles.shape[1] != ROLES or len(tiles) != len(indices):
            raise ValueError(f"{len(indices)} triplets of shape {tiles.shape}, expected (B, 3, 3, P, P)")
        draws = self._draws(epoch, indices)
        turned = np.empty(tiles.shape, np.uint8).reshape(-1, *tiles.shape[2:])
        for tile, source, own in zip(turned, tiles.reshape(turned.shape), draws, strict=True):
            tile[:] = self._turned(source, own)
        out = torch.empty(turned.shape)
        for start in range(0, len(out), CHUNK):
            part = slice(start, start + CHUNK)
            x = torch.from_numpy(turned[part]).float().div_(255)
            own = torch.from_numpy(draws[part])
            out[part] = self._lit(self._moved(x, own), own)
        return out.unflatten(0, tiles.shape[:2])

    def _draws(self, epoch: int, indices: np.ndarray) -> np.ndarray:
        """Uniform numbers in [0, 1) of every tile: (3B, DRAWS) float64."""
        stream = Stream(self.seed, f"clouds-augmentation-{epoch}")
        return np.concatenate([stream.at(int(index)).random((ROLES, DRAWS)) for index in indices])

    def _turned(self, tile: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """One of the square's eight symmetries, as a view."""
        if self.params.flips:
            tile = tile[:, :: 1 if draws[0] < 0.5 else -1, :: 1 if draws[1] < 0.5 else -1]
        if self.params.quarter_turns:
            tile = np.rot90(tile, int(4 * draws[2]), axes=(1, 2))
        return tile

    def _moved(self, x: Tensor, draws: Tensor) -> Tensor:
        params = self.params
        if not (params.rotation_degrees or params.zoom > 1 or params.warp):
            return x
        angle = torch.deg2rad(_signed(draws[:, 3]) * params.rotation_degrees)
        # The grid says where to look: a magnified tile looks at less of itself.
        reach = params.zoom ** -_signed(draws[:, 4])
        cosine, sine = reach * angle.cos(), reach * angle.sin()
        size = x.shape[-1]
        axis = (2 * torch.arange(size, dtype=torch.float64) + 1) / size - 1  # pixel centres in [-1, 1]
        column = torch.stack([cosine, sine], 1)[:, None] * axis[:, None]  # (B, P, 2): what a column adds
        row = torch.stack([-sine, cosine], 1)[:, None] * axis[:, None]
        grid = row.float()[:, :, None] + column.float()[:, None]
        if params.warp:
            # (x, y)/(1 + gx + hy), |g| + |h| <= largest: the corners move furthest, and none beyond `warp`.
            largest = 2 * params.warp / (1 + 2 * params.warp)
            first, second = _signed(draws[:, 5:7]).float().T * largest / 2
            tilt = torch.stack([first + second, first - second], 1)[:, None]
            depth = 1 + (row.float() * tilt).sum(2)[:, :, None] + (column.float() * tilt).sum(2)[:, None]
            grid = grid / depth[..., None]
        return grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)

    def _lit(self, x: Tensor, draws: Tensor) -> Tensor:
        params = self.params

        def between(number: int, largest: float) -> Tensor:
            return (_signed(draws[:, number]) * largest).float().view(-1, 1, 1, 1)

        if params.grey:
            x = _greyed(x, draws[:, 22] < params.grey, draws[:, 23:26])
        if params.gamma:
            # x^γ = exp(γ ln x), five times as fast as a power
            x = x.log_().mul_(between(13, params.gamma).exp()).exp_()
        if params.contrast or params.brightness or params.colour:
            factor = between(14, params.contrast).exp()
            colours = (_signed(draws[:, 16:19]) * params.colour).float()[..., None, None]
            shift = between(15, params.brightness) + colours - colours.mean(1, keepdim=True)
            shift = shift + (1 - factor) * x.mean((1, 2, 3), keepdim=True)
            x = x.mul_(factor).add_(shift)
        if params.blur_px:
            x = gaussian_blurred(x, draws[:, 19] * params.blur_px, params.blur_px)
        if params.noise:
            x = x.add_(self._noise_of(x, draws))
        return x.clamp_(0, 1)

    def _noise_of(self, x: Tensor, draws: Tensor) -> Tensor:
        """Noise like x (B, 3, P, P), cut anywhere from one long row of normal numbers."""
        count = x[0].numel()
        if self._noise is None or len(self._noise) < NOISE_LENGTH + count:
            generator = philox(self.seed, "clouds-augmentation-noise")
            self._noise = torch.from_numpy(generator.standard_normal(NOISE_LENGTH + count, dtype=np.float32))
        starts = (draws[:, 20] * NOISE_LENGTH).long().tolist()
        rows = torch.stack([self._noise[start : start + count] for start in starts])
        return (rows * (draws[:, 21:22] * self.params.noise).float()).view_as(x)


def _greyed(x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
    """x (B, 3, P, P), all bands of the `chosen` (B,) tiles replaced by their mean under `weights` (B, 3)."""
    weights = weights + 1e-3  # never all of them zero
    shares = (weights / weights.sum(1, keepdim=True)).to(x.dtype)
    mixed = torch.einsum("bchw,bc->bhw", x, shares)[:, None]
    return torch.where(chosen[:, None, None, None], mixed, x)


def gaussian_blurred(x: Tensor, sigma: Tensor, largest: float) -> Tensor:
    """x (B, C, P, P), each image smoothed by a Gaussian of its own `sigma` (B,) pixels, mirrored at edges."""
    radius = min(int(np.ceil(3 * largest)), x.shape[-1] - 1)
    offset = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offset / sigma.clamp(min=1e-3)[:, None]).square())
    kernel = (kernel / kernel.sum(1, keepdim=True)).float().repeat_interleave(x.shape[1], 0)
    planes = pad(x, (radius,) * 4, mode="reflect").flatten(0, 1)[None]
    planes = conv2d(planes, kernel[:, None, :, None], groups=len(kernel))
    return conv2d(planes, kernel[:, None, None, :], groups=len(kernel))[0].view_as(x)


def _signed(draws: Tensor) -> Tensor:
    """From [0, 1) to [-1, 1)."""
    return 2 * draws - 1
