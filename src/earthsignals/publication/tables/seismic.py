"""Tables of the seismic pipeline: reconstruction at equal size of the code, denoising."""

from __future__ import annotations

from earthsignals.publication.numbers import Results
from earthsignals.publication.sections.seismic import DENOISERS, METHODS
from earthsignals.publication.tables.model import Cell, Table, label, number

FILE = "reports/seismic/metrics.json"
DIFFERENCES = {"model_minus_pca": "network − PCA", "model_excess": "network − floor"}


def reconstruction(results: Results) -> Table:
    """Mean squared error × 1,000 by numbers per record, and the paired differences."""
    sizes = sorted(results.value(FILE, "mse"), key=int)
    rows = [
        [label(text), *(_error(results, f"mse.{size}.{name}", bold=name == "model") for size in sizes)]
        for name, text in METHODS.items()
    ]
    paired = len(rows)
    rows += [
        [Cell(text), *(_error(results, f"mse.{size}.{name}", style="signed") for size in sizes)]
        for name, text in DIFFERENCES.items()
    ]
    return Table(head=["numbers per record", *sizes], rows=rows, rules=(paired,))


def denoising(results: Results) -> Table:
    """Noise mixed in at 0 dB: the gain and the likeness to the clean record."""
    rows = [
        [
            label(text.split(" (")[0]),
            number(results, FILE, f"denoise.{name}.gain_db_at_0", "fixed 1", bold=name == "model"),
            number(results, FILE, f"denoise.{name}.correlation_at_0", "fixed 2"),
        ]
        for name, text in DENOISERS.items()
        if results.find(FILE, f"denoise.{name}") is not None
    ]  # fmt: skip
    return Table(head=["denoising", "gain, dB", "correlation"], rows=rows)


def _error(results: Results, key: str, bold: bool = False, style: str = "plain") -> Cell:
    """Thousandths; differences with their sign."""
    cell = number(results, FILE, key, "thousandths 2", bold=bold)
    if style != "signed" or cell.text.startswith(("−", "–")):
        return cell
    return Cell(f"+{cell.text}", cell.interval, cell.bold)
