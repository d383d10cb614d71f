"""Errors of all methods beside the Cramér–Rao bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from earthsignals.compute.seeds import philox
from earthsignals.figures import COLOURS, COLUMN_WIDTH, PAGE_WIDTH, columns
from earthsignals.tdlas import scores
from earthsignals.tdlas.figures.inputs import Arrays, take
from earthsignals.tdlas.figures.methods import BOUND, METHODS, plain_logarithms

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RESAMPLES = 400
BINS_PER_DECADE = 4
FEWEST = 15  # scans in a bin that is drawn
HIGHEST_RATIO = 10.0  # RMSE in bounds; methods wholly above are named, not drawn, in the ratio


def predicted_vs_true(arrays: Arrays) -> Figure:
    """Predicted against true mole fraction, and the error in units of the bound below.

    Every test scan is a point. Estimates below the axis (near 1 ppm noise makes them negative) are
    drawn on its lower edge.
    """
    truth, bound, model, ridge, course = take(
        arrays,
        "test/truth_ppm",
        "test/bound_ppm",
        "test/model_ppm",
        "test/ridge_ppm",
        "test/course_ppm",
    )
    figure, (top, bottom) = columns(1, rows=2)
    figure.set_size_inches(COLUMN_WIDTH, 4.9)
    _height_ratios(top, 1.75)
    low, high = 0.7 * truth.min(), 1.4 * truth.max()
    top.plot([low, high], [low, high], color=BOUND.colour, linewidth=0.8, zorder=4, label="1 : 1")
    for name, values, size in (("course", course, 2.0), ("model", model, 3.0)):
        look = METHODS[name]
        shown = np.clip(values, 1.04 * low, None)
        top.plot(truth, shown, ".", color=look.colour, markersize=size, markeredgewidth=0,
                 alpha=0.5, label=look.label, rasterized=True)  # fmt: skip
    top.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high),
            ylabel="predicted mole fraction (ppm)")  # fmt: skip
    top.tick_params(labelbottom=False)
    _legend(top, "lower right")
    for name, values in (("ridge", ridge), ("model", model)):
        look = METHODS[name]
        bottom.plot(truth, (values - truth) / bound, ".", color=look.colour, markersize=2.0,
                    markeredgewidth=0, alpha=0.5, label=look.label, rasterized=True)  # fmt: skip
    bottom.axhline(0, color=BOUND.colour, linewidth=0.8)
    for one in (-1.96, 1.96):
        bottom.axhline(one, color=BOUND.colour, linewidth=0.8, linestyle=":")
    bottom.set(xscale="log", xlim=(low, high), ylim=(-9, 11), xlabel="true mole fraction (ppm)",
               ylabel="error / bound")  # fmt: skip
    _legend(bottom, "upper left", columns=2)
    for axis in (top.yaxis, bottom.xaxis):
        plain_logarithms(axis)
    return figure


def error_vs_bound(arrays: Arrays) -> Figure:
    """RMSE of every method and the bound over the mole fraction; below, their ratio.

    The ratio's axis ends where the network and its close rivals do; a method that lies wholly beyond
    it is named with the range of its ratio. Scans are gathered in bins of the true mole fraction; bars
    are central 95 % bootstrap intervals.
    The ratio divides each scan's error by the bound at its own temperature and pressure.
    """
    truth, bound, ppm, sigma = take(
        arrays, "test/truth_ppm", "test/bound_ppm", "bound/ppm", "bound/sigma_ppm"
    )
    figure, (top, bottom) = columns(1, rows=2)
    figure.set_size_inches(COLUMN_WIDTH, 5.0)
    top.plot(ppm, sigma, color=BOUND.colour, linewidth=1.4, label=BOUND.label, zorder=1)
    bottom.axhline(1.0, color=BOUND.colour, linewidth=1.4, zorder=1)
    edges = bin_edges(truth)
    width = edges[1] / edges[0]
    present = [name for name in METHODS if f"test/{name}_ppm" in arrays]
    beyond = []
    for order, name in enumerate(present):
        look, (values,) = METHODS[name], take(arrays, f"test/{name}_ppm")
        # Methods stand side by side within a bin: equal errors would hide each other.
        aside = width ** (0.14 * (order - 0.5 * (len(present) - 1)))
        known = np.isfinite(values)
        error, own = (values - truth)[known], bound[known]
        for panel, quantity in ((top, error), (bottom, error / own)):
            centres, rms, low, high = binned_rms(truth[known], quantity, edges)
            if panel is bottom and len(rms) and rms.min() > HIGHEST_RATIO:
                beyond.append(f"{look.label}: {rms.min():.0f}–{rms.max():.0f}, beyond this axis")
                continue
            panel.errorbar(
                centres * aside, rms, [rms - low, high - rms], fmt=look.marker, color=look.colour,
                markersize=2.8, elinewidth=0.8, label=look.label, zorder=3,
            )  # fmt: skip
    for panel in (top, bottom):
        panel.set(xscale="log", yscale="log", xlim=(0.75 * ppm.min(), 1.35 * ppm.max()))
    top.set(ylabel="RMSE (ppm)")
    top.tick_params(labelbottom=False)
    bottom.set(xlabel="true mole fraction (ppm)", ylabel="RMSE / bound")
    low, high = bottom.get_ylim()
    bottom.set_ylim(min(low, 0.7), max(high, 1.6) * 1.3 ** len(beyond))
    for number, text in enumerate(beyond):
        bottom.text(0.02, 0.97 - 0.1 * number, text, transform=bottom.transAxes, va="top", fontsize=7,
                    color="0.25")  # fmt: skip
    plain_logarithms(top.yaxis)
    plain_logarithms(bottom.yaxis, minor=True)
    plain_logarithms(bottom.xaxis)
    figure.legend(*top.get_legend_handles_labels(), loc="outside upper center", ncols=3,
                  columnspacing=1.2, handletextpad=0.5)  # fmt: skip
    return figure


def error_histogram(arrays: Arrays) -> Figure:
    """Errors in units of the bound, per decade, beside the unit normal: what an ideal method has."""
    truth, bound, model, ridge = take(
        arrays, "test/truth_ppm", "test/bound_ppm", "test/model_ppm", "test/ridge_ppm"
    )
    masks = _decade_masks(truth)
    figure, panels = columns(len(masks), row_height=2.2)
    figure.set_size_inches(PAGE_WIDTH, 2.2)
    reach, bins = 7.0, np.linspace(-7.0, 7.0, 43)
    x = np.linspace(-reach, reach, 281)
    for panel, (name, mask) in zip(np.atleast_1d(panels), masks.items(), strict=True):
        for key, values, style in (("model", model, "stepfilled"), ("ridge", ridge, "step")):
            look, scaled = METHODS[key], ((values - truth) / bound)[mask]
            # Shares of all scans, those outside the panel included.
            weights = np.full(len(scaled), 1.0 / (len(scaled) * (bins[1] - bins[0])))
            panel.hist(
                scaled, bins, weights=weights, histtype=style, color=look.colour, label=look.label,
                alpha=0.55 if style == "stepfilled" else 1.0, linewidth=1.0,
            )  # fmt: skip
        panel.plot(x, norm.pdf(x), color=BOUND.colour, linewidth=0.9, label="unit normal")
        panel.set(xlim=(-reach, reach), ylim=(0, 0.52))
        panel.set_title(_decade_label(name))
        if panel is not np.atleast_1d(panels)[0]:
            panel.tick_params(labelleft=False)
    np.atleast_1d(panels)[0].set_ylabel("probability density")
    figure.supxlabel("error / Cramér–Rao bound", fontsize=8)
    figure.legend(
        *np.atleast_1d(panels)[0].get_legend_handles_labels(), loc="outside upper center", ncols=3
    )
    return figure


def coverage(arrays: Arrays) -> Figure:
    """Share of true values inside the predicted interval against its nominal probability.

    Left all scans; right the difference in percentage points, per decade, with the central 95 % that
    chance allows a perfectly calibrated method. Curves use the standard error, symmetric in ppm; dots
    are the 68 and 95 % intervals as the network gives them, whose widths were set on validation scans.
    """
    truth, model, error = take(arrays, "test/truth_ppm", "test/model_ppm", "test/error_ppm")
    nominal = np.linspace(0.02, 0.995, 79)
    figure, (left, right) = columns(2, row_height=2.7)
    curve = empirical_coverage(truth, model, error, nominal)
    left.plot([0, 100], [0, 100], color=BOUND.colour, linewidth=0.8)
    left.plot(
        100 * nominal,
        100 * curve,
        color=METHODS["model"].colour,
        label="by standard error, all scans",
    )
    chance = 1.96 * np.sqrt(nominal * (1 - nominal))
    for panel, centre in ((left, nominal), (right, np.zeros_like(nominal))):
        band = chance / np.sqrt(len(truth))
        panel.fill_between(100 * nominal, 100 * (centre - band), 100 * (centre + band), alpha=0.18,
                           color=BOUND.colour, linewidth=0, label="chance (95 %)")  # fmt: skip
    for level in (68, 95):
        low, high = take(arrays, f"test/low_{level}", f"test/high_{level}")
        share = 100 * scores.coverage(truth, low, high)
        left.plot(level, share, "o", color=COLOURS["vermillion"],
                  label="68 and 95 % interval as given" if level == 68 else None)  # fmt: skip
        right.plot(level, share - level, "o", color=COLOURS["vermillion"], zorder=5)
    right.axhline(0, color=BOUND.colour, linewidth=0.8)
    right.plot(100 * nominal, 100 * (curve - nominal), color=METHODS["model"].colour, linewidth=1.6)
    masks = _decade_masks(truth)
    styles = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
    for number, (name, mask) in enumerate(masks.items()):
        own = empirical_coverage(truth[mask], model[mask], error[mask], nominal)
        right.plot(100 * nominal, 100 * (own - nominal), linestyle=styles[number % len(styles)],
                   color=f"{0.15 + 0.5 * number / len(masks):.2f}", linewidth=0.8,
                   label=_decade_label(name))  # fmt: skip
    reach = max(abs(v) for v in right.get_ylim())
    right.set(ylim=(-reach, 1.9 * reach), ylabel="observed − nominal\n(percentage points)")
    left.set(xlim=(0, 100), ylim=(0, 100), ylabel="observed coverage (%)")
    left.legend(loc="upper left")
    handles, labels = right.get_legend_handles_labels()
    right.legend(handles[1:], labels[1:], loc="upper right", ncols=2)
    for panel in (left, right):
        panel.set(xlabel="nominal coverage (%)", xlim=(0, 100))
    return figure


# ------------------------------------------------------------------------------------ numbers
def bin_edges(ppm: np.ndarray) -> np.ndarray:
    """Edges (K + 1,) of bins of equal width in ln ppm: four per decade, or fewer for few scans."""
    low, high = float(ppm.min()), float(ppm.max()) * (1 + 1e-9)
    most = round(BINS_PER_DECADE * np.log10(high / low))
    return np.geomspace(low, high, max(1, min(most, len(ppm) // (2 * FEWEST))) + 1)


def binned_rms(
    ppm: np.ndarray, values: np.ndarray, edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Geometric mean of ppm, RMS of `values`, and its central 95 % bootstrap interval, per bin (K,).

    Bins with fewer than FEWEST scans are left out.
    """
    number = np.digitize(ppm, edges) - 1
    rows = []
    for k in range(len(edges) - 1):
        own = values[number == k]
        if len(own) < FEWEST:
            continue
        picks = philox(0, "figure-bootstrap", k).integers(0, len(own), (RESAMPLES, len(own)))
        low, high = np.quantile(np.sqrt(np.mean(own[picks] ** 2, axis=1)), [0.025, 0.975])
        rms = scores.rms(own)
        # A bar starts at its point: the quantiles of few resamples may lie to one side of it.
        rows.append((np.exp(np.log(ppm[number == k]).mean()), rms, min(low, rms), max(high, rms)))
    return tuple(np.array(rows).reshape(-1, 4).T)  # type: ignore[return-value]


def empirical_coverage(
    truth: np.ndarray, predicted: np.ndarray, error: np.ndarray, nominal: np.ndarray
) -> np.ndarray:
    """Share of scans whose truth lies within z(nominal) standard errors, shape of `nominal`."""
    scaled = np.sort(np.abs(truth - predicted) / error)
    return np.searchsorted(scaled, norm.ppf(0.5 + 0.5 * nominal), side="right") / len(scaled)


def _decade_masks(truth: np.ndarray) -> dict[str, np.ndarray]:
    """Masks of the decades with enough scans to be drawn."""
    # Limits are rounded outwards to one digit: a title reads 1-10 ppm, not 1.00312-10.
    low, high = truth.min(), truth.max()
    unit = 10.0 ** np.floor(np.log10([low, high]))
    limits = scores.decades(
        float(np.floor(low / unit[0] + 1e-9) * unit[0]),
        float(np.ceil(high / unit[1] - 1e-9) * unit[1]),
    )
    masks = scores.by_decade(truth, limits)
    return {name: mask for name, mask in masks.items() if mask.sum() >= FEWEST} or {
        next(iter(masks)): np.ones(len(truth), bool)
    }


def _decade_label(name: str) -> str:
    low, high = (float(part) for part in name.split("-"))
    return f"{low:,.0f}–{high:,.0f} ppm"


# ------------------------------------------------------------------------------------ drawing
def _legend(panel: Axes, place: str, columns: int = 1) -> None:
    """A legend whose marks can be seen although the points are small and pale."""
    for handle in panel.legend(loc=place, ncols=columns).legend_handles:
        handle.set_alpha(1.0)
        handle.set_markersize(5)


def _height_ratios(top: Axes, ratio: float) -> None:
    top.get_gridspec().set_height_ratios([ratio, 1.0])
