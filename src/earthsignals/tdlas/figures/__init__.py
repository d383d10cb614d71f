"""The figures of the TDLAS pipeline, drawn from what dataset, training and evaluation left behind.

    skipped = draw_all(file, lines, params, arrays, metrics, history, Path("figures"))

Each figure is one function of arrays that returns a matplotlib figure; `draw_all` saves them in the house
style as PNG and PDF, the same bytes for the same input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from earthsignals import figures as house
from earthsignals.tdlas.dataset import ScanFile
from earthsignals.tdlas.figures.errors import (
    coverage,
    error_histogram,
    error_vs_bound,
    predicted_vs_true,
)
from earthsignals.tdlas.figures.inputs import Arrays
from earthsignals.tdlas.figures.robustness import allan, stress
from earthsignals.tdlas.figures.spectra import scan, spectra
from earthsignals.tdlas.lines import LineList
from earthsignals.tdlas.params import TdlasParams

__all__ = [
    "NAMES", "MissingData", "allan", "coverage", "draw_all", "error_histogram", "error_vs_bound",
    "predicted_vs_true", "read_arrays", "scan", "spectra", "stress",
]  # fmt: skip

NAMES = (
    "spectra", "scan", "predicted_vs_true", "error_vs_bound", "error_histogram", "coverage", "stress",
    "allan", "training",
)  # fmt: skip


def draw_all(
    file: ScanFile, lines: LineList, params: TdlasParams, arrays: Arrays, metrics: Mapping[str, Any],
    history: Sequence[Mapping[str, float]], out: Path, sources: Path | None = None,
) -> dict[str, str]:  # fmt: skip
    """Write every figure of NAMES as `out/<name>.png` and `.pdf`.

    Args:
        file: the open dataset.
        arrays: `evaluation.h5`, by `read_arrays`.
        metrics: `metrics.json`.
        history: `training.json`, one row per epoch.

    Returns:
        Figures left out, each with the reason: stress tests and repeated scans need the simulator and
        are absent for measured scans.
    """
    draw: dict[str, Callable[[], Any]] = {
        "spectra": lambda: spectra(lines, params, file.window, file.path_cm),
        "scan": lambda: scan(file, lines, params),
        "predicted_vs_true": lambda: predicted_vs_true(arrays),
        "error_vs_bound": lambda: error_vs_bound(arrays),
        "error_histogram": lambda: error_histogram(arrays),
        "coverage": lambda: coverage(arrays),
        "stress": lambda: stress(metrics.get("stress")),
        "allan": lambda: allan(
            arrays, 1.0 / params.laser.drive_frequency_hz, params.evaluate.allan_ppm,
            params.evaluate.allan_scans,
        ),
        "training": lambda: house.training_curves(history, loss_label="loss (start + likelihood)"),
    }  # fmt: skip
    return house.draw_each(draw, out, sources)
