"""Line-of-sight vectors, whatever file they came from.

A vector says that along the azimuth `kvect` the plasma moved with `velocity`: v·k̂ with k̂ = (cos kvect,
sin kvect) in (north, east). The speed is never negative: the sign is in `kvect`, which points along the
flow and so towards the radar or away from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike

from earthsignals.storage import EarthSignalsError

DTYPES = {
    "start_s": np.float64, "end_s": np.float64, "stid": np.int16, "channel": np.int16, "mlat": np.float32,
    "mlon": np.float32, "kvect": np.float32, "velocity": np.float32, "velocity_sd": np.float32,
    "power": np.float32, "width": np.float32, "index": np.int32,
}  # fmt: skip


@dataclass(frozen=True)
class Vectors:
    """Columns of equal length (N,). Made by `Vectors(**columns)`, which casts to the dtypes named here.

    Raises EarthSignalsError when the columns differ in length.
    """

    start_s: np.ndarray
    """float64, seconds since 1970-01-01 UTC: of the record's window."""
    end_s: np.ndarray
    stid: np.ndarray
    """int16, the radar's station id."""
    channel: np.ndarray
    """int16, as the file has it: 0 or 1 for a radar with one channel, 1, 2, … for stereo ones."""
    mlat: np.ndarray
    """float32, degrees, AACGM."""
    mlon: np.ndarray
    """float32, degrees in [0, 360)."""
    kvect: np.ndarray
    """float32, degrees east of magnetic north in [-180, 180)."""
    velocity: np.ndarray
    """float32, m/s; files may hold NaN, which is for the dataset to count."""
    velocity_sd: np.ndarray
    """float32, m/s."""
    power: np.ndarray
    """float32, dB; NaN where the file has none."""
    width: np.ndarray
    """float32, m/s: spectral width; NaN where the file has none."""
    index: np.ndarray
    """int32, of the cell (`cells.cell_index`)."""

    def __post_init__(self) -> None:
        for name, dtype in DTYPES.items():
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype))
        lengths = {name: getattr(self, name).shape for name in DTYPES}
        if len(set(lengths.values())) > 1 or self.start_s.ndim != 1:
            raise EarthSignalsError(f"vectors: columns of one length are expected, not {lengths}")

    def __len__(self) -> int:
        return len(self.start_s)

    @classmethod
    def empty(cls) -> Vectors:
        """No vectors."""
        return cls(**{name: np.zeros(0, dtype) for name, dtype in DTYPES.items()})

    @classmethod
    def concatenate(cls, parts: Iterable[Vectors]) -> Vectors:
        """All vectors of `parts`, in their order."""
        parts = [cls.empty(), *parts]
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in DTYPES})

    def take(self, chosen: ArrayLike) -> Vectors:
        """The vectors of a mask (N,) or of indices."""
        chosen = np.asarray(chosen)
        if chosen.dtype != bool:
            chosen = chosen.astype(np.int64)
        return Vectors(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    def hemisphere(self) -> np.ndarray:
        """int8 (N,): 1 in the north, -1 in the south."""
        return np.where(self.mlat > 0, 1, -1).astype(np.int8)

    def of_hemisphere(self, name: str) -> Vectors:
        """Those of `north` or `south`."""
        return self.take(self.hemisphere() == {"north": 1, "south": -1}[name])

    def order(self) -> np.ndarray:
        """int64 (N,): the order by (start_s, stid, channel, index); equals keep theirs."""
        return np.lexsort((self.index, self.channel, self.stid, self.start_s))

    def sorted(self) -> Vectors:
        """In the order by (start_s, stid, channel, index); itself where that is its order already."""
        order = self.order()
        return self if np.array_equal(order, np.arange(len(self))) else self.take(order)

    def deduplicated(self) -> tuple[Vectors, int]:
        """Sorted, and of those with the same start, radar, channel and cell the first alone; and how many
        were dropped. A file read twice, or a radar listed twice, thus counts once.
        """
        ordered = self.sorted()
        new = np.ones(len(ordered), bool)
        if len(ordered) > 1:
            keys = (ordered.start_s, ordered.stid, ordered.channel, ordered.index)
            new[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
        dropped = int(np.count_nonzero(~new))
        return (ordered.take(new) if dropped else ordered), dropped

    def equals(self, other: Vectors) -> bool:
        """The same numbers in the same order; NaN equals NaN."""
        return len(self) == len(other) and all(
            np.array_equal(getattr(self, name), getattr(other, name), equal_nan=True) for name in DTYPES
        )
