"""Metrics as rows: what `dvc plots` draws and what people read."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from earthsignals.storage import atomic_path

COLUMNS = (
    "method", "decade", "scans", "rmse_over_crlb", "rmse_over_crlb_low", "rmse_over_crlb_high",
    "mae_ppm", "rmse_ppm", "bias_ppm", "relative_error",
)  # fmt: skip


def error_rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per method and decade from `metrics["scores"]`."""
    return [
        {"method": method, "decade": decade, **{c: score[c] for c in COLUMNS[2:]}}
        for method, decades in metrics["scores"].items()
        for decade, score in decades.items()
    ]


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows as CSV, atomically, numbers to six digits."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as stream:
        table = csv.DictWriter(stream, COLUMNS)
        table.writeheader()
        for row in rows:
            table.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
