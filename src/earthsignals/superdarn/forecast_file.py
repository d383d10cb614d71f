"""A forecast of drift as a CF-1.11 netCDF file, and as a page of dials."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np

from earthsignals.storage import EarthSignalsError, atomic_path
from earthsignals.superdarn.gridded import GridFile

DRAWN = (10, 30, 60)
"""Leads in minutes that the page shows, or those nearest to them."""
FILL = np.float32(netCDF4.default_fillvals["f4"])
_MARK = "earthsignals_superdarn_forecast"


@dataclass(frozen=True)
class Forecast:
    """Drift (leads, 2, R, C) in m/s, north and east, issued at the frame `issue` of a grid."""

    drift: np.ndarray
    leads_minutes: np.ndarray
    """(leads,) from the middle of the frame of issue to that of the frame forecast."""
    grid: GridFile
    issue: int
    counts: np.ndarray
    """(R, C) int32: vectors in each cell over the history."""
    about: Mapping[str, str]
    """Attributes of the file."""

    @property
    def issued_s(self) -> float:
        """Middle of the frame of issue, seconds since 1970-01-01 UTC."""
        return float(self.grid.times_s[self.issue]) + 30.0 * self.grid.params.cadence_minutes

    @property
    def regular(self) -> bool:
        """Do rows follow latitudes and columns longitudes, all the way around?"""
        return self.grid.params.representation == "polar"

    def mlt(self) -> np.ndarray:
        """(leads, R, C) hours in [0, 24): local time of each cell, which turns while cells stay."""
        from earthsignals.superdarn.mlt import mlt, mlt_of_zero

        zero = mlt_of_zero(self.issued_s + 60.0 * self.leads_minutes)
        return mlt(self.grid.layout.centres()[1], zero[:, None, None])


def write_forecast(path: Path, forecast: Forecast) -> None:
    """Write the file; equal forecasts give equal bytes. Atomic.

    Dimensions are (lead, mlat, mlon) where cells lie in rows of latitude, else (lead, row, column) with
    places of two dimensions. Cells keep their magnetic longitude; `mlt` tells the local time of each at each
    lead.
    """
    with atomic_path(path) as temporary, netCDF4.Dataset(temporary, "w", format="NETCDF4") as file:
        file.setncatts({
            "Conventions": "CF-1.11", "title": "Forecast of high-latitude plasma drift",
            "source": "line-of-sight velocities of SuperDARN radars; attention network over their past",
            "references": "AACGM-v2 coordinates: Shepherd 2014, doi:10.1002/2014JA020264",
            **forecast.about, _MARK: "1",
        })  # fmt: skip
        cells = _write_coordinates(file, forecast)
        places = "mlt valid_time forecast_reference_time" + ("" if forecast.regular else " mlat mlon")
        for name, values, text in (
            ("drift_north", forecast.drift[:, 0], "plasma drift towards magnetic north"),
            ("drift_east", forecast.drift[:, 1], "plasma drift towards magnetic east"),
            ("speed", np.hypot(forecast.drift[:, 0], forecast.drift[:, 1]), "speed of the plasma drift"),
        ):
            variable = file.createVariable(
                name, "f4", ("lead", *cells), fill_value=FILL, compression="zlib", complevel=4
            )
            variable.setncatts({"long_name": text, "units": "m s-1", "coordinates": places})
            variable[:] = values
        _write_seen(file, forecast, cells)


def _write_coordinates(file: netCDF4.Dataset, forecast: Forecast) -> tuple[str, str]:
    mlat, mlon = forecast.grid.layout.centres()
    cells = ("mlat", "mlon") if forecast.regular else ("row", "column")
    for name, size in zip(("lead", *cells), forecast.drift[:, 0].shape, strict=True):
        file.createDimension(name, size)
    seconds = {"units": "seconds since 1970-01-01 00:00:00 +00:00", "calendar": "standard"}
    lead = file.createVariable("lead", "i4", ("lead",))
    lead.setncatts(
        {"standard_name": "forecast_period", "long_name": "time since the issue", "units": "minutes"}
    )
    lead[:] = forecast.leads_minutes
    issued = file.createVariable("forecast_reference_time", "f8")
    issued.setncatts({"standard_name": "forecast_reference_time", "long_name": "time of issue", **seconds})
    issued[...] = forecast.issued_s
    valid = file.createVariable("valid_time", "f8", ("lead",))
    valid.setncatts({"standard_name": "time", "long_name": "time that is forecast", **seconds})
    valid[:] = forecast.issued_s + 60.0 * forecast.leads_minutes
    for name, values, text in (
        ("mlat", mlat[:, 0] if forecast.regular else mlat, "AACGM-v2 latitude of the cell's centre"),
        ("mlon", mlon[0] if forecast.regular else mlon, "AACGM-v2 longitude of the cell's centre, eastward"),
    ):
        place = file.createVariable(name, "f8", (name,) if forecast.regular else cells)
        place.setncatts({"long_name": text, "units": "degree"})
        place[:] = values
    hours = forecast.mlt()
    # In rows of latitude all cells of a column share their longitude, and so their local time.
    across = ("lead", "mlon") if forecast.regular else ("lead", *cells)
    local = file.createVariable("mlt", "f8", across)
    local.setncatts({
        "long_name": "magnetic local time of the cell's centre", "units": "hour", "valid_min": 0.0,
        "valid_max": 24.0,
    })  # fmt: skip
    local[:] = hours[:, 0] if forecast.regular else hours
    return cells


def _write_seen(file: netCDF4.Dataset, forecast: Forecast, cells: tuple[str, str]) -> None:
    last = forecast.grid.vectors(forecast.issue)
    observed = np.zeros(forecast.counts.shape, np.int8)
    observed[last.row, last.column] = 1
    flag = file.createVariable("observed", "i1", cells)
    flag.setncatts({
        "long_name": "cell seen by a radar in the frame of issue", "flag_values": np.array([0, 1], np.int8),
        "flag_meanings": "not_seen seen",
    })  # fmt: skip
    flag[:] = observed
    counts = file.createVariable("vectors_in_history", "i4", cells)
    counts.setncatts({
        "long_name": "line-of-sight vectors of the cell that the forecast knows", "units": "1",
    })  # fmt: skip
    counts[:] = forecast.counts


def is_forecast(path: Path) -> bool:
    """Is this a file of `write_forecast`?"""
    try:
        with netCDF4.Dataset(path) as file:
            return _MARK in file.ncattrs()
    except (OSError, RuntimeError):
        return False


def draw_forecast(path: Path, forecast: Forecast) -> None:
    """A PNG: what radars saw at the issue, and the drift at up to three leads, noon on top. Atomic."""
    from earthsignals import figures as house
    from earthsignals.superdarn.figures.dial import Speeds, rim_of
    from earthsignals.superdarn.figures.inputs import Example, Seen
    from earthsignals.superdarn.figures.panels import (
        dials,
        scale_arrow,
        show_drift,
        show_seen,
        speed_bar,
    )

    if path.suffix != ".png":
        raise EarthSignalsError(f"{path}: a forecast is drawn as PNG, expected a name that ends in .png")
    grid, last, leads = forecast.grid, forecast.grid.vectors(forecast.issue), forecast.leads_minutes
    mlat, mlon = grid.layout.centres()
    example = Example(
        int(forecast.issued_s), float(grid.mlt_zero[forecast.issue]), leads, forecast.drift, mlat, mlon,
        forecast.regular, {0: Seen(last.mlat, last.mlon, last.kvect, last.velocity)},
    )  # fmt: skip
    drawn = sorted({int(leads[np.abs(leads - min(lead, leads[-1])).argmin()]) for lead in DRAWN})
    with house.style():
        figure, panels = dials(1 + len(drawn), height=2.2)
        shown = [forecast.drift[example.at(lead)] for lead in drawn]
        speeds = Speeds.of(last.velocity, *(np.hypot(*drift) for drift in shown))
        rim = rim_of(mlat)
        show_seen(panels[0, 0], example, 0, speeds, rim)
        panels[0, 0].set_title(f"observed\n{example.moment()}", pad=9)
        for axes, lead, drift in zip(panels[0, 1:], drawn, shown, strict=True):
            show_drift(axes, example, drift, lead, speeds, rim, spacing=6.0)
            axes.set_title(f"forecast\n+{lead} min", pad=9)
        scale_arrow(panels[0, 1], rim)
        speed_bar(figure, panels, speeds)
        with atomic_path(path) as temporary, open(temporary, "wb") as out:
            figure.savefig(out, format="png", metadata={"Software": None})


def iso(seconds: float) -> str:
    """A time as text, UTC, to the second."""
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
