"""The loss: squared errors along each observation's line of sight, every lead weighing alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from earthsignals.superdarn.model import along_sight, carried

if TYPE_CHECKING:
    from earthsignals.superdarn.model import Forecaster


class SightLoss:
    """Mean of w (v − u·k)² over the vectors observed at all leads; w is 1 / MSE of damped persistence.

    So 1 is what damped persistence scores on the training block, and 1 − loss is about the skill over it.
    """

    def __call__(self, model: Forecaster, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """batch: as `samples.Samples.batch` makes it."""
        history, mlt_zero, roll, lead, cell, north, east, velocity, present, own = batch
        forecast, start = model(history, mlt_zero, roll)
        weight = model.lead_weight[lead] * present
        aim = velocity - carried(model, lead, own)
        count = present.sum().clamp_min(1)

        def error(drift: Tensor) -> Tensor:
            seen = along_sight(drift, lead, cell, north, east)
            return (weight * (aim - seen).square()).sum()

        # Over the number of vectors, not the sum of weights: the weights are what makes the mean 1.
        return {"loss": error(forecast) / count, "start_loss": error(start).detach() / count}
