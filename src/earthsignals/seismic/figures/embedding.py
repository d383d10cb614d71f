"""The map of the latents, with spectrograms of records here and there on it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.seismic.embeddings import Arrangement, arrange
from earthsignals.seismic.figures.images import bare, show
from earthsignals.seismic.figures.inputs import Arrays, position, take, text

KINDS = ("HH", "HN", "EH", "BH")
MOST = 2500
"""Points on the map: evenly chosen of more."""
CLUSTERS = 8
"""Where the evaluation does not tell their number."""
LEADING = 32
"""Numbers of an ordered latent that are taken where their weights are not told."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def embedding(arrays: Arrays, *, seed: int = 0) -> Figure:
    """Three views of one t-SNE map of the latents: instruments and noise, signal-to-noise ratio, clusters.

    Below them the vertical components of the examples, whose letters stand on the map.
    """
    latents, events = take(arrays, "embedding/latent", "records/is_event")
    events = np.asarray(events, bool)
    clusters = int(arrays.get("embedding/clusters", CLUSTERS))
    where = position(arrays, "examples")
    shown = _chosen(len(latents), where)
    weight = arrays.get("embedding/weight")
    if weight is None:
        latents = latents[:, :LEADING]
    found = arrange(latents[shown], clusters, seed, weight=weight)
    examples = 0 if where is None or "examples/input" not in arrays else len(where)
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(house.PAGE_WIDTH, 4.3 if examples else 2.9))
    grid = figure.add_gridspec(2 if examples else 1, 1, height_ratios=[2.6, 1.0] if examples else None)
    panels = grid[0].subgridspec(1, 3).subplots()
    _kinds(panels[0], arrays, found, shown, events)
    _ratios(figure, panels[1], arrays, found, shown, events)
    _clusters(panels[2], found)
    for axes in panels:
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
        axes.spines[:].set_visible(True)
    panels[0].set_ylabel(f"{found.method} of the latent")
    if examples:
        _thumbnails(grid[1].subgridspec(1, examples).subplots(), panels, arrays, found, shown, where)
    return figure


def _chosen(count: int, where: np.ndarray | None) -> np.ndarray:
    """Positions (n,) of the records on the map, those of the examples among them."""
    even = np.linspace(0, count - 1, min(count, MOST)).round().astype(np.int64)
    return np.union1d(even, where) if where is not None else even


def _kinds(axes: Axes, arrays: Arrays, found: Arrangement, shown: np.ndarray, events: np.ndarray) -> None:
    (kinds,) = take(arrays, "records/kind")
    kinds, events = np.array(text(kinds))[shown], events[shown]
    known = [kind for kind in KINDS if (kinds == kind).any()] + sorted(set(kinds) - set(KINDS))
    colours = [house.COLOURS[name] for name in ("blue", "vermillion", "green", "orange", "purple", "sky")]
    axes.scatter(*found.plane[~events].T, s=5, c="0.78", linewidths=0, label="noise")
    for kind, colour in zip(known, colours, strict=False):
        axes.scatter(*found.plane[events & (kinds == kind)].T, s=5, color=colour, linewidths=0, label=kind)
    axes.set_title("instrument")
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.01),
        ncols=5 if len(known) < 5 else 4,
        handletextpad=0.0,
        columnspacing=0.6,
        markerscale=2,
    )


def _ratios(
    figure: Figure, axes: Axes, arrays: Arrays, found: Arrangement, shown: np.ndarray, events: np.ndarray
) -> None:
    (snr,) = take(arrays, "records/snr_db")
    snr = np.where(events, snr, np.nan)[shown]
    known = np.isfinite(snr)
    axes.scatter(*found.plane[~known].T, s=5, c="0.85", linewidths=0)
    points = axes.scatter(
        *found.plane[known].T, s=5, c=snr[known], cmap="cividis", vmin=0, vmax=60, linewidths=0
    )
    axes.set_title("signal-to-noise ratio (dB)")
    bar = figure.colorbar(points, cax=axes.inset_axes((0.1, -0.09, 0.8, 0.045)), orientation="horizontal")
    bar.outline.set_linewidth(0.4)


def _clusters(axes: Axes, found: Arrangement) -> None:
    count = int(found.cluster.max()) + 1
    colours = [*house.COLOURS.values(), "0.6"]
    for number in range(count):
        own = found.plane[found.cluster == number]
        axes.scatter(*own.T, s=5, color=colours[number % len(colours)], linewidths=0)
        axes.text(
            *np.median(own, axis=0), str(number), fontsize=7, ha="center", va="center",
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip
    axes.set_title(f"{count} clusters (k-means)")


def _thumbnails(
    axes: np.ndarray, panels: np.ndarray, arrays: Arrays, found: Arrangement, shown: np.ndarray,
    where: np.ndarray,
) -> None:  # fmt: skip
    images, times, frequencies = take(arrays, "examples/input", "image/times_s", "image/frequencies_hz")
    titles = text(arrays["examples/title"]) if "examples/title" in arrays else [""] * len(images)
    axes = np.atleast_1d(axes)
    for number, (ax, title) in enumerate(zip(axes, titles, strict=False)):
        show(ax, images[number, 2], times, frequencies)
        bare(ax, left=number == 0, bottom=True)
        words = title.split()
        ax.set_title(
            f"{LETTERS[number]}  {' '.join(words[:2])}\n{' '.join(words[2:])}", fontsize=6, loc="left"
        )
        ax.set_xticks((0, 30, 60))
        ax.set_xlabel("time (s)", fontsize=6.5)
        point = found.plane[np.searchsorted(shown, where[number])]
        for panel in panels[:2]:
            panel.scatter(*point, s=16, facecolor="none", edgecolor="black", linewidths=0.7)
            panel.annotate(
                LETTERS[number], point, (4, 3), textcoords="offset points", fontsize=7.5, weight="bold",
                bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip
    axes[0].set_ylabel("frequency (Hz)")
