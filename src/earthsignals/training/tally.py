"""What the loss said in an epoch, batch by batch, and its mean over all items of all ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class Tally:
    """Values of an epoch's batches so far; `weights` says how many items each batch counts for."""

    def __init__(self, weights: Sequence[int]) -> None:
        self._weights = list(weights)
        self._seen: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, values: Mapping[str, Any]) -> None:
        """Take in one batch's means. They stay on their device: reading one now would wait for it."""
        self._seen.append({k: v.detach() if isinstance(v, Tensor) else v for k, v in values.items()})

    def columns(self) -> dict[str, Tensor]:
        """Each metric's values in order, float32 on the CPU, shape (batches,)."""
        return {
            key: torch.stack([torch.as_tensor(values[key]).float() for values in self._seen]).cpu()
            for key in sorted(self._seen[0])
        }

    def means(self, ranks: int, device: torch.device) -> dict[str, float]:
        """Mean of each metric over all items of all ranks."""
        columns = self.columns()
        weights = torch.tensor(self._weights[: len(self._seen)], dtype=torch.float64)
        # A batch that counts for nothing must not spoil the sum with a NaN of its own.
        sums = [(column.double() * weights)[weights > 0].sum() for column in columns.values()]
        total = torch.stack([*sums, weights.sum()])
        if ranks > 1:
            total = total.to(device)
            torch.distributed.all_reduce(total)
            total = total.cpu()
        return dict(zip(columns, (total[:-1] / total[-1]).tolist(), strict=True))

    def state(self) -> dict[str, Any]:
        """What a resume point in the middle of an epoch needs."""
        return {"columns": self.columns(), "weights": self._weights[: len(self._seen)]}

    @classmethod
    def go_on(cls, state: Mapping[str, Any], weights: Sequence[int]) -> Tally:
        """Go on from what `state` gave; `weights` are those of the batches still to come."""
        tally = cls([*state["weights"], *weights])
        columns = state["columns"]
        tally._seen = [
            {key: column[number] for key, column in columns.items()}
            for number in range(len(state["weights"]))
        ]
        return tally


def shared_out(states: Sequence[Mapping[str, Any]], rank: int, ranks: int) -> Mapping[str, Any]:
    """The state with which a rank goes on: its own, or, where their number has changed, a share of all.

    The first rank then carries everything and the others what counts for nothing.
    """
    if len(states) == ranks:
        return states[rank]
    weights = [weight for state in states for weight in state["weights"]]
    columns = {
        key: torch.cat([state["columns"][key] for state in states]) for key in states[0]["columns"]
    }
    return {"columns": columns, "weights": weights if rank == 0 else [0] * len(weights)}
