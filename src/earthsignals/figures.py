"""Figures: one style for the whole project, and files that repeat to the byte.

    from earthsignals import figures

    with figures.style():
        figure, axes = figures.columns(1)
        ...
        figures.save(figure, reports / "rmse")

Importing this module does not import matplotlib.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from earthsignals.compute.mapping import progress
from earthsignals.results import MissingData
from earthsignals.storage import EarthSignalsError, atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from earthsignals.tracking import Run

# Okabe & Ito (2008), "Color Universal Design": told apart by readers of all colour visions. Yellow
# is left out (too pale on white), black comes first.
COLOURS = {
    "black": "#000000",
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "orange": "#E69F00",
}

# Widths of a journal's one and two columns (AGU: 95 and 190 mm), in inches.
COLUMN_WIDTH = 3.74
PAGE_WIDTH = 7.48

_RC: dict[str, Any] = {
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "figure.constrained_layout.use": True,
    # DejaVu comes with matplotlib, so text is the same on every machine.
    "font.family": ["DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.linewidth": 0.4,
    "grid.alpha": 0.3,
    "image.cmap": "cividis",
    "pdf.fonttype": 42,
    "svg.hashsalt": "earthsignals",
    "path.simplify": True,
    "agg.path.chunksize": 0,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw inside this block in the house style, whatever the user's own matplotlibrc says.

    Figures made inside are closed at its end, so that a loop over figures keeps its memory.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from cycler import cycler

    known = set(plt.get_fignums())
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams["backend"] = "agg"
        mpl.rcParams.update(_RC | {"axes.prop_cycle": cycler(color=list(COLOURS.values()))})
        try:
            yield
        finally:
            for number in set(plt.get_fignums()) - known:
                plt.close(number)


def columns(count: int = 1, *, rows: int = 1, row_height: float = 2.4) -> tuple[Figure, Any]:
    """Return a figure one column wide (two and more: a page) and its axes.

    Args:
        count: panels side by side.
        rows: rows of panels.
        row_height: inches.
    """
    import matplotlib.pyplot as plt

    width = COLUMN_WIDTH if count == 1 else PAGE_WIDTH
    return plt.subplots(rows, count, figsize=(width, row_height * rows))


def save(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Write ``<stem>.png`` and ``<stem>.pdf``, each atomically and with the same bytes each time.

    Returns the two paths.

    Raises:
        EarthSignalsError: ``stem`` already has the suffix ``.png`` or ``.pdf``; disk full.
    """
    stem = Path(stem)
    if stem.suffix in (".png", ".pdf"):
        raise EarthSignalsError(f"{stem}: give the name without {stem.suffix}; both are written")
    # Dates and versions of the writing program would change the bytes without changing the figure.
    fixed = {
        "png": {"Software": None},
        "pdf": {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None},
    }
    paths = []
    for kind, metadata in fixed.items():
        path = stem.with_name(f"{stem.name}.{kind}")
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            figure.savefig(file, format=kind, metadata=metadata)
        paths.append(path)
    return paths[0], paths[1]


def training_curves(history: Sequence[Mapping[str, float]], *, loss_label: str = "loss") -> Figure:
    """Draw training and validation loss over epochs, the best epoch, and the learning rate.

    Args:
        history: ``FitResult.history``.
        loss_label: name and unit of the loss, for the axis.

    Raises:
        EarthSignalsError: the history is empty.
    """
    if not history:
        raise EarthSignalsError("no training curves can be drawn: the history has no epochs")
    figure, (left, right) = columns(2)
    # Counted from 1, as people do; the history counts from 0.
    epochs = [row["epoch"] + 1 for row in history]
    for name in ("train", "validation"):
        left.plot(epochs, [row[f"{name}_loss"] for row in history], label=name)
    best = min(history, key=lambda row: row["validation_loss"])
    left.plot(
        best["epoch"] + 1, best["validation_loss"], "o", color=COLOURS["vermillion"],
        label=f"best (epoch {best['epoch'] + 1:.0f})",
    )
    losses = [row[f"{name}_loss"] for row in history for name in ("train", "validation")]
    if min(losses) > 0 and max(losses) > 3 * min(losses):  # within less, a logarithm has no ticks
        left.set_yscale("log")
    left.set(xlabel="epoch", ylabel=loss_label)
    left.legend()
    right.plot(epochs, [row["learning_rate"] for row in history])
    right.set(xlabel="epoch", ylabel="learning rate at the epoch's end", yscale="log")
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def draw_each(draw: Mapping[str, Callable[[], Figure]], out: Path) -> dict[str, str]:
    """Draw every figure in the house style as `out/<name>.png` and `.pdf`.

    Returns the figures left out because a drawing raised `results.MissingData`, each with the reason.
    """
    skipped = {}
    with progress("figures", len(draw), "figures") as bar:
        for name, drawing in draw.items():
            with style():
                try:
                    save(drawing(), out / name)
                except MissingData as reason:
                    skipped[name] = str(reason)
            bar.advance()
    return skipped


def attach(run: Run, name: str, draw: Callable[[], Figure]) -> None:
    """Draw a figure in the house style and store it with an MLflow run as `figures/<name>.png`."""
    with tempfile.TemporaryDirectory(prefix="figure-") as folder, style():
        png, _ = save(draw(), Path(folder) / name)
        run.log_figure(png)
