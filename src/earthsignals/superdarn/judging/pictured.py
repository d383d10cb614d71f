"""What the figures need beside scores: coverage, radars over time, and three forecasts with what was seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from earthsignals.superdarn.grid import GridFile
    from earthsignals.superdarn.judging.truth import Truth

QUANTILES = (0.1, 0.5, 0.95)
"""Of activity, of the times of issue that are drawn: quiet, ordinary, storm."""

Arrays = dict[str, np.ndarray]


def coverage(grid: GridFile) -> Arrays:
    """Share of frames in which each cell was seen: `coverage/share`, `/mlat`, `/mlon` (R, C)."""
    seen, count = seen_cells(grid), int(np.prod(grid.layout.shape))
    share = np.bincount(seen % count, minlength=count) / max(len(grid.times_s), 1)
    mlat, mlon = grid.layout.centres()
    share = np.where(np.isfinite(mlat), share.reshape(grid.layout.shape), np.nan)
    return {"coverage/share": share, "coverage/mlat": mlat, "coverage/mlon": mlon}


def seen_cells(grid: GridFile) -> np.ndarray:
    """frame · cells + cell of every cell and frame with a vector, once each, ascending int64."""
    rows, columns = grid.layout.shape
    cell = grid.row.astype(np.int64) * columns + grid.column
    return once_each(grid.frame.astype(np.int64) * (rows * columns) + cell)


def once_each(key: np.ndarray) -> np.ndarray:
    """The different ones among numbers (n,) >= 0, ascending.

    Sorted by hand: np.unique hashes, which takes ten times as long for millions of different numbers.
    """
    key = np.sort(key)
    return key[np.diff(key, prepend=-1) > 0]


def radars(grid: GridFile) -> Arrays:
    """Vectors of each radar (K,) by hour (K, H), from the hour of the first frame: `radars/…`."""
    stid, which = np.unique(grid.stid, return_inverse=True)
    first = int(grid.times_s[0]) // 3600 if len(grid.times_s) else 0
    hours = int(grid.times_s[-1]) // 3600 - first + 1 if len(grid.times_s) else 0
    hour = grid.times_s[grid.frame] // 3600 - first
    count = np.bincount(which * hours + hour, minlength=len(stid) * hours)
    return {
        "radars/stid": stid, "radars/count": count.reshape(len(stid), hours),
        "radars/first_s": np.array(first * 3600),
    }  # fmt: skip


def examples_of(grid: GridFile, issues: np.ndarray) -> np.ndarray:
    """Up to three times of issue, by the quantiles of their activity."""
    activity = grid.activity[issues]
    known = np.flatnonzero(np.isfinite(activity))
    if not len(known):
        return issues[: len(QUANTILES)]
    order = known[np.argsort(activity[known], kind="stable")]
    places = [round(quantile * (len(order) - 1)) for quantile in QUANTILES]
    return issues[order[sorted(set(places))]]


@dataclass
class Examples:
    """Keeps the model's forecasts of some times of issue, and what was seen."""

    grid: GridFile
    issues: np.ndarray
    name: str
    truth: Truth | None = None
    forecasts: dict[int, np.ndarray] = field(default_factory=dict)

    def watch(self, t: int, name: str, forecast: np.ndarray) -> None:
        if name == self.name and t in self.issues:
            self.forecasts[t] = np.array(forecast, np.float32)

    def arrays(self) -> Arrays:
        """`example/<k>/…`, in the order of `issues`."""
        found: Arrays = {}
        for number, t in enumerate(self.issues.tolist()):
            one = _example(self.grid, t, self.forecasts[t], self.truth)
            found |= {f"example/{number}/{key}": values for key, values in one.items()}
        return found


def _example(grid: GridFile, t: int, forecast: np.ndarray, truth: Truth | None) -> Arrays:
    last = min(t + len(forecast), len(grid.times_s) - 1)
    here = grid.span(t, last)
    cadence = grid.params.cadence_minutes
    mlat, mlon = axes(*grid.layout.centres())
    found = {
        "time_s": grid.times_s[t], "mlt_zero": grid.mlt_zero[t], "forecast": forecast,
        "leads_all": cadence * np.arange(1, len(forecast) + 1), "mlat": mlat, "mlon": mlon,
        "observed/lead": cadence * (grid.frame[here] - t),
    }  # fmt: skip
    found |= {f"observed/{key}": getattr(grid, key)[here] for key in ("mlat", "mlon", "kvect", "velocity")}
    if truth is not None:
        found["truth"] = np.stack([truth.raster(t + ahead) for ahead in range(1, len(forecast) + 1)])
    return {key: np.asarray(values) for key, values in found.items()}


def axes(mlat: np.ndarray, mlon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A latitude for each row and a longitude for each column where the cells allow it, else both (R, C)."""
    if np.array_equal(mlat, np.broadcast_to(mlat[:, :1], mlat.shape)) and np.array_equal(
        mlon, np.broadcast_to(mlon[:1], mlon.shape)
    ):
        return mlat[:, 0], mlon[0]
    return mlat, mlon
