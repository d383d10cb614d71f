"""The embedding over scenes: as colours, component by component, and as distance from a place."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from earthsignals import figures as house
from earthsignals.clouds.figures.colours import Stretch
from earthsignals.clouds.figures.inputs import Inputs, SceneMap
from earthsignals.clouds.figures.likeness import distance_map, nearest_window
from earthsignals.clouds.figures.panels import km_axes, show_map, show_scene
from earthsignals.results import MissingData

SCENES = 6
COMPONENTS = 7
TRANSLUCENT = 0.5
LIMIT = 2.5
"""Standard deviations at which the colours of a component end."""


def rgb(inputs: Inputs) -> Figure:
    """Each mapped scene, and over it the three leading components of its windows as red, green and blue.

    Colours mean the same in all scenes. A cell is the window of a tile around it, so that the map ends half a
    tile inside the scene.
    """
    maps = inputs.need_maps()[:SCENES]
    stretch = Stretch.of(inputs.maps, inputs.planes.components, 3)
    across = min(2, len(maps))
    rows = -(-len(maps) // across)
    figure, panels = house.columns(2 * across, rows=rows, row_height=2.15 if across == 2 else 3.2)
    panels = np.atleast_2d(panels)
    for place, scene in enumerate(maps):
        row, column = divmod(place, across)
        left, right = panels[row, 2 * column : 2 * column + 2]
        show_scene(left, scene)
        show_scene(right, scene)
        show_map(right, scene, stretch.rgba(scene.values), alpha=TRANSLUCENT, zorder=1)
        left.set_title(scene.name, loc="left", fontsize=7)
    for axes in panels.flat[2 * len(maps) :]:
        axes.axis("off")
    km_axes(panels)
    share = inputs.planes.components.share
    named = zip(("red", "green", "blue"), share, strict=False)
    shares = ", ".join(f"{name} {100 * s:.0f} %" for name, s in named)
    figure.supxlabel(f"components 1 to 3 and their share of the variance: {shares}", fontsize=7)
    return figure


def components(inputs: Inputs) -> Figure:
    """The scene whose windows differ most, and each leading principal component of its windows.

    In standard deviations of the component among the study tiles: small components are seen as well.
    """
    scene = _most_varied(inputs.need_maps())
    known = inputs.planes.components
    count = min(COMPONENTS, len(known.axes))
    values = known(scene.values, count) / np.sqrt(np.maximum(known.variance[:count], 1e-12))
    figure, panels = house.columns(4, rows=2, row_height=2.2)
    show_scene(panels.flat[0], scene)
    panels.flat[0].set_title(scene.name, loc="left", fontsize=7)
    image = None
    for number, axes in enumerate(panels.flat[1:]):
        if number >= count:
            axes.axis("off")
            continue
        image = show_map(axes, scene, values[..., number], cmap="RdBu_r", vmin=-LIMIT, vmax=LIMIT)
        axes.set_title(f"component {number + 1}: {100 * known.share[number]:.0f} %", loc="left", fontsize=7)
    km_axes(panels)
    if image is not None:
        bar = figure.colorbar(
            image, ax=panels, location="bottom", shrink=0.5, aspect=50, pad=0.02, extend="both"
        )
        bar.set_label("standard deviations from the mean of the study tiles")
    return figure


def distance(inputs: Inputs) -> Figure:
    """Distance in the embedding from the window in the middle of the first scene, over all scenes.

    In units of the median distance of two study tiles: 1 is as unlike as any two.
    """
    maps = inputs.need_maps()[:SCENES]
    first = maps[0]
    window = nearest_window(first, first.width_km / 2, first.height_km / 2)
    if window is None:
        raise MissingData(f"no window of {first.name} has an embedding")
    figure, panels = house.columns(2 * min(2, len(maps)), rows=-(-len(maps) // 2), row_height=2.15)
    panels = np.atleast_2d(panels)
    for place, scene in enumerate(maps):
        left, right = panels.flat[2 * place : 2 * place + 2]
        show_scene(left, scene)
        far = distance_map(scene, first.values[window]) / inputs.pair_distance
        image = show_map(right, scene, far, cmap="viridis_r", vmin=0, vmax=1.5)
        left.set_title(scene.name, loc="left", fontsize=7)
    for axes in panels.flat[2 * len(maps) :]:
        axes.axis("off")
    x, y = first.x_km[window[1]], first.y_km[window[0]]
    red, edge = house.COLOURS["vermillion"], inputs.tile_km
    for axes in panels.flat[:2]:
        axes.plot(x, y, "*", color=red, markersize=8, markeredgecolor="white", zorder=5)
        corner = (x - edge / 2, y - edge / 2)
        axes.add_patch(Rectangle(corner, edge, edge, facecolor="none", edgecolor=red, zorder=4))
    km_axes(panels)
    bar = figure.colorbar(image, ax=panels, location="bottom", shrink=0.5, aspect=50, pad=0.02, extend="max")
    bar.set_label("distance from the starred window over the median distance of two study tiles")
    return figure


def _most_varied(maps: tuple[SceneMap, ...]) -> SceneMap:
    """The scene whose windows differ most."""
    spread = [np.nan_to_num(np.nanvar(m.values.reshape(-1, m.values.shape[-1]), 0).sum()) if
              np.isfinite(m.values).any() else 0.0 for m in maps]  # fmt: skip
    return maps[int(np.argmax(spread))]
