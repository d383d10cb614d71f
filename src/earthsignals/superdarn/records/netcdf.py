"""Grid files as netCDF, as the Johns Hopkins University publishes them: one radar's day in each.

The radar is named by the file alone: `YYYYMMDD.<code>[.<channel>].v3.0.grid.nc`; its place is among the
attributes, which shows whether the name can be true. `vector.kvect` points along the flow, as in DMAP grid
files. `vector.vel.dirn` says the same again, in the sign of fitacf (+1 towards the radar, where its own
description says "away"), and `vector.g_kvect` always points towards the radar: neither is needed or read.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.records.dmap import check_regular
from earthsignals.superdarn.records.gridfile import placed
from earthsignals.superdarn.records.notes import Note, Unusable
from earthsignals.superdarn.records.times import MJD_OF_EPOCH
from earthsignals.superdarn.records.vectors import Vectors
from earthsignals.superdarn.stations import Station, by_code

VARIABLES = {
    "mlat": "vector.mlat", "mlon": "vector.mlon", "kvect": "vector.kvect", "velocity": "vector.vel.median",
    "velocity_sd": "vector.vel.sd", "power": "vector.pwr.median", "width": "vector.wdt.median",
    "start_s": "mjd_start", "end_s": "mjd_end",
}  # fmt: skip
_NAME = re.compile(
    r"^\d{8}(?:\.\d{4}(?:\.\d{2})?)?\.(?P<code>[a-z]{3})(?:\.(?P<channel>[a-z]))?\.", re.IGNORECASE
)
_FARTHEST_DEG = 0.5
_MOST_VECTORS = 10_000_000
"""Of a radar's day: several times what 720 windows of 2,000 cells hold."""
_HIGHEST_RATIO = 1100
"""Of what deflate, which such files are compressed by, can make of a byte (1,032 at most)."""


@np.errstate(invalid="ignore", over="ignore")  # damaged numbers are sorted out, not warned of
def read_netcdf(path: str | Path, name: str | None = None) -> tuple[Vectors, list[Note]]:
    """The vectors of a grid netCDF file, sorted, and what was left out of it.

    name: of the file, where `path` is a temporary copy. Channels a, b, … become 1, 2, …; a name without one
    is channel 0. Fill values become NaN. Left out and counted: vectors without a time, those
    in another hemisphere than their radar, and those that `gridfile.placed` leaves out. Nothing is read
    before its length is known to be possible.

    Raises Unusable for a file that is none, misses a variable, holds no vector or claims more than its size
    can hold, or whose name tells no radar or another one than its attributes.
    """
    import netCDF4

    name = name or str(path)
    size = check_regular(path, name)
    try:
        with netCDF4.Dataset(path) as file:
            radar, channel = _radar(file, name)
            missing = [variable for variable in VARIABLES.values() if variable not in file.variables]
            if missing:
                raise Unusable(
                    "missing variables",
                    f"{name}: no variable {', '.join(missing)}; expected a grid netCDF file with "
                    f"{', '.join(VARIABLES.values())}, fetch it again"
                )
            _check_lengths(file, size, name)
            columns = {key: _values(file.variables[variable]) for key, variable in VARIABLES.items()}
    except (OSError, RuntimeError, ValueError) as error:
        raise Unusable(
            "no readable netCDF",
            f"{name}: no readable netCDF file ({error}); it may be cut off, fetch it again"
        ) from None
    return _vectors(columns, radar, channel, name)


def _vectors(
    columns: dict[str, np.ndarray], radar: Station, channel: int, name: str
) -> tuple[Vectors, list[Note]]:
    for key in ("start_s", "end_s"):
        # Julian dates carry microseconds at best: to the millisecond, they are the record's own.
        columns[key] = np.round((columns[key] - MJD_OF_EPOCH) * 86400.0, 3)
    start, end = columns["start_s"], columns["end_s"]
    timely = (start >= 0) & (end > start) & (end - start <= 86400.0) & (end < 4102444800.0)
    # No radar sees across the equator; what is no latitude at all is for `placed` to count.
    home = ~(columns["mlat"] * (1 if radar.hemisphere == "north" else -1) <= 0)
    kept = timely & home
    columns = {key: column[kept] for key, column in columns.items()}
    columns["stid"] = np.full(kept.sum(), radar.stid)
    columns["channel"] = np.full(kept.sum(), channel)
    vectors, notes = placed(columns)
    for why, lost in (
        ("vectors without a possible time", ~timely),
        ("vectors in another hemisphere than their radar", timely & ~home),
    ):
        notes += [Note(why, int(np.count_nonzero(lost)))] if lost.any() else []
    return vectors.sorted(), notes


def _check_lengths(file: Any, size: int, name: str) -> None:
    """One number for each vector in every variable, and no more of them than `size` bytes can hold."""
    variables = [file.variables[variable] for variable in VARIABLES.values()]
    shape = variables[0].shape
    if len(shape) != 1 or any(variable.shape != shape for variable in variables):
        raise Unusable(
            "missing variables",
            f"{name}: its variables differ in length; expected one value for each vector, fetch it again"
        )
    strange = [each.name for each in variables if getattr(each.dtype, "kind", "O") not in "iuf"]
    if strange:
        raise Unusable(
            "missing variables",
            f"{name}: {', '.join(strange)} holds no numbers; expected one for each vector, fetch it again"
        )
    if not shape[0]:
        raise Unusable("zero records", f"{name}: zero vectors; leave the file out or fetch it again")
    classic = file.data_model.startswith("NETCDF3")  # which knows no compression
    claimed = sum(shape[0] * variable.dtype.itemsize for variable in variables)
    if shape[0] > _MOST_VECTORS or claimed > size * (1 if classic else _HIGHEST_RATIO):
        raise Unusable(
            "damaged netCDF",
            f"{name}: claims {shape[0]:,} vectors in {size:,} bytes, more than they can hold or a day of a "
            "radar has; it is cut off or damaged, fetch it again"
        )


def _values(variable: object) -> np.ndarray:
    """float64, NaN where the file has its fill value."""
    return np.ma.filled(np.ma.asarray(variable[...], np.float64), np.nan)  # type: ignore[index]


def _radar(file: object, name: str) -> tuple[Station, int]:
    match = _NAME.match(Path(name).name)
    if match is None:
        raise Unusable(
            "name without a radar",
            f"{name}: its name tells no radar, which such files do not hold inside; expected "
            "YYYYMMDD.<code>[.<channel>].v3.0.grid.nc, e.g. 20150301.kod.c.v3.0.grid.nc"
        )
    try:
        radar = by_code(match["code"].lower())
    except EarthSignalsError as error:
        raise Unusable("unknown radar", f"{name}: {error}") from None
    letter = (match["channel"] or "`").lower()
    _check_place(file, radar, name)
    return radar, ord(letter) - ord("`")


def _check_place(file: object, radar: Station, name: str) -> None:
    stated = [getattr(file, attribute, None) for attribute in ("lat", "lon")]
    if all(value is None for value in stated):
        return  # nothing to compare with
    try:
        latitude, longitude = (float(value) for value in stated)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        latitude = longitude = np.nan
    if not (np.isfinite(latitude) and np.isfinite(longitude)):
        raise Unusable(
            "no place of a radar",
            f"{name}: its attributes lat and lon are no place ({stated[0]}, {stated[1]}), expected that of "
            f"{radar.name} at {radar.latitude:.2f}° N {radar.longitude:.2f}° E; fetch it again"
        )
    east = (longitude - radar.longitude + 180.0) % 360.0 - 180.0
    apart = np.hypot(latitude - radar.latitude, east * np.cos(np.radians(radar.latitude)))
    if apart > _FARTHEST_DEG:
        raise Unusable(
            "another radar's name",
            f"{name}: named for {radar.name} at {radar.latitude:.2f}° N {radar.longitude:.2f}° E, but its "
            f"radar stands at {latitude:.2f}° N {longitude:.2f}° E; give the file its own radar's name"
        )
