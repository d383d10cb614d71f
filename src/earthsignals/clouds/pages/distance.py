"""How unlike every place is to one that is clicked, worked out in the browser."""

from __future__ import annotations

import numpy as np
from bokeh.events import Tap
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, CustomJS, LinearColorMapper, Slider
from bokeh.palettes import Viridis256

from earthsignals.clouds.figures.inputs import Inputs
from earthsignals.clouds.figures.likeness import distance_map, nearest_window
from earthsignals.clouds.pages.maps import ACROSS, shown_maps
from earthsignals.clouds.pages.parts import scene_figure, scene_uri, window_hover
from earthsignals.pages import Page
from earthsignals.pages.parts import in_rows
from earthsignals.results import MissingData

NUMBERS = 500_000
"""Of all embeddings together: 2 MB in the page."""
FARTHEST = 1.5
AT_CLICK = """
const dimension = vectors[scene].data.dimension[0]
const own = vectors[scene].data
const x = own.x[0], y = own.y[0], here = own.values[0]
let best = -1, nearest = Infinity
for (let i = 0; i < y.length; i++)
  for (let j = 0; j < x.length; j++) {
    const cell = i * x.length + j
    if (Number.isNaN(here[cell * dimension])) continue
    const away = (x[j] - cb_obj.x) ** 2 + (y[i] - cb_obj.y) ** 2
    if (away < nearest) { nearest = away; best = cell }
  }
if (best >= 0) {
  // By index: a part of Bokeh's arrays begins at their beginning, whatever part is asked for.
  for (let s = 0; s < images.length; s++) {
    const values = vectors[s].data.values[0], image = images[s].data.image[0]
    for (let cell = 0; cell < image.length; cell++) {
      let sum = 0
      for (let k = 0; k < dimension; k++)
        sum += (values[cell * dimension + k] - here[best * dimension + k]) ** 2
      image[cell] = Math.sqrt(sum) / unit
    }
    images[s].change.emit()
    const star = s == scene ? [best] : []
    stars[s].data = {x: star.map(c => x[c % x.length]), y: star.map(c => y[Math.floor(c / x.length)])}
  }
}
"""


def distance(inputs: Inputs) -> Page:
    """Maps of all scenes: distance from the window that was clicked, at first the first scene's middle."""
    size = inputs.embedding.shape[1]
    count = min(len(inputs.need_maps()), 6)
    maps, note = shown_maps(inputs, max(NUMBERS // (size * count), 16))
    window = nearest_window(maps[0], maps[0].width_km / 2, maps[0].height_km / 2)
    if window is None:
        raise MissingData(f"no window of {maps[0].name} has an embedding")
    start = maps[0].values[window]
    opacity = Slider(start=0, end=1, step=0.05, value=0.65, title="opacity of the map", width=300)
    uris, figures, images, vectors, stars = [scene_uri(scene) for scene in maps], [], [], [], []
    for number, scene in enumerate(maps):
        made = scene_figure(scene, uris[number])
        left, right, bottom, top = scene.cells
        # Rows from the south: as the browser draws images.
        values = np.ascontiguousarray(scene.values[::-1], np.float32)
        far = (distance_map(scene, start)[::-1] / inputs.pair_distance).astype(np.float32)
        images.append(ColumnDataSource({"image": [np.ascontiguousarray(far)]}))
        vectors.append(ColumnDataSource({
            "values": [values.reshape(-1)], "dimension": [size], "x": [scene.x_km.astype(np.float32)],
            "y": [scene.y_km[::-1].astype(np.float32)],
        }))  # fmt: skip
        at = {"x": [float(scene.x_km[window[1]])], "y": [float(scene.y_km[window[0]])]}
        stars.append(ColumnDataSource(at if number == 0 else {"x": [], "y": []}))
        mapper = LinearColorMapper(Viridis256[::-1], low=0, high=FARTHEST, nan_color="rgba(0,0,0,0)")
        shown = made.image(
            "image", left, bottom, right - left, top - bottom, source=images[number], color_mapper=mapper
        )
        shown.glyph.global_alpha = opacity.value
        opacity.js_link("value", shown.glyph, "global_alpha")
        made.scatter(
            "x", "y", source=stars[number], marker="star", size=20, color="#D55E00", line_color="white"
        )
        made.rect(
            "x", "y", inputs.tile_km, inputs.tile_km, source=stars[number], fill_alpha=0,
            line_color="#D55E00", line_width=2,
        )  # fmt: skip
        window_hover(made, scene, number, inputs.tile_km, [""] * scene.values[..., 0].size)
        if number == min(ACROSS, len(maps)) - 1:
            made.add_layout(shown.construct_color_bar(width=8, padding=2), "right")
        figures.append(made)
    for number, made in enumerate(figures):
        known = {"scene": number, "images": images, "vectors": vectors, "stars": stars}
        made.js_on_event(Tap, CustomJS(args=known | {"unit": inputs.pair_distance}, code=AT_CLICK))
    return Page(column(opacity, in_rows(figures)), uris, note)
