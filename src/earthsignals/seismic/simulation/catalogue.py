"""The catalogue beside the waveforms: StationXML with responses, QuakeML with origins, magnitudes and picks.

Both are standard formats (the FDSN's StationXML, QuakeML 1.2), so that obspy and other tools open them and
can, for example, remove the instruments' responses.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from obspy import UTCDateTime
from obspy.core.inventory import Channel, Inventory, Network, Response, Site
from obspy.core.inventory import Station as StationElement
from obspy.core.inventory.response import (
    CoefficientsTypeResponseStage,
    InstrumentSensitivity,
    PolesZerosResponseStage,
)

from earthsignals.seismic.simulation.instrument import Instrument
from earthsignals.seismic.simulation.regions import KM_PER_DEGREE, Region, Station
from earthsignals.seismic.simulation.spec import FIRST_TIME, SPAN_S, RecordSpec

REFERENCE_HZ = 5.0
VOLTS = {"HH": 1500.0, "BH": 1500.0, "EH": 170.0, "HN": 0.5}
"""Typical volts per m/s, or per m/s² for HN; what is left of the sensitivity is the digitiser's."""
ORIENTATIONS = (("E", 90.0, 0.0), ("N", 0.0, 0.0), ("Z", 0.0, -90.0))
SOURCE = "earthsignals"


def write_stations(path: Path, regions: Iterable[Region], sampling_rate_hz: float) -> None:
    """StationXML of all stations with three channels and a full response each."""
    networks: dict[str, list[StationElement]] = {}
    for region in regions:
        for station in region.stations:
            networks.setdefault(station.network, []).append(_station(station, sampling_rate_hz))
    inventory = Inventory(
        networks=[Network(code, stations=stations, description="Simulated network")
                  for code, stations in sorted(networks.items())],
        source=SOURCE, sender=SOURCE, created=UTCDateTime(FIRST_TIME), module=SOURCE, module_uri="",
    )
    inventory.write(str(path), format="STATIONXML")


def _station(station: Station, sampling_rate_hz: float) -> StationElement:
    begin, end = UTCDateTime(FIRST_TIME) - 86400, UTCDateTime(FIRST_TIME + SPAN_S) + 86400
    channels = [
        Channel(
            station.instrument.kind + letter, "", station.latitude, station.longitude, station.elevation_m,
            depth=0.0, azimuth=azimuth, dip=dip, sample_rate=sampling_rate_hz, start_date=begin, end_date=end,
            response=response_of(station.instrument, sampling_rate_hz),
        )
        for letter, azimuth, dip in ORIENTATIONS
    ]
    return StationElement(
        station.code, station.latitude, station.longitude, station.elevation_m, channels=channels,
        site=Site(f"Simulated site {station.code}"), creation_date=begin, start_date=begin, end_date=end,
    )


def response_of(instrument: Instrument, sampling_rate_hz: float) -> Response:
    """The instrument as obspy's Response: poles and zeros of the sensor, then the digitiser's gain.

    The anti-alias filter (without phase, flat to 0.8 of its corner) is left out, as if deconvolved.
    """
    zeros, poles = instrument.zeros(), instrument.poles()
    s = 2j * math.pi * REFERENCE_HZ
    shape = s ** len(zeros) / np.prod([s - pole for pole in poles]) if poles else 1.0
    gain = abs(shape)  # at the reference frequency, where the normalisation factor makes the shape one
    if instrument.telemetry:
        gain *= (2.0 * math.pi * instrument.high_corner_hz) ** instrument.high_order
    units, volts = instrument.units.upper(), VOLTS[instrument.kind]
    sensor = PolesZerosResponseStage(
        1, volts * gain, REFERENCE_HZ, units, "V", "LAPLACE (RADIANS/SECOND)", REFERENCE_HZ,
        zeros, poles, normalization_factor=1.0 / abs(shape),
    )
    digitiser = CoefficientsTypeResponseStage(
        2, instrument.sensitivity / volts, REFERENCE_HZ, "V", "COUNTS", "DIGITAL", numerator=[1.0],
        denominator=[], decimation_input_sample_rate=sampling_rate_hz, decimation_factor=1,
        decimation_offset=0, decimation_delay=0.0, decimation_correction=0.0,
    )
    total = InstrumentSensitivity(instrument.sensitivity * gain, REFERENCE_HZ, units, "COUNTS")
    return Response(instrument_sensitivity=total, response_stages=[sensor, digitiser])


def write_events(path: Path, records: Iterable[tuple[RecordSpec, float, float | None]]) -> int:
    """QuakeML of all events with their picks; returns the number of events.

    records: specifications of earthquakes with the times of P and S (seconds since 1970; None without S in
    the record). Written as text, event by event: obspy's own writer would need gigabytes for a large set.
    """
    events: dict[str, list[tuple[RecordSpec, float, float | None]]] = {}
    for record in records:
        events.setdefault(record[0].event, []).append(record)
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write('<?xml version="1.0" encoding="UTF-8"?>\n'
                   '<q:quakeml xmlns:q="http://quakeml.org/xmlns/quakeml/1.2" '
                   'xmlns="http://quakeml.org/xmlns/bed/1.2">\n'
                   f'<eventParameters publicID="smi:{SOURCE}/catalogue">\n')
        for event in sorted(events):
            file.writelines(_event(event, events[event]))
        file.write("</eventParameters>\n</q:quakeml>\n")
    return len(events)


def _event(name: str, records: list[tuple[RecordSpec, float, float | None]]) -> Iterator[str]:
    spec = records[0][0]
    about = f"smi:{SOURCE}/event/{escape(name)}"
    yield f'<event publicID="{about}">\n'
    yield f"<preferredOriginID>{about}/origin</preferredOriginID>\n"
    yield f"<preferredMagnitudeID>{about}/magnitude</preferredMagnitudeID>\n<type>earthquake</type>\n"
    arrivals = []
    for record, p_time, s_time in records:
        for phase, time in (("P", p_time), ("S", s_time)):
            if time is None:
                continue
            pick = f"{about}/{record.station}/{record.kind}/{phase}"
            channel = record.kind + ("Z" if phase == "P" else "N")
            yield (f'<pick publicID="{pick}"><time><value>{_iso(time)}</value></time>'
                   f'<waveformID networkCode="{record.network}" stationCode="{record.station}" '
                   f'channelCode="{channel}"></waveformID><phaseHint>{phase}</phaseHint></pick>\n')
            arrivals.append(
                f'<arrival publicID="{pick}/arrival"><pickID>{pick}</pickID><phase>{phase}</phase>'
                f"<azimuth>{record.azimuth_deg:.3f}</azimuth>"
                f"<distance>{record.distance_km / KM_PER_DEGREE:.6f}</distance></arrival>\n"
            )
    yield f'<origin publicID="{about}/origin"><time><value>{_iso(spec.origin_time)}</value></time>'
    yield f"<latitude><value>{spec.latitude:.5f}</value></latitude>"
    yield f"<longitude><value>{spec.longitude:.5f}</value></longitude>"
    yield f"<depth><value>{spec.depth_km * 1e3:.1f}</value></depth>\n"
    yield from arrivals
    yield "</origin>\n"
    yield (f'<magnitude publicID="{about}/magnitude"><mag><value>{spec.magnitude:.2f}</value></mag>'
           f"<type>Mw</type><originID>{about}/origin</originID></magnitude>\n</event>\n")


def _iso(seconds: float) -> str:
    return str(UTCDateTime(ns=round(seconds * 1e6) * 1000))
