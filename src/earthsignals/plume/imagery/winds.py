"""Winds and known rates of real flightlines: the table `winds.csv` in their folder.

    flightline,wind_m_s,wind_direction_deg,rate_kg_h
    ang20200924t211102_ch4mf_v2y1_img,4.2,75,
    ang20200925t190511_ch4mf_v2y1_img,3.1,,850

The last two columns, and their cells, may be missing.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from earthsignals.plume.imagery.flightline import FlightlineError
from earthsignals.plume.imagery.index import Scene

NAME = "winds.csv"
NEEDED = ("flightline", "wind_m_s")
OPTIONAL = ("wind_direction_deg", "rate_kg_h")


@dataclass(frozen=True)
class KnownWind:
    """A line of the table. where: file and line, for messages; direction as `Scene` has it."""

    where: str
    wind_m_s: float
    wind_direction_deg: float | None = None
    rate_kg_h: float | None = None


def read_winds(folder: Path, flightlines: Collection[str]) -> dict[str, KnownWind]:
    """Winds by flightline; empty if there is no table. flightlines: the names that may stand in it.

    Raises FlightlineError, with file and line, for other columns, an unknown flightline, one listed twice, or
    a cell that is no number, or none above 0 where it must be.
    """
    table = folder / NAME
    if not table.is_file():
        return {}
    winds: dict[str, KnownWind] = {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            _check_columns(table, [name.strip() for name in reader.fieldnames or ()])
            reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            for row in reader:
                where = f"{table}, line {reader.line_num}"
                if None in row:
                    raise FlightlineError(f"{where}: more cells than columns; write decimals with a point.")
                cells = {key: (cell or "").strip() for key, cell in row.items()}
                name = cells["flightline"]
                if name not in flightlines:
                    raise FlightlineError(
                        f"{where}: there is no flightline {name or '(empty)'} below {folder}; give the name "
                        "of its file without .img, .hdr or .tif, or of the chip's folder."
                    )
                if name in winds:
                    raise FlightlineError(
                        f"{where}: {name} stands in {winds[name].where} already; keep one of the two lines."
                    )
                winds[name] = _wind(where, cells)
    except (csv.Error, UnicodeDecodeError) as error:
        raise FlightlineError(f"{table}: not a CSV table ({error}); expected {','.join(NEEDED)}.") from None
    return winds


def with_wind(scene: Scene, winds: Mapping[str, KnownWind]) -> Scene:
    """The scene with its wind, and its only plume with wind and rate.

    Raises FlightlineError where a rate is given and the mask has not exactly one plume.
    """
    known = winds.get(scene.stem)
    if known is None:
        return scene
    plumes = scene.plumes
    if len(plumes) == 1:
        plumes = ({**plumes[0], "rate_kg_h": known.rate_kg_h, "wind_m_s": known.wind_m_s},)
    elif known.rate_kg_h is not None:
        raise FlightlineError(
            f"{known.where}: a rate for {scene.stem}, whose mask has {len(plumes)} plumes, where exactly one "
            "must be; leave the rate empty, or correct the mask."
        )
    return replace(scene, wind_m_s=known.wind_m_s, wind_direction_deg=known.wind_direction_deg, plumes=plumes)


def _check_columns(table: Path, names: list[str]) -> None:
    missing = [name for name in NEEDED if name not in names]
    unknown = [name for name in names if name not in NEEDED + OPTIONAL]
    if missing or unknown or len(set(names)) != len(names):
        raise FlightlineError(
            f"{table}, line 1: the columns are {','.join(names) or 'missing'}, expected {','.join(NEEDED)} "
            f"and if known {','.join(OPTIONAL)}."
        )


def _wind(where: str, cells: Mapping[str, str]) -> KnownWind:
    direction = _number(where, cells, "wind_direction_deg")
    if direction is not None and not -360 <= direction <= 360:
        raise FlightlineError(
            f"{where}: wind_direction_deg is {direction:g}, expected degrees from 0 to 360."
        )
    wind, rate = _number(where, cells, "wind_m_s"), _number(where, cells, "rate_kg_h")
    if wind is None:
        raise FlightlineError(f"{where}: wind_m_s is missing; give it, or leave the line out.")
    for key, value in (("wind_m_s", wind), ("rate_kg_h", rate)):
        if value is not None and value <= 0:
            raise FlightlineError(f"{where}: {key} is {value:g}, expected a number above 0.")
    return KnownWind(where, wind, None if direction is None else direction % 360, rate)


def _number(where: str, cells: Mapping[str, str], key: str) -> float | None:
    text = cells.get(key, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FlightlineError(f"{where}: {key} is {text}, which is not a number.")
    return value
