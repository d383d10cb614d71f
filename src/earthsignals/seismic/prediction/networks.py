"""Networks applied to batches of windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from earthsignals.compute.device import choose_device
from earthsignals.seismic.checkpoint import STAGES, SpectrogramModel
from earthsignals.seismic.denoising.waveform import denoise
from earthsignals.seismic.prediction.windows import Piece
from earthsignals.seismic.spectrogram.image import SpectrogramImage
from earthsignals.settings import load_settings
from earthsignals.storage import EarthSignalsError

AUTOENCODERS = ("bottleneck", "seed")


@dataclass(frozen=True)
class Reconstructed:
    """What an autoencoder made of a batch."""

    x: np.ndarray
    """(B, 3, F, T) float32: the images it was given."""
    y: np.ndarray
    """(B, 3, F, T) float32: its images."""
    mask: np.ndarray
    """(B, 1, 1, T) float32: 1 where a frame's centre was measured."""
    waveforms: np.ndarray | None
    """(B, 3, W) float32: its amplitudes with the input's phase, in the input's unit; if wanted."""
    latents: np.ndarray | None
    """(B, L) float32, if wanted."""

    def errors(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean squared and mean absolute error (B, 3) of each component over measured frames."""
        difference = (self.y - self.x) * self.mask
        cells = np.maximum(self.mask.sum((1, 2, 3)), 1)[:, None] * self.x.shape[2]
        return (difference**2).sum((2, 3)) / cells, np.abs(difference).sum((2, 3)) / cells


class Applied:
    """A model on the device of the settings.

    Raises EarthSignalsError for a model whose architecture is not among `wanted`, or a latent `size` that it
    does not have.
    """

    def __init__(self, model: SpectrogramModel, wanted: Sequence[str], size: int | None = None) -> None:
        if model.architecture not in wanted:
            stages = " or ".join(f"`dvc repro {STAGES[name]}`" for name in wanted)
            raise EarthSignalsError(
                f"{model.path or model.name} holds a {model.architecture} network, expected "
                f"{' or '.join(wanted)}: pass a model that {stages} writes"
            )
        self.model, self.size = model, size
        self.device = choose_device(load_settings().device)
        self.network = model.network.to(self.device).eval()
        self.image = SpectrogramImage(model.preprocessing)
        if size is not None:
            self._check_size(size)

    def denoised(self, batch: Sequence[Piece]) -> np.ndarray:
        """(B, 3, W) float32: the signal in each window."""
        waveforms = np.stack([piece.waveform for piece in batch])
        return denoise(self.network, self.model.preprocessing, waveforms, batch_size=len(batch))

    def latents(self, batch: Sequence[Piece]) -> np.ndarray:
        """(B, L) float32, flattened where a network's latent has axes."""
        given, mask = self._given(batch)
        with torch.inference_mode():
            z = self._encoded(self.image.images(given).x.contiguous(), mask)
        return z.flatten(1).float().cpu().numpy()

    def weight(self, numbers: int) -> np.ndarray | None:
        """(L,) float32: how much of an image hangs on each number of a latent; None where untold."""
        scale = getattr(self.network, "scale", None)
        return None if scale is None else scale[:numbers].cpu().numpy()

    def reconstructed(
        self, batch: Sequence[Piece], *, waveforms: bool = False, latents: bool = False
    ) -> Reconstructed:
        """Images of the windows, there and back again."""
        given, mask = self._given(batch)
        with torch.inference_mode():
            images = self.image.images(given, keep_z=waveforms)
            x = images.x.contiguous()
            z = self._encoded(x, mask)
            y = self.network.decode(z, self.size if self._ordered else x.shape[-2:]).float().clamp(0, 1)
            back = None
            if waveforms:
                back = self.image.waveforms(y, images.level, images.z, given.shape[-1]).cpu().numpy()
            found = z.flatten(1).float().cpu().numpy() if latents else None
        return Reconstructed(x.cpu().numpy(), y.cpu().numpy(), mask.cpu().numpy(), back, found)

    @property
    def _ordered(self) -> bool:
        """Is it a bottleneck, whose latent has sizes and which knows padding from record?"""
        return self.model.architecture == "bottleneck"

    def _given(self, batch: Sequence[Piece]) -> tuple[torch.Tensor, torch.Tensor]:
        """Waveforms (B, 3, W) and frame masks (B, 1, 1, T) on the device."""
        waveforms = torch.from_numpy(np.stack([piece.waveform for piece in batch])).to(self.device)
        valid = torch.tensor([piece.valid for piece in batch], device=self.device)
        return waveforms, self.image.frame_mask(valid, waveforms.shape[-1])

    def _encoded(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.network.encode(x, mask) if self._ordered else self.network.encode(x)

    def _check_size(self, size: int) -> None:
        sizes = getattr(self.network, "sizes", None)
        if sizes is None:
            raise EarthSignalsError(
                f"{self.model.path or self.model.name} has no latent of another size than its own: leave "
                "--size away, or pass a bottleneck"
            )
        if size not in sizes:
            raise EarthSignalsError(
                f"--size {size} is none of {', '.join(map(str, sizes))}, for which this model was trained: "
                "choose one of those, or add it to seismic.train.sizes and train again"
            )
