"""Batches of spectrogram images out of the packed store, made when they are needed.

Waveforms are stored, not spectrograms: they are half the size, a transform costs less than reading its
result would, and every parameter of it can be changed without packing anew.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from earthsignals.compute.device import choose_device
from earthsignals.compute.seeds import Stream
from earthsignals.seismic.spectrogram.image import Preprocessing, SpectrogramImage
from earthsignals.seismic.store.packed import Store
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError


class SpectrogramBatches:
    """A BatchSource (see earthsignals.training) of rows of a store.

    A batch is (x, mask): images (B, 3, F, T) float32 in [0, 1], and (B, 1, 1, T) float32 with 1 where the
    frame is centred on samples that were recorded, 0 on padding: a loss is a mean over the former alone.

    augment: turn the horizontal components by an azimuth that is uniform in [0, 2π), for no seismometer's
    orientation means anything. It is a function of (seed, epoch, row) alone, so a resumed training, or one on
    several devices, sees the same.

    device: where waveforms are turned into images. On a GPU that takes a fraction of a training step, and
    half as many bytes travel; see `loading_device`.

    Raises EarthSignalsError for a store whose windows are not those of the preprocessing.
    """

    def __init__(
        self, store: Store, rows: Sequence[int] | np.ndarray, preprocessing: Preprocessing, *,
        augment: bool = False, seed: int = 0, device: torch.device | str = "cpu",
    ) -> None:  # fmt: skip
        window = preprocessing.window
        found = store.samples, store.sampling_rate_hz
        if found != (window.samples, window.sampling_rate_hz):
            raise EarthSignalsError(
                f"{store.folder} holds windows of {found[0]} samples at {found[1]:g} Hz, but the "
                f"preprocessing wants {window.samples} at {window.sampling_rate_hz:g} Hz: run "
                "`dvc repro seismic-pack`, or take a model that was trained on this store"
            )
        self.store, self.rows = store, np.asarray(rows, dtype=np.int64)
        self._valid = torch.from_numpy(store.valid(self.rows))
        self.preprocessing, self.augment, self.seed = preprocessing, augment, seed
        self.image, self.device = SpectrogramImage(preprocessing), torch.device(device)

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, indices: np.ndarray, epoch: int) -> tuple[Tensor, Tensor]:
        """Images and masks of the rows at `indices` (B,) as they are shown in `epoch`."""
        indices = np.asarray(indices, dtype=np.int64)
        rows = self.rows[indices]
        mask = self.image.frame_mask(self._valid[torch.from_numpy(indices)], self.store.samples)
        if not self.augment and self.device.type == "cpu":
            return self.image.images_of_rows(self.store.waveforms, rows).x, mask
        waveforms = self.store.read(rows)
        if self.augment:
            self._turn(waveforms, rows, epoch)
        x = self.image.images(torch.from_numpy(waveforms).to(self.device)).x
        return x, mask.to(self.device)

    def _turn(self, waveforms: np.ndarray, rows: np.ndarray, epoch: int) -> None:
        stream = Stream(self.seed, "seismic-azimuth")
        for waveform, row in zip(waveforms, rows, strict=True):
            # The generator's index has 128 bits: the epoch in the upper, the row in the lower half.
            azimuth = stream.at((epoch << 64) | int(row)).uniform(0.0, 2 * np.pi)
            turn_horizontals(waveform, azimuth)


def loading_device(settings: Settings) -> torch.device:
    """Where a training by these settings should make its images: on its GPU, if it has a single one.

    The ranks of a distributed training each have a GPU of their own, which a loader made before them cannot
    know; they get images that were made on the CPU.
    """
    device = choose_device(settings.device)
    return device if device.type == "cuda" and settings.devices == 1 else torch.device("cpu")


def turn_horizontals(waveform: np.ndarray, azimuth_rad: float) -> None:
    """Turn the first two components (E, N) of a waveform (3, S) in place; Z and the energy stay.

    The new axes are the old ones turned clockwise, seen from above: at π/2 the new E is the old −N.
    """
    cosine, sine = np.float32(np.cos(azimuth_rad)), np.float32(np.sin(azimuth_rad))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    waveform[:2] = turn @ waveform[:2]
