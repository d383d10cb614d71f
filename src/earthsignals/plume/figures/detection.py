"""How weak a plume is still found, and at the price of how many false alarms."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from earthsignals import figures as house
from earthsignals.plume.figures.inputs import Arrays, take
from earthsignals.plume.figures.logarithms import plain_logarithms
from earthsignals.plume.figures.methods import look, methods_in


def detection(arrays: Arrays) -> Figure:
    """Left: probability of detection over the rate, at as many false alarms for all. Right: the trade.

    Ticks along top and bottom are the true plumes of test days: found above, missed below (network).
    """
    rate, wind, grid, at_wind = take(
        arrays, "plumes/rate_kg_h", "plumes/wind_m_s", "plumes/grid_kg_h", "plumes/grid_wind_m_s"
    )
    figure, (left, right) = house.columns(2, row_height=2.9)
    for name in methods_in(arrays, "plumes", "curve"):
        style, curve = look(name), arrays[f"plumes/{name}/curve"]
        left.fill_between(grid, curve[1], curve[2], color=style.colour, alpha=0.13, linewidth=0)
        left.plot(grid, curve[0], style.line, color=style.colour, label=style.label)
    # The curve is one of Q / U: each plume is drawn at the rate that would look alike at the figure's wind.
    alike = rate * float(at_wind) / wind
    found = arrays["plumes/model/found"].astype(bool)
    for chosen, low in ((found, 1.02), (~found, -0.06)):
        left.vlines(alike[chosen], low, low + 0.04, color=look("model").colour, linewidth=0.7)
    left.axhline(0.5, color=house.COLOURS["black"], linewidth=0.5, linestyle=":")
    left.axhline(0.9, color=house.COLOURS["black"], linewidth=0.5, linestyle=":")
    left.set(
        xscale="log", xlim=(grid[0], grid[-1]), ylim=(-0.08, 1.08), ylabel="probability of detection",
        xlabel=f"emission rate at a wind of {float(at_wind):.1f} m/s (kg/h)",
    )  # fmt: skip
    plain_logarithms(left.xaxis)
    left.set_title("at as many false alarms as the network")
    left.legend(loc="lower right")
    most = 0.0
    for name in methods_in(arrays, "plumes", "alarms_per_km2"):
        style = look(name)
        alarms, share = arrays[f"plumes/{name}/alarms_per_km2"], arrays[f"plumes/{name}/detected_share"]
        right.step(alarms, share, style.line, where="post", color=style.colour, label=style.label)
        if name == "model":
            most = float(alarms[-1])
            right.plot(alarms[-1], share[-1], style.marker, color=style.colour, markersize=5, mec="white")
    right.set(
        xlabel="false alarms per km²", ylabel="share of plumes found", ylim=(0, 1.02),
        xlim=(0, max(4 * most, 0.5)),
    )  # fmt: skip
    right.legend(loc="lower right")
    right.set_title(f"{len(rate)} plumes of test days")
    return figure


def rates(arrays: Arrays) -> Figure:
    """Estimated over true emission rates with 68 % (thick) and 95 % (thin) intervals, and their ratio."""
    true, estimate, low, high, far_low, far_high = take(
        arrays, *(f"rates/{n}" for n in ("true_kg_h", "rate_kg_h", "low_68", "high_68", "low_95", "high_95"))
    )
    figure, (left, right) = house.columns(2, row_height=2.9)
    colour = look("model").colour
    left.vlines(true, far_low, far_high, color=colour, linewidth=0.5, alpha=0.5)
    left.vlines(true, low, high, color=colour, linewidth=1.5, alpha=0.6)
    left.plot(true, estimate, "o", color=colour, mec="white", mew=0.4, markersize=4)
    both = np.concatenate([true, far_low, far_high])
    limits = (both.min() / 1.2, both.max() * 1.2) if len(both) else (10.0, 1000.0)
    left.plot(limits, limits, "--", color=house.COLOURS["black"], linewidth=0.8)
    left.set(
        xscale="log", yscale="log", xlim=limits, ylim=limits, xlabel="true rate (kg/h)",
        ylabel="estimated rate (kg/h)",
    )  # fmt: skip
    held_95 = (true >= far_low) & (true <= far_high)
    (coverage,) = take(arrays, "rates/coverage")
    if len(coverage):
        left.set_title(f"truth inside: {coverage[0]:.0%} of 68 %, {coverage[1]:.0%} of 95 % intervals")
    ratio = estimate / true
    right.axhline(1, color=house.COLOURS["black"], linewidth=0.8, linestyle="--")
    outside = house.COLOURS["vermillion"]
    points = {"linestyle": "none", "mec": "white", "mew": 0.4}
    right.plot(true[held_95], ratio[held_95], "o", color=colour, label="truth inside 95 %", **points)
    right.plot(true[~held_95], ratio[~held_95], "X", color=outside, markersize=6, label="outside", **points)
    if len(ratio):
        right.axhline(np.median(ratio), color=colour, linewidth=0.9, label=f"median {np.median(ratio):.2f}")
    far = max(3.0, 1.2 * np.exp(np.abs(np.log(ratio)).max(initial=0)))  # as far up as down
    right.set(
        xscale="log", yscale="log", xlim=limits, ylim=(1 / far, far), xlabel="true rate (kg/h)",
        ylabel="estimate over truth",
    )  # fmt: skip
    narrow = limits[1] < 30 * limits[0]  # within so little, 1, 10, 100 would leave one tick or none
    for axis in (left.xaxis, left.yaxis, right.xaxis):
        plain_logarithms(axis, minor=narrow)
    plain_logarithms(right.yaxis, minor=True)
    right.legend(loc="best")
    return figure
