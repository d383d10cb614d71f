"""The network that the parameters describe."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from earthsignals.clouds.params import NetworkParams

if TYPE_CHECKING:
    from earthsignals.clouds.networks.resnet import EmbeddingNetwork

OPTIONS = ("architecture", "width", "padding", "anti_aliased", "embedding", "hidden")
"""What a network is built from; also its attributes."""


def build(options: NetworkParams | Mapping[str, Any]) -> EmbeddingNetwork:
    """A network with random weights (torch's generator), or with the trunk of `initial_weights`.

    options: the parameters, or a mapping with the keys OPTIONS and perhaps `initial_weights`. The network is
    in channels_last memory format, in which it trains about 1.3 times as fast on a CPU.

    Raises EarthSignalsError for an architecture that is none and weights that do not fit; TypeError for other
    keys.
    """
    import torch

    from earthsignals.clouds.networks.resnet import EmbeddingNetwork
    from earthsignals.clouds.networks.weights import load_trunk

    chosen = options.model_dump() if isinstance(options, NetworkParams) else dict(options)
    weights = chosen.pop("initial_weights", None)
    network = EmbeddingNetwork(**chosen)
    if weights is not None and (missing := load_trunk(network, weights)):
        print(
            f"warning: {weights} lacks {len(missing)} of the network's weights ({missing[0]}, …), which stay "
            "random",
            file=sys.stderr,
        )
    return network.to(memory_format=torch.channels_last)


def options_of(network: EmbeddingNetwork) -> dict[str, Any]:
    """What `build` needs to make such a network again."""
    return {name: getattr(network, name) for name in OPTIONS}
