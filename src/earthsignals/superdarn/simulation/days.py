"""Synthetic days as grid files, one a day, and the drift that they were made from.

    out/YYYYMMDD.north.grid.bz2     what the radars saw
    out/truth.h5                    what was there: the drift in every cell each ten minutes
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from earthsignals.compute.mapping import ordered_map
from earthsignals.storage import EarthSignalsError, atomic_directory, atomic_path, read_json, write_json
from earthsignals.superdarn.cells import cell_centre, cells_above
from earthsignals.superdarn.field_of_view import SeenCells, cells
from earthsignals.superdarn.mlt import mlt, mlt_of_zero
from earthsignals.superdarn.params import SuperdarnParams
from earthsignals.superdarn.records.gridfile import write_grid
from earthsignals.superdarn.records.vectors import Vectors
from earthsignals.superdarn.simulation.convection import Convection, day_of_convection, drift
from earthsignals.superdarn.simulation.observe import FRAME_MINUTES, FRAMES, Seen, observe, phase_minutes
from earthsignals.superdarn.simulation.turbulence import Turbulence
from earthsignals.superdarn.stations import Station, of_hemisphere

VERSION = 2
"""Raised when the same parameters give other days than before."""
TRUTH_EVERY_MINUTES = 10
TRUTH_ABOVE = 50.0


@dataclass(frozen=True)
class Summary:
    """What was written."""

    files: tuple[str, ...]
    radars: tuple[str, ...]
    vectors: int
    vectors_per_frame: float
    silent_radar_hours: int
    """Radar-hours without records, by drop-outs."""
    ground_scatter: int
    """Vectors that were taken out as ground scatter."""


class Drift:
    """The whole drift of one day: convection and turbulence."""

    def __init__(self, params: SuperdarnParams, day: int) -> None:
        simulation = params.simulation
        self.midnight_s = _midnight_s(params, day)
        self.convection: Convection = day_of_convection(simulation.seed, day)
        self.turbulence = Turbulence(simulation.seed, day, simulation.turbulence_m_s)

    def at(self, minutes: np.ndarray, mlat: np.ndarray, mlon: np.ndarray) -> np.ndarray:
        """Drift (T, 2, N) in m/s, north and east, at minutes (T,) of the day in cells (N,) of degrees."""
        zero = mlt_of_zero(self.midnight_s + 60.0 * minutes)
        hours = mlt(mlon[None, :], zero[:, None])
        large = drift(self.convection, minutes, mlat, hours)
        return large + self.turbulence.drift(minutes, mlat, mlon)


def write_days(
    params: SuperdarnParams, out: Path, *, resume_root: Path = Path(".resume/superdarn-days")
) -> Summary:
    """Write the grid files of every synthetic day and `truth.h5` into `out`; the same bytes for any number of
    workers. A killed run goes on with the days that are missing.

    Raises EarthSignalsError when more radars are asked for than the north has, and for a full disk.
    """
    radars = radars_of(params)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    work = Path(resume_root) / _key(params)
    work.mkdir(parents=True, exist_ok=True)
    make = partial(_make_day, params=params, work=work)
    told = list(ordered_map(make, range(params.simulation.days), description="days", unit="days"))
    for each in told:
        with atomic_path(out / each["file"]) as temporary:
            shutil.copyfile(work / each["name"] / each["file"], temporary)
    _join_truth([work / each["name"] / "truth.npz" for each in told], out / "truth.h5")
    shutil.rmtree(work)
    vectors = sum(each["vectors"] for each in told)
    return Summary(
        files=tuple(each["file"] for each in told),
        radars=tuple(place.code for place in radars),
        vectors=vectors,
        vectors_per_frame=vectors / (FRAMES * len(told)),
        silent_radar_hours=sum(each["silent_hours"] for each in told),
        ground_scatter=sum(each["ground"] for each in told),
    )


def radars_of(params: SuperdarnParams) -> tuple[Station, ...]:
    """The northern radars that take part."""
    known = of_hemisphere("north")
    count = params.simulation.radars
    if count > len(known):
        raise EarthSignalsError(
            f"superdarn.simulation.radars is {count}, but the table of stations has {len(known)} northern "
            f"radars; set it to {len(known)} or less"
        )
    return known[:count]


def simulate_day(params: SuperdarnParams, day: int) -> tuple[Vectors, list[Seen], Drift]:
    """One day's vectors, what each radar saw, and the drift behind it."""
    simulation = params.simulation
    moment = dt.datetime.combine(simulation.first_day, dt.time()) + dt.timedelta(days=day)
    limits = params.gridding
    views = [cells(place, moment, limits.minimum_range_km, limits.maximum_range_km)
             for place in radars_of(params)]
    truth = Drift(params, day)
    seen: list[Seen | None] = [None] * len(views)
    for phase in (0, 1):
        slots = [slot for slot in range(len(views)) if phase_minutes(slot) == phase]
        if not slots:
            continue
        # A scan that begins in the last minute would end tomorrow: it belongs to no file of the day.
        frames = np.arange(FRAMES - phase)
        index = np.unique(np.concatenate([views[slot].index for slot in slots]))
        mlat, mlon = cell_centre(index)
        values = truth.at(phase + 1 + FRAME_MINUTES * frames, mlat, mlon)
        for slot in slots:
            there = values[:, :, np.searchsorted(index, views[slot].index)]
            seen[slot] = observe(
                simulation.seed, day, slot, views[slot], there, simulation.noise_m_s, simulation.drop_out
            )
    parts = [
        _vectors(place, view, found, truth.midnight_s + 60.0 * phase_minutes(slot))
        for slot, (place, view, found) in enumerate(zip(radars_of(params), views, seen, strict=True))
    ]
    return Vectors.concatenate(parts), [found for found in seen if found is not None], truth


def _vectors(place: Station, view: SeenCells, found: Seen, first_s: float) -> Vectors:
    """Line-of-sight velocities as grid files hold them: the speed, and the azimuth of the flow."""
    start = first_s + 60.0 * FRAME_MINUTES * found.frame
    away = view.kvect_away[found.row]
    kvect = np.where(found.line_of_sight >= 0, away, away + 180.0)
    return Vectors(
        start_s=start, end_s=start + 60.0 * FRAME_MINUTES,
        stid=np.full(len(start), place.stid), channel=np.zeros(len(start)),
        mlat=view.mlat[found.row], mlon=view.mlon[found.row], kvect=(kvect + 180.0) % 360.0 - 180.0,
        velocity=np.abs(found.line_of_sight), velocity_sd=found.velocity_sd, power=found.power,
        width=found.width, index=view.index[found.row],
    )  # fmt: skip


def _make_day(day: int, params: SuperdarnParams, work: Path) -> dict[str, Any]:
    """Simulate and write one day below `work`, unless it is there; returns its counts."""
    name = f"{params.simulation.first_day + dt.timedelta(days=day):%Y%m%d}"
    folder = work / name
    if not folder.is_dir():
        vectors, seen, truth = simulate_day(params, day)
        minutes = np.arange(0, 1440, TRUTH_EVERY_MINUTES) + FRAME_MINUTES // 2
        index = cells_above(TRUTH_ABOVE)
        values = truth.at(minutes, *cell_centre(index))
        file = f"{name}.north.grid.bz2"
        told = {
            "name": name, "file": file, "vectors": len(vectors), "ground": sum(each.ground for each in seen),
            "silent_hours": sum(each.silent_hours for each in seen),
        }  # fmt: skip
        with atomic_directory(folder) as temporary:
            write_grid(temporary / file, vectors, limits=params.gridding)
            np.savez(
                temporary / "truth.npz", drift=values.astype(np.float16), index=index,
                times_s=(truth.midnight_s + 60 * minutes).astype(np.int64),
                imf=truth.convection.imf[minutes].astype(np.float32),
                potential_kV=truth.convection.potential_kv[minutes].astype(np.float32),
            )  # fmt: skip
            write_json(temporary / "counts.json", told)
    return read_json(folder / "counts.json")


def _join_truth(parts: list[Path], path: Path) -> None:
    """The days' truth in one HDF5 file."""
    import h5py

    about = {
        "drift": "m/s, (time, north and east, cell)", "index": "cell of grid files, northern",
        "times_s": "seconds since 1970-01-01 UTC: the middles of the two-minute frames of each tenth minute",
        "imf": "nT, (time, By and Bz GSM)", "potential_kV": "largest minus smallest of the convection",
    }  # fmt: skip
    with atomic_path(path) as temporary, h5py.File(temporary, "w", track_order=False) as file:
        days = [dict(np.load(part, allow_pickle=False)) for part in parts]
        for name, text in about.items():
            values = days[0][name] if name == "index" else np.concatenate([day[name] for day in days])
            big = name == "drift"
            data = file.create_dataset(
                name, data=values, track_times=False, chunks=(1, *values.shape[1:]) if big else None,
                compression="gzip" if big else None, shuffle=big,
            )  # fmt: skip
            data.attrs["about"] = text


def _midnight_s(params: SuperdarnParams, day: int) -> int:
    date = params.simulation.first_day + dt.timedelta(days=day)
    return int(dt.datetime.combine(date, dt.time(), dt.UTC).timestamp())


def _key(params: SuperdarnParams) -> str:
    """Names a run for resuming: all that shapes a day."""
    shaping = params.model_dump(mode="json", include={"simulation", "gridding"})
    return hashlib.sha256(json.dumps([VERSION, shaping], sort_keys=True).encode()).hexdigest()[:16]
