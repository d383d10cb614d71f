"""A flightline's enhancement under its saliency, with found and true plumes and their rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.layouts import column
from bokeh.models import (
    ColorBar,
    ColumnDataSource,
    CustomJSHover,
    FixedTicker,
    HoverTool,
    LinearColorMapper,
    Range1d,
    Slider,
)  # fmt: skip
from bokeh.palettes import Cividis256
from bokeh.plotting import figure

from earthsignals.figures.thinning import thin_image
from earthsignals.pages import Page
from earthsignals.pages.parts import TOOLS, hover
from earthsignals.plume.figures.flightline import CONFUSER, FOUND, TRUE
from earthsignals.plume.figures.inputs import take
from earthsignals.plume.pages.codes import OFFSET, SCORES, coded_ppm_m, coded_score
from earthsignals.plume.pages.inputs import Inputs
from earthsignals.plume.pages.outlines import outlines, owners

CEILING_PPM_M = 1500
MOST_PIXELS = 150_000
FAR_PX = 12.0
"""A piece farther than this from every source belongs to none."""
WIDTH = 1080
INVALID = "#d9d9d9"
PIXEL_TOOLTIP = """<div style="font-size:12px"><b>@ch4{custom}</b><br>probability of a plume @saliency{custom}
<br><span style="color:#666">$x{0.00} km along, $y{0.00} km across</span></div>"""
PLUME_TOOLTIP = '<div style="font-size:12px;max-width:280px"><b>@what</b><br>@said</div>'


def flightline(inputs: Inputs) -> Page:
    """One figure, the flightline lying on its side: all layers in kilometres along and across its track."""
    names = ("ch4", "saliency", "truth", "found", "pixel_m", "stem")
    ch4, saliency, truth, found, pixel_m, stem = take(inputs.arrays, *(f"flightline/{n}" for n in names))
    name = stem.item().decode() if isinstance(stem, np.ndarray) else bytes(stem).decode()
    km = float(pixel_m) / 1000
    # Rows of the image become places along the track.
    long, wide = ch4.shape[0] * km, ch4.shape[1] * km
    made = figure(
        title=f"{name}, {long:.1f} km × {wide:.1f} km", tools=TOOLS, active_scroll="wheel_zoom",
        width=WIDTH, height=round(WIDTH * wide / long) + 130, sizing_mode="scale_width", max_width=WIDTH,
        x_range=Range1d(0, long, bounds="auto"), y_range=Range1d(wide, 0, bounds="auto"),
        x_axis_label="along track (km)", y_axis_label="across track (km)", background_fill_color=INVALID,
    )  # fmt: skip
    made.grid.visible = False
    made.toolbar.logo = None
    shown, step = _images(made, ch4.T, saliency.T, km)
    known, seen = inputs.plumes_true(name), inputs.plumes_found(name)
    marks = [
        _outlined(made, truth.T, [_true(p) for p in known], km, "true plume", TRUE, 1.4),
        _outlined(made, found.T, [_found(p) for p in seen], km, "found plume", FOUND, 2.2),
        _points(made, known, "true source", "inverted_triangle", TRUE, km),
        _points(made, inputs.confusers(name), "confuser", "square", CONFUSER, km),
    ]
    told = [mark for mark in marks if mark is not None]
    made.add_tools(hover(told, PLUME_TOOLTIP, attachment="vertical"))
    made.legend.orientation = "horizontal"
    made.legend.click_policy = "hide"
    made.add_layout(made.legend[0], "below")
    opacity = Slider(
        start=0, end=1, step=0.05, value=0.5, title="opacity of the saliency", width=320, format="0.00"
    )
    shown.glyph.global_alpha = opacity.value
    opacity.js_link("value", shown.glyph, "global_alpha")
    note = f"Pixels are means of {step} × {step} of the flightline's own." if step > 1 else ""
    return Page(column(opacity, made, sizing_mode="stretch_width"), note=note)


def _images(made: figure, ch4: np.ndarray, saliency: np.ndarray, km: float) -> tuple[Any, int]:
    """Enhancement and saliency (across, along); returns the saliency's renderer, and the blocks' edge."""
    (small, step), (share, _) = (thin_image(image.astype(float), MOST_PIXELS) for image in (ch4, saliency))
    source = ColumnDataSource({"ch4": [coded_ppm_m(small)], "saliency": [coded_score(share)]})
    # The last blocks may reach beyond the flightline. Rows count downwards, as the axis does.
    extent = {"x": 0, "y": 0, "dw": small.shape[1] * step * km, "dh": small.shape[0] * step * km}
    enhancement = LinearColorMapper(Cividis256, low=OFFSET, high=OFFSET + CEILING_PPM_M)
    drawn = made.image("ch4", source=source, color_mapper=enhancement, **extent)
    unknown = LinearColorMapper([INVALID], low=0, high=1, high_color="rgba(0,0,0,0)")
    made.image("ch4", source=source, color_mapper=unknown, **extent)
    mapper = LinearColorMapper(_clear_to_red(), low=1, high=1 + SCORES, low_color="rgba(0,0,0,0)")
    shown = made.image("saliency", source=source, color_mapper=mapper, **extent)
    ticks = {OFFSET + ppm: f"{ppm:,}" for ppm in range(0, CEILING_PPM_M + 1, 500)}
    made.add_layout(ColorBar(
        color_mapper=enhancement, ticker=FixedTicker(ticks=list(ticks)), major_label_overrides=ticks,
        title="ppm m", width=10, bar_line_color=None,
    ), "right")  # fmt: skip
    code = f'return value == 0 ? "no data" : `${{(value - {OFFSET}).toLocaleString("en")}} ppm m`'
    known = f'return value == 0 ? "not known" : ((value - 1) / {SCORES}).toFixed(2)'
    made.add_tools(HoverTool(
        renderers=[drawn], tooltips=PIXEL_TOOLTIP, point_policy="follow_mouse", attachment="horizontal",
        formatters={"@ch4": CustomJSHover(code=code), "@saliency": CustomJSHover(code=known)},
    ))  # fmt: skip
    return shown, step


def _clear_to_red() -> list[str]:
    """256 colours from clear to a strong red: where the network sees nothing, the enhancement stays."""
    share = np.linspace(0, 1, 256)
    colours = zip(
        255 - 20 * share, 190 - 170 * share, 90 - 10 * share, 255 * share, strict=True
    )
    return ["#" + "".join(f"{round(part):02x}" for part in each) for each in colours]


def _outlined(
    made: figure, mask: np.ndarray, plumes: Sequence[tuple[float, float, str]], km: float, what: str,
    colour: str, width: float,
) -> Any:  # fmt: skip
    """Borders of a mask's pieces; pointing at one tells of the plume whose source is nearest."""
    mask = np.asarray(mask, bool)
    borders = outlines(mask)
    # Of transposed images: a row is what was a column.
    of = owners(mask, [(col, row) for row, col, _ in plumes], FAR_PX)
    source = ColumnDataSource({
        "xs": [((border[:, 0] + 0.5) * km).round(4).tolist() for border in borders],
        "ys": [((border[:, 1] + 0.5) * km).round(4).tolist() for border in borders],
        "what": [what] * len(borders),
        "said": [plumes[k][2] if k >= 0 else "nothing more is known of it" for k in of.tolist()],
    })  # fmt: skip
    return made.patches(
        "xs", "ys", source=source, fill_alpha=0, fill_color=colour, line_color=colour, line_width=width,
        hover_fill_alpha=0.25, hover_fill_color=colour, hover_line_color=colour, legend_label=what,
    )  # fmt: skip


def _points(
    made: figure, places: Sequence[Mapping[str, Any]], what: str, marker: str, colour: str, km: float
) -> Any:
    if not places:
        return None
    source = ColumnDataSource({
        "x": [(float(p["row"]) + 0.5) * km for p in places],
        "y": [(float(p["col"]) + 0.5) * km for p in places],
        "what": [what] * len(places), "said": [p.get("kind") or _true(p)[2] for p in places],
    })  # fmt: skip
    return made.scatter(
        "x", "y", source=source, size=9, marker=marker, fill_alpha=0, line_color=colour, line_width=1.6,
        legend_label=what,
    )  # fmt: skip


def _true(plume: Mapping[str, Any]) -> tuple[float, float, str]:
    """Row, column and what is known of a true plume."""
    rate, wind = plume.get("rate_kg_h"), plume.get("wind_m_s")
    said = f"true rate {rate:,.0f} kg/h" if rate is not None else "rate not known"
    return float(plume["row"]), float(plume["col"]), said + (f", wind {wind:.1f} m/s" if wind else "")


def _found(plume: Mapping[str, Any]) -> tuple[float, float, str]:
    """Row, column and what was estimated of a found plume."""
    said = f"score {plume['score']:.2f}, {plume['ime_kg']:,.1f} kg in {plume['area_m2']:,.0f} m²"
    if plume.get("rate_kg_h") is not None:
        said = (
            f"{plume['rate_kg_h']:,.0f} kg/h ± {plume['rate_error_kg_h']:,.0f} "
            f"(95 %: {plume['rate_low_95']:,.0f} to {plume['rate_high_95']:,.0f}); {said}"
        )
    elif plume.get("rate_reason"):
        said = f"no rate: {plume['rate_reason']}; {said}"
    return float(plume["source_row"]), float(plume["source_col"]), said
