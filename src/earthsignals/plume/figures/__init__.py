"""The figures of the plume pipeline, drawn from what scenes, training and evaluation left behind.

    skipped = draw_all(arrays, metrics, history, index, Path("figures"))

Each figure is one function of arrays that returns a matplotlib figure; `draw_all` saves them in the house
style as PNG and PDF, the same bytes for the same input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from earthsignals import figures as house
from earthsignals.plume.figures.background import background
from earthsignals.plume.figures.curves import curves, reliability
from earthsignals.plume.figures.detection import detection, rates
from earthsignals.plume.figures.flightline import chip, flightline
from earthsignals.plume.figures.inputs import Arrays
from earthsignals.plume.figures.tiles import tiles
from earthsignals.plume.imagery.index import SceneIndex
from earthsignals.results import MissingData

__all__ = [
    "NAMES", "MissingData", "background", "chip", "curves", "detection", "draw_all", "flightline", "rates",
    "read_arrays", "reliability", "tiles",
]  # fmt: skip

NAMES = (
    "flightline", "curves", "reliability", "tiles", "detection", "rates", "background", "training",
)  # fmt: skip


def draw_all(
    arrays: Arrays, metrics: Mapping[str, Any], history: Sequence[Mapping[str, float]], index: SceneIndex,
    out: Path, sources: Path | None = None,
) -> dict[str, str]:  # fmt: skip
    """Write every figure of NAMES as `out/<name>.png` and `.pdf`.

    Args:
        arrays: `evaluation.h5`, by `read_arrays`.
        metrics: `metrics.json`.
        history: `training.json`, one row per epoch.
        index: the scenes, for the check of their background.

    Returns:
        Figures left out, each with the reason: tiles from a manifest have no flightlines, real flightlines
        no rates.
    """
    draw: dict[str, Callable[[], Any]] = {
        "flightline": lambda: flightline(arrays),
        "curves": lambda: curves(arrays),
        "reliability": lambda: reliability(arrays, metrics["tiles"].get("expected_calibration_error")),
        "tiles": lambda: tiles(arrays),
        "detection": lambda: detection(arrays),
        "rates": lambda: rates(arrays),
        "background": lambda: _background(index),
        "training": lambda: house.training_curves(history, loss_label="cross-entropy"),
    }
    return house.draw_each(draw, out, sources)


def _background(index: SceneIndex) -> Any:
    if index.source != "synthetic" or not index.scenes:
        raise MissingData("it compares synthetic flightlines with real ones (plume.source: synthetic)")
    return background(index)
