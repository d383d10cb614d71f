"""What the network's fixed filters see of a tile, by themselves: its own starting point as a rival."""

from __future__ import annotations

import numpy as np

from earthsignals.compute.mapping import progress

BATCH = 64


def scattering(images: np.ndarray) -> np.ndarray:
    """Features (N, COUNT) float64 of tiles (N, 3, P, P) uint8: see `networks.scattering`.

    Tiles that its wavelets do not fit into are magnified, each pixel repeated as often as it takes.
    """
    import torch

    from earthsignals.clouds.networks.scattering import LEAST_PX, Scattering

    transform, found, times = Scattering(), [], -(-LEAST_PX // images.shape[-1])
    with torch.inference_mode(), progress("scattering transform", len(images), "tiles") as bar:
        for start in range(0, len(images), BATCH):
            tiles = np.asarray(images[start : start + BATCH]).repeat(times, 2).repeat(times, 3)
            found.append(transform(torch.from_numpy(tiles).float() / 255).double().numpy())
            bar.advance(len(tiles))
    return np.concatenate(found)
