"""Shift-and-stitch: the whole network over every shift of the scene, woven into one map.

A network of total stride s, run on a whole image, answers every s-th pixel. Runs on the image shifted
by each of s x s offsets answer all of them (Sermanet et al. 2014, arXiv:1312.6229, section 3.3). Each
shift begins at its pixel's own window and is cut where its last window ends, so the answer belongs to
exactly that pixel: no offset.

For a network without padding the map equals the sliding window. A padded network pads the image here,
not each window: its map is aligned, but equal only where the cut image is one window, that is for scenes
of at most s x s pixels. Elsewhere the two differ by what the padding inside did.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d


@torch.no_grad()
def shift_stitch_logits(model: nn.Module, padded: Tensor) -> Tensor:
    """Logits (H, Wd) of a padded, normalised scene (H + W - 1, Wd + W - 1).

    Raises ValueError for a model in training mode or a scene smaller than the window.
    """
    if model.training:
        raise ValueError("the model is in training mode: call model.eval() first")
    window, stride = model.window, model.stride
    if min(padded.shape) < window:
        raise ValueError(f"padded scene of {tuple(padded.shape)}, expected {window} or more each way")
    out = padded.new_empty(padded.shape[0] - window + 1, padded.shape[1] - window + 1)
    for i in range(min(stride, out.shape[0])):
        for j in range(min(stride, out.shape[1])):
            target = out[i::stride, j::stride]
            ends = (i + stride * (target.shape[0] - 1) + window, j + stride * (target.shape[1] - 1) + window)
            target.copy_(_coarse_logits(model, padded[i : ends[0], j : ends[1]]))
    return out


def _coarse_logits(model: nn.Module, image: Tensor) -> Tensor:
    """One logit per stride: the final mean becomes a window mean that moves over the final map."""
    weight, bias = model.readout()
    features = model.features(image[None, None])
    scores = (features * weight[:, None, None]).sum(1)
    return avg_pool2d(scores, model.final, stride=1)[0] + bias
