"""What is wrong with samples: numbers that are none, silence, clipping, filled gaps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from earthsignals.seismic.records.record import RefusedRecord

_SAME = 1e-6  # of a component's range: values nearer than this to the extreme count as equal to it
_FEW_COUNTS, _FEW_LEVELS = 64, 16  # range and number of values of a record too coarse to be judged


def require_finite(data: np.ndarray, name: str, path: Path) -> None:
    """Raises RefusedRecord `nan` if a sample (n,) is NaN or infinite, or beyond what float32 holds."""
    if data.dtype.kind in "iu":
        return
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(data) <= np.finfo(np.float32).max)
    count = int(np.count_nonzero(bad))
    if count:
        raise RefusedRecord(
            path, "nan",
            f"{name} has {count:,} of {len(data):,} samples that are no finite numbers, the first at sample "
            f"{int(np.argmax(bad)):,}",
        )  # fmt: skip


def is_dead(data: np.ndarray) -> bool:
    """True if all samples (n,) are equal: a component that recorded nothing."""
    return bool((data == data[0]).all())


def clipped_share(data: np.ndarray) -> float:
    """Share of samples (n,) cut off at the largest or the smallest value, the larger of the two.

    Samples at an extreme value count as cut off only if they are no fewer than those at the next value
    towards the middle: the histogram of an intact record, even of a few counts of noise, thins out towards
    its ends.
    Of a handful of counts that flicker between two or three values nothing can be said: 0.
    """
    low, high = data.min(), data.max()
    if float(high) - float(low) <= _FEW_COUNTS and len(np.unique(data)) <= _FEW_LEVELS:
        return 0.0
    return max(_cut_off(data, high, low), _cut_off(data, low, high))


def padding(data: Sequence[np.ndarray], shortest: int) -> tuple[int, int]:
    """Samples [start, stop) between the stretches that pad a record of components (n,) each.

    Stretches of more than `shortest` samples at either end in which no component changes (zeros, or
    whatever they became) are taken for padding; (0, 0) if nothing else is there.
    """
    samples = len(data[0])
    changes = _changes(data)
    if not len(changes):
        return 0, 0
    start, stop = int(changes[0]) + 1, int(changes[-1]) + 1
    return (start if start > shortest else 0), (stop if samples - stop > shortest else samples)


def longest_standstill(data: Sequence[np.ndarray]) -> tuple[int, int]:
    """Longest stretch [start, stop) between two changes in which no component (n,) changes: a filled gap.

    A sensor at rest still has the noise of its digitiser, hardly ever none on three components at once.
    """
    changes = _changes(data)
    if len(changes) < 2:
        return 0, 0
    longest = int(np.argmax(np.diff(changes)))
    return int(changes[longest]) + 1, int(changes[longest + 1]) + 1


def _changes(data: Sequence[np.ndarray]) -> np.ndarray:
    """Samples after which at least one component changes."""
    changing = np.zeros(len(data[0]) - 1, dtype=bool)
    for component in data:
        changing |= component[1:] != component[:-1]
    return np.flatnonzero(changing)


def _cut_off(data: np.ndarray, extreme: float, opposite: float) -> float:
    distance = np.abs(np.subtract(data, extreme, dtype=np.float64))
    near = _SAME * abs(float(opposite) - float(extreme))
    at_extreme = distance <= near
    count = int(np.count_nonzero(at_extreme))
    if count < 3:
        return 0.0
    rest = distance[~at_extreme]
    if not len(rest):
        return 0.0  # a dead component, not a clipped one
    following = rest.min()
    return count / len(data) if count >= np.count_nonzero(rest <= following + near) else 0.0
