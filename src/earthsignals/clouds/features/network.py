"""The network before it learned anything: what its architecture alone sees of a tile."""

from __future__ import annotations

import numpy as np

from earthsignals.clouds.params import CloudsParams

CALIBRATION = 256
"""Tiles by which normalisation layers take their statistics."""


def random_network(
    fit: np.ndarray, images: np.ndarray, params: CloudsParams
) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (M, D) and (N, D) of tiles (M or N, 3, P, P) by a network with random weights.

    Its weights are those that a training starts from, of another seed. Batch normalisation takes means and
    variances from tiles of `fit`: with those it starts from, all tiles would come out nearly alike, and the
    baseline would lose for no fault of the architecture.
    """
    import torch
    from torch import nn

    from earthsignals.clouds.embedding import embed_tiles
    from earthsignals.clouds.model import build

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(params.evaluate.seed)
        network = build(params.network.model_copy(update={"initial_weights": None}))
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d)]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over batches
    network.train()
    some = np.linspace(0, len(fit) - 1, min(CALIBRATION, len(fit))).round().astype(int)
    with torch.no_grad():
        for part in np.array_split(np.unique(some), max(1, len(some) // 64)):
            if len(part) > 1:  # one tile has no variance
                network(torch.from_numpy(np.ascontiguousarray(fit[part])).float() / 255)
    network.eval()
    words = "embedding by random weights"
    return embed_tiles(network, fit, description=words), embed_tiles(network, images, description=words)
