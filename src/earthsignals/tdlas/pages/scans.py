"""Test scans one after the other: the signal, the absorbance behind it, and every method's estimate."""

from __future__ import annotations

import numpy as np
from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, CustomJS, CustomJSTickFormatter, Range1d, Slider, Span
from bokeh.plotting import figure

from earthsignals.pages import Page
from earthsignals.pages.parts import TOOLS, along_line, hover
from earthsignals.results import MissingData
from earthsignals.tdlas.figures.inputs import take
from earthsignals.tdlas.figures.methods import METHODS
from earthsignals.tdlas.pages.inputs import Inputs
from earthsignals.tdlas.simulate import PPM
from earthsignals.tdlas.voigt import Gas, absorption_coefficient

SHOWN = 16
"""Scans, evenly over the ranks of their mole fractions."""
POINTS = 500
FARTHEST = 6.0
"""Standard deviations of the bound at the edge; estimates beyond are drawn on it."""
ORDER = ("model", "least_squares", "pls", "ridge", "course")
TOOLTIP = """<div style="font-size:12px"><b>@label</b><br>@estimate ppm<br>true @truth ppm<br>@said</div>"""
AT_MOVE = """
const k = slider.value, of = name => every.data[name][k]
for (const name of ["signal", "absorbance"]) trace.data[name] = of(name)
trace.change.emit()
for (const name of ["place", "estimate", "truth", "said", "marker"]) marks.data[name] = of(name)
marks.change.emit()
bars.data.left = of("left"); bars.data.right = of("right")
bars.change.emit()
"""


def scans(inputs: Inputs) -> Page:
    """A slider over scans, two traces, and the estimates on a scale of the Cramér–Rao bound."""
    rows, every, time = _every(inputs)
    methods = [name for name in ORDER if f"test/{name}_ppm" in inputs.arrays]
    labels = [METHODS[name].label for name in methods]
    first = len(rows) // 2
    trace = ColumnDataSource({"ms": time, **{n: every[n][first] for n in ("signal", "absorbance")}})
    marks = ColumnDataSource({
        "label": labels, "colour": [METHODS[name].colour for name in methods],
        **{n: every[n][first] for n in ("place", "estimate", "truth", "said", "marker")},
    })  # fmt: skip
    bars = ColumnDataSource({
        "label": [labels[0]] * 2, "left": every["left"][first], "right": every["right"][first],
        "height": [0.16, 0.34],
    })  # fmt: skip
    slider = Slider(
        start=0, end=len(rows) - 1, step=1, value=first, title="scan", width=420,
        format=CustomJSTickFormatter(args={"titles": every.pop("title")}, code="return titles[tick]"),
    )  # fmt: skip
    known = {"slider": slider, "every": ColumnDataSource(every), "trace": trace, "marks": marks, "bars": bars}
    slider.js_on_change("value", CustomJS(args=known, code=AT_MOVE))
    above = _trace(trace, "signal", "detector signal", "#0072B2")
    below = _trace(trace, "absorbance", "absorbance", "#D55E00", x_range=above.x_range)
    traces = column(above, below, styles={"flex": "1 1 420px"}, sizing_mode="stretch_width")
    judged = column(
        _estimates(marks, bars, labels), styles={"flex": "1 1 420px"}, sizing_mode="stretch_width"
    )
    both = row(traces, judged, styles={"flex-wrap": "wrap"}, sizing_mode="stretch_width")
    return Page(column(slider, both, sizing_mode="stretch_width", max_width=1120))


def _every(inputs: Inputs) -> tuple[np.ndarray, dict[str, list], np.ndarray]:
    """Rows of the chosen test scans, columns with one entry for each, and times (N,) in ms."""
    names = ("truth", "bound", "model", "low_68", "high_68", "low_95", "high_95")
    truth, bound, _, *edges = take(
        inputs.arrays, *(f"test/{n}" if "_" in n else f"test/{n}_ppm" for n in names)
    )
    test = inputs.file.rows("test")
    if len(test) != len(truth):
        raise MissingData(f"{len(truth)} scans were judged and the dataset's test split has {len(test)}")
    methods = [name for name in ORDER if f"test/{name}_ppm" in inputs.arrays]
    # The slow methods estimate a part of the scans alone.
    whole = np.isfinite([inputs.arrays[f"test/{name}_ppm"] for name in methods]).all(0)
    order = np.argsort(truth, kind="stable")
    order = order[whole[order]]
    if not len(order):
        raise MissingData("no test scan was estimated by all methods")
    which = order[np.linspace(0, len(order) - 1, min(SHOWN, len(order))).round().astype(int)]
    rank = np.argsort(np.argsort(test[which]))  # HDF5 is read in the order of rows
    chosen = inputs.file.read(np.sort(test[which]))
    t = np.asarray(inputs.file.handle["t"][:])
    step = -(-len(t) // POINTS)
    every: dict[str, list] = {name: [] for name in (
        "title", "signal", "absorbance", "place", "estimate", "truth", "said", "marker", "left", "right"
    )}  # fmt: skip
    c = chosen.conditions
    for shown, (k, number) in enumerate(zip(which.tolist(), rank.tolist(), strict=True)):
        state = Gas(
            float(c.temperature_k[number]), float(c.pressure_atm[number]), float(truth[k]) * PPM,
            inputs.params.gas.water_mole_fraction,
        )  # fmt: skip
        absorbance = absorption_coefficient(inputs.file.nu, inputs.lines, state, inputs.params.gas)
        estimates = np.array([inputs.arrays[f"test/{name}_ppm"][k] for name in methods])
        off = (estimates - truth[k]) / bound[k]
        every["title"].append(
            f"{shown + 1} of {len(which)}: {_ppm(truth[k])} ppm, {state.temperature_k:.1f} K, "
            f"{state.pressure_atm:.3f} atm"
        )
        every["signal"].append(chosen.signal[number, ::step].astype(np.float32))
        every["absorbance"].append((absorbance * inputs.file.path_cm)[::step].astype(np.float32))
        every["place"].append(np.clip(off, -FARTHEST, FARTHEST))
        every["marker"].append(["circle" if abs(o) <= FARTHEST else "triangle" for o in off])
        every["estimate"].append([_ppm(e) for e in estimates])
        every["truth"].append([_ppm(truth[k])] * len(methods))
        every["said"].append([f"{o:+.1f} standard deviations of the bound" for o in off])
        low_68, high_68, low_95, high_95 = (
            float(np.clip((edge[k] - truth[k]) / bound[k], -FARTHEST, FARTHEST)) for edge in edges
        )
        every["left"].append([low_95, low_68])
        every["right"].append([high_95, high_68])
    return which, every, (1e3 * t[::step]).astype(np.float32)


def _ppm(value: float) -> str:
    """Four digits, without an exponent."""
    return f"{value:,.{max(0, 3 - int(np.floor(np.log10(max(abs(value), 1e-3)))))}f}"


def _trace(source: ColumnDataSource, name: str, label: str, colour: str, **looks: object) -> figure:
    made = figure(
        height=250, tools=TOOLS, active_scroll="wheel_zoom", x_axis_label="time (ms)", y_axis_label=label,
        sizing_mode="stretch_width", min_border_left=75, **looks,
    )  # fmt: skip
    line = made.line("ms", name, source=source, color=colour, line_width=1.2)
    tooltip = f'<div style="font-size:12px">@ms{{0.0}} ms<br>{name} <b>@{name}{{0.00000}}</b></div>'
    made.add_tools(along_line(line, tooltip))
    made.toolbar.logo = None
    return made


def _estimates(marks: ColumnDataSource, bars: ColumnDataSource, labels: list[str]) -> figure:
    made = figure(
        height=500, y_range=labels[::-1], x_range=Range1d(-1.05 * FARTHEST, 1.05 * FARTHEST), tools="",
        toolbar_location=None, x_axis_label="(estimate − truth) / Cramér–Rao bound",
        sizing_mode="stretch_width",
    )  # fmt: skip
    for at, dash in ((0.0, "solid"), (-1.0, "dotted"), (1.0, "dotted")):
        made.add_layout(Span(location=at, dimension="height", line_color="#444444", line_dash=dash))
    made.hbar(
        y="label", left="left", right="right", height="height", source=bars, color="#0072B2", alpha=0.25
    )  # fmt: skip
    points = made.scatter(
        "place", "label", source=marks, size=13, color="colour", marker="marker", line_color="white",
        hover_line_color="black",
    )  # fmt: skip
    made.add_tools(hover([points], TOOLTIP))
    made.grid.grid_line_alpha = 0.4
    return made
