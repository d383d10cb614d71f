"""The radars of SuperDARN: where each stands, where it looks and how far."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from earthsignals.storage import EarthSignalsError

FIRST_RANGE_KM = 180.0
RANGE_SEPARATION_KM = 45.0
"""Of the radars' common mode: gate 0 begins at 180 km, each gate is 45 km long."""


@dataclass(frozen=True)
class Station:
    """One radar: degrees, metres and kilometres.

    `boresight` is the azimuth of the middle of the fan, east of north; beam b of n points
    (b - (n - 1)/2)·`beam_separation` from it. The separation is negative where beams are counted
    anticlockwise (most southern radars).
    """

    stid: int
    code: str
    name: str
    latitude: float
    longitude: float
    altitude_m: float
    boresight: float
    beams: int
    beam_separation: float
    gates: int
    since: int
    first_range_km: float = FIRST_RANGE_KM
    range_separation_km: float = RANGE_SEPARATION_KM

    @property
    def hemisphere(self) -> Literal["north", "south"]:
        """By the sign of the radar's own latitude, as its vectors' magnetic latitudes have it."""
        return "north" if self.latitude > 0 else "south"


# The radars' own hardware files, hdw.dat.<code> (github.com/SuperDARN/hdw), as of 2015-03-01, or their first
# entry where a radar is younger: stid, code, name, latitude, longitude, altitude m, boresight, beams, beam
# separation, gates, first year. Northern radars of that day come first: simulations take them in this order.
# fmt: off
_FACTS = (
    (5, "sas", "Saskatoon", 52.16, -106.53, 494.0, 23.1, 16, 3.24, 225, 1993),
    (7, "kod", "Kodiak", 57.61215, -152.19116, 0.0, 30.0, 16, 3.24, 75, 2000),
    (6, "pgr", "Prince George", 53.98, -122.59, 670.0, -5.0, 16, 3.24, 225, 2000),
    (3, "kap", "Kapuskasing", 49.3926, -82.32184, 238.6, -12.0, 16, 3.24, 100, 1993),
    (8, "sto", "Stokkseyri", 63.86045, -21.0315, 0.0, -59.0, 16, 3.29, 75, 1994),
    (9, "pyk", "Pykkvibaer", 63.77258, -20.54476, 0.0, 30.0, 16, 3.24, 75, 1995),
    (10, "han", "Hankasalmi", 62.31357, 26.60562, 0.0, -12.0, 16, 3.24, 75, 1995),
    (32, "wal", "Wallops Island", 37.8573, -75.51019, 50.0, 35.9, 24, 3.24, 110, 2005),
    (16, "ksr", "King Salmon", 58.69206, -156.65922, 0.0, -20.0, 16, 3.24, 75, 2001),
    (65, "rkn", "Rankin Inlet", 62.828, -92.113, 50.0, 5.7, 16, 3.24, 225, 2007),
    (64, "inv", "Inuvik", 68.413, -133.769, 50.0, 29.5, 16, 3.24, 225, 2008),
    (40, "hok", "Hokkaido East", 43.5319, 143.6146, 480.0, 30.0, 16, 3.24, 110, 2006),
    (33, "bks", "Blackstone", 37.10211, -77.95033, 125.0, -40.0, 24, 3.24, 110, 2008),
    (204, "fhw", "Fort Hays West", 38.85909, -99.39061, 675.1, -25.0, 22, 3.24, 110, 2009),
    (205, "fhe", "Fort Hays East", 38.85877, -99.38843, 673.6, 45.0, 22, 3.24, 110, 2009),
    (206, "cvw", "Christmas Valley West", 43.27101, -120.35856, 1313.54, -20.0, 24, 3.24, 110, 2010),
    (207, "cve", "Christmas Valley East", 43.27053, -120.35642, 1313.54, 54.0, 24, 3.24, 110, 2010),
    (208, "adw", "Adak Island West", 51.89337, -176.63121, 4.0, -28.0, 22, 3.24, 110, 2012),
    (209, "ade", "Adak Island East", 51.89309, -176.62827, 4.0, 46.0, 22, 3.24, 110, 2012),
    (66, "cly", "Clyde River", 70.487, -68.504, 28.0, -55.62, 16, 3.24, 100, 2012),
    (1, "gbr", "Goose Bay", 53.31753, -60.46424, 50.0, 5.0, 16, 3.24, 100, 1983),
    (41, "hkw", "Hokkaido West", 43.5374, 143.6073, 479.0, -30.0, 16, 3.24, 110, 2014),
    (2, "sch", "Schefferville", 54.8, -66.8, 1500.0, 15.0, 16, 3.2, 75, 1986),
    (512, "ekb", "Yekaterinburg", 56.43568, 58.57142, 50.0, 30.0, 16, 3.86, 110, 2011),
    (90, "lyr", "Longyearbyen", 78.15338, 16.07342, 471.8, 23.7, 16, 3.24, 110, 2016),
    (50, "jme", "Jiamusi East", 46.76656, 130.48594, 102.0, 44.0, 24, 3.25, 100, 2019),
    (55, "hje", "Hejing East", 42.885, 83.709, 2469.0, 39.0, 24, 3.25, 100, 2023),
    (56, "hjw", "Hejing West", 42.885, 83.709, 2469.0, -39.0, 24, 3.25, 100, 2023),
    (51, "lje", "Longjing East", 42.82406, 129.42244, 323.05, 44.0, 24, 3.25, 100, 2023),
    (52, "ljw", "Longjing West", 42.8267, 129.41775, 333.65, -34.0, 24, 3.25, 100, 2023),
    (53, "sze", "Siziwang East", 41.83265, 111.93369, 1445.85, 42.0, 24, 3.25, 100, 2023),
    (54, "szw", "Siziwang West", 41.83272, 111.93093, 1444.65, -36.0, 24, 3.25, 100, 2023),
    (211, "ice", "Iceland East", 63.77443, -20.54167, 0.0, 23.0, 24, 3.24, 100, 2023),
    (210, "icw", "Iceland West", 63.77396, -20.54578, 0.0, -52.0, 24, 3.24, 100, 2023),
    (4, "hal", "Halley", -75.62, -26.219, 35.0, 165.0, 16, -3.24, 75, 1988),
    (12, "sys", "Syowa South", -69.0, 39.58, 0.0, 159.0, 16, -3.33, 75, 1995),
    (13, "sye", "Syowa East", -69.01, 39.61, 42.5, 106.5, 16, -3.33, 75, 1997),
    (11, "san", "SANAE", -71.67714, -2.82816, 850.0, 173.2, 16, -3.24, 75, 1997),
    (14, "tig", "TIGER Bruny Island", -43.40012, 147.21627, 0.0, 180.0, 16, -3.24, 75, 1999),
    (15, "ker", "Kerguelen", -49.35073, 70.26652, 20.0, 168.0, 16, -3.24, 75, 2000),
    (18, "unw", "TIGER Unwin", -46.5133, 168.37569, 0.0, 227.9, 16, -3.24, 75, 2004),
    (20, "mcm", "McMurdo", -77.83777, 166.657, 300.0, 263.4, 16, 3.24, 75, 2010),
    (21, "fir", "Falkland Islands", -51.8314, -58.9793, 8.0, 178.3, 16, -3.24, 110, 2010),
    (19, "zho", "Zhongshan", -69.37669, 76.36646, 50.0, 72.5, 16, 3.24, 75, 2010),
    (22, "sps", "South Pole Station", -89.995, 118.291, 3000.0, 75.7, 16, 3.24, 75, 2013),
    (96, "dce", "Dome C East", -75.08952, 123.35125, 3233.0, 115.0, 16, 3.24, 75, 2013),
    (24, "bpk", "Buckland Park", -34.6271, 138.466, 0.0, 146.5, 22, -3.24, 110, 2014),
    (97, "dcn", "Dome C North", -75.08629, 123.3599, 3232.0, -28.0, 16, -3.24, 75, 2019),
)
# fmt: on

STATIONS: tuple[Station, ...] = tuple(Station(*facts) for facts in _FACTS)


def station(stid: int) -> Station:
    """The radar of that number.

    Raises EarthSignalsError where the table has none.
    """
    try:
        return _by_stid()[int(stid)]
    except KeyError:
        raise EarthSignalsError(
            f"station {stid}: no SuperDARN radar of this number is known, expected one of "
            f"{', '.join(map(str, sorted(_by_stid())))}; check the file's `stid`, or add the radar's hdw.dat "
            "facts to earthsignals/superdarn/stations.py"
        ) from None


def by_code(code: str) -> Station:
    """The radar of that three-letter code, whatever its case.

    Raises EarthSignalsError where the table has none.
    """
    try:
        return _by_code()[code.lower()]
    except KeyError:
        raise EarthSignalsError(
            f"radar `{code}`: no SuperDARN radar of this code is known, expected one of "
            f"{', '.join(sorted(_by_code()))}; check the file's name, or add the radar's hdw.dat facts to "
            "earthsignals/superdarn/stations.py"
        ) from None


def of_hemisphere(hemisphere: Literal["north", "south"]) -> tuple[Station, ...]:
    """The table's radars of one hemisphere, in its order."""
    return tuple(each for each in STATIONS if each.hemisphere == hemisphere)


@cache
def _by_stid() -> dict[int, Station]:
    return {each.stid: each for each in STATIONS}


@cache
def _by_code() -> dict[str, Station]:
    return {each.code: each for each in STATIONS}
