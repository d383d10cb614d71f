"""The network of fixed filters and a head that learns: a laptop's choice.

A residual network has to find such filters first. In the minutes that a laptop trains it finds what tells
scenes apart by their light sooner than what tells how their clouds organise.
"""

from __future__ import annotations

from torch import Tensor, nn

from earthsignals.clouds.networks.head import head
from earthsignals.clouds.networks.scattering import COUNT, Scattering, check_fits


class TextureNetwork(nn.Module):
    """Embedding (B, D) float32 of tiles (B, 3, P, P) float32 in [0, 1]; their norm is not one.

    embedding: D. hidden: width of the head.
    """

    architecture = "scattering"
    shares_exactly = True
    """Nothing in it pads."""

    def __init__(self, embedding: int = 32, hidden: int = 512) -> None:
        super().__init__()
        self.embedding, self.hidden = embedding, hidden
        self.texture = Scattering()
        self.head = head(COUNT, hidden, embedding)

    def check_tile(self, tile_px: int) -> None:
        """Raises EarthSignalsError for tiles too small for the coarsest filters."""
        check_fits(tile_px)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.texture(x))
