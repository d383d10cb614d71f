"""PlumeNet: a tile classifier without padding, so that its dense map equals the sliding window.

Valid convolutions (each with batch normalisation and ReLU) and 2 x 2 max pools, every pool on an even
size; then the mean over the whole final map and a linear layer to one logit. No pixel of the answer
depends on where in a larger scene the window lay, which padding inside the network would spoil.

    window  64:  64 -k5-> 60 -> 30 -k3-> 28 -> 14 -k3-> 12 -> 6 -k3-> 4, mean 4 x 4
    window 256: 256 -k5-> 252 -> 126 -k3-> 124 -> 62 -k3-> 60 -> 30 -k3-> 28 -> 14 -k3-> 12, mean 12 x 12
"""

from __future__ import annotations

from torch import Tensor, nn

from earthsignals.storage import EarthSignalsError

POOL = "pool"
# Convolutions as (kernel, output channels): 94 and 131 thousand multiplications per dense pixel.
LAYERS: dict[int, list[tuple[int, int] | str]] = {
    64: [(5, 24), POOL, (3, 48), POOL, (3, 64), POOL, (3, 96)],
    256: [(5, 24), POOL, (3, 48), POOL, (3, 64), POOL, (3, 64), POOL, (3, 96)],
}


class ConvBlock(nn.Module):
    """Convolution without bias, batch normalisation, ReLU: (B, C, H, W) -> (B, D, H', W')."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0, eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=eps)
        self.relu = nn.ReLU(inplace=True)
        # He et al. 2015 (arXiv:1502.01852), eq. 10: keeps the variance through ReLU layers.
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.conv(x)))


class PlumeNet(nn.Module):
    """Logit of plume over no plume, (B,), from normalised windows (B, 1, W, W) with W = `window`.

    `stride` is the product of all strides, `final` the side of the map that the mean is taken over.

    Raises EarthSignalsError for a window other than 64 or 256.
    """

    architecture = "plumenet"

    def __init__(self, window: int = 64) -> None:
        super().__init__()
        if window not in LAYERS:
            raise EarthSignalsError(f"plumenet has no window of {window} pixels: choose 64 or 256")
        self.window = window
        layers: list[nn.Module] = []
        channels, self.stride, self.final = 1, 1, window
        for layer in LAYERS[window]:
            if isinstance(layer, str):
                layers.append(nn.MaxPool2d(2))
                self.stride *= 2
                self.final //= 2
            else:
                kernel, outputs = layer
                layers.append(ConvBlock(channels, outputs, kernel))
                channels = outputs
                self.final -= kernel - 1
        self.layers = nn.Sequential(*layers)
        self.linear = nn.Linear(channels, 1)
        nn.init.zeros_(self.linear.bias)

    def features(self, x: Tensor) -> Tensor:
        """Final map (B, C, h, w) of images (B, 1, H, W) of any size from the window's up."""
        return self.layers(x)

    def readout(self) -> tuple[Tensor, Tensor]:
        """(C,) and (): the logit is their inner product with the mean features, plus the second."""
        return self.linear.weight[0], self.linear.bias[0]

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.features(x).mean((2, 3))).squeeze(1)
