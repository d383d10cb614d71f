"""The metadata file of a triplet in convml_tt's layout, `NNNNN_meta.yaml`, to and from rows of our table.

    target: {anchor: {lat, lon, size}, neighbor: {lat, lon, size}, source_files: […]}    size in metres
    distant: {loc: {lat, lon, size}, source_files: […]}

All of it may be missing in a foreign file. Ours has one section more, `tiles`, with what these have no room
for; other readers pass over it.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from earthsignals.clouds.goes.buckets import is_goes_name, parse_name
from earthsignals.clouds.tiles.tilefile import KNOWN, ROLES

Row = dict[str, Any]
"""A tile's columns of TABLE, without `triplet` and `role`."""

_TEXTS = ("scene", "day", "time", "regime")
_NUMBERS = ("row", "column", "size_km", "missing_share", *KNOWN)
_PLACES = {
    "anchor": ("target", "anchor"), "neighbour": ("target", "neighbor"), "distant": ("distant", "loc"),
}  # fmt: skip


def meta_text(rows: Sequence[Row]) -> str:
    """The YAML of a triplet, of its three rows in the order of ROLES. Unknown values are left out."""
    told: dict[str, Any] = {"target": {}, "distant": {}, "tiles": {}}
    for role, row in zip(ROLES, rows, strict=True):
        group, place = _PLACES[role]
        told[group][place] = _known(
            {"lat": row["latitude"], "lon": row["longitude"], "size": 1000 * row["size_km"]}
        )
        told[group]["source_files"] = [f"{row['scene']}.nc"]
        told["tiles"][role] = _known({name: row[name] for name in (*_TEXTS, *_NUMBERS)})
    return yaml.safe_dump(told, sort_keys=True, allow_unicode=True)


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values, without unknown numbers and empty texts."""
    plain = {name: value.item() if hasattr(value, "item") else value for name, value in values.items()}
    return {
        name: value for name, value in plain.items()
        if value != "" and not (isinstance(value, float) and math.isnan(value))
    }  # fmt: skip


def read_meta(path: Path) -> list[Row]:
    """Three rows of a triplet; what the file does not tell is NaN, −1 (row and column) or "".

    A scene is known by the names of its source files: of GOES files satellite and time, else the first
    file's stem.

    Raises ValueError where the file is no such YAML, or asks for Python objects.
    """
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(str(error).splitlines()[0]) from None
    if not isinstance(told, dict):
        raise ValueError("it holds no names with values")
    return [_row(role, told) for role in ROLES]


def blank_rows() -> list[Row]:
    """Rows of a triplet of which nothing is known."""
    return [_row(role, {}) for role in ROLES]


def _row(role: str, told: Mapping[str, Any]) -> Row:
    group = _part(told, _PLACES[role][0])
    place, ours = _part(group, _PLACES[role][1]), _part(_part(told, "tiles"), role)
    row: Row = {"latitude": _number(place.get("lat")), "longitude": _number(place.get("lon"))}
    row |= {name: _number(ours.get(name)) for name in _NUMBERS}
    if math.isnan(row["size_km"]):
        row["size_km"] = _number(place.get("size")) / 1000
    for name in ("row", "column"):
        row[name] = -1 if math.isnan(row[name]) else int(row[name])
    row |= _scene(group.get("source_files"))
    row |= {name: str(ours[name]) for name in _TEXTS if name in ours}
    return row


def _part(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = told.get(name)
    return part if isinstance(part, dict) else {}


def _number(value: Any) -> float:
    """A finite number of YAML (also one that it took for text: 1e3), else NaN."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _scene(files: Any) -> Row:
    """Name, day and time of the scene that these files hold."""
    first = files[0] if isinstance(files, list) and files else files
    unknown = {"scene": "", "day": "", "time": "", "regime": ""}
    if not isinstance(first, str):
        return unknown
    name = re.split(r"[/\\]", first)[-1]
    if is_goes_name(name):
        file = parse_name(name)
        time = file.start.astimezone(dt.UTC)
        scene = f"goes{file.satellite}_{time:%Y%m%dT%H%M%S}"
        return {**unknown, "scene": scene, "day": time.date().isoformat(), "time": time.isoformat()}
    return {**unknown, "scene": name.rsplit(".", 1)[0]}
