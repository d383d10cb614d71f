"""The figures of the clouds pipeline, drawn from tiles, embeddings, maps and judgements.

    skipped = draw_all(inputs, Path("figures"))

Each figure is one function of `Inputs` that returns a matplotlib figure; `draw_all` saves them in the house
style as PNG and PDF, the same bytes for the same input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.clouds.figures.dendrogram import dendrogram
from earthsignals.clouds.figures.grid import grid
from earthsignals.clouds.figures.inputs import Inputs, SceneMap
from earthsignals.clouds.figures.judged import confusion, invariance, regression, retrieval
from earthsignals.clouds.figures.maps import components, distance, rgb
from earthsignals.clouds.figures.methods import methods
from earthsignals.clouds.figures.neighbours import neighbours
from earthsignals.clouds.figures.scatter import scatter
from earthsignals.clouds.figures.trajectory import trajectory
from earthsignals.clouds.figures.triplets import augmentation, triplets
from earthsignals.results import MissingData

__all__ = ["FIGURES", "Inputs", "MissingData", "SceneMap", "draw_all"]

FIGURES: dict[str, Callable[[Inputs], Figure]] = {
    "dendrogram": dendrogram,
    "scatter": scatter,
    "grid": grid,
    "rgb": rgb,
    "components": components,
    "distance": distance,
    "neighbours": neighbours,
    "trajectory": trajectory,
    "methods": methods,
    "confusion": confusion,
    "regression": regression,
    "invariance": invariance,
    "retrieval": retrieval,
    "triplets": triplets,
    "augmentation": augmentation,
}
"""Figures by the name of their files, besides a `training_<name>` for each history."""


def draw_all(inputs: Inputs, out: Path, sources: Path | None = None) -> dict[str, str]:
    """Write every figure as `out/<name>.png` and `.pdf`.

    Returns:
        Figures left out, each with the reason: no regimes known, no series, and the like.
    """
    draw: dict[str, Callable[[], Figure]] = {
        name: lambda figure=figure: figure(inputs) for name, figure in FIGURES.items()
    }
    for name, history in (inputs.histories or {"model": ()}).items():
        draw[f"training_{name}"] = lambda name=name, history=history: _training(history, name)
    return house.draw_each(draw, out, sources)


def _training(history: Sequence[Mapping[str, float]], name: str) -> Figure:
    if not history:
        raise MissingData(f"there is no history of the training of `{name}`")
    return house.training_curves(history, loss_label="loss")
