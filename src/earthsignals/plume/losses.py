"""What training minimises: cross entropy of tiles for classifiers, of pixels with overlap for the U-Net."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

AUXILIARY = 0.3  # weight of each auxiliary head's loss (Szegedy et al. 2015, section 5)


@dataclass(frozen=True)
class TileLoss:
    """Weighted cross entropy of a tile's label. Batches are (x, label) of `augment.TileBatches`.

    weight_none, weight_plume: of tiles without and with a plume; see `class_weights`. smoothing s: labels
    become s/2 and 1 - s/2 (Szegedy et al. 2016, arXiv:1512.00567, section 7), in training alone.
    """

    weight_none: float = 1.0
    weight_plume: float = 1.0
    smoothing: float = 0.0

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        x, label = batch
        logit = model(x)
        weight = label * (self.weight_plume - self.weight_none) + self.weight_none
        target = label * (1 - self.smoothing) + self.smoothing / 2 if model.training else label
        loss = binary_cross_entropy_with_logits(logit, target, weight)
        for head in getattr(model, "auxiliary", ()):
            loss = loss + AUXILIARY * binary_cross_entropy_with_logits(head, target, weight)
        right = ((logit.detach() > 0) == (label > 0.5)).to(loss.dtype).mean()
        return {"loss": loss, "accuracy": right}


@dataclass(frozen=True)
class PixelLoss:
    """Cross entropy of pixels plus 1 - Dice. Batches are (x, plume pixels).

    Dice = (2 sum p y + 1) / (sum p + sum y + 1) over the batch (Milletari et al. 2016, arXiv:1606.04797,
    with the ones for batches without a plume): plumes are so few pixels that cross entropy alone would be
    content with none.
    """

    def __call__(self, model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        x, plume = batch
        logit = model(x)
        entropy = binary_cross_entropy_with_logits(logit, plume)
        probability = torch.sigmoid(logit.float())
        dice = (2 * (probability * plume).sum() + 1) / (probability.sum() + plume.sum() + 1)
        return {"loss": entropy + 1 - dice, "dice": dice.detach()}


def class_weights(labels: np.ndarray) -> tuple[float, float]:
    """Weights of tiles without and with a plume such that both classes weigh alike and the mean is 1.

    labels: (N,) of 0 and 1, both there.
    """
    count = np.bincount(labels.astype(np.int64), minlength=2)
    none, plume = len(labels) / (2.0 * count)
    return float(none), float(plume)
