"""Latents of stored records."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from earthsignals.compute.mapping import progress
from earthsignals.seismic.baselines import BLOCK
from earthsignals.seismic.spectrogram.image import Preprocessing, SpectrogramImage
from earthsignals.seismic.store.packed import Store


def latents_of(
    network: nn.Module, preprocessing: Preprocessing, store: Store, rows: Sequence[int] | np.ndarray
) -> np.ndarray:
    """Latents (N, L) float32 of these rows, flattened where a network's latent has axes."""
    rows = np.asarray(rows, np.int64)
    found = []
    with progress("encoding", len(rows), "records") as bar:
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            found.append(encode(network, preprocessing, store.read(part), store.valid(part)))
            bar.advance(len(found[-1]))
    return np.concatenate(found) if found else np.empty((0, 0), np.float32)


@torch.inference_mode()
def encode(
    network: nn.Module, preprocessing: Preprocessing, waveforms: np.ndarray, valid: np.ndarray
) -> np.ndarray:
    """Latents (B, L) float32 of waveforms (B, 3, S) that are valid in samples (B, 2)."""
    image, device = SpectrogramImage(preprocessing), next(network.parameters()).device
    x = image.images(torch.from_numpy(waveforms)).x
    mask = image.frame_mask(torch.from_numpy(valid), waveforms.shape[-1])
    return network.encode(x.to(device), mask.to(device)).flatten(1).float().cpu().numpy()
