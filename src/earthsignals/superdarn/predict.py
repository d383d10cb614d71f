"""A forecast from the user's own radar files: a CF netCDF file, and a picture of it.

    model = load_model("data/superdarn/best_model.pt")
    print(forecast_files(["20150301.north.grid.bz2"], model, "forecast.nc", lead=60))

Files may be of any kind with velocities: fitacf, grid and map (DMAP, bz2 too) and grid netCDF, or folders of
such, several radars and days. Little history is no error: a forecast is made from whatever was seen, and
how much that was is said, in the sentence returned and in the file. What cannot be read is counted and stops
nothing; only if nothing at all can be used is there an error.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from earthsignals.compute.mapping import progress
from earthsignals.settings import Settings, load_settings
from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.evaluate import on_device
from earthsignals.superdarn.forecast_file import (
    Forecast,
    draw_forecast,
    is_forecast,
    iso,
    write_forecast,
)
from earthsignals.superdarn.grid import grid_of
from earthsignals.superdarn.params import SuperdarnParams
from earthsignals.superdarn.records.read import files_below, read_vectors
from earthsignals.superdarn.records.vectors import Vectors

if TYPE_CHECKING:
    from earthsignals.superdarn.checkpoint import ForecastModel
    from earthsignals.superdarn.gridded import GridFile

LEAD = 60
WHOLE_FRAME = 0.25
"""The last frame with at least this share of the usual number of vectors is the time of issue: after the end
of most records often one radar's last window still follows."""


@dataclass
class Found:
    """Vectors of files, and what could not be read or was damaged."""

    vectors: Vectors
    files: list[Path]
    refused: dict[Path, str] = field(default_factory=dict)
    faults: int = 0
    duplicates: int = 0


def forecast_files(
    files: str | Path | Sequence[str | Path], model: ForecastModel, out: str | Path, lead: int = LEAD, *,
    at: dt.datetime | None = None, params: SuperdarnParams | None = None, settings: Settings | None = None,
) -> str:  # fmt: skip
    """Write the forecast to `out` (netCDF) and a picture beside it (.png); returns a sentence on both.

    lead: the last lead in minutes, a multiple of the model's cadence. at: the time of issue (UTC where it
    tells no zone); by default the end of the records. params: how fitacf is gridded.

    Raises EarthSignalsError: a path does not exist, nothing could be used, `at` lies outside the records, the
    model does not reach `lead`, or `out` would replace an input or a file that is no forecast.
    """
    out, params = Path(out), params or SuperdarnParams()
    leads = chosen_leads(model, lead)
    found = read_files(files, params)
    _check_target(out, found.files)
    grid, issue = grid_at(found.vectors, model, at)
    with on_device(model, settings or load_settings()):
        drift = model.forecast(grid, issue)[: len(leads)]
    if not np.isfinite(drift).all():
        raise EarthSignalsError(
            f"{model.path or model.name}: its forecast is not finite, expected m/s: look for extreme "
            "velocities in the records (earthsignals superdarn explore), or train again"
        )
    known = _History.of(grid, issue, model)
    about = known.attributes() | {
        "model": model.name, "model_md5": model.md5, "input_files": str(len(found.files)),
        "observed_until": iso(float(grid.times_s[issue]) + 60 * grid.params.cadence_minutes),
        "minutes_of_history": str(model.state.history_minutes),
    }  # fmt: skip
    forecast = Forecast(drift, leads, grid, issue, known.counts, about)
    write_forecast(out, forecast)
    picture = out.with_suffix(".png")
    draw_forecast(picture, forecast)
    return (
        f"{out}: drift up to {leads[-1]} minutes after {iso(forecast.issued_s)}, {known.sentence()}"
        f"{_told(found, grid)}; drawn in {picture.name}"
    )


def chosen_leads(model: ForecastModel, lead: int) -> np.ndarray:
    """All leads of the model up to `lead`, minutes (n,) int64."""
    leads = np.asarray(model.leads_minutes, np.int64)
    if lead not in leads:
        raise EarthSignalsError(
            f"--lead {lead}: {model.path or model.name} forecasts every {leads[0]} minutes up to "
            f"{leads[-1]}, expected one of these: choose another lead, or train with a larger "
            "superdarn.train.time_step"
        )
    return leads[leads <= lead]


def read_files(paths: str | Path | Sequence[str | Path], params: SuperdarnParams) -> Found:
    """All vectors of files and folders, each file once.

    Raises EarthSignalsError where a path does not exist or no file has any vectors.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else paths
    once = {os.path.realpath(file): file for path in paths for file in files_below(Path(path))}
    files = list(once.values())
    found, parts = Found(Vectors.empty(), files), []
    with progress("reading records", len(files), "files") as bar:
        for file in files:
            try:
                read = read_vectors(file, params)
            except EarthSignalsError as error:
                found.refused[file] = str(error)
            else:
                parts.append(read.vectors)
                found.faults += sum(note.count for note in read.notes if note.is_fault)
            bar.advance()
    if not sum(map(len, parts)):
        if found.refused:
            first, *more = found.refused.values()
            others = f" (and {len(more)} more)" if more else ""
            raise EarthSignalsError(f"no file could be used: {first}{others}")
        raise EarthSignalsError(
            f"{files[0]}: no vectors in {len(files)} files, expected records of at least one radar"
        )
    found.vectors, found.duplicates = Vectors.concatenate(parts).deduplicated()
    return found


def grid_at(vectors: Vectors, model: ForecastModel, at: dt.datetime | None) -> tuple[GridFile, int]:
    """The grid of all records up to the time of issue, and its frame. Nothing later is looked at."""
    grid = grid_of(vectors, model.grid)
    counts = np.diff(grid.offsets)
    cadence_s = 60 * grid.params.cadence_minutes
    if at is None:
        seen = np.flatnonzero(counts)
        usual = counts[seen[-model.forecaster.analysis.history :]].mean()
        return grid, int(seen[counts[seen] >= WHOLE_FRAME * usual][-1])
    when = (at if at.tzinfo else at.replace(tzinfo=dt.UTC)).timestamp()
    issue = grid.frame_at(when)
    if issue < 0:
        raise EarthSignalsError(
            f"--at {iso(when)}: the records reach from {iso(grid.times_s[0])} to "
            f"{iso(grid.times_s[-1] + cadence_s)}, expected a time between: choose one, or add its files"
        )
    return grid, issue


@dataclass(frozen=True)
class _History:
    """What a forecast knows: vectors by cell, frames with and without any, radars."""

    counts: np.ndarray
    frames: int
    empty: int
    radars: int

    @classmethod
    def of(cls, grid: GridFile, issue: int, model: ForecastModel) -> _History:
        frames = model.forecaster.analysis.history
        # Frames before the records begin, or before a gap of days, are as empty as those inside one.
        first = max(issue + 1 - frames, int(np.searchsorted(grid.segment, grid.segment[issue])))
        here = grid.span(first, issue)
        counts = np.zeros(grid.layout.shape, np.int32)
        np.add.at(counts, (grid.row[here], grid.column[here]), 1)
        with_some = int(np.count_nonzero(np.diff(grid.offsets[first : issue + 2])))
        return cls(counts, frames, frames - with_some, len(np.unique(grid.stid[here])))

    def attributes(self) -> dict[str, str]:
        return {
            "vectors_in_all": str(int(self.counts.sum())), "radars": str(self.radars),
            "frames_in_history": str(self.frames), "frames_without_vectors": str(self.empty),
        }  # fmt: skip

    def sentence(self) -> str:
        radars = f"{self.radars} radar{'s' * (self.radars != 1)}"
        text = f"from {int(self.counts.sum()):,} vectors of {radars}"
        return text + (f", {self.empty} of {self.frames} frames of history without any" if self.empty else "")


def _told(found: Found, grid: GridFile) -> str:
    parts = []
    if found.refused:
        parts.append(f"{len(found.refused)} of {len(found.files)} files refused, first: "
                     f"{next(iter(found.refused.values()))}")  # fmt: skip
    if found.faults:
        parts.append(f"{found.faults:,} faults in files read")
    if found.duplicates:
        parts.append(f"{found.duplicates:,} vectors twice")
    parts += [f"{number:,} vectors left out ({reason})" for reason, number in grid.dropped.items()]
    return "".join(f"; {part}" for part in parts)


def _check_target(out: Path, inputs: Sequence[Path]) -> None:
    if out.suffix == ".png":
        raise EarthSignalsError(f"{out}: the forecast is netCDF, expected a name that ends in .nc (--out)")
    taken = {os.path.realpath(path) for path in inputs}
    for target in (out, out.with_suffix(".png")):
        if os.path.realpath(target) in taken:
            raise EarthSignalsError(
                f"{target} is one of the inputs and would be overwritten: choose another name (--out)"
            )
    if out.exists() and not is_forecast(out):
        raise EarthSignalsError(f"{out} is there already and no forecast: choose another name (--out)")
