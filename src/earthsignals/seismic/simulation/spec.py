"""Which records there are: earthquakes and noise of all regions, in one list fixed by the parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np

from earthsignals.compute.seeds import philox
from earthsignals.seismic.params import SeismicParams
from earthsignals.seismic.simulation.regions import (
    Region,
    draw_region,
    shifted,
    station_kinds,
)
from earthsignals.seismic.simulation.selection import BLOCK, record_noise, station_records

FIRST_TIME = 1262304000.0  # 2010-01-01
SPAN_S = 10 * 365.25 * 86400.0


@dataclass(frozen=True)
class RecordSpec:
    """Everything that determines a record besides the parameters; plain values.

    Angles in degrees clockwise from north; noise_low and noise_high lie between NLNM (0) and NHNM (1). For
    noise records `event` is empty and the source's values are 0. Times in seconds since 1970 (UTC); `time` is
    that of the first sample.
    """

    index: int
    category: str  # "earthquake" | "noise"
    kind: str
    network: str
    station: str
    event: str
    region: int
    place: int  # of the station in its region
    time: float
    origin_time: float
    latitude: float  # of the epicentre
    longitude: float
    magnitude: float
    depth_km: float
    distance_km: float
    azimuth_deg: float
    stress_drop_pa: float
    noise_low: float
    noise_high: float


def specs(params: SeismicParams) -> list[RecordSpec]:
    """All records: `synthetic.records` earthquakes, then `synthetic.noise_records` of noise.

    Earthquakes take turns among regions, so that any beginning of the list has records of all of them.

    Raises EarthSignalsError when the magnitudes asked for are too weak for the distances.
    """
    synthetic = params.synthetic
    quotas = _quotas(synthetic.records, synthetic.networks, synthetic.stations_per_network)
    found = [(turn, number, spec) for number in range(synthetic.networks)
             for turn, spec in enumerate(_earthquakes(params, region_of(params, number), quotas[number]))]
    found.sort(key=lambda item: item[:2])
    earthquakes = [replace(spec, index=index) for index, (_, _, spec) in enumerate(found)]
    return earthquakes + _noise(params, len(earthquakes))


def region_of(params: SeismicParams, number: int) -> Region:
    """Region `number` with its stations."""
    synthetic = params.synthetic
    shares = tuple(sorted(synthetic.shares.items()))
    kinds = _kinds(synthetic.seed, synthetic.networks, synthetic.stations_per_network, shares)
    return draw_region(synthetic.seed, number, kinds[number], params.window.sampling_rate_hz)


@lru_cache(maxsize=8)
def _kinds(
    seed: int, networks: int, stations: int, shares: tuple[tuple[str, float], ...]
) -> list[tuple[str, ...]]:
    return station_kinds(seed, networks, stations, dict(shares))


def _quotas(records: int, networks: int, stations: int) -> list[list[int]]:
    """Records of every station of every region, as equal as whole numbers allow; regions share the rest."""
    each, spare = divmod(records, networks * stations)
    extra = np.zeros((networks, stations), dtype=int)
    order = np.arange(networks * stations).reshape(stations, networks).T
    extra[order < spare] = 1
    return (extra + each).tolist()


def _earthquakes(params: SeismicParams, region: Region, quotas: list[int]) -> list[RecordSpec]:
    """The records of one region in order of its events, without their final index."""
    synthetic, window = params.synthetic, params.window
    result = []
    origins: dict[int, float] = {}
    for number, place, drawn in station_records(region, synthetic, quotas):
        station, row = region.stations[place], number % BLOCK
        if number not in origins:
            origins[number] = _time(synthetic.seed, region.number, number)
        origin = origins[number]
        distance = float(drawn.distance_km[row, place])
        depth = float(drawn.depth_km[row])
        travel = np.hypot(distance, depth) * 1e3 / region.crust.alpha
        latitude, longitude = shifted(region.latitude, region.longitude, float(drawn.east_km[row]),
                                      float(drawn.north_km[row]))
        result.append(RecordSpec(
            index=-1, category="earthquake", kind=station.instrument.kind, network=station.network,
            station=station.code, event=_event_name(origin), region=region.number, place=place,
            time=round(origin + travel, 2) - window.before_p_s, origin_time=origin, latitude=latitude,
            longitude=longitude, magnitude=round(float(drawn.magnitude[row]), 2), depth_km=depth,
            distance_km=distance, azimuth_deg=float(drawn.azimuth_deg[row, place]),
            stress_drop_pa=float(drawn.stress_drop_pa[row]), noise_low=float(drawn.noise_low[row, place]),
            noise_high=float(drawn.noise_high[row, place]),
        ))  # fmt: skip
    return result


def _noise(params: SeismicParams, first: int) -> list[RecordSpec]:
    """Noise records, station by station round the regions."""
    synthetic = params.synthetic
    result = []
    for number in range(synthetic.noise_records):
        region = region_of(params, number % synthetic.networks)
        place = number // synthetic.networks % synthetic.stations_per_network
        station = region.stations[place]
        rng = philox(synthetic.seed, "seismic.noise-record", number)
        low, high = record_noise(rng, [station], (1, 1))
        result.append(RecordSpec(
            index=first + number, category="noise", kind=station.instrument.kind, network=station.network,
            station=station.code, event="", region=region.number, place=place,
            time=round(FIRST_TIME + rng.uniform(0.0, SPAN_S), 2), origin_time=0.0, latitude=0.0,
            longitude=0.0, magnitude=0.0, depth_km=0.0, distance_km=0.0, azimuth_deg=0.0, stress_drop_pa=0.0,
            noise_low=float(low[0, 0]), noise_high=float(high[0, 0]),
        ))  # fmt: skip
    return result


def _time(seed: int, region: int, number: int) -> float:
    """Origin time in seconds since 1970, to 0.01 s."""
    drawn = philox(seed, "seismic.origin", region << 40 | number).random()
    return round(FIRST_TIME + drawn * SPAN_S, 2)


def _event_name(origin: float) -> str:
    """Year to hundredths of seconds, 16 digits: the identifier of the layout's file names."""
    hundredths = round(origin * 100)
    return datetime.fromtimestamp(hundredths // 100, UTC).strftime("%Y%m%d%H%M%S") + f"{hundredths % 100:02d}"
