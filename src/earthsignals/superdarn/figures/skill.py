"""How good forecasts are, lead by lead, beside every baseline."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.results import MissingData
from earthsignals.superdarn.figures.inputs import METHOD_COLOURS, METHODS, Inputs, take

LABEL = "minutes ahead"


def skill(inputs: Inputs) -> Figure:
    """Left: RMSE along the line of sight of every method; right: skill over two kinds of persistence.

    Bands are 95 % intervals over blocks of time. All methods are judged on the same vectors.
    """
    figure, (left, right) = house.columns(2, row_height=2.9)
    _rmse(left, inputs)
    leads = inputs.leads
    for name, label, colour in (
        ("skill_damped", "over damped persistence", "vermillion"),
        ("skill_persistence", "over persistence", "black"),
    ):
        if name in inputs.arrays:
            _band(right, leads, inputs.arrays, name, house.COLOURS[colour], label)
    if not right.lines:
        raise MissingData("the evaluation holds no skill to draw")
    right.axhline(0, color="0.4", lw=0.6)
    right.set(xlabel=LABEL, ylabel="skill, 1 − MSE / MSE of the baseline", xlim=(0, None))
    right.legend(loc="best", frameon=True, framealpha=0.85, edgecolor="none")
    _minutes(right, leads)
    return figure


def _rmse(axes: Axes, inputs: Inputs) -> None:
    leads, arrays = inputs.leads, inputs.arrays
    drawn = [name for name in METHODS if f"rmse/{name}" in arrays]
    if not drawn:
        raise MissingData("the evaluation holds no RMSE to draw")
    for name in drawn:
        values, colour = arrays[f"rmse/{name}"], METHOD_COLOURS[name]
        if name == "model" and f"rmse_low/{name}" in arrays:
            low, high = arrays[f"rmse_low/{name}"], arrays[f"rmse_high/{name}"]
            axes.fill_between(leads, low, high, color=colour, alpha=0.18, lw=0)
        axes.plot(
            leads, values, "o-" if name == "model" else ".-", color=colour, label=METHODS[name],
            lw=1.6 if name == "model" else 0.9, zorder=4 if name == "model" else 3,
        )  # fmt: skip
    axes.set(xlabel=LABEL, ylabel="RMSE along the line of sight (m/s)", xlim=(0, None), ylim=(0, None))
    axes.legend(loc="lower right", ncols=2, columnspacing=1.0)
    _minutes(axes, leads)


def quiet_and_storm(inputs: Inputs) -> Figure:
    """Skill over damped persistence in quiet and in stormy hours, with 95 % intervals."""
    leads = inputs.leads
    figure, axes = house.columns(1)
    for number, (name, colour) in enumerate((("quiet", "sky"), ("storm", "vermillion"))):
        values, low, high = take(inputs.arrays, *(f"{name}/skill{end}" for end in ("", "_low", "_high")))
        if not np.isfinite(values).any():
            continue
        # A method may be a shade outside the interval of its own resamples; a bar must not be negative.
        reach = np.stack([values - low, high - values]).clip(0)
        axes.bar(
            np.arange(len(leads)) + 0.38 * (number - 0.5), values, 0.36, color=house.COLOURS[colour],
            label=name, yerr=np.nan_to_num(reach), error_kw={"lw": 0.8, "capsize": 1.8, "ecolor": "0.25"},
        )  # fmt: skip
    axes.axhline(0, color="0.4", lw=0.6)
    axes.set_xticks(range(len(leads)), [f"{lead}" for lead in leads])
    axes.grid(axis="x", visible=False)
    axes.set(xlabel=LABEL, ylabel="skill over damped persistence")
    axes.legend(loc="best")
    return figure


def _band(axes: Axes, leads: np.ndarray, arrays: object, name: str, colour: str, label: str) -> None:
    if f"{name}_low" in arrays:
        low, high = arrays[f"{name}_low"], arrays[f"{name}_high"]
        axes.fill_between(leads, low, high, color=colour, alpha=0.16, lw=0)
    axes.plot(leads, arrays[name], "o-", color=colour, label=label)


def _minutes(axes: Axes, leads: np.ndarray) -> None:
    """Ticks at judged leads, as far as they leave room for one another."""
    kept: list[int] = []
    for lead in sorted(np.asarray(leads).astype(int).tolist()):
        if not kept or lead - kept[-1] >= 0.07 * max(leads):
            kept.append(lead)
    axes.set_xticks(kept)
