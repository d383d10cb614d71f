"""Which satellite of the GOES-R series held a position on a date, and what its files are called.

NOAA publishes each satellite in a bucket of its own (`noaa-goes16` …) under
`<product>/<year>/<day of year>/<hour>/`, with names as in the GOES-R Product Definition and Users' Guide,
volume 3 (Level 1b).
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from typing import Literal

from earthsignals.storage import EarthSignalsError

Position = Literal["east", "west"]

_HELD: dict[Position, tuple[tuple[dt.date, int], ...]] = {
    "east": ((dt.date(2017, 12, 18), 16), (dt.date(2025, 4, 7), 19)),
    "west": ((dt.date(2019, 2, 12), 17), (dt.date(2023, 1, 4), 18)),
}
"""First day in operation at the position, and the satellite."""

LONGITUDE: dict[Position, float] = {"east": -75.2, "west": -137.0}
"""Of the points that the satellites stand above, degrees."""

_MODE_6 = dt.date(2019, 4, 2)
_CADENCE_MINUTES = {"F": 10.0, "C": 5.0, "M1": 1.0, "M2": 1.0}
_NAME = re.compile(
    r"[A-Z]{2}_(?P<product>ABI-L1b-Rad(?:F|C|M1|M2))-M(?P<mode>\d)C(?P<band>\d\d)_G(?P<satellite>\d\d)"
    r"_s(?P<start>\d{14})_e(?P<end>\d{14})_c(?P<created>\d{14})\.nc"
)


@dataclass(frozen=True)
class GoesFile:
    """What the name of a file says: one band of one scan."""

    product: str
    """As in `GoesParams.product`: ABI-L1b-RadF, ABI-L1b-RadM1, …"""
    mode: int
    band: str
    """C01 … C16."""
    satellite: int
    start: dt.datetime
    end: dt.datetime
    created: dt.datetime
    """Start and end of the scan and creation of the file, UTC, to a tenth of a second."""


def satellite_on(date: dt.date, position: Position) -> int:
    """Number of the satellite in operation as GOES-East or GOES-West on `date`.

    East: 16 from 2017-12-18, 19 from 2025-04-07. West: 17 from 2019-02-12, 18 from 2023-01-04.
    Raises EarthSignalsError for a date before the first of the series.
    """
    held = [number for first, number in _HELD[position] if first <= date]
    if not held:
        first, number = _HELD[position][0]
        raise EarthSignalsError(
            f"no satellite of the GOES-R series was GOES-{position.capitalize()} on {date}: GOES-{number} "
            f"was the first, from {first}; set clouds.goes.first_day to that or later"
        )
    return held[-1]


def position_of(satellite: int) -> Position:
    """Where the satellite stood, or stands, in operation."""
    return next(
        position for position, held in _HELD.items() if satellite in [number for _, number in held]
    )


def choose_satellite(satellite: str, date: dt.date) -> int:
    """The satellite for `GoesParams.satellite`: a number, or that which held the named position on `date`.

    Raises EarthSignalsError when the numbered satellite was not in operation on `date`, naming the one that
    was.
    """
    if satellite in _HELD:
        return satellite_on(date, satellite)  # type: ignore[arg-type]
    number = int(satellite)
    position = position_of(number)
    right = satellite_on(date, position)
    if right != number:
        raise EarthSignalsError(
            f"GOES-{number} was not in operation on {date}: GOES-{position.capitalize()} was GOES-{right}, "
            f"in the bucket {bucket(right)}; set clouds.goes.satellite to `{position}` or `{right}`"
        )
    return number


def bucket(satellite: int) -> str:
    """Name of the satellite's public bucket."""
    return f"noaa-goes{satellite}"


def mode_on(date: dt.date) -> int:
    """Scan mode in use as a rule: 6 since 2019-04-02, 3 before."""
    return 6 if date >= _MODE_6 else 3


def cadence(product: str, date: dt.date) -> dt.timedelta:
    """Time between two scans of `product`: of the full disc 10 minutes in mode 6 and 15 in mode 3."""
    kind = product.removeprefix("ABI-L1b-Rad")
    return dt.timedelta(minutes=15.0 if kind == "F" and mode_on(date) == 3 else _CADENCE_MINUTES[kind])


def prefix(product: str, date: dt.date, hour: int) -> str:
    """Folder of a bucket that holds the scans that began in `hour` (UTC), with a slash at its end.

    Both mesoscale sectors are in one folder, ABI-L1b-RadM.
    """
    folder = product.rstrip("12") if product[:-1].endswith("RadM") else product
    return f"{folder}/{date:%Y}/{date:%j}/{hour:02d}/"


def parse_name(name: str) -> GoesFile:
    """What the file name (no folder) says. Raises EarthSignalsError when it is no ABI L1b file's."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise EarthSignalsError(
            f"{name} is no name of a GOES-R ABI L1b file, expected one like "
            "OR_ABI-L1b-RadF-M6C02_G16_s20200011700211_e20200011709519_c20200011709562.nc; leave such files "
            "under their own names"
        )
    try:
        times = [_time(match[key]) for key in ("start", "end", "created")]
    except ValueError:
        raise EarthSignalsError(
            f"{name}: the times in its name are no dates, expected year, day of year, hour, minute, second "
            "and tenth; leave such files under their own names"
        ) from None
    return GoesFile(
        match["product"], int(match["mode"]), f"C{match['band']}", int(match["satellite"]), *times
    )


def is_goes_name(name: str) -> bool:
    """Is this the name of an ABI L1b file?"""
    return _NAME.fullmatch(name) is not None


def _time(digits: str) -> dt.datetime:
    """Of `YYYYDDDHHMMSSt`."""
    whole = dt.datetime.strptime(digits[:13], "%Y%j%H%M%S").replace(tzinfo=dt.UTC)
    return whole + dt.timedelta(milliseconds=100 * int(digits[13]))
