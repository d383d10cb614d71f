"""Frames of vectors in memory: what a grid's arrays mean, and how windows and pairs are found in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from earthsignals.superdarn.framing import SPLITS, series_key
from earthsignals.superdarn.layout import Layout
from earthsignals.superdarn.params import GridParams


class Seen(NamedTuple):
    """The vectors of a frame (n,), in the order of radar, channel and cell: views of a grid's arrays."""

    frame: np.ndarray
    row: np.ndarray
    column: np.ndarray
    stid: np.ndarray
    channel: np.ndarray
    index: np.ndarray
    kvect: np.ndarray
    velocity: np.ndarray
    velocity_sd: np.ndarray
    mlat: np.ndarray
    mlon: np.ndarray


@dataclass(frozen=True, eq=False)
class GridFile:
    """T frames with N vectors in all. A grid that was opened pickles as its path."""

    params: GridParams
    layout: Layout
    times_s: np.ndarray
    """(T,) int64, seconds since 1970-01-01 UTC: where frames begin; ascending."""
    mlt_zero: np.ndarray
    """(T,) float64, hours: magnetic local time of magnetic longitude 0 at the frame's middle."""
    split: np.ndarray
    """(T,) uint8: 0 train, 1 validation, 2 test."""
    block: np.ndarray
    """(T,) int32: block of time, from 0 in its order. Where splits are given by blocks, whole ones."""
    segment: np.ndarray
    """(T,) int32: frames of a segment follow each other at the cadence; between segments time is missing."""
    activity: np.ndarray
    """(T,) float32, m/s: mean speed of the vectors of the last hour, this frame's included; NaN if none."""
    offsets: np.ndarray
    """(T + 1,) int64: the vectors of frame t are those from offsets[t] to offsets[t + 1]."""
    frame: np.ndarray
    """(N,) int32, ascending; within a frame vectors are in the order of stid, channel, index."""
    row: np.ndarray
    """(N,) int16, in the layout's raster; likewise `column`."""
    column: np.ndarray
    stid: np.ndarray
    """(N,) int16: the radar's station id."""
    channel: np.ndarray
    """(N,) int16: of a radar with several."""
    index: np.ndarray
    """(N,) int32: cell of grid files."""
    kvect: np.ndarray
    """(N,) float32, degrees east of magnetic north, along the flow."""
    velocity: np.ndarray
    """(N,) float32, m/s along kvect; never negative."""
    velocity_sd: np.ndarray
    """(N,) float32, m/s: as the file tells it; NaN where unknown."""
    mlat: np.ndarray
    """(N,) float32, degrees, AACGM; negative in the south. `mlon` is in [0, 360)."""
    mlon: np.ndarray
    dropped: dict[str, int] = field(default_factory=dict)
    """Vectors that were left out, by reason."""
    about: dict[str, Any] = field(default_factory=dict)
    """Where the vectors are from."""
    path: Path | None = None

    def __len__(self) -> int:
        """Frames T."""
        return len(self.times_s)

    def __reduce_ex__(self, protocol: int) -> Any:
        if self.path is not None:  # other processes map the same file instead of getting a copy
            return _opened, (self.path,)
        return super().__reduce_ex__(protocol)

    def span(self, first: int, last: int | None = None) -> slice:
        """Where the vectors of the frames first…last (inclusive; first alone by default) lie."""
        last = first if last is None else last
        return slice(int(self.offsets[first]), int(self.offsets[last + 1]))

    def vectors(self, frame: int) -> Seen:
        """The vectors of a frame: views."""
        here = self.span(frame)
        return Seen(*(getattr(self, name)[here] for name in Seen._fields))

    def frame_at(self, time_s: float) -> int:
        """The frame that holds a time (seconds since 1970-01-01 UTC), or -1."""
        frame = int(np.searchsorted(self.times_s, time_s, side="right")) - 1
        return frame if frame >= 0 and time_s < self.times_s[frame] + 60 * self.params.cadence_minutes else -1

    def issues(self, split: str | int, history_frames: int, lead_frames: int, stride: int = 1) -> np.ndarray:
        """Frames t (int64, ascending) whose window [t - history_frames + 1, t + lead_frames] lies in one
        segment and in the split; every `stride`-th of each unbroken stretch, from its first.

        split: a name of SPLITS or its number.
        """
        number = SPLITS.index(split) if isinstance(split, str) else int(split)
        breaks = np.flatnonzero(np.diff(self.segment) | np.diff(self.split.astype(np.int16))) + 1
        edges = [0, *breaks.tolist(), len(self)]
        found = [
            np.arange(begin + history_frames - 1, end - lead_frames, stride)
            for begin, end in zip(edges[:-1], edges[1:], strict=True)
            if begin < end and self.split[begin] == number
        ]
        return np.concatenate([np.zeros(0, np.int64), *found]).astype(np.int64)

    def persistence_pairs(self, t: int, lead: int) -> tuple[np.ndarray, np.ndarray]:
        """(i_then, i_now): the vectors of frame t + lead whose radar, channel and cell were seen in frame t,
        and these; int64 each, positions in the arrays (N,). Empty beyond the end or in another segment.
        """
        none = np.zeros(0, np.int64)
        if not 0 <= t + lead < len(self) or self.segment[t + lead] != self.segment[t]:
            return none, none
        now, then = self.span(t), self.span(t + lead)
        _, in_now, in_then = np.intersect1d(
            self._key[now], self._key[then], assume_unique=True, return_indices=True
        )
        return then.start + in_then, now.start + in_now

    @cached_property
    def _key(self) -> np.ndarray:
        return series_key(self.stid, self.channel, self.index)


def _opened(path: Path) -> GridFile:
    from earthsignals.superdarn.grid import open_grid

    return open_grid(path, verify=False)
