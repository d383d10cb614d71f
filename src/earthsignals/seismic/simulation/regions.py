"""Regions: a crust, a seismicity and a network of stations each; nothing is shared between two of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from earthsignals.compute.seeds import philox
from earthsignals.seismic.simulation.instrument import KINDS, Instrument, draw_instrument
from earthsignals.seismic.simulation.path import Crust

KM_PER_DEGREE = 111.195
NOISE_SHIFT = {"EH": 0.1, "HH": 0.05}
"""Above 1 Hz: geophones stand nearer to houses and roads than the quietest broadband vaults."""
STATIONS_AT_MOST = 1000  # of a region: the bound of the parameter, and the stride of station numbers


@dataclass(frozen=True)
class Station:
    """A site and its instrument."""

    network: str
    code: str
    number: int  # over all regions: region · 1000 + place in the region
    instrument: Instrument
    latitude: float
    longitude: float
    east_km: float  # from the region's centre
    north_km: float
    elevation_m: float
    kappa_s: float
    noise_low: float  # typical level between NLNM (0) and NHNM (1), below and above 1 Hz
    noise_high: float


@dataclass(frozen=True)
class Region:
    """One network's ground."""

    number: int
    network: str
    latitude: float
    longitude: float
    crust: Crust
    stress_drop_pa: float  # median
    stations: tuple[Station, ...]


def network_code(number: int) -> str:
    """Two characters; regions beyond 936 share codes, never stations."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return letters[number // 36 % 26] + (letters + "0123456789")[number % 36]


def station_code(region: int, place: int) -> str:
    """Five characters that no other station of any region has: three letters and two base-36 digits."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    digits = "0123456789" + letters
    region_letters = letters[region // 676 % 26] + letters[region // 26 % 26] + letters[region % 26]
    return region_letters + digits[place // 36] + digits[place % 36]


def station_kinds(seed: int, networks: int, stations: int, shares: dict[str, float]) -> list[tuple[str, ...]]:
    """The kind of every station, by region: as many of each kind as the shares ask for, in random places."""
    kinds = [kind for kind in KINDS if kind in shares]
    numbers = largest_remainder([shares[kind] for kind in kinds], networks * stations)
    flat = np.repeat(np.arange(len(kinds)), numbers)
    philox(seed, "seismic.kinds").shuffle(flat)
    return [tuple(kinds[k] for k in row) for row in flat.reshape(networks, stations)]


def largest_remainder(weights: list[float], total: int) -> list[int]:
    """Whole numbers proportional to `weights` that add up to `total`; ties go to the first."""
    scale = total / math.fsum(weights)
    whole = [math.floor(weight * scale + 1e-9) for weight in weights]
    order = sorted(range(len(weights)), key=lambda i: (whole[i] - weights[i] * scale, i))
    for i in order[: total - sum(whole)]:
        whole[i] += 1
    return whole


@lru_cache(maxsize=256)
def draw_region(seed: int, number: int, kinds: tuple[str, ...], sampling_rate_hz: float) -> Region:
    """Region `number` with one station of each entry of `kinds`.

    Crust: P 5.5–6.5 km/s, P/S speed ratio 1.68–1.80, Q(f) = (70–250) f^(0.5–0.9), coda
    Q(f) = (55–140) f^(0.4–0.7): the span of published values of active regions. Median stress drops of
    1.6–13 MPa; single events scatter about them by a factor of 2.5.
    """
    rng = philox(seed, "seismic.region", number)
    alpha = rng.uniform(5500.0, 6500.0)
    q0 = math.exp(rng.uniform(math.log(70.0), math.log(250.0)))
    crust = Crust(
        alpha=alpha, beta=alpha / rng.uniform(1.68, 1.80), q0=q0, eta=rng.uniform(0.5, 0.9),
        coda_q0=math.exp(rng.uniform(math.log(55.0), math.log(140.0))), coda_eta=rng.uniform(0.4, 0.7),
        scattering=math.exp(rng.normal(math.log(0.33), 0.3)),
    )
    stress_drop = 10.0 ** rng.uniform(6.2, 7.1)
    latitude, longitude = rng.uniform(-55.0, 65.0), rng.uniform(-180.0, 179.0)
    radius_km = math.exp(rng.uniform(math.log(6.0), math.log(40.0)))
    noise_low, noise_high = rng.normal(0.48, 0.08), rng.normal(0.38, 0.05)
    stations = tuple(
        _draw_station(seed, number, place, kind, latitude, longitude, radius_km, noise_low, noise_high,
                      sampling_rate_hz)
        for place, kind in enumerate(kinds)
    )
    return Region(number, network_code(number), latitude, longitude, crust, stress_drop, stations)


def _draw_station(
    seed: int, region: int, place: int, kind: str, latitude: float, longitude: float, radius_km: float,
    noise_low: float, noise_high: float, sampling_rate_hz: float,
) -> Station:
    number = region * STATIONS_AT_MOST + place
    rng = philox(seed, "seismic.station", number)
    distance, angle = radius_km * math.sqrt(rng.random()), rng.uniform(0.0, 2.0 * math.pi)
    east, north = distance * math.sin(angle), distance * math.cos(angle)
    where = shifted(latitude, longitude, east, north)
    return Station(
        network_code(region), station_code(region, place), number,
        draw_instrument(rng, kind, sampling_rate_hz), where[0], where[1], east, north,
        elevation_m=round(float(rng.gamma(2.0, 300.0)), 1),
        kappa_s=float(np.clip(math.exp(rng.normal(math.log(0.014), 0.45)), 0.004, 0.06)),
        noise_low=float(np.clip(noise_low + rng.normal(0.0, 0.08), 0.1, 0.9)),
        noise_high=float(np.clip(noise_high + rng.normal(NOISE_SHIFT.get(kind, 0.0), 0.15), 0.08, 0.85)),
    )


def shifted(latitude: float, longitude: float, east_km: float, north_km: float) -> tuple[float, float]:
    """Latitude and longitude of a point some km east and north: plane geometry, good to 0.5 % in 200 km."""
    moved = latitude + north_km / KM_PER_DEGREE
    east = longitude + east_km / (KM_PER_DEGREE * math.cos(math.radians(0.5 * (latitude + moved))))
    return moved, (east + 180.0) % 360.0 - 180.0
