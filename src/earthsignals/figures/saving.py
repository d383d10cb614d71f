"""Figures as files: PNG and PDF to look at, SVG to edit and CSV to compute with, the same bytes each time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from earthsignals.compute.mapping import progress
from earthsignals.figures.house import style
from earthsignals.figures.letters import put_letters
from earthsignals.figures.source_data import write_source_data
from earthsignals.results import MissingData
from earthsignals.storage import EarthSignalsError, atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from earthsignals.tracking import Run

# Dates and versions of the writing program would change the bytes without changing the figure.
_METADATA = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}


def save(figure: Figure, stem: Path, sources: Path | None = None) -> tuple[Path, ...]:
    """Write ``<stem>.png`` and ``<stem>.pdf``, each atomically and with the same bytes each time.

    Panels get their letters first (`letters.put_letters`).

    Args:
        figure: drawn inside `house.style`.
        stem: folder and name, without a suffix.
        sources: also a folder for ``<name>.svg`` and ``<name>.csv``, the data that the figure shows.

    Returns:
        The paths: PNG, PDF, and with `sources` SVG and CSV.

    Raises:
        EarthSignalsError: ``stem`` already has the suffix of a kind; disk full.
    """
    stem = Path(stem)
    if stem.suffix in (".png", ".pdf", ".svg", ".csv"):
        raise EarthSignalsError(f"{stem}: give the name without {stem.suffix}; all kinds are written")
    put_letters(figure)
    paths = [_write(figure, stem.parent, stem.name, kind) for kind in ("png", "pdf")]
    if sources is not None:
        paths.append(_write(figure, Path(sources), stem.name, "svg"))
        paths.append(write_source_data(figure, Path(sources) / f"{stem.name}.csv"))
    return tuple(paths)


def _write(figure: Figure, folder: Path, name: str, kind: str) -> Path:
    path = folder / f"{name}.{kind}"
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        figure.savefig(file, format=kind, metadata=_METADATA[kind])
    return path


def draw_each(
    draw: Mapping[str, Callable[[], Figure]], out: Path, sources: Path | None = None
) -> dict[str, str]:
    """Draw every figure in the house style as `out/<name>.png` and `.pdf`.

    With `sources` also as `sources/<name>.svg`, with its data as `sources/<name>.csv`.

    Returns the figures left out because a drawing raised `results.MissingData`, each with the reason.
    """
    skipped = {}
    with progress("figures", len(draw), "figures") as bar:
        for name, drawing in draw.items():
            with style():
                try:
                    save(drawing(), Path(out) / name, sources)
                except MissingData as reason:
                    skipped[name] = str(reason)
            bar.advance()
    return skipped


def attach(run: Run, name: str, draw: Callable[[], Figure]) -> None:
    """Draw a figure in the house style and store it with an MLflow run as `figures/<name>.png`."""
    with tempfile.TemporaryDirectory(prefix="figure-") as folder, style():
        png = save(draw(), Path(folder) / name)[0]
        run.log_figure(png)
