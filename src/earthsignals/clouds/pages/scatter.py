"""The embedding in two dimensions; the mouse shows each tile."""

from __future__ import annotations

import numpy as np
from bokeh.models import CDSView, ColumnDataSource, IndexFilter, TabPanel, Tabs

from earthsignals.clouds.figures.inputs import Inputs
from earthsignals.clouds.figures.likeness import apart
from earthsignals.clouds.figures.planes import METHODS
from earthsignals.clouds.pages.parts import plane_figure, regimes_below, tile_columns, tile_hover
from earthsignals.compute.seeds import philox
from earthsignals.pages import Page

EDGE, TILE, PIXELS = 820, 52, 58


def scatter(inputs: Inputs) -> Page:
    """A tab for each method; tiles drawn at random stand where they do not overlap."""
    planes, reasons = inputs.planes.available()
    columns = tile_columns(inputs, np.arange(len(inputs.tiles)), PIXELS)
    for method, plane in planes.items():
        columns[f"{method}_x"], columns[f"{method}_y"] = plane.astype(np.float32).T.copy()
    source = ColumnDataSource(columns)
    tabs = []
    for method, plane in planes.items():
        made = plane_figure(METHODS[method], plane, EDGE)
        points = made.scatter(
            f"{method}_x", f"{method}_y", source=source, size=8, color="colour", alpha=0.75, line_color=None,
            hover_line_color="black",
        )  # fmt: skip
        extent = 1.12 * (plane.max(0) - plane.min(0)) * (TILE + 6) / EDGE
        order = philox(inputs.seed, f"clouds-scatter-{method}").permutation(len(plane))
        shown = apart(plane, order, *extent)
        # A view of the one source: pictures stand in the page once.
        view = CDSView(filter=IndexFilter([int(k) for k in shown]))
        at = {"x": f"{method}_x", "y": f"{method}_y", "source": source, "view": view}
        frames = made.rect(
            **at, width=TILE + 4, height=TILE + 4, width_units="screen", height_units="screen", color="colour"
        )
        made.image_url("tile", **at, anchor="center", w=TILE, h=TILE, w_units="screen", h_units="screen")
        made.add_tools(tile_hover([frames, points]))
        regimes_below(made, inputs.regimes)
        tabs.append(TabPanel(child=made, title=METHODS[method]))
    note = " ".join(f"{METHODS[m]} is left out: {reason}." for m, reason in reasons.items())
    return Page(Tabs(tabs=tabs), note=note)
