"""Attention within 3-D windows, with the earth-specific position bias of Pangu-Weather.

Bi et al. 2023 (Nature 619, 533), "Earth-specific positional bias": the score of a query and a key gets a
learnt number that depends on both their levels, both their latitudes and the *difference* of their
longitudes, and is another in each window of level and latitude. Windows that differ in longitude alone share
it: the table has (2 w_lon - 1) w_lev² w_lat² entries per such window and head, and is read by index, so that
the bias of every pair, several times as large, exists only during a step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from earthsignals.superdarn.networks.windows import Windows


class EarthAttention3D(nn.Module):
    """Multi-head attention on what `windows.partition` gives; the same shape comes out.

    dim: E, a multiple of heads. explicit: None takes the explicit formula where a gradient is wanted on the
    CPU, where it is faster with a learnable bias, and torch's fused one elsewhere; True and False force them.
    """

    def __init__(self, dim: int, heads: int, windows: Windows, *, explicit: bool | None = None) -> None:
        super().__init__()
        self.heads, self.windows, self.explicit = heads, windows, explicit
        self.scale = (dim // heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        index = bias_index(windows)
        w_z, w_y, w_x = windows.window
        self.table = nn.Parameter(torch.empty((2 * w_x - 1) * (w_z * w_y) ** 2, windows.types * heads))
        nn.init.trunc_normal_(self.table, std=0.02)
        # Functions of the sizes alone: they belong in no checkpoint.
        self.register_buffer("index", index.flatten(), persistent=False)
        self.register_buffer("allowed", windows.allowed(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, across, types, tokens, dim = x.shape
        bias = self.bias()
        # The bias is shared by windows across; a mask that differs between them cannot be.
        lead = (batch * across, types * self.heads) if len(bias) == 1 else (batch, -1)
        qkv = self.qkv(x).view(batch, across, types, tokens, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(4, 0, 1, 2, 5, 3, 6).reshape(3, *lead, tokens, dim // self.heads).unbind(0)
        bias = bias.reshape(1, -1, tokens, tokens)
        explicit = self.explicit
        if explicit is None:
            explicit = torch.is_grad_enabled() and x.device.type == "cpu"
        attend = attention if explicit else scaled_dot_product_attention
        y = attend(q, k, v, attn_mask=bias.to(q.dtype), scale=self.scale)
        y = y.reshape(batch, across, types, self.heads, tokens, dim // self.heads)
        return self.out(y.transpose(3, 4).reshape(x.shape))

    def bias(self) -> Tensor:
        """The expanded bias (windows in longitude or 1, types, heads, tokens, tokens); -inf where masked."""
        tokens = self.windows.tokens
        bias = self.table.index_select(0, self.index).T
        bias = bias.reshape(1, self.windows.types, self.heads, tokens, tokens)
        return bias if self.allowed is None else bias.masked_fill(~self.allowed[:, :, None], float("-inf"))


def attention(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor, scale: float) -> Tensor:
    """softmax(scale q kᵀ + attn_mask) v, for q, k, v (..., tokens, d): Vaswani et al. 2017, eq. 1."""
    scores = (q * scale) @ k.transpose(-2, -1)
    return torch.softmax(scores.add_(attn_mask), -1).to(v.dtype) @ v


def bias_index(windows: Windows) -> Tensor:
    """The table's row for each query and key of a window: int64 (tokens, tokens).

    Rows run over the query's and the key's level, the query's and the key's latitude, and the difference of
    longitudes, which is taken round the circle where a window goes round it.
    """
    w_z, w_y, w_x = windows.window
    z, y, x = (
        places.flatten()
        for places in torch.meshgrid(*(torch.arange(n, device="cpu") for n in windows.window), indexing="ij")
    )
    apart = x[:, None] - x[None]
    apart = apart % w_x if windows.circle else apart + w_x - 1
    levels = z[:, None] * w_z + z[None]
    latitudes = y[:, None] * w_y + y[None]
    return (levels * w_y**2 + latitudes) * (2 * w_x - 1) + apart
