"""Map files of SuperDARN: fitted spherical harmonics, the vectors they were fitted to, and the boundary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from earthsignals.storage import EarthSignalsError

_NEEDED = ("fit.order", "latmin", "hemisphere", "N+2", "start.year", "end.year")
Array = NDArray[np.float64]


@dataclass(frozen=True)
class LineOfSight:
    """The vectors of one record, each (n,) float64: degrees, degrees, degrees from north, m/s."""

    mlat: Array
    mlon: Array
    kvect: Array
    velocity: Array


@dataclass(frozen=True)
class Maps:
    """M records of one file. Orders may differ: shorter expansions end in zeros."""

    start_s: Array
    """(M,) seconds since 1970-01-01 UTC."""
    end_s: Array
    hemisphere: NDArray[np.int64]
    """(M,) 1 north, -1 south."""
    order: NDArray[np.int64]
    latmin: Array
    """(M,) degrees, positive in either hemisphere."""
    lat_shift: Array
    """(M,) degrees, of the expansion's pole."""
    lon_shift: Array
    coefficients: Array
    """(M, (largest order + 1)²) volts."""
    stated: Mapping[str, Array]
    """What the file itself says, each (M,), NaN where it does not: pot.drop, pot.max, pot.min (V) and rms.err
    (m/s)."""
    vectors: tuple[LineOfSight, ...]
    boundary: tuple[tuple[Array, Array], ...]
    """Heppner–Maynard boundary of each record: mlon and mlat in degrees; empty where the file has none."""
    name: str = "map"

    def __len__(self) -> int:
        return len(self.start_s)


def read_maps(path: str | Path) -> Maps:
    """Read a map file (.map, .mp; bz2 too); what is good of a damaged one.

    Raises EarthSignalsError: no map file, damaged from its start, or a record lacks a field.
    """
    from earthsignals.superdarn.records.dmap import read_dmap_records

    return maps_of(read_dmap_records(path, "map").records, str(path))


def maps_of(records: Sequence[Mapping[str, Any]], name: str = "map") -> Maps:
    """Arrays of the records (dicts of DMAP fields) of one map file.

    Raises EarthSignalsError: no records, a field missing, or too few coefficients for the order.
    """
    if not records:
        raise EarthSignalsError(f"{name}: it holds no records, expected at least one fitted map")
    largest = 0
    for number, record in enumerate(records):
        missing = [field for field in _NEEDED if field not in record]
        if missing:
            raise EarthSignalsError(
                f"{name}: record {number} has no {', '.join(missing)}, expected a fitted map: was the file "
                "written by map_fit?"
            )
        order, count = int(record["fit.order"]), np.size(record["N+2"])
        if order < 1 or count < (order + 1) ** 2:
            raise EarthSignalsError(
                f"{name}: record {number} has {count} coefficients for order {order}, expected "
                f"{(max(order, 1) + 1) ** 2}: the record is damaged"
            )
        if not 0 < 90 - abs(float(record["latmin"])) <= 90:
            raise EarthSignalsError(
                f"{name}: record {number} has latmin {record['latmin']}, expected degrees short of the pole"
            )
        largest = max(largest, order)
    coefficients = np.zeros((len(records), (largest + 1) ** 2))
    for row, record in zip(coefficients, records, strict=True):
        terms = (int(record["fit.order"]) + 1) ** 2
        row[:terms] = np.ravel(record["N+2"])[:terms]

    def column(field: str, default: float = np.nan) -> Array:
        return np.array([float(record.get(field, default)) for record in records])

    return Maps(
        start_s=np.array([_seconds(record, "start", name) for record in records]),
        end_s=np.array([_seconds(record, "end", name) for record in records]),
        hemisphere=np.where(column("hemisphere") < 0, -1, 1),
        order=column("fit.order").astype(np.int64),
        latmin=np.abs(column("latmin")),
        lat_shift=column("lat.shft", 0.0),
        lon_shift=column("lon.shft", 0.0),
        coefficients=coefficients,
        stated={field: column(field) for field in ("pot.drop", "pot.max", "pot.min", "rms.err")},
        vectors=tuple(_vectors(record) for record in records),
        boundary=tuple(_pair(record, "boundary.mlon", "boundary.mlat") for record in records),
        name=name,
    )


def boundary_mlat(maps: Maps, record: int, mlon: ArrayLike) -> Array:
    """Latitude in degrees of a record's Heppner–Maynard boundary at the given longitudes, by interpolation.

    Raises EarthSignalsError where the file holds no boundary for it.
    """
    lons, lats = maps.boundary[record]
    if not len(lons):
        raise EarthSignalsError(
            f"{maps.name}: record {record} holds no boundary, expected boundary.mlon and boundary.mlat: add "
            "one with map_addhmb"
        )
    return np.interp(np.asarray(mlon, float) % 360, lons, lats, period=360)


def take(maps: Maps, record: int) -> Maps:
    """One record as Maps of length 1."""
    at = slice(record, record + 1)
    arrays = ("start_s", "end_s", "hemisphere", "order", "latmin", "lat_shift", "lon_shift", "coefficients")
    return Maps(
        **{field: getattr(maps, field)[at] for field in arrays},
        stated={field: values[at] for field, values in maps.stated.items()},
        vectors=maps.vectors[at], boundary=maps.boundary[at], name=maps.name,
    )  # fmt: skip


def _seconds(record: Mapping[str, Any], which: str, name: str) -> float:
    parts = [record.get(f"{which}.{part}", 0) for part in ("year", "month", "day", "hour", "minute")]
    try:
        day = datetime(*(int(part) for part in parts), tzinfo=UTC)
    except ValueError as error:
        raise EarthSignalsError(
            f"{name}: a record's {which} is no time ({error}), expected year, month, day, hour and minute"
        ) from None
    return day.timestamp() + float(record.get(f"{which}.second", 0.0))


def _vectors(record: Mapping[str, Any]) -> LineOfSight:
    fields = ("vector.mlat", "vector.mlon", "vector.kvect", "vector.vel.median")
    if any(field not in record for field in fields):  # a map of the model alone
        return LineOfSight(*(np.empty(0) for _ in fields))
    return LineOfSight(*(np.asarray(record[field], float) for field in fields))


def _pair(record: Mapping[str, Any], first: str, second: str) -> tuple[Array, Array]:
    return np.asarray(record.get(first, ()), float), np.asarray(record.get(second, ()), float)
