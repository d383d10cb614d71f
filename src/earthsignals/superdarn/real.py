"""Evaluation on days of real records outside the repository, which nothing was trained on.

A day that enough radars saw for long enough is cut in halves: the model of the pipeline is trained further on
the first twelve hours, of which the last two choose the epoch, and judged on the last twelve, beside
baselines that learnt on the same first half. What is observed before a time of issue is known then, on
whichever side of noon it lies. Files that are no such day are read and counted.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from earthsignals.compute.mapping import ordered_map
from earthsignals.settings import Settings
from earthsignals.storage import EarthSignalsError, md5_path, write_json
from earthsignals.superdarn.baselines import TEST, TRAIN, VALIDATION
from earthsignals.superdarn.evaluate import Judged, about, judge, on_device
from earthsignals.superdarn.grid import grid_of
from earthsignals.superdarn.judging.pairs import pooled
from earthsignals.superdarn.judging.report import Metrics, report
from earthsignals.superdarn.params import SuperdarnParams
from earthsignals.superdarn.records.kinds import kind_of
from earthsignals.superdarn.records.read import files_below, read_vectors
from earthsignals.superdarn.records.vectors import Vectors

if TYPE_CHECKING:
    from earthsignals.superdarn.checkpoint import ForecastModel
    from earthsignals.superdarn.grid import GridFile

HOUR_S, DAY_S = 3600, 86_400
FEWEST_RADARS = 3
FEWEST_HOURS = 20
TRAIN_HOURS = 12
"""Of a day, for training; the rest is judged."""
VALIDATION_HOURS = 2
"""The last of TRAIN_HOURS."""
STRIDE = 2
"""Frames from one time of issue to the next, at most: half a day is little to learn from and to judge by."""


@dataclass(frozen=True)
class Ingested:
    """Everything read below a folder: vectors, and files by kind, by what became of them, with notes."""

    vectors: Vectors
    kinds: dict[str, int]
    refused: dict[str, str]
    notes: dict[str, list[str]]
    files: int
    duplicates: int


@dataclass(frozen=True)
class Day:
    """One day (UTC) of one hemisphere."""

    date: dt.date
    hemisphere: str
    vectors: Vectors

    @property
    def midnight_s(self) -> int:
        return int(dt.datetime.combine(self.date, dt.time(), dt.UTC).timestamp())

    @property
    def radars(self) -> int:
        return len(np.unique(self.vectors.stid))

    @property
    def hours(self) -> float:
        """From the first record's start to the last one's end."""
        return float(self.vectors.end_s.max() - self.vectors.start_s.min()) / HOUR_S

    @property
    def judgeable(self) -> bool:
        return self.radars >= FEWEST_RADARS and self.hours >= FEWEST_HOURS

    def about(self) -> dict[str, Any]:
        return {
            "day": self.date.isoformat(), "hemisphere": self.hemisphere, "radars": self.radars,
            "hours": round(self.hours, 2), "vectors": len(self.vectors),
        }  # fmt: skip


def evaluate_real(
    path: str | Path, model: ForecastModel, params: SuperdarnParams, settings: Settings, out: Path
) -> Metrics:
    """Judge the model on the days of real records below `path` and write the metrics to `out` (JSON).

    The grid, the fields of the past and the network are the model's own.

    The keys are those of metrics.json, over all days together; and `days` (each with its skill and RMSE),
    `ingest` (files by kind, refusals with their reasons, days read but not judged), `data`, `data_md5`,
    `model_md5`. Raises EarthSignalsError where there is no such path, or no day to judge below it.
    """
    path = Path(path)
    params = _of_model(params, model)
    ingested = read_folder(path, params)
    days = list(days_of(ingested.vectors))
    chosen = [day for day in days if day.judgeable]
    if not chosen:
        told = "; ".join(
            f"{day.date} {day.hemisphere}: {day.radars} radars in {day.hours:.1f} h" for day in days[:5]
        )
        raise EarthSignalsError(
            f"{path}: no day of {FEWEST_RADARS} radars and {FEWEST_HOURS} hours among its {ingested.files} "
            f"files ({told or 'no vectors'}); give a folder of a whole day's grid or fitacf files"
        )
    tables, rows, dropped = [], [], Counter()
    for day in chosen:
        judged, grid = judge_day(day, model, params, settings)
        tables.append(judged.table)
        own, _ = report(judged.table, params.evaluate, grid.params)
        rows.append(day.about() | about(grid) | judged.about() | _headline(own))
        dropped.update(grid.dropped)
    metrics, _ = report(pooled(tables), params.evaluate, params.grid)
    metrics |= {
        "days": rows, "ingest": _ingest(ingested, days), "dropped": dict(sorted(dropped.items())),
        "coverage": float(np.mean([row["coverage"] for row in rows])),
        "data": path.name, "data_md5": md5_path(path), "model_md5": model.md5,
    }  # fmt: skip
    write_json(out, metrics)
    return metrics


# ------------------------------------------------------------------------------------------------- reading
def read_folder(path: Path, params: SuperdarnParams) -> Ingested:
    """All vectors of all files below `path` (or of that one file), in any format.

    Raises EarthSignalsError where there is no file.
    """
    files = files_below(path)
    kinds: Counter[str] = Counter()
    refused: dict[str, str] = {}
    notes: dict[str, list[str]] = {}
    parts: list[Vectors] = []
    reads = ordered_map(
        partial(_read, folder=path, params=params), files, description="reading real records", unit="files"
    )
    for file, (kind, vectors, told) in zip(files, reads, strict=True):
        kinds[kind or "none of SuperDARN's"] += 1
        if vectors is None:
            refused[_name(file, path)] = told[0]
        else:
            parts.append(vectors)
            if told:
                notes[_name(file, path)] = told
    vectors, duplicates = Vectors.concatenate(parts).deduplicated()
    return Ingested(vectors, dict(sorted(kinds.items())), refused, notes, len(files), duplicates)


def _read(
    file: Path, folder: Path, params: SuperdarnParams
) -> tuple[str | None, Vectors | None, list[str]]:
    """Kind, vectors and notes of a file; without vectors the note says why."""
    kind = None
    try:
        kind = kind_of(file)
        found = read_vectors(file, params, _name(file, folder))
    except EarthSignalsError as error:
        return kind, None, [str(error).replace(str(file), _name(file, folder))]
    return found.kind, found.vectors, [str(note) for note in found.notes]


def _name(file: Path, folder: Path) -> str:
    """What the report calls a file: its place below the folder, the same wherever that lies."""
    return file.name if file == folder else file.relative_to(folder).as_posix()


def days_of(vectors: Vectors) -> Iterator[Day]:
    """The vectors by day (UTC) and hemisphere, in the order of time, north first."""
    number = np.floor(vectors.start_s / DAY_S).astype(np.int64)
    side = vectors.hemisphere()
    for day in np.unique(number):
        for name, sign in (("north", 1), ("south", -1)):
            chosen = (number == day) & (side == sign)
            if chosen.any():
                date = dt.date(1970, 1, 1) + dt.timedelta(days=int(day))
                yield Day(date, name, vectors.take(chosen))


# ------------------------------------------------------------------------------------------------- judging
def judge_day(
    day: Day, model: ForecastModel, params: SuperdarnParams, settings: Settings
) -> tuple[Judged, GridFile]:
    """Train further on the first half of the day and judge on the second.

    A day of the other hemisphere than the model's is learnt from nothing: it is another ionosphere.
    """
    from earthsignals.superdarn.checkpoint import load_model
    from earthsignals.superdarn.train import train_forecast

    params = params.model_copy(
        update={"grid": params.grid.model_copy(update={"hemisphere": day.hemisphere})}
    )
    initial = str(model.path) if model.path and day.hemisphere == model.grid.hemisphere else None
    options = params.train.model_copy(
        update={"initial_checkpoint": initial, "stride": min(params.train.stride, STRIDE)}
    )
    state = params.state.model_copy(update={"stride": min(params.state.stride, STRIDE)})
    judging = params.evaluate.model_copy(update={"stride": min(params.evaluate.stride, STRIDE)})
    params = params.model_copy(update={"train": options, "state": state, "evaluate": judging})
    grid = grid_of(day.vectors, params.grid, partial(halves, midnight_s=day.midnight_s))
    with tempfile.TemporaryDirectory(prefix="earthsignals-real-") as folder:
        out = Path(folder) / "best_model.pt"
        train_forecast(grid, params, settings, out, resume_root=Path(folder) / "resume")
        trained = load_model(out)
    with on_device(trained, settings):
        issues = last_issues(grid, params)
        return judge(grid, issues, trained, params), grid


def halves(times_s: np.ndarray, midnight_s: int) -> np.ndarray:
    """Split of frames that begin at times (T,) in seconds: the day's first half trains and validates."""
    hour = (times_s - midnight_s) / HOUR_S
    borders = (TRAIN_HOURS - VALIDATION_HOURS, TRAIN_HOURS)
    return np.array([TRAIN, VALIDATION, TEST], np.uint8)[np.digitize(hour, borders)]


def last_issues(grid: GridFile, params: SuperdarnParams) -> np.ndarray:
    """Frames of issue, all of whose leads lie in the second half: int64.

    Raises EarthSignalsError where there is none.
    """
    longest = max(params.evaluate.leads_minutes) // grid.params.cadence_minutes
    issues = grid.issues("test", 1, longest, params.evaluate.stride)
    if not len(issues):
        raise EarthSignalsError(
            f"the last {24 - TRAIN_HOURS} hours of the day hold no {max(params.evaluate.leads_minutes)} "
            "minutes in one piece; give a day whose records go on after noon"
        )
    return issues


def _of_model(params: SuperdarnParams, model: ForecastModel) -> SuperdarnParams:
    """These parameters with the model's own grid, fields, network and number of steps."""
    train = params.train.model_copy(update={"time_step": model.steps})
    own = {"grid": model.grid, "state": model.state, "network": model.network, "train": train}
    return params.model_copy(update=own)


def _headline(metrics: Metrics) -> Metrics:
    """What is told of each day."""
    keys = ("rmse_m_s", "vectors", "issues")
    return {key: value for key, value in metrics.items() if key in keys or key.startswith("skill_vs_")}


def _ingest(ingested: Ingested, days: list[Day]) -> dict[str, Any]:
    return {
        "files": ingested.files, "kinds": ingested.kinds, "vectors": len(ingested.vectors),
        "duplicate_vectors": ingested.duplicates, "refused": ingested.refused, "notes": ingested.notes,
        "read_only_days": [day.about() for day in days if not day.judgeable],
    }  # fmt: skip
