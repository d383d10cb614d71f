"""Instrument responses from a StationXML beside the files."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from obspy import Inventory, Trace, UTCDateTime
from obspy import read_inventory as _read_inventory

from earthsignals.seismic.records.record import RefusedRecord
from earthsignals.storage import EarthSignalsError

_WATER_LEVEL_DB = 60.0
_LOWEST_PERIODS = 5.0  # periods of the lowest frequency kept that must fit into the record


def read_inventory(folder: str | Path) -> Inventory | None:
    """All StationXML files (`*.xml` with a FDSNStationXML root) directly in `folder`, or None.

    Raises EarthSignalsError if such a file cannot be read.
    """
    merged: Inventory | None = None
    for path in sorted(Path(folder).glob("*.xml")):
        try:
            with path.open("rb") as file:
                head = file.read(4096)
        except OSError as error:
            raise EarthSignalsError(
                f"{path} cannot be read ({error.strerror}); expected a StationXML"
            ) from None
        if b"FDSNStationXML" not in head:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                inventory = _read_inventory(str(path), format="STATIONXML")
        except Exception as error:  # lxml's and obspy's own
            brief = " ".join(str(error).split())[:160]
            raise EarthSignalsError(f"{path} is no readable StationXML ({brief}); fetch it again") from None
        merged = inventory if merged is None else merged + inventory
    return merged


def remove_response(
    data: np.ndarray,
    rate_hz: float,
    start: UTCDateTime,
    identifier: str,
    inventory: Inventory | None,
    path: Path,
) -> tuple[np.ndarray, str]:
    """Samples (n,) in physical units, float64, and the unit: m/s2 for accelerometers (code N), else m/s.

    Division by the channel's response with a water level of 60 dB, between five periods per record and 0.9 of
    the Nyquist frequency (obspy's Trace.remove_response).

    Raises RefusedRecord `response` if there is no StationXML, or none of this channel and time.
    """
    network, station, location, channel = identifier.split(".")
    if inventory is None:
        raise RefusedRecord(
            path, "response",
            "its response cannot be removed: no StationXML lies beside the files; add one, or set "
            "reading.response to counts",
        )  # fmt: skip
    header = {
        "network": network, "station": station, "location": location, "channel": channel,
        "sampling_rate": rate_hz, "starttime": start,
    }  # fmt: skip
    trace = Trace(np.array(data, dtype=np.float64), header)
    output, units = ("ACC", "m/s2") if channel[1:2] == "N" else ("VEL", "m/s")
    lowest, highest = _LOWEST_PERIODS * rate_hz / len(data), 0.45 * rate_hz
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trace.remove_response(
                inventory, output=output, water_level=_WATER_LEVEL_DB,
                pre_filt=(0.5 * lowest, lowest, highest, 0.5 * rate_hz),
            )  # fmt: skip
    except Exception as error:  # obspy raises ValueError, ObsPyException, evalresp's own
        brief = " ".join(str(error).split())[:160]
        raise RefusedRecord(
            path, "response", f"the response of {identifier} on {start} is not usable ({brief})"
        ) from None
    return trace.data, units
