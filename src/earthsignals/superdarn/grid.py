"""The dataset of the ionosphere: frames in time, and in each the vectors that radars saw.

    grid = open_grid("data/superdarn/grid.h5")
    seen = grid.vectors(t)                              # of one frame: views, no copies
    grid.velocity[grid.offsets[t - 45] : grid.offsets[t]]      # of the 45 frames before
    for t in grid.issues("train", history_frames=45, lead_frames=30, stride=6): ...

A line of sight sees one component of the drift: velocity = v·k̂ with k̂ = (cos kvect, sin kvect), north and
east. The file keeps the observations themselves and no averages, since neither azimuths nor radars can be
averaged; what a raster of them looks like is `state.sums`' business. Components are (north, east) everywhere.

The layout of `grid.h5` is that of the attributes: a dataset per array of FRAMES (T,) and of VECTORS (N,),
`offsets` (T + 1,), and `about`, JSON with the parameters, the counts of what was dropped, and the checksum.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from earthsignals.storage import EarthSignalsError, atomic_path
from earthsignals.superdarn.framing import (
    SPLITS,
    Splits,
    activity,
    frame_numbers,
    frames_of,
    one_per_frame,
    usable,
)
from earthsignals.superdarn.layout import Layout, layout_of
from earthsignals.superdarn.mlt import mlt_of_zero
from earthsignals.superdarn.params import GridParams
from earthsignals.superdarn.records.vectors import Vectors

FORMAT = "earthsignals.superdarn.grid"
VERSION = 1
ACTIVITY_MINUTES = 60
FRAMES = {
    "times_s": "<i8", "mlt_zero": "<f8", "split": "u1", "block": "<i4", "segment": "<i4", "activity": "<f4",
}  # fmt: skip
VECTORS = {
    "frame": "<i4", "row": "<i2", "column": "<i2", "stid": "<i2", "channel": "<i2", "index": "<i4",
    "kvect": "<f4", "velocity": "<f4", "velocity_sd": "<f4", "mlat": "<f4", "mlon": "<f4",
}  # fmt: skip


class GridError(EarthSignalsError):
    """A grid that cannot be made or used, with the remedy."""


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
    """(T,) int32: block of time, from 0 in its order. Splits are made of whole blocks."""
    segment: np.ndarray
    """(T,) int32: frames of one segment follow each other at the cadence; between segments time is missing."""
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

    def __reduce__(self) -> Any:
        if self.path is not None:  # the file goes to other processes by name and is mapped there
            return _reopened, (self.path,)
        return super().__reduce__()

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
        """Radar, channel and cell of each vector as one number (N,) int64, in their order."""
        stid, channel = self.stid.astype(np.int64), self.channel.astype(np.int64)
        return (stid << 48) + ((channel + 2**15) << 32) + (self.index + np.int64(2**31))


def grid_of(vectors: Vectors, params: GridParams, splits: Splits = None) -> GridFile:
    """Vectors, in any order, as a grid in memory.

    splits: as `superdarn.split` of the parameters; a function of the frames' starts (T,) in seconds that
    gives 0, 1 or 2 for each; without, every frame is of the first split.

    Raises GridError where no vector is left (the reasons are counted), EarthSignalsError for too few blocks.
    """
    layout = layout_of(params)
    vectors, dropped = usable(vectors, layout)
    return arranged(vectors, dropped, params, splits, {})


def arranged(
    vectors: Vectors, dropped: Mapping[str, int], params: GridParams, splits: Splits, about: Mapping[str, Any]
) -> GridFile:
    """A grid in memory from `usable` vectors. `dropped`: what was left out before."""
    if len(vectors) == 0:
        reasons = ", ".join(f"{reason}: {number:,}" for reason, number in sorted(dropped.items()))
        raise GridError(
            f"superdarn: no vector of the {params.hemisphere} is left to make a grid of"
            f"{f' ({reasons})' if reasons else ''}; set superdarn.grid.hemisphere and grid.latitude_min to "
            "what the records hold"
        )
    cadence_s, layout = 60 * params.cadence_minutes, layout_of(params)
    vectors, repeated = one_per_frame(vectors, cadence_s)
    numbers = frame_numbers(vectors, cadence_s)
    frames = frames_of(numbers, params, splits)
    offsets = np.searchsorted(numbers, np.append(frames.times_s // cadence_s, numbers[-1] + 1))
    frame = np.repeat(np.arange(len(frames.times_s), dtype=np.int32), np.diff(offsets))
    row, column = layout.place(vectors.mlat, vectors.mlon)
    seen = {
        "speed": np.bincount(frame, vectors.velocity.astype(np.float64), len(frames.times_s)),
        "count": np.diff(offsets),
    }
    return GridFile(
        params, layout, times_s=frames.times_s,
        # Rounded, far below a minute: trigonometry differs in its last digits from machine to machine.
        mlt_zero=np.round(mlt_of_zero(frames.times_s + cadence_s / 2), 6) % 24.0,
        split=frames.split, block=frames.block, segment=frames.segment,
        activity=activity(seen, frames.segment, max(1, ACTIVITY_MINUTES // params.cadence_minutes)),
        offsets=offsets.astype(np.int64), frame=frame, row=row.astype(np.int16),
        column=column.astype(np.int16), stid=vectors.stid, channel=vectors.channel, index=vectors.index,
        kvect=vectors.kvect, velocity=vectors.velocity,
        velocity_sd=np.where(np.isfinite(vectors.velocity_sd), vectors.velocity_sd, np.float32(np.nan)),
        mlat=vectors.mlat, mlon=vectors.mlon,
        dropped=dict(sorted((Counter(dropped) + repeated).items())), about=dict(about),
    )  # fmt: skip
