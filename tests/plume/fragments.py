"""An independent dense map, the oracle of `earthsignals.plume.networks.dense`: splitting into fragments.

Giusti et al. 2013 (arXiv:1302.1700): where a layer has stride s, apply it to each of the s x s shifts of
its input, carry every fragment through the rest of the network, and weave the answers together. It runs
the trained modules themselves, strides, batch normalisation and all: nothing is dilated or folded.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def fragment_logits(model: nn.Module, padded: Tensor) -> Tensor:
    """Logits (H, Wd) of a padded scene (H + W - 1, Wd + W - 1) for a network without padding."""
    layers = [block for _, block in model.chain()] if hasattr(model, "chain") else list(model.layers)
    rows, columns = (length - model.window + 1 for length in padded.shape)
    # Some more pixels, so that every fragment holds a window; the map of the scene never sees them.
    wider = nn.functional.pad(padded, (0, model.stride, 0, model.stride), value=torch.nan)
    return _carry(layers, model, wider[None, None])[:rows, :columns]


def _carry(layers: list[nn.Module], model: nn.Module, x: Tensor) -> Tensor:
    if not layers:
        weight, bias = model.readout()
        means = x[0].unfold(1, model.final, 1).unfold(2, model.final, 1).mean((3, 4))
        return torch.einsum("c,chw->hw", weight, means) + bias
    first, rest = layers[0], layers[1:]
    stride = _stride(first)
    if stride == 1:
        return _carry(rest, model, first(x))
    parts = [[_carry(rest, model, first(x[..., i:, j:])) for j in range(stride)] for i in range(stride)]
    woven = x.new_full((sum(len(row[0]) for row in parts), sum(p.shape[1] for p in parts[0])), torch.nan)
    for i, row in enumerate(parts):
        for j, part in enumerate(row):
            woven[i::stride, j::stride] = part
    return woven


def _stride(layer: nn.Module) -> int:
    """The stride of a convolution block or pool; blocks of several layers have none."""
    stride = getattr(getattr(layer, "conv", layer), "stride", 1)
    return stride[0] if isinstance(stride, tuple) else stride
