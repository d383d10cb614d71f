"""Fitted autocorrelations (fitacf) to grid vectors: medians over what a radar saw of a cell in two minutes.

The steps of RST's make_grid with medians in place of weighted means. Echoes are kept that the fit calls good,
that are no ground scatter and lie within the limits of `GriddingParams`; each goes to the cell that holds the
middle of its gate; a cell counts where at least a quarter of the gates that could have seen it did. A fitted
velocity is positive towards the radar; the vector points along the flow, so its speed is never negative.
Beams point where the station table says: the files' own `bmazm` counts from north or from boresight,
depending on who wrote them.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.cells import cell_centre, cell_index
from earthsignals.superdarn.field_of_view import gate_positions, magnetic_azimuth
from earthsignals.superdarn.params import GriddingParams
from earthsignals.superdarn.records.dmap import Reading, read_dmap_records
from earthsignals.superdarn.records.notes import Note
from earthsignals.superdarn.records.times import EPOCH, seconds_of
from earthsignals.superdarn.records.vectors import Vectors
from earthsignals.superdarn.stations import station

WINDOW_S = 120.0
LEAST_SHARE = 0.25
"""Of the gates in a cell that must have an echo, as in RST's GridTableTest."""
LEAST_ERROR_M_S = 100.0
"""An echo's velocity error counts at least this much towards that of the vector, as in RST's GridTableMap."""
TIME = ("time.yr", "time.mo", "time.dy", "time.hr", "time.mt", "time.sc")
_GATES = ("slist", "qflg", "gflg", "v", "v_e", "p_l", "w_l")
_LARGEST_NUMBER = np.iinfo(np.int16).max
"""Of radars, channels, beams and gates."""
NOWHERE = np.iinfo(np.int32).min
"""In place of a cell's index for gates beyond the ranges or where AACGM is not defined."""


@dataclass(frozen=True)
class Gates:
    """Cell and direction of every gate of every beam of a radar: arrays (beams, gates)."""

    index: np.ndarray
    """int32; `NOWHERE` for gates beyond the ranges."""
    kvect_away: np.ndarray
    """float64, degrees east of magnetic north."""


def read_fitacf(
    source: str | Path | bytes, params: GriddingParams, name: str | None = None
) -> tuple[Vectors, Reading]:
    """The vectors of a fitacf file, sorted, and its reading. Raises as `dmap` does."""
    reading = read_dmap_records(source, "fitacf", name)
    vectors, notes = vectors_of(reading.records, params)
    return vectors, Reading(reading.records, (*reading.notes, *notes))


@np.errstate(invalid="ignore", over="ignore")  # damaged numbers are sorted out, not warned of
def vectors_of(
    records: Sequence[Mapping[str, Any]], params: GriddingParams
) -> tuple[Vectors, list[Note]]:
    """Vectors of fitacf records of any radars, in any order, sorted; and what was left out, by reason.

    Windows of two minutes begin at the whole minute of each radar's first record.
    """
    lost: Counter[str] = Counter()
    modes: dict[tuple[int, int, float, float], list[tuple[float, Mapping[str, Any]]]] = {}
    for record in records:
        moment = moment_of(record)
        if moment is None:
            lost["records without a possible time"] += 1
            continue
        try:
            mode = (
                int(record["stid"]), int(record.get("channel", 0)), float(record["frang"]),
                float(record["rsep"]),
            )  # fmt: skip
        except (OverflowError, TypeError, ValueError):
            mode = None
        if mode is None or not all(0 <= number <= _LARGEST_NUMBER for number in mode[:2]):
            lost["records without a possible radar"] += 1
            continue
        modes.setdefault(mode, []).append((moment, record))
    parts = [_of_mode(mode, timed, params, lost) for mode, timed in sorted(modes.items())]
    return Vectors.concatenate(parts).sorted(), [
        Note(why, count) for why, count in sorted(lost.items()) if count
    ]


def moment_of(record: Mapping[str, Any]) -> float | None:
    """The time of a record of one beam, seconds since 1970-01-01 UTC; None where it is no time of radars."""
    try:
        fraction = float(record.get("time.us", 0)) * 1e-6
    except (OverflowError, TypeError, ValueError):
        return None
    return seconds_of(record, TIME, fraction) if 0 <= fraction <= 1 else None


def gates_of(
    stid: int, first_km: float, step_km: float, beams: int, gates: int, year: int, params: GriddingParams
) -> Gates:
    """The gates of a radar in a mode: `first_km` to gate 0, gates of `step_km`."""
    ranges = first_km + step_km * (np.arange(gates) + 0.5)
    glat, glon, azimuth = gate_positions(station(stid), ranges, np.arange(beams))
    mlat, mlon, kvect = magnetic_azimuth(glat, glon, azimuth, dt.datetime(year, 7, 1))
    within = (ranges >= params.minimum_range_km) & (ranges <= params.maximum_range_km)
    seen = np.isfinite(mlat) & np.isfinite(mlon) & np.isfinite(kvect) & within
    index = np.full(mlat.shape, NOWHERE, np.int32)
    index[seen] = cell_index(mlat[seen], mlon[seen])
    return Gates(index, kvect)


def _of_mode(
    mode: tuple[int, int, float, float], timed: list[tuple[float, Mapping[str, Any]]],
    params: GriddingParams, lost: Counter[str],
) -> Vectors:  # fmt: skip
    stid, channel, first_km, step_km = mode
    beams = np.array([_whole(record, "bmnum") for _, record in timed])
    counts = np.array([_whole(record, "nrang") for _, record in timed])
    times = np.array([moment for moment, _ in timed])
    try:
        place = station(stid)
    except EarthSignalsError:
        lost["records of unknown radars"] += len(timed)
        return Vectors.empty()
    possible = (beams >= 0) & (beams < place.beams) & (counts > 0) & (counts <= 1000) & (step_km > 0)
    lost["records without a possible beam"] += int(np.count_nonzero(~possible))
    timed = [item for item, fine in zip(timed, possible, strict=True) if fine]
    beams, counts, times = beams[possible], counts[possible], times[possible]
    if not timed:
        return Vectors.empty()
    year = (EPOCH + dt.timedelta(seconds=float(times.min()))).year
    table = gates_of(stid, first_km, step_km, place.beams, int(counts.max()), year, params)
    offset = np.floor(times.min() / 60.0) * 60.0 % WINDOW_S
    windows = np.floor((times - offset) / WINDOW_S).astype(np.int64)
    echoes = _echoes(timed, beams, counts, windows, table, params, lost)
    return _gridded(echoes, _possible(beams, counts, windows, table), stid, channel, offset, lost)


def _echoes(
    timed: list[tuple[float, Mapping[str, Any]]], beams: np.ndarray, counts: np.ndarray,
    windows: np.ndarray, table: Gates, params: GriddingParams, lost: Counter[str],
) -> dict[str, np.ndarray]:  # fmt: skip
    """The usable echoes of all records: window, cell, azimuth, v, v_e, p_l, w_l, arrays of one length."""
    rows: list[np.ndarray] = []
    for number, (_, record) in enumerate(timed):
        if not any(name in record for name in _GATES):
            continue  # no echoes: such records have none of the gates' fields
        try:
            columns = np.stack([np.asarray(record[name], np.float64) for name in _GATES])
        except (KeyError, ValueError, TypeError):
            columns = np.zeros(0)
        if columns.ndim == 2:
            rows.append(np.concatenate([np.full((1, columns.shape[1]), number), columns]))
        else:  # missing, unequal, or no lists: a number each, or tables
            lost["records with unequal or missing gate fields"] += 1
    values = np.concatenate(rows, axis=1) if rows else np.zeros((1 + len(_GATES), 0))
    record, gate, quality, ground, v, v_e, p_l, w_l = values
    record = record.astype(np.int64)
    gate = np.where((gate >= 0) & (gate < counts[record]), gate, -1).astype(np.int64)
    cell = table.index[beams[record], gate]
    kept = np.ones(len(v), bool)
    for why, good in (
        ("echoes beyond the ranges", (gate >= 0) & (cell != NOWHERE)),
        ("echoes of no good fit", quality == 1),
        ("echoes of the ground", (ground == 0) | params.ground_scatter),
        ("echoes not finite", np.isfinite(v) & np.isfinite(v_e) & np.isfinite(p_l) & np.isfinite(w_l)),
        ("echoes too weak", p_l >= params.minimum_power_db),
        ("echoes too fast", np.abs(v) <= params.maximum_velocity_m_s),
        ("echoes of uncertain velocity", (v_e >= 0) & (v_e <= params.maximum_velocity_error_m_s)),
        ("echoes too wide", w_l <= params.maximum_width_m_s),
    ):
        lost[why] += int(np.count_nonzero(kept & ~good))
        kept &= good
    return {
        "window": windows[record][kept], "cell": cell[kept], "v": v[kept], "v_e": v_e[kept],
        "power": p_l[kept], "width": w_l[kept],
        "azimuth": np.radians(table.kvect_away[beams[record], gate][kept]),
    }  # fmt: skip


def _possible(
    beams: np.ndarray, counts: np.ndarray, windows: np.ndarray, table: Gates
) -> dict[tuple[int, int], int]:
    """How many gates fell into each (window, cell), with an echo or not."""
    seen: Counter[tuple[int, int]] = Counter()
    for (window, beam, gates), times in Counter(zip(windows, beams, counts, strict=True)).items():
        cells, number = np.unique(table.index[beam, :gates], return_counts=True)
        for cell, of_cell in zip(cells.tolist(), number.tolist(), strict=True):
            seen[int(window), cell] += times * of_cell
    return seen


def _gridded(
    echoes: dict[str, np.ndarray], possible: Mapping[tuple[int, int], int], stid: int, channel: int,
    offset: float, lost: Counter[str],
) -> Vectors:  # fmt: skip
    pairs, member, counts = np.unique(
        np.stack([echoes["window"], echoes["cell"]]), axis=1, return_inverse=True, return_counts=True
    )
    member = member.ravel()
    could = np.array([possible[int(window), int(cell)] for window, cell in pairs.T], np.float64)
    enough = counts > LEAST_SHARE * could
    lost["echoes of cells seen too rarely"] += int(counts[~enough].sum())
    north, east = (np.bincount(member, part(echoes["azimuth"]), len(counts)) for part in (np.cos, np.sin))
    away = -group_median(echoes["v"], member, len(counts))
    weight = np.bincount(member, 1.0 / np.maximum(echoes["v_e"], LEAST_ERROR_M_S) ** 2, len(counts))
    kvect = np.degrees(np.arctan2(east, north)) + np.where(away < 0, 180.0, 0.0)
    start = pairs[0] * WINDOW_S + offset
    mlat, mlon = cell_centre(pairs[1])
    return Vectors(
        start_s=start, end_s=start + WINDOW_S, stid=np.full(len(counts), stid),
        channel=np.full(len(counts), channel), mlat=mlat, mlon=mlon,
        kvect=(kvect + 180.0) % 360.0 - 180.0, velocity=np.abs(away), velocity_sd=1.0 / np.sqrt(weight),
        power=group_median(echoes["power"], member, len(counts)),
        width=group_median(echoes["width"], member, len(counts)), index=pairs[1],
    ).take(enough)  # fmt: skip


def group_median(values: np.ndarray, member: np.ndarray, groups: int) -> np.ndarray:
    """Median of the values of each group 0 … groups - 1, none of which is empty: float64 (groups,)."""
    ordered = values[np.lexsort((values, member))]
    counts = np.bincount(member, minlength=groups)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    if not groups:
        return np.zeros(0)
    return 0.5 * (ordered[first + (counts - 1) // 2] + ordered[first + counts // 2])


def _whole(record: Mapping[str, Any], name: str) -> int:
    """A whole number of a record, -1 where the field holds none that beams or gates are counted by."""
    try:
        number = int(record[name])
    except (OverflowError, TypeError, ValueError):
        return -1
    return number if 0 <= number <= _LARGEST_NUMBER else -1
