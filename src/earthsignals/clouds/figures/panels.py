"""Parts that several figures share: tiles as pictures, scenes in km, the legend of regimes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from earthsignals.clouds.figures.inputs import SceneMap, colour_of, named, thumbnail

TILE_PX = 96
"""Edge of a tile in a figure: more than print shows."""


def bare(axes: Axes) -> None:
    """No ticks, no grid, a frame all around."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(True)


def show_tile(axes: Axes, image: np.ndarray, colour: object = None, width: float = 1.6) -> None:
    """A tile that fills its axes, framed by a colour."""
    axes.imshow(thumbnail(image, TILE_PX), interpolation="none")
    bare(axes)
    if colour is not None:
        axes.spines[:].set(color=colour, linewidth=width)


def put_tile(
    axes: Axes, image: np.ndarray, place: Sequence[float], width: float, height: float, colour: str
) -> None:
    """A tile centred on a place of the axes, `width` by `height` in its units, framed by a colour."""
    left, bottom = place[0] - width / 2, place[1] - height / 2
    axes.imshow(
        thumbnail(image, TILE_PX), extent=(left, left + width, bottom, bottom + height), aspect="auto",
        zorder=3, interpolation="none",
    )  # fmt: skip
    axes.add_patch(
        Rectangle((left, bottom), width, height, facecolor="none", edgecolor=colour, linewidth=0.9, zorder=4)
    )


def show_scene(axes: Axes, scene: SceneMap) -> AxesImage:
    """A scene's picture in km from its south-western corner."""
    image = axes.imshow(scene.picture, extent=scene.extent, interpolation="none", zorder=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set(xlim=scene.extent[:2], ylim=scene.extent[2:])
    return image


def show_map(axes: Axes, scene: SceneMap, values: np.ndarray, **looks: object) -> AxesImage:
    """Values (R, C) or colours (R, C, 4) of a scene's windows as cells, around the centres of the windows."""
    image = axes.imshow(values, extent=scene.cells, interpolation="none", **looks)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set(xlim=scene.extent[:2], ylim=scene.extent[2:], aspect="equal", facecolor="0.93")
    return image


def km_axes(panels: np.ndarray) -> None:
    """Kilometres along the left and lower edges of an array of panels alone."""
    panels = np.atleast_2d(panels)
    for axes in panels.flat:
        axes.tick_params(labelleft=False, labelbottom=False, length=2)
        axes.locator_params(nbins=4)
    for axes in panels[:, 0]:
        axes.tick_params(labelleft=True)
        axes.set_ylabel("northwards (km)")
    for axes in panels[-1]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("eastwards (km)")


def regime_legend(figure: Figure, regimes: Sequence[str]) -> None:
    """Below the figure, a colour for each regime; none where no regime is known."""
    if set(regimes) == {""}:
        return
    marks = [Line2D([], [], ls="", marker="o", color=colour_of(r), label=named(r)) for r in regimes]
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), handletextpad=0.1)
