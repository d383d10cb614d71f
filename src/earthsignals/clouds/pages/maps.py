"""The embedding over scenes, as colours and component by component; the mouse shows what a window saw."""

from __future__ import annotations

import numpy as np
from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, CustomJS, LinearColorMapper, Select, Slider

from earthsignals.clouds.figures.colours import Stretch
from earthsignals.clouds.figures.inputs import Inputs, SceneMap
from earthsignals.clouds.figures.maps import LIMIT, SCENES
from earthsignals.clouds.pages.parts import scene_figure, scene_uri, thinned, window_hover
from earthsignals.pages import Page
from earthsignals.pages.parts import in_rows

ACROSS = 3
MOST = 2500
"""Windows of a scene."""
COMPONENTS = 8
SHOW_COMPONENT = """
const k = Number(cb_obj.value)
for (const source of sources) {
  source.data.image = [source.data.all[0][k]]
  source.change.emit()
}
"""


def shown_maps(inputs: Inputs, most: int = MOST) -> tuple[list[SceneMap], str]:
    """The scenes on a page, and a sentence where their windows had to be thinned."""
    whole = inputs.need_maps()[:SCENES]
    maps = [thinned(scene, most) for scene in whole]
    if any(a.values.shape != b.values.shape for a, b in zip(whole, maps, strict=True)):
        return maps, f"Of larger maps, evenly spaced windows are shown, at most {most:,} of a scene."
    return maps, ""


def rgb(inputs: Inputs) -> Page:
    """Three leading components as red, green and blue over each scene."""
    maps, note = shown_maps(inputs)
    stretch = Stretch.of(inputs.maps, inputs.planes.components, 3)
    opacity = Slider(start=0, end=1, step=0.05, value=0.5, title="opacity of the colours", width=300)
    uris, figures = [scene_uri(scene) for scene in maps], []
    for number, scene in enumerate(maps):
        made = scene_figure(scene, uris[number])
        left, right, bottom, top = scene.cells
        colours = np.ascontiguousarray(stretch.rgba(scene.values)[::-1]).view(np.uint32)[..., 0]
        shown = made.image_rgba([colours], x=left, y=bottom, dw=right - left, dh=top - bottom)
        shown.glyph.global_alpha = opacity.value
        opacity.js_link("value", shown.glyph, "global_alpha")
        window_hover(made, scene, number, inputs.tile_km, _said(inputs, scene, 3))
        figures.append(made)
    return Page(column(opacity, in_rows(figures)), uris, note)


def components(inputs: Inputs) -> Page:
    """Any of the leading components over every scene."""
    maps, note = shown_maps(inputs)
    known = inputs.planes.components
    count = min(COMPONENTS, len(known.axes))
    spread = np.sqrt(np.maximum(known.variance[:count], 1e-12))
    opacity = Slider(start=0, end=1, step=0.05, value=0.7, title="opacity of the map", width=300)
    uris, figures, sources = [scene_uri(scene) for scene in maps], [], []
    for number, scene in enumerate(maps):
        made = scene_figure(scene, uris[number])
        values = (known(scene.values, count) / spread).astype(np.float32)[::-1]
        every = [np.ascontiguousarray(values[..., k]) for k in range(count)]
        left, right, bottom, top = scene.cells
        source = ColumnDataSource({"image": [every[0]], "all": [every]})
        mapper = LinearColorMapper(_diverging(), low=-LIMIT, high=LIMIT, nan_color="rgba(0,0,0,0)")
        shown = made.image(
            "image", left, bottom, right - left, top - bottom, source=source, color_mapper=mapper
        )  # fmt: skip
        shown.glyph.global_alpha = opacity.value
        opacity.js_link("value", shown.glyph, "global_alpha")
        if number == min(ACROSS, len(maps)) - 1:
            made.add_layout(shown.construct_color_bar(width=8, padding=2), "right")
        window_hover(made, scene, number, inputs.tile_km, _said(inputs, scene, count))
        figures.append(made)
        sources.append(source)
    choice = Select(
        title="component", value="0", width=300,
        options=[(str(k), f"{k + 1}: {100 * known.share[k]:.0f} % of the variance") for k in range(count)],
    )  # fmt: skip
    choice.js_on_change("value", CustomJS(args={"sources": sources}, code=SHOW_COMPONENT))
    return Page(
        column(row(choice, opacity), in_rows(figures)), uris, note
    )


def _said(inputs: Inputs, scene: SceneMap, count: int) -> list[str]:
    """Of each window, its leading components in standard deviations."""
    known = inputs.planes.components
    count = min(count, len(known.axes))
    values = known(scene.values, count) / np.sqrt(np.maximum(known.variance[:count], 1e-12))
    return [" ".join(f"{v:+.1f}" for v in own) for own in values.reshape(-1, count)]


def _diverging() -> tuple[str, ...]:
    from bokeh.palettes import interp_palette

    return interp_palette(("#053061", "#4393c3", "#f7f7f7", "#d6604d", "#67001f"), 256)
