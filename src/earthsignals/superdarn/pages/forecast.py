"""A forecast lead by lead beside the truth and what radars saw, with a slider and a button that plays it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from bokeh.layouts import column, row
from bokeh.models import (
    ColorBar,
    ColumnDataSource,
    CustomJS,
    CustomJSTickFormatter,
    LinearColorMapper,
    Select,
    Slider,
    Toggle,
)  # fmt: skip
from bokeh.plotting import figure

from earthsignals.pages import Page
from earthsignals.pages.parts import hover
from earthsignals.superdarn.figures.dial import ARROW_DEG, Speeds, rim_of
from earthsignals.superdarn.figures.inputs import Example, Inputs
from earthsignals.superdarn.pages.dial import EDGE, dial
from earthsignals.superdarn.pages.frames import (
    GAP,
    MOST_SEEN,
    STEP_DEG,
    Frames,
    drift_frame,
    potential_frame,
    seen_frame,
)  # fmt: skip

FRAME_MS = 350
MOST_FRAMES = 16
TITLES = {"forecast": "forecast", "truth": "true drift (simulated)", "seen": "seen by radars"}
TOOLTIP = """<div style="font-size:12px"><b>@speed{0} m/s</b>__SIGHT__<br>@mlat{0.0}° magnetic latitude
<br>@mlt{00.0} h local time</div>"""
SHOW = """
const k = Number(choice.value), i = slider.value
for (const [name, panel] of Object.entries(panels)) {
  const {first, x, y, u, v} = Object.fromEntries(
    Object.entries(packed[k][name].data).map(([n, column]) => [n, column[0]])
  )
  const shown = {x: [], y: [], x1: [], y1: [], turn: [], speed: [], size: [], mlat: [], mlt: []}
  for (let n = first[i]; n < first[i + 1]; n++) {
    const at = [x[n] * step, y[n] * step], by = [u[n] * step, v[n] * step]
    shown.x.push(at[0]); shown.y.push(at[1])
    shown.x1.push(at[0] + by[0]); shown.y1.push(at[1] + by[1])
    shown.turn.push(Math.atan2(by[1], by[0]) - Math.PI / 2)
    const speed = 1000 / arrow * Math.hypot(...by)
    shown.speed.push(speed)
    shown.size.push(2 + 5 * Math.min(speed / 300, 1))
    shown.mlat.push(signs[k] * (90 - Math.hypot(...at)))
    shown.mlt.push((Math.atan2(at[1], at[0]) * 12 / Math.PI + 30) % 24)
  }
  panel.data = shown
}
for (const [name, panel] of Object.entries(contours)) {
  const {first, x, y} = Object.fromEntries(
    Object.entries(lines[k][name].data).map(([n, column]) => [n, column[0]])
  )
  const part = values => [...values.slice(first[i], first[i + 1])].map(n => n == gap ? NaN : n * step)
  panel.data = {x: part(x), y: part(y)}
}
slider.title = said[k][i]
"""
PLAY = """
if (!cb_obj.active) {
  clearInterval(cb_obj.tags[0])
  cb_obj.label = "▶ play"
} else {
  cb_obj.label = "❚❚ pause"
  cb_obj.tags = [setInterval(() => {
    slider.value = slider.value >= slider.end ? slider.start : slider.value + 1
  }, wait)]
}
"""


def forecast(inputs: Inputs) -> Page:
    """Dials side by side for one of the kept forecasts, chosen by its time of issue."""
    start = inputs.examples.index(inputs.example())
    examples = inputs.examples
    step = -(-max(len(example.leads) for example in examples) // MOST_FRAMES)
    # The last lead stays, whatever is left out.
    leads = [example.leads[::-1][::step][::-1].tolist() for example in examples]
    count = min(map(len, leads))
    leads = [ahead[:count] for ahead in leads]
    speeds = Speeds.of(*(np.hypot(*e.forecast.swapaxes(0, 1)) for e in examples), share=99.0)
    names = ["forecast", *(["truth"] if any(e.truth for e in examples) else []), "seen"]
    packed = [
        {name: _frames(example, name, ahead) for name in names}
        for example, ahead in zip(examples, leads, strict=True)
    ]
    lines = [{"forecast": _lines(*each)} for each in zip(examples, leads, strict=True)]
    rim = rim_of(*(example.mlat for example in examples))
    mapper = LinearColorMapper(
        [mpl.colors.to_hex(c) for c in speeds.colours(np.linspace(0, 1, 256))], low=0, high=speeds.top
    )
    panels, contours, dials = {}, {}, []
    for name in names:
        made = dial(TITLES[name], rim)
        if name == "forecast":
            contours[name] = ColumnDataSource(lines[start][name].frame(0))
            made.line("x", "y", source=contours[name], color="#9a9a9a", line_width=0.8)
        panels[name] = ColumnDataSource(_arrows(packed[start][name], 0, examples[start]))
        _draw(made, panels[name], mapper, name == "seen")
        dials.append(made)
    _scale(dials[0], rim)
    said = [
        [f"{example.moment(lead)}, {lead} min ahead" for lead in ahead]
        for example, ahead in zip(examples, leads, strict=True)
    ]
    slider = Slider(
        start=0, end=count - 1, step=1, value=0, title=said[start][0], show_value=False, width=380,
        format=CustomJSTickFormatter(code="return ''"),
    )  # fmt: skip
    choice = Select(
        title="issued", value=str(start), width=240,
        options=[(str(k), f"{example.moment()}") for k, example in enumerate(examples)],
    )  # fmt: skip
    play = Toggle(label="▶ play", width=100, height=34, margin=(18, 10, 5, 5))
    show = CustomJS(code=SHOW, args={
        "choice": choice, "slider": slider, "panels": panels, "contours": contours, "said": said,
        "packed": [_sources(frames) for frames in packed], "lines": [_sources(frames) for frames in lines],
        "signs": [float(np.sign(np.nanmean(e.mlat))) for e in examples], "step": STEP_DEG, "gap": int(GAP),
        "arrow": ARROW_DEG,
    })  # fmt: skip
    slider.js_on_change("value", show)
    choice.js_on_change("value", show)
    play.js_on_change("active", CustomJS(args={"slider": slider, "wait": FRAME_MS}, code=PLAY))
    wrap: dict[str, Any] = {"styles": {"flex-wrap": "wrap"}, "sizing_mode": "stretch_width"}
    controls = row(choice, play, slider, **wrap)
    whole = column(controls, row(*dials, **wrap), _bar(mapper), sizing_mode="stretch_width")
    return Page(whole, note=_note(examples))


def _note(examples: Sequence[Example]) -> str:
    notes = []
    if max(len(seen) for example in examples for seen in example.seen.values()) > MOST_SEEN:
        notes.append(f"Of more than {MOST_SEEN} vectors that radars saw, as many are shown.")
    if any(e.truth and set(e.truth) < set(e.leads.tolist()) for e in examples):
        notes.append("Where the true drift was not kept of a lead, that of the nearest one is shown.")
    return " ".join(notes)


def _frames(example: Example, name: str, leads: list[int]) -> Frames:
    if name == "seen":
        return Frames.of(seen_frame(example, lead, ARROW_DEG) for lead in leads)
    if name == "forecast":
        drifts = {lead: example.forecast[example.at(lead)] for lead in leads}
    elif example.truth:
        # Kept for some leads alone: the drift changes little until the next of them.
        drifts = {lead: example.truth[example.nearest(lead, example.truth)] for lead in leads}
    else:
        drifts = dict.fromkeys(leads, np.full(example.forecast.shape[1:], np.nan))
    return Frames.of(drift_frame(example, drift, lead, ARROW_DEG) for lead, drift in drifts.items())


def _lines(example: Example, leads: list[int]) -> Frames:
    """Lines of equal potential, which it takes a regular raster to draw."""
    if not example.regular:
        return Frames.of([{"x": np.zeros(0), "y": np.zeros(0)}] * len(leads))
    return Frames.of(
        potential_frame(example, example.forecast[example.at(lead)], lead) for lead in leads
    )


def _sources(frames: dict[str, Frames]) -> dict[str, ColumnDataSource]:
    return {
        name: ColumnDataSource({"first": [each.first], **{n: [part] for n, part in each.parts.items()}})
        for name, each in frames.items()
    }


def _arrows(frames: Frames, number: int, example: Example) -> dict[str, np.ndarray]:
    """The columns that SHOW makes of a frame, for the first one."""
    at = frames.frame(number)
    x, y, u, v = at["x"], at["y"], at["u"], at["v"]
    sign, speed = float(np.sign(np.nanmean(example.mlat))), 1000 / ARROW_DEG * np.hypot(u, v)
    return {
        "x": x, "y": y, "x1": x + u, "y1": y + v, "turn": np.arctan2(v, u) - np.pi / 2,
        "speed": speed, "size": 2 + 5 * np.minimum(speed / 300, 1), "mlat": sign * (90 - np.hypot(x, y)),
        "mlt": np.mod(np.arctan2(y, x) * 12 / np.pi + 30, 24),
    }  # fmt: skip


def _draw(made: figure, source: ColumnDataSource, mapper: LinearColorMapper, sight: bool) -> None:
    """Arrows; what was seen along a line of sight alone has a dot at its place and no head."""
    colour = {"field": "speed", "transform": mapper}
    stems = made.segment("x", "y", "x1", "y1", source=source, color=colour, line_width=1.1 if sight else 1.6)
    if sight:
        ends = made.scatter("x", "y", source=source, size=3.5, color=colour)
    else:
        ends = made.scatter(
            "x1", "y1", source=source, size="size", marker="triangle", angle="turn", color=colour
        )
    tooltip = TOOLTIP.replace("__SIGHT__", " along the line of sight" if sight else "")
    made.add_tools(hover([ends, stems], tooltip))


def _scale(made: figure, rim: float, speed: float = 500.0) -> None:
    """A line as long as a drift of `speed` m/s, at the lower left."""
    edge, length = 1.1 * (90 - rim), speed * ARROW_DEG / 1000
    made.line([-edge, -edge + length], [-edge, -edge], color="#222222", line_width=1.6)
    made.text([-edge], [-0.97 * edge], [f"{speed:.0f} m/s"], text_font_size="10px", text_color="#222222")


def _bar(mapper: LinearColorMapper) -> figure:
    """The scale of speeds by itself: a dial with one would be smaller than the others."""
    made = figure(width=EDGE, height=62, toolbar_location=None, x_range=(0, 1), y_range=(0, 1))
    made.scatter([], [])  # a figure without a renderer would be warned of
    bare = {"bar_line_color": None, "orientation": "horizontal", "title": "drift (m/s)"}
    made.add_layout(ColorBar(color_mapper=mapper, height=9, width=EDGE - 50, **bare), "below")
    made.axis.visible = False
    made.grid.visible = False
    made.outline_line_color = None
    made.min_border = 0
    return made
