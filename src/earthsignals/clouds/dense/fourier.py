"""3×3 convolutions of many small windows with zeros around, as few products of matrices.

A window of n × n positions between zeros, convolved by 3 × 3 weights, is one period of a cyclic convolution
of period L = n + 1: one line of zeros serves both edges. In Fourier space that is one product for each of its
frequencies, of which a complex one costs three real products (Gauss; Knuth 1997, The Art of Computer
Programming 2, section 4.6.4). For n = 10 these are 181 products of (windows, channels) by (channels,
channels) in place of 784, for n = 5 they are 52 in place of 169. The transform is orthogonal, so that
rounding errors do not grow as they do with minimal filters of that size (Lavin & Gray 2016,
arXiv:1509.09308).

Windows are laid out as (n², B, C), position first: transforms and products are then plain matrix products
without a copy in between.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

CPU = torch.device("cpu")


class WindowConvolution:
    """A convolution with padding 1 and stride 1 of windows of n × n.

    weight (N, C, 3, 3) and bias (N,), float64 on the CPU; computes in float32 on `device`.
    """

    def __init__(self, weight: Tensor, bias: Tensor, n: int, device: torch.device = CPU) -> None:
        self.n, self.bias = n, bias.float().to(device)
        axis = _Axis(n)
        self.period, self.single = axis.period, len(axis.real)
        self.forward = [self._matrix(matrix) for matrix in axis.forward()]
        self.backward = [self._matrix(matrix) for matrix in axis.backward()]
        waves = torch.from_numpy(np.stack([product.factors() for product in axis.products()]))
        outer, inner = weight.shape[:2]
        kernel = weight.permute(2, 3, 1, 0).reshape(9, inner * outer)
        parts = [(some @ kernel).float() for some in waves.split(16)]  # a few, for the sake of memory
        self.weights = torch.cat(parts).view(-1, inner, outer).to(self.bias.device)

    def _matrix(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(self.bias.device)

    def __call__(self, x: Tensor) -> Tensor:
        """(n², B, N) of x (n², B, C) float32, contiguous."""
        batch, inner = x.shape[1:]
        rows, real, pairs = self.forward
        y = (rows @ x.view(self.n, -1)).view(self.period, self.n, batch * inner)
        z = x.new_empty(len(self.weights), batch, inner)
        into_real, into_pairs = self._parts(z)
        _multiply(real, y[: self.single], into_real)
        _multiply(pairs, y[self.single :].view(-1, 2 * self.n, batch * inner), into_pairs)
        return self._inverse(torch.bmm(z, self.weights))

    def _inverse(self, z: Tensor) -> Tensor:
        batch, outer = z.shape[1:]
        rows, real, pairs = self.backward
        y = z.new_empty(self.period, self.n, batch * outer)
        from_real, from_pairs = self._parts(z)
        _multiply(real, from_real, y[: self.single])
        _multiply(pairs, from_pairs, y[self.single :].view(-1, 2 * self.n, batch * outer))
        return (rows @ y.view(self.period, -1)).view(self.n**2, batch, outer).add_(self.bias)

    def _parts(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Products (M, B, C) of real and of complex frequencies along the rows: (…, …, B·C) each."""
        split = self.single * len(self.forward[1])
        size = z.shape[1] * z.shape[2]
        return z[:split].view(self.single, -1, size), z[split:].view(-1, len(self.forward[2]), size)


def _multiply(matrix: Tensor, values: Tensor, out: Tensor) -> None:
    """`matrix` (p, q) by each of `values` (b, q, m), into `out` (b, p, m)."""
    if len(values):
        torch.bmm(matrix.expand(len(values), -1, -1), values, out=out)


class _Axis:
    """Frequencies of one axis, and the matrices between positions and factors of the products.

    A complex number a + ib enters three products by the factors a + b, a, b; by a weight w + iv these are
    taken with w, v − w, w + v, and of the products p, q, r the result is p − r + i(p + q).
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self.period = n + 1 if n > 1 else 1  # a single position sees nothing but the middle weight
        self.real = [0, self.period // 2] if self.period % 2 == 0 else [0]
        self.pairs = list(range(1, (self.period + 1) // 2))

    def _waves(self, frequencies: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Cosine and sine (frequencies, n)."""
        phase = 2 * np.pi * np.outer(frequencies, np.arange(self.n)) / self.period
        return np.cos(phase), np.sin(phase)

    def forward(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows to frequencies (L, n); columns to factors, of real rows (p, n) and of complex (3L, 2n)."""
        (even, _), (cos, sin) = self._waves(self.real), self._waves(self.pairs)
        rows = np.concatenate([even, _interleaved(cos, -sin)])
        real = np.concatenate([even, _interleaved(cos - sin, cos, -sin)])
        cos, sin = self._waves(list(range(self.period)))
        a, b = np.concatenate([cos, sin], 1), np.concatenate([-sin, cos], 1)
        return rows, real, _interleaved(a + b, a, b)

    def backward(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The way back: (n, L), (n, p), (2n, 3L). Frequencies of pairs count twice, for their negatives."""
        (even, _), (cos, sin) = self._waves(self.real), self._waves(self.pairs)
        rows = np.concatenate([even, 2 * _interleaved(cos, -sin)]).T
        real = np.concatenate([even, 2 * _interleaved(cos - sin, -sin, -cos)]).T
        cos, sin = self._waves(list(range(self.period)))
        p = np.concatenate([cos - sin, cos + sin], 1)
        q, r = np.concatenate([-sin, cos], 1), np.concatenate([-cos, -sin], 1)
        return rows / self.period, real / self.period, _interleaved(p, q, r).T / self.period

    def products(self) -> Iterator[_Product]:
        """In the order of the factors."""
        for row in self.real:
            yield from (_Product(self.period, row, column, "w") for column in self.real)
            for column in self.pairs:
                yield from (_Product(self.period, row, column, part) for part in _Product.COMPLEX)
        for row in self.pairs:
            for column in range(self.period):
                yield from (_Product(self.period, row, column, part) for part in _Product.COMPLEX)


class _Product:
    """What one product is multiplied by: a part of the kernel's transform at a frequency."""

    COMPLEX = ("w", "v - w", "w + v")

    def __init__(self, period: int, row: int, column: int, part: str) -> None:
        taps = np.arange(-1, 2)
        if period == 1:
            self.wave = np.outer(taps == 0, taps == 0).astype(np.complex128)
        else:
            self.wave = np.exp(2j * np.pi * (row * taps[:, None] + column * taps) / period)
        self.part = part

    def factors(self) -> np.ndarray:
        """(9,) float64, of the kernel's weights, rows first."""
        real, imaginary = self.wave.real, self.wave.imag
        return {"w": real, "v - w": imaginary - real, "w + v": real + imaginary}[self.part].ravel()


def _interleaved(*parts: np.ndarray) -> np.ndarray:
    """The first rows of all parts, then their second rows, and so on."""
    return np.stack(parts, 1).reshape(-1, parts[0].shape[1])
