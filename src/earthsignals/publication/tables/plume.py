"""Tables of the plume pipeline: detection by tile and plume, the dense map beside the sliding window."""

from __future__ import annotations

from earthsignals.publication.numbers import Results, formatted
from earthsignals.publication.sections.plume import METHODS
from earthsignals.publication.tables.model import DASH, Cell, Table, label, number

FILE = "reports/plume/metrics.json"
DENSE = "reports/benchmarks/plume_dense.json"
NETWORKS = {
    "plumenet-64": "plumenet, window 64", "plumenet-256": "plumenet, window 256",
    "googlenet-valid-256": "GoogLeNet, valid padding", "googlenet-256": "GoogLeNet as published",
}  # fmt: skip
COLUMNS = {
    "tile F1": ("tiles.methods", "f1"), "average precision": ("tiles.methods", "auprc"),
    "false alarms on hard tiles": ("tiles.methods", "false_positive_rate_neg"),
    "pixel IoU": ("pixels", "iou"),
    "plumes found": ("plumes", "detected_share"), "false alarms per km²": ("plumes", "false_alarms_per_km2"),
}  # fmt: skip


def methods(results: Results) -> Table:
    """Every method at the thresholds that were frozen on validation days."""
    judged = results.value(FILE, "tiles.methods")
    rows = [
        [label(text), *(_score(results, name, part, key) for part, key in COLUMNS.values())]
        for name, text in METHODS.items()
        if name in judged
    ]
    return Table(head=["test days", *COLUMNS], rows=rows)


def dense(results: Results) -> Table:
    """Time for one flightline: the dense map, shift-and-stitch, and the fastest sliding window."""
    measured = results.value(DENSE, "table")
    rows = []
    for name, text in NETWORKS.items():
        cells = [Cell(text)]
        for mode in ("dense", "shift-stitch", "sliding"):
            runs = [row for row in measured if (row["model"], row["mode"]) == (name, mode)]
            times = [row["seconds"] for row in runs if row["seconds"]]
            cells.append(Cell(_time(min(times))) if times else Cell(DASH))
        rows.append(cells)
    return Table(head=["network", "dense", "shift-and-stitch", "sliding window"], rows=rows)


def _score(results: Results, name: str, part: str, key: str) -> Cell:
    return number(results, FILE, f"{part}.{name}.{key}", "fixed 2", bold=name == "model")


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{formatted(seconds, 'fixed 1')} s"
    if seconds < 5400:
        return f"{formatted(seconds, 'minutes 1')} min"
    return f"{formatted(seconds, 'hours 1')} h"
