"""Times of records: calendar fields and modified Julian dates to seconds since 1970-01-01 UTC, and back."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MJD_OF_EPOCH = 40587
_EARLIEST, _LATEST = 0.0, 4102444800.0
"""1970 to 2100: a radar's record outside is a damaged one."""


def seconds_of(record: Mapping[str, Any], names: tuple[str, ...], fraction: float = 0.0) -> float | None:
    """The time in the fields `names` (year, month, day, hour, minute, second) plus `fraction` seconds;
    None where it is no time of radars.
    """
    try:
        year, month, day, hour, minute = (int(record[name]) for name in names[:5])
        second = float(record[names[5]])
        minutes = (dt.datetime(year, month, day, hour, minute, tzinfo=dt.UTC) - EPOCH).total_seconds()
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    moment = minutes + second + fraction
    if not (math.isfinite(moment) and 0 <= second <= 61 and _EARLIEST <= moment <= _LATEST):
        return None
    return moment


def fields_of(seconds: float, prefix: str) -> dict[str, int | float]:
    """The fields `<prefix>.year` … `<prefix>.second` of a time, the second with its fraction."""
    minute = math.floor(seconds / 60.0) * 60
    when = EPOCH + dt.timedelta(seconds=minute)
    return {
        f"{prefix}.year": when.year, f"{prefix}.month": when.month, f"{prefix}.day": when.day,
        f"{prefix}.hour": when.hour, f"{prefix}.minute": when.minute, f"{prefix}.second": seconds - minute,
    }  # fmt: skip


def day_of(seconds: float) -> str:
    """YYYYMMDD, UTC."""
    return f"{EPOCH + dt.timedelta(days=math.floor(seconds / 86400.0)):%Y%m%d}"


def iso(seconds: float) -> str:
    """ISO 8601 to the second, UTC."""
    return f"{EPOCH + dt.timedelta(seconds=math.floor(seconds)):%Y-%m-%dT%H:%M:%SZ}"
