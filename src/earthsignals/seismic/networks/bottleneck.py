"""An autoencoder of few numbers that starts as principal components and learns what they leave.

    c = V (x − m)                      coefficients of the image, from which it is m + Vᵀ c
    z = c / s + E(c / s)               the latent; its first k numbers z_k are the latent of size k
    ĉ_k = s z_k + D_k(z_k)             what the decoder makes of them

V are leading principal directions of the training images and what augmentation makes of them, m their mean,
s the deviations of the coefficients. The networks E and D_k end in zeros at first, so the untrained
autoencoder is the linear one at every size. What they learn lives within the span of V: of what lies outside
of it nearly all is speckle. One encoder serves all sizes, for the latent is ordered: training shows decoder k
its first k numbers alone (nested dropout; Rippel, Gelbart & Adams 2014, "Learning ordered representations").
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from earthsignals.seismic.pca import Pca
from earthsignals.storage import EarthSignalsError

_LEAST_SCALE = 0.02  # of the largest deviation: coefficients weaker than it are not blown up to one
_FILLING = 32  # components that say what padding would have shown
_PRIOR = 1e-3  # their weight where hardly anything was seen


class Bottleneck(nn.Module):
    """Images (B, 3, F, T) in [0, 1] ↔ latents (B, L), L the largest of `sizes`.

    Args:
        shape: (3, F, T).
        sizes: latent sizes that it can decode, ascending.
        components: principal directions of its linear path, at least the largest size.
        hidden: width of encoder and decoders. dropout: in them, while training.
    """

    def __init__(
        self, shape: Sequence[int], sizes: Sequence[int], components: int, hidden: int = 512,
        dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.shape, self.sizes = tuple(shape), tuple(sizes)
        pixels = self.shape[0] * self.shape[1] * self.shape[2]
        self.register_buffer("mean", torch.zeros(pixels))
        self.register_buffer("basis", torch.zeros(components, pixels))
        self.register_buffer("scale", torch.ones(components))
        self.encoder = _perceptron(components, hidden, self.sizes[-1], dropout)
        self.decoders = nn.ModuleList(_perceptron(k, hidden, components, dropout) for k in self.sizes)

    def start_from(self, linear: Pca) -> None:
        """Take the linear solution as the start. Raises EarthSignalsError where it has too few components."""
        components = len(self.basis)
        if len(linear) < components:
            raise EarthSignalsError(
                f"the training images have {len(linear)} principal components and the network needs "
                f"{components}: pack more records, or lower seismic.train.sizes"
            )
        self.mean.copy_(linear.mean)
        self.basis.copy_(linear.basis[:components])
        self.scale.copy_(linear.variances[:components].clamp(min=1e-12).sqrt())

    def deviation(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """What images (B, 3, F, T) differ from the mean by, flat (B, D).

        mask: (B, 1, 1, T), 0 on padding, which is filled with what the leading components, fitted to the
        frames that were seen, say about it: so it tells the encoder nothing, and is never a target.
        """
        deviation = x.flatten(1) - self.mean
        if mask is None:
            return deviation
        seen = mask.flatten(1) > 0
        for pattern in torch.unique(seen, dim=0):
            if not bool(pattern.all()):
                rows = (seen == pattern).all(1)
                hidden = (~pattern).expand(self.shape).flatten()
                deviation[rows] = self._filled(deviation[rows], hidden)
        return deviation

    def image(self, coefficients: Tensor) -> Tensor:
        """Images (B, 3, F, T) of coefficients, not confined to [0, 1]."""
        return torch.addmm(self.mean, coefficients, self.basis).unflatten(1, self.shape)

    def latent(self, coefficients: Tensor) -> Tensor:
        """Latents (B, L) of coefficients."""
        longest = self.sizes[-1]
        return coefficients[:, :longest] / self.scale[:longest] + self.encoder(coefficients / self._damped())

    def expand(self, z: Tensor, size: int) -> Tensor:
        """Coefficients that the decoder of `size` makes of the first `size` numbers of latents."""
        kept = z[:, :size]
        linear = nn.functional.pad(kept * self.scale[:size], (0, len(self.scale) - size))
        return linear + self.decoders[self.sizes.index(size)](kept) * self._damped()

    def encode(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Latents (B, L) of images (B, 3, F, T); the first k numbers are the latent of size k."""
        return self.latent(self.deviation(x, mask) @ self.basis.T)

    def decode(self, z: Tensor, size: int | None = None) -> Tensor:
        """Images (B, 3, F, T) from the first `size` numbers of latents, not confined to [0, 1].

        size: one of `sizes`; None is the largest. Raises EarthSignalsError for another, or a short latent.
        """
        size = self.sizes[-1] if size is None else size
        if size not in self.sizes:
            raise EarthSignalsError(
                f"the model was trained for latents of {', '.join(map(str, self.sizes))} numbers, not {size}"
                ": choose one of those, or add it to seismic.train.sizes and train again"
            )
        if z.shape[1] < size:
            raise EarthSignalsError(f"a latent of {size} numbers is needed, found {z.shape[1]}")
        return self.image(self.expand(z, size))

    def reconstruct(self, x: Tensor, size: int | None = None, mask: Tensor | None = None) -> Tensor:
        """Images (B, 3, F, T) in [0, 1] after a latent of `size` numbers."""
        return self.decode(self.encode(x, mask), size).clamp(0, 1)

    def forward(self, x: Tensor, size: int | None = None) -> Tensor:
        return self.decode(self.encode(x), size)

    def _damped(self) -> Tensor:
        return self.scale + _LEAST_SCALE * self.scale[0]

    def _filled(self, deviation: Tensor, hidden: Tensor) -> Tensor:
        """Deviations (B, D) whose `hidden` cells (D,) follow from a least-squares fit to the others."""
        basis = self.basis[:_FILLING]
        out_of_sight = basis[:, hidden]
        # The rows of the basis are orthonormal over all cells, so over those seen their products are:
        products = (1 + _PRIOR) * torch.eye(len(basis), device=basis.device) - out_of_sight @ out_of_sight.T
        c = torch.linalg.solve(products, basis @ deviation.masked_fill(hidden, 0.0).T)
        return deviation.masked_scatter(hidden, c.T @ out_of_sight)


def _perceptron(inputs: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
    last = nn.Linear(hidden, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.GELU(), nn.Dropout(dropout),
        nn.Linear(hidden, hidden), nn.GELU(), nn.Dropout(dropout), last,
    )  # fmt: skip
