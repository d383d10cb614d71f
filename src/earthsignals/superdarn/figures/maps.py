"""Forecasts on the dial beside what radars then saw, and beside the truth of simulated days."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from earthsignals.results import MissingData
from earthsignals.superdarn.figures.dial import Speeds, rim_of
from earthsignals.superdarn.figures.inputs import MAP_LEAD, Example, Inputs
from earthsignals.superdarn.figures.panels import (
    dials,
    error_bar,
    scale_arrow,
    show_difference,
    show_drift,
    show_error,
    show_seen,
    speed_bar,
    symmetric,
)

LEADS = (10, 30, 60)


def forecast(inputs: Inputs) -> Figure:
    """A forecast at three leads, a row each: what radars saw, what was forecast, and the difference.

    The difference is taken along each line of sight: the rest of the drift was not seen by anybody.
    """
    example = inputs.example()
    leads = sorted({example.nearest(lead) for lead in LEADS})
    return _rows([(example, lead, f"+{lead} min") for lead in leads], example.moment())


def examples(inputs: Inputs) -> Figure:
    """Every kept forecast 30 minutes ahead, a row each."""
    inputs.example()
    return _rows([
        (example, lead, f"{example.moment(lead)}\n+{lead} min")
        for example in inputs.examples
        for lead in (example.nearest(MAP_LEAD),)
    ])  # fmt: skip


def convection(inputs: Inputs) -> Figure:
    """Simulated days, 30 minutes after the issue: the true drift, the forecast, the difference of speeds."""
    known = [example for example in inputs.examples if _truth_at(example)]
    if not known:
        raise MissingData("the true drift is known of simulated days alone")
    rows = [(example, example.nearest(MAP_LEAD, _truth_at(example))) for example in known]
    truths = [example.truth[lead] for example, lead in rows]
    guesses = [example.forecast[example.at(lead)] for example, lead in rows]
    speeds = Speeds.of(*(np.hypot(*truth) for truth in truths), share=99.5)
    gaps = [np.hypot(*guess) - np.hypot(*truth) for guess, truth in zip(guesses, truths, strict=True)]
    norm, rim = symmetric(np.stack(gaps)), rim_of(*(example.mlat for example in known))
    figure, panels = dials(3, len(rows))
    for row, (example, lead) in enumerate(rows):
        left, middle, right = panels[row]
        show_drift(left, example, truths[row], lead, speeds, rim)
        show_drift(middle, example, guesses[row], lead, speeds, rim)
        show_difference(right, example, lead, gaps[row], norm, rim)
        _label(left, f"{example.moment(lead)}\n+{lead} min")
    for axes, title in zip(panels[0], ("truth", "forecast", "speed, forecast − truth"), strict=True):
        axes.set_title(title, pad=11)
    scale_arrow(panels[-1, 0], rim)
    speed_bar(figure, panels[:, :2], speeds)
    error_bar(figure, panels[:, 2], norm, "difference of speeds (m/s)")
    return figure


def _rows(rows: list[tuple[Example, int, str]], title: str = "") -> Figure:
    speeds = Speeds.of(
        *(example.seen[lead].velocity for example, lead, _ in rows),
        *(np.hypot(*example.forecast[example.at(lead)]) for example, lead, _ in rows),
    )
    errors = [example.predicted(lead) - example.seen[lead].velocity for example, lead, _ in rows]
    norm, rim = symmetric(np.concatenate(errors)), rim_of(*(example.mlat for example, _, _ in rows))
    figure, panels = dials(3, len(rows))
    for row, (example, lead, label) in enumerate(rows):
        left, middle, right = panels[row]
        show_seen(left, example, lead, speeds, rim)
        show_drift(middle, example, example.forecast[example.at(lead)], lead, speeds, rim)
        show_error(right, example, lead, norm, rim)
        _label(left, label)
    for axes, name in zip(panels[0], ("observed", "forecast", "forecast − observed"), strict=True):
        axes.set_title(name, pad=11)
    if title:
        figure.suptitle(f"issued {title}", fontsize=8)
    scale_arrow(panels[-1, 0], rim)
    speed_bar(figure, panels[:, :2], speeds)
    error_bar(figure, panels[:, 2], norm, "along the line of sight (m/s)")
    return figure


def _label(axes: object, text: str) -> None:
    axes.text(
        -0.1, 0.5, text, transform=axes.transAxes, rotation=90, ha="center", va="center", fontsize=7,
        multialignment="center",
    )  # fmt: skip


def _truth_at(example: Example) -> list[int]:
    """Leads at which the truth is known somewhere."""
    return [lead for lead, drift in example.truth.items() if np.isfinite(drift).any()]
