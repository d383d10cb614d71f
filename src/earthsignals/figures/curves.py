"""Curves that all pipelines draw alike: a training's losses and learning rate over its epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from earthsignals.figures.house import COLOURS, columns
from earthsignals.storage import EarthSignalsError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def training_curves(history: Sequence[Mapping[str, float]], *, loss_label: str = "loss") -> Figure:
    """Draw training and validation loss over epochs, the best epoch, and the learning rate.

    Args:
        history: ``FitResult.history``.
        loss_label: name and unit of the loss, for the axis.

    Raises:
        EarthSignalsError: the history is empty.
    """
    if not history:
        raise EarthSignalsError("no training curves can be drawn: the history has no epochs")
    figure, (left, right) = columns(2)
    # Counted from 1, as people do; the history counts from 0.
    epochs = [row["epoch"] + 1 for row in history]
    for name in ("train", "validation"):
        left.plot(epochs, [row[f"{name}_loss"] for row in history], label=name)
    best = min(history, key=lambda row: row["validation_loss"])
    left.plot(
        best["epoch"] + 1, best["validation_loss"], "o", color=COLOURS["vermillion"],
        label=f"best (epoch {best['epoch'] + 1:.0f})",
    )  # fmt: skip
    losses = [row[f"{name}_loss"] for row in history for name in ("train", "validation")]
    if min(losses) > 0 and max(losses) > 3 * min(losses):  # within less, a logarithm has no ticks
        left.set_yscale("log")
    left.set(xlabel="epoch", ylabel=loss_label)
    left.legend()
    right.plot(epochs, [row["learning_rate"] for row in history])
    right.set(xlabel="epoch", ylabel="learning rate at the epoch's end", yscale="log")
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure
