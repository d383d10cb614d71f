"""Absorbance under sliders of temperature, pressure and mole fraction, with the lines below it."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, CustomJS, CustomJSTickFormatter, DataRange1d, Slider
from bokeh.plotting import figure

from earthsignals.figures import COLOURS
from earthsignals.pages import Page
from earthsignals.pages.parts import TOOLS, along_line, hover
from earthsignals.tdlas.lines import METHANE, LineList
from earthsignals.tdlas.pages.curves import Nodes, nodes
from earthsignals.tdlas.pages.inputs import Inputs

START_PPM = 10_000.0
WIDTH = 1080
CURVE_TOOLTIP = """<div style="font-size:12px"><b>@nu{0.000} cm⁻¹</b><br>absorbance @now{0.00000}
<br><span style="color:#666">@began{0.00000} at the beginning</span></div>"""
LINE_TOOLTIP = """<div style="font-size:12px"><b>@molecule line at @nu{0.0000} cm⁻¹</b>
<br>strength @strength cm/molecule at 296 K<br>air-broadened half width @gamma{0.000} cm⁻¹/atm
<br>energy of the lower state @energy{0.0} cm⁻¹</div>"""
AS_PPM = 'return `${(10 ** tick).toLocaleString("en", {maximumSignificantDigits: 3})} ppm`'
AT_MOVE = """
const ppm = 10 ** fraction.value
const between = (nodes, value) => {
  let low = 0
  while (low < nodes.length - 2 && value > nodes[low + 1]) low++
  const share = (value - nodes[low]) / (nodes[low + 1] - nodes[low])
  return [[low, 1 - share], [low + 1, share]]
}
const {t, p, x, values} = Object.fromEntries(Object.entries(known.data).map(([k, v]) => [k, v[0]]))
const now = curve.data.now
now.fill(0)
for (const [a, in_t] of between(t, temperature.value))
  for (const [b, in_p] of between(p, pressure.value))
    for (const [c, in_x] of between(x, ppm * 1e-6)) {
      const weight = in_t * in_p * in_x * ppm * 1e-6
      const first = ((a * p.length + b) * x.length + c) * now.length
      for (let i = 0; i < now.length; i++) now[i] += weight * values[first + i]
    }
curve.change.emit()
"""


def spectra(inputs: Inputs) -> Page:
    """A curve that follows three sliders, worked out in the browser between nodes of the Voigt sum."""
    gas = inputs.params.gas
    found = nodes(inputs.lines, gas, inputs.file.window, inputs.file.path_cm)
    start_ppm = min(START_PPM, gas.mole_fraction_ppm.high)
    start = found.at(gas.temperature_k.middle, gas.pressure_atm.middle, 1e-6 * start_ppm)
    curve = ColumnDataSource({
        "nu": found.nu, "now": start.astype(np.float32), "began": start.astype(np.float32),
    })  # fmt: skip
    top = figure(
        height=380, width=WIDTH, sizing_mode="stretch_width", max_width=WIDTH, tools=TOOLS,
        active_scroll="wheel_zoom", x_range=inputs.file.window, y_range=DataRange1d(start=0),
        y_axis_label=f"absorbance over {inputs.file.path_cm:g} cm", min_border_left=80,
    )  # fmt: skip
    top.line("nu", "began", source=curve, color="#aaaaaa", line_width=1.2)
    moved = top.line("nu", "now", source=curve, color=COLOURS["blue"], line_width=1.8)
    top.add_tools(along_line(moved, CURVE_TOOLTIP))
    top.xaxis.visible = False
    top.toolbar.logo = None
    sliders = _sliders(inputs, start_ppm)
    move = CustomJS(args={"curve": curve, "known": _packed(found), **sliders}, code=AT_MOVE)
    for slider in sliders.values():
        slider.js_on_change("value", move)
    controls = row(*sliders.values(), styles={"flex-wrap": "wrap"}, sizing_mode="stretch_width")
    below = _sticks(inputs.lines.within(*inputs.file.window), top)
    return Page(column(controls, top, below, sizing_mode="stretch_width"))


def _sliders(inputs: Inputs, start_ppm: float) -> dict[str, Slider]:
    t, p, x = (getattr(inputs.params.gas, n) for n in ("temperature_k", "pressure_atm", "mole_fraction_ppm"))
    looks: dict[str, Any] = {"width": 300, "margin": (5, 25, 5, 5)}
    return {
        "temperature": Slider(
            start=t.low, end=t.high, value=t.middle, step=1, title="temperature (K)", format="0", **looks
        ),
        "pressure": Slider(
            start=p.low, end=p.high, value=p.middle, step=0.01, title="pressure (atm)", format="0.00", **looks
        ),
        # The slider's number is a power of ten; its title says what that is in ppm.
        "fraction": Slider(
            start=np.log10(x.low), end=np.log10(x.high), value=np.log10(start_ppm), step=0.01,
            title="mole fraction", format=CustomJSTickFormatter(code=AS_PPM), **looks,
        ),
    }  # fmt: skip


def _packed(found: Nodes) -> ColumnDataSource:
    arrays = {
        "t": found.temperature_k, "p": found.pressure_atm, "x": found.mole_fraction,
        "values": found.per_fraction.reshape(-1),
    }  # fmt: skip
    return ColumnDataSource({name: [values] for name, values in arrays.items()})


def _sticks(lines: LineList, top: figure) -> figure:
    """Each line at its place, as high as it is strong."""
    floor = 0.3 * float(lines.intensity.min()) if len(lines) else 1e-25
    source = ColumnDataSource({
        "nu": lines.nu, "floor": np.full(len(lines), floor), "height": lines.intensity,
        "molecule": ["CH₄" if m == METHANE else "H₂O" for m in lines.molecule.tolist()],
        "strength": [f"{s:.3g}" for s in lines.intensity], "gamma": lines.gamma_air,
        "energy": lines.lower_energy,
    })  # fmt: skip
    made = figure(
        height=170, width=WIDTH, sizing_mode="stretch_width", max_width=WIDTH, tools="",
        toolbar_location=None, x_range=top.x_range, y_axis_type="log", x_axis_label="wavenumber (cm⁻¹)",
        y_axis_label="cm/molecule", min_border_left=80,
    )  # fmt: skip
    made.segment("nu", "floor", "nu", "height", source=source, color=COLOURS["vermillion"], line_width=1.5)
    heads = made.scatter(
        "nu", "height", source=source, size=8, color=COLOURS["vermillion"], hover_color=COLOURS["black"]
    )
    made.add_tools(hover([heads], LINE_TOOLTIP))
    made.xaxis.formatter.use_scientific = False
    return made
