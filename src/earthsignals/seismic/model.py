"""The networks by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from earthsignals.seismic.networks.bottleneck import Bottleneck
from earthsignals.seismic.networks.denoiser import Denoiser
from earthsignals.seismic.networks.seed import SeedAutoencoder
from earthsignals.storage import EarthSignalsError

NETWORKS: dict[str, type[nn.Module]] = {
    "bottleneck": Bottleneck,
    "denoiser": Denoiser,
    "seed": SeedAutoencoder,
}


def build(architecture: str, options: Mapping[str, Any]) -> nn.Module:
    """The network of this name with random weights; `options` are its constructor's keywords.

    Raises EarthSignalsError for a name that is none.
    """
    if architecture not in NETWORKS:
        raise EarthSignalsError(
            f"there is no seismic network `{architecture}`; there are {', '.join(NETWORKS)}"
        )
    return NETWORKS[architecture](**options)
