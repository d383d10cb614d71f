"""The networks: `FilterNet`, a strided 1D-CNN polished by conditioned filters, and the course's CNN.

FilterNet estimates u = (c/s) asinh(x/c), the mole fraction in units of its error bound, in two moves:

1. start: a linear path over matched-filter scores, with T and P, plus a strided 1D-CNN for what is not
   linear. It says where on the curve of growth the scan lies, to a few units of u.
2. polish: near the start the best estimate is linear in the scores with coefficients that depend
   smoothly on (T, P, u): u <- sum_kr phi_k(T, P, u) C_kr z_r, repeated `polish_steps` times, the same
   move as a Gauss-Newton step of a least-squares fit. C is solved, not descended to (see `polish.py`).

A last linear layer over phi predicts ln of the standard error of u. Scores and polish run in float64
(float32 on MPS, which has no float64): a mole fraction of 5 % is 6,000 units of u.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

FLOOR = 1e-5  # signal below which the logarithm is cut, in mid-scan power
Z68, Z95 = 0.994457883, 1.959963985  # normal quantiles of central 68 % and 95 % intervals


class FilterNet(nn.Module):
    """Mole fraction with its interval from traces (B, M), T (B,) [K] and P (B,) [atm]."""

    def __init__(
        self, samples: int, filters: int, exponents: list[list[int]], gas_exponents: list[list[int]],
        *, channels: int, hidden: int, dropout: float, polish_steps: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.polish_steps = polish_steps
        self.shape = {"channels": channels, "hidden": hidden, "dropout": dropout}
        double = torch.float64
        buffers = {
            "mean_log": torch.zeros(samples, dtype=double),
            "log_scale": torch.ones((), dtype=double),
            "filters": torch.zeros(filters, samples, dtype=double),
            "score_scale": torch.ones(filters, dtype=double),
            "state_centre": torch.zeros(3, dtype=double),
            "state_half": torch.ones(3, dtype=double),
            "knee": torch.ones((), dtype=double),
            "unit": torch.ones((), dtype=double),
            "start": torch.zeros(len(gas_exponents), filters + 1, dtype=double),
            "polish": torch.zeros(len(exponents), filters + 1, dtype=double),
            "interval": torch.tensor([Z68, Z95], dtype=double),
            "exponents": torch.tensor(exponents),
            "gas_exponents": torch.tensor(gas_exponents),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value)
        self.degrees = [max(row[axis] for row in exponents + gas_exponents) for axis in range(3)]
        self.cnn = _CNN(samples, channels, hidden, dropout)
        self.log_error = nn.Linear(len(exponents), 1)
        nn.init.zeros_(self.log_error.weight)
        nn.init.zeros_(self.log_error.bias)

    def stabilised(self, signal: Tensor, t: Tensor, p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(start, estimate, ln standard error) of u, each (B,), from signals (B, M)."""
        work = torch.float32 if signal.device.type == "mps" else torch.float64
        y = torch.log(torch.clamp(signal.to(work), min=FLOOR)) - self.mean_log.to(work)
        scores = y @ self.filters.to(work).T / self.score_scale.to(work)
        scores = torch.cat([torch.ones_like(scores[:, :1]), scores], dim=1)
        gas = [(v.to(work) - self.state_centre[i]) / self.state_half[i] for i, v in enumerate((t, p))]

        linear = self._conditioned(gas, torch.zeros_like(gas[0]), self.gas_exponents, self.start)
        shape = (y / self.log_scale.to(work)).to(torch.float32)
        state = torch.stack(gas, dim=1).to(torch.float32)
        rest = self.cnn(torch.cat([shape, state], dim=1))[:, 0].to(work)
        start = (linear * scores).sum(1) + rest * self.state_half[2].to(work)

        u = start.detach()
        for _ in range(self.polish_steps):
            u = (self._conditioned(gas, u, self.exponents, self.polish) * scores).sum(1)
        log_error = self.log_error(self._basis(gas, u, self.exponents).to(torch.float32))[:, 0]
        return start, u, log_error.to(work)

    def forward(self, signal: Tensor, t: Tensor, p: Tensor) -> tuple[Tensor, ...]:
        """ppm, its standard error, and 68 % and 95 % limits: six tensors (B,), float64."""
        _, u, log_error = self.stabilised(signal, t, p)
        error = torch.exp(log_error)
        ppm = self.to_ppm(u)
        slope = torch.sqrt(1.0 + (ppm / self.knee) ** 2) * self.unit  # dppm/du
        limits = [
            self.to_ppm(u + sign * self.interval[level] * error)
            for level in (0, 1)
            for sign in (-1.0, 1.0)
        ]
        return ppm, slope * error, *limits

    def to_ppm(self, u: Tensor) -> Tensor:
        """c sinh(u s/c), written with exponentials (ONNX Runtime has no float64 sinh)."""
        a = u * self.unit / self.knee
        return self.knee * 0.5 * (torch.exp(a) - torch.exp(-a))

    def to_u(self, ppm: Tensor) -> Tensor:
        """Inverse of `to_ppm`."""
        return self.knee / self.unit * torch.asinh(ppm / self.knee)

    def _conditioned(self, gas: list[Tensor], u: Tensor, degrees: Tensor, table: Tensor) -> Tensor:
        """Linear coefficients (B, R + 1) of the scores at a gas state and u."""
        return self._basis(gas, u, degrees) @ table.to(u.dtype)

    def _basis(self, gas: list[Tensor], u: Tensor, degrees: Tensor) -> Tensor:
        """Chebyshev products phi (B, K); the same as `filters.basis`."""
        scaled = [*gas, torch.clamp((u - self.state_centre[2]) / self.state_half[2], -1.1, 1.1)]
        columns = [
            _chebyshev(value, self.degrees[axis])[:, degrees[:, axis]]
            for axis, value in enumerate(scaled)
        ]
        return columns[0] * columns[1] * columns[2]


def _chebyshev(x: Tensor, degree: int) -> Tensor:
    """T_0 .. T_degree at x (B,), shape (B, degree + 1)."""
    rows = [torch.ones_like(x), x]
    for _ in range(degree - 1):
        rows.append(2.0 * x * rows[-1] - rows[-2])
    return torch.stack(rows[: degree + 1], dim=1)


class _CNN(nn.Module):
    """Strided convolutions over the trace, then dense layers that also see T and P."""

    def __init__(self, samples: int, channels: int, hidden: int, dropout: float) -> None:
        super().__init__()
        c = channels
        # Strides shrink the trace by 8, 4 and 4; short traces shrink less.
        strides = [s for s, least in ((8, 64), (4, 256), (4, 512)) if samples >= least] or [1]
        layers: list[nn.Module] = []
        width = 1
        for stride in strides:
            layers += [nn.Conv1d(width, c, 2 * stride, stride), nn.GELU()]
            width, c = c, 2 * c
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        with torch.no_grad():
            flat = self.convolutions(torch.zeros(1, 1, samples)).shape[1]
        self.dense = nn.Sequential(
            nn.Linear(flat + 2, hidden), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, 1),
        )  # fmt: skip
        # The network starts as the linear solution: what the CNN adds is zero at first.
        nn.init.zeros_(self.dense[-1].weight)
        nn.init.zeros_(self.dense[-1].bias)

    def forward(self, shape_and_state: Tensor) -> Tensor:
        shape, state = shape_and_state[:, :-2], shape_and_state[:, -2:]
        return self.dense(torch.cat([self.convolutions(shape[:, None]), state], dim=1))


class CourseNet(nn.Module):
    """The course's network: trace, T and P as three channels, two convolutions, one dense layer.

    Conv 3 -> 32 -> 64 with kernel 5 and no pooling, dropout, dense 128, one output. Inputs are
    standardised by the training scans; the output is the mole fraction in ppm, or u if it was trained
    so. With 3,000 points it has the 24.6 M parameters of the original.
    """

    def __init__(self, samples: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("channel_centre", torch.zeros(3))
        self.register_buffer("channel_scale", torch.ones(3))
        self.features = nn.Sequential(
            nn.Conv1d(3, 32, 5, padding=2), nn.ReLU(), nn.Conv1d(32, 64, 5, padding=2), nn.ReLU(),
            nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Sequential(
            nn.Linear(64 * samples, 128), nn.ReLU(), nn.Dropout(dropout), nn.Linear(128, 1)
        )

    def forward(self, trace: Tensor, t: Tensor, p: Tensor) -> Tensor:
        """Output (B,) for traces (B, M), T (B,) and P (B,)."""
        constants = torch.stack([t, p], dim=1)[:, :, None].expand(-1, -1, trace.shape[1])
        channels = torch.cat([trace[:, None], constants], dim=1)
        channels = (channels - self.channel_centre[:, None]) / self.channel_scale[:, None]
        return self.head(self.features(channels))[:, 0]
