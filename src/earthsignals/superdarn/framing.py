"""Vectors into frames: which are kept, which frame each falls into, and which frames there are.

A frame holds the records whose window's middle lies in it. A radar's own clock does not run with the frames,
so that two of its records can fall into one frame; of the two vectors of a cell the one nearer the middle of
the frame stays. Two radars that see one cell are two observations and both stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.layout import Layout
from earthsignals.superdarn.params import GridParams, SplitParams
from earthsignals.superdarn.records.vectors import Vectors

DAY_S = 86_400
SPLITS = ("train", "validation", "test")

Splits = SplitParams | Callable[[np.ndarray], np.ndarray] | None
"""How frames are divided: by blocks of time; by a function of the frames' starts (T,) int64 in seconds that
returns (T,) of 0, 1, 2; or not at all, when every frame is of the first split."""


@dataclass(frozen=True)
class Frames:
    """The frames there are (T,): see `grid.GridFile` for the meaning of the arrays."""

    times_s: np.ndarray
    split: np.ndarray
    block: np.ndarray
    segment: np.ndarray


def usable(vectors: Vectors, layout: Layout) -> tuple[Vectors, Counter[str]]:
    """The vectors that the raster can hold, and how many were dropped, by the first reason that applies."""
    row, _ = layout.place(vectors.mlat, vectors.mlon)
    tests = {
        "time not finite": ~(np.isfinite(vectors.start_s) & np.isfinite(vectors.end_s)),
        "window of no length": ~(vectors.end_s > vectors.start_s),
        "velocity not finite": ~np.isfinite(vectors.velocity),
        "velocity negative": vectors.velocity < 0,
        "azimuth not finite": ~np.isfinite(vectors.kvect),
        "position not finite": ~(np.isfinite(vectors.mlat) & np.isfinite(vectors.mlon)),
        "other hemisphere": ~(layout.sign * vectors.mlat > 0),
        "equatorward of latitude_min": row < 0,
    }
    dropped: Counter[str] = Counter()
    kept = np.ones(len(vectors), bool)
    for reason, wrong in tests.items():
        if number := int(np.count_nonzero(kept & wrong)):
            dropped[reason] = number
        kept &= ~wrong
    return (vectors if kept.all() else vectors.take(kept)), dropped


def frame_numbers(vectors: Vectors, cadence_s: int) -> np.ndarray:
    """The frame of each vector, counted from 1970: (N,) int64."""
    return np.floor((vectors.start_s + vectors.end_s) / (2 * cadence_s)).astype(np.int64)


def one_per_frame(vectors: Vectors, cadence_s: int) -> tuple[Vectors, Counter[str]]:
    """Sorted by frame, radar, channel and cell, one vector for each; and what was dropped, by reason.

    Of several the one whose window's middle is nearest the frame's stays ("same frame"); among equally near
    ones the order of their values decides and never that of the files. Equal windows are "duplicate".
    """
    number = frame_numbers(vectors, cadence_s)
    series = series_key(vectors.stid, vectors.channel, vectors.index)
    order = np.lexsort((series, number))
    repeated = _repeated(number[order], series[order])
    if not repeated.any():
        return vectors.take(order), Counter()
    crowded = repeated | np.append(repeated[1:], False)
    several = order[crowded]
    few = vectors.take(several)
    distance = np.abs((few.start_s + few.end_s) / 2 - (number[several] + 0.5) * cadence_s)
    values = few.velocity_sd, few.mlon, few.kvect, few.velocity, few.end_s, few.start_s
    order[crowded] = several[np.lexsort((*values, distance, series[several], number[several]))]
    start, end = vectors.start_s[order], vectors.end_s[order]
    again = repeated & np.append(False, (np.diff(start) == 0) & (np.diff(end) == 0))
    dropped = {"duplicate": again, "same frame": repeated & ~again}
    return vectors.take(order[~repeated]), Counter(
        {reason: int(which.sum()) for reason, which in dropped.items() if which.any()}
    )


def series_key(stid: np.ndarray, channel: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Radar, channel and cell of vectors as one number (N,) int64, in their order."""
    return (
        (stid.astype(np.int64) << 48) + ((channel.astype(np.int64) + 2**15) << 32) + (index + np.int64(2**31))
    )


def _repeated(number: np.ndarray, series: np.ndarray) -> np.ndarray:
    """Which vectors, in order, are of the frame and series of the one before: (N,) bool."""
    same = np.zeros(len(number), bool)
    same[1:] = (number[1:] == number[:-1]) & (series[1:] == series[:-1])
    return same


def frames_of(numbers: np.ndarray, params: GridParams, splits: Splits) -> Frames:
    """The frames that vectors (N,) with these ascending frame numbers need, with blocks and splits.

    Blocks are counted from midnight UTC before the first vector. Neighbouring blocks that hold vectors are
    one stretch: every frame from its first vector to its last is there, with or without vectors. Blocks
    without any vector are left out, and a new segment begins behind them. At the ends of a stretch a block
    with less than a tenth of its frames joins its neighbour: the last window of a day often has its middle
    in the first frame of the next, which is no day of its own.

    Raises EarthSignalsError for fewer than three blocks where the splits are blocks.
    """
    cadence_s = 60 * params.cadence_minutes
    length_s = 3600 * splits.block_hours if isinstance(splits, SplitParams) else DAY_S
    occupied = np.unique(numbers)
    midnight = occupied[0] * cadence_s // DAY_S * DAY_S
    block = (occupied * cadence_s - midnight) // length_s
    ends = np.flatnonzero(np.diff(block) > 1)
    first, last = occupied[np.r_[0, ends + 1]], occupied[np.r_[ends, len(occupied) - 1]]
    stretches = [np.arange(low, high + 1) for low, high in zip(first, last, strict=True)]
    times_s = np.concatenate(stretches) * cadence_s
    block = np.concatenate([_joined(part * cadence_s - midnight, length_s, cadence_s) for part in stretches])
    block = np.unique(block, return_inverse=True)[1]
    return Frames(
        times_s=times_s,
        split=_split(times_s, block, splits),
        block=block.astype(np.int32),
        segment=np.repeat(np.arange(len(stretches), dtype=np.int32), [len(part) for part in stretches]),
    )


def _joined(since_s: np.ndarray, length_s: int, cadence_s: int) -> np.ndarray:
    """Block of each frame of a stretch; frames of too short a block at its ends get the neighbour's."""
    block = since_s // length_s
    for end, neighbour in ((block[0], 1), (block[-1], -1)):
        of_end = block == end
        if np.count_nonzero(of_end) * 10 * cadence_s < length_s and not of_end.all():
            block[of_end] += neighbour
    return block


def _split(times_s: np.ndarray, block: np.ndarray, splits: Splits) -> np.ndarray:
    if splits is None:
        return np.zeros(len(times_s), np.uint8)
    if isinstance(splits, SplitParams):
        return split_of_blocks(int(block[-1]) + 1, splits)[block]
    split = np.asarray(splits(times_s))
    if split.shape != times_s.shape or not np.isin(split, range(len(SPLITS))).all():
        raise ValueError("the splits of frames are 0, 1 or 2, one for each frame")
    return split.astype(np.uint8)


def split_of_blocks(count: int, params: SplitParams) -> np.ndarray:
    """Split of each of `count` blocks in the order of time: (count,) uint8, never empty ones.

    Raises EarthSignalsError for fewer than three blocks.
    """
    if count < 3:
        raise EarthSignalsError(
            f"superdarn.split: the records make {count} block(s) of {params.block_hours} hours, but "
            "training, validation and test need one each; set superdarn.split.block_hours smaller or add "
            "records"
        )
    test = min(max(1, round(params.test_fraction * count)), count - 2)
    validation = min(max(1, round(params.validation_fraction * count)), count - test - 1)
    return np.repeat(np.arange(3, dtype=np.uint8), [count - validation - test, validation, test])


def activity(per_frame: Mapping[str, np.ndarray], segment: np.ndarray, frames: int) -> np.ndarray:
    """Mean speed of the vectors of the last `frames` frames, each frame with its own: (T,) float32, m/s.

    per_frame: "speed" the sum of speeds, "count" the number of vectors, (T,) each. NaN where the frames hold
    none. Never reaches back beyond the segment.
    """
    begins = np.searchsorted(segment, segment)
    now = np.arange(len(segment)) + 1
    then = np.maximum(now - frames, begins)
    sums = {name: np.concatenate([[0.0], np.cumsum(values)]) for name, values in per_frame.items()}
    speed, count = (sums[name][now] - sums[name][then] for name in ("speed", "count"))
    mean = np.divide(speed, count, out=np.full(len(segment), np.nan), where=count > 0)
    return mean.astype(np.float32)
