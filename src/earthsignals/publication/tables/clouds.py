"""Table of the cloud pipeline: what each representation knows of organisation."""

from __future__ import annotations

from earthsignals.publication.numbers import Results
from earthsignals.publication.sections.clouds import ROWS
from earthsignals.publication.tables.model import Table, label, number

FILE = "reports/clouds/metrics.json"
COLUMNS = {
    "regime": "probe", "mAP": "map", "purity": "purity", "NMI": "nmi",
    "same regime": "same_class_triplet_accuracy",
    "R² scale": "r2_log_scale", "R² anisotropy": "r2_log_anisotropy", "R² fraction": "r2_cloud_fraction",
}  # fmt: skip


def methods(results: Results) -> Table:
    """Every row that was judged: classes, retrieval, clusters, triplets, and what a linear rule reads."""
    rows = [
        [
            label(text),
            *(
                number(results, FILE, f"rows.{name}.{key}", "fixed 2", bold=name == "model")
                for key in COLUMNS.values()
            ),
        ]
        for name, text in ROWS.items()
        if results.find(FILE, f"rows.{name}") is not None
    ]
    return Table(head=["study scenes", *COLUMNS], rows=rows, rules=(1,))
