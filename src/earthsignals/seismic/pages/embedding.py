"""The map of latents, coloured by what is known of the records; the mouse shows each record."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import ColorBar, ColumnDataSource, Legend, LegendItem, TabPanel, Tabs
from bokeh.palettes import Cividis256
from bokeh.plotting import figure
from bokeh.transform import linear_cmap

from earthsignals.figures import COLOURS
from earthsignals.pages import Page
from earthsignals.pages.parts import TOOLS, bare, hover
from earthsignals.results import MissingData
from earthsignals.seismic.embeddings import Arrangement, arrange
from earthsignals.seismic.figures.embedding import CLUSTERS, KINDS, LEADING, MOST
from earthsignals.seismic.figures.inputs import take, text
from earthsignals.seismic.pages.inputs import Inputs
from earthsignals.seismic.pages.pictures import HEIGHT, WIDTH, Sheet, sheet
from earthsignals.seismic.store.packed import evenly

PICTURED = 1000
"""Records on the page: each costs some hundred bytes of picture."""
EDGE = 720
SCALE = 3.5
GREY = "#c9c9c9"
NUMBERS = {
    "snr_db": ("signal-to-noise ratio (dB)", 0.0, 60.0), "magnitude": ("magnitude", None, None),
    "distance_km": ("epicentral distance (km)", None, None),
}  # fmt: skip
"""Numbers of a record that colour the map: their names, and where colours end (None: at the data's ends)."""


def embedding(inputs: Inputs) -> Page:
    """A tab for each colouring of one map."""
    latents, events = take(inputs.arrays, "embedding/latent", "records/is_event")
    rows, kinds = take(inputs.arrays, "records/row", "records/kind")
    on_map = evenly(np.arange(len(latents)), MOST)
    weight = inputs.arrays.get("embedding/weight")
    values = latents if weight is not None else latents[:, :LEADING]
    clusters = int(inputs.arrays.get("embedding/clusters", CLUSTERS))
    found = arrange(values[on_map], clusters, 0, weight=weight)
    if (last := int(rows.max())) >= len(inputs.store):
        raise MissingData(f"record {last} was judged, and the store ends at {len(inputs.store) - 1}")
    places = evenly(np.arange(len(on_map)), PICTURED)
    shown = on_map[places]
    marks = np.stack(take(inputs.arrays, "records/p_sample", "records/s_sample"), 1)[shown]
    drawn = sheet(inputs.store, np.asarray(rows)[shown], inputs.image, marks)
    events, kinds = np.asarray(events, bool)[shown], np.array(text(kinds))[shown]
    source = ColumnDataSource(_columns(inputs, found, places, shown, drawn, events, kinds))
    names = ["noise" if not event else kind for event, kind in zip(events, kinds, strict=True)]
    known = ["noise", *KINDS, *sorted({*names} - {"noise", *KINDS})]
    cluster = [str(k) for k in found.cluster[places].tolist()]
    tabs = [
        _named(source, "instrument", names, [k for k in known if k in names], found),
        *(_measured(source, name, inputs, shown, events, found) for name in NUMBERS),
        _named(source, "cluster", cluster, sorted({*cluster}, key=int), found),
    ]
    note = f"{len(shown):,} of {len(latents):,} records, evenly chosen." if len(shown) < len(latents) else ""
    whole = Tabs(tabs=[tab for tab in tabs if tab is not None], sizing_mode="stretch_width")
    return Page(whole, [drawn.uri], note)


def _columns(
    inputs: Inputs, found: Arrangement, places: np.ndarray, shown: np.ndarray, drawn: Sheet,
    events: np.ndarray, kinds: np.ndarray,
) -> dict[str, Any]:  # fmt: skip
    stations, names = (text(inputs.arrays[f"records/{n}"]) for n in ("station", "event"))
    snr, magnitude, distance = (np.asarray(inputs.arrays[f"records/{n}"], float) for n in NUMBERS)
    said = []
    for k, event in zip(shown.tolist(), events, strict=True):
        parts = [f"event {names[k]}"] if event else ["noise"]
        for value, form in ((magnitude[k], "M {:.1f}"), (distance[k], "{:.0f} km"), (snr[k], "{:.0f} dB")):
            if event and np.isfinite(value):
                parts.append(form.format(value))
        said.append(", ".join(parts))
    corners = [drawn.corner(number, SCALE) for number in range(len(shown))]
    return {
        "x": found.plane[places, 0], "y": found.plane[places, 1],
        "place": [f"-{left:.0f}px -{top:.0f}px" for left, top in corners],
        "head": [f"{stations[k]} {kind}" for k, kind in zip(shown.tolist(), kinds, strict=True)],
        "said": said, "sheet": [_sheet_size(drawn)] * len(shown),
    }  # fmt: skip


def _sheet_size(drawn: Sheet) -> str:
    return f"{drawn.columns * WIDTH * SCALE:.0f}px {drawn.rows * HEIGHT * SCALE:.0f}px"


def _map(source: ColumnDataSource, found: Arrangement, colour: Any) -> tuple[figure, Any]:
    made = figure(
        title=f"{found.method} of the latents", tools=TOOLS, active_scroll="wheel_zoom", width=EDGE,
        height=EDGE, sizing_mode="scale_width", max_width=EDGE,
    )  # fmt: skip
    bare(made)
    points = made.scatter(
        "x", "y", source=source, size=8, color=colour, line_color=None, fill_alpha=0.85,
        hover_line_color="black",
    )  # fmt: skip
    tooltip = f"""<div style="font-size:12px"><div style="width:{WIDTH * SCALE:.0f}px;
height:{HEIGHT * SCALE:.0f}px;background-image:var(--picture-0);background-size:@sheet{{safe}};
background-position:@place{{safe}};margin-bottom:4px"></div><b>@head</b><br>@said</div>"""
    made.add_tools(hover([points], tooltip))
    return made, points


def _named(
    source: ColumnDataSource, what: str, names: list[str], order: list[str], found: Arrangement
) -> TabPanel:
    """Coloured by a name of each record; the legend tells how many there are of each."""
    palette = [COLOURS[c] for c in ("blue", "vermillion", "green", "orange", "purple", "sky", "black")]
    others = [name for name in order if name != "noise"]
    colours = {name: palette[k % len(palette)] for k, name in enumerate(others)} | {"noise": GREY}
    source.add([colours[name] for name in names], f"{what}_colour")
    made, _ = _map(source, found, f"{what}_colour")
    items = [
        # A point that is nowhere, for its colour.
        LegendItem(label=f"{name} ({names.count(name)})", renderers=[
            made.scatter([np.nan], [np.nan], size=9, color=colours[name])
        ])
        for name in order
    ]  # fmt: skip
    made.add_layout(Legend(
        items=items, orientation="horizontal", location="center", border_line_color=None, ncols=5
    ), "below")  # fmt: skip
    return TabPanel(child=made, title=what)


def _measured(
    source: ColumnDataSource, name: str, inputs: Inputs, shown: np.ndarray, events: np.ndarray,
    found: Arrangement,
) -> TabPanel | None:  # fmt: skip
    """Coloured by a number of each record, grey where there is none; None where no record has it."""
    label, low, high = NUMBERS[name]
    values = np.where(events, np.asarray(inputs.arrays[f"records/{name}"], float)[shown], np.nan)
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, high = float(known.min()) if low is None else low, float(known.max()) if high is None else high
    source.add(values.astype(np.float32), name)
    colour = linear_cmap(name, Cividis256, low, high, nan_color=GREY)
    made, _ = _map(source, found, colour)
    bar = ColorBar(color_mapper=colour["transform"], height=10, title=label, bar_line_color=None)
    made.add_layout(bar, "below")
    return TabPanel(child=made, title=label.split(" (")[0])
