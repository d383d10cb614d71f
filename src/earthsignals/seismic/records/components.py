"""Which channel is east, which north, which up.

The last letter of a channel code tells (SEED manual, appendix A): E, N, Z lie along the compass; 1, 2 and Z
or 3 are perpendicular but turned. With a StationXML beside the files the turned ones are rotated to E, N, Z
by their azimuths and dips. Without one, 1 is taken for N and 2 for E (the nominal sense that most operators
keep), and 3 for Z: the energy of the record is then right and its directions are nominal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from obspy import Inventory, UTCDateTime

from earthsignals.seismic.records.record import COMPONENTS, RefusedRecord

_NOMINAL = {"E": "E", "N": "N", "Z": "Z", "1": "N", "2": "E", "3": "Z"}
_SMALLEST_VOLUME = 0.2  # of the box that three unit vectors span; 1 where they are perpendicular


def split_code(channel: str) -> tuple[str, str]:
    """Kind and orientation of a channel code: `HHZ` → (`HH`, `Z`), `Z` → (``, `Z`)."""
    channel = channel.strip().upper()
    return channel[:-1], channel[-1:]


def assign(orientations: Sequence[str], name: str, path: Path) -> dict[str, str]:
    """Component → orientation letter, for those of E, N, Z that the letters cover.

    Raises RefusedRecord `extra-component` if two letters claim one component, `orientation` for letters that
    name no direction known here (R, T, U, V, W, X, Y, …).
    """
    assigned: dict[str, str] = {}
    for letter in orientations:
        component = _NOMINAL.get(letter)
        if component is None:
            raise RefusedRecord(
                path, "orientation",
                f"{name} has an orientation code {letter or '(none)'!r}; expected E, N, Z or 1, 2, Z",
            )  # fmt: skip
        if component in assigned:
            raise RefusedRecord(
                path, "extra-component",
                f"{name} has channels {assigned[component]} and {letter}, both for {component}; "
                "expected three components",
            )  # fmt: skip
        assigned[component] = letter
    return assigned


def missing(assigned: Mapping[str, str]) -> list[str]:
    """Components that no channel covers, in the order E, N, Z."""
    return [component for component in COMPONENTS if component not in assigned]


def turned(assigned: Mapping[str, str]) -> bool:
    """True if all three components exist and one of them need not lie along the compass."""
    return not missing(assigned) and any(letter in "123" for letter in assigned.values())


def rotate(
    waveform: np.ndarray, identifiers: Sequence[str], start: UTCDateTime, inventory: Inventory, path: Path
) -> np.ndarray:
    """Waveform (3, n) float64 along E, N, Z from three channels in any directions.

    identifiers: `NET.STA.LOC.CHA` of each row. A channel of azimuth a and dip d (down positive) records
    cos d sin a of east, cos d cos a of north and -sin d of up; the three equations are solved. Returned
    unchanged if the inventory does not know the channels.

    Raises RefusedRecord `orientation` if the directions span no space.
    """
    rows = []
    for identifier in identifiers:
        try:
            where = inventory.get_orientation(identifier, start)
            azimuth, dip = np.deg2rad(float(where["azimuth"])), np.deg2rad(float(where["dip"]))
        except Exception:  # obspy raises bare Exception for an unknown channel, TypeError for a missing angle
            return waveform
        rows.append((np.cos(dip) * np.sin(azimuth), np.cos(dip) * np.cos(azimuth), -np.sin(dip)))
    directions = np.array(rows)
    if not abs(np.linalg.det(directions)) >= _SMALLEST_VOLUME:
        raise RefusedRecord(
            path, "orientation",
            f"the StationXML's azimuths and dips of {', '.join(identifiers)} do not span three directions",
        )  # fmt: skip
    return np.linalg.solve(directions, waveform)
