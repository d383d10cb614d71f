"""The tiles most alike to one that is clicked, worked out in the browser."""

from __future__ import annotations

import numpy as np
from bokeh.layouts import row
from bokeh.models import ColumnDataSource, CustomJS, TapTool
from bokeh.plotting import figure

from earthsignals.clouds.figures.inputs import Inputs
from earthsignals.clouds.figures.likeness import neighbours as nearest
from earthsignals.clouds.figures.likeness import queries
from earthsignals.clouds.figures.planes import FEWEST, METHODS
from earthsignals.clouds.pages.parts import plane_figure, regimes_below, tile_columns, tile_hover
from earthsignals.pages import Page
from earthsignals.pages.parts import bare
from earthsignals.results import MissingData

ACROSS, DOWN = 4, 4
COPIED = ("tile", "regime", "colour", "scene", "moment", "place", "facts")
AT_CLICK = """
if (tiles.selected.indices.length == 0) return
const query = tiles.selected.indices[0], d = tiles.data, D = vectors.data.dimension[0]
const values = vectors.data.values[0]
const distance = d.scene.map((_, n) => {
  let sum = 0
  for (let k = 0; k < D; k++) sum += (values[n * D + k] - values[query * D + k]) ** 2
  return Math.sqrt(sum) / unit
})
const others = [...distance.keys()].filter(n => d.scene[n] != d.scene[query])
others.sort((a, b) => distance[a] - distance[b])
const chosen = [query, ...others.slice(0, places - 1)]
const found = {x: chosen.map((_, k) => k % across), y: chosen.map((_, k) => -Math.floor(k / across))}
for (const name of copied) found[name] = chosen.map(n => d[name][n])
found.said = chosen.map((n, k) => k == 0 ? "clicked" : distance[n].toFixed(2))
gallery.data = found
lines.data = {
  xs: chosen.slice(1).map(n => [d.x[query], d.x[n]]), ys: chosen.slice(1).map(n => [d.y[query], d.y[n]]),
}
"""


def neighbours(inputs: Inputs) -> Page:
    """A plane of tiles to click on, and beside it the nearest tiles from other scenes with distances."""
    inputs.need_tiles(2)
    scenes, regimes = (inputs.tiles[name].to_numpy(object) for name in ("scene", "regime"))
    if len(set(scenes)) < 2:
        raise MissingData("all study tiles are of one scene: there is no other to find neighbours in")
    method = "tsne" if len(inputs.tiles) >= FEWEST else "pca"
    plane = inputs.planes.of(method)
    columns = tile_columns(inputs, np.arange(len(inputs.tiles)))
    x, y = plane.astype(np.float32).T.copy()
    tiles = ColumnDataSource(columns | {"x": x, "y": y})
    first = int(queries(regimes, 1, inputs.seed)[0])
    found, distance = nearest(inputs.embedding, scenes, first, ACROSS * DOWN - 1)
    chosen = [first, *found.tolist()]
    said = ["clicked", *(f"{far / inputs.pair_distance:.2f}" for far in distance)]
    place = np.arange(len(chosen))
    gallery = ColumnDataSource(
        {name: [columns[name][k] for k in chosen] for name in COPIED}
        | {"x": (place % ACROSS).tolist(), "y": (-(place // ACROSS)).tolist(), "said": said}
    )
    lines = ColumnDataSource({
        "xs": [[plane[first, 0], plane[k, 0]] for k in found],
        "ys": [[plane[first, 1], plane[k, 1]] for k in found],
    })  # fmt: skip
    tiles.selected.indices = [first]
    vectors = ColumnDataSource({
        "values": [np.ascontiguousarray(inputs.embedding, np.float32).reshape(-1)],
        "dimension": [inputs.embedding.shape[1]],
    })  # fmt: skip
    known = {
        "tiles": tiles, "gallery": gallery, "lines": lines, "vectors": vectors, "copied": list(COPIED),
        "places": ACROSS * DOWN, "across": ACROSS, "unit": inputs.pair_distance,
    }  # fmt: skip
    tiles.selected.js_on_change("indices", CustomJS(args=known, code=AT_CLICK))
    title = f"click a tile ({METHODS[method]})"
    return Page(row(_plane(inputs, plane, tiles, lines, title), _gallery(gallery)))


def _plane(
    inputs: Inputs, plane: np.ndarray, tiles: ColumnDataSource, lines: ColumnDataSource, title: str
) -> figure:
    made = plane_figure(title, plane, 600)
    made.multi_line("xs", "ys", source=lines, color="#555555", line_width=0.8)
    points = made.scatter(
        "x", "y", source=tiles, size=9, color="colour", line_color=None, nonselection_alpha=0.6,
        selection_line_color="black", hover_line_color="black",
    )  # fmt: skip
    made.add_tools(tile_hover([points]), TapTool(renderers=[points], mode="replace"))
    regimes_below(made, inputs.regimes)
    return made


def _gallery(source: ColumnDataSource) -> figure:
    made = figure(
        title="nearest, from other scenes: distance over the median of two tiles", width=540, height=620,
        tools="", toolbar_location=None, x_range=(-0.55, ACROSS - 0.45), y_range=(-DOWN + 0.35, 0.55),
    )  # fmt: skip
    frames = made.rect("x", "y", 0.9, 0.8, source=source, color="colour")
    made.image_url("tile", "x", "y", 0.84, 0.747, anchor="center", source=source)
    made.text(
        "x", "y", "said", y_offset=70, source=source, text_align="center",
        text_font_size="12px",
    )  # fmt: skip
    made.add_tools(tile_hover([frames]))
    bare(made)
    made.outline_line_color = None
    return made
