"""The residual network (He et al. 2016, arXiv:1512.03385) that maps a tile to its embedding.

Stem, layer1 and layer2 are the trunk, of total stride 8. With padding "none-in-trunk" nothing in it pads:
convolutions lose their margin and shortcuts are cropped to what is left, so the trunk of a window is the crop
of the trunk of the scene, for windows that begin on a multiple of 8 pixels. Overlapping
windows then share it. layer3, layer4 and the head are the top, whose padding sees where a window ends. Beside
the residual features the head may be given the tile's texture by fixed filters (`scattering`).

Parameters have torchvision's names (conv1, bn1, layer1.0.conv1, layer2.0.downsample.0, …).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, pad

from earthsignals.clouds.networks.head import head
from earthsignals.clouds.networks.scattering import COUNT, Scattering, check_fits
from earthsignals.storage import EarthSignalsError

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
PADDINGS = ("none-in-trunk", "zero")
TRUNK_STRIDE = 8
"""Pixels from one position of the trunk's features to the next."""
BANDS = 3
# Of ImageNet, in [0, 1]: published weights expect images brought to these, and clouds are not far from them.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class EmbeddingNetwork(nn.Module):
    """Embedding (B, D) float32 of tiles (B, 3, P, P) float32 in [0, 1]; their norm is not one.

    architecture: "resnet18" or "resnet34". width: channels of layer1; 64 is the published network. padding:
    "none-in-trunk" or "zero", the published one. anti_aliased: blur before every subsampling (Zhang 2019,
    arXiv:1904.11486). embedding: D. hidden: width of the head, which pools by mean and by maximum side by
    side (Howard & Gugger 2020, "fastai", section 2.2: concat pooling). scattering: give the head the tile's
    texture as well (`texture`, None without); tiles then have at least `scattering.LEAST_PX` pixels.

    Raises EarthSignalsError for a name that is none, and for tiles that the trunk leaves nothing of.
    """

    def __init__(
        self, architecture: str = "resnet18", width: int = 64, padding: str = "none-in-trunk",
        anti_aliased: bool = False, embedding: int = 100, hidden: int = 512, scattering: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        if architecture not in BLOCKS or padding not in PADDINGS:
            raise EarthSignalsError(
                f"there is no clouds network `{architecture}` with padding `{padding}`; there are "
                f"{', '.join(BLOCKS)}, with {' or '.join(PADDINGS)}"
            )
        self.architecture, self.width, self.padding = architecture, width, padding
        self.anti_aliased, self.embedding, self.hidden = anti_aliased, embedding, hidden
        self._pad = int(padding == "zero")
        blocks = BLOCKS[architecture]
        self.conv1 = nn.Conv2d(BANDS, width, 7, stride=2, padding=3 * self._pad, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(width, width, blocks[0], 1, self._pad, anti_aliased)
        self.layer2 = _stage(width, 2 * width, blocks[1], 2, self._pad, anti_aliased)
        self.layer3 = _stage(2 * width, 4 * width, blocks[2], 2, 1, anti_aliased)
        self.layer4 = _stage(4 * width, 8 * width, blocks[3], 2, 1, anti_aliased)
        self.scattering = scattering
        self.texture = Scattering() if scattering else None
        pooled = 16 * width + COUNT * scattering
        self.head = head(pooled, hidden, embedding)
        self.register_buffer("_mean", torch.tensor(MEAN).view(1, BANDS, 1, 1), persistent=False)
        self.register_buffer("_scale", 1 / torch.tensor(DEVIATION).view(1, BANDS, 1, 1), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # He et al. 2015, arXiv:1502.01852, backward case
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.finish(self.trunk_of(x), None if self.texture is None else self.texture(x))

    def trunk_of(self, x: Tensor) -> Tensor:
        """Features (B, 2 width, h, w) of images (B, 3, H, W) in [0, 1] of any size that leaves some.

        As many along each edge as of tiles of that size, see `trunk_window`.
        Without padding, position (i, j) depends on the pixels from (8i, 8j) on, `receptive_field` of them
        each way, and on no others.
        """
        if x.ndim != 4 or x.shape[1] != BANDS:
            raise ValueError(f"images of shape {tuple(x.shape)}, expected (B, {BANDS}, H, W)")
        for size in x.shape[-2:]:
            self._features_along(size)
        x = (x - self._mean) * self._scale
        if self.anti_aliased:
            x = blurred(x, self._pad)
        x = self.bn1(self.conv1(x))
        # The largest of rectified values is the rectified largest: of a quarter of the numbers.
        x = torch.relu_(max_pool2d(x, 3, 1 if self.anti_aliased else 2, self._pad))
        if self.anti_aliased:
            x = blurred(x, self._pad, stride=2)
        return self.layer2(self.layer1(x))

    def finish(self, features: Tensor, texture: Tensor | None) -> Tensor:
        """Embeddings (B, D) from the trunk's features (B, 2 width, h, w) of whole tiles and their texture."""
        x = self.layer4(self.layer3(features))
        return self.embed(x.mean((2, 3)), x.amax((2, 3)), texture)

    def embed(self, mean: Tensor, maximum: Tensor, texture: Tensor | None) -> Tensor:
        """Embeddings (B, D) from pooled features (B, 8 width) twice, and texture (B, COUNT) or None."""
        return self.head(torch.cat([mean, maximum] + ([] if texture is None else [texture]), 1))

    def trunk_window(self, tile_px: int) -> int:
        """Features along the edge of a tile of `tile_px` pixels.

        Raises EarthSignalsError where there are none, and where the scattering transform does not fit.
        """
        if self.scattering:
            check_fits(tile_px)
        return self._features_along(tile_px)

    def _features_along(self, tile_px: int) -> int:
        size = self._along_edge(tile_px)
        if size < 1:
            least = next(n for n in range(tile_px, 4096) if self._along_edge(n) > 0)
            raise EarthSignalsError(
                f"nothing is left of tiles of {tile_px} pixels behind the trunk of a {self.architecture} "
                f"with padding `{self.padding}`: set clouds.grid.tile_px to {least} or more, or "
                "clouds.network.padding to zero"
            )
        return size

    def check_tile(self, tile_px: int) -> None:
        """Raises EarthSignalsError for tiles too small for the network."""
        self.trunk_window(tile_px)

    @property
    def shares_exactly(self) -> bool:
        """Is the trunk of a window the crop of the trunk of the scene?"""
        return self.padding == "none-in-trunk"

    @property
    def receptive_field(self) -> int:
        """Pixels along the edge of what one position of the unpadded trunk sees."""
        return next(size for size in range(1, 4096) if self._along_edge(size, pad=0) > 0)

    def _along_edge(self, size: int, pad: int | None = None) -> int:
        pad = self._pad if pad is None else pad
        blur = 2 * (1 - pad) * self.anti_aliased
        first, second = BLOCKS[self.architecture][:2]
        size = (size - blur + 6 * pad - 7) // 2 + 1
        if self.anti_aliased:
            size -= 2 * (1 - pad)  # maximum of stride one, then the blur subsamples
        size = (size + 2 * pad - 3) // 2 + 1
        size -= 4 * (1 - pad) * first
        size = (size - blur + 2 * pad - 3) // 2 + 1
        return size - (1 - pad) * (2 + 4 * (second - 1))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut (He et al. 2016, fig. 2).

    pad: 1, or 0 for convolutions without padding and a shortcut cropped to the positions that are left.
    """

    def __init__(self, inner: int, outer: int, stride: int, pad: int, anti_aliased: bool) -> None:
        super().__init__()
        self.stride, self.pad, self.blurs = stride, pad, anti_aliased and stride > 1
        self.conv1 = nn.Conv2d(inner, outer, 3, stride=stride, padding=pad, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, padding=pad, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.downsample = None
        if stride > 1 or inner != outer:
            self.downsample = nn.Sequential(
                nn.Conv2d(inner, outer, 1, stride=stride, bias=False), nn.BatchNorm2d(outer)
            )

    def forward(self, x: Tensor) -> Tensor:
        if self.blurs:
            # A convolution is linear: to blur what it reads is to blur what it gives before subsampling.
            x = blurred(x, self.pad)
        y = torch.relu_(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        shortcut = x if self.pad else self._cropped(x, y.shape[-2:])
        if self.downsample is not None:
            shortcut = self.downsample(shortcut)
        return torch.relu_(y + shortcut)

    def _cropped(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """What the shortcut reads for outputs of this size, each convolution having lost its margin."""
        first = self.stride + 1  # output j stands over input stride·(j + 1) + 1
        last = [
            first + self.stride * (n - 1) + 1 - before for n, before in zip(size, x.shape[-2:], strict=True)
        ]
        # Not a slice: its gradient would lose the memory format, and all layers below their speed.
        return pad(x, (-first, last[1], -first, last[0]))


def blurred(x: Tensor, pad: int, stride: int = 1) -> Tensor:
    """x (B, C, H, W) smoothed by the binomial kernel (1, 2, 1)/4 each way, as two averages of two.

    pad: 1 keeps the size with zeros around, 0 loses a position at every edge.
    """
    return avg_pool2d(avg_pool2d(x, 2, 1, pad), 2, stride)


def _stage(inner: int, outer: int, blocks: int, stride: int, pad: int, anti_aliased: bool) -> nn.Sequential:
    first = BasicBlock(inner, outer, stride, pad, anti_aliased)
    return nn.Sequential(first, *(BasicBlock(outer, outer, 1, pad, anti_aliased) for _ in range(blocks - 1)))
