"""From what a network sees of a tile to the embedding."""

from __future__ import annotations

from torch import nn


def head(inputs: int, hidden: int, embedding: int) -> nn.Sequential:
    """Three linear maps with normalisation and ReLU between: (B, inputs) to (B, embedding)."""
    return nn.Sequential(
        nn.BatchNorm1d(inputs), nn.Linear(inputs, hidden, bias=False), nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True), nn.Linear(hidden, hidden, bias=False), nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True), nn.Linear(hidden, embedding),
    )  # fmt: skip
