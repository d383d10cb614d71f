"""A region hour by hour: where its organisation goes in the embedding's plane."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.clouds.figures.inputs import Inputs, SceneMap
from earthsignals.clouds.figures.panels import bare, regime_legend, show_tile
from earthsignals.results import MissingData

TILES = 10


@dataclass(frozen=True)
class Path:
    """Scenes in order of time, with where they lie.

    places: (h, 2) mean over a scene's windows in the plane of the two leading components. low, high: (h, 2)
    quartiles over its windows. tiles: of each scene the piece under the window nearest to the mean,
    (p, p, 3).
    """

    scenes: tuple[SceneMap, ...]
    places: np.ndarray
    low: np.ndarray
    high: np.ndarray
    tiles: tuple[np.ndarray, ...]


def path_of(inputs: Inputs) -> Path:
    """The series as a path. Raises MissingData where fewer than two of its scenes have an embedding."""
    known = inputs.planes.components
    scenes = tuple(
        s for s in sorted(inputs.series, key=lambda s: s.time) if np.isfinite(s.values).any()
    )
    if len(scenes) < 2:
        raise MissingData("there is no series of scenes hour by hour (clouds.scenes.series_hours)")
    places, low, high, tiles = [], [], [], []
    for scene in scenes:
        flat = scene.values.reshape(-1, scene.values.shape[-1])
        points = known(flat, 2)
        mean = np.nanmean(flat, 0)
        away = np.where(np.isfinite(flat[:, 0]), ((flat - mean) ** 2).sum(1), np.inf)
        row, column = np.unravel_index(away.argmin(), scene.values.shape[:2])
        places.append(known(mean, 2))
        low.append(np.nanpercentile(points, 25, axis=0))
        high.append(np.nanpercentile(points, 75, axis=0))
        tiles.append(scene.piece(int(row), int(column), inputs.tile_km))
    return Path(scenes, np.array(places), np.array(low), np.array(high), tuple(tiles))


def hours_since(path: Path) -> np.ndarray:
    """Hours (h,) from the first scene to each."""
    times = [dt.datetime.fromisoformat(scene.time) for scene in path.scenes]
    return np.array([(time - times[0]).total_seconds() / 3600 for time in times])


def trajectory(inputs: Inputs) -> Figure:
    """The path of the hourly scenes among the study tiles, components over time, and a tile of each hour.

    A point is the mean over all windows of a scene; bars and bands span the middle half of them; the tile is
    the window nearest to the mean.
    """
    import matplotlib.pyplot as plt

    path = path_of(inputs)
    figure = plt.figure(figsize=(house.PAGE_WIDTH, 4.5))
    shown = np.unique(np.linspace(0, len(path.scenes) - 1, min(TILES, len(path.scenes))).round().astype(int))
    grid = figure.add_gridspec(2, 1, height_ratios=[3.2, 1.0])
    left, right = grid[0].subgridspec(1, 2, width_ratios=[1.25, 1.0]).subplots()
    hours = hours_since(path)
    plane = inputs.planes.of("pca")
    left.scatter(*plane.T, s=5, c=inputs.colours, alpha=0.45, linewidths=0)
    left.plot(*path.places.T, color="black", lw=1.0, zorder=3)
    points = left.scatter(
        *path.places.T, c=hours, cmap="plasma", s=26, edgecolors="black", linewidths=0.6, zorder=4
    )
    _name_ends(left, path)
    bare(left)
    left.set(xlabel="first component", ylabel="second component")
    for number, (colour, label) in enumerate(
        ((house.COLOURS["blue"], "first"), (house.COLOURS["vermillion"], "second"))
    ):
        right.fill_between(
            hours, path.low[:, number], path.high[:, number], color=colour, alpha=0.15, linewidth=0
        )
        right.plot(hours, path.places[:, number], "o-", color=colour, label=f"{label} component")
    right.set(xlabel="hours since the first scene", ylabel="component of the embedding")
    right.legend(loc="best")
    strip = np.atleast_1d(grid[1].subgridspec(1, len(shown), wspace=0.05).subplots())
    _strip(strip, path, shown, points.to_rgba(hours))
    regime_legend(figure, inputs.regimes)
    return figure


def _name_ends(axes: Axes, path: Path) -> None:
    """Times of the first and the last scene, on the far sides of them."""
    way = path.places[-1] - path.places[0]
    way = 14 * way / max(np.hypot(*way), 1e-12)
    for number, offset in ((0, -way), (-1, way)):
        axes.annotate(
            path.scenes[number].time[11:16], path.places[number], offset, textcoords="offset points",
            zorder=5, ha="left" if offset[0] > 0 else "right", va="bottom" if offset[1] > 0 else "top",
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip


def _strip(panels: np.ndarray, path: Path, shown: Sequence[int], colours: np.ndarray) -> None:
    for axes, number in zip(panels, shown, strict=True):
        show_tile(axes, path.tiles[number], colours[number], 2.0)
        axes.set_xlabel(path.scenes[number].time[11:16], fontsize=7, labelpad=1)
