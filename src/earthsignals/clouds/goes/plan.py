"""Which scans to take: the times of day asked for, and the scan of the bucket nearest to each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from earthsignals.clouds.goes.buckets import bucket, cadence, choose_satellite, prefix
from earthsignals.clouds.goes.composites import LOWEST_SUN, bands_of, is_visible
from earthsignals.clouds.goes.fetch import RemoteFile, list_folders
from earthsignals.clouds.goes.scans import Scan, group_scans, missing_bands, nearest_scan
from earthsignals.clouds.goes.sun import elevation, solar_noon
from earthsignals.clouds.goes.view import moves, sees
from earthsignals.clouds.imagery.plane import wrap
from earthsignals.clouds.params import GoesParams
from earthsignals.storage import EarthSignalsError


@dataclass(frozen=True)
class Wanted:
    """A time of day that is asked for, and the satellite of that date."""

    satellite: int
    time: dt.datetime
    """UTC."""


@dataclass(frozen=True)
class Chosen:
    """A scan and the files of its needed bands in the bucket."""

    scan: Scan
    files: tuple[RemoteFile, ...]


@dataclass(frozen=True)
class Left:
    """A time of day or a scan that gives no scene."""

    what: str
    """ISO time that was asked for."""
    reason: str
    """`night`, `no-scan`, `missing-bands` or `duplicate`."""
    detail: str


def wanted_times(params: GoesParams) -> tuple[list[Wanted], list[Left]]:
    """Every time of every day, in their order, and those left out since it is night at the domain's centre.

    The latter only where the composite needs sunlight and the sector stays in its place; scenes of sectors
    that move are held to their own centre when they are read.

    Raises EarthSignalsError for a satellite that was not in operation on one of the days, and for a domain
    whose centre is outside of what the satellite scans.
    """
    latitude, longitude = centre(params)
    fixed = not moves(params.product)
    days = (params.last_day - params.first_day).days + 1
    wanted, left = [], []
    for number in range(days):
        day = params.first_day + dt.timedelta(days=number)
        satellite = choose_satellite(params.satellite, day)
        if fixed and not sees(satellite, params.product, latitude, longitude):
            raise EarthSignalsError(
                f"clouds.goes: {params.product} of GOES-{satellite} does not show the domain's centre, "
                f"{latitude:.1f}° N, {longitude:.1f}° E; take the other satellite, ABI-L1b-RadF or another "
                "domain"
            )
        noon = solar_noon(day, longitude)
        for hours in sorted(params.hours_from_noon):
            time = noon + dt.timedelta(hours=hours)
            height = elevation(time, latitude, longitude)
            if fixed and is_visible(params.composite) and height < LOWEST_SUN:
                told = f"the sun stands {height:.0f}° high at the domain's centre, too low for this composite"
                left.append(Left(_iso(time), "night", told))
            else:
                wanted.append(Wanted(satellite, time))
    return wanted, left


def centre(params: GoesParams) -> tuple[float, float]:
    """Latitude and longitude of the domain's middle, degrees, longitude in [-180, 180)."""
    domain = params.domain
    return (domain.south + domain.north) / 2, wrap(domain.west + domain.width / 2)


def choose_scans(
    wanted: Sequence[Wanted], params: GoesParams, cache: Path
) -> tuple[list[Chosen], list[Left]]:
    """The scan nearest to each time that has all bands, and why other times have none.

    A scan may start one cadence earlier or later. Reasons: `no-scan`, `missing-bands` (there are scans, none
    of them whole), `duplicate` (it is nearest to an earlier time too).

    Raises EarthSignalsError when a bucket cannot be read.
    """
    listed = _listed(wanted, params.product, cache)
    needed = sorted(set(bands_of(params.composite)))
    chosen: dict[str, Chosen] = {}
    left = []
    for one in wanted:
        files = {file.name: file for folder in _folders(one, params.product) for file in listed[folder]}
        scans, reach = group_scans(files), cadence(params.product, one.time.date())
        whole = [scan for scan in scans if not missing_bands(scan, needed)]
        scan = nearest_scan(whole, params.product, one.time, reach)
        if scan is None:
            left.append(_without(one, nearest_scan(scans, params.product, one.time, reach), needed))
        elif scan.name in chosen:
            left.append(Left(_iso(one.time), "duplicate", f"{scan.name} is nearest to an earlier time too"))
        else:
            chosen[scan.name] = Chosen(scan, tuple(files[scan.files[band]] for band in needed))
    return list(chosen.values()), left


def _without(one: Wanted, broken: Scan | None, needed: Sequence[str]) -> Left:
    """Why there is no scan for a time: none at all, or `broken`, without some of the bands."""
    where = bucket(one.satellite)
    if broken is None:
        return Left(_iso(one.time), "no-scan", f"{where} has no scan of the product near that time")
    lacking = ", ".join(missing_bands(broken, needed))
    return Left(_iso(one.time), "missing-bands", f"{where} has no {lacking} of {broken.name}")


def _iso(time: dt.datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def _listed(
    wanted: Sequence[Wanted], product: str, cache: Path
) -> dict[tuple[str, str], list[RemoteFile]]:
    """What the folders that may hold the wanted scans list, by bucket and folder."""
    folders = sorted({folder for one in wanted for folder in _folders(one, product)})
    return dict(zip(folders, list_folders(folders, cache), strict=True))


def _folders(one: Wanted, product: str) -> list[tuple[str, str]]:
    """Bucket and folder of each hour that may hold the scan."""
    reach = cadence(product, one.time.date())
    times = (one.time - reach, one.time, one.time + reach)
    return sorted({(bucket(one.satellite), prefix(product, time.date(), time.hour)) for time in times})
