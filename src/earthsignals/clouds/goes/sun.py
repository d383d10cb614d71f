"""Where the sun stands: local noon at a place, and the elevation of the sun over a plane."""

from __future__ import annotations

import datetime as dt

import numpy as np
from pyorbital.astronomy import cos_zen, gmst, sun_ra_dec


def elevation(time: dt.datetime, latitude: float, longitude: float) -> float:
    """Of the sun's centre above the horizon, degrees; no refraction. `time` in UTC."""
    return float(np.degrees(np.arcsin(cosine_of_zenith(time, latitude, longitude))))


def cosine_of_zenith(time: dt.datetime, latitude: np.ndarray | float, longitude: np.ndarray | float):
    """Cosine of the sun's angle from the zenith at places in degrees, float64 of their shape."""
    return cos_zen(_utc(time), np.asarray(longitude, np.float64), np.asarray(latitude, np.float64))


def solar_noon(day: dt.date, longitude: float) -> dt.datetime:
    """UTC time at which the sun culminates at `longitude` (degrees) on the local solar day `day`.

    The local day counts from midnight of mean solar time, so that east of Greenwich noon comes before
    12 UTC. The hour angle of the sun is the sidereal time less its right ascension (Meeus 1998, Astronomical
    Algorithms, ch. 13); the mean noon is moved by it once, which leaves under a second.
    """
    mean = dt.datetime(day.year, day.month, day.day, 12, tzinfo=dt.UTC) - dt.timedelta(hours=longitude / 15)
    ascension, _ = sun_ra_dec(_utc(mean))
    angle = float(np.degrees(gmst(_utc(mean)) - ascension)) + longitude
    return mean - dt.timedelta(hours=((angle + 180) % 360 - 180) / 15)


def solar_day(time: dt.datetime, longitude: float) -> dt.date:
    """Date at `longitude` (degrees) by mean solar time; `time` in UTC."""
    return (time + dt.timedelta(hours=longitude / 15)).date()


def _utc(time: dt.datetime) -> np.datetime64:
    return np.datetime64(time.astimezone(dt.UTC).replace(tzinfo=None), "us")
