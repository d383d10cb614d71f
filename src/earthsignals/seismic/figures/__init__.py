"""The figures of the seismic pipeline, drawn from what training and evaluation left behind.

    skipped = draw_all(arrays, metrics, histories, Path("figures"))

Each figure is one function of arrays that returns a matplotlib figure; `draw_all` saves them in the house
style as PNG and PDF, the same bytes for the same input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.results import MissingData, read_arrays
from earthsignals.seismic.figures.curves import errors, rate_distortion
from earthsignals.seismic.figures.denoising import denoising, denoising_examples
from earthsignals.seismic.figures.detection import detection, floor
from earthsignals.seismic.figures.embedding import embedding
from earthsignals.seismic.figures.gallery import worst
from earthsignals.seismic.figures.inputs import Arrays
from earthsignals.seismic.figures.reconstructions import reconstructions, sizes

__all__ = [
    "FIGURES", "NAMES", "MissingData", "denoising", "denoising_examples", "detection", "draw_all",
    "embedding", "errors", "floor", "rate_distortion", "read_arrays", "reconstructions", "sizes", "worst",
]  # fmt: skip

FIGURES: dict[str, Callable[[Arrays], Figure]] = {
    "reconstructions": reconstructions,
    "sizes": sizes,
    "rate_distortion": rate_distortion,
    "errors": errors,
    "denoising": denoising,
    "denoising_examples": denoising_examples,
    "detection": detection,
    "floor": floor,
    "embedding": embedding,
    "worst": worst,
}
"""Figures of the evaluation's arrays, by the name of their files."""

LOSSES = {
    "bottleneck": "MSE over latent sizes",
    "denoiser": "loss of the denoiser",
    "seed": "MSE, per-component scaling",
}
"""Trainings, and what their loss is."""

NAMES = (*FIGURES, *(f"training_{name}" for name in LOSSES))


def draw_all(
    arrays: Arrays,
    metrics: Mapping[str, Any],
    histories: Mapping[str, Sequence[Mapping[str, float]]],
    out: Path,
    sources: Path | None = None,
) -> dict[str, str]:
    """Write every figure of NAMES as `out/<name>.png` and `.pdf`.

    Args:
        arrays: `evaluation.h5`, by `read_arrays`.
        metrics: `metrics.json`; figures take their numbers from the arrays, so that nothing is drawn twice.
        histories: `training_<name>.json` by name of LOSSES, one row per epoch.

    Returns:
        Figures left out, each with the reason: no noise records, no detection; and the like.
    """
    draw: dict[str, Callable[[], Figure]] = {
        name: lambda figure=figure: figure(arrays) for name, figure in FIGURES.items()
    }
    for name, label in LOSSES.items():
        draw[f"training_{name}"] = lambda name=name, label=label: _training(
            histories.get(name, ()), name, label
        )
    return house.draw_each(draw, out, sources)


def _training(history: Sequence[Mapping[str, float]], name: str, label: str) -> Figure:
    if not history:
        raise MissingData(f"there is no history of the training of `{name}`")
    return house.training_curves(history, loss_label=label)
