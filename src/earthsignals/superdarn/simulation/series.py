"""Random series of one minute's step that any day can be asked for, alone and in any order."""

from __future__ import annotations

import numpy as np

from earthsignals.compute.seeds import philox

DAY_MINUTES = 1440
EARLIER_DAYS = 2
"""Days whose shocks a day remembers: what is older than that has lost its weight."""
_FIRST_NUMBER = 8  # of day 0 among the streams' items: the days before it have numbers too


def stream(name: str) -> str:
    """The full name of one of the room's streams of random numbers."""
    return f"superdarn-{name}"


def number_of(day: int) -> int:
    """The day's number among a stream's items; some days before the first have one."""
    return day + _FIRST_NUMBER


def shocks(seed: int, name: str, day: int, count: int) -> np.ndarray:
    """The standard normal shocks of one day, (1440, count) float64; days before the first exist too."""
    return philox(seed, stream(name), number_of(day)).standard_normal((DAY_MINUTES, count))


def ornstein_uhlenbeck(
    seed: int, name: str, day: int, memory_minutes: np.ndarray, earlier_minutes: int | None = None
) -> np.ndarray:
    """Series (1440, n) of unit variance and correlation exp(-|lag|/memory) for the minutes of one day.

    memory_minutes: (n,), each well below the time looked back. earlier_minutes: how far to look back, at
    most two days (the default): with ten memories, what a day leaves to the next is exact to 5e-5.
    """
    memory = np.asarray(memory_minutes, float)
    back = EARLIER_DAYS * DAY_MINUTES if earlier_minutes is None else int(earlier_minutes)
    days = range(day - -(-back // DAY_MINUTES), day + 1)
    drawn = np.concatenate([shocks(seed, name, each, len(memory)) for each in days])
    drawn = drawn[len(drawn) - DAY_MINUTES - back:]
    keep = np.exp(-1.0 / memory)
    gain = np.sqrt(1 - keep**2)
    state = drawn[0]
    out = np.empty((DAY_MINUTES, len(memory)))
    for minute, shock in enumerate(drawn[1:], start=1 - back):
        state = keep * state + gain * shock
        if minute >= 0:
            out[minute] = state
    if back == 0:
        out[0] = drawn[0]
    return out
