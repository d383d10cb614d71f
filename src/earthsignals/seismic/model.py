"""The networks by name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import nn

from earthsignals.storage import EarthSignalsError

NETWORKS = {
    "bottleneck": ("earthsignals.seismic.networks.bottleneck", "Bottleneck"),
    "denoiser": ("earthsignals.seismic.networks.denoiser", "Denoiser"),
    "seed": ("earthsignals.seismic.networks.seed", "SeedAutoencoder"),
}
"""Module and class; imported when built, so that a stage depends on its own network alone."""


def build(architecture: str, options: Mapping[str, Any]) -> nn.Module:
    """The network of this name with random weights; `options` are its constructor's keywords.

    Raises EarthSignalsError for a name that is none.
    """
    if architecture not in NETWORKS:
        raise EarthSignalsError(
            f"there is no seismic network `{architecture}`; there are {', '.join(NETWORKS)}"
        )
    module, name = NETWORKS[architecture]
    return getattr(import_module(module), name)(**options)
