"""The network before it learned anything: what its architecture alone sees of a tile."""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA

from earthsignals.clouds.judging.space import Scaling
from earthsignals.clouds.params import CloudsParams

BLIND = {"architecture": "resnet18", "scattering": False, "initial_weights": None}
"""A residual network that knows nothing: the fixed filters are a row of their own."""


def random_network(
    fit: np.ndarray, images: np.ndarray, params: CloudsParams
) -> tuple[np.ndarray, np.ndarray]:
    """Codes (M, k) and (N, k) of tiles (M or N, 3, P, P) by a network with random weights.

    The weights are those that a training starts from, of another seed; the fixed filters are left out, they
    are a row of their own. The codes are the leading principal components, fitted to the tiles of `fit`, of
    the standardised features that its head reads; k is the length of the embedding, or less where the tiles
    are few. They did better than what comes out of a random head, and than the same with normalisation layers
    calibrated on tiles, which amplifies noise.
    """
    import torch
    from torch import nn

    from earthsignals.clouds.embedding import embed_tiles
    from earthsignals.clouds.model import build

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(params.evaluate.seed)
        network = build(params.network.model_copy(update=BLIND))
    network.head = nn.Identity()
    pooled, judged = (
        embed_tiles(network, tiles, description="embedding by random weights") for tiles in (fit, images)
    )
    scaling = Scaling.fit(pooled)
    known = scaling.apply(pooled)
    codes = PCA(min(params.network.embedding, len(fit) - 1, known.shape[1]), svd_solver="full").fit(known)
    return codes.transform(known), codes.transform(scaling.apply(judged))
