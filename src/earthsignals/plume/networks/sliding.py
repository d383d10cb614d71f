"""The sliding window: one run of the classifier per pixel. Slow, plain, and what all else must equal.

Pixel (i, j) is judged by the window of rows i - before .. i + after of the scene, which in the padded
scene are rows i .. i + W - 1; see `dense.margins`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def sliding_logits(model: nn.Module, padded: Tensor, batch: int) -> Tensor:
    """Logits (H, Wd) of a padded, normalised scene (H + W - 1, Wd + W - 1).

    Windows are views into the scene; at most `batch` of them, of one row, are in work at once.

    Raises ValueError for a model in training mode or a scene smaller than the window.
    """
    windows = _windows(model, padded)
    rows, columns = windows.shape[:2]
    out = padded.new_empty(rows, columns)
    for row in range(rows):
        for start in range(0, columns, batch):
            stop = min(start + batch, columns)
            out[row, start:stop] = model(windows[row, start:stop].unsqueeze(1))
    return out


@torch.no_grad()
def window_logits(model: nn.Module, padded: Tensor, rows: Tensor, columns: Tensor, batch: int) -> Tensor:
    """Logits (N,) at pixels (rows[n], columns[n]), int64, of the scene inside `padded`."""
    windows = _windows(model, padded)
    parts = zip(rows.split(batch), columns.split(batch), strict=True)
    return torch.cat([model(windows[r, c].unsqueeze(1)) for r, c in parts])


def _windows(model: nn.Module, padded: Tensor) -> Tensor:
    """(H, Wd, W, W) view of all windows; a pixel's window costs no memory until it is used."""
    if model.training:
        raise ValueError("the model is in training mode: call model.eval() first")
    window = model.window
    if min(padded.shape) < window:
        raise ValueError(f"padded scene of {tuple(padded.shape)}, expected {window} or more each way")
    return padded.unfold(0, window, 1).unfold(1, window, 1)
