"""An autoencoder of few numbers that starts as principal components and learns what they leave.

    z   = c / s + E(c / s, profiles of x)              c = V (x − m), the PCA path
    x̂_k = m + Vᵀ (s z_k + D(z_k)) + Σ_r a_r(z_k) ⊗ b_r(z_k)      z_k: the first k numbers of z

V are the leading principal components of the training images, m their mean, s the deviations of the
coefficients. E, D and the last factors start at zero, so the untrained network is PCA at every k. The outer
products of a spectral profile a(f) and a temporal one b(t) per component draw what no moderate number of
principal components can: the onset of the S wave, which moves from record to record, and narrow lines of
noise. One encoder and one decoder serve every latent size: the latent is ordered, and training hides all
but its first k numbers (nested dropout; Rippel, Gelbart & Adams 2014, "Learning ordered representations").
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from earthsignals.seismic.pca import Pca
from earthsignals.storage import EarthSignalsError

_LEAST_SCALE = 0.02  # of the largest deviation: weaker coefficients are not blown up for the MLPs


class Bottleneck(nn.Module):
    """Images (B, 3, F, T) in [0, 1] ↔ latents (B, L), L the largest of `sizes`.

    Args:
        shape: (3, F, T).
        sizes: latent sizes that it can decode, ascending.
        components: principal components of its linear path, at least the largest size.
        hidden: width of encoder and decoder. terms: outer products per component.
        segments: parts of the band and of the window whose profiles the encoder sees.
    """

    def __init__(
        self, shape: Sequence[int], sizes: Sequence[int], components: int, hidden: int = 512,
        terms: int = 8, segments: int = 4, dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.shape, self.sizes = tuple(shape), tuple(sizes)
        self.terms, self.segments = terms, segments
        channels, rows, columns = self.shape
        pixels, latent = channels * rows * columns, self.sizes[-1]
        self.register_buffer("mean", torch.zeros(pixels))
        self.register_buffer("basis", torch.zeros(components, pixels))
        self.register_buffer("scale", torch.ones(components))
        profiles = channels * segments * (rows + columns)
        self.encoder = _perceptron(components + profiles, hidden, latent, dropout)
        self.stage = nn.Embedding(len(self.sizes), hidden)
        self.trunk = nn.Linear(latent, hidden)
        self.decoder = nn.Sequential(
            nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.GELU(), nn.Dropout(dropout)
        )
        self.coefficients = nn.Linear(hidden, components)
        self.spectral = nn.Linear(hidden, channels * terms * rows)
        self.temporal = nn.Linear(hidden, channels * terms * columns)
        for layer in (self.encoder[-1], self.coefficients, self.spectral):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def start_from(self, pca: Pca) -> None:
        """Take the linear solution as the start. Raises EarthSignalsError where it has too few components."""
        components = len(self.basis)
        if len(pca.basis) < components:
            raise EarthSignalsError(
                f"the training images have {len(pca.basis)} principal components and the network needs "
                f"{components}: pack more records, or lower seismic.train.sizes"
            )
        self.mean.copy_(pca.mean)
        self.basis.copy_(pca.basis[:components])
        self.scale.copy_(pca.variances[:components].clamp(min=1e-12).sqrt())

    def encode(self, x: Tensor) -> Tensor:
        """Latents (B, L) of images (B, 3, F, T); the first k of them are the latent of size k."""
        deviation = x.flatten(1) - self.mean
        c = deviation @ self.basis.T
        features = torch.cat([c / self._damped(), self._profiles(deviation)], 1)
        latent = self.sizes[-1]
        return c[:, :latent] / self.scale[:latent] + self.encoder(features)

    def decode(self, z: Tensor, size: int | None = None) -> Tensor:
        """Images (B, 3, F, T), not confined to [0, 1], from the first `size` numbers of latents (B, ≥ size).

        size: one of `sizes`; None is the largest. Raises EarthSignalsError for another.
        """
        size = self.sizes[-1] if size is None else size
        if size not in self.sizes:
            raise EarthSignalsError(
                f"the model was trained for latents of {', '.join(map(str, self.sizes))} numbers, not {size}: "
                "choose one of those, or add it to seismic.train.sizes and train again"
            )
        if z.shape[1] < size:
            raise EarthSignalsError(f"a latent of {size} numbers is needed, found {z.shape[1]}")
        kept = z[:, :size]
        stage = self.stage.weight[self.sizes.index(size)]
        hidden = self.decoder(kept @ self.trunk.weight[:, :size].T + self.trunk.bias + stage)
        c = self.coefficients(hidden) * self._damped()
        c = c + nn.functional.pad(kept * self.scale[:size], (0, len(self.scale) - size))
        linear = torch.addmm(self.mean, c, self.basis)
        return (linear + self._outer(hidden).flatten(1)).unflatten(1, self.shape)

    def reconstruct(self, x: Tensor, size: int | None = None) -> Tensor:
        """Images (B, 3, F, T) in [0, 1] after a latent of `size` numbers."""
        return self.decode(self.encode(x), size).clamp(0, 1)

    def forward(self, x: Tensor, size: int | None = None) -> Tensor:
        return self.decode(self.encode(x), size)

    def _damped(self) -> Tensor:
        return self.scale + _LEAST_SCALE * self.scale[0]

    def _profiles(self, deviation: Tensor) -> Tensor:
        """Means over parts of the window (3·P·F) and over parts of the band (3·P·T), (B, …), some 1 large."""
        image = deviation.unflatten(1, self.shape)
        spectra = _part_means(image, 3, self.segments)
        envelopes = _part_means(image, 2, self.segments)
        return 4.0 * torch.cat([spectra.flatten(1), envelopes.flatten(1)], 1)

    def _outer(self, hidden: Tensor) -> Tensor:
        channels, rows, columns = self.shape
        a = self.spectral(hidden).view(-1, channels, self.terms, rows)
        b = self.temporal(hidden).view(-1, channels, self.terms, columns)
        return a.transpose(2, 3) @ b


def _part_means(image: Tensor, axis: int, parts: int) -> Tensor:
    """Means of `parts` nearly equal parts along an axis, which they take the place of."""
    return torch.stack([part.mean(axis) for part in image.tensor_split(parts, axis)], axis)


def _perceptron(inputs: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.GELU(), nn.Dropout(dropout),
        nn.Linear(hidden, hidden), nn.GELU(), nn.Dropout(dropout),
        nn.Linear(hidden, outputs),
    )  # fmt: skip
