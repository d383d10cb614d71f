"""Metrics as rows: what `dvc plots` draws and what people read."""

from __future__ import annotations

from typing import Any

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
