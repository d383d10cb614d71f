"""What conditions outside the training do to the error, and how far averaging helps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from earthsignals.figures import COLUMN_WIDTH, columns
from earthsignals.results import MissingData
from earthsignals.tdlas.figures.inputs import Arrays, take
from earthsignals.tdlas.figures.methods import BOUND, METHODS, plain_logarithms

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Groups of stress tests by what their names look like, in the order they are drawn.
GROUPS = (
    ("as trained", r"nominal"),
    ("more noise", r"noise "),
    ("wrong T", r"T [+-]\d"),
    ("wrong P", r"P [+-]\d"),
    ("etalons", r".*etalon"),
    ("outside\nthe range", r".*(above|outside|below)"),
    ("other", r""),
)


def stress(cases: Mapping[str, Any] | None) -> Figure:
    """RMSE over the nominal bound of each stress test, as dots; `cases` is metrics["stress"].

    Raises MissingData where there is none (measured scans).
    """
    if not cases:
        raise MissingData(
            "the metrics hold no stress tests; only simulated scans can be stressed "
            "(tdlas.dataset.source: simulated)"
        )
    rows = stress_rows(cases)
    methods = [name for name in METHODS if all(name in cases[case] for _, case in rows)]
    figure, axes = columns(1)
    figure.set_size_inches(COLUMN_WIDTH, 0.9 + 0.215 * len(rows))
    for order, method in enumerate(methods):
        look = METHODS[method]
        values = [cases[case][method]["all"]["rmse_over_crlb"] for _, case in rows]
        heights = [k + 0.17 * (order - 0.5 * (len(methods) - 1)) for k in range(len(rows))]
        axes.plot(
            values, heights, look.marker, color=look.colour, label=look.label, linestyle="none"
        )
    axes.axvline(1.0, color=BOUND.colour, linewidth=1.2, zorder=1)
    axes.set_yticks(range(len(rows)), [_readable(case) for _, case in rows])
    axes.set(
        xscale="log", xlabel="RMSE / bound of the undisturbed scan", ylim=(len(rows) - 0.5, -0.5)
    )
    plain_logarithms(axes.xaxis, minor=True)
    axes.tick_params(axis="y", length=0)
    groups = [group for group, _ in rows]
    for group in dict.fromkeys(groups):
        first = groups.index(group)
        last = first + groups.count(group) - 1
        if first:
            axes.axhline(first - 0.5, color="0.6", linewidth=0.5)
        axes.text(1.02, 0.5 * (first + last), group, transform=axes.get_yaxis_transform(), va="center",
                  fontsize=7, color="0.3")  # fmt: skip
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=len(methods))
    return figure


def stress_rows(cases: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(group, case) of every stress test: by group, then by the number in the name."""
    found = []
    for case in cases:
        place = next(k for k, (_, pattern) in enumerate(GROUPS) if re.match(pattern, case))
        number = re.search(r"[+-]?\d+", case)
        found.append((place, float(number.group()) if number else 0.0, case))
    return [(GROUPS[place][0], case) for place, _, case in sorted(found)]


def _readable(case: str) -> str:
    """A stress test's name as the figure writes it: χ for x, true minus and multiplication signs."""
    text = re.sub(r"^x\b", "χ", case)
    text = re.sub(r"\bx(?=\d)", "×", text)
    text = re.sub(r"(?<=\d)-(?=\d)", "–", text)
    return re.sub(r"-(?=\d)", "−", text)


def allan(arrays: Arrays, scan_period_s: float, ppm: float, series: int) -> Figure:
    """Allan deviation over averaging length (scans, and seconds above) at `ppm`, middle T and P.

    White noise falls with the square root, as the bound of n scans would; where a curve leaves that
    slope, drifting etalons take over. Bars are the standard error of the deviation of N/m independent
    averages, 1/sqrt(2 (N/m - 1)) of it, for a series of N = `series` scans (Riley 2008, NIST SP 1065).
    """
    scans, bound = take(arrays, "allan/scans", "allan/bound_ppm")
    relative = 1.0 / np.sqrt(2.0 * np.maximum(series / scans - 1.0, 1.0))
    figure, axes = columns(1, row_height=2.9)
    axes.plot(scans, bound, color=BOUND.colour, linestyle="--", label="bound / √n")
    for name, look in METHODS.items():
        if f"allan/{name}_ppm" in arrays:
            deviation = arrays[f"allan/{name}_ppm"]
            axes.errorbar(scans, deviation, deviation * relative, marker=look.marker, color=look.colour,
                          elinewidth=0.7, label=look.label)  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="averaging length (scans)",
             ylabel=f"Allan deviation at {ppm:g} ppm (ppm)")  # fmt: skip
    seconds = axes.secondary_xaxis(
        "top", functions=(lambda n: n * scan_period_s, lambda s: s / scan_period_s)
    )
    seconds.set_xlabel("averaging time (s)")
    for axis in (axes.xaxis, axes.yaxis, seconds.xaxis):
        plain_logarithms(axis)
    axes.legend(loc="lower left")
    return figure
