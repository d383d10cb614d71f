"""Evaluation as rows: what `dvc plots` draws and what people read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

COLUMNS = ("method", "kg_h", "probability", "low", "high")


def detection_rows(arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Probability of detection over the emission rate, with interval: one row per method and rate.

    arrays: of `evaluate`. No row where the true rates are not known.
    """
    rows = []
    for name in sorted(arrays):
        if name.startswith("plumes/") and name.endswith("/curve"):
            points = zip(arrays["plumes/grid_kg_h"], *arrays[name], strict=True)
            rows += [dict(zip(COLUMNS, (name.split("/")[1], *point), strict=True)) for point in points]
    return rows
