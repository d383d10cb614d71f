"""Parts that several views share: tiles and scenes as data URIs, planes, scenes, what the mouse shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, HoverTool, Legend, LegendItem
from bokeh.plotting import figure

from earthsignals.clouds.figures.inputs import Inputs, SceneMap, colour_of, named, thumbnail
from earthsignals.pages.parts import TOOLS, bare, hover
from earthsignals.pages.pictures import jpeg_uri

TILE_PX = 64
SHOWN_PX = 144
"""Edge of a tile where the mouse is."""
SCENE_PX = 512
TILE_TOOLTIP = f"""<div style="font-size:12px">
<img src="@tile{{safe}}" width="{SHOWN_PX}" height="{SHOWN_PX}" style="display:block;margin-bottom:4px">
<b>@regime</b><br>@scene<br>@moment UTC<br>@place@facts{{safe}}</div>"""


def place(latitude: float, longitude: float) -> str:
    """Degrees as people write them."""
    north, east = "N" if latitude >= 0 else "S", "E" if longitude >= 0 else "W"
    return f"{abs(latitude):.1f}° {north} {abs(longitude):.1f}° {east}"


def tile_columns(inputs: Inputs, which: np.ndarray, pixels: int = TILE_PX) -> dict[str, list[Any]]:
    """Columns of a source about these tiles: their picture and what hovering over them says."""
    rows = inputs.tiles.iloc[which]
    return {
        "tile": [jpeg_uri(thumbnail(inputs.images[k], pixels)) for k in which],
        "regime": [named(r) if r else "" for r in rows["regime"]],
        "colour": [colour_of(r) for r in rows["regime"]],
        "scene": [str(s) for s in rows["scene"]],
        "moment": [str(t)[:16].replace("T", " ") for t in rows["time"]],
        "place": [place(*at) for at in zip(rows["latitude"], rows["longitude"], strict=True)],
        "facts": [_facts(row) for row in rows.to_dict("records")],
    }


def _facts(row: dict[str, Any]) -> str:
    """What is known of a synthetic tile."""
    known = {"scale": ("scale_km", ".0f", " km"), "cloud fraction": ("cloud_fraction", ".2f", "")}
    said = [
        f"<br>{label} {row[name]:{form}}{unit}"
        for label, (name, form, unit) in known.items()
        if isinstance(row.get(name), float) and np.isfinite(row[name])
    ]
    return "".join(said)


def plane_figure(title: str, plane: np.ndarray, edge: int = 620, **looks: Any) -> figure:
    """A square figure for places (n, 2) on a plane whose axes have no scale."""
    low, high = plane.min(0), plane.max(0)
    room = 0.06 * np.maximum(high - low, 1e-9)
    made = figure(
        title=title, width=edge, height=edge, tools=TOOLS, active_scroll="wheel_zoom",
        x_range=(low[0] - room[0], high[0] + room[0]), y_range=(low[1] - room[1], high[1] + room[1]), **looks,
    )  # fmt: skip
    bare(made)
    return made


def regimes_below(made: figure, regimes: Sequence[str]) -> None:
    """A legend of the regimes below a figure; none where no regime is known."""
    if set(regimes) == {""}:
        return
    items = []
    for regime in regimes:
        # A point that is nowhere, for its colour.
        mark = made.scatter([np.nan], [np.nan], size=9, color=colour_of(regime))
        items.append(LegendItem(label=named(regime), renderers=[mark]))
    legend = Legend(items=items, orientation="horizontal", location="center", border_line_color=None)
    made.add_layout(legend, "below")


def tile_hover(renderers: Sequence[Any], tooltip: str = TILE_TOOLTIP) -> HoverTool:
    """Shows the tile where the mouse is."""
    return hover(renderers, tooltip)


def thinned(scene: SceneMap, most: int) -> SceneMap:
    """The scene with at most `most` windows: every k-th row and column."""
    rows, columns = scene.values.shape[:2]
    k = 1
    while -(-rows // k) * -(-columns // k) > most:
        k += 1
    return replace(
        scene, x_km=scene.x_km[::k], y_km=scene.y_km[::k], values=scene.values[::k, ::k],
        latitude=scene.latitude[::k, ::k], longitude=scene.longitude[::k, ::k],
    )  # fmt: skip


def scene_uri(scene: SceneMap) -> str:
    """The scene's picture, small enough for a page."""
    longest = max(scene.picture.shape[:2])
    return jpeg_uri(thumbnail(scene.picture, min(longest, SCENE_PX)), 78)


def scene_figure(scene: SceneMap, uri: str, width: int = 285) -> figure:
    """A figure in km that shows the scene, `width` pixels wide inside its axes."""
    made = figure(
        title=f"{scene.name}, {scene.moment} UTC", tools=TOOLS, active_scroll="wheel_zoom",
        frame_width=width, frame_height=round(width * scene.height_km / scene.width_km),
        x_range=(0, scene.width_km), y_range=(0, scene.height_km),
    )  # fmt: skip
    made.title.text_font_size = "11px"
    made.grid.visible = False
    made.xaxis.axis_label = "km"
    made.toolbar.logo = None
    made.toolbar.autohide = True
    made.toolbar_location = "above"
    made.image_url(url=[uri], x=0, y=scene.height_km, w=scene.width_km, h=scene.height_km, level="image")
    return made


def window_hover(made: figure, scene: SceneMap, number: int, tile_km: float, said: Sequence[str]) -> None:
    """Hovering over a window of the map shows the piece of the scene that it saw, and `said` (R·C) of it.

    number: of the scene among the page's pictures; the piece is cut out of it by the browser.
    """
    rows, columns = scene.values.shape[:2]
    scale = SHOWN_PX / tile_km  # pixels on the page per km
    x, y = np.meshgrid(scene.x_km, scene.y_km)
    known = np.isfinite(scene.values[..., 0])
    left = np.clip(x - tile_km / 2, 0, max(scene.width_km - tile_km, 0)) * scale
    top = np.clip(scene.height_km - y - tile_km / 2, 0, max(scene.height_km - tile_km, 0)) * scale
    where = [place(*at) for at in zip(scene.latitude[known], scene.longitude[known], strict=True)]
    source = ColumnDataSource({
        "x": x[known].astype(np.float32), "y": y[known].astype(np.float32), "place": where,
        "piece": [f"-{a:.0f}px -{b:.0f}px" for a, b in zip(left[known], top[known], strict=True)],
        "said": [text for text, there in zip(said, known.ravel(), strict=True) if there],
    })  # fmt: skip
    across, down = scene.steps
    cells = made.rect(
        "x", "y", across, down, source=source, fill_alpha=0, line_alpha=0, hover_line_color="white",
        hover_line_alpha=1, hover_fill_alpha=0,
    )  # fmt: skip
    tooltip = f"""<div style="font-size:12px"><div style="width:{SHOWN_PX}px;height:{SHOWN_PX}px;
background-image:var(--picture-{number});background-size:{scene.width_km * scale:.0f}px
{scene.height_km * scale:.0f}px;background-position:@piece{{safe}};margin-bottom:4px"></div>
<div style="width:{SHOWN_PX}px">@place<br>@said{{safe}}</div></div>"""
    made.add_tools(tile_hover([cells], tooltip))
