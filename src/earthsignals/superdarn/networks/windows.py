"""Windows of tokens: partition, reverse, padding, shift, and who may attend to whom.

Axes are always (levels, latitude, longitude). Levels and latitude end: what a shift wraps around them, and
tokens that only fill up the last window, are kept apart by a mask. A cyclic longitude has no end: a shift is
a true rotation, the last window is filled up with the first columns (which are its neighbours), and nothing
is masked. A raster that is not cyclic is masked in longitude as in the other two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Windows:
    """How a box of tokens falls into windows; see `windows_of`."""

    size: Triple
    window: Triple
    shift: Triple
    cyclic: bool

    @property
    def counts(self) -> Triple:
        """Windows along each axis."""
        return tuple(math.ceil(n / w) for n, w in zip(self.size, self.window, strict=True))

    @property
    def padded(self) -> Triple:
        """Tokens along each axis, filled up to whole windows."""
        return tuple(n * w for n, w in zip(self.counts, self.window, strict=True))

    @property
    def types(self) -> int:
        """Windows that differ in level or latitude; those of a type differ in longitude alone."""
        return self.counts[0] * self.counts[1]

    @property
    def tokens(self) -> int:
        """Tokens in a window."""
        return math.prod(self.window)

    @property
    def circle(self) -> bool:
        """Does each window go all the way round a cyclic longitude?"""
        return self.cyclic and self.window[2] == self.size[2]

    def partition(self, x: Tensor) -> Tensor:
        """x (B, levels, latitude, longitude, E) to (B, windows in longitude, types, tokens, E)."""
        (levels, rows, columns), padded = self.size, self.padded
        if self.cyclic:
            if self.shift[2]:
                x = x.roll(-self.shift[2], 3)
            if padded[2] > columns:
                x = torch.cat([x, x[:, :, :, : padded[2] - columns]], 3)
        if padded[:2] != (levels, rows) or (padded[2] != columns and not self.cyclic):
            beyond = 0 if self.cyclic else padded[2] - columns
            x = pad(x, (0, 0, 0, beyond, 0, padded[1] - rows, 0, padded[0] - levels))
        return self._split(self._rolled(x, -1))

    def reverse(self, x: Tensor) -> Tensor:
        """What `partition` was given, from what it gave."""
        (levels, rows, columns), (c_z, c_y, c_x), (w_z, w_y, w_x) = self.size, self.counts, self.window
        x = x.reshape(x.shape[0], c_x, c_z, c_y, w_z, w_y, w_x, x.shape[-1])
        x = x.permute(0, 2, 4, 3, 5, 1, 6, 7).reshape(x.shape[0], *self.padded, x.shape[-1])
        x = self._rolled(x, 1)[:, :levels, :rows, :columns]
        return x.roll(self.shift[2], 3) if self.cyclic and self.shift[2] else x

    def allowed(self) -> Tensor | None:
        """Which token attends to which: bool (windows in longitude, types, tokens, tokens) by query and key.

        One entry along the first axis where all windows in longitude agree; None where all may.
        """
        # On the CPU whatever the default device: a network may be built as shapes alone.
        labels = torch.zeros(self.padded, dtype=torch.int64, device="cpu")
        for axis, (length, shift) in enumerate(zip(self.size, self.shift, strict=True)):
            if axis == 2 and self.cyclic:
                continue
            places = torch.arange(self.padded[axis], device="cpu")
            filling = (places >= length).roll(-shift)
            wrapped = places >= self.padded[axis] - shift
            view = [-1 if other == axis else 1 for other in range(3)]
            labels = 4 * labels + (filling + 2 * wrapped).view(view)
        labels = self._split(labels[None, ..., None])[0, ..., 0]
        same = labels[..., :, None] == labels[..., None, :]
        if same.all():
            return None
        return same[:1] if (same == same[:1]).all() else same

    def _rolled(self, x: Tensor, sign: int) -> Tensor:
        """x shifted along the axes that end."""
        axes = [axis for axis in range(2 if self.cyclic else 3) if self.shift[axis]]
        return x.roll([sign * self.shift[axis] for axis in axes], [1 + axis for axis in axes]) if axes else x

    def _split(self, x: Tensor) -> Tensor:
        (c_z, c_y, c_x), (w_z, w_y, w_x) = self.counts, self.window
        x = x.reshape(x.shape[0], c_z, w_z, c_y, w_y, c_x, w_x, x.shape[-1])
        x = x.permute(0, 5, 1, 3, 2, 4, 6, 7)
        return x.reshape(x.shape[0], c_x, c_z * c_y, self.tokens, x.shape[-1])


def windows_of(size: Triple, window: Triple, *, shifted: bool, cyclic: bool) -> Windows:
    """Windows over a box of `size` tokens, each axis no larger than the box.

    shifted: by half a window along every axis that has more than one (Liu et al. 2021, arXiv:2103.14030,
    section 3.2).
    """
    fitting = tuple(min(n, w) for n, w in zip(size, window, strict=True))
    shift = tuple(w // 2 if shifted and n > w else 0 for n, w in zip(size, fitting, strict=True))
    return Windows(tuple(size), fitting, shift, cyclic)
