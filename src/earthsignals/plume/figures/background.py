"""The synthetic background beside the real one: is what the networks learn from believable?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from earthsignals import figures as house
from earthsignals.plume.imagery.index import SceneIndex
from earthsignals.plume.simulation.reference import (
    CAMPAIGNS,
    COLUMN_LINES,
    HISTOGRAM_EDGES,
    LINES,
    SPECTRUM_EDGES,
    read_reference,
    summarise,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PER_RETRIEVAL = 4
"""Flightlines of each retrieval that are summarised."""

_REAL = {"color": house.COLOURS["black"], "zorder": 3}
_COLOUR = {"sparse": house.COLOURS["vermillion"], "linear": house.COLOURS["blue"]}


def background(index: SceneIndex) -> Figure:
    """Compare the flightlines of an index with the real chips and campaigns; plumes are left out of both.

    Four panels: histogram of positive values with the share of zeros; radial power spectrum; spread of
    column means, which stripes keep up where white noise falls; mean and deviation after clamping.
    """
    own = _summaries(index)
    chips = read_reference()["chips"]
    figure, axes = house.columns(2, rows=2, row_height=2.5)
    (histogram, spectrum), (stripes, moments) = axes
    _draw_histogram(histogram, own.get("sparse", []), chips)
    _draw_spectrum(spectrum, own, chips)
    _draw_stripes(stripes, own, chips)
    _draw_moments(moments, own, chips)
    return figure


def _summaries(index: SceneIndex) -> dict[str, list[dict[str, Any]]]:
    """Summaries of the first flightlines of each retrieval, by retrieval, as many lines as a chip has."""
    found: dict[str, list[dict[str, Any]]] = {}
    for scene in index.scenes:
        kept = found.setdefault(scene.retrieval, [])
        if len(kept) < PER_RETRIEVAL:
            rows = slice(0, min(LINES, scene.lines))
            with scene.open() as flightline:
                kept.append(summarise(flightline.read(rows), scene.read_mask()[rows] == 1))
    return found


def _draw_histogram(axes: Any, sparse: list[dict[str, Any]], chips: list[dict[str, Any]]) -> None:
    middle = 0.5 * (HISTOGRAM_EDGES[1:] + HISTOGRAM_EDGES[:-1])
    for k, own in enumerate(sparse):
        axes.plot(
            middle, _positive(own["histogram"]), color=_COLOUR["sparse"], alpha=0.6, lw=0.9,
            label=f"synthetic, sparse ({_zeros(sparse)} zeros)" if k == 0 else None,
        )  # fmt: skip
    for chip, line in zip(chips, ("-", "--", ":", "-."), strict=False):
        label = f"{chip['chip'].split('_')[0]} ({chip['zero_share']:.0%} zeros)"
        axes.plot(middle, _positive(chip["histogram"]), line, label=label, **_REAL)
    axes.set(yscale="log", xlabel="enhancement (ppm m)", ylabel="share of pixels per 25 ppm m")
    axes.set_ylim(1e-6, 1.0)  # room for the legend
    axes.legend(loc="upper right")


def _draw_spectrum(axes: Any, own: dict[str, list[dict[str, Any]]], chips: list[dict[str, Any]]) -> None:
    middle = np.sqrt(SPECTRUM_EDGES[1:] * SPECTRUM_EDGES[:-1])
    for retrieval, summaries in own.items():
        for k, summary in enumerate(summaries):
            axes.plot(
                middle, _positive(summary["spectrum"]), color=_COLOUR.get(retrieval), alpha=0.6, lw=0.9,
                label=f"synthetic, {retrieval}" if k == 0 else None,
            )  # fmt: skip
    for chip, line in zip(chips, ("-", "--", ":", "-."), strict=False):
        axes.plot(middle, _positive(chip["spectrum"]), line, label=chip["chip"].split("_")[0], **_REAL)
    axes.set(xscale="log", yscale="log", xlabel="spatial frequency (cycles per pixel)",
             ylabel="power (ppm² m² pixel²)")  # fmt: skip
    axes.legend()


def _draw_stripes(axes: Any, own: dict[str, list[dict[str, Any]]], chips: list[dict[str, Any]]) -> None:
    """Relative to one line, so that the fall and not the level is compared."""
    lines = np.array(COLUMN_LINES)
    for retrieval, summaries in own.items():
        for k, summary in enumerate(summaries):
            axes.plot(
                lines, _relative(summary["column_sd"]), color=_COLOUR.get(retrieval), alpha=0.6, lw=0.9,
                label=f"synthetic, {retrieval}" if k == 0 else None,
            )  # fmt: skip
    for chip, line in zip(chips, ("-", "--", ":", "-."), strict=False):
        axes.plot(lines, _relative(chip["column_sd"]), line, label=chip["chip"].split("_")[0], **_REAL)
    axes.plot(lines, np.ones(len(lines)), color="0.6", lw=0.8, label="white noise")
    axes.set(xscale="log", xlabel="lines averaged", ylabel="spread between columns\nover that of white noise")
    axes.legend()


def _draw_moments(axes: Any, own: dict[str, list[dict[str, Any]]], chips: list[dict[str, Any]]) -> None:
    for retrieval, summaries in own.items():
        points = np.array([(s["clamped_mean"], s["clamped_std"]) for s in summaries])
        axes.scatter(*points.T, s=14, color=_COLOUR.get(retrieval), label=f"synthetic, {retrieval}")
    for (name, (mean, std)), marker in zip(CAMPAIGNS.items(), "^v>", strict=True):
        axes.scatter(mean, std, s=26, marker=marker, label=f"{name} (linear)", **_REAL)
    chips_at = np.array([(chip["clamped_mean"], chip["clamped_std"]) for chip in chips])
    axes.scatter(*chips_at.T, s=30, marker="x", label="mag1c chips (sparse)", **_REAL)
    axes.set(xlabel="mean, clamped to 0..4000 ppm m", ylabel="standard deviation (ppm m)")
    axes.legend()


def _positive(values: list[float | None]) -> np.ndarray:
    """A logarithm has no place for zero or nothing: NaN leaves a gap."""
    array = np.array([np.nan if value is None else value for value in values], dtype=float)
    return np.where(array > 0, array, np.nan)


def _relative(spreads: list[float | None]) -> np.ndarray:
    array = np.array([np.nan if value is None else value for value in spreads], dtype=float)
    return array / array[0] * np.sqrt(np.array(COLUMN_LINES))


def _zeros(summaries: list[dict[str, Any]]) -> str:
    shares = [summary["zero_share"] for summary in summaries]
    return f"{min(shares):.0%} to {max(shares):.0%}"
