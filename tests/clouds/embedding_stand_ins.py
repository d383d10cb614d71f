"""Small networks with every statistic at random, and scenes of noise, for tests of dense embeddings."""

from __future__ import annotations

import datetime as dt

import numpy as np
import torch
from torch import nn

from earthsignals.clouds.checkpoint import EmbeddingModel
from earthsignals.clouds.imagery.plane import Plane
from earthsignals.clouds.imagery.scene import Scene
from earthsignals.clouds.networks.resnet import EmbeddingNetwork
from earthsignals.clouds.networks.texture import TextureNetwork
from earthsignals.clouds.params import GridParams
from earthsignals.compute.seeds import philox

TILE_PX, TILE_KM = 128, 200.0


def make_network(
    architecture: str = "resnet18",
    padding: str = "none-in-trunk",
    *,
    anti_aliased: bool = False,
    width: int = 4,
    scattering: bool = True,
) -> EmbeddingNetwork | TextureNetwork:
    """Nothing is left at a value that would hide a fault: 1, 0, or the same in all channels."""
    torch.manual_seed(5)
    if architecture == "scattering":
        network = TextureNetwork(embedding=6, hidden=16).eval()
    else:
        network = EmbeddingNetwork(
            architecture, width, padding, anti_aliased, embedding=6, hidden=16, scattering=scattering
        ).eval()
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm1d)):
            with torch.no_grad():
                module.running_mean.uniform_(-0.3, 0.3)
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.7, 1.4)
                module.bias.uniform_(-0.3, 0.3)
    return network


def make_model(tile_px: int = TILE_PX, **network: object) -> EmbeddingModel:
    """An untrained model of tiles of 200 km."""
    return EmbeddingModel(
        make_network(**network), GridParams(tile_km=TILE_KM, tile_px=tile_px), name="stand-in"
    )


def make_noise(
    shape: tuple[int, int] = (200, 240), number: int = 0, *, tile_px: int = TILE_PX, latitude: float = 15.0
) -> Scene:
    """Scene `number` of coarse and fine noise, an hour after the one before."""
    draw = philox(7, "clouds-test-noise", number)
    coarse = draw.integers(0, 160, (3, -(-shape[0] // 8), -(-shape[1] // 8)))
    values = coarse.repeat(8, 1).repeat(8, 2)[:, : shape[0], : shape[1]] + draw.integers(0, 90, (3, *shape))
    return Scene(
        f"noise-{number}", dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC) + dt.timedelta(hours=number),
        Plane.around(latitude, -50.0, TILE_KM / tile_px, shape), values.astype(np.uint8),
        np.ones(shape, bool),
        ("red", "green", "blue"), "visible",
    )  # fmt: skip
