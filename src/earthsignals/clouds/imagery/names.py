"""What the name of an image tells: its time and the bounds of the region it shows."""

from __future__ import annotations

import datetime as dt
import re

_SCAN = re.compile(r"(?<![A-Za-z0-9])s(\d{4})(\d{3})(\d{2})(\d{2})(\d{2})\d?(?!\d)")
_DATE = re.compile(
    r"(?<!\d)((?:19|20)\d\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])"
    r"(?:[T_-]?([01]\d|2[0-3]):?([0-5]\d):?([0-5]\d)?Z?)?(?!\d)"
)
_DEGREES = r"(-?\d+(?:\.\d+)?)"
_BOUNDS = re.compile(rf"_{_DEGREES}-{_DEGREES}_{_DEGREES}-{_DEGREES}$")


def time_in_name(stem: str) -> dt.datetime | None:
    """UTC time that a file's name tells, None if it tells none.

    Either the start of a GOES scan (`s20193351027275`: year, day of the year, hour, minute, second, tenth) or
    a date `YYYYMMDD` or `YYYY-MM-DD` with or without `HHMM` or `HHMMSS` behind it. A date alone is taken for
    its noon.
    """
    try:
        if found := _SCAN.search(stem):
            year, day, hour, minute, second = (int(text) for text in found.groups())
            start = dt.datetime(year, 1, 1, hour, minute, second, tzinfo=dt.UTC)
            return start + dt.timedelta(days=day - 1)
        if found := _DATE.search(stem):
            year, month, day = (int(text) for text in found.groups()[:3])
            hour, minute, second = (int(text or 0) for text in found.groups()[3:])
            hour = 12 if found[4] is None else hour
            return dt.datetime(year, month, day, hour, minute, second, tzinfo=dt.UTC)
    except ValueError:  # the 31st of February
        return None
    return None


def bounds_in_name(stem: str) -> tuple[float, float, float, float] | None:
    """West, east, south, north in degrees from a name that ends in them, as `_-61--40_10-24` does.

    East is the greater even across the antimeridian: `_170--170_-10-10` gives 170 and 190. None for other
    names and for bounds that cannot be.
    """
    found = _BOUNDS.search(stem)
    if not found:
        return None
    west, east, south, north = (float(text) for text in found.groups())
    if not (-90 <= south < north <= 90 and max(abs(west), abs(east)) <= 360 and west != east):
        return None
    return west, east if east > west else east + 360, south, north


def scene_name(stem: str) -> str:
    """The name as that of a scene: what it may not hold becomes `_`."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", stem) or "scene"
