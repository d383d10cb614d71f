"""Magnetic local time: where the Sun stands over magnetic longitudes.

Convection is fixed in magnetic local time while radars and cells turn with the Earth. In AACGM-v2 the local
time of a magnetic longitude is that of longitude 0 and an hour more every 15° eastward (Shepherd 2014,
J. Geophys. Res. 119, 7501), so one number per moment says all: the local time of magnetic longitude 0.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from earthsignals.storage import EarthSignalsError

NODE_S = 120
"""Between nodes the local time is interpolated linearly. At solstice it is curved most, which leaves 3e-5
hours; nodes five minutes apart would leave 1.7e-4."""


def mlt_of_zero(times_s: ArrayLike) -> np.ndarray:
    """Magnetic local time of magnetic longitude 0: hours in [0, 24), float64, as shaped.

    times_s: seconds since 1970-01-01 UTC. Error below 1e-4 hours against `aacgmv2.convert_mlt`, which is
    asked at the nodes alone.

    Raises EarthSignalsError for times that are not finite or lie outside the coefficients' years.
    """
    times = np.asarray(times_s, np.float64)
    if not np.all(np.isfinite(times)):
        raise EarthSignalsError(
            "mlt_of_zero: a time is not finite; expected seconds since 1970-01-01 UTC, leave others out"
        )
    node = np.floor(times / NODE_S).astype(np.int64)
    asked, place = np.unique(np.concatenate([node.ravel(), node.ravel() + 1]), return_inverse=True)
    hours = np.array([_at_node(int(number)) for number in asked], np.float64)[place]
    before, after = hours.reshape(2, *times.shape)
    step = (after - before + 12.0) % 24.0 - 12.0
    return _of_day(before + (times / NODE_S - node) * step)


def mlt(mlon: ArrayLike, mlt_zero: ArrayLike) -> np.ndarray:
    """Magnetic local time of magnetic longitudes: hours in [0, 24), broadcast.

    mlon: degrees. mlt_zero: hours, from `mlt_of_zero`.
    """
    return _of_day(np.asarray(mlon, np.float64) / 15.0 + mlt_zero)


def _of_day(hours: ArrayLike) -> np.ndarray:
    wrapped = np.asarray(hours) % 24.0
    return np.where(wrapped >= 24.0, 0.0, wrapped)  # -1e-20 % 24 rounds to 24


@lru_cache(maxsize=1 << 16)
def _at_node(number: int) -> float:
    import aacgmv2

    moment = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=number * NODE_S)
    _forget(moment)
    hours = float(np.asarray(aacgmv2.convert_mlt([0.0], moment)).flat[0])
    if not np.isfinite(hours):
        raise EarthSignalsError(
            f"mlt_of_zero: no magnetic local time at {moment:%Y-%m-%d %H:%M}; AACGM-v2 knows the years from "
            "1590 to its newest coefficients', update the package aacgmv2 for later ones"
        )
    return hours


def _forget(moment: dt.datetime) -> None:
    """Make the next answer of AACGM-v2 independent of what it was asked before.

    Its C code keeps the coefficients' date and the last subsolar point, and interpolates from that for calls
    within ten minutes: some 1e-8 h, but bytes are to be the same for any number of workers.
    """
    import aacgmv2
    from aacgmv2 import _aacgmv2

    _aacgmv2.set_datetime(
        moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second
    )
    aacgmv2.convert_mlt([0.0], moment + dt.timedelta(days=1))
