"""Sharpness-aware minimisation: the gradient at the worst point nearby instead of that at hand.

Foret, Kleiner, Mobahi & Neyshabur 2021 (arXiv:2010.01412), eq. 2: with the gradient g of the loss at the
weights w, the optimiser gets the gradient at w + rho g / |g|, |g| the norm over all weights together.
Minima that are wide in this sense tend to carry over to unseen data.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class RandomState:
    """The state of torch's generators on the CPU and on one device, to draw the same numbers again."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.cpu = device, torch.get_rng_state()
        self.cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def restore(self) -> None:
        """Draw from here again what was drawn since."""
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda, self.device)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """What a resume point needs."""
        return {"cpu": self.cpu} | ({} if self.cuda is None else {"cuda": self.cuda})

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Take what `state_dict` gave; a generator that the other device did not have stays as it is."""
        self.cpu = state["cpu"]
        if self.cuda is not None:
            self.cuda = state.get("cuda", self.cuda)


@contextmanager
def climbed(model: nn.Module, rho: float) -> Iterator[bool]:
    """Inside the block the weights are rho further up their gradient, and the gradient is cleared.

    Afterwards the weights are the old ones to the last bit, the gradient is what the block left, and
    buffers have not moved: batch normalisation counts a batch once. Yields False, with all as it was,
    where the gradient is zero or not finite (an overflow in half precision: the step is then skipped).
    A loss scale on the gradient cancels out.
    """
    moving = [p for p in model.parameters() if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(p.grad) for p in moving]))
    if not (torch.isfinite(norm) and norm > 0):
        yield False
        return
    buffers = [(b, b.clone()) for b in model.buffers()]
    before = [p.detach().clone() for p in moving]
    with torch.no_grad():
        for p in moving:
            p.add_(p.grad * (rho / norm))
            p.grad = None
    try:
        yield True
    finally:
        with torch.no_grad():
            for p, weights in zip(moving, before, strict=True):
                p.copy_(weights)
            for buffer, kept in buffers:
                buffer.copy_(kept)


def share_gradients(model: nn.Module, ranks: int) -> None:
    """Mean of the gradients over all ranks, for a backward pass that DDP did not see."""
    if ranks == 1:
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    together = torch.cat([gradient.flatten() for gradient in gradients])
    torch.distributed.all_reduce(together)
    together /= ranks
    for gradient, part in zip(gradients, together.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
