"""One row for each observed vector and lead: what was seen, and what every method had predicted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from earthsignals.compute.mapping import progress
from earthsignals.storage import EarthSignalsError
from earthsignals.superdarn.baselines import TRAIN, Baselines, directions, local_time

if TYPE_CHECKING:
    from earthsignals.superdarn.grid import GridFile
    from earthsignals.superdarn.judging.pairing import Series

Forecaster = Callable[[int], np.ndarray]
"""Time of issue (number of a frame) to the drift (frames ahead, 2, R, C) m/s of the frames that follow."""
Watcher = Callable[[int, str, np.ndarray], None]
"""Shown every forecast that is made: time of issue, method, forecast."""

Carried = Callable[[int], np.ndarray]
"""Time of issue to what radars will see beyond the drift, (K,) m/s, of all vectors of later frames."""

MODEL = "model"
FIELD = "field"
"""The model's drift alone, without what is carried on from each radar's own last view."""
QUIET, STORM, UNKNOWN = 0, 1, -1


@dataclass(frozen=True)
class Table:
    """Arrays (n,), rows by time of issue, then lead, then the grid file's order of vectors.

    leads_minutes: (L,). issue: frame of issue, int32. lead: which of `leads_minutes`, int16. vector: index
    in the grid, int64. observed, kvect, mlat (of either hemisphere, positive), mlt: float32 (m/s, degrees,
    degrees, hours). row, column: int16. group: int64, number of the block of time since 1970. storm: int8,
    of the time of issue. paired: bool, the radar saw the cell at the time of issue. predictions: by method,
    float32 m/s along kvect; NaN where a method has none.
    """

    leads_minutes: tuple[int, ...]
    issue: np.ndarray
    lead: np.ndarray
    vector: np.ndarray
    observed: np.ndarray
    kvect: np.ndarray
    row: np.ndarray
    column: np.ndarray
    mlat: np.ndarray
    mlt: np.ndarray
    group: np.ndarray
    storm: np.ndarray
    paired: np.ndarray
    predictions: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.observed)


def collect(
    grid: GridFile, issues: np.ndarray, baselines: Baselines, series: Series,
    forecasters: Mapping[str, Forecaster], *, block_hours: float, storm_above: float,
    carried: Carried | None = None, watch: Watcher | None = None,
) -> Table:  # fmt: skip
    """Judge `forecasters` and `baselines` on every vector at every lead after these times of issue.

    issues: (I,) frames. block_hours: length of the blocks of time that intervals are drawn over.
    storm_above: mean speed of the last hour in m/s from which a time of issue is called storm. carried: is
    added to every forecaster along the lines of sight; the model without it becomes the method FIELD.

    Raises EarthSignalsError where a forecast is not finite or does not reach the longest lead, or no vector
    was seen at all.
    """
    issues = np.asarray(issues, np.int64)
    frames = np.array(baselines.frames, np.int64)
    target = (issues[:, None] + frames).ravel()
    start, count = grid.offsets[target].astype(np.int64), np.diff(grid.offsets)[target].astype(np.int64)
    first = np.cumsum(count) - count
    vector = np.arange(count.sum()) + np.repeat(start - first, count)
    if not len(vector):
        raise EarthSignalsError(
            f"there is nothing to judge: no radar saw anything after any of {len(issues)} times of issue; "
            "take more days of records or a smaller superdarn.split.block_hours"
        )
    issue = np.repeat(np.repeat(issues, len(frames)), count)
    lead = np.repeat(np.tile(np.arange(len(frames)), len(issues)), count).astype(np.int16)
    predictions = _forecast(grid, issues, frames, vector, count, forecasters, carried, watch)
    predictions |= baselines.predict(series, vector, lead)
    activity = grid.activity[issue]
    storm = np.where(np.isfinite(activity), activity > storm_above, UNKNOWN)
    return Table(
        baselines.leads_minutes, issue.astype(np.int32), lead, vector, grid.velocity[vector],
        grid.kvect[vector], grid.row[vector], grid.column[vector], np.abs(grid.mlat[vector]),
        local_time(grid, vector).astype(np.float32),
        np.floor(grid.times_s[issue] / (block_hours * 3600)).astype(np.int64), storm.astype(np.int8),
        np.isfinite(predictions["persistence"]), predictions,
    )  # fmt: skip


def _forecast(
    grid: GridFile, issues: np.ndarray, frames: np.ndarray, vector: np.ndarray, count: np.ndarray,
    forecasters: Mapping[str, Forecaster], carried: Carried | None, watch: Watcher | None,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Velocity (n,) along the line of sight of every row by each forecaster."""
    names = [*forecasters, *([FIELD] if carried is not None and MODEL in forecasters else [])]
    found = {name: np.empty(len(vector), np.float32) for name in names}
    per_issue = count.reshape(len(issues), len(frames)).sum(1)
    ahead = np.repeat(np.tile(frames - 1, len(issues)), count)
    north, east = directions(grid.kvect[vector])
    end = 0
    with progress("forecasting", len(issues) * len(forecasters), "forecasts") as bar:
        for t, rows in zip(issues.tolist(), per_issue.tolist(), strict=True):
            here, end = slice(end, end + rows), end + rows
            places = ahead[here], grid.row[vector[here]], grid.column[vector[here]]
            beyond = 0.0
            if carried is not None:
                beyond = carried(t)[vector[here] - int(grid.offsets[t + 1])]
            for name, forecaster in forecasters.items():
                drift = np.asarray(forecaster(t))
                _check(drift, name, t, frames, grid)
                along = drift[:, 0][places] * north[here] + drift[:, 1][places] * east[here]
                found[name][here] = along + beyond
                if name == MODEL and FIELD in found:
                    found[FIELD][here] = along
                if not np.isfinite(found[name][here]).all():
                    raise EarthSignalsError(
                        f"the forecast of {name} at {when(grid, t)} is not finite where radars saw "
                        "something; look at the training's loss and train again with a lower learning rate"
                    )
                if watch is not None:
                    watch(t, name, drift)
                bar.advance()
    return found


def _check(drift: np.ndarray, name: str, t: int, frames: np.ndarray, grid: GridFile) -> None:
    shape = (2, *grid.layout.shape)
    if drift.ndim != 4 or drift.shape[1:] != shape or len(drift) < frames.max(initial=0):
        raise EarthSignalsError(
            f"the forecast of {name} at {when(grid, t)} has shape {drift.shape}, expected at least "
            f"{frames.max(initial=0)} frames of {shape}: the model was trained on another grid or for "
            "shorter leads; train again with `dvc repro superdarn-train`"
        )


def when(grid: GridFile, t: int) -> str:
    """A frame's start as text, UTC."""
    return f"{np.datetime64(int(grid.times_s[t]), 's')} UTC"


def storm_threshold(grid: GridFile, quantile: float, splits: Sequence[int] = (TRAIN,)) -> float:
    """The quantile of the activity (m/s) of the frames of these splits; infinite where none is known."""
    activity = grid.activity[np.isin(grid.split, list(splits))]
    known = activity[np.isfinite(activity)]
    return float(np.quantile(known.astype(np.float64), quantile)) if len(known) else float("inf")


def pooled(tables: Sequence[Table]) -> Table:
    """Tables of several days, each with predictions by its own models, as one."""
    first = tables[0]
    if len(tables) == 1:
        return first
    joined = {
        field.name: np.concatenate([getattr(table, field.name) for table in tables])
        for field in fields(Table) if field.name not in ("leads_minutes", "predictions")
    }  # fmt: skip
    predictions = {
        name: np.concatenate([table.predictions[name] for table in tables]) for name in first.predictions
    }
    return Table(first.leads_minutes, **joined, predictions=predictions)
