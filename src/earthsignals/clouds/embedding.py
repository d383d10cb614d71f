"""Embeddings of many tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from earthsignals.compute.mapping import progress

if TYPE_CHECKING:
    from earthsignals.clouds.checkpoint import EmbeddingModel

USUAL_PX = 128  # edge of tiles that `batch` is meant for


@torch.inference_mode()
def embed_tiles(
    model: EmbeddingModel | nn.Module, images: np.ndarray, batch: int = 256, *,
    description: str = "embedding tiles",
) -> np.ndarray:  # fmt: skip
    """Embeddings (N, D) float32 of tiles (N, 3, P, P) uint8, brightness in 255ths of full scale.

    images: may be mapped from a file; a batch is read at a time. batch: tiles of 128 pixels that are worked
    on together, fewer of larger ones, so that memory stays the same. The network computes where its weights
    are, in evaluation mode, and is left in the mode it was in.

    Raises ValueError for images of another shape or type.
    """
    network = model if isinstance(model, nn.Module) else model.network
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != np.uint8:
        raise ValueError(f"tiles of shape {images.shape} and {images.dtype}, expected (N, 3, P, P) uint8")
    size = max(1, batch * USUAL_PX**2 // max(1, images.shape[2] * images.shape[3]))
    device = next(network.parameters()).device
    trained, found = network.training, []
    network.eval()
    try:
        with progress(description, len(images), "tiles") as bar:
            for start in range(0, len(images), size):
                part = torch.from_numpy(np.array(images[start : start + size])).to(device)
                found.append(network(part.float().div_(255)).float().cpu().numpy())
                bar.advance(len(part))
    finally:
        network.train(trained)
    return np.concatenate(found) if found else np.empty((0, network.embedding), np.float32)
