"""The figures of the superdarn pipeline, drawn from forecasts, judgements and records.

    skipped = draw_all(inputs, Path("figures"))

Each figure is one function of `Inputs` that returns a matplotlib figure; `draw_all` saves them in the house
style as PNG and PDF, and a forecast as an animated GIF, the same bytes for the same input.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.results import MissingData
from earthsignals.superdarn.figures.animation import write_animation
from earthsignals.superdarn.figures.coverage import coverage
from earthsignals.superdarn.figures.inputs import Example, Inputs, Seen, Weights
from earthsignals.superdarn.figures.maps import convection, examples, forecast
from earthsignals.superdarn.figures.regions import regions
from earthsignals.superdarn.figures.skill import quiet_and_storm, skill
from earthsignals.superdarn.figures.start import start

__all__ = ["ANIMATION", "FIGURES", "Example", "Inputs", "MissingData", "Seen", "Weights", "draw_all"]


def training(inputs: Inputs) -> Figure:
    """Loss over the epochs of the training."""
    if not inputs.history:
        raise MissingData("there is no history of the training")
    return house.training_curves(inputs.history, loss_label="loss along the line of sight")


FIGURES: dict[str, Callable[[Inputs], Figure]] = {
    "forecast": forecast,
    "examples": examples,
    "convection": convection,
    "skill": skill,
    "regions": regions,
    "quiet_and_storm": quiet_and_storm,
    "coverage": coverage,
    "start": start,
    "training": training,
}
"""Figures by the name of their files."""
ANIMATION = "forecast.gif"


def draw_all(inputs: Inputs, out: Path, sources: Path | None = None) -> dict[str, str]:
    """Write every figure as `out/<name>.png` and `.pdf`, and the animation `out/forecast.gif`.

    Returns:
        Figures left out, each with the reason: no truth of real days, no forecasts kept, and the like.
    """
    out = Path(out)
    skipped = house.draw_each(
        {name: lambda figure=figure: figure(inputs) for name, figure in FIGURES.items()}, out, sources
    )
    try:
        write_animation(inputs, out / ANIMATION)
    except MissingData as reason:
        skipped[ANIMATION] = str(reason)
    return skipped
