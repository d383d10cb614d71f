"""docs/scale.md holds the table of reports/benchmarks/scale.json, and the table is its slopes times items."""

from __future__ import annotations

import json
from pathlib import Path

from earthsignals.publication.sections.scale import scale_table

ROOT = Path(__file__).resolve().parents[2]


def test_the_table_is_a_line_through_two_measurements() -> None:
    row = {
        "name": "scans", "unit": "scans", "items": 100_000_000, "measured": [{"items": 10}, {"items": 1000}],
        "seconds_per_item": 72e-6, "seconds_fixed": 2.0, "memory_bytes_per_item": 2000.0,
        "memory_bytes_fixed": 3e8, "disk_bytes_per_item": 2025.0,
    }  # fmt: skip
    text = scale_table({"rows": [row], "cores": 2, "price_per_hour_usd": 2.0, "machine": {}})
    # 7,200 s are two hours on one core and one on two: 2 USD. 200 GB and 0.3 of the process itself.
    assert "| scans | 100,000,000 scans | 72.0 µs | 2.00 hours | 2.00 | 200 GB | 202 GB |" in text
    assert "the larger of 1,000 scans" in text and "2 such cores" in text


def test_the_document_holds_the_measured_table() -> None:
    figures = json.loads((ROOT / "reports/benchmarks/scale.json").read_text())
    expected = f"<!-- scale:table -->\n\n{scale_table(figures)}\n\n<!-- /scale:table -->"
    assert expected in (ROOT / "docs/scale.md").read_text(encoding="utf-8"), (
        "docs/scale.md is stale: run `python benchmarks/scale.py --report reports/benchmarks/scale.json "
        "--docs docs/scale.md`"
    )
