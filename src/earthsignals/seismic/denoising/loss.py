"""What training minimises: the noise that is left, in decibels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from earthsignals.seismic.spectrogram.image import Preprocessing, SpectrogramImage

LEAST = 1e-3  # of the noise's energy: what is removed beyond 30 dB counts for less and less
LEAST_NOISE = 1e-6  # of the mixture's energy: below it there is no noise
_TINY = torch.finfo(torch.float32).tiny


class DenoisingLoss:
    """Minus the gain in signal-to-noise ratio. Batches are (noisy, clean) of `batches.MixedBatches`.

    loss = mean over records of 10 log10( |M Z_noisy − Z_clean|² / |Z_noisy − Z_clean|² + LEAST ),

    energies over components, frequencies and frames, each frequency counted as often as the two-sided
    spectrum holds it: by Parseval's theorem they are those of the waveforms, up to the record's ends and to
    what the inverse transform projects away, so the loss is what `judge` reports and no proxy. It is defined
    for records of noise alone, and no record outweighs the others. `gain_db` is minus the loss where there is
    a signal.
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.image = SpectrogramImage(preprocessing)

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        noisy, clean = batch
        images = self.image.images(noisy, keep_z=True)
        target = self.image.stft(clean)
        mask = model(images.x).float()
        left = self._energy(torch.addcmul(-torch.view_as_real(target), mask[..., None],
                                          torch.view_as_real(images.z)))  # fmt: skip
        mixed = self._energy(torch.view_as_real(images.z - target))
        # A dead noise record leaves nothing to remove: such an item must not outweigh all others.
        least = (LEAST_NOISE * self._energy(torch.view_as_real(images.z))).clamp(min=_TINY)
        decibels = 10 * torch.log10(left / torch.maximum(mixed, least) + LEAST)
        with torch.no_grad():
            signal = (clean.abs().amax((1, 2)) > 0).float()
            gain = -(decibels.detach() * signal).sum() / signal.sum().clamp(min=1)
        return {"loss": decibels.mean(), "gain_db": gain}

    def _energy(self, parts: Tensor) -> Tensor:
        """Of z (B, 3, F, T, 2) as real and imaginary parts: (B,)."""
        rows = parts.square().sum((1, 3, 4))
        weight = torch.full((rows.shape[1],), 2.0, device=rows.device)
        weight[0] = 1.0
        if self.image.stft.size % 2 == 0:
            weight[-1] = 1.0
        return rows @ weight
