"""Where a radar's gates lie, and which cells of the grid it sees from which direction.

Slant range becomes distance over ground by the virtual height of Chisham et al. (2008, "Mapping ionospheric
backscatter measured by the SuperDARN HF radars - Part 1", Ann. Geophys. 26, 823), as in RST's
`make_grid -chisham`; places become AACGM coordinates at the grid files' reference altitude of 300 km.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from earthsignals.superdarn.cells import cell_centre, cell_index
from earthsignals.superdarn.stations import Station, station

REFERENCE_HEIGHT_KM = 300.0
EARTH_KM = 6371.2
_FLATTENING = 1 / 298.257223563
_PIECES_KM = (787.5, 2137.5)
_COEFFICIENTS = (  # h = a + b·r + c·r², of each piece
    (108.974, 0.0191271, 6.68283e-5),
    (384.416, -0.178640, 1.81405e-4),
    (1098.28, -0.354557, 9.39961e-5),
)
_STEP_KM = 5.0  # along the beam: far above AACGM's noise of some metres, far below its curvature


@dataclass(frozen=True)
class SeenCells:
    """The grid cells in a radar's field of view, one row each: arrays (N,), sorted by `index`."""

    index: np.ndarray
    """int32, the cell's number in grid files."""
    mlat: np.ndarray
    """float64 degrees, the cell's centre."""
    mlon: np.ndarray
    """float64 degrees in [0, 360)."""
    kvect_away: np.ndarray
    """float64 degrees east of magnetic north, the direction away from the radar."""
    range_km: np.ndarray
    """float64, mean slant range of the gates in the cell."""

    def __len__(self) -> int:
        return len(self.index)


def virtual_height(range_km: np.ndarray) -> np.ndarray:
    """Height (km) that a straight ray of this slant range (km) would reach (Chisham et al. 2008, table 1)."""
    ranges = np.asarray(range_km, float)
    piece = np.digitize(ranges, _PIECES_KM)
    a, b, c = np.moveaxis(np.array(_COEFFICIENTS)[piece], -1, 0)
    return np.where(ranges < 115.0, ranges / 115.0 * 112.0, a + b * ranges + c * ranges**2)


def gate_ranges(place: Station) -> np.ndarray:
    """Slant ranges (gates,) in km of the middles of a radar's gates."""
    return place.first_range_km + place.range_separation_km * (np.arange(place.gates) + 0.5)


def gate_positions(
    place: Station,
    ranges: np.ndarray,
    beams: np.ndarray,
    height_km: float | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Geographic latitude, longitude and azimuth away from the radar, (beams, ranges) degrees each.

    ranges: slant ranges in km (gate middles: `gate_ranges`). beams: their numbers, from 0.
    height_km: None takes the virtual height of each range; a number takes straight rays to this height.

    A beam's angle off the boresight is fixed on the array's cone, so its azimuth opens with elevation:
    sin(azimuth) = sin(offset)/cos(elevation), to first order (Greenwald et al. 1985). Positions follow
    great circles of the geocentric sphere, latitudes are geodetic (WGS84).
    """
    ranges = np.asarray(ranges, float)[None, :]
    offset = (np.asarray(beams, float)[:, None] - (place.beams - 1) / 2) * place.beam_separation
    height = virtual_height(ranges) if height_km is None else np.full_like(ranges, height_km)
    top = EARTH_KM + height
    # Triangle of the Earth's centre, the radar and the target: elevation at the radar, angle at the centre.
    sine = (top**2 - EARTH_KM**2 - ranges**2) / (2 * EARTH_KM * ranges)
    elevation = np.arcsin(np.clip(sine, -1, 1))
    centre = np.arctan2(ranges * np.cos(elevation), EARTH_KM + ranges * np.sin(elevation))
    opened = np.arcsin(np.clip(np.sin(np.deg2rad(offset)) / np.cos(elevation), -1, 1))
    azimuth = np.deg2rad(place.boresight) + opened
    latitude = _geocentric(np.deg2rad(place.latitude))
    return _travel(latitude, np.deg2rad(place.longitude), azimuth, centre)


def aacgm(glat: np.ndarray, glon: np.ndarray, time: dt.datetime) -> tuple[np.ndarray, np.ndarray]:
    """AACGM latitude and longitude ([0, 360)) at 300 km of geographic places, in degrees, any shape.

    NaN where AACGM is not defined (near the magnetic equator).
    """
    import aacgmv2

    shape = np.shape(glat)
    mlat, mlon, _ = aacgmv2.convert_latlon_arr(
        np.ravel(glat), np.ravel(glon), REFERENCE_HEIGHT_KM, time, method_code="G2A"
    )
    return mlat.reshape(shape), mlon.reshape(shape) % 360.0


def magnetic_azimuth(
    glat: np.ndarray, glon: np.ndarray, azimuth: np.ndarray, time: dt.datetime
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """AACGM latitude, longitude and azimuth (east of magnetic north, (-180, 180]) of directions at places.

    All in degrees and of any one shape: the direction is carried over by a step of some kilometres.
    """
    step = _STEP_KM / EARTH_KM
    ahead = _travel(_geocentric(np.deg2rad(glat)), np.deg2rad(glon), np.deg2rad(azimuth), step)
    both = aacgm(np.stack([glat, ahead[0]]), np.stack([glon, ahead[1]]), time)
    (here_lat, there_lat), (here_lon, there_lon) = both
    north = there_lat - here_lat
    east = ((there_lon - here_lon + 180) % 360 - 180) * np.cos(np.deg2rad(here_lat))
    return here_lat, here_lon, np.rad2deg(np.arctan2(east, north))


def cells(
    place: Station, time: dt.datetime, minimum_range: float = 500.0, maximum_range: float = 3000.0
) -> SeenCells:
    """The cells that hold the middle of at least one gate of the radar within the ranges (km).

    The table is that of the middle of `time`'s year: the field moves by some hundredths of a degree a year.
    """
    return _cells(place.stid, time.year, float(minimum_range), float(maximum_range))


@lru_cache(maxsize=512)
def _cells(stid: int, year: int, minimum_range: float, maximum_range: float) -> SeenCells:
    place = station(stid)
    ranges = np.arange(place.first_range_km, maximum_range, place.range_separation_km)
    ranges = ranges + place.range_separation_km / 2
    ranges = ranges[(ranges >= minimum_range) & (ranges <= maximum_range)]
    glat, glon, azimuth = gate_positions(place, ranges, np.arange(place.beams))
    mlat, mlon, kvect = magnetic_azimuth(glat, glon, azimuth, dt.datetime(year, 7, 1))
    defined = np.isfinite(mlat) & np.isfinite(kvect)
    index, member, count = np.unique(
        cell_index(mlat[defined], mlon[defined]), return_inverse=True, return_counts=True
    )
    angle = np.deg2rad(kvect[defined])
    north, east = (np.bincount(member, part(angle), len(index)) for part in (np.cos, np.sin))
    reach = np.bincount(member, np.broadcast_to(ranges, mlat.shape)[defined], len(index)) / count
    centre_lat, centre_lon = cell_centre(index)
    seen = SeenCells(
        index.astype(np.int32), centre_lat, centre_lon, np.rad2deg(np.arctan2(east, north)), reach
    )
    for name in ("index", "mlat", "mlon", "kvect_away", "range_km"):
        getattr(seen, name).flags.writeable = False  # shared by every caller
    return seen


def _geocentric(latitude: np.ndarray) -> np.ndarray:
    """Geodetic to geocentric latitude, radians, at the surface."""
    return np.arctan((1 - _FLATTENING) ** 2 * np.tan(latitude))


def _travel(
    latitude: np.ndarray, longitude: np.ndarray, azimuth: np.ndarray, angle: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where a great circle leads after `angle`, and its azimuth there: radians (geocentric) to degrees."""
    sine = np.sin(latitude) * np.cos(angle) + np.cos(latitude) * np.sin(angle) * np.cos(azimuth)
    east = np.sin(azimuth) * np.sin(angle) * np.cos(latitude)
    there = longitude + np.arctan2(east, np.cos(angle) - np.sin(latitude) * sine)
    geodetic = np.arctan(np.tan(np.arcsin(np.clip(sine, -1, 1))) / (1 - _FLATTENING) ** 2)
    onward = np.arctan2(
        np.sin(azimuth) * np.cos(latitude),
        np.cos(latitude) * np.cos(angle) * np.cos(azimuth) - np.sin(latitude) * np.sin(angle),
    )
    return np.rad2deg(geodetic), (np.rad2deg(there) + 180) % 360 - 180, np.rad2deg(onward)
