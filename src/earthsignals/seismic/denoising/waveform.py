"""From noisy waveforms to denoised ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from earthsignals.seismic.spectrogram.image import Preprocessing, SpectrogramImage

BATCH = 32


def denoise(
    network: nn.Module, preprocessing: Preprocessing, waveforms: np.ndarray, *, batch_size: int = BATCH
) -> np.ndarray:
    """Signal in noisy records (M, 3, S), components E, N, Z, detrended: (M, 3, S) float32 in their unit.

    Of any length S from one window of the transform on, and any gain. The mask multiplies the transform of
    the noisy record, whose phase is kept, and the inverse transform gives the waveform. A record of zeros
    stays one. But for rounding, a record's result does not depend on the batch it is in.

    network: in evaluation mode, on any device. Constant offsets and trends belong removed before: they pass
    for the record's strongest signal.

    Raises EarthSignalsError for records shorter than the window of the transform.
    """
    out = np.empty(waveforms.shape, np.float32)
    for part, signal, _ in _batches(network, SpectrogramImage(preprocessing), waveforms, batch_size):
        out[part] = signal.cpu().numpy()
    return out


def masked(
    network: nn.Module, preprocessing: Preprocessing, waveforms: np.ndarray, *, batch_size: int = BATCH
) -> tuple[np.ndarray, np.ndarray]:
    """As `denoise`, with the masks: (M, 3, S) and (M, 3, F, T), float32."""
    image = SpectrogramImage(preprocessing)
    out = np.empty(waveforms.shape, np.float32)
    shape = image.stft.bins, image.stft.frames(waveforms.shape[-1])
    masks = np.empty((*waveforms.shape[:2], *shape), np.float32)
    for part, signal, mask in _batches(network, image, waveforms, batch_size):
        out[part], masks[part] = signal.cpu().numpy(), mask.cpu().numpy()
    return out, masks


def _batches(
    network: nn.Module, image: SpectrogramImage, waveforms: np.ndarray, batch_size: int
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Where each batch lies, its signal (B, 3, S) and its mask (B, 3, F, T)."""
    device = next(network.parameters()).device
    for start in range(0, len(waveforms), batch_size):
        part = slice(start, start + batch_size)
        noisy = torch.from_numpy(np.ascontiguousarray(waveforms[part], np.float32)).to(device)
        with torch.no_grad():
            images = image.images(noisy, keep_z=True)
            mask = network(images.x).float()
            signal = image.stft.inverse(mask * images.z, waveforms.shape[-1])
        yield part, signal, mask  # outside: a generator that waits must not switch gradients off for others
