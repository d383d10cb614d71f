"""How far reconstructions are from spectrograms, record by record and component by component."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from earthsignals.compute.mapping import progress
from earthsignals.seismic.baselines import BLOCK, Baselines
from earthsignals.seismic.spectrogram.image import Preprocessing, SpectrogramImage
from earthsignals.seismic.store.packed import Store

Method = Callable[[Tensor, Tensor], Mapping[int, Tensor]]
"""Images (B, 3, F, T) and their masks (B, 1, 1, T) to reconstructions by size of their code."""


@dataclass(frozen=True)
class Errors:
    """Of one method at one size: mean squared and absolute errors (N, 3) float64, components E, N, Z."""

    mse: np.ndarray
    mae: np.ndarray


def component_errors(x: Tensor, reconstruction: Tensor, mask: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean squared and mean absolute error (B, 3) over the cells of frames that `mask` (B, 1, 1, T) keeps.

    Padding holds nothing to reconstruct, so it counts nowhere. NaN for a record without a frame.
    """
    difference = reconstruction - x
    share = mask.double().mean((1, 2, 3))[:, None]
    if bool((share < 1).any()):
        difference *= mask
    squared = difference.square().mean((2, 3)).double() / share
    absolute = difference.abs_().mean((2, 3)).double() / share
    return squared.numpy(), absolute.numpy()


def of_autoencoder(network: nn.Module, sizes: Sequence[int]) -> Method:
    """A network with an ordered latent: encoded once, decoded from its first k numbers for every k."""

    def method(x: Tensor, mask: Tensor) -> dict[int, Tensor]:
        device = device_of(network)
        latent = network.encode(x.to(device), mask.to(device))
        return {size: network.decode(latent, size).float().cpu().clamp_(0, 1) for size in sizes}

    return method


def of_plain(network: nn.Module, numbers: int) -> Method:
    """A network that is an autoencoder of one size."""
    return lambda x, _: {numbers: network(x.to(device_of(network))).float().cpu()}


def device_of(network: nn.Module) -> torch.device:
    """Where the network's weights lie."""
    return next(network.parameters()).device


def of_pca(baselines: Baselines, sizes: Sequence[int]) -> Method:
    """Principal components; sizes that the fit does not reach are left out."""
    return lambda x, _: baselines.reconstruct_pca(x, sizes)


def of_patches(baselines: Baselines, sizes: Sequence[int]) -> Method:
    """Principal components of patches; sizes that no fit reaches are left out."""
    return lambda x, _: baselines.reconstruct_patches(x, sizes)


def of_constants(baselines: Baselines) -> dict[str, Method]:
    """Methods without a code, or with one of the record's means: `zero`, `mean`, `means`."""
    return {
        "zero": lambda x, _: {0: torch.zeros_like(x)},
        "mean": lambda x, _: {0: baselines.mean.expand_as(x)},
        "means": lambda x, _: {baselines.mean_numbers: baselines.reconstruct_means(x)},
    }


@torch.inference_mode()
def judge(
    store: Store, rows: np.ndarray, preprocessing: Preprocessing, methods: Mapping[str, Method], *,
    description: str = "judging reconstructions",
) -> dict[str, dict[int, Errors]]:  # fmt: skip
    """Errors of every method at each of its sizes on these rows, in their order."""
    image = SpectrogramImage(preprocessing)
    found: dict[str, dict[int, list[tuple[np.ndarray, np.ndarray]]]] = {name: {} for name in methods}
    with progress(description, len(rows), "records") as bar:
        for start in range(0, len(rows), BLOCK):
            chosen = rows[start : start + BLOCK]
            waveforms = torch.from_numpy(store.read(chosen))
            mask = image.frame_mask(torch.from_numpy(store.valid(chosen)), waveforms.shape[-1])
            x = image.images(waveforms).x
            for name, method in methods.items():
                for size, output in method(x, mask).items():
                    found[name].setdefault(size, []).append(component_errors(x, output, mask))
            bar.advance(len(chosen))
    return {
        name: {
            size: Errors(*(np.concatenate(parts) for parts in zip(*pieces, strict=True)))
            for size, pieces in by_size.items()
        }
        for name, by_size in found.items()
    }
