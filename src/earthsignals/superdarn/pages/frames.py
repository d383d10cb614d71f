"""Frames of arrows and lines on the dial, packed so that a page can hold an hour of them.

Places are hundredths of a degree of colatitude in int16, lengths likewise (`dial.ARROW_DEG` degrees are
1,000 m/s, so that a step is 0.9 m/s). All frames of a panel lie one after the other; `first` tells where
each begins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from earthsignals.superdarn.figures.dial import averaged, direction, evenly, place
from earthsignals.superdarn.figures.equipotentials import potential_kv
from earthsignals.superdarn.figures.inputs import Example
from earthsignals.superdarn.figures.panels import STEP_KV

STEP_DEG = 0.01
GAP = np.iinfo(np.int16).min
"""Between two lines."""
COLUMNS = 80
"""Of a raster that potentials are drawn from."""
MOST_SEEN = 400
"""Vectors of a frame: evenly chosen of more."""
SPACING_DEG = 4.4


@dataclass(frozen=True)
class Frames:
    """first: (A + 1,) int32. Each of parts (n,) int16, all frames one after the other: of arrows x, y, u, v;
    of lines x, y with GAP between two."""

    first: np.ndarray
    parts: dict[str, np.ndarray]

    @classmethod
    def of(cls, frames: Iterable[dict[str, np.ndarray]]) -> Frames:
        """Frames given in degrees; NaN becomes GAP."""
        frames = list(frames)
        lengths = [len(next(iter(frame.values()))) for frame in frames]
        parts = {name: _packed(np.concatenate([frame[name] for frame in frames])) for name in frames[0]}
        return cls(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32), parts)

    def frame(self, number: int) -> dict[str, np.ndarray]:
        """One frame in degrees again, as the browser unpacks it."""
        own = slice(self.first[number], self.first[number + 1])
        return {
            name: np.where(part[own] == GAP, np.nan, part[own] * STEP_DEG)
            for name, part in self.parts.items()
        }


def _packed(values: np.ndarray) -> np.ndarray:
    whole = np.clip(np.rint(np.nan_to_num(values) / STEP_DEG), GAP + 1, -GAP - 1)
    return np.where(np.isfinite(values), whole, GAP).astype(np.int16)


def drift_frame(example: Example, drift: np.ndarray, lead: int, arrow_deg: float) -> dict[str, np.ndarray]:
    """Arrows of a drift (2, R, C) in m/s, means of the cells around evenly spaced places."""
    mlat, mlt = example.mlat.ravel(), example.mlt(example.mlon, lead).ravel()
    chosen = evenly(example.mlat, example.mlon, SPACING_DEG)
    mean = averaged(mlat, mlt, drift.reshape(2, -1), chosen)
    return _arrows(mlat[chosen], mlt[chosen], *mean, arrow_deg)


def seen_frame(example: Example, lead: int, arrow_deg: float) -> dict[str, np.ndarray]:
    """Arrows of what radars saw: the drift's part along each line of sight."""
    seen = example.seen.get(lead, example.seen[0])
    count = len(seen) if lead in example.seen else 0
    chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_SEEN)).round().astype(int)) if count else []
    chosen = np.asarray(chosen, int)
    azimuth, along = np.deg2rad(seen.kvect[chosen]), seen.velocity[chosen]
    mlt = example.mlt(seen.mlon[chosen], lead)
    return _arrows(seen.mlat[chosen], mlt, along * np.cos(azimuth), along * np.sin(azimuth), arrow_deg)


def potential_frame(example: Example, drift: np.ndarray, lead: int) -> dict[str, np.ndarray]:
    """Lines of equal potential, STEP_KV apart, of a drift (2, R, C) on a regular raster."""
    from contourpy import LineType, contour_generator

    columns = drift.shape[2]
    across = next(k for k in range(max(columns // COLUMNS, 1), 0, -1) if columns % k == 0)
    coarse = drift.reshape(2, -1, columns // across, across).mean(3)
    found = potential_kv(example.mlat[:, 0], coarse)
    mlon = example.mlon.reshape(-1, columns // across, across)
    # The middle of cells side by side that may lie on both sides of longitude 0.
    middle = mlon[..., 0] + 360 / columns * (across - 1) / 2
    mlat = example.mlat[:, : columns // across]
    # Around the pole: the first column once more at the end, so that lines close.
    mlat, mlt, found = (
        np.concatenate([a, a[:, :1]], 1) for a in (mlat, example.mlt(middle, lead), found)
    )
    x, y = place(mlat, mlt)
    top = np.nanmax(np.abs(found), initial=0)
    levels = STEP_KV * np.arange(0.5, top / STEP_KV)
    maker = contour_generator(x, y, np.ma.masked_invalid(found), line_type=LineType.ChunkCombinedNan)
    lines = [line for level in (*-levels[::-1], *levels) for line in maker.lines(level)[0]]
    gap = np.full((1, 2), np.nan)
    parts = [part for line in lines if line is not None for part in (line, gap)]
    joined = np.concatenate(parts or [np.zeros((0, 2))])
    return {"x": joined[:, 0], "y": joined[:, 1]}


def _arrows(
    mlat: np.ndarray, mlt: np.ndarray, north: np.ndarray, east: np.ndarray, arrow_deg: float
) -> dict[str, np.ndarray]:
    known = np.isfinite(north) & np.isfinite(east)
    x, y = place(mlat[known], mlt[known])
    u, v = direction(mlat[known], mlt[known], north[known], east[known])
    return {"x": x, "y": y, "u": u * arrow_deg / 1000, "v": v * arrow_deg / 1000}
